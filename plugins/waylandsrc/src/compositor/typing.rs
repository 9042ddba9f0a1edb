//! Text that comes as text: typed with the layout's own keys where those give it, else with keys that are added to it.
//!
//! Programs are told of another layout in order with the keys. X11's ask Xwayland for it later: so what was added stays
//! until its key is needed for something else.

use super::input::{KEYS, XKB_OFFSET};
use super::state::State;
use crate::CAT;
use smithay::input::keyboard::{Keycode, Keysym, xkb};
use std::fmt::Write;

/// Keys that keyboards do not have, the last ones that X11 can count.
const SPARE_KEYS: std::ops::Range<u32> = 240..248;

/// Modifiers that lead to the levels of a key, by their symbols.
const WAYS: [&[Keysym]; 4] =
    [&[], &[Keysym::Shift_L], &[Keysym::ISO_Level3_Shift], &[Keysym::Shift_L, Keysym::ISO_Level3_Shift]];

/// What was added to the layout.
#[derive(Debug, Default)]
pub struct Typing {
    /// As it is without.
    layout: Option<String>,
    /// Of the spare keys, in turn.
    symbols: Vec<Keysym>,
    added: usize,
}

impl Typing {
    fn key_of(&self, symbol: Keysym) -> Option<u32> {
        let keys = SPARE_KEYS.zip(&self.symbols);
        keys.into_iter().find_map(|(code, its)| (*its == symbol).then_some(code))
    }

    /// The key that has the symbol from now on, in place of what had it the longest.
    fn add(&mut self, symbol: Keysym) -> u32 {
        let at = self.added % SPARE_KEYS.len();
        match self.symbols.get_mut(at) {
            Some(before) => *before = symbol,
            None => self.symbols.push(symbol),
        }
        self.added += 1;
        SPARE_KEYS.start + at as u32
    }

    fn layout_with_additions(&self) -> Option<String> {
        extend(self.layout.as_ref()?, SPARE_KEYS.zip(self.symbols.iter().copied()))
    }
}

impl State {
    pub fn type_text(&mut self, text: &str, time: u32) {
        for character in text.chars() {
            let symbol = symbol_of(character);
            if symbol == Keysym::NoSymbol {
                gst::info!(CAT, "Nobody types U+{:04X}", u32::from(character));
                continue;
            }
            match self.chord_of(symbol) {
                Some(chord) => self.strike(&chord, time),
                None => self.strike_added(symbol, time),
            }
        }
    }

    /// The key that gives a character by itself.
    pub fn key_that_types(&mut self, character: char) -> Option<u32> {
        let symbol = symbol_of(character);
        let keyboard = self.keyboard.clone();
        keyboard.with_xkb_state(self, |context| {
            let xkb = context.xkb().lock().unwrap();
            // SAFETY: the keymap is used only while the lock is held.
            let keymap = unsafe { xkb.keymap() };
            let layout = xkb.active_layout().0;
            KEYS.clone().find(|code| keymap.key_get_syms_by_level(key(*code), layout, 0).contains(&symbol))
        })
    }

    /// The keys that give a symbol when they go down one after the other, if nothing else is held or locked.
    fn chord_of(&mut self, symbol: Keysym) -> Option<Vec<u32>> {
        if !self.keyboard.pressed_keys().is_empty() {
            return None;
        }
        let keyboard = self.keyboard.clone();
        keyboard.with_xkb_state(self, |context| {
            let xkb = context.xkb().lock().unwrap();
            // SAFETY: keymap and state are used only while the lock is held.
            let (keymap, state) = unsafe { (xkb.keymap(), xkb.state()) };
            if state.serialize_mods(xkb::STATE_MODS_EFFECTIVE) != 0 {
                return None;
            }
            let layout = xkb.active_layout().0;
            let code_of = |symbol: &Keysym| {
                let gives = |code: &u32| keymap.key_get_syms_by_level(key(*code), layout, 0).contains(symbol);
                KEYS.clone().find(gives)
            };
            WAYS.iter().find_map(|way| {
                let mut chord = way.iter().map(code_of).collect::<Option<Vec<u32>>>()?;
                let mut trial = xkb::State::new(keymap);
                trial.update_mask(0, 0, 0, 0, 0, layout);
                for code in &chord {
                    trial.update_key(key(*code), xkb::KeyDirection::Down);
                }
                let code = KEYS.clone().find(|code| trial.key_get_one_sym(key(*code)) == symbol)?;
                chord.push(code);
                Some(chord)
            })
        })
    }

    fn strike(&mut self, chord: &[u32], time: u32) {
        for code in chord {
            self.press_key(*code, true, time);
        }
        for code in chord.iter().rev() {
            self.press_key(*code, false, time);
        }
    }

    /// With a key that has no other symbol, so that it does not matter what else is down.
    fn strike_added(&mut self, symbol: Keysym, time: u32) {
        let code = self.typing.key_of(symbol).unwrap_or_else(|| {
            let code = self.typing.add(symbol);
            self.renew_layout();
            code
        });
        self.strike(&[code], time);
    }

