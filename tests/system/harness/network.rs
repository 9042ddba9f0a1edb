//! A network between a host and its client: every datagram of a session passes through it, both ways, and meets what a
//! script says.
//!
//! What it does is decided in [`super::link`]; here is the thread that has the clock and the sockets. It needs neither
//! root nor namespaces: the client is given other ports (see [`super::handshake`]), and the host sees it at whatever
//! address of 127.0.0.0/8 the network answers from.

use super::handshake::Handshake;
use super::host::Host;
use super::link::{Conditions, Fate, Link};
use super::relay::{LeftOut, Placed};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// In this order everywhere.
pub const PLANES: [&str; 3] = ["video", "control", "audio"];
const VIDEO: usize = 0;
const BUFFERS: usize = 4 << 20;
/// How often the kernel is asked what it dropped.
const LOOK: Duration = Duration::from_millis(500);
/// Datagrams of one socket in a row.
const TURN: usize = 64;

/// What happens to the network at a moment of a script.
#[derive(Clone, Debug)]
pub enum Step {
    /// Both directions are like this from now on.
    Become(Conditions),
    /// From now on the host sees the client at another address, with other ports. The old ones are closed.
    Move,
}

/// A script: what happens, and how long after its beginning.
pub type Script = Vec<(Duration, Step)>;

/// One second of video, as it came from the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    pub bytes: u64,
    /// Packets; what they are is only seen if they are not encrypted.
    pub data: u64,
    pub parity: u64,
}

/// Datagrams of all planes, both ways.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub passed: u64,
    pub lost: u64,
    /// Did not fit a queue.
    pub overflowed: u64,
    /// Dropped by this machine, since a program did not come to read them in time: no part of the script.
    pub overrun: u64,
    /// Frames that the host did not send, as far as its packets can be read.
    pub left_out: u64,
}

/// Dropping it ends it.
pub struct Network {
    /// Where the client is to hold its RTSP conversation, in the clear.
    pub rtsp_port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    _handshake: Handshake,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// Steps to come.
    script: Mutex<VecDeque<(Instant, Step)>>,
    counts: Mutex<Counts>,
    /// Since the first packet of video.
    seconds: Mutex<Vec<Second>>,
}

impl Network {
    /// Clean until it is told otherwise.
    pub fn before(host: &Host, seed: u64) -> Network {
        let near = [(); 3].map(|()| socket(Ipv4Addr::LOCALHOST));
        let ports = PLANES.map(|plane| host.port(plane));
        let told =
            std::array::from_fn(|plane| (ports[plane], near[plane].local_addr().expect("bound").port()));
        let handshake = Handshake::start(host.port("rtsp"), told);
        let shared = Arc::new(Shared::default());
        let relay = Relay::new(near, ports, seed, shared.clone());
        let thread = std::thread::Builder::new().name("network".into()).spawn(move || relay.run());
        Network {
            rtsp_port: handshake.port,
            shared,
            thread: Some(thread.expect("a thread is left")),
            _handshake: handshake,
        }
    }

    /// Plays `script` from now on; what was left of one before is forgotten.
    pub fn play(&self, script: &Script) {
        let begin = Instant::now();
        let steps = script.iter().map(|(after, step)| (begin + *after, step.clone()));
        *self.shared.script.lock().unwrap() = steps.collect();
    }

    /// All steps were taken.
    pub fn has_played(&self) -> bool {
        self.shared.script.lock().unwrap().is_empty()
    }

    pub fn counts(&self) -> Counts {
        *self.shared.counts.lock().unwrap()
    }

    pub fn seconds(&self) -> Vec<Second> {
        self.shared.seconds.lock().unwrap().clone()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Down,
    Up,
}

/// A datagram under way: when it arrives, and its number, so that the order is that of entering.
type Travelling = Reverse<(Duration, u64, usize, Direction, Vec<u8>)>;

struct Relay {
    shared: Arc<Shared>,
    begin: Instant,
    /// Towards the client, one a plane, and towards the host.
    near: [UdpSocket; 3],
    far: [UdpSocket; 3],
    ports: [u16; 3],
    clients: [Option<SocketAddr>; 3],
    /// How often the client has moved.
    moves: u32,
    down: Link,
    up: Link,
    under_way: BinaryHeap<Travelling>,
    number: u64,
    first_video: Option<Duration>,
    left_out: LeftOut,
    looked: Duration,
    /// Of each port that matters: datagrams that the kernel dropped.
    overruns: BTreeMap<u16, u64>,
}

impl Relay {
    fn new(near: [UdpSocket; 3], ports: [u16; 3], seed: u64, shared: Arc<Shared>) -> Relay {
        Relay {
            shared,
            begin: Instant::now(),
            near,
            far: far_sockets(Ipv4Addr::LOCALHOST, ports),
            ports,
            clients: [None; 3],
            moves: 0,
            down: Link::seeded(seed),
            up: Link::seeded(!seed),
            under_way: BinaryHeap::new(),
            number: 0,
            first_video: None,
            left_out: LeftOut::default(),
            looked: Duration::ZERO,
            overruns: BTreeMap::new(),
        }
    }

    fn run(mut self) {
        while !self.shared.over.load(Ordering::Relaxed) {
            self.take_steps();
            self.wait();
            for plane in 0..PLANES.len() {
                self.receive(plane, Direction::Down);
                self.receive(plane, Direction::Up);
            }
            self.deliver();
            self.look();
        }
    }

