//! When the encoder is asked for a key frame, and why. Decides only: the session brings the time and does the asking.
//!
//! A key frame costs many times an average one, and a client repeats its request until it sees one. So there is at most
//! one in a window as long as an answer takes; what is asked for meanwhile is owed and paid when the window ends.
//!
//! A client that connects asks for a key frame with its first message, before it looks at any picture. The stream begins
//! with one anyway, and that one answers it. Whoever lost the first frame asks again when a later one shows it.

use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// Why a key frame is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The stream begins, or goes on for a client that came back.
    FirstFrame,
    /// The client asked for one.
    Client,
    /// The client lost frames that the encoder cannot do without.
    Invalidation,
    /// A frame was dropped on its way to the wire.
    Dropped,
    /// The encoder was replaced.
    EncoderReset,
    /// The source was lost, or left for another, and its first picture has nothing in common with the last one.
    Rebuilt,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstFrame => "first frame",
            Self::Client => "asked for by the client",
            Self::Invalidation => "the client lost frames",
            Self::Dropped => "a frame was dropped here",
            Self::EncoderReset => "the encoder was replaced",
            Self::Rebuilt => "a new source shows",
        })
    }
}

/// So many of the shortest round trip is the longest that is waited.
const STRETCH: u32 = 3;

/// Lets one request through per window.
#[derive(Debug)]
pub struct KeyFrames {
    /// The shortest window.
    interval: Duration,
    round_trip: Duration,
    /// The shortest ever.
    shortest: Duration,
    closed_since: Option<Instant>,
    /// The first reason since the last key frame.
    owed: Option<Reason>,
    /// Until then the client's first request says that it begins.
    greets_until: Option<Instant>,
}

impl KeyFrames {
    /// For a stream with this time between frames.
    pub fn new(frame_interval: Duration) -> Self {
        Self {
            interval: 2 * frame_interval,
            round_trip: Duration::ZERO,
            shortest: Duration::MAX,
            closed_since: None,
            owed: None,
            greets_until: None,
        }
    }

    /// How long an answer of the client takes: a key frame that is under way is not sent again.
    /// One that a standing network stretched says nothing of the next.
    pub fn handle_round_trip(&mut self, round_trip: Duration) {
        if !round_trip.is_zero() {
            self.shortest = self.shortest.min(round_trip);
        }
        self.round_trip = round_trip.min(self.shortest.saturating_mul(STRETCH));
    }

    /// The client's control connection is up: its greeting is on the way right behind.
    pub fn handle_connected(&mut self, now: Instant) {
        self.greets_until = Some(now + self.interval);
    }

    /// The client asks for a key frame.
    pub fn handle_request(&mut self, now: Instant) {
        let greets = self.greets_until.take().is_some_and(|end| now < end);
        if !greets {
            self.handle_reason(Reason::Client);
        }
    }

    /// The client lost frames: `invalidate` asks the encoder to go on without them, each time, since that costs little. A
    /// key frame heals as well, where the encoder cannot. Whether it can.
    pub fn handle_lost(&mut self, invalidate: impl FnOnce() -> bool) -> bool {
        let goes_on = invalidate();
        if !goes_on {
            self.handle_reason(Reason::Invalidation);
        }
        goes_on
    }

    /// A key frame is needed.
    pub fn handle_reason(&mut self, reason: Reason) {
        self.owed.get_or_insert(reason);
    }

    /// Why to ask the encoder now, if it is to be asked now. The window begins with that.
    pub fn poll(&mut self, now: Instant) -> Option<Reason> {
        if self.deadline().is_some_and(|end| now < end) {
            return None;
        }
        let reason = self.owed.take()?;
        self.closed_since = Some(now);
        Some(reason)
    }

