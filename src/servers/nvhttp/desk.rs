//! Where clients that want to pair wait for their PIN.

use crate::identity::{Clients, Fingerprint, Identity};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A client that shows a PIN and waits for someone to type it here.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Waiting {
    pub fingerprint: Fingerprint,
    pub address: IpAddr,
    pub since: Duration,
}

/// The client that was told the PIN.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Told {
    /// The name that it gets if the PIN is right.
    pub name: String,
    pub fingerprint: Fingerprint,
    pub address: IpAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no client waits for a PIN")]
pub struct NobodyWaits;

/// Matches waiting clients with PINs. Clones share one state.
#[derive(Clone)]
pub struct PairingDesk {
    _shared: Arc<()>,
}

impl PairingDesk {
    pub fn new(_identity: Arc<Identity>, _clients: Clients) -> Self {
        todo!()
    }

    /// Oldest first.
    pub fn waiting(&self) -> Vec<Waiting> {
        todo!()
    }

    /// Tells the oldest waiting client the PIN. The default name is `client-` and 8 hex digits of its fingerprint.
    pub async fn tell_pin(&self, _pin: &str, _name: Option<String>) -> Result<Told, NobodyWaits> {
        todo!()
    }
}
