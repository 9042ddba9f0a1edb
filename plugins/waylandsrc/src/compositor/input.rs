//! Delivers what a player does to the clients.

use super::monotonic_now;
use super::placement::{clamp, reach};
use super::state::State;
use crate::CAT;
use crate::input::{CLICK, Input};
use smithay::backend::input::{Axis, AxisSource, ButtonState, KeyState, TouchSlot};
use smithay::input::keyboard::{FilterResult, Keycode, xkb};
use smithay::input::pointer::{AxisFrame, ButtonEvent, MotionEvent, RelativeMotionEvent};
use smithay::input::touch::{DownEvent, MotionEvent as TouchMotionEvent, UpEvent};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{Logical, Point, SERIAL_COUNTER};
use smithay::wayland::compositor::RegionAttributes;
use smithay::wayland::pointer_constraints::{PointerConstraint, with_pointer_constraint};

/// XKB counts keys from 8 on.
pub const XKB_OFFSET: u32 = 8;

/// How far a click of a wheel scrolls, in pixels.
const CLICK_PIXELS: f64 = 15.0;

/// Keys that a keymap may have.
pub const KEYS: std::ops::Range<u32> = 1..0x300;

/// Symbols of a key that are looked at: plain, and with up to two modifiers.
const LEVELS: u32 = 4;

/// How the client under the pointer holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Free,
    Confined,
    Locked,
}

impl State {
    pub fn handle_input(&mut self, input: Input) {
        let milliseconds = monotonic_now().as_millis() as u32;
        match input {
            Input::Motion { x, y } => self.point(Point::from((x, y)), milliseconds),
            Input::RelativeMotion { dx, dy, raw_dx, raw_dy } => {
                self.move_by(Point::from((dx, dy)), Point::from((raw_dx, raw_dy)), milliseconds);
            }
            Input::Button { code, pressed } => self.press_button(code, pressed, milliseconds),
            Input::Scroll { x, y } => self.scroll(x, y, milliseconds),
            Input::Key { code, pressed } => self.press_key(code, pressed, milliseconds),
            Input::NamedKey { name, pressed } => match self.key_of(&name) {
                Some(code) => self.press_key(code, pressed, milliseconds),
                None => gst::info!(CAT, "No key of the layout gives {name}"),
            },
            Input::Symbol { symbols, otherwise, pressed } => {
                let code = symbols.chars().find_map(|symbol| self.key_that_types(symbol));
                self.press_key(code.unwrap_or(otherwise), pressed, milliseconds);
            }
            Input::Text { text } => self.type_text(&text, milliseconds),
            Input::TouchDown { id, x, y } => self.put_finger(id, Point::from((x, y)), milliseconds),
            Input::TouchMotion { id, x, y } => self.move_finger(id, Point::from((x, y)), milliseconds),
            Input::TouchUp { id } => self.lift_finger(id, milliseconds),
            Input::TouchFrame => self.touch.clone().frame(self),
            Input::TouchCancel => self.touch.clone().cancel(self),
            Input::ReleaseAll => self.release_all(milliseconds),
        }
    }

    /// To a place. Who reads how far the mouse went gets the way from the last place.
    fn point(&mut self, to: Point<f64, Logical>, time: u32) {
        let way = to - std::mem::replace(&mut self.cursor.pointed, to);
        self.tell_way(way, way);
        if self.hold() != Hold::Locked {
            self.move_to(to, time);
        }
    }

    fn move_by(&mut self, way: Point<f64, Logical>, raw: Point<f64, Logical>, time: u32) {
        self.tell_way(way, raw);
        if self.hold() != Hold::Locked {
            let to = self.pointer.current_location() + way;
            self.move_to(to, time);
        }
        self.cursor.pointed = self.pointer.current_location();
    }

    fn tell_way(&mut self, delta: Point<f64, Logical>, delta_unaccel: Point<f64, Logical>) {
        let pointer = self.pointer.clone();
        let under = self.surface_at(pointer.current_location());
        let utime = monotonic_now().as_micros() as u64;
        pointer.relative_motion(self, under, &RelativeMotionEvent { delta, delta_unaccel, utime });
        pointer.frame(self);
    }

