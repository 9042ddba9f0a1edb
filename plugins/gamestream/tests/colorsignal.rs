//! `colorsignal`: what a parser reads of a bitstream, and that the pictures are the same.

mod media;

use gst::prelude::*;
use media::init;

/// Caps behind the parser, and every decoded picture.
fn decoded(encoder: &str, signal: &str, parser: &str, decoder: &str) -> (gst::Caps, Vec<Vec<u8>>) {
    let launch = format!(
        "videotestsrc num-buffers=8 pattern=smpte ! video/x-raw,format=I420,width=320,height=180,framerate=30/1,colorimetry=bt709 \
         ! {encoder} {signal} ! {parser} ! capsfilter name=parsed ! {decoder} ! appsink name=pictures sync=false"
    );
    let pipeline = gst::parse::launch(&launch).unwrap().downcast::<gst::Pipeline>().unwrap();
    let pictures = pipeline.by_name("pictures").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut seen = Vec::new();
    while let Ok(sample) = pictures.pull_sample() {
        seen.push(sample.buffer().unwrap().map_readable().unwrap().to_vec());
    }
    let caps = pipeline.by_name("parsed").unwrap().static_pad("src").unwrap().current_caps();
    pipeline.set_state(gst::State::Null).unwrap();
    (caps.expect("something was parsed"), seen)
}

fn colorimetry(caps: &gst::Caps) -> Option<String> {
    caps.structure(0).unwrap().get::<String>("colorimetry").ok()
}

/// Takes the encoder's word from the caps, so that the bitstream has to say it, or puts another in its place.
fn caps_say(colorimetry: Option<&str>) -> String {
    match colorimetry {
        Some(word) => format!(
            "! capssetter caps=video/x-h264,colorimetry={word} ! colorsignal ! capssetter replace=true caps=video/x-h264,stream-format=byte-stream,alignment=au"
        ),
        None => String::new(),
    }
}

#[test]
fn a_parser_reads_what_the_caps_said() {
    init();
    let forget = |kind: &str| format!("! capssetter replace=true caps={kind}");
    let (h264, av1) = (
        forget("video/x-h264,stream-format=byte-stream,alignment=au"),
        forget("video/x-av1,stream-format=obu-stream,alignment=tu"),
    );
    for (encoder, forget, parser, decoder) in [
        ("openh264enc", &h264, "h264parse", "avdec_h264"),
        ("x264enc tune=zerolatency speed-preset=ultrafast", &h264, "h264parse", "avdec_h264"),
        ("av1enc cpu-used=9 usage-profile=realtime lag-in-frames=0", &av1, "av1parse", "av1dec"),
    ] {
        let (_, before) = decoded(encoder, forget, parser, decoder);
        let (caps, after) = decoded(encoder, &format!("! colorsignal {forget}"), parser, decoder);
        assert_eq!(colorimetry(&caps).as_deref(), Some("bt709"), "{encoder}: {caps}");
        assert_eq!(before.len(), 8, "{encoder}");
        assert!(before == after, "{encoder}: other pictures");
    }
}

#[test]
fn another_word_takes_the_place_of_the_encoders() {
    init();
    let encoder = "x264enc tune=zerolatency speed-preset=ultrafast";
    for word in ["bt2020", "1:4:16:4"] {
        let (caps, pictures) = decoded(encoder, &caps_say(Some(word)), "h264parse", "avdec_h264");
        assert_eq!(colorimetry(&caps).as_deref(), Some(word), "{caps}");
        assert_eq!(pictures.len(), 8);
    }
}
