//! A whole stream without its encoder: recorded access units go through payloader, queue and sink to a socket on
//! loopback, as fast as they can. What is measured is the processor time of the two threads that work on it.

mod common;

use common::{Options, Table, number, print_machine, quantile};
use gst::prelude::*;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const KEY: &str = "000102030405060708090a0b0c0d0e0f";
/// The threads that work on a frame, by the pads that they push from: packetize and send.
const THREADS: [&str; 2] = ["source:src", "packets:src"];
/// 100 Mbit/s at 60 frames a second.
const KBPS: u32 = 100_000;

fn main() {
    let options = Options::from_args();
    gst::init().expect("GStreamer starts");
    gstgamestream::plugin_register_static().expect("the elements register");
    print_machine(
        "Stream",
        "Recorded H.264, 1080p60, 100 Mbit/s, looped, sent over loopback without pacing.",
    );
    let (recorded, sent, rounds) = if options.quick { (20, 300, 1) } else { (60, 2000, 5) };
    let frames = record(recorded);
    let settings = [
        ("plain, no parity", "fec-percentage=0".to_owned()),
        ("plain, 20 %", "fec-percentage=20".to_owned()),
        ("sealed, 20 %", format!("fec-percentage=20 encryption-key={KEY}")),
    ];
    let mut measured = vec![Vec::new(); settings.len()];
    for _ in 0..rounds {
        for (costs, (_, properties)) in measured.iter_mut().zip(&settings) {
            costs.push(stream(properties, &frames, sent));
        }
    }
    let mut table = Table::new(&[
        "",
        "packetize, µs a frame",
        "send, µs a frame",
        "% of a core per Gbit/s",
        "frames/s of one core",
    ]);
    for ((name, _), costs) in settings.iter().zip(&measured) {
        let median = |of: fn(&Cost) -> Duration| {
            quantile(&costs.iter().map(of).collect::<Vec<_>>(), 0.5).as_secs_f64() / f64::from(sent)
        };
        let (packetize, send) = (median(|cost| cost.packetize), median(|cost| cost.send));
        let gigabits = costs[0].bytes as f64 * 8e-9 / f64::from(sent);
        table.row([
            (*name).to_owned(),
            number(packetize * 1e6),
            number(send * 1e6),
            number(100.0 * (packetize + send) / gigabits),
            number(1.0 / (packetize + send)),
        ]);
    }
    table.print("Processor time of a stream");
}

/// What sending the frames took.
#[derive(Clone, Copy)]
struct Cost {
    packetize: Duration,
    send: Duration,
    /// As datagrams.
    bytes: u64,
}

/// Access units of a picture that no encoder can make small.
fn record(count: u32) -> Vec<gst::Buffer> {
    let text = format!(
        "videotestsrc num-buffers={count} pattern=snow ! video/x-raw,format=I420,width=1920,height=1080,framerate=60/1 \
         ! x264enc speed-preset=ultrafast tune=zerolatency bitrate={KBPS} vbv-buf-capacity=50 \
         ! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=out sync=false"
    );
    let pipeline = launch(&text);
    let out = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let frames: Vec<_> = std::iter::from_fn(|| out.pull_sample().ok()?.buffer_owned()).collect();
    pipeline.set_state(gst::State::Null).expect("it stops");
    assert_eq!(frames.len(), count as usize, "all is encoded");
    frames
}

fn launch(text: &str) -> gst::Pipeline {
    gst::parse::launch(text).expect("all elements are installed").downcast().expect("several elements")
}

fn stream(properties: &str, frames: &[gst::Buffer], count: u32) -> Cost {
    let drain = Drain::start();
    let pipeline = launch(&format!(
        "appsrc name=source format=time block=true max-buffers=2 max-bytes=0 \
         caps=video/x-h264,stream-format=byte-stream,alignment=au,framerate=60/1 \
         ! gamestreamvideopay {properties} ! queue name=packets max-size-buffers=2 max-size-bytes=0 max-size-time=0 \
         ! pacedudpsink name=sender pacing=false host=127.0.0.1 port={}",
        drain.port
    ));
    let source = pipeline.by_name("source").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let sender = pipeline.by_name("sender").unwrap();
    let stat = |name| sender.property::<gst::Structure>("stats").get::<u64>(name).expect("a counter");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let mut pushed = 0;
    let mut send = |count: u32| {
        for frame in frames.iter().cycle().take(count as usize) {
            source.push_buffer(frame.copy()).expect("the stream takes frames");
        }
        pushed += u64::from(count);
        while stat("frames") < pushed {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    send(frames.len() as u32);
    let (before, bytes) = (THREADS.map(processor_time), stat("bytes"));
    send(count);
    let after = THREADS.map(processor_time);
    let bytes = stat("bytes") - bytes;
    pipeline.set_state(gst::State::Null).expect("it stops");
    Cost { packetize: after[0] - before[0], send: after[1] - before[1], bytes }
}

/// Processor time of this process's thread of that name.
fn processor_time(name: &str) -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists threads");
    let mut found = tasks.filter_map(|task| {
        let folder = task.ok()?.path();
        let comm = std::fs::read_to_string(folder.join("comm")).ok()?;
        (comm.trim() == name).then(|| std::fs::read_to_string(folder.join("schedstat")).ok()).flatten()
    });
    let stat = found.next().unwrap_or_else(|| panic!("no thread {name}"));
    let nanoseconds = stat.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.expect("schedstat begins with the time on a processor"))
}

/// Takes and forgets what arrives.
struct Drain {
    port: u16,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drain {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket has timeouts");
        let on: libc::c_int = 1;
        // SAFETY: the option takes an int, whose address and size are given.
        let gro = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_UDP,
                libc::UDP_GRO,
                std::ptr::from_ref(&on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
        assert_eq!(gro, 0, "Linux has UDP_GRO since 5.0");
        let port = socket.local_addr().expect("it is bound").port();
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while !ends.load(Ordering::Relaxed) {
                let _ = socket.recv(&mut buffer);
            }
        });
        Self { port, over, thread: Some(thread) }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}
