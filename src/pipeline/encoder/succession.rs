//! Which encoder takes the place of one that died, and when there is none left. Decides only.
//!
//! One that worked is opened again first: a driver that was reset, or a card that was taken away for a moment, serves
//! the next one. One that dies again soon, or never delivered anything, is passed over for the next in rank. Who worked
//! for long has shown that the machine is well again: then all that was passed over before counts as new.

use std::time::{Duration, Instant};

/// Who lived so long has worked, and is not opened again more often.
const STEADY: Duration = Duration::from_secs(30);

/// The encoders of one stream, by their place in rank.
#[derive(Debug)]
pub(super) struct Succession {
    heirs: Vec<Heir>,
    current: usize,
    since: Instant,
    /// Whose deaths are not forgiven yet, and how they died.
    deaths: Vec<(usize, String)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Heir {
    /// When it last took its own place.
    renewed: Option<Instant>,
    passed_over: bool,
}

impl Succession {
    /// Of so many encoders, one at least; the first is opened at `now`.
    pub fn new(count: usize, now: Instant) -> Self {
        Self { heirs: vec![Heir::default(); count], current: 0, since: now, deaths: Vec::new() }
    }

    /// The encoder that is in its place, or to be opened there.
    pub fn current(&self) -> usize {
        self.current
    }

    /// The present one died at `now` for this `reason`; `delivered` is whether anything came out of it before. Returns
    /// which one to open now, none if there is none left.
    pub fn handle_death(&mut self, reason: String, delivered: bool, now: Instant) -> Option<usize> {
        if delivered && now.saturating_duration_since(self.since) >= STEADY {
            self.deaths.clear();
            self.heirs.iter_mut().for_each(|heir| heir.passed_over = false);
        }
        self.deaths.push((self.current, reason));
        self.since = now;
        let heir = &mut self.heirs[self.current];
        let rested = heir.renewed.is_none_or(|last| now.saturating_duration_since(last) >= STEADY);
        if delivered && rested {
            heir.renewed = Some(now);
            return Some(self.current);
        }
        heir.passed_over = true;
        self.current = self.heirs.iter().position(|heir| !heir.passed_over)?;
        Some(self.current)
    }

    /// Who died of what since the last one that worked for long, oldest first.
    pub fn deaths(&self) -> &[(usize, String)] {
        &self.deaths
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn reasons(succession: &Succession) -> Vec<(usize, &str)> {
        succession.deaths().iter().map(|(who, reason)| (*who, reason.as_str())).collect()
    }

    #[test]
    fn itself_first_then_the_next_then_nobody() {
        let start = Instant::now();
        let mut succession = Succession::new(2, start);
        assert_eq!(succession.current(), 0);
        assert_eq!(succession.handle_death("a".into(), true, start + SECOND), Some(0));
        assert_eq!(succession.handle_death("b".into(), true, start + 2 * SECOND), Some(1), "again too soon");
        assert_eq!(succession.handle_death("c".into(), true, start + 3 * SECOND), Some(1));
        assert_eq!(succession.handle_death("d".into(), true, start + 4 * SECOND), None);
        assert_eq!(reasons(&succession), [(0, "a"), (0, "b"), (1, "c"), (1, "d")]);
    }

    #[test]
    fn who_never_delivered_gets_no_second_chance() {
        let start = Instant::now();
        let mut succession = Succession::new(3, start);
        assert_eq!(succession.handle_death("a".into(), false, start), Some(1));
        assert_eq!(
            succession.handle_death("b".into(), false, start + 60 * SECOND),
            Some(2),
            "not even after long"
        );
        assert_eq!(succession.handle_death("c".into(), false, start + 61 * SECOND), None);
    }

    #[test]
    fn who_worked_for_long_is_opened_again_and_all_others_are_new() {
        let start = Instant::now();
        let mut succession = Succession::new(2, start);
        succession.handle_death("a".into(), false, start);
        assert_eq!(succession.handle_death("b".into(), true, start + STEADY), Some(1));
        assert_eq!(reasons(&succession), [(1, "b")], "a is forgiven");
        assert_eq!(
            succession.handle_death("c".into(), true, start + STEADY + SECOND),
            Some(0),
            "the best again"
        );
        // Twice a minute for ever is a hiccup each time, and no end.
        let mut alone = Succession::new(1, start);
        for minute in 1..100 {
            assert_eq!(alone.handle_death("a".into(), true, start + minute * STEADY), Some(0));
            assert_eq!(alone.deaths().len(), 1);
        }
    }

    proptest! {
        /// Where nothing works for long, each is opened twice at most, and then it is over.
        #[test]
        fn it_ends(count in 1_usize..6, lives in proptest::collection::vec((any::<bool>(), 0_u64..29), 20)) {
            let start = Instant::now();
            let mut succession = Succession::new(count, start);
            let (mut now, mut opened) = (start, vec![0]);
            for (delivered, seconds) in lives {
                now += Duration::from_secs(seconds);
                let Some(next) = succession.handle_death(String::new(), delivered, now) else { break };
                opened.push(next);
            }
            prop_assert!(opened.is_sorted(), "best first: {opened:?}");
            prop_assert!(opened.iter().all(|who| opened.iter().filter(|other| *other == who).count() <= 2), "{opened:?}");
            prop_assert_eq!(opened.last(), Some(&(count - 1)), "all were tried");
        }
    }
}
