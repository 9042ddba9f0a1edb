use super::*;
use crate::protocol::control::termination;
use crate::protocol::input::{Input, Sensor};
use crate::protocol::seal::Side;
use crate::servers::udp;
use rusty_enet::{EventNoRef, Host, HostSettings, MTU_MAX, Packet, PacketReceived, PeerID};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const KEY: SessionKey = SessionKey([5; 16]);
const DATA: u32 = 0xdead_beef;
const PATIENCE: Duration = Duration::from_secs(20);
const IDR: [u8; 6] = [2, 3, 2, 0, 0, 0];
const START_B: [u8; 5] = [7, 3, 1, 0, 0];

/// A socket that can be swapped for another one, and that waits a millisecond for a datagram.
struct Roaming {
    socket: UdpSocket,
    /// Nothing that the host sends arrives.
    deaf: bool,
}

impl Roaming {
    fn new(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        Self { socket, deaf: false }
    }
}

impl rusty_enet::Socket for Roaming {
    type Address = SocketAddr;
    type Error = io::Error;

    fn send(&mut self, address: SocketAddr, buffer: &[u8]) -> io::Result<usize> {
        self.socket.send_to(buffer, address)
    }

    fn receive(&mut self, buffer: &mut [u8; MTU_MAX]) -> io::Result<Option<(SocketAddr, PacketReceived)>> {
        match self.socket.recv_from(buffer) {
            Ok(_) if self.deaf => Ok(None),
            Ok((length, from)) => Ok(Some((from, PacketReceived::Complete(length)))),
            Err(_) => Ok(None),
        }
    }
}

/// A client on the library that the host uses; its other tests use the real one.
struct Client {
    enet: Host<Roaming>,
    peer: PeerID,
    seal: ControlSeal,
    sequence: u32,
    connected: bool,
    disconnected: bool,
    /// Opened messages of the host.
    heard: Vec<Vec<u8>>,
}

impl Client {
    fn connect(host: SocketAddr, from: &str, data: u32, v2: bool) -> Self {
        let settings = HostSettings { peer_limit: 1, channel_limit: 48, ..HostSettings::default() };
        let mut enet = Host::new(Roaming::new(from), settings).unwrap();
        let peer = enet.connect(host, 48, data).unwrap().id();
        let seal = ControlSeal::new(&KEY, v2);
        Self { enet, peer, seal, sequence: 0, connected: false, disconnected: false, heard: Vec::new() }
    }

    fn turn(&mut self) {
        while let Some(event) = self.enet.service().unwrap() {
            match event.no_ref() {
                EventNoRef::Connect { .. } => self.connected = true,
                EventNoRef::Disconnect { .. } => self.disconnected = true,
                EventNoRef::Receive { packet, channel_id, .. } => {
                    assert_eq!(channel_id, 0);
                    self.heard.push(self.seal.open(Side::Host, packet.data()).unwrap().1);
                }
            }
        }
    }

    fn send(&mut self, channel: u8, plain: &[u8]) {
        let sealed = self.seal.seal(Side::Client, self.sequence, plain);
        self.sequence += 1;
        self.send_raw(channel, &sealed);
    }

    fn send_raw(&mut self, channel: u8, message: &[u8]) {
        self.enet.peer_mut(self.peer).send(channel, &Packet::reliable(message)).unwrap();
    }

    /// Runs until `done`.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "waited for {what}");
            self.turn();
        }
    }

    /// Runs until the host reports something other than a ping.
    fn event(&mut self, peer: &mut ControlPeer) -> ControlEvent {
        let mut found = None;
        self.until("an event", |_| {
            found = peer.events.try_recv().ok();
            found.is_some()
        });
        found.expect("until returned")
    }
}

struct Running {
    server: ControlServer,
    v4: SocketAddr,
    v6: SocketAddr,
}

fn start() -> Running {
    start_with(SILENCE)
}

fn start_with(silence: Duration) -> Running {
    let socket = udp::bind(0).unwrap();
    let port = socket.local_addr().unwrap().port();
    let server = ControlServer::start_with(socket, silence).unwrap();
    Running { server, v4: ([127, 0, 0, 1], port).into(), v6: ([0, 0, 0, 0, 0, 0, 0, 1], port).into() }
}

/// A connected client.
fn joined(host: &Running) -> (Client, ControlPeer) {
    joined_with(host, Box::new(|_| {}))
}

fn joined_with(host: &Running, take_input: TakeInput) -> (Client, ControlPeer) {
    let mut peer = host.server.admit(DATA, KEY, true, take_input);
    let mut client = Client::connect(host.v4, "127.0.0.1:0", DATA, true);
    assert_eq!(client.event(&mut peer), ControlEvent::Connected);
    (client, peer)
}

