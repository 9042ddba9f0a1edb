//! What the element does besides.

use crate::stream::{Encoder, SIZE, init};
use gst::prelude::*;

#[test]
fn bitrates_change_while_it_plays_and_without_a_key_frame() {
    let mut encoder = Encoder::new("bitrate=500 speed-preset=ultrafast");
    let mut bytes = |kbps: u32| {
        encoder.element().set_property("bitrate", kbps);
        encoder.encode_many(150);
        let units = encoder.encode_many(60);
        assert!(units.iter().all(|unit| !unit.key));
        units.iter().map(|unit| unit.bytes.len()).sum::<usize>()
    };
    let [low, high, again] = [400, 1200, 400].map(|kbps| (kbps, bytes(kbps)));
    // One second at 60 frames per second.
    for (kbps, bytes) in [low, high, again] {
        let is = bytes * 8 / 1000;
        assert!(
            (kbps as usize * 6 / 10..kbps as usize * 14 / 10).contains(&is),
            "{is} kbit/s instead of {kbps}"
        );
    }
}

#[test]
fn intra_refresh_answers_no() {
    let mut encoder = Encoder::new("bitrate=2000 intra-refresh=true key-int-max=30 speed-preset=superfast");
    let units = encoder.encode_many(40);
    assert!(!encoder.invalidate(20, 25));
    let next = encoder.encode();
    assert!(!next.key && !next.recovery);
    assert_eq!(units.iter().filter(|unit| unit.key).count(), 1);
}

#[test]
fn an_event_without_a_time_is_not_answered() {
    let mut encoder = Encoder::new("speed-preset=ultrafast");
    encoder.encode_many(3);
    let structure =
        gst::Structure::builder("GstGameStreamInvalidate").field("first", 1u32).field("last", 2u32);
    let event = gst::event::CustomUpstream::new(structure.build());
    assert!(!encoder.harness.push_upstream_event(event));
    assert!(!encoder.encode().recovery);
}

#[test]
fn key_frames_come_when_they_are_asked_for_with_their_headers() {
    let mut encoder = Encoder::new("speed-preset=ultrafast");
    let first = encoder.encode();
    encoder.encode_many(5);
    encoder
        .harness
        .push_upstream_event(gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build());
    let asked = encoder.encode();
    assert!(first.key && asked.key && !encoder.encode().key);
    for unit in [&first, &asked] {
        // Parameter sets and the picture, and nothing that pushes it out of the first packet.
        let kinds: Vec<u8> =
            unit.bytes.windows(4).filter(|w| w[..3] == [0, 0, 1]).map(|w| w[3] & 0x1f).collect();
        assert_eq!(kinds, [7, 8, 5]);
    }
}

/// GStreamer's base class puts off a request that comes too early, and loses none.
#[test]
fn of_two_frames_one_is_a_key_frame_at_most() {
    let mut encoder = Encoder::new("speed-preset=ultrafast min-force-key-unit-interval=25000000");
    let mut keys = Vec::new();
    for number in 0..20 {
        if [0, 5, 6, 10, 12].contains(&number) {
            let request = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
            encoder.harness.push_upstream_event(request);
        }
        keys.extend(encoder.encode().key.then_some(number));
    }
    assert_eq!(keys, [0, 5, 7, 10, 12]);
}

#[test]
fn what_is_left_after_a_flush_begins_with_a_key_frame() {
    let mut encoder = Encoder::new("speed-preset=ultrafast");
    encoder.encode_many(5);
    assert!(encoder.harness.push_event(gst::event::FlushStart::new()));
    assert!(encoder.harness.push_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(encoder.harness.push_event(gst::event::Segment::new(&segment)));
    assert!(encoder.encode().key);
    assert!(!encoder.encode().key);
}

/// What a decoder is told, as GStreamer's parser reads it.
#[test]
fn colours_rate_and_profile_stand_in_the_stream() {
    init();
    let parsed = |colorimetry: &str, encoder: &str| {
        let text = format!(
            "videotestsrc num-buffers=3 ! video/x-raw,format=NV12,width={},height={},framerate=50/1,colorimetry={colorimetry} \
             ! x264rfienc {encoder} ! h264parse ! appsink name=sink sync=false",
            SIZE.0, SIZE.1
        );
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        // The caps of the last one: the first may go out before the parameter sets are read.
        let mut caps = sink.pull_sample().unwrap().caps_owned().unwrap();
        while let Ok(sample) = sink.pull_sample() {
            caps = sample.caps_owned().unwrap();
        }
        pipeline.set_state(gst::State::Null).unwrap();
        let structure = caps.structure(0).unwrap().to_owned();
        let rate = structure.get::<gst::Fraction>("framerate").unwrap();
        assert_eq!(rate, gst::Fraction::new(50, 1));
        ["colorimetry", "profile"].map(|field| structure.get::<String>(field).unwrap())
    };
    for colorimetry in ["bt709", "bt601", "1:3:5:1"] {
        let [seen, _] = parsed(colorimetry, "");
        let colours = |text: &str| text.parse::<gst_video::VideoColorimetry>().unwrap();
        assert_eq!(colours(&seen), colours(colorimetry));
    }
    for profile in ["high", "main", "constrained-baseline"] {
        let [_, seen] = parsed("bt709", &format!("speed-preset=medium ! video/x-h264,profile={profile}"));
        assert_eq!(seen, profile);
    }
}

#[test]
fn properties_say_what_they_are() {
    init();
    let element = gst::ElementFactory::make("x264rfienc").build().unwrap();
    let own = element.list_properties().iter().filter(|p| p.owner_type() == element.type_()).count();
    assert_eq!(own, 8);
    for property in element.list_properties().iter().filter(|p| p.owner_type() == element.type_()) {
        let name = property.name();
        assert!(property.blurb().is_some_and(|blurb| blurb.split(' ').count() > 2), "{name}");
        let real = element.property_value(name);
        let declared = property.default_value();
        assert_eq!(format!("{real:?}"), format!("{declared:?}"), "{name}: declared and real default");
    }
    for state in [gst::State::Ready, gst::State::Paused, gst::State::Null, gst::State::Paused] {
        element.set_state(state).unwrap();
    }
    element.set_state(gst::State::Null).unwrap();
}
