//! When an encoder is opened anew between two frames: for a key frame that it does not make when asked, and for a
//! bitrate that it takes only while it is closed.
//!
//! Opening it anew costs a key frame, some five times the size of others, and with hardware some milliseconds. So a
//! step of the bitrate has to be worth it: it must be further away than rate control is off by itself, and a loop that
//! adapts every second must not turn the stream into key frames. A step that has to wait is not forgotten, and a key
//! frame that is owed anyway takes every step along.

use std::time::{Duration, Instant};

/// From here a step is worth a key frame, in per cent of the bitrate that the encoder runs at.
const WORTH_PERCENT: u32 = 15;
/// Shortest time between two bitrates.
const LEAST_INTERVAL: Duration = Duration::from_secs(3);

/// What is wished of an encoder that has to be opened anew for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Renewal {
    /// In kbit/s: what it runs at, and what is wished.
    running: u32,
    wished: u32,
    key_is_owed: bool,
    last: Option<Instant>,
}

impl Renewal {
    /// Of an encoder that runs at `kbps`.
    pub fn new(kbps: u32) -> Self {
        Self { running: kbps, wished: kbps, key_is_owed: false, last: None }
    }

    pub fn wish(&mut self, kbps: u32) {
        self.wished = kbps;
    }

    /// It changed its bitrate while it runs.
    pub fn runs_at(&mut self, kbps: u32) {
        (self.running, self.wished) = (kbps, kbps);
    }

    pub fn owe_key(&mut self) {
        self.key_is_owed = true;
    }

    /// Whether to open the encoder before the frame that is to be encoded at `now`.
    pub fn is_due(&self, now: Instant) -> bool {
        let has_waited = self.last.is_none_or(|last| now.saturating_duration_since(last) >= LEAST_INTERVAL);
        self.key_is_owed || (has_waited && self.is_worth_it())
    }

    fn is_worth_it(&self) -> bool {
        let step = u64::from(self.running.abs_diff(self.wished));
        step > 0 && step * 100 >= u64::from(self.running) * u64::from(WORTH_PERCENT)
    }

    /// In kbit/s, what to open it with.
    pub fn wished(&self) -> u32 {
        self.wished
    }

    /// It was opened at `now` with `kbps`, and begins with a key frame.
    pub fn opened(&mut self, kbps: u32, now: Instant) {
        *self = Self { running: kbps, wished: self.wished, key_is_owed: false, last: Some(now) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_fifteen_per_cent_is_worth_it() {
        let now = Instant::now();
        for (kbps, due) in [(1000, false), (1149, false), (1150, true), (851, false), (850, true), (0, true)]
        {
            let mut renewal = Renewal::new(1000);
            renewal.wish(kbps);
            assert_eq!(renewal.is_due(now), due, "{kbps}");
        }
        let mut unset = Renewal::new(0);
        assert!(!unset.is_due(now));
        unset.wish(1);
        assert!(unset.is_due(now));
    }

    #[test]
    fn a_step_that_comes_too_early_waits() {
        let start = Instant::now();
        let mut renewal = Renewal::new(1000);
        renewal.wish(2000);
        renewal.opened(2000, start);
        assert!(!renewal.is_due(start + LEAST_INTERVAL), "it runs at what is wished");
        renewal.wish(1000);
        assert!(!renewal.is_due(start + LEAST_INTERVAL - Duration::from_millis(1)));
        assert!(renewal.is_due(start + LEAST_INTERVAL));
        // Taken back before its time came.
        renewal.wish(1900);
        assert!(!renewal.is_due(start + LEAST_INTERVAL));
    }

    #[test]
    fn a_key_frame_comes_at_once_and_takes_the_bitrate_along() {
        let now = Instant::now();
        let mut renewal = Renewal::new(1000);
        renewal.wish(1010);
        assert!(!renewal.is_due(now));
        renewal.owe_key();
        assert!(renewal.is_due(now));
        renewal.opened(renewal.wished(), now);
        assert_eq!(renewal, Renewal { running: 1010, wished: 1010, key_is_owed: false, last: Some(now) });
        renewal.owe_key();
        assert!(renewal.is_due(now), "a client that lost a frame does not wait");
    }

    #[test]
    fn a_bitrate_that_changes_by_itself_needs_no_opening() {
        let now = Instant::now();
        let mut renewal = Renewal::new(1000);
        renewal.runs_at(5000);
        assert!(!renewal.is_due(now));
        renewal.owe_key();
        assert!(renewal.is_due(now));
        assert_eq!(renewal.wished(), 5000);
    }

    /// What was wished while it was being opened is still to be done.
    #[test]
    fn a_wish_that_came_meanwhile_stays() {
        let now = Instant::now();
        let mut renewal = Renewal::new(1000);
        renewal.wish(2000);
        let kbps = renewal.wished();
        renewal.wish(4000);
        renewal.opened(kbps, now);
        assert!(renewal.is_due(now + LEAST_INTERVAL));
        assert_eq!(renewal.wished(), 4000);
    }
}
