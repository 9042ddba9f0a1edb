//! Who this host is, and the clients that may play.

mod clients;
mod fingerprint;
mod host_certificate;
mod permissions;

pub use clients::{Client, Clients};
pub use fingerprint::Fingerprint;
pub use host_certificate::Identity;
pub use permissions::Permissions;
