//! Why a session ends, and what follows from that.

use super::displays::Leaving;
use crate::protocol::control::termination;
use std::fmt;

/// Why a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client quit the app.
    Quit,
    /// The same client launches again.
    Replaced,
    HostEnds,
    /// Another client took over what it played.
    TakenOver,
    /// Whose display it saw has left.
    OwnerLeft,
    /// The client may not play any more.
    Revoked,
    /// The client closed its connection; it may resume.
    ClientLeft,
    /// Nothing was heard of the client for too long; it may resume.
    Silent,
    /// The client launched and never came to play.
    NeverPlayed,
    /// The app ended by itself, in this way.
    AppEnded(String),
    /// A stream cannot go on.
    Failed(String),
}

impl End {
    /// What to tell the client; nothing to one that is not there.
    pub fn termination(&self) -> Option<u32> {
        match self {
            Self::Quit
            | Self::Replaced
            | Self::TakenOver
            | Self::OwnerLeft
            | Self::HostEnds
            | Self::Revoked
            | Self::AppEnded(_) => Some(termination::GRACEFUL),
            Self::Failed(_) => Some(termination::FRAME_CONVERSION),
            Self::ClientLeft | Self::Silent | Self::NeverPlayed => None,
        }
    }

    /// How its display is left.
    pub fn leaving(&self) -> Leaving {
        match self {
            Self::ClientLeft | Self::Silent | Self::NeverPlayed => Leaving::Away,
            Self::Replaced | Self::TakenOver => Leaving::Replaced,
            Self::Quit
            | Self::OwnerLeft
            | Self::HostEnds
            | Self::Revoked
            | Self::AppEnded(_)
            | Self::Failed(_) => Leaving::Ended,
        }
    }

    /// The client can go on where it was.
    pub fn may_resume(&self) -> bool {
        matches!(self, Self::ClientLeft | Self::Silent)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quit => "the client quit the app",
            Self::Replaced => "the client launched again",
            Self::HostEnds => "the host ends",
            Self::TakenOver => "another client took it over",
            Self::OwnerLeft => "the display that it saw is gone",
            Self::Revoked => "the client may not play any more",
            Self::ClientLeft => "the client left, and may resume",
            Self::Silent => "nothing was heard of the client, and it may resume",
            Self::NeverPlayed => "the client launched and never came to play",
            Self::AppEnded(how) => how,
            Self::Failed(reason) => reason,
        })
    }
}
