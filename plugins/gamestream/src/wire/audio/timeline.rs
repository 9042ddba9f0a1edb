//! When a payload is to be played, from the sender's clock.

/// Nanoseconds by which the sender's clock and the arrivals may differ.
const TOLERANCE: u64 = 200_000_000;

/// Places timestamps of milliseconds on the receiver's clock, where the first packet arrived.
///
/// Arrivals that are far off, after a pause or when the clocks have drifted apart, place them anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeline(Option<(u64, u32)>);

impl Timeline {
    /// Nanoseconds for `timestamp`, when the newest packet arrived at `arrival`; and whether the line was broken.
    pub fn place(&mut self, timestamp: u32, arrival: u64) -> (u64, bool) {
        let placed = self.0.and_then(|(time, since)| {
            let distance = i64::from(timestamp.wrapping_sub(since) as i32) * 1_000_000;
            time.checked_add_signed(distance).filter(|placed| placed.abs_diff(arrival) <= TOLERANCE)
        });
        let time = placed.unwrap_or(arrival);
        self.0 = Some((time, timestamp));
        (time, placed.is_none())
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
}