    fn take_steps(&mut self) {
        loop {
            let mut script = self.shared.script.lock().unwrap();
            if script.front().is_none_or(|(due, _)| *due > Instant::now()) {
                return;
            }
            let step = script.pop_front().map(|(_, step)| step);
            drop(script);
            match step {
                Some(Step::Become(conditions)) => {
                    self.down.change(conditions.clone());
                    self.up.change(conditions);
                }
                Some(Step::Move) => {
                    self.moves += 1;
                    let address = u32::from(Ipv4Addr::LOCALHOST) + self.moves;
                    self.far = far_sockets(address.into(), self.ports);
                }
                None => {}
            }
        }
    }

    /// Sleeps until a datagram comes, one is to be delivered, or a step may be due.
    fn wait(&self) {
        const LONGEST: Duration = Duration::from_millis(10);
        let due = self.under_way.peek().map(|Reverse((at, ..))| at.saturating_sub(self.begin.elapsed()));
        let most = due.map_or(LONGEST, |due| due.min(LONGEST));
        let entry =
            |socket: &UdpSocket| libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let mut entries: Vec<_> = self.near.iter().chain(&self.far).map(entry).collect();
        let time = libc::timespec { tv_sec: 0, tv_nsec: most.subsec_nanos().into() };
        // SAFETY: `entries` is an array of that many entries whose descriptors are open in `self`; no signal mask is given.
        unsafe { libc::ppoll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, &time, std::ptr::null()) };
    }

    fn receive(&mut self, plane: usize, direction: Direction) {
        let mut bytes = [0; 2048];
        for _ in 0..TURN {
            let size = match direction {
                Direction::Down => self.far[plane].recv(&mut bytes).ok(),
                Direction::Up => self.near[plane].recv_from(&mut bytes).ok().map(|(size, from)| {
                    self.clients[plane] = Some(from);
                    size
                }),
            };
            let Some(size) = size else { return };
            self.enter(plane, direction, &bytes[..size]);
        }
    }

    fn enter(&mut self, plane: usize, direction: Direction, bytes: &[u8]) {
        let now = self.begin.elapsed();
        if (plane, direction) == (VIDEO, Direction::Down) {
            self.note(now, bytes);
        }
        let link = if direction == Direction::Down { &mut self.down } else { &mut self.up };
        let fate = link.carry(now, bytes.len());
        let mut counts = self.shared.counts.lock().unwrap();
        match fate {
            Fate::Lost => counts.lost += 1,
            Fate::Overflow => counts.overflowed += 1,
            Fate::At(at) => {
                counts.passed += 1;
                self.number += 1;
                self.under_way.push(Reverse((at, self.number, plane, direction, bytes.to_vec())));
            }
        }
    }

    fn note(&mut self, now: Duration, packet: &[u8]) {
        let second = (now - *self.first_video.get_or_insert(now)).as_secs() as usize;
        let mut seconds = self.shared.seconds.lock().unwrap();
        if seconds.len() <= second {
            seconds.resize(second + 1, Second::default());
        }
        self.left_out.see(packet);
        self.shared.counts.lock().unwrap().left_out = self.left_out.frames;
        let is_parity = Placed::read(packet).is_some_and(|placed| placed.is_parity());
        let entry = &mut seconds[second];
        entry.bytes += packet.len() as u64;
        entry.parity += u64::from(is_parity);
        entry.data += u64::from(!is_parity);
    }

    fn deliver(&mut self) {
        let now = self.begin.elapsed();
        while self.under_way.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((_, _, plane, direction, bytes))) = self.under_way.pop() else { return };
            // Who is not there does not get it.
            let _ = match (direction, self.clients[plane]) {
                (Direction::Up, _) => self.far[plane].send(&bytes),
                (Direction::Down, Some(client)) => self.near[plane].send_to(&bytes, client),
                (Direction::Down, None) => Ok(0),
            };
        }
    }

    fn look(&mut self) {
        let now = self.begin.elapsed();
        if now - self.looked < LOOK {
            return;
        }
        self.looked = now;
        let own = self.near.iter().chain(&self.far).filter_map(|socket| socket.local_addr().ok());
        let ports: Vec<u16> =
            own.chain(self.clients.into_iter().flatten()).map(|address| address.port()).collect();
        for (port, drops) in kernel_drops() {
            if ports.contains(&port) {
                self.overruns.insert(port, drops);
            }
        }
        self.shared.counts.lock().unwrap().overrun = self.overruns.values().sum();
    }
}

fn far_sockets(from: Ipv4Addr, ports: [u16; 3]) -> [UdpSocket; 3] {
    ports.map(|port| {
        let socket = socket(from);
        socket.connect((Ipv4Addr::LOCALHOST, port)).expect("loopback");
        socket
    })
}

fn socket(address: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).expect("loopback");
    socket.set_nonblocking(true).expect("a socket can be");
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(BUFFERS);
    let _ = socket2::SockRef::from(&socket).set_send_buffer_size(BUFFERS);
    socket
}

/// Local port and dropped datagrams of every UDP socket for IPv4 on this machine.
fn kernel_drops() -> Vec<(u16, u64)> {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let row = |line: &str| {
        let local = line.split_whitespace().nth(1)?;
        let port = u16::from_str_radix(local.split_once(':')?.1, 16).ok()?;
        Some((port, line.split_whitespace().last()?.parse().ok()?))
    };
    table.lines().skip(1).filter_map(row).collect()
}