    /// When to poll again for what is owed.
    pub fn deadline(&self) -> Option<Instant> {
        self.owed?;
        Some(self.closed_since? + self.interval.max(self.round_trip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: Duration = Duration::from_millis(10);

    #[test]
    fn the_first_is_let_through_and_the_next_is_paid_when_the_window_ends() {
        let (mut keys, begin) = (KeyFrames::new(FRAME), Instant::now());
        assert_eq!((keys.poll(begin), keys.deadline()), (None, None));
        keys.handle_reason(Reason::FirstFrame);
        assert_eq!(keys.poll(begin), Some(Reason::FirstFrame));
        assert_eq!(keys.deadline(), None, "nothing is owed");
        keys.handle_reason(Reason::Invalidation);
        keys.handle_reason(Reason::Client);
        assert_eq!(keys.poll(begin + FRAME), None);
        assert_eq!(keys.deadline(), Some(begin + 2 * FRAME));
        assert_eq!(keys.poll(begin + 2 * FRAME), Some(Reason::Invalidation), "what came first");
        assert_eq!(keys.poll(begin + 9 * FRAME), None, "one frame answers all");
    }

    #[test]
    fn the_window_is_as_long_as_an_answer_takes() {
        let (mut keys, begin) = (KeyFrames::new(FRAME), Instant::now());
        keys.handle_round_trip(5 * FRAME);
        keys.handle_reason(Reason::Client);
        keys.poll(begin);
        keys.handle_reason(Reason::Client);
        assert_eq!(keys.deadline(), Some(begin + 5 * FRAME));
        keys.handle_round_trip(3 * FRAME);
        assert_eq!(keys.deadline(), Some(begin + 3 * FRAME));
        keys.handle_round_trip(100 * FRAME);
        assert_eq!(keys.deadline(), Some(begin + 9 * FRAME), "nothing was heard for a while");
    }

    /// All within one window, and while a key frame is owed.
    #[test]
    fn invalidation_is_never_limited_and_costs_no_key_frame() {
        let (mut keys, begin) = (KeyFrames::new(FRAME), Instant::now());
        keys.handle_reason(Reason::Client);
        assert!(keys.poll(begin).is_some());
        keys.handle_reason(Reason::Client);
        let mut asked = 0;
        let mut lose = |keys: &mut KeyFrames, answers: bool| {
            let goes_on = keys.handle_lost(|| {
                asked += 1;
                answers
            });
            assert_eq!(goes_on, answers);
            assert_eq!(keys.poll(begin + FRAME), None);
        };
        (0..100).for_each(|_| lose(&mut keys, true));
        assert_eq!(keys.poll(begin + 2 * FRAME), Some(Reason::Client));
        (0..100).for_each(|_| lose(&mut keys, true));
        assert_eq!(keys.deadline(), None, "nothing is owed");
        (0..100).for_each(|_| lose(&mut keys, false));
        assert_eq!(asked, 300);
        assert_eq!(keys.poll(begin + 4 * FRAME), Some(Reason::Invalidation));
        assert_eq!(keys.poll(begin + 9 * FRAME), None, "one for all that no encoder took");
    }

    /// Whether the first frame was asked for before or will be.
    #[test]
    fn the_first_frame_answers_the_greeting() {
        for early in [true, false] {
            let (mut keys, begin) = (KeyFrames::new(FRAME), Instant::now());
            let first = |keys: &mut KeyFrames| {
                keys.handle_reason(Reason::FirstFrame);
                assert_eq!(keys.poll(begin), Some(Reason::FirstFrame));
            };
            if early {
                first(&mut keys);
            }
            keys.handle_connected(begin);
            keys.handle_request(begin + FRAME);
            assert_eq!((keys.poll(begin + FRAME), keys.deadline()), (None, None));
            if !early {
                first(&mut keys);
            }
            assert_eq!(keys.poll(begin + 9 * FRAME), None, "one is enough");
        }
    }

    /// It sees that with the frame behind it, and says so at once.
    #[test]
    fn a_client_that_lost_the_first_frame_gets_another() {
        let (mut keys, begin) = (KeyFrames::new(FRAME), Instant::now());
        keys.handle_reason(Reason::FirstFrame);
        keys.poll(begin);
        keys.handle_connected(begin);
        keys.handle_request(begin);
        keys.handle_request(begin + FRAME);
        assert_eq!(keys.poll(begin + FRAME), None);
        assert_eq!(keys.poll(begin + 2 * FRAME), Some(Reason::Client), "when the window ends");
    }

    /// A client that says nothing when it connects means what it says later.
    #[test]
    fn a_greeting_comes_at_once_or_never() {
        let (mut keys, begin) = (KeyFrames::new(FRAME), Instant::now());
        keys.handle_connected(begin);
        keys.handle_request(begin + 2 * FRAME);
        assert_eq!(keys.poll(begin + 2 * FRAME), Some(Reason::Client));
    }

    proptest! {
        /// However requests come, asking is rare, and nothing is owed for ever.
        #[test]
        fn no_two_in_a_window_and_every_request_is_answered(
            gaps in proptest::collection::vec(0u64..40, 1..200), round_trip in 0u64..100,
        ) {
            let (mut keys, begin) = (KeyFrames::new(FRAME), Instant::now());
            keys.handle_round_trip(Duration::from_millis(round_trip));
            let window = (2 * FRAME).max(Duration::from_millis(round_trip));
            let (mut now, mut asked) = (begin, Vec::new());
            for gap in gaps {
                let next = now + Duration::from_millis(gap);
                while let Some(deadline) = keys.deadline().filter(|deadline| *deadline <= next) {
                    prop_assert!(keys.poll(deadline).is_some());
                    asked.push(deadline);
                }
                now = next;
                keys.handle_reason(Reason::Client);
                asked.extend(keys.poll(now).map(|_| now));
                let last = *asked.last().expect("the first is let through");
                prop_assert!(last == now || keys.deadline() == Some(last + window), "answered, or it will be");
            }
            prop_assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= window));
        }
    }
}
