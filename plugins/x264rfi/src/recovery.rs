//! What a client cannot decode, and which frame makes it good. Decides only.
//!
//! A frame is known by its presentation time, to the encoder by a number. A *clean* frame needs nothing that was called
//! broken: a recovery frame refers only to frames before `since`, a key frame to none.

use std::collections::VecDeque;

/// Frames that are known by their time: more than a decoder ever keeps.
const FRAMES: usize = 64;
/// Clean frames that are remembered: an answer to them is never further away.
const CLEAN: usize = 16;

/// Frames that a client cannot decode; nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// From here on.
    pub since: u64,
    /// The last frame that is known to be lost, where that is known: a clean frame after it makes it good.
    pub until: Option<u64>,
}

/// How to encode a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Of this frame.
    pub number: i64,
    /// It refers to none of the frames from this number on.
    pub invalidate: Option<i64>,
    /// It has to be a key frame.
    pub key: bool,
}

impl Order {
    /// It makes good what was broken, unless it becomes a key frame.
    pub fn recovers(&self) -> bool {
        self.invalidate.is_some()
    }
}

#[derive(Clone, Copy, Debug)]
struct Clean {
    time: u64,
    /// It refers only to frames before this time.
    since: u64,
}

/// What was encoded, and what is to be made good.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Time and number of the last frames.
    frames: VecDeque<(u64, i64)>,
    clean: VecDeque<Clean>,
    last_key: i64,
    next_number: i64,
    broken: Option<Broken>,
}

impl Recovery {
    /// A client cannot decode these. What a frame under way makes good already is not made good once more.
    pub fn handle_broken(&mut self, broken: Broken) {
        if self.is_made_good(broken) {
            return;
        }
        let merged = self.broken.map_or(broken, |before| Broken {
            since: before.since.min(broken.since),
            until: before.until.zip(broken.until).map(|(a, b)| a.max(b)),
        });
        self.broken = Some(merged);
    }

    /// The frame of this time is encoded next; `key` where a key frame is asked for. One without a time follows the one
    /// before.
    pub fn handle_frame(&mut self, time: Option<u64>, key: bool) -> Order {
        let time = time.unwrap_or_else(|| self.frames.back().map_or(0, |(time, _)| time.saturating_add(1)));
        let broken = self.broken.take();
        let from = broken.map(|broken| self.number_at(broken.since));
        let number = self.next_number;
        self.next_number += 1;
        push(&mut self.frames, FRAMES, (time, number));
        // The encoder looks back no further than to its last key frame; if that is broken, nothing is left.
        let key = key || number == 0 || from.is_some_and(|from| from <= self.last_key);
        if key {
            self.handle_key(number);
        } else if let Some(broken) = broken {
            push(&mut self.clean, CLEAN, Clean { time, since: broken.since });
        }
        Order { number, invalidate: from.filter(|_| !key), key }
    }

    /// The frame of this number became a key frame, as it was told or because no reference was left.
    pub fn handle_key(&mut self, number: i64) {
        self.last_key = number;
        if let Some((time, _)) = self.frames.iter().find(|frame| frame.1 == number) {
            push(&mut self.clean, CLEAN, Clean { time: *time, since: 0 });
        }
    }

    /// The encoder is a new one, or the times begin anew.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn is_made_good(&self, broken: Broken) -> bool {
        let good = |until: u64| self.clean.iter().any(|c| c.time > until && c.since <= broken.since);
        broken.until.is_some_and(good)
    }

    /// The first frame that is not before `since`; one that was long ago is as old as the oldest that is known.
    fn number_at(&self, since: u64) -> i64 {
        self.frames.iter().find(|(time, _)| *time >= since).map_or(self.next_number, |(_, number)| *number)
    }
}

