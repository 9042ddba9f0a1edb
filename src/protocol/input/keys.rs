//! Which key of a Linux keyboard a client means. Clients name keys as Windows does.

use super::event::Key;

/// A virtual key of Windows, `VK_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualKey(pub u8);

/// What to press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyTarget {
    /// The key at this place: `KEY_*` of linux/input-event-codes.h, whatever the layout has there.
    Place(u16),
    /// The key that types the first of these symbols which any key of the host's layout types by itself, without a
    /// modifier; where none does, the key at the place.
    Symbol { symbols: &'static [char], otherwise: u16 },
}

/// Virtual keys in runs, with the codes of linux/input-event-codes.h where a US keyboard has them; 0: none.
///
/// Keypad Enter comes as Enter. Linux has no keys for VK_JUNJA, VK_FINAL, VK_CRSEL and VK_EXSEL.
const RUNS: &[(u8, &[u16])] = &[
    // Cancel.
    (0x03, &[223]),
    // Backspace, Tab.
    (0x08, &[14, 15]),
    // Clear, Enter.
    (0x0c, &[355, 28]),
    // Shift, Ctrl and Alt of no side, Pause, Caps Lock, Hangul.
    (0x10, &[42, 29, 56, 119, 58, 122]),
    // Hanja; Escape, Henkan, Muhenkan.
    (0x19, &[123, 0, 1, 92, 94]),
    // Space, Page Up, Page Down, End, Home, Left, Up, Right, Down, Select, Print (which is iOS' Print Screen), Execute,
    // Print Screen, Insert, Delete, Help.
    (0x20, &[57, 104, 109, 107, 102, 105, 103, 106, 108, 353, 99, 134, 99, 110, 111, 138]),
    // 0 to 9.
    (0x30, &[11, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    // A to Z.
    (0x41, &[30, 48, 46, 32, 18, 33, 34, 35, 23, 36, 37, 38, 50]),
    (0x4e, &[49, 24, 25, 16, 19, 31, 20, 22, 47, 17, 45, 21, 44]),
    // Left and right Windows, Menu; Sleep.
    (0x5b, &[125, 126, 127, 0, 142]),
    // Keypad: 0 to 9, *, +, comma, -, ., /.
    (0x60, &[82, 79, 80, 81, 75, 76, 77, 71, 72, 73, 55, 78, 121, 74, 83, 98]),
    // F1 to F24.
    (0x70, &[59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 87, 88]),
    (0x7c, &[183, 184, 185, 186, 187, 188, 189, 190, 191, 192, 193, 194]),
    // Num Lock, Scroll Lock, = of a keypad.
    (0x90, &[69, 70, 117]),
    // Left and right Shift, Ctrl, Alt.
    (0xa0, &[42, 54, 29, 97, 56, 100]),
    // Browser: back, forward, refresh, stop, search, favourites, home.
    (0xa6, &[158, 159, 173, 128, 217, 156, 172]),
    // Mute, quieter, louder; next, previous, stop, play; mail, player, file manager, calculator.
    (0xad, &[113, 114, 115, 163, 165, 166, 164, 155, 226, 157, 140]),
    // ; = , - . / ` and what ABNT keyboards have beside right Shift and on the keypad.
    (0xba, &[39, 13, 51, 12, 52, 53, 41, 89, 121]),
    // [ \ ] ' and VK_OEM_8, which is the British `.
    (0xdb, &[26, 43, 27, 40, 41]),
    // The key that a US keyboard lacks, beside left Shift.
    (0xe2, &[86]),
    // Katakana, Hiragana, and Zenkaku/Hankaku in its two states.
    (0xf1, &[90, 93, 85, 85]),
    // Play, Zoom.
    (0xfa, &[207, 372]),
];

const PLACES: [u16; 256] = places();

const fn places() -> [u16; 256] {
    let mut places = [0; 256];
    let mut run = 0;
    while run < RUNS.len() {
        let (first, codes) = RUNS[run];
        let mut at = 0;
        while at < codes.len() {
            places[first as usize + at] = codes[at];
            at += 1;
        }
        run += 1;
    }
    places
}

const LETTERS: [char; 26] = [
    'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u',
    'v', 'w', 'x', 'y', 'z',
];

impl VirtualKey {
    /// `KEY_*` of linux/input-event-codes.h for the key at its place on a US keyboard.
    pub fn place(self) -> Option<u16> {
        Some(PLACES[usize::from(self.0)]).filter(|code| *code != 0)
    }

    /// What a key that goes by the layout types, best first. Layouts of Windows leave digits in place, and what they do
    /// with the other keys differs too much to be guessed.
    fn symbols(self) -> &'static [char] {
        match self.0 {
            letter @ b'A'..=b'Z' => std::slice::from_ref(&LETTERS[usize::from(letter - b'A')]),
            // The Yen key of Japanese keyboards, or the backslash of others.
            0xdc => &['¥', '\\'],
            // The Ro key of Japanese keyboards.
            0xe2 => &['\\'],
            _ => &[],
        }
    }

    /// Of which modifier this is a key.
    pub fn modifier(self) -> Modifiers {
        match self.0 {
            0x10 | 0xa0 | 0xa1 => Modifiers::SHIFT,
            0x11 | 0xa2 | 0xa3 => Modifiers::CONTROL,
            0x12 | 0xa4 | 0xa5 => Modifiers::ALT,
            0x5b | 0x5c => Modifiers::META,
            _ => Modifiers::NONE,
        }
    }
}

impl Key {
    /// Which key is meant; `None` for those that Linux does not have.
    ///
    /// Moonlight for computers names places, but for the Ro and Yen keys of Japanese keyboards. Android before 13
    /// cannot: it names letters of the client's layout, to be typed with the key that types them here.
    pub fn target(&self) -> Option<KeyTarget> {
        let place = self.key.place()?;
        Some(match self.key.symbols() {
            symbols if !self.normalized && !symbols.is_empty() => {
                KeyTarget::Symbol { symbols, otherwise: place }
            }
            _ => KeyTarget::Place(place),
        })
    }
}

/// A set of modifiers, of either side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modifiers(u8);

impl Modifiers {
    pub const NONE: Self = Self(0);
    pub const SHIFT: Self = Self(1);
    pub const CONTROL: Self = Self(2);
    pub const ALT: Self = Self(4);
    pub const META: Self = Self(8);

    /// The left key of each.
    pub fn keys(self) -> impl DoubleEndedIterator<Item = VirtualKey> + Clone {
        let all = [(Self::SHIFT, 0xa0), (Self::CONTROL, 0xa2), (Self::ALT, 0xa4), (Self::META, 0x5b)];
        all.into_iter().filter(move |(modifier, _)| self.contains(*modifier)).map(|(_, key)| VirtualKey(key))
    }

    /// As clients send it; bits without a meaning are dropped.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte & 0xf)
    }

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
