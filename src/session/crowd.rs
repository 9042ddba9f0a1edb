//! Whether there is room for one more: by number, and by what the encoders were measured to bear. Decides only.

/// Pixels in a second of a mode that a client asks for; nothing of one that names none.
pub(super) fn pixels_per_second(mode: Option<(u32, u32, u32)>) -> u64 {
    mode.map_or(0, |(width, height, fps)| u64::from(width) * u64::from(height) * u64::from(fps))
}

/// The room of this host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub players: u32,
    /// Nothing where it is not known, or the owner does not care.
    pub pixels_per_second: Option<u64>,
}

/// Those who play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Crowd {
    pub players: usize,
    pub pixels_per_second: u64,
}

impl Room {
    /// What to tell a client that asks for so many pixels in a second, if there is no room for it beside `others`. Who is
    /// alone is let in: a picture that stutters is better than none.
    pub fn refusal(&self, others: Crowd, wish: u64) -> Option<String> {
        let Crowd { players, pixels_per_second } = others;
        let are = if players == 1 { "player is" } else { "players are" };
        if players >= self.players as usize {
            return Some(format!(
                "{players} {are} here already, and no more are let in (`most` in [players] of the configuration)."
            ));
        }
        let all = pixels_per_second.saturating_add(wish);
        let is_too_much = players > 0 && self.pixels_per_second.is_some_and(|most| all > most);
        is_too_much.then(|| {
            format!(
                "{players} {are} here already, and this machine does not encode as much as this besides: a smaller picture or \
                 a lower rate may do (`overload` in [players] of the configuration)."
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL_HD: u64 = 1920 * 1080 * 60;

    #[test]
    fn nobody_is_let_in_beyond_the_number() {
        let room = Room { players: 2, pixels_per_second: None };
        let crowd = |players| Crowd { players, pixels_per_second: 100 * FULL_HD };
        assert_eq!(room.refusal(crowd(1), FULL_HD), None);
        let said = room.refusal(crowd(2), FULL_HD).unwrap();
        assert!(said.contains("2 players are here") && said.contains("most"), "{said}");
    }

    #[test]
    fn nobody_is_let_in_beyond_what_the_encoders_bear_but_the_first() {
        let room = Room { players: 9, pixels_per_second: Some(2 * FULL_HD) };
        let alone = Crowd::default();
        assert_eq!(room.refusal(alone, 3 * FULL_HD), None);
        let other = Crowd { players: 1, pixels_per_second: FULL_HD };
        assert_eq!(room.refusal(other, pixels_per_second(Some((1920, 1080, 60)))), None);
        assert_eq!(room.refusal(other, pixels_per_second(None)), None, "it goes on with what it had");
        let said = room.refusal(other, FULL_HD + 1).unwrap();
        assert!(said.contains("1 player is here") && said.contains("overload"), "{said}");
    }
}
