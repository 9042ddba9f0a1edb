//! What a refused send means.

use std::io;

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Try again at once.
    Interrupted,
    /// The socket takes nothing for now.
    Full,
    /// Nobody is there, or no way leads there.
    PeerGone,
    /// This datagram does not fit the way; others may.
    TooLong,
    /// Anything else, which is for the user to hear.
    Refused,
}

impl From<&io::Error> for Fault {
    fn from(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EINTR) => Self::Interrupted,
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => Self::Full,
            Some(
                libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::ENETDOWN
                | libc::EHOSTDOWN,
            ) => Self::PeerGone,
            Some(libc::EMSGSIZE) => Self::TooLong,
            _ => Self::Refused,
        }
    }
}
