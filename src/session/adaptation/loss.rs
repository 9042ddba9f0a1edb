//! How much is lost on the way, from what a client reports of single blocks.
//!
//! A client tells only of blocks that needed parity; what it does not tell of arrived. So losses come from reports and
//! their denominator from what was sent. Three windows, each forgetting by itself, answer three questions: what happens
//! now, what happened in the last seconds, and what is usual here.

use super::rate::PerSecond;
use super::report::BlockReport;
use std::time::Duration;

/// How fast each window forgets: time after which an event weighs 1/e.
const WINDOWS: [Duration; 3] = [Duration::from_millis(400), Duration::from_secs(2), Duration::from_secs(10)];

/// Sums over one window.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    data: f64,
    blocks: f64,
    lost: f64,
    /// Of lost packets per block, squared.
    squares: f64,
    reported: f64,
    failed: f64,
    density: f64,
}

impl Sums {
    fn fade(&mut self, factor: f64) {
        for sum in [
            &mut self.data,
            &mut self.blocks,
            &mut self.lost,
            &mut self.squares,
            &mut self.reported,
            &mut self.failed,
            &mut self.density,
        ] {
            *sum *= factor;
        }
    }

    fn mean(&self) -> f64 {
        if self.data < 1.0 { 0.0 } else { (self.lost / self.data).min(1.0) }
    }

    /// The mean, moved by its standard error.
    fn bound(&self, dispersion: f64, errors: f64) -> f64 {
        let lost = self.lost + errors * (dispersion * self.lost).sqrt();
        if self.data < 1.0 { 0.0 } else { (lost / self.data).clamp(0.0, 1.0) }
    }
}

/// Loss of packets and blocks over time.
#[derive(Clone, Copy, Debug, Default)]
pub struct LossMeter {
    windows: [Sums; 3],
}

impl LossMeter {
    /// So many data packets in so many blocks were sent in the last `time`, and the client would have told of their loss.
    pub fn handle_sent(&mut self, time: Duration, data: f64, blocks: f64) {
        for (sums, window) in self.windows.iter_mut().zip(WINDOWS) {
            sums.fade((-time.as_secs_f64() / window.as_secs_f64()).exp());
            sums.data += data;
            sums.blocks += blocks;
        }
    }

    /// The client had no room to tell of so much of what was counted as sent.
    pub fn handle_untold(&mut self, data: f64, blocks: f64) {
        for sums in &mut self.windows {
            sums.data = (sums.data - data).max(0.0);
            sums.blocks = (sums.blocks - blocks).max(0.0);
        }
    }

    pub fn handle_report(&mut self, report: &BlockReport) {
        let lost = f64::from(report.lost_data);
        for sums in &mut self.windows {
            sums.lost += lost;
            sums.squares += lost * lost;
            sums.reported += 1.0;
            if report.failed {
                sums.failed += 1.0;
                sums.density += report.density;
            }
        }
    }

    /// The network was full: what it lost says little of what it loses when it is not.
    pub fn forgive(&mut self) {
        const REMAINS: f64 = 0.2;
        for sums in &mut self.windows {
            for sum in
                [&mut sums.lost, &mut sums.squares, &mut sums.reported, &mut sums.failed, &mut sums.density]
            {
                *sum *= REMAINS;
            }
        }
    }

    /// Share of packets lost before parity, to be prepared for: what is usual, or more if it is certain to be more now.
    pub fn loss(&self) -> f64 {
        let dispersion = self.dispersion();
        let [now, seconds, usual] = &self.windows;
        // Half a packet of many: that nothing was lost yet does not mean that nothing will be.
        let floor = 0.5 / usual.data.max(2000.0);
        usual
            .bound(dispersion, 1.0)
            .max(seconds.bound(dispersion, -1.0))
            .max(now.bound(dispersion, -2.0))
            .max(floor)
    }

    /// Share of packets lost before parity over the last seconds, as it is.
    pub fn loss_before(&self) -> f64 {
        self.windows[1].mean()
    }

    /// Share of packets lost before parity in the last moments.
    pub fn loss_now(&self) -> f64 {
        self.windows[0].mean()
    }

    /// Blocks hurt and failed in a second, as is usual.
    pub fn usual(&self) -> PerSecond {
        per_second(&self.windows[2], WINDOWS[2])
    }

    /// Blocks hurt and failed in a second, as of now.
    pub fn now(&self) -> PerSecond {
        per_second(&self.windows[0], WINDOWS[0])
    }

