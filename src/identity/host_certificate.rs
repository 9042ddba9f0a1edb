use std::path::Path;

/// The host's own certificate and key. Clients pin the certificate, so it is made once and kept.
pub struct Identity {
    /// UUID by which clients recognise this host; follows from the certificate.
    pub unique_id: String,
    pub certificate_pem: String,
}

impl Identity {
    /// Reads `host.pem` in `state_dir`, or makes it: an RSA certificate of 2048 bits and its key.
    pub fn load_or_create(_state_dir: &Path) -> anyhow::Result<Self> {
        todo!()
    }
}
