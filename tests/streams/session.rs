//! One session's video with both its ends in this process.

use moonpipe::pipeline::StreamEvent;
use moonpipe::pipeline::capture::CaptureSpec;
use moonpipe::pipeline::description::{CaptureDescription, Describes, EncodeDescription, Mode};
use moonpipe::pipeline::frames::Attached;
use moonpipe::pipeline::library::Library;
use moonpipe::pipeline::rebuild::Limits;
use moonpipe::pipeline::source::Source;
use moonpipe::pipeline::video::{Sending, VideoSpec, VideoStream};
use moonpipe::protocol::params::{Codec, ColorSpace, Fps, VideoParams};
use std::io::Write;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

pub const LIMIT: Duration = Duration::from_secs(20);
pub const MODE: Mode = Mode { width: 320, height: 240, fps: Fps { num: 30, den: 1 } };
/// Parity packets in per cent of data packets.
pub const FEC: u32 = 20;

/// A frame of the wire as far as these tests look: frame index, type and RTP timestamp, from the first packet.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub index: u32,
    pub is_key: bool,
    pub timestamp: u32,
}

impl PartialEq<(u32, bool)> for Frame {
    fn eq(&self, (index, is_key): &(u32, bool)) -> bool {
        (self.index, self.is_key) == (*index, *is_key)
    }
}

/// A whole frame of the wire.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    pub frame: Frame,
    /// Datagrams with the headers of IP and UDP.
    pub wire_bytes: usize,
    pub data_bytes: usize,
    /// As its last packet says.
    pub fec_percentage: u32,
}

struct Packet {
    size: usize,
    is_data: bool,
    fec_percentage: u32,
    /// Of the frame that begins with it.
    begins: Option<Frame>,
}

/// The tests count threads and descriptors of the process, and time what they see: one at a time.
pub static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Both ends of one session's video.
pub struct Session {
    pub source: Source,
    pub stream: VideoStream,
    pub client: UdpSocket,
    pub events: mpsc::UnboundedReceiver<StreamEvent>,
    next_sequence: u16,
}

impl Session {
    /// A moving ball.
    pub async fn start(codec: Codec, obeys_key_requests: bool) -> Session {
        init();
        let library = Library::load(None);
        let found = library.encode.values().find(|d| d.codec == codec && d.common.obstacle.is_none());
        let mut encode = found.expect("an encoder of each codec is installed").clone();
        encode.obeys_key_requests = obeys_key_requests;
        Session::with(&encode, "ball", 2000).await
    }

    /// `pattern` is one of videotestsrc's.
    pub async fn with(encode: &EncodeDescription, pattern: &str, encoder_kbps: u32) -> Session {
        Session::of(std::slice::from_ref(encode), pattern, encoder_kbps).await
    }

    /// With several encoders, best first.
    pub async fn of(encoders: &[EncodeDescription], pattern: &str, encoder_kbps: u32) -> Session {
        let source = format!("videotestsrc is-live=true pattern={pattern} ! video/x-raw");
        Session::as_asked(encoders, &source, video_params(encoders[0].codec), encoder_kbps).await
    }

    /// With a source whose caps are yet to be completed, as a client asks for it.
    pub async fn as_asked(
        encoders: &[EncodeDescription],
        source: &str,
        params: VideoParams,
        encoder_kbps: u32,
    ) -> Session {
        init();
        let text = format!("launch = \"{source},width={{width}},height={{height}},framerate={{fps}}\"");
        let description = CaptureDescription::read("example", "example.toml", &text).unwrap();
        let spec = CaptureSpec { description, mode: MODE, state_dir: Default::default() };
        let source = Source::start(spec, Limits::default()).await.expect("the test picture starts");
        let host = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (report, events) = mpsc::unbounded_channel();
        let spec = VideoSpec {
            params,
            encoder_kbps,
            fec_percentage: FEC,
            key: None,
            socket: host.as_fd(),
            sending: Sending::default(),
        };
        let send = &Library::load(None).send["video"];
        let stream = VideoStream::build(encoders, send, spec, report).expect("it builds");
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        Session { source, stream, client, events, next_sequence: 0 }
    }

    /// Starts and sends to the client.
    pub async fn play(&self) -> Attached {
        let attached = self.source.attach(self.stream.source());
        self.stream.start().await.expect("it starts");
        self.open();
        attached
    }

    /// The client is known from now on, and sees a key frame first.
    pub fn open(&self) {
        assert!(self.stream.is_shut(), "the first time");
        self.stream.force_key_unit();
        self.stream.set_destination(self.client.local_addr().unwrap(), None);
    }

    /// Receives until a frame begins; every packet must follow the one before.
    pub fn next_frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.next_packet().begins {
                return frame;
            }
        }
    }

    /// Whole frames; the first packet of the one behind them is received too.
    pub fn next_whole(&mut self, count: usize) -> Vec<Whole> {
        let whole = |frame| Whole { frame, wire_bytes: 0, data_bytes: 0, fec_percentage: 0 };
        let mut frames = Vec::with_capacity(count + 1);
        loop {
            let packet = self.next_packet();
            if let Some(frame) = packet.begins {
                if frames.len() == count {
                    return frames;
                }
                frames.push(whole(frame));
            }
            let Some(last) = frames.last_mut() else { continue };
            last.wire_bytes += packet.size + 48;
            last.data_bytes += if packet.is_data { packet.size } else { 0 };
            last.fec_percentage = packet.fec_percentage;
        }
    }

    fn next_packet(&mut self) -> Packet {
        let mut packet = [0; 2048];
        let size = self.client.recv(&mut packet).expect("packets come");
        assert!(size > 40, "{size} bytes");
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        assert_eq!(sequence, self.next_sequence, "a packet is missing or out of order");
        self.next_sequence = sequence.wrapping_add(1);
        let [flags, block] = [packet[24], packet[27]];
        let fec = u32::from_le_bytes(packet[28..32].try_into().unwrap());
        let (data, index, fec_percentage) = (fec >> 22, (fec >> 12) & 0x3ff, (fec >> 4) & 0xff);
        let is_data = index < data;
        let begins = (is_data && flags & 4 != 0 && (block >> 4) & 3 == 0).then(|| Frame {
            index: u32::from_le_bytes(packet[20..24].try_into().unwrap()),
            is_key: packet[32 + 3] == 2,
            timestamp: u32::from_be_bytes(packet[4..8].try_into().unwrap()),
        });
        Packet { size, is_data, fec_percentage, begins }
    }

    pub async fn stop(self) {
        self.stream.stop().await;
        self.source.close().await;
    }
}

pub fn video_params(codec: Codec) -> VideoParams {
    VideoParams {
        codec,
        width: MODE.width,
        height: MODE.height,
        fps: MODE.fps,
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

/// GStreamer, and a log that can be read: some lines are told once in a process.
pub fn init() {
    LazyLock::force(&LOG);
    moonpipe::pipeline::init().expect("GStreamer starts");
}

pub fn log() -> String {
    String::from_utf8_lossy(&LOG.0.lock().unwrap()).into_owned()
}

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .init();
    log
});

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub fn counter(stats: &gst::Structure, name: &str) -> u64 {
    stats.get::<u64>(name).expect("the counter exists")
}

pub fn wait_until(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < end, "it never happens");
        std::thread::yield_now();
    }
}