    fn move_to(&mut self, to: Point<f64, Logical>, time: u32) {
        let mut location = clamp(to, self.size());
        if self.hold() == Hold::Confined {
            let held = self.pointed_at();
            let region = held.as_ref().and_then(|surface| self.region_of(surface));
            let may_be = |at| self.is_within(at, held.as_ref(), region.as_ref());
            location = reach(self.pointer.current_location(), location, may_be);
        }
        let under = self.surface_at(location);
        let (pointer, serial) = (self.pointer.clone(), SERIAL_COUNTER.next_serial());
        self.cursor.used = true;
        pointer.motion(self, under, &MotionEvent { location, serial, time });
        pointer.frame(self);
        self.constrain();
        self.handle_change();
    }

    /// Windows came, went or moved under a pointer that stands still.
    pub fn refocus_pointer(&mut self) {
        let location = clamp(self.pointer.current_location(), self.size());
        let (pointer, under) = (self.pointer.clone(), self.surface_at(location));
        if !self.cursor.used || pointer.is_grabbed() {
            return;
        }
        let (serial, time) = (SERIAL_COUNTER.next_serial(), monotonic_now().as_millis() as u32);
        pointer.motion(self, under, &MotionEvent { location, serial, time });
        pointer.frame(self);
        self.constrain();
    }

    fn pointed_at(&self) -> Option<WlSurface> {
        self.pointer.current_focus()
    }

    fn hold(&self) -> Hold {
        let Some(surface) = self.pointed_at() else { return Hold::Free };
        with_pointer_constraint(&surface, &self.pointer, |constraint| match constraint.as_deref() {
            Some(constraint) if !constraint.is_active() => Hold::Free,
            Some(PointerConstraint::Locked(_)) => Hold::Locked,
            Some(PointerConstraint::Confined(_)) => Hold::Confined,
            None => Hold::Free,
        })
    }

    /// Where on its surface a client wishes to hold the pointer, if not everywhere.
    fn region_of(&self, surface: &WlSurface) -> Option<RegionAttributes> {
        with_pointer_constraint(surface, &self.pointer, |constraint| constraint?.region().cloned())
    }

    fn is_within(
        &self,
        at: Point<f64, Logical>,
        surface: Option<&WlSurface>,
        region: Option<&RegionAttributes>,
    ) -> bool {
        self.surface_at(at).is_some_and(|(under, origin)| {
            Some(&under) == surface
                && region.is_none_or(|region| region.contains((at - origin).to_i32_floor::<i32>()))
        })
    }

    /// Lets the client hold the pointer that asked for it and has it where it asked.
    pub fn constrain(&self) {
        let Some(surface) = self.pointed_at() else { return };
        let region = self.region_of(&surface);
        if !self.is_within(self.pointer.current_location(), Some(&surface), region.as_ref()) {
            return;
        }
        with_pointer_constraint(&surface, &self.pointer, |constraint| {
            if let Some(constraint) = constraint.filter(|constraint| !constraint.is_active()) {
                constraint.activate();
            }
        });
    }

    fn press_button(&mut self, button: u32, pressed: bool, time: u32) {
        let state = if pressed { ButtonState::Pressed } else { ButtonState::Released };
        let (pointer, serial) = (self.pointer.clone(), SERIAL_COUNTER.next_serial());
        pointer.button(self, &ButtonEvent { serial, time, button, state });
        pointer.frame(self);
        let place = |held: &mut Vec<u32>| held.retain(|other| *other != button);
        place(&mut self.cursor.held);
        if pressed {
            self.cursor.held.push(button);
        }
    }

    fn scroll(&mut self, x: i32, y: i32, time: u32) {
        let mut frame = AxisFrame::new(time).source(AxisSource::Wheel);
        for (axis, value) in [(Axis::Horizontal, x), (Axis::Vertical, y)] {
            if value != 0 {
                let pixels = f64::from(value) * CLICK_PIXELS / f64::from(CLICK);
                frame = frame.value(axis, pixels).v120(axis, value);
            }
        }
        let pointer = self.pointer.clone();
        pointer.axis(self, frame);
        pointer.frame(self);
    }

