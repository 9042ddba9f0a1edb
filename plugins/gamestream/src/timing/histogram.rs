//! Counts durations, in buckets that are 6 % wide: quantiles of any number of them from a fixed few kilobytes.

use gst::ClockTime;

/// Buckets for each power of two.
const STEPS: usize = 16;
const STEP_BITS: u32 = STEPS.ilog2();
/// The first [`STEPS`] numbers have a bucket each, then every power of two has [`STEPS`].
const BUCKETS: usize = STEPS * (u64::BITS - STEP_BITS + 1) as usize;

#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: [u32; BUCKETS],
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], count: 0, max: 0 }
    }
}

impl Histogram {
    pub fn record(&mut self, duration: ClockTime) {
        let nanoseconds = duration.nseconds();
        let bucket = &mut self.buckets[bucket_of(nanoseconds)];
        *bucket = bucket.saturating_add(1);
        self.count += 1;
        self.max = self.max.max(nanoseconds);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest; `None` of nothing.
    pub fn max(&self) -> Option<ClockTime> {
        (self.count > 0).then(|| ClockTime::from_nseconds(self.max))
    }

    /// A duration that `per_mille` of all do not exceed, at most 1/16 too long; `None` of nothing.
    pub fn quantile(&self, per_mille: u64) -> Option<ClockTime> {
        let rank = (self.count * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|&count| {
            seen += u64::from(count);
            seen >= rank
        })?;
        Some(ClockTime::from_nseconds(last_of(bucket).min(self.max)))
    }
}

fn bucket_of(value: u64) -> usize {
    let Some(exponent) = value.checked_ilog2().filter(|&e| e >= STEP_BITS) else {
        return value as usize;
    };
    let step = (value >> (exponent - STEP_BITS)) as usize - STEPS;
    STEPS * (exponent - STEP_BITS + 1) as usize + step
}

/// The largest value of a bucket.
fn last_of(bucket: usize) -> u64 {
    let Some(shift) = (bucket / STEPS).checked_sub(1) else {
        return bucket as u64;
    };
    let next = (STEPS + bucket % STEPS + 1) as u128;
    ((next << shift) - 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_has_no_quantiles() {
        let histogram = Histogram::default();
        assert_eq!((histogram.count(), histogram.quantile(500), histogram.max()), (0, None, None));
    }

    proptest! {
        #[test]
        fn a_bucket_is_narrow(value: u64) {
            let last = last_of(bucket_of(value));
            prop_assert!(last >= value);
            prop_assert!(last - value <= value / STEPS as u64, "{value} counts as {last}");
            prop_assert_eq!(bucket_of(last), bucket_of(value));
        }

        #[test]
        fn quantiles_are_those_of_the_values(
            mut values in proptest::collection::vec(0u64..1_000_000_000, 1..300), per_mille in 0u64..=1000,
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|&value| histogram.record(ClockTime::from_nseconds(value)));
            values.sort_unstable();
            let exact = values[(values.len() * per_mille as usize).div_ceil(1000).max(1) - 1];
            let found = histogram.quantile(per_mille).unwrap().nseconds();
            prop_assert!(exact <= found && found <= exact + exact / STEPS as u64, "{exact} is given as {found}");
            prop_assert_eq!(histogram.max().unwrap().nseconds(), *values.last().unwrap());
            prop_assert_eq!(histogram.count(), values.len() as u64);
        }
    }
}
