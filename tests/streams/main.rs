//! Streams over loopback, seen packet by packet: what comes first, what a key frame request does, what follows a new
//! bitrate, how the threads are called, and that nothing stays behind.

mod bitrate;
mod colour;
mod encoders;
mod faulty;
mod priorities;
mod session;

use moonpipe::pipeline::StreamEvent;
use moonpipe::pipeline::audio::{AudioSpec, AudioStream};
use moonpipe::pipeline::library::Library;
use moonpipe::pipeline::stages;
use moonpipe::pipeline::video::Sending;
use moonpipe::protocol::params::{AudioParams, Codec};
use session::{LIMIT, Session, TURN, counter, wait_until};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::Instant;
use tokio::sync::mpsc;

/// However long the encoder ran before there was somebody to send to, the client's first packet is packet 0 of frame 1,
/// a key frame, and no frame is missing after it.
async fn first_packet_begins_a_key_frame(codec: Codec, obeys: bool) {
    let _turn = TURN.lock().await;
    let mut session = Session::start(codec, obeys).await;
    let attached = session.source.attach(session.stream.source());
    session.stream.start().await.expect("it starts");
    wait_until(|| counter(&session.stream.stats().pace, "new") >= 5);
    let opened = Instant::now();
    session.open();
    assert_eq!(session.next_frame(), (1, true));
    eprintln!("{codec}: first packet {} ms after the client was known", opened.elapsed().as_millis());
    for index in 2..12 {
        assert_eq!(session.next_frame(), (index, false));
    }
    // A client repeats its request until it sees a key frame; one is enough.
    (0..5).for_each(|_| session.stream.force_key_unit());
    let key = (12..).map(|_| session.next_frame()).find(|frame| frame.is_key).unwrap();
    assert!(key.index < 25, "the key frame came as frame {}", key.index);
    assert!(session.events.try_recv().is_err(), "nothing failed");
    drop(attached);
    session.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_begins_with_a_key_frame() {
    first_packet_begins_a_key_frame(Codec::H264, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h265_begins_with_a_key_frame() {
    first_packet_begins_a_key_frame(Codec::H265, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn av1_begins_with_a_key_frame() {
    first_packet_begins_a_key_frame(Codec::Av1, false).await;
}

/// No encoder loses the times of its frames.
#[tokio::test(flavor = "multi_thread")]
async fn every_stage_of_a_frame_is_timed() {
    let _turn = TURN.lock().await;
    for codec in [Codec::H264, Codec::H265, Codec::Av1] {
        // av1enc takes key frame requests and heeds none.
        let mut session = Session::start(codec, codec != Codec::Av1).await;
        let attached = session.play().await;
        (0..20).for_each(|_| _ = session.next_frame());
        let stages = stages::read(&session.stream.stats().send);
        let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
        assert_eq!(names, gstgamestream::timing::STAGES, "{codec}");
        let [.., total] = &stages[..] else { unreachable!() };
        for stage in &stages {
            assert!(stage.count > 0 && stage.count <= total.count, "{codec}: {stage:?}");
            assert!(stage.p50 <= stage.p99 && stage.p99 <= stage.max && stage.max <= total.max, "{stage:?}");
        }
        drop(attached);
        session.stop().await;
    }
}

/// Audio packets count from 0 in fours with two parity packets behind, all of one size.
#[tokio::test(flavor = "multi_thread")]
async fn sound_begins_with_the_first_packet_of_a_block() {
    let _turn = TURN.lock().await;
    session::init();
    let library = Library::load(None);
    let host = UdpSocket::bind("127.0.0.1:0").unwrap();
    let params = AudioParams { channels: 2, packet_ms: 5, high_quality: false, encrypt: false };
    let spec = AudioSpec { params, key: None, key_id: 0, socket: host.as_fd(), sending: Sending::default() };
    let (report, _events) = mpsc::unbounded_channel();
    let stream = AudioStream::build(&library.audio["test"], &library.send["audio"], spec, report).unwrap();
    stream.start(None).await.expect("it starts");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_destination(client.local_addr().unwrap(), None);
    let mut sizes = Vec::new();
    for block in 0..3_u16 {
        for position in 0..6_u16 {
            let mut packet = [0; 2048];
            let size = client.recv(&mut packet).expect("packets come");
            if position < 4 {
                assert_eq!(packet[1], 97);
                assert_eq!(u16::from_be_bytes([packet[2], packet[3]]), block * 4 + position);
                sizes.push(size);
            } else {
                assert_eq!(packet[1], 127);
            }
        }
    }
    assert!(sizes.iter().all(|size| *size == 12 + 60), "96 kbit/s in 5 ms are 60 bytes: {sizes:?}");
    stream.stop().await;
}

/// Numbers go on where the source before left them, in the middle of a block or not.
#[tokio::test(flavor = "multi_thread")]
async fn sound_goes_on_with_the_next_number_when_its_source_is_built_again() {
    let _turn = TURN.lock().await;
    session::init();
    let library = Library::load(None);
    let host = UdpSocket::bind("127.0.0.1:0").unwrap();
    let params = AudioParams { channels: 2, packet_ms: 5, high_quality: false, encrypt: false };
    let spec = AudioSpec { params, key: None, key_id: 0, socket: host.as_fd(), sending: Sending::default() };
    let (report, mut events) = mpsc::unbounded_channel();
    let mut short = library.audio["test"].clone();
    short.common.launch = short.common.launch.replace("is-live=true", "is-live=true num-buffers=23");
    let stream = AudioStream::build(&short, &library.send["audio"], spec, report).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_destination(client.local_addr().unwrap(), None);
    stream.start(None).await.expect("it starts");
    let (mut next, mut packet) = (None, [0; 2048]);
    for _ in 0..60 {
        client.recv(&mut packet).expect("packets come");
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        if packet[1] == 97 {
            assert_eq!(*next.get_or_insert(sequence), sequence);
            next = Some(sequence + 1);
        }
    }
    assert!(matches!(events.recv().await, Some(StreamEvent::SourceLost(_))));
    assert_eq!(events.recv().await, Some(StreamEvent::SourceBack));
    stream.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_behind() {
    let _turn = TURN.lock().await;
    let mut after = Vec::new();
    for _ in 0..6 {
        let mut session = Session::start(Codec::H264, true).await;
        let attached = session.source.attach(session.stream.source());
        session.stream.start().await.expect("it starts");
        session.open();
        session.next_frame();
        drop(attached);
        session.stop().await;
        after.push((entries("/proc/self/task"), entries("/proc/self/fd")));
    }
    // GStreamer keeps some idle threads for the next pipeline, so the first rounds may add.
    let kept = after[..3].iter().map(|round| round.0).max().expect("three rounds");
    // The thread that stopped the pipeline says so before it ends itself.
    wait_until(|| entries("/proc/self/task") <= kept);
    assert_eq!(after[5].1, after[2].1, "threads and descriptors: {after:?}");
}

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).expect("Linux has it").count()
}
