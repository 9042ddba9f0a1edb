//! How much of what the client asked for goes onto the wire.
//!
//! Loss says little of its cause. A full queue on the way loses much at once, and less when less is sent; a bad radio
//! link loses the same at any rate, and parity mends it. So the rate is cut where most of frame after frame is lost, to
//! a little less than what came through, and tried lower where what fails looks like a full queue: if that changes
//! nothing, it is taken back. Going up is probing: small steps, smaller still near where it was once too much, and back at
//! the first sign that a queue fills.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::time::Instant;

/// What came through is shared with what already waits in the queue.
const RELIEF: f64 = 0.85;
/// What a trial leaves, and the time after which it has shown what it can: when little fails, and when much does.
const TRIAL: (f64, Duration) = (0.85, Duration::from_millis(1500));
const STORM_TRIAL: (f64, Duration) = (0.75, Duration::from_millis(600));
/// What a trial leaves in the end when much fails.
const STORM_ENOUGH: f64 = 0.45;
/// Blocks hurt that tell one rate from another, and how often they have to be for a trial to be short.
const TELLING: f64 = 8.0;
const OFTEN: f64 = 3.0;
/// A trial during which so many blocks fail in a second acquits nobody: each key frame that is asked for may be among them.
const ONE_AFTER_THE_OTHER: f64 = 4.5;
/// Until the round trip, which is measured twice a second and averaged, shows what a change did.
const SLOW: Duration = Duration::from_secs(4);
/// What was sent before the step has arrived, or not, after this.
const SETTLING: Duration = Duration::from_millis(300);
/// After a cut, before the first step up.
const REST: Duration = Duration::from_millis(1500);
/// Without a failed block, before a step up.
const QUIET: Duration = Duration::from_secs(1);
/// After a step up, a failure is blamed on it.
const BLAMED: Duration = Duration::from_secs(3);
/// After a trial that changed nothing, the rate is not blamed.
const ACQUITTAL: Duration = Duration::from_secs(30);
/// Of so much lost no parity makes a picture.
pub const HOPELESS: f64 = 0.35;
/// How long it stays below a rate that was too much.
const PATIENCE: RangeInclusive<Duration> = Duration::from_secs(4)..=Duration::from_secs(16);
/// How far below.
const MARGIN: f64 = 0.92;
/// So far above, that rate is no longer the network's.
const OUTGROWN: f64 = 1.25;
/// A queue of this length is filling.
const FILLING: Duration = Duration::from_millis(20);
/// A queue of this length delays the picture for good.
const STANDING: Duration = Duration::from_millis(40);

/// Why the rate changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Frame after frame was lost.
    Cut,
    /// Less, to see whether less is lost.
    Trial,
    /// The trial changed nothing.
    Acquitted,
    /// More, since nothing fails.
    Probe,
    /// The probe was too much.
    Reverted,
}

/// Blocks in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerSecond {
    /// That lost something.
    pub hurt: f64,
    pub failed: f64,
}

/// What a tick knows of the way to the client.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    /// What was sent in the last moments, in kbit/s.
    pub sent_kbps: f64,
    /// Share of packets lost of frames that fail one after the other, if they do.
    pub heavy: Option<f64>,
    /// Blocks since the start that lost something, and those that failed.
    pub hurt: f64,
    pub failed: f64,
    /// Of them in a second: usually, and in the last moments.
    pub usual: PerSecond,
    pub now: PerSecond,
    /// Share of packets lost in the last moments.
    pub loss_now: f64,
    /// Of packets lost in a block, variance over mean.
    pub dispersion: f64,
    /// How dense the losses of blocks were that failed in the last seconds.
    pub density: f64,
    /// So much fails right now that each key frame asked for may be lost to what the one before did to the queue.
    pub storm: bool,
    /// How much longer than at its best the way takes now.
    pub queue: Duration,
}

/// Where it was too much.
#[derive(Clone, Copy, Debug)]
struct Knee {
    kbps: f64,
    at: Instant,
    /// How long to stay below it; doubled each time that it is found at the same place.
    patience: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    /// The rate, what was sent, and blocks hurt in a second, when the first step of it began.
    before: f64,
    sent_kbps: f64,
    hurt_per_second: f64,
    /// What the last step has to leave to be one.
    enough: f64,
    urgent: bool,
    /// How long a step is tried, from when on it counts, and blocks hurt and failed until then.
    time: Duration,
    from: Instant,
    hurt: f64,
    failed: f64,
}

