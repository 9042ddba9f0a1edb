//! When the datagrams of a frame leave: a few bursts spread over time instead of one that overruns the buffers on the
//! way.
//!
//! Decides only; who asks brings the time and does the waiting. Points in time are counted from any fixed moment.
//!
//! What is spread no longer than it must be is seen sooner: a frame takes the time that the [`Path`] needs for it, and
//! three quarters of its interval where nothing is known of the path. A frame that is larger than the stream's average
//! may take more in proportion, up to [`Plan::limit`], so that the frames behind it wait less than an interval. Those
//! leave up to twice as fast, until the delay is made up for.

use std::{ops::Range, time::Duration};

/// Bursts a frame is cut into at most: each costs a wake-up.
pub const MAX_STEPS: usize = 12;
/// Bursts closer together than this are one: a sleep costs two context switches and the end of it is spun for.
pub const SHORTEST_STEP: Duration = Duration::from_micros(500);
/// How much faster than the stream's average its datagrams leave where the path's own rate is not known. A client asks
/// for a bitrate well below what its network carries; eight times that of 1080p (20 Mbit/s) or of 4K (100 Mbit/s)
/// passes through a wireless network or a gigabit port respectively, and an average frame leaves within an eighth of
/// its interval.
pub const HEADROOM: u64 = 8;
/// Bytes that Ethernet, IPv4 and UDP add to each datagram.
const OVERHEAD: usize = 14 + 20 + 8;
/// By when a frame of unknown interval has left.
const PATIENCE: Duration = Duration::from_millis(5);

/// What is known of the way to the receiver, in kbit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// Of its narrowest link, as somebody said who knows it.
    pub link: Option<u32>,
    /// Of this machine's interface: no path is faster.
    pub interface: Option<u32>,
    /// Of the stream on average, all datagrams counted: no path of use is slower.
    pub bitrate: Option<u32>,
}

impl Path {
    /// The rate at which datagrams leave.
    fn rate(&self) -> Option<u64> {
        let stream = self.bitrate.map(|bitrate| u64::from(bitrate) * HEADROOM);
        let interface = self.interface.map(u64::from);
        self.link.map(u64::from).or_else(|| stream.into_iter().chain(interface).min())
    }
}

/// What may always leave together: whichever of the two is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    pub packets: usize,
    pub bytes: usize,
}

impl Cap {
    /// No frame is spread.
    pub const NONE: Self = Self { packets: usize::MAX, bytes: usize::MAX };

    /// In datagrams of a frame, which have about the same size.
    fn of(&self, frame: &Frame) -> usize {
        let size = frame.bytes.div_ceil(frame.packets.max(1)).max(1);
        (self.bytes / size).max(self.packets).max(1)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub packets: usize,
    /// Of all datagrams together, as they are handed to the kernel.
    pub bytes: usize,
    /// From one frame to the next; unknown, nothing is spread.
    pub interval: Option<Duration>,
}

impl Frame {
    /// How long a path of `kbps` takes.
    fn time_at(&self, kbps: u64) -> Duration {
        let bits = 8 * (self.bytes as u128 + (self.packets * OVERHEAD) as u128);
        let nanos = bits * 1_000_000 / u128::from(kbps.max(1));
        Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX))
    }

    /// How long the frame takes that is neither late nor limited by those around it.
    fn duration(&self, path: &Path) -> Duration {
        let Some(interval) = self.interval.filter(|interval| !interval.is_zero()) else {
            return Duration::ZERO;
        };
        let average = path.bitrate.map(|kbps| self.time_at(kbps.into()));
        let longest = average.unwrap_or_default().max(interval) * 3 / 4;
        path.rate().map_or(longest, |kbps| self.time_at(kbps).min(longest))
    }
}

/// Plans one frame after the other.
#[derive(Clone, Debug, Default)]
pub struct Pacer {
    before: Option<Before>,
}

/// The frame that was planned last.
#[derive(Clone, Copy, Debug)]
struct Before {
    /// When it would have begun with nothing before it.
    slot: Duration,
    interval: Duration,
    /// When its last burst left.
    last: Duration,
}

impl Pacer {
    /// The bursts of a frame that may begin `now`.
    pub fn plan(&mut self, frame: &Frame, cap: &Cap, path: &Path, now: Duration) -> Plan {
        let slot = self.slot(now);
        let interval = frame.interval.unwrap_or_default();
        let limit = slot + if interval.is_zero() { PATIENCE } else { interval * 7 / 4 };
        self.before = Some(Before { slot, interval, last: now });
        let gentle = frame.duration(path);
        let late = now.saturating_sub(slot);
        let time = gentle.saturating_sub(late).max(gentle / 2).min(limit.saturating_sub(now));
        let steps = usize::try_from(time.as_nanos() / SHORTEST_STEP.as_nanos()).unwrap_or(usize::MAX);
        let burst = frame.packets.div_ceil(steps.clamp(1, MAX_STEPS)).max(cap.of(frame));
        let steps = frame.packets.div_ceil(burst).max(1);
        Plan { packets: frame.packets, burst, first: now, spacing: time / steps as u32, next: 0, limit }
    }

    /// Hears that the last burst of the frame left `now`.
    pub fn done(&mut self, now: Duration) {
        if let Some(before) = &mut self.before {
            before.last = now;
        }
    }

    /// When a frame that begins `now` would have begun, had the one before it not still been leaving.
    fn slot(&self, now: Duration) -> Duration {
        let Some(Before { slot, interval, last }) = self.before else { return now };
        let expected = slot + interval;
        // Later than by an interval it was not the frame before that held it up.
        if last > expected && now < expected + interval { now.min(expected) } else { now }
    }
}

/// The bursts of one frame, an iterator from the first to the last.
#[derive(Clone, Debug)]
pub struct Plan {
    packets: usize,
    burst: usize,
    first: Duration,
    spacing: Duration,
    next: usize,
    limit: Duration,
}

impl Plan {
    /// By when the frame has left, or what is left of it is in the way of the next: three quarters of an interval after
    /// that one is expected.
    pub fn limit(&self) -> Duration {
        self.limit
    }
}

/// Datagrams that leave together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Which of the frame's datagrams.
    pub packets: Range<usize>,
    /// When they leave.
    pub due: Duration,
}

impl Iterator for Plan {
    type Item = Burst;

    fn next(&mut self) -> Option<Burst> {
        let start = self.next.checked_mul(self.burst)?;
        if start >= self.packets {
            return None;
        }
        let due = self.first + self.spacing * self.next as u32;
        self.next += 1;
        Some(Burst { packets: start..start.saturating_add(self.burst).min(self.packets), due })
    }
}

#[cfg(test)]
#[path = "pacing_tests.rs"]
mod tests;
