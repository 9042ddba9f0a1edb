//! When the datagrams of a frame leave: a few bursts spread over part of the frame interval instead of one that
//! overruns the buffers on the way.
//!
//! Decides only; who asks brings the time and does the waiting.

use std::{ops::Range, time::Duration};

/// Bursts a frame is cut into at most: each costs a wake-up.
pub const MAX_STEPS: usize = 12;
/// Datagrams that always may leave together: 22 KB of full datagrams, which the small buffers of home routers take.
pub const MIN_BURST: usize = 16;
/// Waits below this are not worth it: a sleep overshoots by 25 to 80 µs and costs two context switches.
pub const SHORTEST_WAIT: Duration = Duration::from_micros(500);
/// Bytes that Ethernet, IPv4 and UDP add to each datagram.
const OVERHEAD: usize = 14 + 20 + 8;

/// The bursts of one frame, an iterator from the first to the last.
#[derive(Clone, Debug)]
pub struct Plan {
    packets: usize,
    burst: usize,
    spacing: Duration,
    next: usize,
}

/// Datagrams that leave together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Which of the frame's datagrams.
    pub packets: Range<usize>,
    /// When they leave, counted from the first burst of the frame.
    pub due: Duration,
}

impl Plan {
    /// Everything in one burst.
    pub fn at_once(packets: usize) -> Self {
        Self { packets, burst: packets.max(1), spacing: Duration::ZERO, next: 0 }
    }

    /// Spreads `packets` datagrams of `bytes` bytes together over three quarters of the frame `interval`, or over the
    /// time that a link of `link_kbps` kbit/s takes for them, whichever is shorter: waiting longer than the link does
    /// would only add latency. 0 kbit/s means that the link's rate is not known.
    pub fn spread(packets: usize, bytes: usize, interval: Duration, link_kbps: u32) -> Self {
        let burst = packets.div_ceil(MAX_STEPS).max(MIN_BURST);
        let steps = packets.div_ceil(burst).max(1);
        let mut budget = interval * 3 / 4;
        if link_kbps > 0 {
            let bits = 8 * (bytes + packets * OVERHEAD) as u64;
            budget = budget.min(Duration::from_nanos(bits.saturating_mul(1_000_000) / u64::from(link_kbps)));
        }
        Self { packets, burst, spacing: budget / steps as u32, next: 0 }
    }
}

impl Iterator for Plan {
    type Item = Burst;

    fn next(&mut self) -> Option<Burst> {
        let start = self.next * self.burst;
        if start >= self.packets {
            return None;
        }
        let due = self.spacing * self.next as u32;
        self.next += 1;
        Some(Burst { packets: start..(start + self.burst).min(self.packets), due })
    }
}

/// How long to wait for a burst that is `due`, `elapsed` after the first: `None` when it is to leave right away.
pub fn wait(due: Duration, elapsed: Duration) -> Option<Duration> {
    due.checked_sub(elapsed).filter(|wait| *wait >= SHORTEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: Duration = Duration::from_nanos(16_666_667);

    #[test]
    fn a_small_frame_leaves_at_once() {
        let bursts: Vec<_> = Plan::spread(16, 16 * 1392, FRAME, 0).collect();
        assert_eq!(bursts, [Burst { packets: 0..16, due: Duration::ZERO }]);
        assert_eq!(Plan::spread(0, 0, FRAME, 0).count(), 0);
    }

    #[test]
    fn a_large_frame_takes_twelve_steps() {
        let bursts: Vec<_> = Plan::spread(720, 720 * 1392, FRAME, 0).collect();
        assert_eq!(bursts.len(), 12);
        assert_eq!(bursts[1], Burst { packets: 60..120, due: FRAME * 3 / 4 / 12 });
        assert!(bursts[11].due < FRAME * 3 / 4);
    }

    #[test]
    fn a_fast_link_shortens_the_spread_and_a_slow_one_never_stretches_it() {
        let last = |kbps| Plan::spread(100, 139_200, FRAME, kbps).last().unwrap().due;
        // 1.147 Mbit in 7 steps: 11.5 ms at 100 Mbit/s, 1.15 ms at 1 Gbit/s.
        assert!((9_500..10_500).contains(&last(100_000).as_micros()), "{:?}", last(100_000));
        assert!((950..1_050).contains(&last(1_000_000).as_micros()), "{:?}", last(1_000_000));
        assert_eq!(last(1_000), last(0));
    }

    #[test]
    fn short_waits_are_skipped_and_late_bursts_leave_now() {
        let ms = Duration::from_millis;
        assert_eq!(wait(ms(3), ms(1)), Some(ms(2)));
        assert_eq!(wait(ms(3), Duration::from_micros(2_600)), None);
        assert_eq!(wait(ms(3), ms(9)), None);
    }

    proptest! {
        #[test]
        fn every_packet_leaves_once_in_order_and_in_time(
            packets in 1usize..50_000, size in 1usize..1500, micros in 1u64..100_000, kbps in prop_oneof![Just(0), 1u32..],
        ) {
            let interval = Duration::from_micros(micros);
            let bursts: Vec<_> = Plan::spread(packets, packets * size, interval, kbps).collect();
            prop_assert!(bursts.len() <= MAX_STEPS);
            prop_assert_eq!(bursts[0].due, Duration::ZERO);
            let mut next = 0;
            for pair in bursts.windows(2) {
                prop_assert!(pair[0].due <= pair[1].due);
                prop_assert!(pair[0].packets.len() >= MIN_BURST);
            }
            for burst in &bursts {
                prop_assert_eq!(burst.packets.start, next);
                prop_assert!(!burst.packets.is_empty());
                prop_assert!(burst.packets.len() <= packets.div_ceil(MAX_STEPS).max(MIN_BURST));
                prop_assert!(burst.due <= interval * 3 / 4);
                next = burst.packets.end;
            }
            prop_assert_eq!(next, packets);
        }
    }
}