/// The last change, and what was hurt and had failed by then.
#[derive(Clone, Copy, Debug)]
struct Change {
    at: Instant,
    hurt: f64,
    failed: f64,
    lowered: bool,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    at: Instant,
    before: f64,
    share: f64,
}

impl Cut {
    /// As much is lost of much less, and little enough for parity.
    fn was_in_vain(&self, now: Instant, kbps: f64, share: f64) -> bool {
        now < self.at + Duration::from_secs(5)
            && kbps < self.before * 0.75
            && share > self.share * 0.8
            && share < HOPELESS
    }
}

#[derive(Clone, Copy, Debug)]
struct Raise {
    before: f64,
    at: Instant,
    hurt: f64,
    failed: f64,
    usual: PerSecond,
}

/// Decides the total rate.
#[derive(Debug)]
pub struct RateControl {
    floor: f64,
    ceiling: f64,
    kbps: f64,
    knee: Option<Knee>,
    trial: Option<Trial>,
    /// Steps up that may still be to blame, the oldest first.
    raises: VecDeque<Raise>,
    /// Until when so much loss is not the rate's fault.
    acquitted: Option<(Instant, f64)>,
    last_cut: Option<Cut>,
    ready: Instant,
    changed: Change,
    was_full: bool,
    /// Failed blocks as last seen, and since when there are no more.
    failed: (f64, Instant),
    drains: u32,
    /// Blocks hurt and failed, as last seen.
    seen: (f64, f64),
}

impl RateControl {
    /// Begins at the most. `kbps` is the floor and what the client asked for.
    pub fn new(kbps: RangeInclusive<u32>, now: Instant) -> Self {
        let ceiling = f64::from(*kbps.end());
        Self {
            floor: f64::from(*kbps.start()).min(ceiling),
            ceiling,
            kbps: ceiling,
            knee: None,
            trial: None,
            raises: VecDeque::new(),
            acquitted: None,
            last_cut: None,
            ready: now,
            changed: Change { at: now, hurt: 0.0, failed: 0.0, lowered: false },
            was_full: false,
            failed: (0.0, now),
            drains: 0,
            seen: (0.0, 0.0),
        }
    }

    pub fn kbps(&self) -> u32 {
        self.kbps.round() as u32
    }

    /// Whether the network turned out to be full since this was last asked.
    pub fn take_full(&mut self) -> bool {
        std::mem::take(&mut self.was_full)
    }

    /// What to change now, if anything.
    pub fn update(&mut self, now: Instant, view: &View) -> Option<Move> {
        if view.failed > self.failed.0 {
            self.failed = (view.failed, now);
        }
        self.seen = (view.hurt, view.failed);
        if let Some(share) = view.heavy {
            return self.cut(now, view, share);
        }
        if self.trial.is_some() {
            return self.judge_trial(now, view);
        }
        self.revert(now, view).or_else(|| self.relieve(now, view)).or_else(|| self.probe(now, view))
    }

    fn set(&mut self, now: Instant, kbps: f64) -> bool {
        let before = self.kbps();
        self.kbps = kbps.clamp(self.floor, self.ceiling);
        let lowered = self.kbps() < before;
        self.changed = Change { at: now, hurt: self.seen.0, failed: self.seen.1, lowered };
        self.kbps() != before
    }

    fn is_acquitted(&self, now: Instant, view: &View) -> bool {
        self.acquitted.is_some_and(|(until, loss)| now < until && view.loss_now <= loss * 2.0 + 0.01)
    }

    /// It was too much: that is remembered.
    fn blame(&mut self, now: Instant, kbps: f64) {
        let known = self.knee.filter(|knee| (kbps * 0.6..kbps * 1.6).contains(&knee.kbps));
        let patience = known.map_or(*PATIENCE.start(), |knee| (knee.patience * 2).min(*PATIENCE.end()));
        self.knee = Some(Knee { kbps, at: now, patience });
        self.was_full = true;
        self.ready = now + REST;
        self.raises.clear();
        self.trial = None;
    }

