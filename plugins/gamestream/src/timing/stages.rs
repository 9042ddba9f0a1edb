//! The stages of a frame's way, a histogram for each.

use super::{FrameTimes, Histogram};
use gst::ClockTime;

/// Names of the stages, in the order of a frame's way.
///
/// * `pace`: from capture until the picture left the pacer; new pictures only
/// * `encode`: in the encoder
/// * `packetize`: from the encoder's exit to finished packets, with the queue between
/// * `queue`: until the first burst leaves
/// * `send`: from the first burst to the end of the last
/// * `total`: from capture, or the tick of a repeated picture, to the end
pub const STAGES: [&str; 6] = ["pace", "encode", "packetize", "queue", "send", "total"];

#[derive(Clone, Debug, Default)]
pub struct Stages([Histogram; STAGES.len()]);

impl Stages {
    /// Counts a frame that was sent, in every stage whose beginning and end were observed.
    pub fn record(&mut self, times: &FrameTimes) {
        let captured = times.capture.filter(|_| !times.repeated);
        let spans = [
            (captured, times.pace),
            (times.encode_in.or(times.pace), times.encode_out),
            (times.encode_out, times.packetized),
            (times.packetized, times.first_send),
            (times.first_send, times.last_send),
            (times.begin(), times.last_send),
        ];
        for (histogram, (from, to)) in self.0.iter_mut().zip(spans) {
            if let Some((from, to)) = from.zip(to) {
                histogram.record(to.saturating_sub(from));
            }
        }
    }

    /// A structure per stage: `count`, `p50`, `p99` and `max` in nanoseconds. Stages that no frame passed are left out.
    pub fn structure(&self) -> gst::Structure {
        let mut all = gst::Structure::new_empty("application/x-gamestream-stages");
        for (name, histogram) in STAGES.iter().zip(&self.0) {
            let nanoseconds = |time: Option<ClockTime>| time.unwrap_or_default().nseconds();
            if histogram.count() > 0 {
                let stage = gst::Structure::builder("stage")
                    .field("count", histogram.count())
                    .field("p50", nanoseconds(histogram.quantile(500)))
                    .field("p99", nanoseconds(histogram.quantile(990)))
                    .field("max", nanoseconds(histogram.max()))
                    .build();
                all.set(*name, stage);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Option<ClockTime> {
        Some(ClockTime::from_mseconds(ms))
    }

    fn max(stages: &Stages, name: &str) -> Option<u64> {
        let stage = stages.structure().get::<gst::Structure>(name).ok()?;
        Some(stage.get::<u64>("max").unwrap() / 1_000_000)
    }

    #[test]
    fn every_stage_is_between_its_two_times() {
        gst::init().unwrap();
        let mut stages = Stages::default();
        let whole = FrameTimes {
            number: 0,
            repeated: false,
            capture: at(10),
            pace: at(11),
            encode_in: at(13),
            encode_out: at(17),
            packetized: at(25),
            first_send: at(41),
            last_send: at(73),
        };
        stages.record(&whole);
        let found = STAGES.map(|name| max(&stages, name));
        assert_eq!(found, [1, 4, 8, 16, 32, 63].map(Some));
    }

    #[test]
    fn what_was_not_observed_is_not_counted() {
        gst::init().unwrap();
        let mut stages = Stages::default();
        let repeated = FrameTimes {
            repeated: true,
            capture: at(10),
            pace: at(100),
            first_send: at(110),
            last_send: at(110),
            ..FrameTimes::default()
        };
        stages.record(&repeated);
        let found = STAGES.map(|name| max(&stages, name));
        assert_eq!(found, [None, None, None, None, Some(0), Some(10)]);
    }
}
