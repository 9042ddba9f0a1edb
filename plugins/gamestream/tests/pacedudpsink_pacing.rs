//! `pacedudpsink` and time: bursts leave when they are due, and whatever ends a wait ends it at once.

mod datagrams;
mod media;

use datagrams::*;
use gst::prelude::*;
use gstgamestream::packets::CAPS_NAME;
use media::init;
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
    sink.set_property("burst-packets", 64u32);
    harness.push(frame(4, 64, long)).unwrap();
    assert_eq!(count(&sink, "waits"), 0, "a frame below the cap leaves at once");
    sink.set_property("burst-packets", 1u32);
    sink.set_property("burst-bytes", 64 * SIZE as u32);
    harness.push(frame(5, 64, long)).unwrap();
    assert_eq!(count(&sink, "waits"), 0, "so does one below the other");
    sink.set_property("burst-bytes", 0u32);
    sink.set_property("bitrate", u32::MAX);
    harness.push(frame(6, 64, long)).unwrap();
    assert_eq!(count(&sink, "waits"), 0, "eight times the bitrate carries it at once");
    sink.set_property("bitrate", 0u32);
    harness.push(frame(7, 64, Duration::from_millis(400))).unwrap();
    assert!(count(&sink, "waits") > 0, "nothing is known of the rate");
    assert_eq!(count(&sink, "packets"), 7 * 64);
}

#[test]
fn a_key_frame_is_spread_by_the_bitrate() {
    // 116 kbit/s are 12 of these datagrams in 200 ms, headers included: a frame of 60 takes five eighths of that.
    let interval = Duration::from_millis(200);
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    sink.set_property("bitrate", 12 * (SIZE as u32 + 42) * 8 / 200);
    let mut harness = start(&sink);
    let begin = Instant::now();
    harness.push(frame(1, 60, interval)).unwrap();
    // Four bursts, the last of them after three quarters of the time.
    assert!(begin.elapsed() >= interval * 5 / 8 * 3 / 4 - Duration::from_millis(1), "{:?}", begin.elapsed());
    assert!(count(&sink, "waits") >= 1);
    for expected in 0..60 {
        assert_eq!(index(&receive(&receiver).0), expected);
    }
}

#[test]
fn what_waiting_costs_is_bounded_and_told() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let mut harness = start(&sink);
    for number in 0..5 {
        harness.push(frame(number, 64, Duration::from_millis(40))).unwrap();
    }
    let (waits, sleeps, spin) = (count(&sink, "waits"), count(&sink, "sleeps"), count(&sink, "spin-time"));
    assert!((1..=15).contains(&waits), "{waits} waits");
    assert!((1..=waits).contains(&sleeps), "{sleeps} sleeps in {waits} waits");
    assert!(spin <= waits * 80_000, "{spin} ns in {waits} waits");
}

#[test]
fn what_is_out_of_range_is_refused() {
    init();
    for (name, wrong) in
        [("port", "65536"), ("dscp", "64"), ("burst-packets", "0"), ("loss-percentage", "100.5")]
    {
        // GStreamer warns, and leaves the property as it is.
        let sink = gst::parse::launch(&format!("pacedudpsink {name}={wrong}")).unwrap();
        let value = sink.property_value(name);
        assert_eq!(format!("{value:?}"), format!("{:?}", sink.find_property(name).unwrap().default_value()));
    }
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
    harness.push(frame(2, 40, Duration::from_millis(1))).unwrap();
    for expected in 0..40 {
        assert_eq!(receive(&receiver).0, datagram(2, expected));
    }
    assert_eq!(count(&sink, "packets"), 56, "the rest of the first frame never leaves");
}

#[test]
fn flushes_one_after_the_other_end_each_wait() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let mut harness = start(&sink);
    for number in 0..20 {
        let pad = harness.srcpad().unwrap();
        let pusher = std::thread::spawn(move || pad.push(frame(number, 32, Duration::from_secs(10_000))));
        for expected in 0..16 {
            assert_eq!(receive(&receiver).0, datagram(number, expected));
        }
        assert!(harness.push_event(gst::event::FlushStart::new()));
        assert_eq!(pusher.join().unwrap(), Err(gst::FlowError::Flushing));
        assert!(harness.push_event(gst::event::FlushStop::new(false)));
        assert!(
            harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()))
        );
    }
    assert!(is_empty(&receiver));
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
fn an_end_in_the_middle_of_a_paced_wait_loses_nothing() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let (pipeline, source) = pipeline(&sink);
    source.push_buffer(frame(1, 32, Duration::from_millis(400))).unwrap();
    for expected in 0..16 {
        assert_eq!(index(&receive(&receiver).0), expected);
    }
    source.end_of_stream().unwrap();
    for expected in 16..32 {
        assert_eq!(index(&receive(&receiver).0), expected);
    }
    let bus = pipeline.bus().unwrap();
    bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Eos]).expect("the end");
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_pause_interrupts_a_frame_and_playing_finishes_it() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let (pipeline, source) = pipeline(&sink);
    let begin = Instant::now();
    source.push_buffer(frame(1, 48, Duration::from_secs(4))).unwrap();
    for _ in 0..16 {
        receive(&receiver);
    }
    pipeline.set_state(gst::State::Paused).unwrap();
    let paused = Instant::now();
    receiver.set_read_timeout(Some(Duration::from_millis(1200))).unwrap();
    assert!(receiver.recv(&mut [0; SIZE]).is_err(), "the second burst would have been due after a second");
    receiver.set_read_timeout(Some(LIMIT)).unwrap();
    let pause = paused.elapsed();
    pipeline.set_state(gst::State::Playing).unwrap();
    for (burst, expected) in (16..48).map(|index| (index / 16, index)) {
        assert_eq!(index(&receive(&receiver).0), expected);
        let planned = Duration::from_secs(burst as u64) + pause;
        assert!(begin.elapsed() >= planned, "{:?} instead of {planned:?}", begin.elapsed());
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
