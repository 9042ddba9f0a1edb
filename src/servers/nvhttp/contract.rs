//! What nvhttp asks of the sessions, and what it is told about the host.

use crate::identity::Fingerprint;
use crate::protocol::params::{Codec, SessionKey};
use crate::protocol::ports::Ports;
use crate::servers::rtsp::BoxFuture;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What the host offers to every client.
#[derive(Clone, Debug)]
pub struct HostOffer {
    /// What a person sees in the client's list of hosts.
    pub name: String,
    /// Codecs that encode here; never empty.
    pub codecs: Vec<Codec>,
    pub ports: Ports,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Stable, positive, below 2³¹.
    pub id: u32,
    pub title: String,
    /// Its picture, PNG or JPEG; a card of the host's own if there is none.
    pub image: Option<PathBuf>,
}

/// A paired client wants to play (`/launch`) or to go on playing (`/resume`).
#[derive(Clone, Debug)]
pub struct LaunchRequest {
    pub client: Fingerprint,
    /// An app of [`PlayerSessions::apps`]; 0 in a resume that names none.
    pub app: u32,
    /// Width, height, frames per second. Some clients leave it out of a resume.
    pub mode: Option<(u32, u32, u32)>,
    /// New with every launch and resume.
    pub key: SessionKey,
    /// `rikeyid`, a signed number on the wire, modulo 2³².
    pub key_id: u32,
    /// The client seals its RTSP (`corever` ≥ 1).
    pub rtsp_encrypted: bool,
    /// `surroundAudioInfo`: channel mask << 16 | channels.
    pub surround: u32,
    /// The host is to play the sound too.
    pub local_audio: bool,
    pub peer: SocketAddr,
    /// The address of this host that the client used.
    pub local: SocketAddr,
}

/// The RTSP port listens and waits for this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    pub rtsp_port: u16,
}

/// Why nothing starts; the client shows the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status_code} {message}")]
pub struct Refusal {
    /// 4xx for a wish that cannot be met, 5xx for a fault of this host; never 401, by which clients forget the pairing.
    pub status_code: u16,
    /// One sentence.
    pub message: String,
}

impl Refusal {
    pub fn new(status_code: u16, message: impl Into<String>) -> Self {
        Self { status_code, message: message.into() }
    }
}

/// What nvhttp asks of the sessions. The futures run to their end even if the client hangs up.
pub trait PlayerSessions: Send + Sync {
    /// What a client may launch, in the order in which it shows them.
    fn apps(&self) -> BoxFuture<'_, Vec<App>>;
    /// The app that this client left running or plays now; 0 for none.
    fn running_app(&self, client: &Fingerprint) -> u32;
    fn launch(&self, request: LaunchRequest) -> BoxFuture<'_, Result<Launched, Refusal>>;
    fn resume(&self, request: LaunchRequest) -> BoxFuture<'_, Result<Launched, Refusal>>;
    /// Ends this client's session and its app. Afterwards `running_app` is 0, also if there was none.
    fn cancel(&self, client: &Fingerprint) -> BoxFuture<'_, Result<(), Refusal>>;
}