    pub fn press_key(&mut self, code: u32, pressed: bool, time: u32) {
        let state = if pressed { KeyState::Pressed } else { KeyState::Released };
        let (keyboard, serial) = (self.keyboard.clone(), SERIAL_COUNTER.next_serial());
        let code = Keycode::new(code.saturating_add(XKB_OFFSET));
        // A key that is down does not go down: clients repeat by themselves.
        if keyboard.pressed_keys().contains(&code) != pressed {
            keyboard.input::<(), _>(self, code, state, serial, time, |_, _, _| FilterResult::Forward);
        }
    }

    /// The key that gives a symbol, with the fewest modifiers. Those are keys of their own.
    fn key_of(&mut self, name: &str) -> Option<u32> {
        let symbol = symbol_of(name)?;
        let keyboard = self.keyboard.clone();
        keyboard.with_xkb_state(self, |context| {
            let xkb = context.xkb().lock().unwrap();
            let layout = xkb.active_layout().0;
            // SAFETY: the keymap is used only while the lock is held.
            let keymap = unsafe { xkb.keymap() };
            let gives = |level, code| {
                keymap.key_get_syms_by_level(Keycode::new(code + XKB_OFFSET), layout, level).contains(&symbol)
            };
            (0..LEVELS).find_map(|level| KEYS.clone().find(|code| gives(level, *code)))
        })
    }

    fn put_finger(&mut self, id: u32, at: Point<f64, Logical>, time: u32) {
        let (touch, location) = (self.touch.clone(), clamp(at, self.size()));
        let (under, serial) = (self.surface_at(location), SERIAL_COUNTER.next_serial());
        self.cursor.fingers.retain(|other| *other != id);
        self.cursor.fingers.push(id);
        touch.down(self, under, &DownEvent { slot: slot(id), location, serial, time });
    }

    fn move_finger(&mut self, id: u32, at: Point<f64, Logical>, time: u32) {
        let (touch, location) = (self.touch.clone(), clamp(at, self.size()));
        let under = self.surface_at(location);
        touch.motion(self, under, &TouchMotionEvent { slot: slot(id), location, time });
    }

    fn lift_finger(&mut self, id: u32, time: u32) {
        let (touch, serial) = (self.touch.clone(), SERIAL_COUNTER.next_serial());
        self.cursor.fingers.retain(|other| *other != id);
        touch.up(self, &UpEvent { slot: slot(id), serial, time });
    }

    fn release_all(&mut self, time: u32) {
        for code in self.keyboard.pressed_keys() {
            self.press_key(code.raw() - XKB_OFFSET, false, time);
        }
        for button in std::mem::take(&mut self.cursor.held) {
            self.press_button(button, false, time);
        }
        for id in std::mem::take(&mut self.cursor.fingers) {
            self.lift_finger(id, time);
        }
        self.touch.clone().frame(self);
    }
}

fn slot(id: u32) -> TouchSlot {
    TouchSlot::from(Some(id))
}

/// A name as X11 has it, or the character itself.
fn symbol_of(name: &str) -> Option<xkb::Keysym> {
    let known = |symbol: xkb::Keysym| (symbol.raw() != xkb::keysyms::KEY_NoSymbol).then_some(symbol);
    let mut characters = name.chars();
    let named = known(xkb::keysym_from_name(name, xkb::KEYSYM_NO_FLAGS));
    named.or_else(|| match (characters.next(), characters.next()) {
        (Some(character), None) => known(xkb::utf32_to_keysym(character.into())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_by_name_and_by_character() {
        for (name, symbol) in [("a", 0x61), ("Return", 0xff0d), ("Shift_L", 0xffe1), ("!", 0x21), ("ä", 0xe4)]
        {
            assert_eq!(symbol_of(name).map(|symbol| symbol.raw()), Some(symbol), "{name}");
        }
        assert_eq!(symbol_of("no such key"), None);
        assert_eq!(symbol_of(""), None);
    }
}
