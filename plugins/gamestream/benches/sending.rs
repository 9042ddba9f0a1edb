//! Sending over the loopback interface, where the sender's thread does the kernel's half of receiving as well: one call
//! per datagram, 64 datagrams per call, and `pacedudpsink` without pacing.

mod common;

use common::{Clock, Contest, Options, Table, number, print_machine, times};
use gst::prelude::*;
use gstgamestream::packets::{CAPS_NAME, PacketsMeta};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Bytes of a datagram: a packet of 1392 bytes with its header.
const SIZE: usize = 1408;
/// Datagrams of a frame.
const FRAMES: [usize; 5] = [16, 100, 240, 720, 1018];
const RECEIVE_BUFFER: libc::c_int = 8 << 20;

/// Reads what comes on a thread of its own.
struct Receiver {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Receiver {
    /// With `joined`, datagrams arrive many at once (UDP_GRO).
    fn start(joined: bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER);
        set(&socket, libc::SOL_UDP, libc::UDP_GRO, joined.into());
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (address, bytes, stop) = (socket.local_addr().unwrap(), Arc::default(), Arc::default());
        let (count, stopped): (Arc<AtomicU64>, Arc<AtomicBool>) = (Arc::clone(&bytes), Arc::clone(&stop));
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(read) = socket.recv(&mut buffer) {
                    count.fetch_add(read as u64, Ordering::Relaxed);
                }
            }
        });
        Self { address, bytes, stop, reader: Some(reader) }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.reader.take().map(JoinHandle::join);
    }
}

fn set(socket: &UdpSocket, level: libc::c_int, option: libc::c_int, value: libc::c_int) {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the option takes an int, whose address and size are given.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn connected(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(to).unwrap();
    socket
}

/// One `sendmmsg` for each 64 datagrams.
fn send_many(socket: &UdpSocket, frame: &[u8]) {
    for batch in frame.chunks(64 * SIZE) {
        // SAFETY: all zeros is a valid value of both, and they are filled below as far as they are used.
        let (mut headers, mut slices): ([libc::mmsghdr; 64], [libc::iovec; 64]) =
            unsafe { std::mem::zeroed() };
        let mut count = 0;
        for (datagram, (header, slice)) in batch.chunks(SIZE).zip(headers.iter_mut().zip(&mut slices)) {
            *slice = libc::iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() };
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
            count += 1;
        }
        // SAFETY: `count` headers are filled, and what they point to outlives the call.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
        assert_eq!(sent, count as libc::c_int, "{}", io::Error::last_os_error());
    }
}

/// A pad whose pushes `pacedudpsink` sends at once, in the calling thread.
fn sink(to: SocketAddr) -> (gst::Element, gst::Pad) {
    let sink = gst::ElementFactory::make("pacedudpsink")
        .property("host", to.ip().to_string())
        .property("port", i32::from(to.port()))
        .property("pacing", false)
        .build()
        .unwrap();
    let pad = gst::Pad::builder(gst::PadDirection::Src).build();
    pad.set_active(true).unwrap();
    pad.link(&sink.static_pad("sink").unwrap()).unwrap();
    sink.set_state(gst::State::Playing).unwrap();
    assert!(pad.push_event(gst::event::StreamStart::new("bench")));
    assert!(
        pad.push_event(gst::event::Caps::new(&gst::Caps::builder(CAPS_NAME).field("media", "video").build()))
    );
    assert!(pad.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
    (sink, pad)
}

fn buffer(packets: usize) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(vec![0x55; packets * SIZE]);
    PacketsMeta::add(buffer.get_mut().unwrap(), SIZE, packets);
    buffer
}

/// Adds a row: datagrams per second of processor time.
fn compare(table: &mut Table, options: Options, joined: bool, packets: usize) {
    const SINGLE: &str = "send";
    const MANY: &str = "sendmmsg(64)";
    const OURS: &str = "pacedudpsink";
    let receiver = Receiver::start(joined);
    let socket = connected(receiver.address);
    let (sink, pad) = sink(receiver.address);
    let frame = vec![0x55; packets * SIZE];
    let buffer = buffer(packets);
    let mut sent = 0u64;
    let (mut single, mut many, mut ours) = (0u64, 0u64, 0u64);
    let mut contest = Contest::new(Clock::ThreadCpu);
    contest.add(SINGLE, || {
        frame.chunks(SIZE).for_each(|datagram| assert_eq!(socket.send(datagram).unwrap(), SIZE));
        single += 1;
    });
    contest.add(MANY, || {
        send_many(&socket, &frame);
        many += 1;
    });
    contest.add(OURS, || {
        pad.push(buffer.clone()).unwrap();
        ours += 1;
    });
    let results = contest.run(options);
    sent += (single + many + ours) * (packets * SIZE) as u64;
    let rate = |name| format!("{} k", number(packets as f64 / results.median(name).as_secs_f64() / 1e3));
    // What is still on its way arrives within milliseconds; what was lost never does.
    let end = Instant::now() + Duration::from_millis(200);
    while receiver.bytes.load(Ordering::Relaxed) < sent && Instant::now() < end {
        std::thread::yield_now();
    }
    table.row([
        packets.to_string(),
        if joined { "UDP_GRO" } else { "plain" }.to_owned(),
        rate(SINGLE),
        rate(MANY),
        rate(OURS),
        times(results.ratio(SINGLE, OURS)),
        times(results.ratio(MANY, OURS)),
        format!("{:.0} %", 100.0 * receiver.bytes.load(Ordering::Relaxed) as f64 / sent as f64),
    ]);
    sink.set_state(gst::State::Null).unwrap();
}

fn main() {
    gst::init().unwrap();
    gstgamestream::plugin_register_static().unwrap();
    let options = Options::from_args();
    print_machine(
        "Sending",
        format!(
            "Datagrams of {SIZE} bytes over the loopback interface, per second of the sender's processor time."
        ),
    );
    let mut table = Table::new(&[
        "packets",
        "receiver",
        "send",
        "sendmmsg(64)",
        "ours",
        "over send",
        "over sendmmsg",
        "received",
    ]);
    for joined in [true, false] {
        for packets in FRAMES {
            compare(&mut table, options, joined, packets);
        }
    }
    table.print("Datagrams per second and core");
}