    /// Share of blocks that failed over the last seconds.
    pub fn loss_after(&self) -> f64 {
        let seconds = &self.windows[1];
        if seconds.blocks < 1.0 { 0.0 } else { (seconds.failed / seconds.blocks).min(1.0) }
    }

    /// Of blocks that failed over the last seconds: share of packets lost, from the first loss on.
    pub fn density(&self) -> f64 {
        let seconds = &self.windows[1];
        if seconds.failed > 0.0 { seconds.density / seconds.failed } else { 0.0 }
    }

    /// Blocks that failed in the last moments, and their share of all.
    pub fn failing_now(&self) -> (f64, f64) {
        let now = &self.windows[0];
        (now.failed, if now.blocks < 1.0 { 0.0 } else { (now.failed / now.blocks).min(1.0) })
    }

    /// Variance of the packets lost per block over their mean: 1 where each is lost by itself, 2 L − 1 where bursts have
    /// a mean length of L.
    pub fn dispersion(&self) -> f64 {
        /// As if so many blocks had been seen with this much.
        const PRIOR: (f64, f64) = (8.0, 1.0);
        let usual = &self.windows[2];
        if usual.blocks < 1.0 || usual.lost <= 0.0 {
            return PRIOR.1;
        }
        let mean = usual.lost / usual.blocks;
        let seen = ((usual.squares / usual.blocks - mean * mean) / mean).clamp(1.0, 40.0);
        (seen * usual.reported + PRIOR.1 * PRIOR.0) / (usual.reported + PRIOR.0)
    }

    /// Mean number of packets lost in a row.
    pub fn burst(&self) -> f64 {
        (self.dispersion() + 1.0) / 2.0
    }

    /// Loss now, less what is usual: above zero it gets worse.
    pub fn trend(&self) -> f64 {
        self.windows[1].mean() - self.windows[2].mean()
    }
}

/// Sums that forget come to rest at what a window's time brings.
fn per_second(sums: &Sums, window: Duration) -> PerSecond {
    let seconds = window.as_secs_f64();
    PerSecond { hurt: sums.reported / seconds, failed: sums.failed / seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lost: u32) -> BlockReport {
        BlockReport { frame: 1, data: 20, parity: 4, lost_data: lost, lost, failed: lost > 4, density: 0.5 }
    }

    const TICK: Duration = Duration::from_millis(50);

    #[test]
    fn what_is_not_told_of_arrived() {
        let mut meter = LossMeter::default();
        for _ in 0..200 {
            meter.handle_sent(TICK, 60.0, 3.0);
        }
        assert_eq!((meter.loss_before(), meter.loss_after()), (0.0, 0.0));
        assert!(meter.loss() > 0.0 && meter.loss() < 1e-3, "{}", meter.loss());
    }

    #[test]
    fn a_steady_loss_is_found_and_forgotten() {
        let mut meter = LossMeter::default();
        for _ in 0..60 {
            meter.handle_sent(TICK, 60.0, 3.0);
            (0..3).for_each(|_| meter.handle_report(&report(1)));
        }
        assert!((meter.loss_before() - 0.05).abs() < 0.001, "{}", meter.loss_before());
        assert!((0.05..0.06).contains(&meter.loss()), "{}", meter.loss());
        assert!(meter.burst() < 1.2, "{}", meter.burst());
        (0..400).for_each(|_| meter.handle_sent(TICK, 60.0, 3.0));
        assert!(meter.loss() < 0.01, "{}", meter.loss());
        assert!(meter.trend() < 0.0);
    }

    #[test]
    fn bursts_show_in_the_dispersion() {
        let mut meter = LossMeter::default();
        for n in 0..400 {
            meter.handle_sent(TICK, 60.0, 3.0);
            if n % 10 == 0 {
                meter.handle_report(&report(9));
            }
        }
        assert!((3.5..6.0).contains(&meter.burst()), "{}", meter.burst());
        assert!(meter.loss_after() > 0.02);
    }

    /// A client that tells of eight blocks in a tenth of a second has not told of the others.
    #[test]
    fn what_could_not_be_told_counts_for_nothing() {
        let mut meter = LossMeter::default();
        for _ in 0..40 {
            meter.handle_sent(TICK, 120.0, 6.0);
            meter.handle_untold(60.0, 3.0);
            (0..3).for_each(|_| meter.handle_report(&report(1)));
        }
        assert!((meter.loss_before() - 0.05).abs() < 0.005, "{}", meter.loss_before());
    }
}
