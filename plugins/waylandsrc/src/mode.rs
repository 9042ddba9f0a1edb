//! What an output shows: its size, its rate, and the moments at which it shows.

use std::time::Duration;

const NANOS: u128 = 1_000_000_000;

/// Pictures a second, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    numer: u32,
    denom: u32,
}

impl Rate {
    /// Nothing for a rate that is no rate.
    pub fn new(numer: i32, denom: i32) -> Option<Self> {
        match (u32::try_from(numer), u32::try_from(denom)) {
            (Ok(numer @ 1..), Ok(denom @ 1..)) => Some(Self { numer, denom }),
            _ => None,
        }
    }

    /// As wl_output says it, rounded.
    pub fn millihertz(self) -> i32 {
        let (numer, denom) = (u64::from(self.numer), u64::from(self.denom));
        i32::try_from((numer * 1000 + denom / 2) / denom).unwrap_or(i32::MAX)
    }

    pub fn interval(self) -> Duration {
        self.after(1)
    }

    /// From the first tick to tick `number`; intervals add up without drift.
    fn after(self, number: u64) -> Duration {
        let nanos = u128::from(number) * u128::from(self.denom) * NANOS / u128::from(self.numer);
        Duration::new((nanos / NANOS) as u64, (nanos % NANOS) as u32)
    }

    /// The number of the newest tick that is not after `elapsed`.
    fn newest_at(self, elapsed: Duration) -> u64 {
        let interval = u128::from(self.denom) * NANOS;
        // A tick's own time is rounded down by less than a nanosecond.
        (((elapsed.as_nanos() + 1) * u128::from(self.numer) - 1) / interval) as u64
    }
}

/// Size in pixels and rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    pub width: i32,
    pub height: i32,
    pub rate: Rate,
}

impl Mode {
    /// Until somebody asks for another.
    pub const DEFAULT: Self = Self { width: 1280, height: 720, rate: Rate { numer: 60, denom: 1 } };
    /// Larger images overflow the arithmetic of pixman.
    pub const LARGEST: i32 = 16_384;
}

/// A moment at which the output shows a picture, on the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    pub number: u64,
    pub time: Duration,
}

/// How far ticks in order may be behind. A sink holds a picture for the latency of its pipeline, and the source with it.
const FURTHEST_BEHIND: Duration = Duration::from_secs(1);

/// Which ticks are left out when it is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// All but the newest.
    Newest,
    /// None, unless it is very late.
    Every,
}

/// Ticks at a rate on a grid that never moves.
#[derive(Clone, Debug)]
pub struct Schedule {
    rate: Rate,
    first: Duration,
    /// The newest that was used.
    used: Option<u64>,
}

impl Schedule {
    /// The first tick is `now`.
    pub fn new(rate: Rate, now: Duration) -> Self {
        Self { rate, first: now, used: None }
    }

    /// A tick that has come and was not used.
    pub fn poll_tick(&self, now: Duration, pace: Pace) -> Option<Tick> {
        let newest = self.rate.newest_at(now.checked_sub(self.first)?);
        let next = self.tick(self.used.map_or(0, |used| used + 1));
        let in_order = pace == Pace::Every && now.saturating_sub(next.time) <= FURTHEST_BEHIND;
        (newest >= next.number).then(|| if in_order { next } else { self.tick(newest) })
    }

    pub fn handle_used(&mut self, tick: Tick) {
        self.used = Some(tick.number);
    }

    /// Ticks before now are of no use any more.
    pub fn handle_pause(&mut self, now: Duration) {
        self.used = self.used.max(self.poll_tick(now, Pace::Newest).map(|tick| tick.number));
    }

    /// When there will be a tick to use; in the past when there is one.
    pub fn poll_timeout(&self) -> Duration {
        self.tick(self.used.map_or(0, |used| used + 1)).time
    }

