//! How long a mouse event takes from its datagram to whatever takes input: through ENet, the seal, the queue and the thread
//! of a session's hands, with a client on the library that the host uses. Once alone, once while every core has other work.

#[path = "../plugins/gamestream/benches/common/mod.rs"]
mod common;

use common::{Options, Table, number, print_machine, quantile};
use moonpipe::input::{Allowed, Hands, Injector};
use moonpipe::protocol::input::Input;
use moonpipe::protocol::params::SessionKey;
use moonpipe::protocol::seal::{ControlSeal, Side};
use moonpipe::servers::control::ControlServer;
use moonpipe::servers::udp;
use rusty_enet::{EventNoRef, Host, HostSettings, Packet, PeerID};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

const KEY: SessionKey = SessionKey([5; 16]);
const DATA: u32 = 0xdead_beef;
const CHANNELS: usize = 48;
const MOUSE_CHANNEL: u8 = 3;
const PATIENCE: Duration = Duration::from_secs(10);

/// Says when it was told.
struct Clock(Sender<(Instant, i32)>);

impl Injector for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn inject(&mut self, input: &Input) {
        let now = Instant::now();
        if let Input::RelativeMotion { dx, .. } = input {
            self.0.send((now, *dx)).expect("somebody measures");
        }
    }
}

struct Client {
    enet: Host<UdpSocket>,
    host: PeerID,
    seal: ControlSeal,
    sequence: u32,
}

impl Client {
    fn connect(port: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let settings = HostSettings { peer_limit: 1, channel_limit: CHANNELS, ..HostSettings::default() };
        let mut enet = Host::new(socket, settings).expect("limits in range");
        let host =
            enet.connect(SocketAddr::from(([127, 0, 0, 1], port)), CHANNELS, DATA).expect("a slot").id();
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "it does not connect");
            if let Some(EventNoRef::Connect { .. }) =
                enet.service().expect("a socket").map(|event| event.no_ref())
            {
                return Self { enet, host, seal: ControlSeal::new(&KEY, true), sequence: 0 };
            }
        }
    }

    /// Sends a mouse event; when that was.
    fn move_mouse(&mut self, dx: i16) -> Instant {
        let body = [&0x07_u32.to_le_bytes()[..], &dx.to_be_bytes(), &0_i16.to_be_bytes()].concat();
        let input = [&(body.len() as u32).to_be_bytes()[..], &body].concat();
        let message = [&0x0206_u16.to_le_bytes()[..], &(input.len() as u16).to_le_bytes(), &input].concat();
        let sealed = self.seal.seal(Side::Client, self.sequence, &message);
        self.sequence += 1;
        self.enet
            .peer_mut(self.host)
            .send(MOUSE_CHANNEL, &Packet::reliable(sealed))
            .expect("it is connected");
        let now = Instant::now();
        self.enet.flush();
        now
    }

    fn turn(&mut self) {
        while self.enet.service().expect("a socket").is_some() {}
    }
}

/// Of `count` events, a hundred a second.
fn measure(client: &mut Client, told: &Receiver<(Instant, i32)>, count: usize) -> Vec<Duration> {
    let mut delays = Vec::new();
    for number in 0..count {
        let dx = (number % 1000) as i16 + 1;
        let sent = client.move_mouse(dx);
        let (injected, moved) = told.recv_timeout(PATIENCE).expect("it arrives");
        assert_eq!(moved, i32::from(dx), "one at a time");
        delays.push(injected - sent);
        let next = sent + Duration::from_millis(10);
        while Instant::now() < next {
            client.turn();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    delays
}

fn main() {
    let Options { quick, .. } = Options::from_args();
    let count = if quick { 200 } else { 2000 };
    print_machine("Input", format!("{count} mouse events, a hundred a second."));
    let socket = udp::bind(0).expect("a port");
    let port = socket.local_addr().expect("bound").port();
    let server = ControlServer::start(socket).expect("a thread");
    let (tell, told) = channel();
    let allowed = Allowed { input: true, controllers: true };
    let hands = Hands::start("bench".into(), allowed).expect("a thread");
    hands.direct(move || Box::new(Clock(tell)));
    let _peer = server.admit(DATA, KEY, true, Box::new(hands.taker()));
    let mut client = Client::connect(port);
    let alone = measure(&mut client, &told, count);

    let over = Arc::new(AtomicBool::new(false));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let busy: Vec<_> = (0..cores)
        .map(|_| {
            let over = over.clone();
            std::thread::spawn(move || while !over.load(Ordering::Relaxed) {})
        })
        .collect();
    let beside = measure(&mut client, &told, count);
    over.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().expect("it does nothing"));

    let mut table = Table::new(&["ms from datagram to injection", "median", "99 %", "all"]);
    for (what, delays) in [("alone", alone), ("beside a busy thread for each core", beside)] {
        let within = |share| number(quantile(&delays, share).as_secs_f64() * 1e3);
        table.row([what.to_owned(), within(0.5), within(0.99), within(1.0)]);
    }
    table.print("Mouse events are injected");
}
