//! When the pacer shows which picture. Decides only: the element brings the time and does the waiting.
//!
//! Ticks lie on an absolute grid, exactly a frame interval apart. A picture that is there at its tick is shown then.
//! If none is there but the source is about to deliver, the tick waits for it up to half an interval: a source at
//! the tick's own rate then never makes a picture come twice only because it was a little late, which would also
//! lose the one after it. Since a picture that missed its tick is shown at the next one *at once*, the pictures after
//! it come before their ticks: there is no phase at which jitter below half an interval makes the two rates beat.
//!
//! A tick that is late by less than an interval is shown late; beyond that ticks are left out, and it goes on with the
//! one nearest to now.
//!
//! Once the source is seen to run at the tick's rate, the grid moves, by at most an eighth of an interval a tick, to
//! where pictures arrive just before their ticks, so that they do not lie about for most of an interval.
//!
//! All times are running times in nanoseconds.

/// Where pictures should arrive, in 16ths of an interval before their tick.
const LEAD: i64 = 1;
/// In a row, one new picture a tick, before the grid moves. A stall among them does not move the median.
const LOCK_AFTER: usize = 16;
/// Repeats in a row after which the source may have another phase.
const QUIET: u32 = 32;

/// Frames per second as a fraction of two positive numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub numerator: u32,
    pub denominator: u32,
}

impl Rate {
    /// The time `ticks` take, rounded down: no error adds up over them.
    fn time_of(self, ticks: u64) -> i64 {
        let time =
            u128::from(ticks) * u128::from(self.denominator) * 1_000_000_000 / u128::from(self.numerator);
        i64::try_from(time).expect("running times stay below 292 years")
    }

    /// The number of ticks nearest to a time that is not negative.
    fn ticks_near(self, time: i64) -> u64 {
        let unit = u128::from(self.denominator) * 1_000_000_000;
        ((time.max(0) as u128 * u128::from(self.numerator) + unit / 2) / unit) as u64
    }

    fn interval(self) -> i64 {
        self.time_of(1)
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is no picture yet: poll again when one arrives.
    Idle,
    /// Poll again at `until`, and sooner when a picture arrives if `or_frame`.
    Wait { until: u64, or_frame: bool },
    /// Show a picture with this time and duration, then poll again.
    Show { picture: Picture, pts: u64, duration: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// The one that arrived last.
    New,
    /// The one shown before, again.
    Last,
}

/// Since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pictures shown for the first time.
    pub new: u64,
    /// Pictures shown again.
    pub repeated: u64,
    /// Pictures never shown, since a fresher one came.
    pub replaced: u64,
    /// Times the pacer was too late for a tick.
    pub resyncs: u64,
    /// Ticks left out by that.
    pub skipped: u64,
}

#[derive(Debug)]
pub struct Cadence {
    rate: Rate,
    grid: Option<Grid>,
    /// Arrival of the picture that is to be shown next.
    fresh: Option<i64>,
    shown_any: bool,
    source: Source,
    lock: PhaseLock,
    counts: Counts,
}

/// Where the ticks lie.
#[derive(Debug)]
struct Grid {
    origin: i64,
    /// Index of the tick that comes next.
    next: u64,
}

impl Cadence {
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            grid: None,
            fresh: None,
            shown_any: false,
            source: Source::default(),
            lock: PhaseLock::default(),
            counts: Counts::default(),
        }
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The longest that a tick waits for a picture.
    fn slack(&self) -> i64 {
        self.rate.interval() / 2
    }

    /// Ticks at another rate from the next tick on.
    pub fn set_rate(&mut self, rate: Rate) {
        if rate == self.rate {
            return;
        }
        if let Some(grid) = &mut self.grid {
            *grid = Grid { origin: grid.origin + self.rate.time_of(grid.next), next: 0 };
        }
        self.rate = rate;
        self.lock = PhaseLock::default();
    }

    /// Forgets pictures and ticks, and keeps the counts: after a flush.
    pub fn flush(&mut self) {
        *self = Self { counts: self.counts, ..Self::new(self.rate) };
    }

    /// A picture arrived, and takes the place of one that was not shown yet.
    pub fn handle_frame(&mut self, now: u64) {
        let now = signed(now);
        if self.fresh.replace(now).is_some() {
            self.counts.replaced += 1;
            self.lock.start_over();
        }
        self.source.handle_frame(now, self.rate.interval());
    }