    fn cut(&mut self, now: Instant, view: &View, share: f64) -> Option<Move> {
        // It answers what was being tried: the rate to go back to is the one before that.
        let before = self.trial.take().map_or(self.kbps, |trial| trial.before);
        let last = self.last_cut.replace(Cut { at: now, before, share });
        if last.is_some_and(|last| last.was_in_vain(now, self.kbps, share)) {
            // Less would be lost: it is not the rate.
            self.acquitted = Some((now + ACQUITTAL, share));
            self.last_cut = None;
            return self.set(now, last.map_or(before, |last| last.before)).then_some(Move::Acquitted);
        }
        if share < HOPELESS && self.acquitted.is_some_and(|(until, loss)| now < until && share <= loss * 1.2)
        {
            return (before > self.kbps && self.set(now, before)).then_some(Move::Acquitted);
        }
        if self.kbps <= self.floor {
            // Nothing is left to try but parity.
            self.last_cut = None;
            self.acquitted = Some((now + ACQUITTAL, share));
            return (share < HOPELESS && before > self.kbps && self.set(now, before))
                .then_some(Move::Acquitted);
        }
        let through = self.kbps.min(view.sent_kbps) * (1.0 - share);
        self.blame(now, through.max(self.floor));
        self.set(now, (through * RELIEF).min(self.kbps * 0.9)).then_some(Move::Cut)
    }

    fn judge_trial(&mut self, now: Instant, view: &View) -> Option<Move> {
        let trial = self.trial.as_mut()?;
        if now < trial.from {
            (trial.hurt, trial.failed) = (view.hurt, view.failed);
        }
        if now < trial.from + trial.time {
            return None;
        }
        let trial = self.trial.take()?;
        let after = (view.hurt - trial.hurt) / trial.time.as_secs_f64();
        if after <= trial.hurt_per_second * 0.4 {
            self.blame(now, self.kbps / MARGIN);
            return None;
        }
        let failing = (view.failed - trial.failed) / trial.time.as_secs_f64();
        if !trial.urgent && failing >= ONE_AFTER_THE_OTHER && self.kbps > self.floor {
            return self.step_trial(now, Trial { enough: STORM_ENOUGH, urgent: true, ..trial });
        }
        // Key frames may have taken what the rate was lowered by.
        let is_enough = self.kbps <= trial.before * trial.enough && view.sent_kbps < trial.sent_kbps * 0.9;
        if !is_enough && self.kbps > self.floor {
            return self.step_trial(now, trial);
        }
        self.acquitted = Some((now + ACQUITTAL, view.loss_now));
        self.set(now, trial.before).then_some(Move::Acquitted)
    }

    fn begin_trial(&mut self, now: Instant, view: &View, hurt_per_second: f64, urgent: bool) -> Option<Move> {
        let (enough, least) = if urgent { (STORM_ENOUGH, STORM_TRIAL.1) } else { (0.88, TRIAL.1) };
        // As long as it takes to see so many if nothing changes.
        let time = Duration::from_secs_f64(TELLING / hurt_per_second).max(least);
        let (before, sent_kbps) = (self.kbps, view.sent_kbps);
        self.raises.clear();
        let (from, hurt, failed) = (now, view.hurt, view.failed);
        let trial = Trial { before, sent_kbps, hurt_per_second, enough, urgent, time, from, hurt, failed };
        self.step_trial(now, trial)
    }

    /// Less than now; what was sent before is not counted.
    fn step_trial(&mut self, now: Instant, trial: Trial) -> Option<Move> {
        let left = if trial.urgent { STORM_TRIAL.0 } else { TRIAL.0 };
        self.trial = Some(Trial { from: now + SETTLING, ..trial });
        self.set(now, self.kbps * left).then_some(Move::Trial)
    }

    /// Back to where it was, if the last step up was too much.
    fn revert(&mut self, now: Instant, view: &View) -> Option<Move> {
        self.raises.retain(|raise| now <= raise.at + BLAMED);
        let raise = *self.raises.front()?;
        let fills = view.queue >= FILLING + FILLING / 2;
        let seconds = now.saturating_duration_since(raise.at).as_secs_f64();
        let is_more = |seen: f64, usual: f64, least: f64| seen >= least + 3.0 * usual * seconds;
        let fails = is_more(view.failed - raise.failed, raise.usual.failed, 2.0)
            && view.density > 0.5
            && !self.is_acquitted(now, view);
        // Parity may mend it all, and be what is too much.
        let loses = is_more(view.hurt - raise.hurt, raise.usual.hurt, 6.0);
        if !fills && !fails && !loses {
            return None;
        }
        self.blame(now, raise.before);
        self.set(now, raise.before * MARGIN).then_some(Move::Reverted)
    }

