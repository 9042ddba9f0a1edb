//! How much parity blocks need, so that as good as none of them fails.
//!
//! Packets lost of a block are taken as binomial where each is lost by itself, and as negative binomial with the measured
//! dispersion where they are lost in bursts. A small block needs a greater share than a large one, because the spread of
//! what it loses is greater: that is what the minimum of parity packets is for.

use gstgamestream::wire::video::Redundancy;
use std::ops::RangeInclusive;

/// Blocks that may fail: at 60 frames a second, less than one in an hour of single blocks.
const FAILURES: f64 = 5e-6;
/// Failures that a packet of parity has to save, times the packets of data that it is shared by: against long bursts
/// much parity helps little.
const WORTH: f64 = 4e-4;
/// However large their share, so many packets cost little.
const MOST_OF_FEW: u32 = 4;
/// The most that a packet's percentage can say.
const MOST_PERCENT: u32 = 255;

/// What is known of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel {
    /// Share of packets lost.
    pub loss: f64,
    /// Variance of the number lost in a block over its mean.
    pub dispersion: f64,
}

impl Channel {
    /// Probability that more than `parity` packets of a block are lost.
    fn failure(&self, data: u32, parity: u32) -> f64 {
        let packets = f64::from(data + parity);
        let mean = packets * self.loss;
        if mean <= 0.0 {
            return 0.0;
        }
        let mut term;
        let mut arrived;
        if self.dispersion < 1.15 {
            let odds = self.loss / (1.0 - self.loss).max(1e-9);
            term = (1.0 - self.loss).powf(packets);
            arrived = term;
            for lost in 0..parity {
                term *= (packets - f64::from(lost)) / f64::from(lost + 1) * odds;
                arrived += term;
            }
        } else {
            let r = mean / (self.dispersion - 1.0);
            let q = 1.0 - 1.0 / self.dispersion;
            term = self.dispersion.powf(-r);
            arrived = term;
            for lost in 0..parity {
                term *= (f64::from(lost) + r) / f64::from(lost + 1) * q;
                arrived += term;
            }
        }
        (1.0 - arrived).max(0.0)
    }

    /// Parity packets that a block of `data` packets needs, of `most`.
    fn parity(&self, data: u32, most: u32) -> u32 {
        let worth = WORTH / f64::from(data);
        // Up to here each packet saves more blocks than the one before.
        let (mut least, mut enough) = (0, most);
        while least < enough {
            let middle = (least + enough) / 2;
            if self.failure(data, middle) <= 0.05 {
                enough = middle;
            } else {
                least = middle + 1;
            }
        }
        let mut failure = self.failure(data, enough);
        while enough < most && failure > FAILURES {
            let next = self.failure(data, enough + 1);
            if failure - next < worth {
                break;
            }
            (enough, failure) = (enough + 1, next);
        }
        enough
    }

    /// What blocks of `data` packets on average need; percentage and minimum stay inside what is given.
    pub fn redundancy(
        &self,
        data: f64,
        percentage: RangeInclusive<u32>,
        min: RangeInclusive<u32>,
    ) -> Redundancy {
        let (least, most) = (*percentage.start(), *percentage.end());
        let smaller = (data * 0.75).round().max(1.0) as u32;
        let sizes = [smaller, (data.round() as u32).max(1), ((data * 1.5).ceil() as u32).max(1)];
        let needed = sizes.map(|size| percentage_for(size, self.parity(size, most_parity(size, most))));
        let wanted = needed.into_iter().fold(0, u32::max).clamp(least, most);
        // Below that size the minimum takes over from the percentage.
        let room = most_parity(data.round() as u32, most).max(MOST_OF_FEW).min(*min.end());
        let fixed = self.parity(smaller, most_parity(smaller, MOST_PERCENT).min(room));
        Redundancy {
            percentage: wanted.min(MOST_PERCENT) as u8,
            min: fixed.clamp(*min.start(), *min.end()) as usize,
        }
    }
}

fn most_parity(data: u32, percentage: u32) -> u32 {
    (data * percentage).div_ceil(100)
}

/// The least percentage that makes so many parity packets, which are rounded up.
fn percentage_for(data: u32, parity: u32) -> u32 {
    if parity == 0 { 0 } else { 100 * (parity - 1) / data + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gstgamestream::wire::video::Layout;

    fn independent(loss: f64) -> Channel {
        Channel { loss, dispersion: 1.0 }
    }

    #[test]
    fn failures_are_those_of_the_distributions() {
        // 1 − 0.9⁴ − 4 · 0.1 · 0.9³.
        assert!((independent(0.1).failure(3, 1) - 0.0523).abs() < 1e-4);
        assert_eq!(independent(0.0).failure(20, 0), 0.0);
        // Negative binomial of mean 2 and variance 8: r = 2/3, q = 3/4.
        let bursts = Channel { loss: 0.1, dispersion: 4.0 };
        let (zero, one) = (0.25_f64.powf(2.0 / 3.0), 0.25_f64.powf(2.0 / 3.0) * 0.5);
        assert!((bursts.failure(19, 1) - (1.0 - zero - one)).abs() < 1e-9);
    }

    #[test]
    fn small_blocks_need_a_greater_share() {
        let channel = independent(0.05);
        let share = |data| f64::from(channel.parity(data, 255)) / f64::from(data);
        let shares: Vec<f64> = [1, 4, 10, 30, 100].map(share).into();
        assert!(shares.is_sorted_by(|small, large| small > large), "{shares:?}");
        assert_eq!(channel.parity(1, 255), 2, "a third packet would save one block in ten thousand");
        assert_eq!(channel.parity(22, 255), 8);
    }

    #[test]
    fn a_clean_network_gets_the_least_and_a_hopeless_one_no_more_than_the_most() {
        let least = independent(1e-5).redundancy(20.0, 5..=60, 2..=12);
        assert_eq!((least.percentage, least.min), (5, 2));
        let most = independent(0.5).redundancy(20.0, 5..=60, 2..=12);
        assert!(most.percentage <= 60 && most.min <= 12, "{most:?}");
    }

    /// What is asked for is what the packetizer makes of it, for frames around the average and below it.
    #[test]
    fn every_block_of_a_real_layout_has_what_it_needs() {
        let channel = independent(0.05);
        let redundancy = channel.redundancy(20.0, 5..=60, 2..=40);
        for data in [2, 3, 5, 10, 15, 20, 25, 40, 80, 400] {
            let layout = Layout::plan(data * 1376 - 8, 1392, redundancy).expect("it fits");
            for block in layout.blocks() {
                let failure = channel.failure(block.data as u32, block.parity as u32);
                assert!(failure <= 5e-5, "{data}: {block:?} fails {failure}");
            }
        }
    }

    #[test]
    fn parity_that_hardly_helps_is_left_out() {
        let bursts = Channel { loss: 0.02, dispersion: 39.0 };
        assert!(bursts.failure(20, 12) > 1e-3, "twelve packets do not bridge a burst of twenty");
        let rare = Channel { loss: 0.0005, dispersion: 39.0 };
        assert!(rare.parity(20, 12) < 12, "{}", rare.parity(20, 12));
    }
}
