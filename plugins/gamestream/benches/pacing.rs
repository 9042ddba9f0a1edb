//! How exactly the bursts of a frame leave when they are planned to, with the other cores idle and busy, and what that
//! costs.
//!
//! The kernel stamps each datagram as it arrives on the loopback interface, which happens within the call that sends it.
//! A burst's error is the time between its plan, counted from when the frame was handed over, and its first datagram; so
//! that sending itself is part of it. How much that is, the first burst tells, which nothing waits for.

mod common;

use common::{Options, Table, micros, number, print_machine, quantile};
use gst::prelude::*;
use gstgamestream::packets::{CAPS_NAME, PacketsMeta};
use gstgamestream::wire::pacing::{Burst, Cap, Frame, Pacer, Path};
use rustix::time::{ClockId, clock_gettime};
use std::{
    io,
    net::UdpSocket,
    os::fd::AsRawFd,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Small, so that a frame fits the smallest receive buffer and the stamps can be read after it.
const SIZE: usize = 100;
const PACKETS: usize = 192;
const CAP: Cap = Cap { packets: 16, bytes: 0 };

/// Errors of bursts, and what waiting for them cost.
#[derive(Default)]
struct Departures {
    errors: Vec<Duration>,
    /// Of the first bursts, which nothing waits for: what sending takes.
    sending: Vec<Duration>,
    waits: u64,
    spin: Duration,
}

/// The bursts of a frame, due after its start.
fn plan(interval: Duration) -> Vec<Burst> {
    let frame = Frame { packets: PACKETS, bytes: PACKETS * SIZE, interval: Some(interval) };
    Pacer::default().plan(&frame, &CAP, &Path::default(), Duration::ZERO).collect()
}

fn receiver() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let on: libc::c_int = 1;
    // SAFETY: the option takes an int, whose address and size are given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

/// When the next datagram came, and which one of its frame it is.
fn receive(socket: &UdpSocket) -> (usize, Duration) {
    let mut bytes = [0u8; SIZE];
    let mut control = [0u64; 16];
    let mut slice = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: SIZE };
    // SAFETY: all zeros is a valid msghdr, everything it is made to point to outlives the call, and the one control
    // message that was asked for is a timespec.
    let stamp = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &mut slice;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        assert_eq!(
            libc::recvmsg(socket.as_raw_fd(), &mut header, 0),
            SIZE as isize,
            "{}",
            io::Error::last_os_error()
        );
        libc::CMSG_DATA(libc::CMSG_FIRSTHDR(&header)).cast::<libc::timespec>().read_unaligned()
    };
    let index = u16::from_be_bytes([bytes[0], bytes[1]]);
    (index.into(), Duration::new(stamp.tv_sec as u64, stamp.tv_nsec as u32))
}

fn frame(interval: Duration) -> gst::Buffer {
    let mut bytes = vec![0; PACKETS * SIZE];
    for (datagram, index) in bytes.chunks_mut(SIZE).zip(0u16..) {
        datagram[..2].copy_from_slice(&index.to_be_bytes());
    }
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let writable = buffer.get_mut().unwrap();
    writable.set_duration(gst::ClockTime::from_nseconds(interval.as_nanos() as u64));
    PacketsMeta::add(writable, SIZE, PACKETS);
    buffer
}

/// What sends a frame at the times of a plan.
trait Executor {
    fn send(&mut self, plan: &[Burst]);
    /// Waits and time spun so far.
    fn cost(&self) -> (u64, Duration);
}

/// The element.
struct Sink {
    sink: gst::Element,
    pad: gst::Pad,
    buffer: gst::Buffer,
}

impl Sink {
    fn new(receiver: &UdpSocket, interval: Duration) -> Self {
        let sink = gst::ElementFactory::make("pacedudpsink")
            .property("host", "127.0.0.1")
            .property("port", i32::from(receiver.local_addr().unwrap().port()))
            .property("burst-packets", CAP.packets as u32)
            .property("burst-bytes", CAP.bytes as u32)
            .build()
            .unwrap();
        let pad = gst::Pad::builder(gst::PadDirection::Src).build();
        pad.set_active(true).unwrap();
        pad.link(&sink.static_pad("sink").unwrap()).unwrap();
        sink.set_state(gst::State::Playing).unwrap();
        let caps = gst::Caps::builder(CAPS_NAME).field("media", "video").build();
        assert!(pad.push_event(gst::event::StreamStart::new("bench")));
        assert!(pad.push_event(gst::event::Caps::new(&caps)));
        assert!(pad.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
        Self { sink, pad, buffer: frame(interval) }
    }
}

impl Executor for Sink {
    fn send(&mut self, _plan: &[Burst]) {
        self.pad.push(self.buffer.clone()).unwrap();
    }

    fn cost(&self) -> (u64, Duration) {
        let stats = self.sink.property::<gst::Structure>("stats");
        (stats.get("waits").unwrap(), Duration::from_nanos(stats.get("spin-time").unwrap()))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.sink.set_state(gst::State::Null).unwrap();
    }
}

/// The same plan by the means at hand: sleeps until each deadline.
struct Sleeper {
    socket: UdpSocket,
    bytes: Vec<u8>,
    waits: u64,
}

impl Sleeper {
    fn new(receiver: &UdpSocket, interval: Duration) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(receiver.local_addr().unwrap()).unwrap();
        Self { socket, bytes: frame(interval).map_readable().unwrap().to_vec(), waits: 0 }
    }
}

