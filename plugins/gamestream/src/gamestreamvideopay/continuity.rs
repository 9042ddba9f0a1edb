//! What a frame means for the stream: whether it goes out, what is missing before it, and what makes that good. Decides
//! only.

use gst::ClockTime;

/// A key unit that was asked for and did not come is asked for again after so long.
const PATIENCE: ClockTime = ClockTime::SECOND;

/// Key frames in a row that are too large, after which asking for another one is of no use.
const MAX_TOO_LARGE: u32 = 3;

/// Frame indices that are left out at a time, at most.
const MAX_SKIP: u64 = 64;

/// A frame that is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    pub key: bool,
    /// It needs none of the frames that were dropped before it, though it is no key frame.
    pub recovery: bool,
    /// Frames before it were dropped.
    pub discont: bool,
    /// Its packets can be numbered.
    pub fits: bool,
    /// Running time.
    pub time: Option<ClockTime>,
    /// From one frame to the next, if that is known.
    pub interval: Option<ClockTime>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub send: bool,
    /// Frame indices to leave out before the next frame that is sent.
    pub skip: u32,
    /// What makes good that this frame is not sent, or others before it were not.
    pub remedy: Option<Remedy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    KeyUnit,
    /// A frame that needs none of those that are missing, or else a key unit.
    Recovery,
}

/// What was sent and asked for.
#[derive(Debug, Default)]
pub struct Continuity {
    /// A key frame was sent: a client begins with one.
    started: bool,
    /// Of the frame before.
    last: Option<ClockTime>,
    /// When a key unit was asked for, until a key frame is sent.
    asked: Option<ClockTime>,
    too_large: u32,
}

impl Continuity {
    pub fn judge(&mut self, frame: Incoming) -> Verdict {
        let broken = frame.discont && !frame.key && !frame.recovery && self.started;
        let missing = if broken { self.missing(&frame) } else { 0 };
        self.last = frame.time.or(self.last);
        let send = frame.fits && (frame.key || self.started);
        let dropped = u32::from(self.started && !send);
        if !frame.fits && frame.key {
            self.too_large += 1;
        }
        if send && frame.key {
            *self = Self { started: true, last: self.last, ..Self::default() };
        } else if send && frame.recovery {
            self.asked = None;
        }
        let remedy = match send {
            false if frame.key || !self.started => Some(Remedy::KeyUnit),
            false => Some(Remedy::Recovery),
            true => (missing > 0).then_some(Remedy::Recovery),
        };
        Verdict { send, skip: missing + dropped, remedy }
    }

    /// Forgets the time, which may begin anew, and that a key unit was asked for.
    pub fn flush(&mut self) {
        (self.last, self.asked) = (None, None);
    }

    /// Frames between the last one and this, which follows a gap: one at least.
    fn missing(&self, frame: &Incoming) -> u32 {
        let elapsed = frame.time.zip(self.last).and_then(|(time, last)| time.checked_sub(last));
        let interval = frame.interval.filter(|interval| !interval.is_zero());
        let intervals = elapsed
            .zip(interval)
            .map_or(0, |(elapsed, interval)| (elapsed + interval / 2).nseconds() / interval.nseconds());
        intervals.saturating_sub(1).clamp(1, MAX_SKIP) as u32
    }

