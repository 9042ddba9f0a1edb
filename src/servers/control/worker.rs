//! The thread of the control port: it owns ENet and every connection.

use crate::protocol::control::{self, ControlEvent, HostMessage, MessageError};
use crate::protocol::input::InputError;
use crate::protocol::seal::{ControlSeal, SealError, Side};
use crate::servers::control::TakeInput;
use crate::servers::control::gate::OpenError;
use crate::servers::control::socket::ControlSocket;
use crate::servers::noise::Noise;
use rusty_enet::{EventNoRef, Host, HostSettings, Packet, PeerID, PeerState};
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How ENet fits its unreliable messages to the round trip.
struct Throttle {
    /// Milliseconds.
    interval: u32,
    acceleration: u32,
    deceleration: u32,
}

/// Told to each client: ENet's usual values but that nothing is ever left out. A client sends its reports of lost frames
/// without reliability, and its ENet would keep them back while a queue stretches the round trip, which is when they count.
const NO_THROTTLE: Throttle = Throttle { interval: 5000, acceleration: 32, deceleration: 0 };

/// In milliseconds. Who is gone is decided by what was heard ([`Worker::give_up`]): ENet counts the answers to what it
/// sent alone, which it repeats ever more rarely on a network that comes and goes.
const NO_TIMEOUT: u32 = 24 * 3600 * 1000;
/// Connections at once, those under way and those on their way out included.
const MAX_PEERS: usize = 64;
/// Clients ask for as many and use 0 to 0x2f; with fewer they would send everything on 0.
const CHANNELS: usize = 48;
/// ENet resends by its own clock, which stands still between two calls.
const TICK: Duration = Duration::from_millis(5);
/// Events after which commands get their turn, so that a client that never pauses delays nobody.
const EVENTS_A_TURN: usize = 256;
/// A client that was told goodbye often just leaves: its slot waits no longer for a last word.
const LINGER: Duration = Duration::from_secs(2);
/// The same for a host that stops.
const LAST_LINGER: Duration = Duration::from_millis(300);
/// No message of a client comes near.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
const MAX_WAITING_BYTES: usize = 1024 * 1024;
/// Kinds of input that are remembered as unknown; clients know a few that we do not, if any.
const MAX_UNKNOWN_INPUTS: usize = 16;

pub enum Command {
    Admit {
        id: u64,
        connect_data: u32,
        seal: Box<ControlSeal>,
        events: mpsc::Sender<ControlEvent>,
        take_input: TakeInput,
        round_trip: Arc<AtomicU32>,
    },
    Send {
        id: u64,
        message: HostMessage,
    },
    Terminate {
        id: u64,
        code: u32,
    },
    Remove {
        id: u64,
    },
    Stop,
}

pub struct Worker {
    host: Host<ControlSocket>,
    socket: Arc<UdpSocket>,
    woken: UnixStream,
    commands: std_mpsc::Receiver<Command>,
    noise: Arc<Noise>,
    /// Kinds of input that were said to be unknown.
    unknown_inputs: BTreeSet<u32>,
    /// After this long without a word a client is gone.
    silence: Duration,
    clients: HashMap<u64, Client>,
    /// Connections that were told to close, and when we stop to wait for it.
    closing: HashMap<PeerID, Instant>,
}

/// An admitted client.
struct Client {
    connect_data: u32,
    seal: ControlSeal,
    next_sequence: u32,
    /// `None` once it is over.
    events: Option<mpsc::Sender<ControlEvent>>,
    take_input: TakeInput,
    slot: Option<PeerID>,
    last_heard: Instant,
    /// In milliseconds, as ENet smooths it.
    round_trip: Arc<AtomicU32>,
}

impl Client {
    fn report(&self, event: ControlEvent) {
        let Some(events) = &self.events else { return };
        if let Err(mpsc::error::TrySendError::Full(event)) = events.try_send(event) {
            tracing::debug!("a session does not keep up with its client; dropped {event:?}");
        }
    }
}

impl Worker {
    pub fn new(
        socket: UdpSocket,
        woken: UnixStream,
        commands: std_mpsc::Receiver<Command>,
        silence: Duration,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = Arc::new(socket);
        let noise = Arc::new(Noise::new("control"));
        let start = Instant::now();
        let settings = HostSettings {
            peer_limit: MAX_PEERS,
            channel_limit: CHANNELS,
            // The default follows the wall clock, which people set.
            time: Box::new(move || start.elapsed()),
            ..HostSettings::default()
        };
        let enet_socket =
            ControlSocket { socket: socket.clone(), gate: Default::default(), noise: noise.clone() };
        let mut host = Host::new(enet_socket, settings).expect("the limits are in ENet's range");
        host.set_maximum_packet_size(MAX_MESSAGE_BYTES).expect("not zero");
        host.set_maximum_waiting_data(MAX_WAITING_BYTES).expect("not zero");
        let (clients, closing) = (HashMap::new(), HashMap::new());
        let unknown_inputs = BTreeSet::new();
        Ok(Self { host, socket, woken, commands, noise, unknown_inputs, silence, clients, closing })
    }