fn alive(client: &mut Client, peer: &mut ControlPeer) {
    client.send(0, &IDR);
    assert_eq!(client.event(peer), ControlEvent::IdrRequest);
}

#[test]
fn both_versions_speak_both_ways_over_both_ip_versions() {
    let host = start();
    for (v2, address, from) in [(false, host.v4, "127.0.0.1:0"), (true, host.v6, "[::1]:0")] {
        let mut peer = host.server.admit(DATA, KEY, v2, Box::new(|_| {}));
        let mut client = Client::connect(address, from, DATA, v2);
        assert_eq!(client.event(&mut peer), ControlEvent::Connected);
        client.send(1, &IDR);
        assert_eq!(client.event(&mut peer), ControlEvent::IdrRequest);
        client.send(0x2f, &START_B);
        assert_eq!(client.event(&mut peer), ControlEvent::StartB);
        assert!(client.connected && client.enet.peer(client.peer).channel_count() == 48);
        peer.sender.send(HostMessage::Led { pad: 1, red: 2, green: 3, blue: 4 });
        client.until("the host's message", |client| !client.heard.is_empty());
        assert_eq!(client.heard[0], HostMessage::Led { pad: 1, red: 2, green: 3, blue: 4 }.encode());
    }
}

/// What is unknown or broken among it harms nothing.
#[test]
fn input_arrives_in_order() {
    let host = start();
    let (felt, feels) = std_mpsc::channel();
    let take_input = Box::new(move |input| felt.send(input).unwrap());
    let (mut client, _peer) = joined_with(&host, take_input);
    let unknown = [6, 2, 8, 0, 0, 0, 0, 4, 0xff, 0, 0, 0x55];
    let broken = [6, 2, 9, 0, 0, 0, 0, 5, 8, 0, 0, 0, 77];
    let way = |dx| [6, 2, 12, 0, 0, 0, 0, 8, 7, 0, 0, 0, 0, dx, 0, 0];
    for message in [&way(1)[..], &unknown, &unknown, &broken, &way(2)] {
        client.send(3, message);
    }
    for dx in [1, 2] {
        let mut next = None;
        client.until("input", |_| {
            next = feels.try_recv().ok();
            next.is_some()
        });
        assert_eq!(next, Some(Input::RelativeMotion { dx, dy: 0 }));
    }
}

#[test]
fn a_termination_is_heard_before_the_disconnect() {
    let host = start();
    let (mut client, mut peer) = joined(&host);
    peer.sender.terminate(termination::GRACEFUL);
    client.until("the disconnect", |client| client.disconnected);
    assert_eq!(client.heard, [HostMessage::Terminate(termination::GRACEFUL).encode()]);
    assert_eq!(client.event(&mut peer), ControlEvent::Disconnected);
    client.until("the end of events", |_| {
        peer.events.try_recv() == Err(mpsc::error::TryRecvError::Disconnected)
    });
}

#[test]
fn a_session_that_ends_takes_its_connection_along() {
    let host = start();
    let (mut client, peer) = joined(&host);
    peer.sender.terminate(termination::GRACEFUL);
    drop(peer);
    client.until("the disconnect", |client| client.disconnected);
    assert_eq!(client.heard.len(), 1);
    // And the data can be used anew.
    joined(&host);
}

#[test]
fn a_client_that_leaves_is_reported() {
    let host = start();
    let (mut client, mut peer) = joined(&host);
    client.enet.peer_mut(client.peer).disconnect(0);
    assert_eq!(client.event(&mut peer), ControlEvent::Disconnected);
}

#[test]
fn a_client_that_falls_silent_is_reported() {
    let host = start_with(Duration::from_millis(300));
    let (client, mut peer) = joined(&host);
    drop(client);
    assert_eq!(peer.events.blocking_recv(), Some(ControlEvent::Disconnected));
    assert_eq!(peer.events.blocking_recv(), None);
}

/// Nothing of the host reaches it for longer than it may be silent itself.
#[test]
fn a_client_that_speaks_stays_although_it_does_not_hear() {
    let silence = Duration::from_secs(1);
    let host = start_with(silence);
    let (mut client, mut peer) = joined(&host);
    client.enet.socket_mut().deaf = true;
    peer.sender.send(HostMessage::Motion { pad: 0, hertz: 0, sensor: Sensor::Accelerometer });
    let begin = Instant::now();
    while client.heard.is_empty() {
        assert!(begin.elapsed() < PATIENCE, "what the host had to say comes at last");
        client.enet.socket_mut().deaf = begin.elapsed() < 3 * silence;
        alive(&mut client, &mut peer);
        std::thread::sleep(silence / 20);
    }
    assert!(begin.elapsed() >= 3 * silence);
    alive(&mut client, &mut peer);
}

