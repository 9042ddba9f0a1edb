//! When an encoder that says nothing counts as dead. Decides only.
//!
//! A machine that stands still takes the frames away as well as the access units, so it is not time alone that tells:
//! frames went in all the while, and nothing came out.

use std::time::{Duration, Instant};

/// Frames that went in: far more than any encoder looks ahead that passed the trial.
const FRAMES: u32 = 60;
const LIMIT: Duration = Duration::from_secs(2);
/// Hardware may take seconds to wake up.
const FIRST_LIMIT: Duration = Duration::from_secs(5);

/// Watches one encoder.
#[derive(Debug)]
pub(super) struct Watchdog {
    limit: Duration,
    /// Since the last access unit came out, and when the first of them went in.
    frames: u32,
    since: Option<Instant>,
}

impl Watchdog {
    /// Of an encoder that is being opened.
    pub fn new() -> Self {
        Self { limit: FIRST_LIMIT, frames: 0, since: None }
    }

    /// A frame goes in at `now`. Returns whether the encoder counts as dead.
    pub fn handle_frame_in(&mut self, now: Instant) -> bool {
        self.frames = self.frames.saturating_add(1);
        let since = *self.since.get_or_insert(now);
        self.frames > FRAMES && now.saturating_duration_since(since) >= self.limit
    }

    /// An access unit came out.
    pub fn handle_unit_out(&mut self) {
        *self = Self { limit: LIMIT, frames: 0, since: None };
    }

    /// Frames that nothing came out for.
    pub fn unanswered(&self) -> u32 {
        self.frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frame at which it counts as dead, of frames that come in so many a second.
    fn dead_after(watchdog: &mut Watchdog, start: Instant, fps: u32) -> u32 {
        (0..10_000).find(|n| watchdog.handle_frame_in(start + Duration::from_secs(1) * *n / fps)).unwrap()
    }

    #[test]
    fn frames_and_time_have_to_pass() {
        let start = Instant::now();
        for (fps, first, later) in [(240, 1200, 480), (60, 300, 120), (30, 150, 60), (10, 60, 60)] {
            assert_eq!(dead_after(&mut Watchdog::new(), start, fps), first, "{fps}");
            let mut watchdog = Watchdog::new();
            watchdog.handle_frame_in(start);
            watchdog.handle_unit_out();
            assert_eq!(dead_after(&mut watchdog, start, fps), later, "{fps}");
        }
    }

    #[test]
    fn a_machine_that_stood_still_is_no_reason() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new();
        watchdog.handle_unit_out();
        assert!(!watchdog.handle_frame_in(start));
        assert!(!watchdog.handle_frame_in(start + Duration::from_secs(3600)));
        // The encoder is behind by what it was, and goes on.
        for n in 0..1000 {
            assert!(
                !watchdog.handle_frame_in(start + Duration::from_secs(3601) + n * Duration::from_millis(10))
            );
            if n % 50 == 0 {
                watchdog.handle_unit_out();
            }
        }
    }

    /// One that answers each frame a second later is slow, not dead.
    #[test]
    fn what_counts_is_the_last_unit() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new();
        for n in 0..600 {
            assert!(!watchdog.handle_frame_in(start + n * Duration::from_millis(16)));
            if n > 60 {
                watchdog.handle_unit_out();
                assert_eq!(watchdog.unanswered(), 0);
            }
        }
    }
}