    pub fn run(mut self) {
        while self.obey() {
            let more = self.service();
            self.give_up(Instant::now());
            let idle = self.host.peers().all(|peer| peer.state() == PeerState::Disconnected);
            match (more, idle) {
                (true, _) => self.wait(Some(Duration::ZERO)),
                (false, false) => self.wait(Some(TICK)),
                (false, true) => self.wait(None),
            }
        }
        self.say_goodbye();
    }

    /// Does what was asked; `false` after `Stop`.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Admit { id, connect_data, seal, events, take_input, round_trip }) => {
                    self.host.socket_mut().gate.admit(connect_data);
                    let client = Client {
                        connect_data,
                        seal: *seal,
                        next_sequence: 0,
                        events: Some(events),
                        take_input,
                        slot: None,
                        last_heard: Instant::now(),
                        round_trip,
                    };
                    self.clients.insert(id, client);
                }
                Ok(Command::Send { id, message }) => self.send(id, &message),
                Ok(Command::Terminate { id, code }) => {
                    self.send(id, &HostMessage::Terminate(code));
                    self.close(id);
                }
                Ok(Command::Remove { id }) => self.remove(id),
                Ok(Command::Stop) | Err(std_mpsc::TryRecvError::Disconnected) => return false,
                Err(std_mpsc::TryRecvError::Empty) => return true,
            }
        }
    }

    fn send(&mut self, id: u64, message: &HostMessage) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(slot) = client.slot else { return };
        let sealed = client.seal.seal(Side::Host, client.next_sequence, &message.encode());
        client.next_sequence += 1;
        if let Err(error) = self.host.peer_mut(slot).send(0, &Packet::reliable(sealed)) {
            tracing::debug!("a control message was not sent: {error}");
        }
        self.host.flush();
    }

    /// Closes the connection after what is queued. A client that never connected is over at once.
    fn close(&mut self, id: u64) {
        let Some(client) = self.clients.get(&id) else { return };
        let Some(slot) = client.slot else { return self.finish(id) };
        if !self.closing.contains_key(&slot) {
            self.host.peer_mut(slot).disconnect_later(0);
            self.host.flush();
            self.closing.insert(slot, Instant::now() + LINGER);
        }
    }

    fn remove(&mut self, id: u64) {
        self.close(id);
        if let Some(client) = self.clients.remove(&id) {
            self.dismiss(client.connect_data);
        }
    }

    /// Unless another client was admitted with the same data since.
    fn dismiss(&mut self, connect_data: u32) {
        if !self.clients.values().any(|c| c.connect_data == connect_data && c.events.is_some()) {
            self.host.socket_mut().gate.dismiss(connect_data);
        }
    }

    /// Nothing more will come from this client.
    fn finish(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.report(ControlEvent::Disconnected);
        client.events = None;
        client.slot = None;
        let connect_data = client.connect_data;
        self.dismiss(connect_data);
    }

    fn client_in(&self, slot: PeerID) -> Option<u64> {
        self.clients.iter().find(|(_, client)| client.slot == Some(slot)).map(|(id, _)| *id)
    }

    /// Lets ENet receive, send, resend and time out; `true` if there may be more to report.
    fn service(&mut self) -> bool {
        for _ in 0..EVENTS_A_TURN {
            match self.host.service() {
                Ok(Some(event)) => match event.no_ref() {
                    EventNoRef::Connect { peer, data } => self.connected(peer, data),
                    EventNoRef::Receive { peer, packet, .. } => self.received(peer, packet.data()),
                    EventNoRef::Disconnect { peer, .. } => self.gone(peer),
                },
                Ok(None) => return false,
                Err(error) => {
                    tracing::debug!("control: {error}");
                    return false;
                }
            }
        }
        true
    }

    fn connected(&mut self, slot: PeerID, data: u32) {
        let address = self.address(slot);
        let free = |client: &&mut Client| {
            client.connect_data == data && client.slot.is_none() && client.events.is_some()
        };
        let Some(client) = self.clients.values_mut().find(free) else {
            self.noise.hear("a connect of no session", address);
            return self.host.peer_mut(slot).disconnect_now(0);
        };
        client.slot = Some(slot);
        client.last_heard = Instant::now();
        client.report(ControlEvent::Connected);
        let seal = client.seal.clone();
        self.host.peer_mut(slot).set_timeout(0, NO_TIMEOUT, NO_TIMEOUT);
        let Throttle { interval, acceleration, deceleration } = NO_THROTTLE;
        self.host.peer_mut(slot).set_throttle(interval, acceleration, deceleration);
        let gate = &mut self.host.socket_mut().gate;
        gate.occupy(slot.0 as u16, address, seal);
        gate.dismiss(data);
        tracing::info!(peer = %address, "control connected");
    }

    fn received(&mut self, slot: PeerID, message: &[u8]) {
        let Some(id) = self.client_in(slot) else { return };
        let opened = self.host.socket_mut().gate.open(slot.0 as u16, message);
        let address = self.address(slot);
        let plain = match opened {
            Ok(plain) => plain,
            Err(OpenError::Seal(SealError::NotSealed)) => {
                return self.noise.hear("a control message in the clear", address);
            }
            Err(OpenError::Seal(_)) => {
                return self.noise.hear("a control message that no key opens", address);
            }
            Err(OpenError::Replayed) => {
                return self.noise.hear("a control message that came before", address);
            }
        };
        let round_trip = self.host.peer(slot).round_trip_time().as_millis() as u32;
        let client = self.clients.get_mut(&id).expect("client_in found it");
        client.last_heard = Instant::now();
        client.round_trip.store(round_trip, Ordering::Relaxed);
        match control::parse(&plain) {
            Ok(ControlEvent::Input(input)) => (client.take_input)(input),
            Ok(event) => client.report(event),
            Err(MessageError::Input(InputError::Unknown(kind))) => self.unknown_input(kind, address),
            Err(error) => {
                tracing::debug!(peer = %address, "{error}");
                self.noise.hear("a control message that means nothing here", address);
            }
        }
    }

    /// A newer client has more kinds of input, and does not send them once.
    fn unknown_input(&mut self, kind: u32, address: SocketAddr) {
        let new = self.unknown_inputs.len() < MAX_UNKNOWN_INPUTS && self.unknown_inputs.insert(kind);
        if new {
            tracing::debug!(peer = %address, "{}; not said again", InputError::Unknown(kind));
        }
    }

    /// ENet reported the end of a connection, or we gave it up.
    fn gone(&mut self, slot: PeerID) {
        self.host.socket_mut().gate.vacate(slot.0 as u16);
        self.closing.remove(&slot);
        if let Some(id) = self.client_in(slot) {
            tracing::info!("control disconnected");
            self.finish(id);
        }
    }

    /// Ends what is silent or does not take its leave.
    fn give_up(&mut self, now: Instant) {
        let silent: Vec<u64> = self
            .clients
            .iter()
            .filter(|(_, client)| client.slot.is_some() && now - client.last_heard >= self.silence)
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            tracing::info!("a client has been silent for {:?}", self.silence);
            self.close(id);
            self.finish(id);
        }
        let overdue: Vec<PeerID> =
            self.closing.iter().filter(|(_, until)| now >= **until).map(|(slot, _)| *slot).collect();
        for slot in overdue {
            self.host.peer_mut(slot).reset();
            self.gone(slot);
        }
    }

    /// Sleeps until a datagram or a command comes, or `most` has passed.
    fn wait(&mut self, most: Option<Duration>) {
        let milliseconds = most.map_or(-1, |most| most.as_millis() as libc::c_int);
        let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut entries = [entry(self.socket.as_raw_fd()), entry(self.woken.as_raw_fd())];
        // SAFETY: `entries` is an array of that many entries, and both descriptors stay open in `self`.
        unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, milliseconds) };
        while matches!(self.woken.read(&mut [0; 64]), Ok(64)) {}
    }

    /// Gives every client a moment to hear that it is over.
    fn say_goodbye(&mut self) {
        let ids: Vec<u64> = self.clients.keys().copied().collect();
        for id in ids {
            self.close(id);
        }
        let until = Instant::now() + LAST_LINGER;
        while !self.closing.is_empty() && Instant::now() < until {
            self.service();
            self.wait(Some(TICK));
        }
        let ids: Vec<u64> = self.clients.keys().copied().collect();
        for id in ids {
            self.finish(id);
        }
    }

    fn address(&self, slot: PeerID) -> SocketAddr {
        self.host.peer(slot).address().expect("a connection has an address").peer
    }
}
