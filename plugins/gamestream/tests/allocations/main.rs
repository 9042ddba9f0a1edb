//! After warm-up a frame costs no allocation: neither Rust's nor those of GLib and GStreamer.

mod counter;
#[path = "../media/mod.rs"]
mod media;

use counter::allocations;
use gst::prelude::*;
use gstgamestream::timing::{FrameMeta, FrameTimes};
use std::{
    net::UdpSocket,
    process::Command,
    sync::{Arc, Mutex},
};

/// Frames until every pool and vector has its size.
const WARM_UP: usize = 30;
const FRAMES: usize = 150;
/// Makes GLib ask the C library for each block, which it does by itself from 2.76 on. It is read before `main`.
const SLICES: (&str, &str) = ("G_SLICE", "always-malloc");

/// Runs the calling test again with [`SLICES`] in the environment; whether this is that run.
fn with_plain_slices(test: &str) -> bool {
    if std::env::var(SLICES.0).is_ok_and(|value| value == SLICES.1) {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let status = Command::new(program)
        .args([test, "--exact", "--nocapture"])
        .env(SLICES.0, SLICES.1)
        .status()
        .unwrap();
    assert!(status.success());
    false
}

/// Access units as a stream of 100 Mbit/s at 200 frames per second has them, each fifth twice as large.
fn frames() -> Vec<gst::Buffer> {
    let interval = gst::ClockTime::from_mseconds(5);
    let frame = |number: usize| {
        let mut buffer =
            gst::Buffer::from_mut_slice(vec![
                number as u8;
                if number.is_multiple_of(5) { 125_000 } else { 60_000 }
            ]);
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(interval * number as u64);
        writable.set_duration(interval);
        FrameMeta::set(writable, FrameTimes { pace: Some(gst::get_timestamp()), ..FrameTimes::default() });
        if number > 0 {
            writable.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        buffer
    };
    (0..FRAMES).map(frame).collect()
}

/// A pad that pushes into `packetize ! queue ! send`, with what precedes the first buffer.
fn stream(sender: &gst::Element, pay: &str) -> (gst::Element, gst::Pad) {
    let bin = gst::parse::bin_from_description(
        &format!("gamestreamvideopay name=packetizer {pay} ! queue name=packets max-size-buffers=2 max-size-bytes=0 max-size-time=0"),
        true,
    )
    .unwrap();
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([bin.upcast_ref(), sender]).unwrap();
    bin.link(sender).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let pad = gst::Pad::builder(gst::PadDirection::Src).build();
    pad.set_active(true).unwrap();
    pad.link(&bin.static_pad("sink").unwrap()).unwrap();
    let caps =
        gst::Caps::builder("video/x-h264").field("stream-format", "byte-stream").field("alignment", "au");
    assert!(pad.push_event(gst::event::StreamStart::new("counted")));
    assert!(pad.push_event(gst::event::Caps::new(&caps.build())));
    assert!(pad.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
    (pipeline.upcast(), pad)
}

/// What the threads that packetize and send had allocated before each frame.
struct Counts {
    packetize: Vec<u64>,
    send: Vec<u64>,
}

impl Counts {
    /// Allocations of a frame after warm-up, at most.
    fn worst(counts: &[u64]) -> u64 {
        counts[WARM_UP..].windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    }
}

fn measure(pay: &str) -> Counts {
    media::init();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = gst::ElementFactory::make("pacedudpsink")
        .property("host", "127.0.0.1")
        .property("port", i32::from(receiver.local_addr().unwrap().port()))
        .build()
        .unwrap();
    let send = Arc::new(Mutex::new(Vec::with_capacity(FRAMES)));
    let counts = send.clone();
    sender.static_pad("sink").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        counts.lock().unwrap().push(allocations());
        gst::PadProbeReturn::Ok
    });
    let (pipeline, pad) = stream(&sender, pay);
    let mut packetize = Vec::with_capacity(FRAMES);
    for frame in frames() {
        packetize.push(allocations());
        pad.push(frame).unwrap();
    }
    assert!(pad.push_event(gst::event::Eos::new()));
    let bus = pipeline.bus().unwrap();
    bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Eos]).expect("the end");
    assert!(media::stat(&sender, "waits") > 0 && media::stat(&sender, "sleeps") > 0, "it is paced");
    let stages: gst::Structure = sender.property::<gst::Structure>("stats").get("stages").unwrap();
    assert!(stages.has_field("total"), "its times are counted");
    pipeline.set_state(gst::State::Null).unwrap();
    let send = send.lock().unwrap().clone();
    assert_eq!(send.len(), FRAMES);
    Counts { packetize, send }
}

#[test]
fn allocations_are_counted() {
    if !with_plain_slices("allocations_are_counted") {
        return;
    }
    media::init();
    let allocated_by = |work: &dyn Fn()| {
        let before = allocations();
        work();
        allocations() - before
    };
    assert_eq!(allocated_by(&|| {}), 0);
    assert_eq!(allocated_by(&|| drop(std::hint::black_box(vec![0u8; 1000]))), 1, "Rust's");
    assert!(allocated_by(&|| drop(gst::Structure::new_empty("counted"))) > 0, "GLib's");
    // A buffer and its memory.
    assert!(allocated_by(&|| drop(gst::Buffer::with_size(1000).unwrap())) >= 2, "GStreamer's");
}

#[test]
fn packetizing_and_sending_allocate_nothing() {
    if !with_plain_slices("packetizing_and_sending_allocate_nothing") {
        return;
    }
    for pay in [String::new(), format!("encryption-key={}", media::KEY)] {
        let counts = measure(&pay);
        assert_eq!(Counts::worst(&counts.packetize), 0, "{:?}", counts.packetize);
        assert_eq!(Counts::worst(&counts.send), 0, "{:?}", counts.send);
    }
}
