//! Nonsense on a port is said once per kind: a flood fills no log.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// What nonsense one port has heard.
pub struct Noise {
    port: &'static str,
    said: Mutex<BTreeSet<&'static str>>,
}

impl Noise {
    /// `port` names the port in the log.
    pub const fn new(port: &'static str) -> Self {
        Self { port, said: Mutex::new(BTreeSet::new()) }
    }

    /// Logs the first of a kind at info, the others at trace.
    pub fn hear(&self, kind: &'static str, peer: SocketAddr) {
        if self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(kind) {
            tracing::info!(port = self.port, %peer, "{kind}; dropped, and not said again");
        } else {
            tracing::trace!(port = self.port, %peer, "{kind}");
        }
    }
}
