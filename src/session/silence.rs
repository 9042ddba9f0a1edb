//! When a client that says nothing counts as gone.

use std::time::Duration;
use tokio::time::Instant;

/// Longest from PLAY to the connection of the control channel: as long as the client itself tries.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A client that is there speaks ten times a second.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// Watches the control channel of one client.
#[derive(Debug)]
pub struct Silence {
    deadline: Instant,
}

impl Silence {
    /// The client was answered PLAY at `now`.
    pub fn new(now: Instant) -> Self {
        Self { deadline: now + CONNECT_LIMIT }
    }

    /// It said something.
    pub fn handle_message(&mut self, now: Instant) {
        self.deadline = now + SILENCE_LIMIT;
    }

    /// When it counts as gone, unless it says something before.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}
