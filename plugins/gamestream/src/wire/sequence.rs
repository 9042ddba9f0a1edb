//! What arrived, from sequence numbers of 16 bits.

/// Packets behind the newest one whose arrival is remembered.
const WINDOW: u64 = 8192;

const WORDS: usize = WINDOW as usize / 64;

/// How a packet arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The newest so far.
    InOrder,
    /// After a newer one.
    Reordered,
    /// A second time, or so late that it cannot be told.
    Repeated,
}

/// Counts packets that arrived and those that did not.
#[derive(Clone, Debug)]
pub struct Arrivals {
    first: u64,
    newest: Option<u64>,
    received: u64,
    seen: Box<[u64; WORDS]>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { first: 0, newest: None, received: 0, seen: Box::new([0; WORDS]) }
    }
}

impl Arrivals {
    pub fn handle(&mut self, sequence: u16) -> Arrival {
        // The first round starts at 65536, so that numbers before the first one have room.
        let Some(newest) = self.newest else {
            let number = 0x1_0000 + u64::from(sequence);
            (self.first, self.newest) = (number, Some(number));
            self.mark(number);
            return Arrival::InOrder;
        };
        let number = extend(newest, sequence);
        if number > newest {
            self.forget(newest + 1, number);
            self.newest = Some(number);
            self.mark(number);
            return Arrival::InOrder;
        }
        if number + WINDOW <= newest || self.is_seen(number) {
            return Arrival::Repeated;
        }
        self.first = self.first.min(number);
        self.mark(number);
        Arrival::Reordered
    }

    /// Packets that should have come by now and have not.
    pub fn lost(&self) -> u64 {
        let expected = self.newest.map_or(0, |newest| newest - self.first + 1);
        expected - self.received
    }

    fn is_seen(&self, number: u64) -> bool {
        self.seen[(number / 64) as usize % WORDS] >> (number % 64) & 1 == 1
    }

    fn mark(&mut self, number: u64) {
        self.seen[(number / 64) as usize % WORDS] |= 1 << (number % 64);
        self.received += 1;
    }

    /// Makes room for the numbers `from ..= to`.
    fn forget(&mut self, from: u64, to: u64) {
        if to - from >= WINDOW {
            self.seen.fill(0);
            return;
        }
        for number in from..=to {
            self.seen[(number / 64) as usize % WORDS] &= !(1 << (number % 64));
        }
    }
}

/// The number nearest to `newest` whose low 16 bits are `sequence`; at least 32768 below it is possible, so `newest`
/// is never smaller than that.
pub fn extend(newest: u64, sequence: u16) -> u64 {
    let distance = sequence.wrapping_sub(newest as u16) as i16;
    newest.saturating_add_signed(distance.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gaps_are_lost_until_they_arrive() {
        let mut arrivals = Arrivals::default();
        let kinds: Vec<Arrival> = [10, 11, 14, 12, 12, 14, 9].map(|n| arrivals.handle(n)).into();
        use Arrival::*;
        assert_eq!(kinds, [InOrder, InOrder, InOrder, Reordered, Repeated, Repeated, Reordered]);
        assert_eq!(arrivals.lost(), 1);
    }

    #[test]
    fn numbers_go_round() {
        let mut arrivals = Arrivals::default();
        for n in 0..200_000u32 {
            if n % 10 != 0 || n == 0 {
                assert_eq!(arrivals.handle(n as u16), Arrival::InOrder);
            }
        }
        assert_eq!(arrivals.lost(), 19_999);
    }

    proptest! {
        #[test]
        fn any_numbers_are_counted(
            numbers in proptest::collection::vec(prop_oneof![any::<u16>(), 0u16..300], 0..500),
        ) {
            let mut arrivals = Arrivals::default();
            // Every number that counts, however often 16 bits went round.
            let mut seen = std::collections::BTreeSet::new();
            for sequence in numbers {
                arrivals.handle(sequence);
                let newest = seen.last().copied().unwrap_or(i64::from(sequence));
                let round = newest - newest.rem_euclid(0x1_0000) + i64::from(sequence);
                let number = [round - 0x1_0000, round, round + 0x1_0000]
                    .into_iter()
                    .min_by_key(|number| (number - newest).abs())
                    .expect("three of them");
                if number + WINDOW as i64 > newest {
                    seen.insert(number);
                }
                let expected = seen.first().zip(seen.last()).map_or(0, |(first, last)| last - first + 1);
                prop_assert_eq!(arrivals.lost(), expected as u64 - seen.len() as u64);
            }
        }
    }
}
