//! When a lost source is built again, and when that is given up. Decides only: [`super::source`] brings the time and
//! does the building.
//!
//! One rebuild is: a try every half second until a capture starts, and then its first frame. The first one waits as
//! long, because what died takes others with it, and who is asked too early answers wrongly or not at all. It may take 40 s. A
//! capture that is lost before it showed anything begins the next rebuild; a frame forgets all of them.
//!
//! A try is given up after three seconds: a portal that was asked at the wrong moment answers late or never, and the same
//! question a moment later is answered at once. Each further try has twice as long, for a desktop that is slow, or asks a
//! person.

use std::time::Duration;
use tokio::time::Instant;

/// How much a source may try.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rebuilds in a row of which none showed anything.
    pub rebuilds: u32,
    /// For each.
    pub time: Duration,
    /// From the loss to the first try, and from the begin of one to the next.
    pub between: Duration,
    /// For a try to start a capture: the first one, and any.
    pub first_patience: Duration,
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rebuilds: 5,
            time: Duration::from_secs(40),
            between: Duration::from_millis(500),
            first_patience: Duration::from_secs(3),
            patience: Duration::from_secs(15),
        }
    }
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Build a capture.
    Try,
    /// The budget is spent.
    GiveUp(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A capture runs and has shown something, or is known to be still.
    Shows,
    /// The next try is due then.
    Pauses {
        until: Instant,
        deadline: Instant,
    },
    Tries {
        deadline: Instant,
    },
    /// A capture runs that has shown nothing yet.
    Waits {
        deadline: Instant,
    },
    /// It was one too many.
    Spent,
}

/// The rebuilds of one source.
#[derive(Debug)]
pub(super) struct Rebuilds {
    limits: Limits,
    state: State,
    in_a_row: u32,
    /// Tries of this rebuild.
    tries: u32,
    /// When the last try began.
    tried: Option<Instant>,
    /// What went wrong last.
    reason: String,
}

