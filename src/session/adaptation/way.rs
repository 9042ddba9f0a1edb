//! The way to the client and back: how long it takes, and how much of that is a queue.

use std::time::Duration;
use tokio::time::Instant;

/// A way that became longer for good is no queue after twice this time.
const MEMORY: Duration = Duration::from_secs(30);

/// What was measured of it.
#[derive(Debug, Default)]
pub struct Way {
    latest: Duration,
    /// The shortest time of this stretch, and of the one before.
    shortest: Option<Duration>,
    before: Option<Duration>,
    began: Option<Instant>,
}

impl Way {
    /// Zero is no measurement: the client has not answered yet.
    pub fn handle_round_trip(&mut self, now: Instant, round_trip: Duration) {
        if round_trip.is_zero() {
            return;
        }
        if now >= *self.began.get_or_insert(now) + MEMORY {
            (self.before, self.shortest, self.began) = (self.shortest, None, Some(now));
        }
        self.latest = round_trip;
        self.shortest = Some(self.shortest.map_or(round_trip, |shortest| shortest.min(round_trip)));
    }

    /// How much longer than at its best it takes.
    pub fn queue(&self) -> Duration {
        let shortest = self.shortest.into_iter().chain(self.before).min();
        shortest.map_or(Duration::ZERO, |shortest| self.latest.saturating_sub(shortest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(way: &mut Way, start: Instant, steps: &[(u64, u64)]) -> u128 {
        for (seconds, millis) in steps {
            way.handle_round_trip(start + Duration::from_secs(*seconds), Duration::from_millis(*millis));
        }
        way.queue().as_millis()
    }

    #[test]
    fn what_is_not_known_yet_is_no_shortest_way() {
        let start = Instant::now();
        assert_eq!(after(&mut Way::default(), start, &[(0, 0), (0, 0), (1, 60)]), 0);
        assert_eq!(after(&mut Way::default(), start, &[(0, 20), (1, 60)]), 40);
    }

    #[test]
    fn a_way_that_became_longer_is_no_queue_for_ever() {
        let (mut way, start) = (Way::default(), Instant::now());
        assert_eq!(after(&mut way, start, &[(0, 20), (10, 60), (31, 60)]), 40);
        assert_eq!(after(&mut way, start, &[(62, 60)]), 0);
    }
}
