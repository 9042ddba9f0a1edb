//! From the monotonic clock to running time.

use std::time::Duration;

/// Readings of two clocks are taken one after the other; differences up to here are that.
const JITTER: i128 = 1_000_000;

/// How far the running time is from the monotonic clock. It stays the same while the difference is only in the reading,
/// so that timestamps are as even as the ticks.
#[derive(Debug, Default)]
pub struct Offset {
    nanos: Option<i128>,
}

impl Offset {
    /// The running time at `monotonic`, given what both clocks show now. Times before the start are the start.
    pub fn running_time(
        &mut self,
        monotonic: Duration,
        now: Duration,
        running_now: gst::ClockTime,
    ) -> gst::ClockTime {
        let measured = i128::from(running_now.nseconds()) - now.as_nanos() as i128;
        let offset = self.nanos.filter(|known| (known - measured).abs() <= JITTER).unwrap_or(measured);
        self.nanos = Some(offset);
        let nanos = (monotonic.as_nanos() as i128 + offset).max(0);
        gst::ClockTime::from_nseconds(u64::try_from(nanos).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    fn running(us: u64) -> gst::ClockTime {
        gst::ClockTime::from_useconds(us)
    }

    #[test]
    fn uneven_readings_do_not_show() {
        let mut offset = Offset::default();
        assert_eq!(offset.running_time(us(10_000), us(12_000), running(2_000)), running(0));
        assert_eq!(offset.running_time(us(20_000), us(21_000), running(11_300)), running(10_000));
        assert_eq!(offset.running_time(us(30_000), us(31_000), running(20_500)), running(20_000));
    }

    #[test]
    fn another_clock_is_followed() {
        let mut offset = Offset::default();
        offset.running_time(us(10_000), us(10_000), running(0));
        assert_eq!(offset.running_time(us(20_000), us(20_000), running(15_000)), running(15_000));
    }

    #[test]
    fn nothing_is_before_the_start() {
        assert_eq!(Offset::default().running_time(us(1_000), us(5_000), running(2_000)), running(0));
    }
}
