//! How many connections are served at once, and who goes when one more comes.
//!
//! A client's connection lives for milliseconds: it asks at once and is closed with the answer. So the oldest connection
//! that has asked nothing yet makes room for the newest, and ten thousand silent ones keep nobody out.

use std::net::{IpAddr, Ipv6Addr};

/// Most connections at once, all together and from one address: half of the 1024 descriptors that a process commonly
/// has; and enough that a client which takes 50 ms from connecting to asking outlasts 5000 newcomers a second.
const MOST: usize = 512;
const MOST_HERE: usize = 256;

/// One connection, unique in this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GuestId(u64);

/// The book of open connections, with what it takes to close each. Decides only; the caller closes.
#[derive(Debug)]
pub struct Guests<T> {
    next: u64,
    /// In the order of arrival.
    open: Vec<Guest<T>>,
}

#[derive(Debug)]
struct Guest<T> {
    id: GuestId,
    closer: T,
    from: IpAddr,
    /// Its request is being answered: it stays.
    asked: bool,
}

/// The newcomer may stay, and another one is to be closed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted<T> {
    pub id: GuestId,
    pub instead_of: Option<T>,
}

impl<T> Default for Guests<T> {
    fn default() -> Self {
        Self { next: 0, open: Vec::new() }
    }
}

impl<T> Guests<T> {
    /// `None` if all those who could make room are being answered.
    pub fn enter(&mut self, address: IpAddr, closer: T) -> Option<Admitted<T>> {
        let from = neighbourhood(address);
        let instead_of = if self.count(from) >= MOST_HERE {
            Some(self.oldest_silent(from)?)
        } else if self.open.len() >= MOST {
            Some(self.oldest_silent(self.noisiest()?)?)
        } else {
            None
        };
        let instead_of = instead_of.map(|place| self.open.remove(place).closer);
        let id = GuestId(self.next);
        self.next += 1;
        self.open.push(Guest { id, closer, from, asked: false });
        Some(Admitted { id, instead_of })
    }

    /// From now on it stays until it is answered.
    pub fn has_asked(&mut self, id: GuestId) {
        if let Some(guest) = self.open.iter_mut().find(|guest| guest.id == id) {
            guest.asked = true;
        }
    }

    pub fn leave(&mut self, id: GuestId) {
        self.open.retain(|guest| guest.id != id);
    }

    /// Those whose request is not being answered.
    pub fn silent(&self) -> impl Iterator<Item = &T> {
        self.open.iter().filter(|guest| !guest.asked).map(|guest| &guest.closer)
    }

    fn count(&self, from: IpAddr) -> usize {
        self.open.iter().filter(|guest| guest.from == from).count()
    }

    /// Its place in the book.
    fn oldest_silent(&self, from: IpAddr) -> Option<usize> {
        self.open.iter().position(|guest| guest.from == from && !guest.asked)
    }

    /// Where most of the silent ones come from.
    fn noisiest(&self) -> Option<IpAddr> {
        let silent = |from| self.open.iter().filter(|guest| guest.from == from && !guest.asked).count();
        self.open.iter().filter(|guest| !guest.asked).map(|guest| guest.from).max_by_key(|from| silent(*from))
    }
}

/// Those who can pick each other's addresses count as one: an IPv6 network is a /64.
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Enters under the next number; returns the id and the number that goes.
    fn enter(guests: &mut Guests<u64>, from: &str) -> Option<(GuestId, Option<u64>)> {
        let number = guests.next;
        guests.enter(ip(from), number).map(|admitted| (admitted.id, admitted.instead_of))
    }

    #[test]
    fn silent_ones_make_room_for_their_neighbours() {
        let mut guests = Guests::default();
        let (first, _) = enter(&mut guests, "192.0.2.1").unwrap();
        guests.has_asked(first);
        let (second, _) = enter(&mut guests, "192.0.2.1").unwrap();
        let (elsewhere, _) = enter(&mut guests, "192.0.2.2").unwrap();
        for _ in 2..MOST_HERE {
            assert_eq!(enter(&mut guests, "192.0.2.1").unwrap().1, None);
        }
        assert_eq!(
            enter(&mut guests, "192.0.2.1").unwrap().1,
            Some(second.0),
            "the oldest that asked nothing"
        );
        assert_eq!(guests.open.len(), MOST_HERE + 1);
        guests.leave(elsewhere);
        assert_eq!(guests.open.len(), MOST_HERE);
        assert_eq!(guests.silent().count(), MOST_HERE - 1);
    }

    #[test]
    fn those_who_are_answered_stay() {
        let mut guests = Guests::default();
        for _ in 0..MOST_HERE {
            let (id, _) = enter(&mut guests, "192.0.2.1").unwrap();
            guests.has_asked(id);
        }
        assert_eq!(enter(&mut guests, "192.0.2.1"), None);
        assert!(enter(&mut guests, "192.0.2.2").is_some());
    }

    #[test]
    fn in_a_full_house_the_largest_crowd_makes_room() {
        let mut guests = Guests::default();
        enter(&mut guests, "198.51.100.1").unwrap();
        for n in 0..MOST - 1 {
            enter(&mut guests, &format!("192.0.2.{}", n / MOST_HERE)).unwrap();
        }
        let (_, instead_of) = enter(&mut guests, "203.0.113.1").unwrap();
        assert!(instead_of.unwrap() > 0, "the first of all is alone where it comes from");
        assert_eq!(guests.open.len(), MOST);
    }

    #[test]
    fn one_network_is_one_neighbour() {
        assert_eq!(neighbourhood(ip("2001:db8::1")), neighbourhood(ip("2001:db8::ffff:1")));
        assert_ne!(neighbourhood(ip("2001:db8::1")), neighbourhood(ip("2001:db8:0:1::1")));
        assert_eq!(neighbourhood(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }
}
