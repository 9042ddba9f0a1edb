//! PINs that were told and have paired nobody.
//!
//! Whoever was told a PIN can work it out from the host's answers, in time for another attempt: a stranger who waits
//! before the client that shows the PIN would be let in if the owner typed the same one again.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Clients show a new PIN for each attempt, so the same one comes up again by chance alone.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// Each was typed by the owner.
const MOST: usize = 256;

/// The PINs of the last ten minutes.
#[derive(Default)]
pub struct SpentPins(VecDeque<Spent>);

struct Spent {
    pin: String,
    address: IpAddr,
    until: Instant,
}

impl SpentPins {
    /// Whom this PIN was told.
    pub fn told_to(&self, pin: &str, now: Instant) -> Option<IpAddr> {
        self.0.iter().find(|spent| spent.pin == pin && now < spent.until).map(|spent| spent.address)
    }

    /// This PIN is told to the client at `address`.
    pub fn spend(&mut self, pin: &str, address: IpAddr, now: Instant) {
        self.0.retain(|spent| now < spent.until);
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(Spent { pin: pin.to_owned(), address, until: now + REMEMBERED });
    }

    /// The client that was told this PIN is the one that showed it.
    pub fn has_paired(&mut self, pin: &str) {
        self.0.retain(|spent| spent.pin != pin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn a_pin_is_spent_until_it_pairs_or_ten_minutes_passed() {
        let (mut pins, now) = (SpentPins::default(), Instant::now());
        assert_eq!(pins.told_to("1234", now), None);
        pins.spend("1234", STRANGER, now);
        pins.spend("5678", STRANGER, now);
        assert_eq!(pins.told_to("1234", now), Some(STRANGER));
        assert_eq!(pins.told_to("1234", now + REMEMBERED), None);
        pins.has_paired("1234");
        assert_eq!(pins.told_to("1234", now), None);
        assert_eq!(pins.told_to("5678", now), Some(STRANGER));
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut pins, now) = (SpentPins::default(), Instant::now());
        (0..2 * MOST).for_each(|n| pins.spend(&n.to_string(), STRANGER, now));
        assert_eq!(pins.0.len(), MOST);
        assert_eq!(pins.told_to(&(2 * MOST - 1).to_string(), now), Some(STRANGER));
        pins.spend("late", STRANGER, now + REMEMBERED);
        assert_eq!(pins.0.len(), 1);
    }
}