    /// Whether to ask for a key unit for a frame of this time: none is on its way.
    pub fn may_ask(&mut self, time: Option<ClockTime>) -> bool {
        let time = time.or(self.last);
        let waited = self.asked.zip(time).and_then(|(asked, time)| time.checked_sub(asked));
        let waiting = waited.is_some_and(|waited| waited < PATIENCE);
        if waiting || self.too_large >= MAX_TOO_LARGE {
            return false;
        }
        self.asked = time;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: ClockTime = ClockTime::from_mseconds(10);

    fn delta(n: u64) -> Incoming {
        let time = Some(INTERVAL * n);
        Incoming { key: false, recovery: false, discont: false, fits: true, time, interval: Some(INTERVAL) }
    }

    /// Whether a key unit is asked for because of `frame`, where nobody makes recovery frames.
    fn asks(continuity: &mut Continuity, frame: Incoming) -> bool {
        continuity.judge(frame).remedy.is_some() && continuity.may_ask(frame.time)
    }

    fn started() -> Continuity {
        let mut continuity = Continuity::default();
        let verdict = continuity.judge(Incoming { key: true, discont: true, ..delta(0) });
        assert_eq!(verdict, Verdict { send: true, skip: 0, remedy: None });
        continuity
    }

    #[test]
    fn a_key_unit_is_asked_for_once_a_second_until_it_comes() {
        let mut continuity = Continuity::default();
        let asked: Vec<u64> = (0..250).filter(|&n| asks(&mut continuity, delta(n))).collect();
        assert_eq!(asked, [0, 100, 200]);
        assert!(continuity.judge(Incoming { key: true, ..delta(250) }).send);
        let lost = |n| Incoming { discont: true, ..delta(n) };
        assert!(asks(&mut continuity, lost(252)));
        assert!(!asks(&mut continuity, lost(254)));
        assert!(!asks(&mut continuity, Incoming { recovery: true, ..delta(255) }));
        assert!(asks(&mut continuity, lost(257)), "what was asked for is there");
    }

    #[test]
    fn every_gap_asks_for_a_recovery_frame_but_the_one_before_it() {
        let mut continuity = started();
        let recovery = Verdict { send: true, skip: 1, remedy: Some(Remedy::Recovery) };
        for n in [2, 4, 6] {
            assert_eq!(continuity.judge(Incoming { discont: true, ..delta(n) }), recovery);
        }
        let frame = Incoming { discont: true, recovery: true, ..delta(8) };
        let nothing = Verdict { send: true, skip: 0, remedy: None };
        assert_eq!(continuity.judge(frame), nothing, "it refers to none of those that are missing");
    }

    #[test]
    fn as_many_indices_are_left_out_as_frames_are_missing() {
        for (n, skip) in [(1, 1), (2, 1), (3, 2), (10, 9), (1000, 64)] {
            let frame = Incoming { discont: true, ..delta(n) };
            assert_eq!(started().judge(frame).skip, skip, "{n}");
            let untimed = Incoming { time: None, ..frame };
            assert_eq!(started().judge(untimed).skip, 1);
            assert_eq!(started().judge(Incoming { interval: None, ..frame }).skip, 1);
            assert_eq!(started().judge(Incoming { key: true, ..frame }).skip, 0, "nothing refers to them");
        }
        let jitter = Incoming { time: Some(ClockTime::from_mseconds(34)), discont: true, ..delta(3) };
        assert_eq!(started().judge(jitter).skip, 2);
    }

    #[test]
    fn a_frame_that_does_not_fit_is_missing_too() {
        let mut continuity = started();
        let large = Incoming { fits: false, ..delta(1) };
        let missing = Verdict { send: false, skip: 1, remedy: Some(Remedy::Recovery) };
        assert_eq!(continuity.judge(large), missing);
        let first = Continuity::default().judge(large);
        let nothing = Verdict { send: false, skip: 0, remedy: Some(Remedy::KeyUnit) };
        assert_eq!(first, nothing, "nothing was sent that it could follow");
    }

    #[test]
    fn key_frames_that_never_fit_are_not_asked_for_without_end() {
        let mut continuity = started();
        let large = |n| Incoming { fits: false, key: true, ..delta(n) };
        let asked = (1..100).filter(|&second| asks(&mut continuity, large(second * 100))).count();
        assert_eq!(asked, 2);
        assert!(continuity.judge(Incoming { key: true, ..delta(20_000) }).send);
        assert!(asks(&mut continuity, large(20_001)));
    }

    /// Nobody knows how long ago it was asked for: asked once too often is better than never again.
    #[test]
    fn without_any_time_a_key_unit_is_asked_for_until_it_comes() {
        let mut continuity = Continuity::default();
        let untimed = |key| Incoming { key, time: None, ..delta(0) };
        assert!((0..3).all(|_| asks(&mut continuity, untimed(false))));
        assert!(!asks(&mut continuity, untimed(true)));
        assert!(!asks(&mut continuity, untimed(false)));
    }

    #[test]
    fn time_that_begins_anew_is_no_reason_to_wait() {
        let mut continuity = Continuity::default();
        assert!(asks(&mut continuity, delta(1000)));
        assert!(asks(&mut continuity, delta(3)));
        continuity.flush();
        assert!(asks(&mut continuity, delta(4)));
    }
}
