//! What a stream sets on the element that is to encode, whichever that is, before it is opened.

use super::super::property;
use crate::protocol::params::{Fps, VideoParams};
use gst::prelude::*;

/// What encoders call the number of pictures that they look back at, or let the decoder keep.
const REFERENCES: [&str; 3] = ["ref", "ref-frames", "dpb-size"];

/// Of GStreamer's base class for encoders, in nanoseconds of stream time. A request that comes earlier than that after
/// the last one, or after a key frame, is put off to the first frame after it, and one frame answers all that wait.
const LEAST_KEY_INTERVAL: &str = "min-force-key-unit-interval";

/// What the client's decoder asks for beyond the caps, as far as `encoder` has it, and how often it may be asked for key
/// frames.
pub(in crate::pipeline) fn prepare(encoder: &gst::Element, params: &VideoParams) {
    property::lower(encoder, "dpb-size", params.max_reference_frames);
    if params.max_reference_frames == 1 {
        let set = |property: &&str| property::set_number(encoder, property, 1).is_ok();
        if !REFERENCES.iter().any(set) {
            tracing::debug!("{} keeps its number of reference frames, the client asks for 1", encoder.name());
        }
    }
    if property::set_number(encoder, LEAST_KEY_INTERVAL, least_key_interval_ns(params.fps)).is_err() {
        tracing::debug!("{} makes as many key frames as it is asked for", encoder.name());
    }
}

/// One and a half frame intervals: of two frames in a row one is a key frame at most, whoever asks. The session asks at
/// most once in two intervals, so that half a frame is left for what pacing shifts them by, and none of its requests waits.
fn least_key_interval_ns(fps: Fps) -> u64 {
    fps.interval_ns() * 3 / 2
}

#[cfg(test)]
mod tests {
    use super::super::attendant::{self, Wishes};
    use super::*;
    use crate::pipeline::description::Mode;
    use crate::pipeline::library::Library;
    use crate::pipeline::run;
    use crate::protocol::params::{Codec, ColorSpace};
    use std::path::Path;
    use std::sync::Arc;

    const MODE: Mode = Mode { width: 320, height: 240, fps: Fps { num: 60, den: 1 } };
    /// Those that are asked while they run. GStreamer 1.22 hands no request to libaom.
    const ENCODERS: [&str; 4] = ["h264-x264", "h264-x264-rfi", "h264-openh264", "h265-x265"];

    /// Also the plugin that lies beside the program, which is a folder above that of its tests.
    fn init() {
        crate::pipeline::init().unwrap();
        if gst::ElementFactory::find("x264rfienc").is_none() {
            let tests = std::env::current_exe().unwrap();
            let plugin = tests.parent().and_then(Path::parent).unwrap().join("libgstx264rfi.so");
            assert!(plugin.exists(), "no {}: cargo build --release --workspace", plugin.display());
            gst::Plugin::load_file(&plugin).unwrap();
        }
    }

    fn params(codec: Codec) -> VideoParams {
        let Mode { width, height, fps } = MODE;
        VideoParams {
            codec,
            width,
            height,
            fps,
            packet_size: 1024,
            total_kbps: 2000,
            min_fec_packets: 0,
            encrypt: false,
            color_space: ColorSpace::Bt709,
            full_range: false,
            max_reference_frames: 1,
            slices_per_frame: 1,
        }
    }

