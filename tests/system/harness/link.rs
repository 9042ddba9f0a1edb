//! What a network does to packets, without clock or socket: the same packets at the same times under the same seed meet
//! the same fate.

use super::Seeded;
use std::time::Duration;

/// What one direction of a network is like for a while.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    pub loss: Loss,
    /// Every packet takes this long,
    pub delay: Duration,
    /// and up to this much longer, without overtaking another.
    pub jitter: Duration,
    /// Of 100 packets, how many are held back for [`HELD_BACK`], so that others overtake them.
    pub reordered: f64,
    pub rate: Option<Rate>,
    /// Nothing arrives.
    pub dark: bool,
}

/// Which packets vanish, of every size and plane alike.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Loss {
    #[default]
    None,
    /// Of 100 packets, each for itself.
    Each(f64),
    /// Gilbert's model: of 100 packets, in bursts of 2 to 30.
    Bursts(f64),
}

/// A bottleneck: packets leave it at this rate, and the queue before it drops what comes when it is full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub kbps: u32,
    /// How long the last packet of a full queue waits.
    pub queue: Duration,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives then.
    At(Duration),
    Lost,
    /// The queue was full.
    Overflow,
}

/// What reordering holds back: several packets of a paced frame long.
const HELD_BACK: Duration = Duration::from_millis(5);
const BURST: std::ops::RangeInclusive<u64> = 2..=30;
/// IPv4 and UDP.
const HEADERS: usize = 28;

/// One direction of a network. Times are since whenever the caller likes.
pub struct Link {
    random: Seeded,
    conditions: Conditions,
    /// Packets of the present burst that are still to be lost.
    losing: u64,
    /// When the bottleneck will have sent what waits before it.
    free_at: Duration,
    /// The latest arrival of a packet that was not held back.
    last: Duration,
}

impl Link {
    pub fn seeded(seed: u64) -> Link {
        Link {
            random: Seeded(seed),
            conditions: Conditions::default(),
            losing: 0,
            free_at: Duration::ZERO,
            last: Duration::ZERO,
        }
    }

    /// From now on it is like this. What is under way arrives as it was to. Loss in bursts begins with one, so that it
    /// shows however short it lasts.
    pub fn change(&mut self, conditions: Conditions) {
        self.losing = if matches!(conditions.loss, Loss::Bursts(_)) { self.burst() } else { 0 };
        self.conditions = conditions;
    }

    /// A packet with `bytes` of payload enters at `now`.
    pub fn carry(&mut self, now: Duration, bytes: usize) -> Fate {
        if self.conditions.dark || self.loses() {
            return Fate::Lost;
        }
        let mut at = now;
        if let Some(Rate { kbps, queue }) = self.conditions.rate {
            let begins = self.free_at.max(now);
            if begins - now > queue {
                return Fate::Overflow;
            }
            let bits = ((bytes + HEADERS) * 8) as u64;
            self.free_at = begins + Duration::from_nanos(bits * 1_000_000 / u64::from(kbps));
            at = self.free_at;
        }
        let jitter = self.conditions.jitter.mul_f64(self.share());
        at = (at + self.conditions.delay + jitter).max(self.last);
        if self.percent(self.conditions.reordered) {
            return Fate::At(at + HELD_BACK);
        }
        self.last = at;
        Fate::At(at)
    }

    fn loses(&mut self) -> bool {
        if self.losing > 0 {
            self.losing -= 1;
            return true;
        }
        match self.conditions.loss {
            Loss::None => false,
            Loss::Each(percent) => self.percent(percent),
            Loss::Bursts(percent) => {
                // Bursts begin as often as makes the share of lost packets this one.
                let mean = (BURST.start() + BURST.end()) as f64 / 2.0;
                let begins = self.percent(percent / (mean * (100.0 - percent) + percent) * 100.0);
                if begins {
                    self.losing = self.burst() - 1;
                }
                begins
            }
        }
    }

    fn burst(&mut self) -> u64 {
        let lengths = BURST.end() - BURST.start() + 1;
        BURST.start() + self.random.next() % lengths
    }

