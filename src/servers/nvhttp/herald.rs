//! Which waiting clients the owner is told of. Strangers can begin as often as they like, and must not drown the line of
//! the client that is real.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// One line for each neighbourhood in this time.
const INTERVAL: Duration = Duration::from_secs(60);
/// Neighbourhoods that are told of in that time.
const MOST: usize = 64;

/// What was said lately, by neighbourhood.
#[derive(Default)]
pub struct Herald(HashMap<IpAddr, Said>);

struct Said {
    at: Instant,
    /// Clients that came since and were not told of.
    unsaid: u64,
}

impl Herald {
    /// A client from there waits. `Some` if it is worth a line, with the number of clients that were not since the last.
    pub fn hear(&mut self, from: IpAddr, now: Instant) -> Option<u64> {
        let recent = |said: &Said| now.saturating_duration_since(said.at) < INTERVAL;
        if let Some(said) = self.0.get_mut(&from) {
            if recent(said) {
                said.unsaid += 1;
                return None;
            }
            said.at = now;
            return Some(std::mem::take(&mut said.unsaid));
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, said| recent(said));
        }
        if self.0.len() >= MOST {
            return None;
        }
        self.0.insert(from, Said { at: now, unsaid: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    #[test]
    fn a_noisy_neighbourhood_silences_itself_alone() {
        let (mut herald, now) = (Herald::default(), Instant::now());
        assert_eq!(herald.hear(from(1), now), Some(0));
        assert_eq!(herald.hear(from(1), now), None);
        assert_eq!(herald.hear(from(1), now), None);
        assert_eq!(herald.hear(from(2), now), Some(0));
        assert_eq!(herald.hear(from(1), now + INTERVAL), Some(2));
        assert_eq!(herald.hear(from(1), now + INTERVAL), None);
    }

    #[test]
    fn many_neighbourhoods_are_as_few_lines() {
        let (mut herald, now) = (Herald::default(), Instant::now());
        let lines = (0..=255).filter(|n| herald.hear(from(*n), now).is_some()).count();
        assert_eq!(lines, MOST);
        assert_eq!(herald.hear(from(255), now + INTERVAL), Some(0));
        assert_eq!(herald.0.len(), 1);
    }
}