    /// Who asks for key frames.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Who {
        Stream,
        SomebodyElse,
    }

    /// Which of the first 20 frames are key frames, when the encoder is asked for one before each of `asked`.
    fn keys(name: &str, is_prepared: bool, who: Who, asked: &[u64]) -> Vec<u64> {
        init();
        // x265 3.5 beside other work: now and then its first frame is no picture.
        let tries = if name == "h265-x265" { 3 } else { 1 };
        let mut all = (0..tries).map(|_| keys_once(name, is_prepared, who, asked));
        all.find(|keys| keys.contains(&0)).expect("a stream begins with a key frame")
    }

    fn keys_once(name: &str, is_prepared: bool, who: Who, asked: &[u64]) -> Vec<u64> {
        let description = &Library::load(None).encode[name];
        let Mode { width, height, fps } = MODE;
        let text = format!(
            "appsrc name=source format=time caps=video/x-raw,format=I420,width={width},height={height},framerate={fps} \
             ! {} ! appsink name=sink sync=false",
            description.fill(MODE, 2000, 1)
        );
        let pipeline = run::parse(&text).unwrap();
        let find = |name| run::element(pipeline.upcast_ref(), name).unwrap();
        let source = find("source").downcast::<gst_app::AppSrc>().unwrap();
        let sink = find("sink").downcast::<gst_app::AppSink>().unwrap();
        let encoder = find("encoder");
        if is_prepared {
            prepare(&encoder, &params(description.codec));
        }
        let wishes = Arc::new(Wishes::new(2000));
        attendant::attend(&encoder, description, 2000, wishes.clone());
        pipeline.set_state(gst::State::Playing).unwrap();
        let is_key = |number: u64| {
            let mut picture = gst::Buffer::from_mut_slice(vec![100 + number as u8; 320 * 240 * 3 / 2]);
            picture.make_mut().set_pts(gst::ClockTime::from_nseconds(number * fps.interval_ns()));
            match who {
                Who::Stream if asked.contains(&number) => wishes.ask_for_key(),
                Who::SomebodyElse if asked.contains(&number) => attendant::force_key_unit(&encoder),
                _ => {}
            }
            source.push_buffer(picture).unwrap();
            let unit = sink.try_pull_sample(gst::ClockTime::from_seconds(20)).expect("one in, one out");
            let is_key = !unit.buffer().unwrap().flags().contains(gst::BufferFlags::DELTA_UNIT);
            if is_key {
                wishes.answer();
            }
            is_key
        };
        let keys = (0..20).filter(|number| is_key(*number)).collect();
        pipeline.set_state(gst::State::Null).unwrap();
        keys
    }

    /// `maxNumReferenceFrames`, of which 0 allows any number.
    #[test]
    fn the_decoder_is_to_keep_no_more_pictures_than_the_client_allows() {
        init();
        for (allowed, kept) in [(0, 16), (1, 1), (5, 5), (16, 16), (40, 16)] {
            let encoder = gst::ElementFactory::make("x264rfienc").build().unwrap();
            prepare(&encoder, &VideoParams { max_reference_frames: allowed, ..params(Codec::H264) });
            assert_eq!(encoder.property::<u32>("dpb-size"), kept, "{allowed} are allowed");
        }
    }

    #[test]
    fn of_two_frames_one_is_a_key_frame_at_most_whoever_asks() {
        let always: Vec<u64> = (0..20).collect();
        let every_other: Vec<u64> = (0..20).step_by(2).collect();
        for name in ENCODERS {
            for who in [Who::Stream, Who::SomebodyElse] {
                assert_eq!(keys(name, true, who, &always), every_other, "{name}, {who:?}");
                assert_eq!(keys(name, false, who, &always), always, "{name}, {who:?}, left as it is");
            }
        }
    }

    /// What the session relies on: nothing that it asks for is swallowed, and nothing that comes in its rhythm waits.
    #[test]
    fn a_request_is_put_off_and_never_lost() {
        for name in ENCODERS {
            for who in [Who::Stream, Who::SomebodyElse] {
                let keys = |asked: &[u64]| keys(name, true, who, asked);
                assert_eq!(keys(&[10, 12, 14]), [0, 10, 12, 14], "{name}, {who:?}");
                assert_eq!(keys(&[10, 11]), [0, 10, 12], "{name}, {who:?}");
                assert_eq!(keys(&[10, 11, 12]), [0, 10, 12], "{name}, {who:?}: one answers all that wait");
                assert_eq!(keys(&[1]), [0, 2], "{name}, {who:?}: just after its first frame");
                assert_eq!(keys(&[0, 10]), [0, 10], "{name}, {who:?}: before its first frame");
            }
        }
    }
}