    /// Less, where what fails looks like a full queue, or one stands.
    fn relieve(&mut self, now: Instant, view: &View) -> Option<Move> {
        let changed = self.changed;
        let seconds = now.saturating_duration_since(changed.at).as_secs_f64();
        if !self.is_acquitted(now, view) {
            let hurt_per_second = (view.hurt - changed.hurt) / seconds.max(0.1);
            let failed = view.failed - changed.failed;
            let still = changed.lowered && seconds < 3.0 && failed >= 3.0 + 3.0 * view.usual.failed * seconds;
            let (step, (_, pause)) = (view.storm || still, STORM_TRIAL);
            if step && view.density >= 0.5 && seconds >= pause.as_secs_f64() {
                return self.begin_trial(now, view, view.now.hurt.max(hurt_per_second).max(OFTEN), true);
            }
            let looks_full = (failed >= 3.0 && view.density >= 0.6) || view.dispersion >= 2.5;
            if looks_full && hurt_per_second >= OFTEN && (1.5..20.0).contains(&seconds) {
                return self.begin_trial(now, view, hurt_per_second, false);
            }
        }
        // What is measured of the way follows slowly.
        if now < changed.at + SLOW {
            return None;
        }
        if view.queue < FILLING {
            self.drains = 0;
        } else if view.queue >= STANDING && self.drains < 4 {
            // No more than that: a way that has become longer is no queue.
            self.drains += 1;
            self.blame(now, self.kbps);
            return self.set(now, self.kbps * MARGIN).then_some(Move::Trial);
        }
        None
    }

