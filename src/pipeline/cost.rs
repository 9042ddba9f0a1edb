//! What pictures cost an encoder here: how many players it bears follows from that. Measured in a process of its own, as
//! [`super::probe`] does, and with nothing else to do.

use super::description::{EncodeDescription, Mode};
use super::probe;
use super::run;
use super::video::codec_caps;
use crate::protocol::params::{Codec, Fps};
use anyhow::{Context, ensure};
use gst::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// First argument of the child that runs [`measure`]: `cost CODEC LAUNCH`.
pub(super) const WORD: &str = "cost";

const MODE: Mode = Mode { width: 1280, height: 720, fps: Fps { num: 60, den: 1 } };
const KBPS: u32 = 8000;
/// Pictures that differ everywhere, shown again and again: as much as a game changes.
const PICTURES: usize = 8;
/// The first frames fill caches and start threads.
const WARM_UP: usize = 4;
/// Each window is a measurement. The best one counts: what else runs here can only make one worse.
const WINDOW: usize = 20;
const WINDOWS: usize = 3;
/// Where so many times the processor time passes, another engine encodes.
const ENGINE: u64 = 4;
/// A slow encoder is measured for so long.
const TIME: Duration = Duration::from_secs(4);
const LIMIT: Duration = Duration::from_secs(20);

/// What a picture of 1280x720 costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Nanoseconds of processor time, of all cores together.
    pub processor: u64,
    /// Nanoseconds until the next one is encoded.
    pub time: u64,
}

impl Cost {
    /// Pixels that are encoded in a second where nothing else runs: as many as `cores` have time for, and as an engine
    /// does that the processor waits for.
    pub fn pixels_per_second(&self, cores: u32) -> u64 {
        // What works on the processor waits too, for others that run here; but it works for a good part of the time.
        let engine = if self.processor * ENGINE < self.time { self.time - self.processor } else { 0 };
        let each = (self.processor / u64::from(cores.max(1))).max(engine).max(1);
        u64::from(MODE.width * MODE.height) * 1_000_000_000 / each
    }
}

/// The launch text that is measured.
pub(super) fn launch_text(description: &EncodeDescription) -> String {
    description.fill(MODE, KBPS, 1)
}

/// Measures in a child process of `program`, which is a moonpipe binary, until `stop` is set. Blocks.
pub(super) fn ask(
    description: &EncodeDescription,
    program: &Path,
    stop: &AtomicBool,
) -> anyhow::Result<Cost> {
    let arguments = [WORD, probe::codec_name(description.codec), &launch_text(description)];
    probe::ask_child(program, &arguments, LIMIT, stop)
}

/// When a frame came out, and the processor time that was spent until then.
type Moment = (Instant, Duration);

/// Measures in this process.
pub(super) fn measure(codec: Codec, launch: &str) -> anyhow::Result<Cost> {
    super::init()?;
    let text = format!(
        "appsrc name=source format=time block=true max-buffers=2 ! {launch} ! {} ! appsink name=joint sync=false",
        codec_caps(codec)
    );
    let pipeline = run::parse(&text)?;
    let moments = Arc::new(Mutex::new(Vec::with_capacity(WARM_UP + WINDOW * WINDOWS)));
    note_moments(&pipeline, moments.clone())?;
    pipeline.set_state(gst::State::Playing)?;
    let fed = feed(&pipeline);
    let ended = fed.and_then(|()| {
        let bus = pipeline.bus().expect("a pipeline has a bus");
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let wait = gst::ClockTime::from_seconds(TIME.as_secs());
        let message = bus.timed_pop_filtered(wait, &kinds).context("it does not come to an end")?;
        ensure!(message.type_() == gst::MessageType::Eos, "it fails");
        Ok(())
    });
    pipeline.set_state(gst::State::Null)?;
    ended?;
    let moments = std::mem::take(&mut *moments.lock().expect("nobody panics with it"));
    best(&moments).context("it encodes too few frames in the time")
}

/// Of all windows.
fn best(moments: &[Moment]) -> Option<Cost> {
    let marks: Vec<_> = moments.iter().skip(WARM_UP).step_by(WINDOW).collect();
    let each = |time: Duration| (time.as_nanos() / WINDOW as u128) as u64;
    let windows = marks.windows(2).map(|marks| {
        let [(begun, spent), (ended, spent_then)] = [marks[0], marks[1]];
        Cost { processor: each(*spent_then - *spent), time: each(*ended - *begun) }
    });
    windows.reduce(|best, other| Cost {
        processor: best.processor.min(other.processor),
        time: best.time.min(other.time),
    })
}

