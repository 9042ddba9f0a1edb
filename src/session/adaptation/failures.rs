//! Frames that parity did not mend: single ones, or one after the other.

use super::report::BlockReport;
use std::time::Duration;
use tokio::time::Instant;

/// Frames looked back at.
const KEPT: usize = 16;
/// Failures further apart have nothing to do with each other.
const TOGETHER: Duration = Duration::from_millis(250);
/// Frames that make a series.
const SERIES: usize = 3;
/// Share of its frames that failed.
const DENSE: f64 = 0.5;
/// Share of their packets that was lost: parity may mend less.
const HEAVY: f64 = 0.12;

#[derive(Clone, Copy, Debug)]
struct Failure {
    frame: u32,
    at: Instant,
    /// Share of packets lost.
    share: f64,
}

/// The last frames that failed.
#[derive(Debug, Default)]
pub struct Failures {
    last: Vec<Failure>,
    /// Reports of frames up to this one come too late.
    stale: u32,
    count: u64,
}

impl Failures {
    /// Whether the report says something of how things are now.
    pub fn handle_report(&mut self, now: Instant, report: &BlockReport) -> bool {
        if report.frame <= self.stale {
            return false;
        }
        if report.failed {
            self.count += 1;
            if self.last.len() == KEPT {
                self.last.remove(0);
            }
            let share = f64::from(report.lost) / f64::from(report.data + report.parity);
            self.last.push(Failure { frame: report.frame, at: now, share });
        }
        true
    }

    /// Frames up to this one are forgotten, whenever they are told of.
    pub fn forget_until(&mut self, frame: u32) {
        self.stale = frame;
        self.last.clear();
    }

    /// Blocks that failed since the start.
    pub fn count(&self) -> f64 {
        self.count as f64
    }

    /// Share of packets lost in a series of at least `frames` frames most of which failed just now.
    pub fn heavy(&self, now: Instant, frames: u32) -> Option<f64> {
        let recent = |failure: &&Failure| now.saturating_duration_since(failure.at) <= TOGETHER;
        let mut series: Vec<&Failure> = self.last.iter().filter(recent).collect();
        series.sort_by_key(|failure| failure.frame);
        series.dedup_by_key(|failure| failure.frame);
        let (first, last) = (series.first()?, series.last()?);
        let span = (last.frame - first.frame).saturating_add(1);
        if series.len() < SERIES || span < frames {
            return None;
        }
        let span = f64::from(span);
        let dense = series.len() as f64 / span;
        let share = series.iter().map(|failure| failure.share).sum::<f64>() / span;
        (dense >= DENSE && share >= HEAVY).then_some(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(frame: u32, lost: u32) -> BlockReport {
        BlockReport { frame, data: 20, parity: 4, lost_data: lost.min(20), lost, failed: true, density: 1.0 }
    }

    #[test]
    fn three_frames_in_a_row_are_heavy_and_single_ones_are_not() {
        let begin = Instant::now();
        let mut failures = Failures::default();
        failures.handle_report(begin, &failed(10, 18));
        failures.handle_report(begin, &failed(11, 18));
        assert_eq!(failures.heavy(begin, 3), None);
        failures.handle_report(begin, &failed(12, 18));
        assert_eq!(failures.heavy(begin, 3), Some(0.75));
        assert_eq!(failures.heavy(begin + 2 * TOGETHER, 3), None, "that is over");

        let mut single = Failures::default();
        [10, 20, 30, 40].iter().for_each(|frame| _ = single.handle_report(begin, &failed(*frame, 18)));
        assert_eq!(single.heavy(begin, 3), None);
        assert_eq!(single.count(), 4.0);
    }

    #[test]
    fn what_left_before_the_cut_counts_no_more() {
        let now = Instant::now();
        let mut failures = Failures::default();
        failures.forget_until(12);
        assert!((10..13).all(|frame| !failures.handle_report(now, &failed(frame, 18))));
        assert_eq!(failures.heavy(now, 3), None);
        assert!((13..16).all(|frame| failures.handle_report(now, &failed(frame, 18))));
        assert!(failures.heavy(now, 3).is_some());
    }
}
