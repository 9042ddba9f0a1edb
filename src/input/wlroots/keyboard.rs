//! A keyboard that brings its own layout, which is xkbcommon's default (`XKB_DEFAULT_LAYOUT` and its kin say which).

use anyhow::Context;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1;
use xkbcommon::xkb;

/// XKB counts keys from 8 on.
const XKB_OFFSET: u32 = 8;
/// Keys that a layout may have.
const KEYS: std::ops::Range<u32> = 1..0x300;
/// Keys that keyboards do not have, the last ones that X11 can count: for what the layout does not have.
const SPARE_KEYS: std::ops::Range<u32> = 240..248;

pub struct Keyboard {
    device: ZwpVirtualKeyboardV1,
    context: xkb::Context,
    /// Without what was added.
    layout: String,
    keymap: xkb::Keymap,
    state: xkb::State,
    /// Of the spare keys, in turn.
    added: Vec<xkb::Keysym>,
    next: usize,
}

impl Keyboard {
    pub fn new(device: ZwpVirtualKeyboardV1) -> anyhow::Result<Self> {
        let context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
        let flags = xkb::KEYMAP_COMPILE_NO_FLAGS;
        let keymap = xkb::Keymap::new_from_names(&context, "", "", "", "", None, flags)
            .context("there is no keyboard layout: is xkb-data installed?")?;
        let (layout, state) = (keymap.get_as_string(xkb::KEYMAP_FORMAT_TEXT_V1), xkb::State::new(&keymap));
        let keyboard = Self { device, context, layout, keymap, state, added: Vec::new(), next: 0 };
        keyboard.send_layout().context("the layout cannot be handed over")?;
        Ok(keyboard)
    }

    pub fn press(&mut self, code: u32, pressed: bool, time: u32) {
        let direction = if pressed { xkb::KeyDirection::Down } else { xkb::KeyDirection::Up };
        let changed = self.state.update_key(key(code), direction);
        self.device.key(time, code, pressed.into());
        // Compositors leave that to whoever has the keyboard.
        if changed != 0 {
            self.tell_modifiers();
        }
    }

    /// The key that gives a character by itself.
    pub fn key_that_types(&self, character: char) -> Option<u32> {
        let symbol = xkb::utf32_to_keysym(character.into());
        let group = self.state.serialize_layout(xkb::STATE_LAYOUT_EFFECTIVE);
        KEYS.clone().find(|code| self.keymap.key_get_syms_by_level(key(*code), group, 0).contains(&symbol))
    }

    /// With a key that has no other symbol, so that it does not matter what else is down.
    pub fn type_character(&mut self, character: char, time: u32) {
        let symbol = match character {
            '\n' | '\r' => xkb::Keysym::Return,
            '\t' => xkb::Keysym::Tab,
            '\u{8}' => xkb::Keysym::BackSpace,
            character if character.is_control() => return,
            character => xkb::utf32_to_keysym(character.into()),
        };
        let known = SPARE_KEYS.zip(&self.added).find(|(_, its)| **its == symbol).map(|(code, _)| code);
        let Some(code) = known.or_else(|| self.add(symbol)) else {
            tracing::debug!("nobody types U+{:04X}", u32::from(character));
            return;
        };
        self.press(code, true, time);
        self.press(code, false, time);
    }

    /// To the layout, in place of what was added the longest ago.
    fn add(&mut self, symbol: xkb::Keysym) -> Option<u32> {
        let at = self.next % SPARE_KEYS.len();
        let mut added = self.added.clone();
        added.truncate(SPARE_KEYS.len());
        match added.get_mut(at) {
            Some(before) => *before = symbol,
            None => added.push(symbol),
        }
        let layout = extend(&self.layout, SPARE_KEYS.zip(added.iter().copied()))?;
        let (format, flags) = (xkb::KEYMAP_FORMAT_TEXT_V1, xkb::KEYMAP_COMPILE_NO_FLAGS);
        let keymap = xkb::Keymap::new_from_string(&self.context, layout, format, flags)?;
        let mut state = xkb::State::new(&keymap);
        let mods = |of| self.state.serialize_mods(of);
        let (down, latched, locked) =
            (mods(xkb::STATE_MODS_DEPRESSED), mods(xkb::STATE_MODS_LATCHED), mods(xkb::STATE_MODS_LOCKED));
        let group = self.state.serialize_layout(xkb::STATE_LAYOUT_EFFECTIVE);
        state.update_mask(down, latched, locked, 0, 0, group);
        (self.keymap, self.state, self.added) = (keymap, state, added);
        self.next += 1;
        if let Err(error) = self.send_layout() {
            tracing::debug!("a layout with more keys cannot be handed over: {error}");
            return None;
        }
        self.tell_modifiers();
        Some(SPARE_KEYS.start + at as u32)
    }

    fn tell_modifiers(&self) {
        let mods = |of| self.state.serialize_mods(of);
        self.device.modifiers(
            mods(xkb::STATE_MODS_DEPRESSED),
            mods(xkb::STATE_MODS_LATCHED),
            mods(xkb::STATE_MODS_LOCKED),
            self.state.serialize_layout(xkb::STATE_LAYOUT_EFFECTIVE),
        );
    }

    fn send_layout(&self) -> std::io::Result<()> {
        /// XKB_V1.
        const FORMAT: u32 = 1;
        let mut text = self.keymap.get_as_string(xkb::KEYMAP_FORMAT_TEXT_V1).into_bytes();
        text.push(0);
        let memory = rustix::fs::memfd_create("keymap", rustix::fs::MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        file.write_all(&text)?;
        self.device.keymap(FORMAT, file.as_fd(), text.len() as u32);
        Ok(())
    }
}

fn key(code: u32) -> xkb::Keycode {
    xkb::Keycode::new(code + XKB_OFFSET)
}

/// A layout with these keys too, in place of what they had. Nothing if the text is not one that libxkbcommon wrote.
fn extend(layout: &str, keys: impl Iterator<Item = (u32, xkb::Keysym)>) -> Option<String> {
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