impl Rebuilds {
    /// Of a source whose capture runs.
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: State::Shows, in_a_row: 0, tries: 0, tried: None, reason: String::new() }
    }

    /// The capture is lost, whether it showed something or not.
    pub fn handle_lost(&mut self, now: Instant, reason: String) {
        self.reason = reason;
        if self.in_a_row == self.limits.rebuilds {
            self.state = State::Spent;
            return;
        }
        self.in_a_row += 1;
        self.tries = 0;
        self.state = State::Pauses { until: now + self.limits.between, deadline: now + self.limits.time };
    }

    /// The try that was asked for failed.
    pub fn handle_refused(&mut self, now: Instant, reason: String) {
        self.reason = reason;
        if let State::Tries { deadline } = self.state {
            let due = self.tried.map_or(now, |tried| tried + self.limits.between);
            self.state = State::Pauses { until: due.max(now), deadline };
        }
    }

    /// The try that was asked for made a capture run. One that `tells` its own loss may be still as long as it likes.
    pub fn handle_started(&mut self, tells: bool) {
        if let State::Tries { deadline } = self.state {
            self.state = if tells { State::Shows } else { State::Waits { deadline } };
        }
    }

    /// A frame came.
    pub fn handle_frame(&mut self) {
        self.in_a_row = 0;
        self.state = State::Shows;
    }

    /// How long the try that was asked for may take.
    pub fn patience(&self) -> Duration {
        let doubled = self.tries.saturating_sub(1).min(16);
        (self.limits.first_patience * (1 << doubled)).min(self.limits.patience)
    }

    /// True while there is no picture of a capture that runs.
    pub fn is_rebuilding(&self) -> bool {
        self.state != State::Shows
    }

    /// What went wrong last.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub fn poll(&mut self, now: Instant) -> Option<Step> {
        match self.state {
            State::Spent => Some(Step::GiveUp(self.spent())),
            State::Pauses { deadline, .. } | State::Tries { deadline } if now >= deadline => {
                let seconds = self.limits.time.as_secs_f32();
                Some(Step::GiveUp(format!("{}; it did not come back within {seconds} s", self.reason)))
            }
            State::Waits { deadline } if now >= deadline => {
                let seconds = self.limits.time.as_secs_f32();
                self.handle_lost(now, format!("it was started again and showed nothing for {seconds} s"));
                (self.state == State::Spent).then(|| Step::GiveUp(self.spent()))
            }
            State::Pauses { until, .. } if now >= until => Some(self.try_now(now)),
            _ => None,
        }
    }

    /// When to poll again, whatever happens until then.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Shows => None,
            State::Pauses { until, deadline } => Some(until.min(deadline)),
            State::Tries { deadline } | State::Waits { deadline } => Some(deadline),
            State::Spent => self.tried,
        }
    }

    fn try_now(&mut self, now: Instant) -> Step {
        if let State::Pauses { deadline, .. } = self.state {
            self.state = State::Tries { deadline };
        }
        (self.tried, self.tries) = (Some(now), self.tries + 1);
        Step::Try
    }

    fn spent(&self) -> String {
        format!("{}; it was started {} times in a row and showed nothing", self.reason, self.limits.rebuilds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        rebuilds: 5,
        time: Duration::from_secs(40),
        between: Duration::from_millis(500),
        first_patience: Duration::from_secs(3),
        patience: Duration::from_secs(15),
    };

    fn gives_up(step: Option<Step>) -> bool {
        matches!(step, Some(Step::GiveUp(_)))
    }

    #[test]
    fn each_try_has_twice_as_long_as_the_one_before_and_a_new_rebuild_begins_anew() {
        let (mut plan, mut now) = (Rebuilds::new(LIMITS), Instant::now());
        for rebuild in 0..2 {
            plan.handle_lost(now, "gone".into());
            let mut seconds = Vec::new();
            for _ in 0..4 {
                now += LIMITS.between;
                assert_eq!(plan.poll(now), Some(Step::Try), "{rebuild}");
                seconds.push(plan.patience().as_secs());
                plan.handle_refused(now, "no answer".into());
            }
            assert_eq!(seconds, [3, 6, 12, 15]);
        }
    }

    #[test]
    fn the_first_try_comes_half_a_second_after_the_loss_and_the_next_as_long_after_it_began() {
        let (mut plan, lost) = (Rebuilds::new(LIMITS), Instant::now());
        assert_eq!((plan.poll(lost), plan.deadline()), (None, None));
        plan.handle_lost(lost, "gone".into());
        let begin = lost + LIMITS.between;
        assert_eq!((plan.poll(lost), plan.deadline()), (None, Some(begin)));
        assert_eq!(plan.poll(begin), Some(Step::Try));
        assert_eq!(plan.poll(begin), None, "one at a time");
        let refused = begin + Duration::from_millis(100);
        plan.handle_refused(refused, "not yet".into());
        assert_eq!(plan.deadline(), Some(begin + LIMITS.between));
        assert_eq!(plan.poll(refused), None);
        assert_eq!(plan.poll(begin + LIMITS.between), Some(Step::Try));
        let late = begin + Duration::from_secs(10);
        plan.handle_refused(late, "not yet".into());
        assert_eq!(plan.poll(late), Some(Step::Try), "a try that took long is followed at once");
    }

    #[test]
    fn one_that_never_comes_back_is_given_up_after_40_s_in_a_try_or_between_two() {
        for within_a_try in [true, false] {
            let (mut plan, begin) = (Rebuilds::new(LIMITS), Instant::now());
            plan.handle_lost(begin, "gone".into());
            assert_eq!(plan.poll(begin + LIMITS.between), Some(Step::Try));
            if !within_a_try {
                plan.handle_refused(begin + LIMITS.time - Duration::from_millis(1), "no bus".into());
                assert_eq!(plan.poll(begin + LIMITS.time - Duration::from_millis(1)), Some(Step::Try));
                plan.handle_refused(begin + LIMITS.time, "no bus".into());
            }
            assert_eq!(plan.deadline(), Some(begin + LIMITS.time));
            let Some(Step::GiveUp(reason)) = plan.poll(begin + LIMITS.time) else { panic!("{plan:?}") };
            assert_eq!(reason.contains("no bus"), !within_a_try, "the last reason is told: {reason}");
        }
    }

    #[test]
    fn five_in_a_row_without_a_frame_are_all_and_a_frame_forgets_them() {
        let (mut plan, mut now) = (Rebuilds::new(LIMITS), Instant::now());
        for round in 0..3 {
            for rebuild in 0..5 {
                plan.handle_lost(now, "died".into());
                now += LIMITS.between;
                assert_eq!(plan.poll(now), Some(Step::Try), "round {round}, rebuild {rebuild}");
                plan.handle_started(false);
            }
            plan.handle_frame();
            assert_eq!((plan.poll(now), plan.is_rebuilding()), (None, false));
        }
        for _ in 0..5 {
            plan.handle_lost(now, "died".into());
            now += LIMITS.between;
            plan.poll(now);
            plan.handle_started(true);
        }
        plan.handle_lost(now, "died".into());
        assert!(plan.deadline().is_some_and(|due| due <= now), "there is something to do at once");
        assert!(gives_up(plan.poll(now)));
    }

    #[test]
    fn the_wait_for_the_first_frame_is_part_of_the_budget() {
        let (mut plan, begin) = (Rebuilds::new(LIMITS), Instant::now());
        plan.handle_lost(begin, "gone".into());
        for rebuild in 1..=5 {
            let begun = begin + (rebuild - 1) * LIMITS.time;
            assert_eq!(plan.poll(begun + LIMITS.between), Some(Step::Try));
            plan.handle_started(false);
            let deadline = begin + rebuild * LIMITS.time;
            assert_eq!(plan.deadline(), Some(deadline));
            assert_eq!(gives_up(plan.poll(deadline)), rebuild == 5);
        }
    }

    #[test]
    fn a_capture_that_tells_its_own_loss_may_be_still() {
        let (mut plan, begin) = (Rebuilds::new(LIMITS), Instant::now());
        plan.handle_lost(begin, "gone".into());
        plan.poll(begin + LIMITS.between);
        plan.handle_started(true);
        assert_eq!((plan.deadline(), plan.poll(begin + 100 * LIMITS.time)), (None, None));
    }

    proptest! {
        /// However a source behaves that never shows anything, it is over in time, and tries are rare.
        #[test]
        fn without_a_frame_it_ends(fates in proptest::collection::vec((0u8..3, 0u64..15_000), 600)) {
            let (mut plan, begin) = (Rebuilds::new(LIMITS), Instant::now());
            let (mut now, mut last, mut fates) = (begin, None::<Instant>, fates.into_iter());
            plan.handle_lost(now, "gone".into());
            loop {
                match plan.poll(now) {
                    Some(Step::GiveUp(_)) => break,
                    Some(Step::Try) => {
                        prop_assert!(last.is_none_or(|last| now - last >= LIMITS.between));
                        last = Some(now);
                        let (fate, took) = fates.next().expect("600 are more than enough");
                        now += Duration::from_millis(took);
                        match fate {
                            0 => plan.handle_refused(now, "refused".into()),
                            1 => plan.handle_started(false),
                            _ => {
                                plan.handle_started(false);
                                plan.handle_lost(now, "died".into());
                            }
                        }
                    }
                    None => now = now.max(plan.deadline().expect("something is owed")),
                }
                prop_assert!(now - begin <= 6 * (LIMITS.time + Duration::from_secs(15)));
            }
        }
    }
}