    pub fn poll(&mut self, now: u64) -> Step {
        let now = signed(now);
        if self.fresh.is_none() && !self.shown_any {
            return Step::Idle;
        }
        let due = self.next_tick(now);
        if now < due {
            return Step::Wait { until: due as u64, or_frame: false };
        }
        if let Some(arrival) = self.fresh.take() {
            self.shown_any = true;
            self.counts.new += 1;
            if let Some(offset) = self.lock.handle_new(arrival - due) {
                self.lock.plan(offset, self.rate.interval());
            }
            return self.show(Picture::New);
        }
        let until = due + self.slack();
        if now < until && self.source.delivers_soon(due, until, self.rate.interval()) {
            return Step::Wait { until: until as u64, or_frame: true };
        }
        self.counts.repeated += 1;
        self.lock.handle_repeat();
        self.show(Picture::Last)
    }

    /// The time of the next tick, after leaving out those that are hopelessly late.
    fn next_tick(&mut self, now: i64) -> i64 {
        let rate = self.rate;
        let grid = self.grid.get_or_insert(Grid { origin: now, next: 0 });
        let due = grid.origin + rate.time_of(grid.next);
        if now - due > rate.interval() {
            // Not the one before, which may be as good as now: two pictures at once help nobody.
            let nearest = rate.ticks_near(now - grid.origin).max(grid.next + 1);
            self.counts.resyncs += 1;
            self.counts.skipped += nearest - grid.next;
            grid.next = nearest;
        }
        grid.origin + rate.time_of(grid.next)
    }

    fn show(&mut self, picture: Picture) -> Step {
        let shift = self.lock.shift(self.rate.interval());
        let grid = self.grid.as_mut().expect("a picture is shown at a tick");
        let pts = grid.origin + self.rate.time_of(grid.next);
        grid.origin += shift;
        grid.next += 1;
        let after = grid.origin + self.rate.time_of(grid.next);
        Step::Show { picture, pts: pts as u64, duration: (after - pts) as u64 }
    }
}

fn signed(time: u64) -> i64 {
    i64::try_from(time).expect("running times stay below 292 years")
}

/// Foresees the next picture of a source.
#[derive(Debug, Default)]
struct Source {
    /// Smoothed time of the last arrival.
    last: Option<i64>,
    /// Smoothed time between arrivals.
    period: Option<i64>,
}

impl Source {
    fn handle_frame(&mut self, now: i64, interval: i64) {
        let Some(last) = self.last else {
            self.last = Some(now);
            return;
        };
        let gap = now - last;
        // A pause says nothing about the rate.
        if gap < 8 * interval {
            let period = self.period.unwrap_or(gap);
            self.period = Some(period + (gap - period) / 8);
        }
        let expected = last + self.period.unwrap_or(interval);
        let off = now - expected;
        self.last = Some(if off.abs() < interval { expected + off / 4 } else { now });
    }

    /// Whether a picture is to be expected before `until`, or is not overdue by more than an interval at `due`.
    fn delivers_soon(&self, due: i64, until: i64, interval: i64) -> bool {
        self.last.is_some_and(|last| {
            let expected = last + self.period.unwrap_or(interval);
            (due - interval..=until).contains(&expected)
        })
    }
}

/// Finds how far arrivals are from ticks, and brings them there.
#[derive(Debug, Default)]
struct PhaseLock {
    /// Arrival less tick, of pictures that came one per tick.
    offsets: [i64; LOCK_AFTER],
    count: usize,
    locked: bool,
    /// What is left to move the grid by.
    slew: i64,
    repeats: u32,
}

impl PhaseLock {
    fn start_over(&mut self) {
        self.count = 0;
    }

    /// The median offset, once enough pictures came.
    fn handle_new(&mut self, offset: i64) -> Option<i64> {
        self.repeats = 0;
        if self.locked {
            return None;
        }
        self.offsets[self.count] = offset;
        self.count += 1;
        if self.count < LOCK_AFTER {
            return None;
        }
        self.offsets.sort_unstable();
        Some(self.offsets[LOCK_AFTER / 2])
    }

    fn handle_repeat(&mut self) {
        self.start_over();
        self.repeats += 1;
        if self.repeats >= QUIET {
            self.locked = false;
        }
    }

    /// Moves the grid unless pictures come within an eighth of an interval of their tick.
    fn plan(&mut self, offset: i64, interval: i64) {
        self.locked = true;
        self.start_over();
        if offset.abs() > interval / 8 {
            self.slew = offset + LEAD * interval / 16;
        }
    }

    /// How far to move now.
    fn shift(&mut self, interval: i64) -> i64 {
        let step = self.slew.clamp(-interval / 8, interval / 8);
        self.slew -= step;
        step
    }
}

#[cfg(test)]
#[path = "cadence_tests.rs"]
mod tests;
