//! When a payload is to be played, from the sender's clock.

/// Nanoseconds by which the sender's clock and the arrivals may differ.
const TOLERANCE: u64 = 200_000_000;

/// Places timestamps of milliseconds on the receiver's clock, where the first payload arrived.
///
/// Payloads that arrive far off, after a pause or when the clocks have drifted apart, place them anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeline(Option<(u64, u32)>);

impl Timeline {
    /// Nanoseconds for a payload of `timestamp`, when the newest packet arrived at `arrival`; and whether the line was
    /// broken.
    pub fn place(&mut self, timestamp: u32, arrival: u64) -> (u64, bool) {
        let placed = self.find(timestamp, arrival);
        let time = placed.unwrap_or(arrival);
        self.0 = Some((time, timestamp));
        (time, placed.is_none())
    }

    /// Nanoseconds for what is missing at `timestamp`. Nothing when that is far from `arrival`: only a payload that
    /// arrived says whether the line goes on.
    pub fn find(&self, timestamp: u32, arrival: u64) -> Option<u64> {
        let (time, since) = self.0?;
        let distance = i64::from(timestamp.wrapping_sub(since) as i32) * 1_000_000;
        time.checked_add_signed(distance).filter(|placed| placed.abs_diff(arrival) <= TOLERANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn jitter_does_not_show_and_a_pause_does() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.place(u32::MAX - 4, 100 * MS), (100 * MS, true));
        assert_eq!(timeline.place(0, 119 * MS), (105 * MS, false));
        assert_eq!(timeline.place(5, 111 * MS), (110 * MS, false));
        assert_eq!(timeline.place(10, 900 * MS), (900 * MS, true));
        assert_eq!(timeline.place(15, 903 * MS), (905 * MS, false));
        assert_eq!(timeline.place(5, 904 * MS), (895 * MS, false));
    }

    #[test]
    fn what_is_missing_moves_nothing() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.find(5, 100 * MS), None);
        timeline.place(0, 100 * MS);
        assert_eq!(timeline.find(5, 1100 * MS), None);
        assert_eq!(timeline.find(900, 1100 * MS), Some(1000 * MS));
        assert_eq!(timeline.place(1000, 1100 * MS), (1100 * MS, false));
    }
}
