//! Which keys type what: a keyboard of the kernel has places only, and whoever reads it has a layout. It is taken to be
//! xkbcommon's default (`XKB_DEFAULT_LAYOUT` and its kin say which).

use anyhow::Context;
use evdev::KeyCode;
use std::collections::HashMap;
use xkbcommon::xkb;

/// XKB counts keys from 8 on.
const XKB_OFFSET: u32 = 8;
/// Keys that type characters.
const KEYS: std::ops::Range<u16> = 1..249;
const SHIFT: u16 = KeyCode::KEY_LEFTSHIFT.0;
const CONTROL: u16 = KeyCode::KEY_LEFTCTRL.0;
const ALT_GR: u16 = KeyCode::KEY_RIGHTALT.0;
/// What may have to be held, the simplest first.
const HELD: [&[u16]; 4] = [&[], &[SHIFT], &[ALT_GR], &[SHIFT, ALT_GR]];

/// A key that is pressed and let go while others are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stroke {
    pub code: u16,
    pub modifiers: &'static [u16],
}

pub struct Layout {
    typed: HashMap<char, Stroke>,
}

impl Layout {
    pub fn of_host() -> anyhow::Result<Self> {
        Self::named("")
    }

    /// An empty name is the host's.
    pub(super) fn named(layout: &str) -> anyhow::Result<Self> {
        let context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
        let flags = xkb::KEYMAP_COMPILE_NO_FLAGS;
        let keymap = xkb::Keymap::new_from_names(&context, "", "", layout, "", None, flags)
            .context("there is no keyboard layout: is xkb-data installed?")?;
        let mut typed = HashMap::new();
        for modifiers in HELD {
            let mut state = xkb::State::new(&keymap);
            for code in modifiers {
                state.update_key(place(*code), xkb::KeyDirection::Down);
            }
            for code in KEYS {
                if let Some(character) = char::from_u32(state.key_get_utf32(place(code)))
                    && character != '\0'
                {
                    typed.entry(character).or_insert(Stroke { code, modifiers });
                }
            }
        }
        Ok(Self { typed })
    }

    /// The key that gives a character while nothing is held.
    pub fn by_itself(&self, character: char) -> Option<u16> {
        self.typed.get(&character).filter(|stroke| stroke.modifiers.is_empty()).map(|stroke| stroke.code)
    }

    /// What types a character. One that the layout does not have is typed by its number, as input methods and toolkits take
    /// it (ISO 14755): Ctrl+Shift+U, the number, and a space.
    pub fn strokes(&self, character: char) -> Option<Vec<Stroke>> {
        let character = if character == '\n' { '\r' } else { character };
        if let Some(stroke) = self.typed.get(&character) {
            return Some(vec![*stroke]);
        }
        if character.is_control() {
            return None;
        }
        let begin = Stroke { code: self.by_itself('u')?, modifiers: &[CONTROL, SHIFT] };
        let number = format!("{:x} ", u32::from(character));
        let number = number.chars().map(|digit| self.typed.get(&digit).copied());
        std::iter::once(Some(begin)).chain(number).collect()
    }
}

fn place(code: u16) -> xkb::Keycode {
    xkb::Keycode::new(u32::from(code) + XKB_OFFSET)
}
