//! Streams over loopback, seen packet by packet: what comes first, what a key frame request does, and that nothing
//! stays behind.

use moonpipe::pipeline::StreamEvent;
use moonpipe::pipeline::audio::{AudioSpec, AudioStream};
use moonpipe::pipeline::capture::{Capture, CaptureSpec};
use moonpipe::pipeline::description::{CaptureDescription, Describes, EncodeDescription, Mode};
use moonpipe::pipeline::library::Library;
use moonpipe::pipeline::stages;
use moonpipe::pipeline::video::{Sending, VideoSpec, VideoStream};
use moonpipe::protocol::params::{AudioParams, Codec, ColorSpace, Fps, VideoParams};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const LIMIT: Duration = Duration::from_secs(20);

/// A frame of the wire as far as this test looks: frame index and type, from the first packet.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Frame {
    index: u32,
    is_key: bool,
}

/// The tests count threads and descriptors of the process, and time what they see: one at a time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Both ends of one session's video.
struct Session {
    capture: Capture,
    stream: VideoStream,
    client: UdpSocket,
    events: mpsc::UnboundedReceiver<StreamEvent>,
    next_sequence: u16,
}

impl Session {
    async fn start(codec: Codec, obeys_key_requests: bool) -> Session {
        moonpipe::pipeline::init().expect("GStreamer starts");
        let library = Library::load(None);
        let mode = Mode { width: 320, height: 240, fps: Fps { num: 30, den: 1 } };
        let text = "launch = \"videotestsrc is-live=true pattern=ball ! video/x-raw,width={width},height={height},framerate={fps}\"";
        let description = CaptureDescription::read("ball", "ball.toml", text).unwrap();
        let spec = CaptureSpec { description, mode, state_dir: Default::default() };
        let capture =
            Capture::start(spec, mpsc::unbounded_channel().0).await.expect("the test picture starts");
        let mut encode: EncodeDescription = library
            .encode
            .values()
            .find(|d| d.codec == codec && d.common.obstacle.is_none())
            .unwrap()
            .clone();
        encode.obeys_key_requests = obeys_key_requests;
        let host = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (report, events) = mpsc::unbounded_channel();
        let spec = VideoSpec {
            params: video_params(codec, mode),
            encoder_kbps: 2000,
            fec_percentage: 20,
            key: None,
            socket: host.as_fd(),
            sending: Sending::default(),
        };
        let stream = VideoStream::build(&encode, &library.send["video"], spec, report).expect("it builds");
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        Session { capture, stream, client, events, next_sequence: 0 }
    }

    /// Receives until a frame begins; every packet must follow the one before.
    fn next_frame(&mut self) -> Frame {
        let mut packet = [0; 2048];
        loop {
            let size = self.client.recv(&mut packet).expect("packets come");
            assert!(size > 40, "{size} bytes");
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            assert_eq!(sequence, self.next_sequence, "a packet is missing or out of order");
            self.next_sequence = sequence.wrapping_add(1);
            let [flags, block] = [packet[24], packet[27]];
            let fec = u32::from_le_bytes(packet[28..32].try_into().unwrap());
            let (data, index) = (fec >> 22, (fec >> 12) & 0x3ff);
            if index < data && flags & 4 != 0 && (block >> 4) & 3 == 0 {
                let index = u32::from_le_bytes(packet[20..24].try_into().unwrap());
                return Frame { index, is_key: packet[32 + 3] == 2 };
            }
        }
    }

    async fn stop(self) {
        self.stream.stop().await;
        self.capture.close().await;
    }
}

fn video_params(codec: Codec, mode: Mode) -> VideoParams {
    VideoParams {
        codec,
        width: mode.width,
        height: mode.height,
        fps: mode.fps,
        packet_size: 1024,
        total_kbps: 2500,
        min_fec_packets: 2,
        encrypt: false,
        color_space: ColorSpace::Bt709,
        full_range: false,
        max_reference_frames: 1,
        slices_per_frame: 1,
    }
}

/// However long the encoder ran before there was somebody to send to, the client's first packet is packet 0 of frame 1,
/// a key frame, and no frame is missing after it.
async fn first_packet_begins_a_key_frame(codec: Codec, obeys: bool) {
    let _turn = TURN.lock().await;
    let mut session = Session::start(codec, obeys).await;
    let attached = session.capture.attach(session.stream.source());
    session.stream.start().await.expect("it starts");
    wait_until(|| counter(&session.stream.stats().pace, "new") >= 5);
    let opened = Instant::now();
    session.stream.set_destination(session.client.local_addr().unwrap(), None);
    assert_eq!(session.next_frame(), Frame { index: 1, is_key: true });
    eprintln!("{codec}: first packet {} ms after the client was known", opened.elapsed().as_millis());
    for index in 2..12 {
        assert_eq!(session.next_frame(), Frame { index, is_key: false });
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
        let mut session = Session::start(codec, true).await;
        let attached = session.capture.attach(session.stream.source());
        session.stream.start().await.expect("it starts");
        session.stream.set_destination(session.client.local_addr().unwrap(), None);
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

#[tokio::test(flavor = "multi_thread")]
async fn the_bitrate_changes_while_the_stream_runs() {
    let _turn = TURN.lock().await;
    for codec in [Codec::H264, Codec::H265, Codec::Av1] {
        let mut session = Session::start(codec, true).await;
        let attached = session.capture.attach(session.stream.source());
        session.stream.start().await.expect("it starts");
        session.stream.set_destination(session.client.local_addr().unwrap(), None);
        session.next_frame();
        for kbps in [500, 5000] {
            assert!(session.stream.set_bitrate(kbps));
            (0..3).for_each(|_| _ = session.next_frame());
        }
        assert!(session.events.try_recv().is_err(), "nothing failed");
        drop(attached);
        session.stop().await;
    }
}

/// Audio packets count from 0 in fours with two parity packets behind, all of one size.
#[tokio::test(flavor = "multi_thread")]
async fn sound_begins_with_the_first_packet_of_a_block() {
    let _turn = TURN.lock().await;
    moonpipe::pipeline::init().expect("GStreamer starts");
    let library = Library::load(None);
    let host = UdpSocket::bind("127.0.0.1:0").unwrap();
    let params = AudioParams { channels: 2, packet_ms: 5, high_quality: false, encrypt: false };
    let spec = AudioSpec { params, key: None, key_id: 0, socket: host.as_fd(), sending: Sending::default() };
    let (report, _events) = mpsc::unbounded_channel();
    let stream = AudioStream::build(&library.audio["test"], &library.send["audio"], spec, report).unwrap();
    stream.start().await.expect("it starts");
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

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_behind() {
    let _turn = TURN.lock().await;
    let mut after = Vec::new();
    for _ in 0..6 {
        let mut session = Session::start(Codec::H264, true).await;
        let attached = session.capture.attach(session.stream.source());
        session.stream.start().await.expect("it starts");
        session.stream.set_destination(session.client.local_addr().unwrap(), None);
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

fn counter(stats: &gst::Structure, name: &str) -> u64 {
    stats.get::<u64>(name).expect("the counter exists")
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < end, "it never happens");
        std::thread::yield_now();
    }
}