    /// Of 100 times, so many times true.
    fn percent(&mut self, percent: f64) -> bool {
        percent > 0.0 && self.share() * 100.0 < percent
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.random.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn link(seed: u64, conditions: Conditions) -> Link {
        let mut link = Link::seeded(seed);
        link.change(conditions);
        link
    }

    /// A packet of 1222 + 28 bytes a millisecond: 10 Mbit/s.
    fn fates(link: &mut Link, count: u32) -> Vec<Fate> {
        (0..count).map(|number| link.carry(number * MILLISECOND, 1222)).collect()
    }

    fn lost(fates: &[Fate]) -> Vec<bool> {
        fates.iter().map(|fate| *fate == Fate::Lost).collect()
    }

    #[test]
    fn a_clean_link_delivers_at_once() {
        let expected: Vec<_> = (0..100).map(|number| Fate::At(number * MILLISECOND)).collect();
        assert_eq!(fates(&mut Link::seeded(1), 100), expected);
    }

    #[test]
    fn one_seed_makes_one_fate() {
        let bad = Conditions {
            loss: Loss::Bursts(5.0),
            jitter: 20 * MILLISECOND,
            reordered: 3.0,
            rate: Some(Rate { kbps: 9000, queue: 50 * MILLISECOND }),
            ..Conditions::default()
        };
        let of = |seed| fates(&mut link(seed, bad.clone()), 2000);
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn as_many_are_lost_as_was_said() {
        for percent in [1.0, 3.0, 5.0, 10.0] {
            for loss in [Loss::Each(percent), Loss::Bursts(percent)] {
                let lost = lost(&fates(&mut link(3, Conditions { loss, ..Conditions::default() }), 200_000));
                let share = lost.iter().filter(|lost| **lost).count() as f64 / 2000.0;
                assert!((share / percent - 1.0).abs() < 0.1, "{loss:?}: {share} %");
            }
        }
    }

    #[test]
    fn bursts_have_two_to_thirty() {
        let bursts = Conditions { loss: Loss::Bursts(1.0), ..Conditions::default() };
        let lost = lost(&fates(&mut link(5, bursts), 200_000));
        let mut lengths: Vec<usize> =
            lost.split(|lost| !lost).map(<[bool]>::len).filter(|length| *length > 0).collect();
        lengths.sort_unstable();
        // Two bursts that touch look like one.
        let usual = &lengths[..lengths.len() * 95 / 100];
        assert_eq!(usual.first(), Some(&2));
        assert!(usual.iter().all(|length| *length <= 30) && usual.contains(&29), "{lengths:?}");
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let jitter = 20 * MILLISECOND;
        let arrivals: Vec<_> = fates(&mut link(1, Conditions { jitter, ..Conditions::default() }), 1000);
        let at = |fate: &Fate| match fate {
            Fate::At(at) => *at,
            other => panic!("{other:?}"),
        };
        assert!(arrivals.is_sorted_by_key(at));
        let late: Vec<_> = arrivals.iter().zip(0..).map(|(fate, n)| at(fate) - n * MILLISECOND).collect();
        assert!(late.iter().all(|late| *late <= jitter) && late.iter().any(|late| *late > jitter / 2));

        let reordered = Conditions { reordered: 10.0, ..Conditions::default() };
        let arrivals: Vec<_> = fates(&mut link(1, reordered), 1000);
        let overtaken = arrivals.windows(2).filter(|pair| at(&pair[1]) < at(&pair[0])).count();
        assert!((50..150).contains(&overtaken), "{overtaken} of 1000");
    }

    #[test]
    fn a_bottleneck_lets_its_rate_through_and_no_packet_waits_longer_than_its_queue() {
        let (queue, kbps) = (60 * MILLISECOND, 5000);
        let narrow = Conditions { rate: Some(Rate { kbps, queue }), ..Conditions::default() };
        let fates = fates(&mut link(1, narrow), 10_000);
        let passed = fates.iter().filter(|fate| matches!(fate, Fate::At(_))).count();
        assert!((4990..5100).contains(&passed), "half of 10 Mbit/s, and what fits the queue: {passed}");
        for (fate, number) in fates.iter().zip(0..) {
            match fate {
                Fate::At(at) => assert!(*at - number * MILLISECOND <= queue + 2 * MILLISECOND),
                other => assert_eq!(*other, Fate::Overflow),
            }
        }
    }

    #[test]
    fn in_the_dark_nothing_arrives_and_afterwards_everything() {
        let mut link = link(1, Conditions { dark: true, ..Conditions::default() });
        assert!(lost(&fates(&mut link, 100)).iter().all(|lost| *lost));
        link.change(Conditions::default());
        assert_eq!(link.carry(MILLISECOND, 10), Fate::At(MILLISECOND));
    }
}
