use super::Fingerprint;
use std::path::Path;
use std::sync::Arc;

/// A client that was paired.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Client {
    /// Unique among the clients of this host.
    pub name: String,
    pub fingerprint: Fingerprint,
}

/// The paired clients. Clones share one state; the file under it may be changed by another process at any time.
#[derive(Clone)]
pub struct Clients {
    _shared: Arc<()>,
}

impl Clients {
    /// Reads `clients.toml` in `state_dir`; a missing file means that nobody is paired.
    pub fn load(_state_dir: &Path) -> anyhow::Result<Self> {
        todo!()
    }

    /// Lets the owner of this certificate (DER) play. A client that is there already is replaced; a name that another
    /// one bears gets a number. Returns the client as stored.
    pub fn add(&self, _name: &str, _certificate_der: &[u8]) -> anyhow::Result<Client> {
        todo!()
    }

    /// Returns false if nobody bears this name.
    pub fn remove(&self, _name: &str) -> anyhow::Result<bool> {
        todo!()
    }

    /// In the order of pairing.
    pub fn list(&self) -> Vec<Client> {
        todo!()
    }

    pub fn is_paired(&self, _fingerprint: &Fingerprint) -> bool {
        todo!()
    }
}
