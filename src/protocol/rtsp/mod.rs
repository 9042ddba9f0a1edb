//! RTSP as GameStream speaks it: requests and answers, the session description, and what each request means.

pub mod conversation;
pub mod message;
pub mod sdp;

use crate::protocol::params::{Codec, Surround};
use std::fmt;

/// One player's session, unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What the host tells a client about its session before ANNOUNCE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtspOffer {
    /// Value of the `Session` header: no blank, no semicolon.
    pub session: String,
    /// Codecs that encode here; H.264 needs no mention, the client takes it for granted.
    pub codecs: Vec<Codec>,
    pub video_port: u16,
    pub control_port: u16,
    pub audio_port: u16,
    /// First 16 bytes of this session's video pings, printable ASCII.
    pub video_ping: [u8; 16],
    /// First 16 bytes of this session's audio pings, printable ASCII.
    pub audio_ping: [u8; 16],
    /// Data of the ENet connect of this session.
    pub connect_data: u32,
    /// The encoder can invalidate references. Says so only if every 0x0301 is answered.
    pub rfi: bool,
    /// Touchpads and sensors of controllers are felt; clients keep them to themselves otherwise.
    pub controller_sensors: bool,
    /// How surround is coded, for each number of channels that is.
    pub surround: Vec<Surround>,
}

/// Why the host will not go on; the client shows the status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {reason}")]
pub struct RtspRefusal {
    /// 4xx for a wish that cannot be met, 5xx for a fault of this host.
    pub status: u16,
    /// One line; becomes the reason phrase of the answer.
    pub reason: String,
}

impl RtspRefusal {
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}