fn note_moments(pipeline: &gst::Pipeline, moments: Arc<Mutex<Vec<Moment>>>) -> anyhow::Result<()> {
    let joint = run::element(pipeline.upcast_ref(), "joint")?;
    let joint = joint.downcast::<gst_app::AppSink>().expect("the text makes it an appsink");
    let on_sample = move |sink: &gst_app::AppSink| {
        sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        let spent = Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32);
        moments.lock().expect("nobody panics with it").push((Instant::now(), spent));
        Ok(gst::FlowSuccess::Ok)
    };
    joint.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build());
    Ok(())
}

/// As fast as the encoder takes them.
fn feed(pipeline: &gst::Pipeline) -> anyhow::Result<()> {
    let source = run::element(pipeline.upcast_ref(), "source")?;
    let source = source.downcast::<gst_app::AppSrc>().expect("the text makes it an appsrc");
    let pad = source.static_pad("src").expect("a source has a pad");
    let wish = gst_video::VideoCapsBuilder::new()
        .format_list([gst_video::VideoFormat::Nv12, gst_video::VideoFormat::I420])
        .width(MODE.width as i32)
        .height(MODE.height as i32)
        .framerate(gst::Fraction::new(MODE.fps.num as i32, MODE.fps.den as i32))
        .build();
    let mut caps = pad.peer_query_caps(Some(&wish));
    ensure!(!caps.is_empty(), "it takes neither NV12 nor I420");
    caps.fixate();
    let pictures = pictures(&caps)?;
    source.set_caps(Some(&caps));
    let (begun, interval) = (Instant::now(), gst::ClockTime::SECOND / u64::from(MODE.fps.num));
    for (number, picture) in pictures.iter().cycle().take(WARM_UP + WINDOW * WINDOWS + 1).enumerate() {
        if begun.elapsed() > TIME {
            break;
        }
        let mut buffer = picture.clone();
        {
            let buffer = buffer.make_mut();
            buffer.set_pts(interval * number as u64);
            buffer.set_duration(interval);
        }
        source.push_buffer(buffer).map_err(|error| anyhow::anyhow!("it takes no picture: {error}"))?;
    }
    source.end_of_stream().ok().context("it takes no end")?;
    Ok(())
}

fn pictures(caps: &gst::Caps) -> anyhow::Result<Vec<gst::Buffer>> {
    let text = format!(
        "videotestsrc num-buffers={PICTURES} pattern=zone-plate kx2=10 ky2=10 kt=4 ! {caps} ! appsink name=joint sync=false"
    );
    let pipeline = run::parse(&text)?;
    let joint = run::element(pipeline.upcast_ref(), "joint")?;
    let joint = joint.downcast::<gst_app::AppSink>().expect("the text makes it an appsink");
    pipeline.set_state(gst::State::Playing)?;
    let pictures: Vec<_> = std::iter::from_fn(|| joint.pull_sample().ok()?.buffer_owned()).collect();
    pipeline.set_state(gst::State::Null)?;
    ensure!(pictures.len() == PICTURES, "there are no pictures to encode");
    Ok(pictures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_share_what_costs_the_processor_and_nobody_shares_an_engine() {
        let pixels = 1280 * 720;
        let software = Cost { processor: 8_000_000, time: 8_000_000 };
        assert_eq!([1, 2, 8].map(|cores| software.pixels_per_second(cores) / pixels), [125, 250, 1000]);
        let with_threads = Cost { processor: 8_000_000, time: 2_000_000 };
        assert_eq!(with_threads.pixels_per_second(2) / pixels, 250);
        let beside_others = Cost { processor: 8_000_000, time: 24_000_000 };
        assert_eq!(beside_others.pixels_per_second(2) / pixels, 250);
        let engine = Cost { processor: 100_000, time: 2_100_000 };
        assert_eq!([1, 16].map(|cores| engine.pixels_per_second(cores) / pixels), [500, 500]);
    }

    #[test]
    fn the_best_window_counts_and_the_first_frames_do_not() {
        let begun = Instant::now();
        let frame = |number: usize| {
            let slow = number.saturating_sub(WARM_UP);
            // The second window is disturbed.
            let (time, spent) = (slow + slow.saturating_sub(WINDOW).min(WINDOW), slow);
            let millis = |n: usize| Duration::from_millis(n as u64);
            (begun + millis(100 + 3 * time), millis(100 + 2 * spent))
        };
        let moments: Vec<_> = (0..WARM_UP + 3 * WINDOW + 1).map(frame).collect();
        assert_eq!(best(&moments), Some(Cost { processor: 2_000_000, time: 3_000_000 }));
        assert_eq!(best(&moments[..WARM_UP + WINDOW]), None);
    }

    #[test]
    fn a_measured_encoder_costs_something() {
        let launch = "x264enc name=encoder bitrate=8000 speed-preset=ultrafast tune=zerolatency threads=1";
        let cost = measure(Codec::H264, launch).unwrap();
        assert!(cost.processor > 0 && cost.time > 0, "{cost:?}");
        assert!(measure(Codec::H264, "identity name=encoder").is_err(), "that encodes nothing");
    }
}
