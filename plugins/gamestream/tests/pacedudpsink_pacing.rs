//! `pacedudpsink` and time: bursts leave when they are due, and whatever ends a wait ends it at once.

mod datagrams;
mod media;

use datagrams::*;
use gst::prelude::*;
use gstgamestream::packets::CAPS_NAME;
use std::time::{Duration, Instant};

#[test]
fn bursts_leave_no_sooner_than_planned() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let mut harness = start(&sink);
    let begin = Instant::now();
    let reader = std::thread::spawn(move || {
        (0..64).map(|_| (receive(&receiver), begin.elapsed()).1).collect::<Vec<_>>()
    });
    harness.push(frame(1, 64, Duration::from_millis(400))).unwrap();
    // 4 bursts of 16 over 300 ms: at 0, 75, 150 and 225 ms, and no wait after the last.
    for (packet, at) in reader.join().unwrap().into_iter().enumerate() {
        assert!(
            at >= Duration::from_millis(75) * (packet / 16) as u32,
            "datagram {packet} came after {at:?}"
        );
    }
    assert!((1..=3).contains(&count(&sink, "waits")), "{} waits", count(&sink, "waits"));
}

#[test]
fn pacing_follows_its_properties_while_playing() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let mut harness = start(&sink);
    let long = Duration::from_secs(1000);
    sink.set_property("pacing", false);
    harness.push(frame(1, 64, long)).unwrap();
    assert_eq!(count(&sink, "waits"), 0);
    sink.set_property("pacing", true);
    sink.set_property("link-rate", 100_000_000u32);
    harness.push(frame(2, 64, long)).unwrap();
    assert_eq!(count(&sink, "waits"), 0, "the link carries it within 10 µs");
    let mut untimed = frame(3, 64, long);
    untimed.get_mut().unwrap().set_duration(gst::ClockTime::NONE);
    sink.set_property("link-rate", 0u32);
    harness.push(untimed).unwrap();
    assert_eq!(count(&sink, "waits"), 0, "nothing is known of the interval");
    assert_eq!(count(&sink, "packets"), 192);
}

#[test]
fn the_interval_may_come_from_caps() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let mut harness = start(&sink);
    harness.set_src_caps_str(&format!("{CAPS_NAME},media=video,framerate=10/1"));
    let mut untimed = frame(1, 64, Duration::ZERO);
    untimed.get_mut().unwrap().set_duration(gst::ClockTime::NONE);
    let begin = Instant::now();
    harness.push(untimed).unwrap();
    assert!(begin.elapsed() >= Duration::from_micros(56_250), "{:?}", begin.elapsed());
    assert!((1..=3).contains(&count(&sink, "waits")), "{} waits", count(&sink, "waits"));
}

#[test]
fn a_flush_ends_a_paced_wait() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let mut harness = start(&sink);
    let pad = harness.srcpad().unwrap();
    let pusher = std::thread::spawn(move || pad.push(frame(1, 64, Duration::from_secs(10_000))));
    for _ in 0..16 {
        receive(&receiver);
    }
    let begin = Instant::now();
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert_eq!(pusher.join().unwrap(), Err(gst::FlowError::Flushing));
    assert!(begin.elapsed() < LIMIT);
    assert!(harness.push_event(gst::event::FlushStop::new(false)));
    assert!(harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
    harness.push(frame(2, 3, Duration::from_millis(1))).unwrap();
    assert_eq!(receive(&receiver).0, datagram(2, 0));
}

/// A pipeline of an appsrc and the sink.
fn pipeline(sink: &gst::Element) -> (gst::Pipeline, gst_app::AppSrc) {
    let caps = gst::Caps::builder(CAPS_NAME).field("media", "video").build();
    let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).is_live(true).build();
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([source.upcast_ref(), sink]).unwrap();
    source.link(sink).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    (pipeline, source)
}

#[test]
fn the_end_of_the_stream_comes_after_the_last_burst() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let (pipeline, source) = pipeline(&sink);
    source.push_buffer(frame(1, 48, Duration::from_millis(200))).unwrap();
    source.end_of_stream().unwrap();
    let limit = gst::ClockTime::from_seconds(20);
    let bus = pipeline.bus().unwrap();
    bus.timed_pop_filtered(limit, &[gst::MessageType::Eos]).expect("the end of the stream");
    assert_eq!(count(&sink, "packets"), 48);
    for expected in 0..48 {
        assert_eq!(index(&receive(&receiver).0), expected);
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_pause_interrupts_a_frame_and_playing_finishes_it() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let (pipeline, source) = pipeline(&sink);
    source.push_buffer(frame(1, 48, Duration::from_secs(4))).unwrap();
    for _ in 0..16 {
        receive(&receiver);
    }
    pipeline.set_state(gst::State::Paused).unwrap();
    assert!(is_empty(&receiver), "the second burst is a second away");
    pipeline.set_state(gst::State::Playing).unwrap();
    for expected in 16..48 {
        assert_eq!(index(&receive(&receiver).0), expected);
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn stopping_ends_a_paced_wait() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let (pipeline, source) = pipeline(&sink);
    source.push_buffer(frame(1, 48, Duration::from_secs(10_000))).unwrap();
    for _ in 0..16 {
        receive(&receiver);
    }
    let begin = Instant::now();
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(begin.elapsed() < LIMIT);
}