impl Executor for Sleeper {
    fn send(&mut self, plan: &[Burst]) {
        let begin = Instant::now();
        for burst in plan {
            if let Some(wait) = burst.due.checked_sub(begin.elapsed()).filter(|wait| !wait.is_zero()) {
                self.waits += 1;
                std::thread::sleep(wait);
            }
            let datagrams = self.bytes.chunks(SIZE).skip(burst.packets.start).take(burst.packets.len());
            datagrams.for_each(|datagram| assert_eq!(self.socket.send(datagram).unwrap(), SIZE));
        }
    }

    fn cost(&self) -> (u64, Duration) {
        (self.waits, Duration::ZERO)
    }
}

/// Lets `executor` send frames, one an interval.
fn measure(executor: &mut dyn Executor, receiver: &UdpSocket, interval: Duration, frames: u32) -> Departures {
    let plan = plan(interval);
    let mut departures = Departures::default();
    let before = executor.cost();
    let begin = Instant::now();
    for number in 0..frames {
        std::thread::sleep((interval * number).saturating_sub(begin.elapsed()));
        let handed: Duration = clock_gettime(ClockId::Realtime).try_into().expect("after 1970");
        executor.send(&plan);
        let came: Vec<_> = (0..PACKETS).map(|_| receive(receiver)).collect();
        for burst in &plan {
            let (index, at) = came[burst.packets.start];
            assert_eq!(index, burst.packets.start);
            let errors = if index == 0 { &mut departures.sending } else { &mut departures.errors };
            errors.push(at.abs_diff(handed + burst.due));
        }
    }
    let after = executor.cost();
    (departures.waits, departures.spin) = (after.0 - before.0, after.1 - before.1);
    departures
}

/// Gives the calling thread the niceness of a sender, as far as the system allows it; what it had before and has now.
fn raise() -> (i32, i32) {
    // SAFETY: numbers only. A niceness of -1 cannot be told from an error, which does not matter here.
    let niceness = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let before = niceness();
    set_niceness(-5);
    (before, niceness())
}

fn set_niceness(niceness: i32) {
    // SAFETY: numbers only. 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) };
}

/// Runs `work` while every other core computes at `niceness`, if that is given.
fn beside(niceness: Option<i32>, work: impl FnOnce()) {
    let cores = std::thread::available_parallelism().map_or(1, |count| count.get());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for niceness in (1..cores).filter_map(|_| niceness) {
            let stop = &stop;
            scope.spawn(move || {
                set_niceness(niceness);
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        work();
        stop.store(true, Ordering::Relaxed);
    });
}

fn compare(table: &mut Table, fps: u32, busy: Option<i32>, seconds: u32) {
    let interval = Duration::from_secs(1) / fps;
    let receiver = receiver();
    let mut sink = Sink::new(&receiver, interval);
    let mut sleeper = Sleeper::new(&receiver, interval);
    let (mut ours, mut theirs) = (Departures::default(), Departures::default());
    beside(busy, || {
        // In turns of half a second.
        for _ in 0..seconds * 2 {
            for (executor, all) in [
                (&mut sink as &mut dyn Executor, &mut ours),
                (&mut sleeper as &mut dyn Executor, &mut theirs),
            ] {
                let some = measure(executor, &receiver, interval, fps / 2);
                all.errors.extend(some.errors);
                all.sending.extend(some.sending);
                all.waits += some.waits;
                all.spin += some.spin;
            }
        }
    });
    for (name, departures) in [("pacedudpsink", &ours), ("thread::sleep", &theirs)] {
        let quantile = |errors, share| format!("{} µs", micros(quantile(errors, share)));
        let error = |share| quantile(&departures.errors, share);
        let spin = departures.spin.as_secs_f64();
        table.row([
            format!("{name}, {fps} fps, {}", if busy.is_some() { "busy" } else { "idle" }),
            error(0.5),
            error(0.99),
            error(1.0),
            quantile(&departures.sending, 0.5),
            format!("{} µs", number(spin * 1e6 / departures.waits.max(1) as f64)),
            format!("{} %", number(spin * 100.0 / f64::from(seconds))),
        ]);
    }
}

fn main() {
    gst::init().unwrap();
    gstgamestream::plugin_register_static().unwrap();
    let seconds = if Options::from_args().quick { 1 } else { 10 };
    let (others, niceness) = raise();
    print_machine(
        "Pacing",
        format!(
            "Frames of {PACKETS} datagrams over three quarters of their interval, {seconds} s each, sent at niceness \
             {niceness} beside other work at {others}."
        ),
    );
    let mut table =
        Table::new(&["departure of bursts", "p50", "p99", "max", "first", "spun per wait", "of a core"]);
    for fps in [60, 120, 240] {
        for busy in [None, Some(others)] {
            compare(&mut table, fps, busy, seconds);
        }
    }
    table.print("Departure of bursts after the plan");
}
