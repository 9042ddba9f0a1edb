//! The control port: ENet over UDP, served by a thread of its own.

mod gate;
mod socket;
mod worker;

use crate::protocol::control::{ControlEvent, HostMessage};
use crate::protocol::input::Input;
use crate::protocol::params::SessionKey;
use crate::protocol::seal::ControlSeal;
use crate::threads::{self, Rtkit};
use std::io::{self, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;
use worker::{Command, Worker};

/// A client pings ten times a second; this long without a word means that it is gone.
const SILENCE: Duration = Duration::from_secs(10);
/// Events that wait for a session at most; what comes beyond them is dropped.
const MAX_EVENTS: usize = 1024;

/// Takes what a client's player does, on the thread of the control port: it must not wait for anything.
pub type TakeInput = Box<dyn Fn(Input) + Send>;

/// The control port of the host.
pub struct ControlServer {
    mailbox: Mailbox,
    next_id: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

impl ControlServer {
    /// Serves `socket` (of [`crate::servers::udp::bind`]) on a new thread until [`stop`](Self::stop) or drop.
    pub fn start(socket: UdpSocket) -> io::Result<Self> {
        Self::start_with(socket, SILENCE)
    }

    fn start_with(socket: UdpSocket, silence: Duration) -> io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (sender, commands) = std_mpsc::channel();
        let worker = Worker::new(socket, woken, commands, silence)?;
        let rtkit = Rtkit::here();
        let thread = std::thread::Builder::new().name("control".into()).spawn(move || {
            threads::raise(threads::INPUT, &rtkit);
            run(worker);
        })?;
        let mailbox = Mailbox { sender, wake: Arc::new(wake) };
        Ok(Self { mailbox, next_id: AtomicU64::new(0), thread: Some(thread) })
    }

    /// Lets in the one client that connects with `connect_data`, which no other admitted client may have. `v2` is what
    /// ANNOUNCE settled (`control_v2`). Input does not come with the events: there is no time to lose. Dropping the answer
    /// closes its connection and forgets it.
    pub fn admit(&self, connect_data: u32, key: SessionKey, v2: bool, take_input: TakeInput) -> ControlPeer {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        let seal = Box::new(ControlSeal::new(&key, v2));
        let round_trip = Arc::default();
        self.mailbox.put(Command::Admit {
            id,
            connect_data,
            seal,
            events: sender,
            take_input,
            round_trip: Arc::clone(&round_trip),
        });
        ControlPeer { events, sender: ControlSender { id, mailbox: self.mailbox.clone() }, round_trip }
    }

    /// Tells what was queued, closes every connection, and returns when thread and socket are gone. Blocks up to 0.3 s.
    pub fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.mailbox.put(Command::Stop);
        thread.join().expect("panics end in `run`");
    }
}

/// A panic ends every connection: sessions hear it from their events.
fn run(worker: Worker) {
    if catch_unwind(AssertUnwindSafe(|| worker.run())).is_err() {
        tracing::error!("the control thread panicked: no client can be heard until the host is started anew");
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One admitted client.
pub struct ControlPeer {
    /// Ends after [`ControlEvent::Disconnected`].
    pub events: mpsc::Receiver<ControlEvent>,
    pub sender: ControlSender,
    /// In milliseconds.
    round_trip: Arc<AtomicU32>,
}

/// Nobody plays over a longer way: it is a machine that stood still, or a network that did.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(1);

impl ControlPeer {
    /// How long an answer of the client takes, a second at most; zero before that is known. ENet takes its first
    /// measurement as it is, when the connection is made, and approaches later ones by an eighth each time.
    pub fn round_trip(&self) -> Duration {
        let measured = Duration::from_millis(self.round_trip.load(Ordering::Relaxed).into());
        measured.min(LONGEST_ROUND_TRIP)
    }
}

impl Drop for ControlPeer {
    fn drop(&mut self) {
        self.sender.mailbox.put(Command::Remove { id: self.sender.id });
    }
}

/// Speaks to one client; never blocks.
#[derive(Clone)]
pub struct ControlSender {
    id: u64,
    mailbox: Mailbox,
}

impl ControlSender {
    /// Sends reliably, in order. Dropped if the client is not connected.
    pub fn send(&self, message: HostMessage) {
        self.mailbox.put(Command::Send { id: self.id, message });
    }

    /// Tells the client why the stream ends, then closes the connection. See [`crate::protocol::control::termination`].
    /// [`ControlEvent::Disconnected`] follows within 2 s, and the [`ControlPeer`] may be dropped at once.
    pub fn terminate(&self, code: u32) {
        self.mailbox.put(Command::Terminate { id: self.id, code });
    }
}

/// Where the thread finds its commands.
#[derive(Clone)]
struct Mailbox {
    sender: std_mpsc::Sender<Command>,
    wake: Arc<UnixStream>,
}

impl Mailbox {
    fn put(&self, command: Command) {
        // After the thread ended nobody is connected, and every command has nothing left to do.
        if self.sender.send(command).is_ok() {
            // A full pipe wakes as well.
            let _ = (&*self.wake).write(&[0]);
        }
    }
}

#[cfg(test)]
mod tests;
