//! Losses made on purpose: the same seed loses the same datagrams.

/// Decides which datagrams are lost, with the model of Gilbert and Elliott: a chain of two states, a good one in which
/// none are lost here, and a bad one in which all are (k = 1 and h = 0 in their terms, as `tc netem loss gemodel` has it
/// by default).
#[derive(Debug)]
pub struct Loss {
    random: SplitMix,
    /// Chance that a loss begins at the next datagram.
    begin: f64,
    /// Chance that it goes on.
    go_on: f64,
    losing: bool,
}

impl Loss {
    /// Loses `percentage` of all datagrams, in runs of `burst` on average. Independent losses have runs of
    /// 1 / (1 − p); a shorter `burst` means those.
    pub fn new(percentage: f64, burst: f64, seed: u64) -> Self {
        let p = (percentage / 100.0).clamp(0.0, 1.0);
        let (begin, go_on) = if p >= 1.0 {
            (1.0, 1.0)
        } else {
            let burst = burst.max(1.0 / (1.0 - p));
            (p / (burst * (1.0 - p)), 1.0 - 1.0 / burst)
        };
        Self { random: SplitMix(seed), begin, go_on, losing: false }
    }

    /// Whether the next datagram is lost.
    pub fn loses(&mut self) -> bool {
        if self.begin == 0.0 {
            return false;
        }
        let chance = if self.losing { self.go_on } else { self.begin };
        self.losing = self.random.fraction() < chance;
        self.losing
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): any seed will do, also 0.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    /// In [0, 1).
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Share lost and mean length of the runs, over a million datagrams.
    fn measure(mut loss: Loss) -> (f64, f64) {
        let (mut lost, mut runs, mut before) = (0u32, 0u32, false);
        for _ in 0..1_000_000 {
            let now = loss.loses();
            lost += u32::from(now);
            runs += u32::from(now && !before);
            before = now;
        }
        (f64::from(lost) / 10_000.0, f64::from(lost) / f64::from(runs.max(1)))
    }

    #[test]
    fn share_and_run_length_are_as_asked() {
        for (percentage, burst, run) in
            [(3.0, 1.0, 1.031), (10.0, 1.0, 1.111), (5.0, 8.0, 8.0), (50.0, 20.0, 20.0)]
        {
            let (share, length) = measure(Loss::new(percentage, burst, 7));
            assert!((share / percentage - 1.0).abs() < 0.05, "{percentage} % asked, {share} % lost");
            assert!((length / run - 1.0).abs() < 0.05, "runs of {run} expected, {length} seen");
        }
    }

    /// Chance of a loss after a datagram that arrived, and after one that was lost.
    fn chances(mut loss: Loss) -> (f64, f64) {
        let (mut after, mut lost, mut before) = ([0u32; 2], [0u32; 2], false);
        for _ in 0..1_000_000 {
            let now = loss.loses();
            after[usize::from(before)] += 1;
            lost[usize::from(before)] += u32::from(now);
            before = now;
        }
        let chance = |state: usize| f64::from(lost[state]) / f64::from(after[state]);
        (chance(0), chance(1))
    }

    #[test]
    fn a_loss_depends_on_the_datagram_before_alone() {
        let near =
            |seen: f64, expected: f64| assert!((seen / expected - 1.0).abs() < 0.05, "{seen} for {expected}");
        // Independent losses know no past.
        let (after_arrival, after_loss) = chances(Loss::new(20.0, 1.0, 3));
        near(after_arrival, 0.2);
        near(after_loss, 0.2);
        // p = 0.05 / 0.95 / 8 and 1 - r = 7/8.
        let (after_arrival, after_loss) = chances(Loss::new(5.0, 8.0, 3));
        near(after_arrival, 0.05 / 0.95 / 8.0);
        near(after_loss, 0.875);
    }

    #[test]
    fn none_and_all() {
        assert_eq!(measure(Loss::new(0.0, 5.0, 1)).0, 0.0);
        assert_eq!(measure(Loss::new(100.0, 1.0, 1)).0, 100.0);
    }

    #[test]
    fn the_seed_decides() {
        let pattern = |seed| {
            let mut loss = Loss::new(20.0, 1.0, seed);
            (0..200).map(|_| loss.loses()).collect::<Vec<_>>()
        };
        assert_eq!(pattern(42), pattern(42));
        assert_ne!(pattern(42), pattern(43));
    }
}