    fn renew_layout(&mut self) {
        let keyboard = self.keyboard.clone();
        if self.typing.layout.is_none() {
            let layout = keyboard.with_xkb_state(self, |context| {
                let xkb = context.xkb().lock().unwrap();
                // SAFETY: the keymap is used only while the lock is held.
                unsafe { xkb.keymap() }.get_as_string(xkb::KEYMAP_FORMAT_TEXT_V1)
            });
            self.typing.layout = Some(layout);
        }
        let layout = self.typing.layout_with_additions();
        if layout.is_none_or(|layout| keyboard.set_keymap_from_string(self, layout).is_err()) {
            gst::warning!(CAT, "The keyboard layout takes no more keys");
        }
    }
}

fn key(code: u32) -> Keycode {
    Keycode::new(code + XKB_OFFSET)
}

/// What a person presses for it.
fn symbol_of(character: char) -> Keysym {
    match character {
        '\n' | '\r' => Keysym::Return,
        '\t' => Keysym::Tab,
        '\u{8}' => Keysym::BackSpace,
        character if character.is_control() => Keysym::NoSymbol,
        character => xkb::utf32_to_keysym(character.into()),
    }
}

/// A layout with these keys too, in place of what they had. Nothing if the text is not one that libxkbcommon wrote.
fn extend(layout: &str, keys: impl Iterator<Item = (u32, Keysym)>) -> Option<String> {
    let end_of_symbols = layout.trim_end().strip_suffix("};")?.trim_end().strip_suffix("};")?;
    let mut extended = end_of_symbols.to_owned();
    for (code, symbol) in keys {
        let (name, code) = (xkb::keysym_get_name(symbol), code + XKB_OFFSET);
        writeln!(
            extended,
            "\toverride key <I{code}> {{ type= \"ONE_LEVEL\", symbols[Group1]= [ {name} ] }};"
        )
        .ok()?;
    }
    Some(extended + "};\n\n};\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keymap(layout: &str) -> Option<xkb::Keymap> {
        let context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
        let (format, flags) = (xkb::KEYMAP_FORMAT_TEXT_V1, xkb::KEYMAP_COMPILE_NO_FLAGS);
        xkb::Keymap::new_from_string(&context, layout.to_owned(), format, flags)
    }

    fn us() -> String {
        let context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
        let keymap =
            xkb::Keymap::new_from_names(&context, "", "", "us", "", None, xkb::KEYMAP_COMPILE_NO_FLAGS);
        keymap.unwrap().get_as_string(xkb::KEYMAP_FORMAT_TEXT_V1)
    }

    #[test]
    fn any_character_can_be_added_and_the_rest_stays() {
        let characters = ['€', 'ß', 'я', '字', '🙂', 'a', ' ', '\n'];
        let mut typing = Typing { layout: Some(us()), ..Typing::default() };
        let keys: Vec<u32> = characters.iter().map(|character| typing.add(symbol_of(*character))).collect();
        assert_eq!(keys, SPARE_KEYS.collect::<Vec<_>>());
        let extended = keymap(&typing.layout_with_additions().unwrap()).expect("it is understood");
        let mut state = xkb::State::new(&extended);
        for (character, code) in characters.iter().zip(keys) {
            assert_eq!(state.key_get_one_sym(key(code)), symbol_of(*character), "{character}");
            assert_eq!(typing.key_of(symbol_of(*character)), Some(code));
        }
        const SHIFT: u32 = 42;
        const A: u32 = 30;
        assert_eq!(state.key_get_one_sym(key(A)), Keysym::a);
        state.update_key(key(SHIFT), xkb::KeyDirection::Down);
        assert_eq!(state.key_get_one_sym(key(A)), Keysym::A);
        assert_eq!(state.key_get_one_sym(key(SPARE_KEYS.start)), Keysym::EuroSign, "whatever is held");
    }

    #[test]
    fn the_oldest_addition_goes_for_the_next() {
        let mut typing = Typing { layout: Some(us()), ..Typing::default() };
        for character in 'α'..='θ' {
            typing.add(symbol_of(character));
        }
        assert_eq!(typing.symbols.len(), SPARE_KEYS.len());
        assert_eq!(typing.add(symbol_of('я')), SPARE_KEYS.start);
        assert_eq!((typing.key_of(symbol_of('α')), typing.symbols.len()), (None, SPARE_KEYS.len()));
        assert!(typing.key_of(symbol_of('β')).is_some());
    }

    #[test]
    fn what_is_no_layout_is_left_alone() {
        assert_eq!(extend("nonsense", std::iter::empty()), None);
    }

    #[test]
    fn what_controls_something_is_no_text() {
        for character in ['\0', '\u{1b}', '\u{7f}', '\u{85}'] {
            assert_eq!(symbol_of(character), Keysym::NoSymbol, "{character:?}");
        }
    }
}