    fn probe(&mut self, now: Instant, view: &View) -> Option<Move> {
        let quiet = now >= self.failed.1 + QUIET || self.is_acquitted(now, view);
        if self.kbps >= self.ceiling || now < self.ready || !quiet || view.queue >= FILLING {
            return None;
        }
        let slow = (1.04, Duration::from_secs(1));
        let fast = (1.08, Duration::from_millis(500));
        let (step, pause) = match self.knee {
            Some(knee) if self.kbps > knee.kbps * OUTGROWN => fast,
            Some(knee) if self.kbps >= knee.kbps * MARGIN && now < knee.at + knee.patience => return None,
            Some(knee) if self.kbps >= knee.kbps * MARGIN * 0.9 => slow,
            _ => fast,
        };
        let before = self.kbps;
        self.ready = now + pause;
        self.raises.push_back(Raise {
            before,
            at: now,
            hurt: view.hurt,
            failed: view.failed,
            usual: view.usual,
        });
        self.set(now, before * step).then_some(Move::Probe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(begin: Instant, ms: u64) -> Instant {
        begin + Duration::from_millis(ms)
    }

    fn view() -> View {
        View { sent_kbps: 20_000.0, ..View::default() }
    }

    #[test]
    fn frames_lost_one_after_the_other_cut_to_less_than_what_came_through() {
        let begin = Instant::now();
        let mut rate = RateControl::new(1000..=20_000, begin);
        let heavy = View { heavy: Some(0.75), ..view() };
        assert_eq!(rate.update(begin, &heavy), Some(Move::Cut));
        assert!((4000..5000).contains(&rate.kbps()), "{}", rate.kbps());
        (0..10).for_each(|_| _ = rate.update(begin, &View { sent_kbps: 3000.0, ..heavy }));
        assert_eq!(rate.kbps(), 1000, "the floor");
    }

    #[test]
    fn it_goes_up_slowly_and_no_further_than_asked() {
        let begin = Instant::now();
        let mut rate = RateControl::new(1000..=20_000, begin);
        rate.update(begin, &View { heavy: Some(0.75), ..view() });
        assert_eq!(rate.update(at(begin, 1000), &view()), None, "it rests");
        let mut steps = Vec::new();
        for ms in (1500..90_000).step_by(50) {
            let before = rate.kbps();
            if rate.update(at(begin, ms), &view()) == Some(Move::Probe) {
                steps.push(f64::from(rate.kbps()) / f64::from(before));
            }
        }
        assert_eq!(rate.kbps(), 20_000);
        assert!(steps.iter().all(|step| *step < 1.09) && steps.len() > 20, "{steps:?}");
    }

    #[test]
    fn a_step_up_that_fails_is_taken_back_and_the_next_waits_longer() {
        let begin = Instant::now();
        let mut rate = RateControl::new(1000..=20_000, begin);
        rate.update(begin, &View { heavy: Some(0.75), ..view() });
        let before = rate.kbps();
        assert_eq!(rate.update(at(begin, 2000), &view()), Some(Move::Probe));
        let failed = View { failed: 3.0, density: 0.8, ..view() };
        assert_eq!(rate.update(at(begin, 2300), &failed), Some(Move::Reverted));
        assert!(rate.kbps() < before);
        let next = (2300..60_000)
            .step_by(50)
            .find(|ms| rate.update(at(begin, *ms), &failed).is_some() && rate.kbps() > before);
        assert!(next.is_some_and(|ms| ms > 2300 + 8000), "{next:?}");
    }

    #[test]
    fn a_step_up_that_fills_a_queue_is_taken_back_before_anything_is_lost() {
        let begin = Instant::now();
        let mut rate = RateControl::new(1000..=20_000, begin);
        rate.update(begin, &View { heavy: Some(0.75), ..view() });
        assert_eq!(rate.update(at(begin, 2000), &view()), Some(Move::Probe));
        let filled = View { queue: Duration::from_millis(35), ..view() };
        assert_eq!(rate.update(at(begin, 3000), &filled), Some(Move::Reverted));
    }

    /// Ten blocks a second that lose packets in bursts.
    fn bursts(ms: u64, kbps: u32) -> View {
        let hurt = ms as f64 / 100.0;
        let sent_kbps = f64::from(kbps);
        View { sent_kbps, hurt, failed: hurt / 4.0, loss_now: 0.05, dispersion: 9.0, density: 0.9, ..view() }
    }

    #[test]
    fn a_trial_that_changes_nothing_is_taken_back() {
        let begin = Instant::now();
        let mut rate = RateControl::new(1000..=20_000, begin);
        let mut moves = Vec::new();
        for ms in (50..20_000).step_by(50) {
            moves.extend(rate.update(at(begin, ms), &bursts(ms, rate.kbps())));
        }
        assert_eq!(moves, [Move::Trial, Move::Acquitted], "and not tried again soon");
        assert_eq!(rate.kbps(), 20_000);
    }

    /// Frame after frame is lost while less is tried, and as many with much less: it was neither.
    #[test]
    fn a_cut_ends_the_trial_and_goes_back_to_what_was_before_it() {
        let begin = Instant::now();
        let mut rate = RateControl::new(1000..=20_000, begin);
        let trial = (50..5000)
            .step_by(50)
            .find(|ms| rate.update(at(begin, *ms), &bursts(*ms, 20_000)) == Some(Move::Trial))
            .expect("it is tried");
        let heavy = |ms, kbps| View { heavy: Some(0.3), ..bursts(ms, kbps) };
        assert_eq!(rate.update(at(begin, trial + 200), &heavy(trial + 200, 17_000)), Some(Move::Cut));
        let after = trial + 1200;
        assert_eq!(rate.update(at(begin, after), &heavy(after, rate.kbps())), Some(Move::Acquitted));
        assert_eq!(rate.kbps(), 20_000);
        let later = (after..after + 10_000).step_by(50);
        let moves: Vec<Move> =
            later.filter_map(|ms| rate.update(at(begin, ms), &bursts(ms, rate.kbps()))).collect();
        assert_eq!(moves, [], "no trial goes on");
    }

    #[test]
    fn a_trial_that_helps_stays() {
        let begin = Instant::now();
        let mut rate = RateControl::new(1000..=20_000, begin);
        let trial =
            (50..5000).step_by(50).find(|ms| rate.update(at(begin, *ms), &bursts(*ms, 20_000)).is_some());
        let (trial, after) = (trial.expect("it is tried"), bursts(2100, 17_000));
        let moved = (trial..trial + 3000).step_by(50).find_map(|ms| rate.update(at(begin, ms), &after));
        assert_ne!(moved, Some(Move::Acquitted));
        assert!(rate.kbps() < 18_000, "{}", rate.kbps());
    }

    #[test]
    fn a_way_that_became_longer_is_no_queue() {
        let begin = Instant::now();
        let mut rate = RateControl::new(1000..=20_000, begin);
        let long = View { queue: Duration::from_millis(60), ..view() };
        (0..2000).for_each(|tick| _ = rate.update(at(begin, 50 * tick), &long));
        assert!(rate.kbps() > 14_000, "{}", rate.kbps());
    }
}
