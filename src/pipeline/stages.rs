//! Where the time of frames goes: the histograms that the sender publishes.

use std::fmt;
use std::time::Duration;

/// One stage of a frame's way, as `gstgamestream::timing::STAGES` names and describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageTimes {
    pub name: String,
    /// Frames that passed it.
    pub count: u64,
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
}

/// The stages in the `stats` of a `pacedudpsink`; a stage that no frame passed is missing.
pub fn read(stats: &gst::Structure) -> Vec<StageTimes> {
    let Ok(stages) = stats.get::<gst::Structure>("stages") else { return Vec::new() };
    let stage = |name: &str| {
        let stage = stages.get::<gst::Structure>(name).ok()?;
        let time = |field: &str| stage.get::<u64>(field).map(Duration::from_nanos).ok();
        Some(StageTimes {
            name: name.to_owned(),
            count: stage.get("count").ok()?,
            p50: time("p50")?,
            p99: time("p99")?,
            max: time("max")?,
        })
    };
    gstgamestream::timing::STAGES.into_iter().filter_map(stage).collect()
}

impl fmt::Display for StageTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "{} {:.2}/{:.2}/{:.2}", self.name, ms(self.p50), ms(self.p99), ms(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_read_and_written() {
        gst::init().unwrap();
        let encode = gst::Structure::builder("stage")
            .field("count", 9_u64)
            .field("p50", 1_500_000_u64)
            .field("p99", 3_000_000_u64)
            .field("max", 4_250_000_u64)
            .build();
        let stages = gst::Structure::builder("stages").field("encode", encode).build();
        let stats = gst::Structure::builder("stats").field("stages", stages).build();
        let read = read(&stats);
        assert_eq!((read.len(), read[0].count, read[0].max), (1, 9, Duration::from_micros(4250)));
        assert_eq!(read[0].to_string(), "encode 1.50/3.00/4.25");
        assert_eq!(super::read(&gst::Structure::new_empty("stats")), []);
    }
}