    fn tick(&self, number: u64) -> Tick {
        Tick { number, time: self.first + self.rate.after(number) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1000);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_rate_is_two_positive_numbers() {
        for (numer, denom) in [(0, 1), (-60, 1), (60, 0), (60, -1)] {
            assert_eq!(Rate::new(numer, denom), None, "{numer}/{denom}");
        }
    }

    #[test]
    fn rates_are_told_to_clients_in_millihertz() {
        for (numer, denom, millihertz) in
            [(60, 1, 60_000), (60_000, 1001, 59_940), (24_000, 1001, 23_976), (240, 1, 240_000)]
        {
            assert_eq!(Rate::new(numer, denom).unwrap().millihertz(), millihertz);
        }
    }

    #[test]
    fn every_tick_is_found_at_its_own_time_and_not_before() {
        for (numer, denom) in [(60, 1), (60_000, 1001), (7, 3), (1, 1), (1000, 1), (239, 1)] {
            let rate = Rate::new(numer, denom).unwrap();
            for number in (0..1000).chain(1_000_000_000..1_000_001_000) {
                let time = rate.after(number);
                assert_eq!(rate.newest_at(time), number, "{numer}/{denom}");
                if number > 0 {
                    assert_eq!(rate.newest_at(time - Duration::from_nanos(1)), number - 1, "{numer}/{denom}");
                }
            }
        }
    }

    #[test]
    fn a_day_has_as_many_ticks_as_its_rate_says() {
        let rate = Rate::new(60_000, 1001).unwrap();
        assert_eq!(rate.newest_at(Duration::from_secs(1001 * 86)), 60_000 * 86);
    }

    #[test]
    fn the_first_tick_is_at_once_and_each_is_used_once() {
        let mut schedule = Schedule::new(Rate::new(50, 1).unwrap(), START);
        let first = schedule.poll_tick(START, Pace::Newest).unwrap();
        assert_eq!(first, Tick { number: 0, time: START });
        schedule.handle_used(first);
        assert_eq!(schedule.poll_tick(START + MS * 19, Pace::Newest), None);
        assert_eq!(schedule.poll_timeout(), START + MS * 20);
        let second = schedule.poll_tick(schedule.poll_timeout(), Pace::Newest).unwrap();
        assert_eq!(second.number, 1);
    }

    #[test]
    fn missed_ticks_are_left_out_and_the_grid_stays() {
        let mut schedule = Schedule::new(Rate::new(50, 1).unwrap(), START);
        let late = schedule.poll_tick(START + MS * 107, Pace::Newest).unwrap();
        assert_eq!(late, Tick { number: 5, time: START + MS * 100 });
        schedule.handle_used(late);
        assert_eq!(schedule.poll_tick(START + MS * 119, Pace::Newest), None);
        assert_eq!(schedule.poll_timeout(), START + MS * 120);
    }

    #[test]
    fn in_order_no_tick_is_left_out_until_it_is_a_second_late() {
        let mut schedule = Schedule::new(Rate::new(50, 1).unwrap(), START);
        let mut use_at = |ms| {
            let tick = schedule.poll_tick(START + MS * ms, Pace::Every);
            tick.inspect(|tick| schedule.handle_used(*tick)).map(|tick| tick.number)
        };
        assert_eq!([use_at(47), use_at(47), use_at(47), use_at(47)], [Some(0), Some(1), Some(2), None]);
        assert_eq!(use_at(1060), Some(3), "tick 3 was at 60");
        assert_eq!(use_at(1081), Some(54), "tick 4 was at 80");
    }

    #[test]
    fn what_passed_in_a_pause_is_left_out() {
        let mut schedule = Schedule::new(Rate::new(50, 1).unwrap(), START);
        schedule.handle_pause(START + MS * 110);
        assert_eq!(schedule.poll_tick(START + MS * 119, Pace::Every), None);
        assert_eq!(schedule.poll_tick(START + MS * 121, Pace::Every).unwrap().number, 6);
        schedule.handle_used(Tick { number: 7, time: START });
        schedule.handle_pause(START + MS * 150);
        assert_eq!(schedule.poll_timeout(), START + MS * 160);
    }

    #[test]
    fn a_clock_before_the_first_tick_has_none() {
        let schedule = Schedule::new(Rate::new(50, 1).unwrap(), START);
        assert_eq!(schedule.poll_tick(START - MS, Pace::Newest), None);
    }
}