#[test]
fn a_client_without_its_key_is_silent() {
    let host = start_with(Duration::from_millis(300));
    let (mut client, mut peer) = joined(&host);
    client.seal = ControlSeal::new(&SessionKey([6; 16]), true);
    client.send(0, &IDR);
    assert_eq!(client.event(&mut peer), ControlEvent::Disconnected);
    client.until("the disconnect", |client| client.disconnected);
}

#[test]
fn strangers_do_not_get_in() {
    let host = start();
    let mut stranger = Client::connect(host.v4, "127.0.0.1:0", DATA + 1, true);
    stranger.turn();
    let (mut client, mut peer) = joined(&host);
    let mut second = Client::connect(host.v4, "127.0.0.1:0", DATA, true);
    second.turn();
    alive(&mut client, &mut peer);
    stranger.turn();
    second.turn();
    assert!(!stranger.connected && !second.connected);
}

#[test]
fn a_client_may_change_its_port() {
    let host = start();
    let (mut client, mut peer) = joined(&host);
    for _ in 0..3 {
        *client.enet.socket_mut() = Roaming::new("127.0.0.1:0");
        alive(&mut client, &mut peer);
        let heard = client.heard.len();
        peer.sender.send(HostMessage::Motion { pad: 0, hertz: 0, sensor: Sensor::Accelerometer });
        client.until("the answer at the new port", |client| client.heard.len() > heard);
    }
}

#[test]
fn nobody_else_ends_or_moves_a_connection() {
    let host = start();
    let (mut client, mut peer) = joined(&host);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for slot in 0..4u8 {
        for session in 0..4u8 {
            // Disconnect, and a ping that would ask for an acknowledgement.
            stranger.send_to(&[session << 4, slot, 0x44, 0xff, 0, 0, 0, 0, 0, 0], host.v4).unwrap();
            stranger.send_to(&[0x80 | session << 4, slot, 0, 0, 0x85, 0xff, 0, 9], host.v4).unwrap();
        }
    }
    alive(&mut client, &mut peer);
    assert!(!client.disconnected);
    stranger.set_nonblocking(true).unwrap();
    assert!(stranger.recv(&mut [0; 100]).is_err(), "the host tells strangers nothing");
}

#[test]
fn nonsense_from_a_client_changes_nothing() {
    let host = start();
    let (mut client, mut peer) = joined(&host);
    client.send_raw(0, &IDR);
    client.send_raw(0, &[]);
    client.send_raw(0, &[1, 0, 255, 255, 0]);
    let foreign = ControlSeal::new(&SessionKey([6; 16]), true);
    client.send_raw(0, &foreign.seal(Side::Client, 0, &IDR));
    client.send(0, &[1, 2, 3]);
    client.send(0, &[0xff, 0xff, 0, 0]);
    client.send(0, &[2, 3, 255, 255]);
    let twice = client.seal.seal(Side::Client, client.sequence, &START_B);
    client.sequence += 1;
    client.send_raw(0, &twice);
    client.send_raw(0, &twice);
    client.send(0, &IDR);
    assert_eq!(client.event(&mut peer), ControlEvent::StartB);
    assert_eq!(client.event(&mut peer), ControlEvent::IdrRequest);
}

#[test]
fn a_flood_of_random_datagrams_leaves_the_client_connected() {
    let host = start();
    let (mut client, mut peer) = joined(&host);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut state = 1u64;
    for round in 0..50 {
        for _ in 0..200 {
            let mut datagram = [0; 64];
            for byte in &mut datagram {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                *byte = (state >> 56) as u8;
            }
            // Every second one names a slot that exists.
            if state & 1 << 40 == 0 {
                (datagram[0], datagram[1]) = (datagram[0] & 0xb0, 0);
            }
            stranger.send_to(&datagram[..(state >> 33) as usize % 65], host.v4).unwrap();
        }
        client.send(0, &IDR);
        assert_eq!(client.event(&mut peer), ControlEvent::IdrRequest, "round {round}");
    }
    assert!(!client.disconnected);
}

#[test]
fn stopping_tells_the_clients_and_frees_the_port() {
    let mut host = start();
    let (mut client, mut peer) = joined(&host);
    let stopper = std::thread::spawn(move || host.server.stop());
    client.until("the disconnect", |client| client.disconnected);
    stopper.join().unwrap();
    assert_eq!(client.event(&mut peer), ControlEvent::Disconnected);
    drop(udp::bind(host.v4.port()).unwrap());
    peer.sender.send(HostMessage::Terminate(0));
}