fn push<T>(ring: &mut VecDeque<T>, most: usize, value: T) {
    if ring.len() == most {
        ring.pop_front();
    }
    ring.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn broken(since: u64, until: u64) -> Broken {
        Broken { since, until: Some(until) }
    }

    /// Frames at the times 0, 10, 20 and so on.
    fn after(frames: u64) -> Recovery {
        let mut recovery = Recovery::default();
        for n in 0..frames {
            let order = recovery.handle_frame(Some(n * 10), false);
            assert_eq!(order, Order { number: n as i64, invalidate: None, key: n == 0 });
        }
        recovery
    }

    #[test]
    fn the_next_frame_does_without_what_is_broken() {
        let mut recovery = after(10);
        recovery.handle_broken(broken(61, 70));
        let order = recovery.handle_frame(Some(100), false);
        assert_eq!(order, Order { number: 10, invalidate: Some(7), key: false });
        assert!(order.recovers());
        assert!(!recovery.handle_frame(Some(110), false).recovers(), "once");
    }

    #[test]
    fn what_a_clean_frame_makes_good_is_not_made_good_again() {
        let mut recovery = after(10);
        recovery.handle_broken(broken(61, 70));
        recovery.handle_frame(Some(100), false);
        // The client repeats it with each frame that it drops until it sees the one under way.
        for until in [70, 80, 90] {
            recovery.handle_broken(broken(61, until));
            assert!(!recovery.handle_frame(Some(110 + until), false).recovers(), "{until}");
        }
        recovery.handle_broken(broken(61, 100));
        let order = recovery.handle_frame(Some(300), false);
        assert_eq!(order.invalidate, Some(7), "that one was lost too");
        recovery.handle_broken(broken(51, 60));
        assert_eq!(recovery.handle_frame(Some(310), false).invalidate, Some(6), "it may refer to frame 6");
        recovery.handle_broken(Broken { since: 305, until: None });
        assert_eq!(recovery.handle_frame(Some(320), false).invalidate, Some(15), "nothing is known of it");
    }

    #[test]
    fn a_key_frame_makes_everything_before_it_good() {
        let mut recovery = after(10);
        recovery.handle_frame(Some(100), true);
        recovery.handle_broken(broken(31, 90));
        assert!(!recovery.handle_frame(Some(110), false).recovers());
        recovery.handle_broken(broken(31, 100));
        let order = recovery.handle_frame(Some(120), false);
        assert_eq!(order, Order { number: 12, invalidate: None, key: true }, "the key frame was lost too");
        recovery.handle_broken(broken(121, 130));
        recovery.handle_frame(Some(130), false);
        recovery.handle_broken(broken(120, 120));
        assert!(recovery.handle_frame(Some(140), false).key, "it was the first that is broken");
    }

    #[test]
    fn a_key_frame_that_the_encoder_chose_counts() {
        let mut recovery = after(20);
        recovery.handle_broken(broken(11, 20));
        let order = recovery.handle_frame(Some(200), false);
        assert_eq!(order.invalidate, Some(2));
        recovery.handle_key(order.number);
        recovery.handle_broken(broken(11, 199));
        assert!(!recovery.handle_frame(Some(210), false).recovers());
        recovery.handle_broken(broken(191, 200));
        assert!(recovery.handle_frame(Some(220), false).key);
    }

    #[test]
    fn what_is_broken_together_is_made_good_together() {
        let mut recovery = after(10);
        recovery.handle_broken(broken(61, 70));
        recovery.handle_broken(broken(41, 50));
        assert_eq!(recovery.handle_frame(Some(100), false).invalidate, Some(5));
        recovery.handle_broken(broken(41, 70));
        assert!(!recovery.handle_frame(Some(110), false).recovers());
    }

    #[test]
    fn times_that_are_long_ago_unknown_or_still_to_come() {
        let mut recovery = after(1000);
        recovery.handle_broken(broken(5, 7));
        assert_eq!(recovery.handle_frame(None, false).invalidate, Some(1000 - FRAMES as i64));
        recovery.handle_broken(broken(1_000_000, 1_000_000));
        assert_eq!(recovery.handle_frame(None, false).invalidate, Some(1001), "none is broken");
        recovery.reset();
        assert_eq!(recovery.handle_frame(None, false), Order { number: 0, invalidate: None, key: true });
    }

    proptest! {
        /// A client that loses at random, and resumes at clean frames, never resumes at one that refers to what it lost.
        #[test]
        fn a_client_that_resumes_can_decode(
            lost in proptest::collection::vec(proptest::bool::weighted(0.2), 1..300), delay in 0usize..12,
        ) {
            let mut recovery = Recovery::default();
            // Of each frame: the numbers it needs at least one of, as the newest that it may refer to.
            let mut sent: Vec<(bool, bool, i64)> = Vec::new();
            let mut decodable: Vec<bool> = Vec::new();
            let mut resumed_wrongly = false;
            let (mut waiting_since, mut newest_good) = (None, -1i64);
            for now in 0..lost.len() {
                // The client sees the frame sent `delay` frames ago.
                if let Some(seen) = now.checked_sub(delay + 1) {
                    let (key, recovers, newest_reference) = sent[seen];
                    let arrived = !lost[seen];
                    let clean = key || recovers;
                    let reference_is_good = newest_reference < 0 || decodable[newest_reference as usize];
                    if arrived && (key || (clean && reference_is_good) || (waiting_since.is_none() && reference_is_good)) {
                        waiting_since = None;
                        newest_good = seen as i64;
                    } else {
                        resumed_wrongly |= arrived && clean && waiting_since.is_some();
                        let since = *waiting_since.get_or_insert((newest_good + 1) as u64);
                        recovery.handle_broken(broken(since, seen as u64));
                    }
                    decodable.push(waiting_since.is_none());
                }
                let order = recovery.handle_frame(Some(now as u64), false);
                let newest = order.invalidate.map_or(now as i64 - 1, |from| from - 1);
                // The encoder keeps 16 frames; where none is left of them, it makes a key frame.
                let key = order.key || newest + 16 < now as i64;
                if key && !order.key {
                    recovery.handle_key(order.number);
                }
                sent.push((key, order.recovers(), if key { -1 } else { newest }));
            }
            prop_assert!(!resumed_wrongly);
        }
    }
}
