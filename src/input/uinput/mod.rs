//! The machine's own seat: devices of the kernel, for what takes input from nowhere else, as a bare console or gamescope do.
//! Who reads the devices of the machine feels them, whatever the client sees.
//!
//! What becomes of an event is decided here and beside; `devices.rs` has the devices.

mod devices;
mod fingers;
mod layout;
mod stylus;

use super::place::{Size, on_content};
use super::{Injector, SizeOf};
use crate::protocol::input::{Input, Key, KeyTarget, MouseButton};
use devices::Devices;
use evdev::{AbsoluteAxisCode, EventType, InputEvent, KeyCode, RelativeAxisCode};
use fingers::Fingers;
use layout::{Layout, Stroke};
use std::io;
use stylus::Stylus;

/// Where surfaces end, at the right and below; they begin at 0.
const EDGE: i32 = 0xffff;
/// The wheel's fine unit is the client's, and this is a notch of it.
const NOTCH: i32 = 120;

/// What a player has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Mouse,
    /// A mouse that says where it is.
    Pointer,
    Keyboard,
    Touchscreen,
    Tablet,
}

/// Where events go, in reports of what happens at once.
trait Report {
    fn report(&mut self, device: Device, events: &[InputEvent]) -> io::Result<()>;
}

/// Injects into devices of its own, which go with it.
pub struct Uinput(Hand<Devices>);

impl Uinput {
    pub fn create(picture: Size, content: SizeOf) -> anyhow::Result<Self> {
        Ok(Self(Hand::new(Devices::create()?, Layout::of_host()?, picture, content)))
    }
}

impl Injector for Uinput {
    fn name(&self) -> &'static str {
        "uinput"
    }

    fn inject(&mut self, input: &Input) {
        let hand = &mut self.0;
        if hand.is_gone {
            return;
        }
        if let Err(error) = hand.inject(input) {
            tracing::warn!("the kernel takes no input any more: {error}");
            hand.is_gone = true;
        }
    }
}

struct Hand<R> {
    reports: R,
    layout: Layout,
    /// Of the client's picture.
    picture: Size,
    /// Of what is shown in it.
    content: SizeOf,
    fingers: Fingers,
    stylus: Stylus,
    /// What is left of a notch, down and across.
    scrolled: [i32; 2],
    is_gone: bool,
}

impl<R: Report> Hand<R> {
    fn new(reports: R, layout: Layout, picture: Size, content: SizeOf) -> Self {
        let (fingers, stylus) = (Fingers::default(), Stylus::default());
        Self { reports, layout, picture, content, fingers, stylus, scrolled: [0; 2], is_gone: false }
    }

    fn inject(&mut self, input: &Input) -> io::Result<()> {
        match input {
            Input::RelativeMotion { dx, dy } => {
                let moved = [relative(RelativeAxisCode::REL_X, *dx), relative(RelativeAxisCode::REL_Y, *dy)];
                self.reports.report(Device::Mouse, &moved)
            }
            Input::AbsoluteMotion(motion) => {
                let (x, y) = self.place(motion.fraction());
                let there = [absolute(AbsoluteAxisCode::ABS_X, x), absolute(AbsoluteAxisCode::ABS_Y, y)];
                self.reports.report(Device::Pointer, &there)
            }
            Input::Button { button, pressed } => self.button(*button, *pressed),
            Input::Wheel { amount } => {
                let axes = [RelativeAxisCode::REL_WHEEL_HI_RES, RelativeAxisCode::REL_WHEEL];
                self.scroll(0, axes, (*amount).into())
            }
            Input::HorizontalWheel { amount } => {
                let axes = [RelativeAxisCode::REL_HWHEEL_HI_RES, RelativeAxisCode::REL_HWHEEL];
                self.scroll(1, axes, (*amount).into())
            }
            Input::Key(pressed) => self.key(pressed),
            Input::Text(character) => self.type_character(*character),
            Input::Touch(touch) => {
                let placed = places(self.picture, &self.content);
                let events = self.fingers.handle(touch, placed);
                self.reports.report(Device::Touchscreen, &events)
            }
            Input::Pen(pen) => {
                let placed = places(self.picture, &self.content);
                let events = self.stylus.handle(pen, placed);
                self.reports.report(Device::Tablet, &events)
            }
            // These have devices of their own.
            Input::Haptics { .. }
            | Input::Controller(_)
            | Input::ControllerArrival(_)
            | Input::ControllerTouch(_)
            | Input::ControllerMotion(_)
            | Input::ControllerBattery(_) => Ok(()),
        }
    }

    fn place(&self, at: (f64, f64)) -> (i32, i32) {
        places(self.picture, &self.content)(at)
    }

    fn button(&mut self, button: MouseButton, pressed: bool) -> io::Result<()> {
        let event = InputEvent::new(EventType::KEY.0, button.evdev_code(), pressed.into());
        self.reports.report(Device::Mouse, &[event])
    }

    /// `axes`: of a notch's parts, and of whole ones.
    fn scroll(&mut self, along: usize, axes: [RelativeAxisCode; 2], amount: i32) -> io::Result<()> {
        let [fine, whole] = axes;
        let rest = &mut self.scrolled[along];
        *rest += amount;
        let notches = *rest / NOTCH;
        *rest -= notches * NOTCH;
        let events = [relative(fine, amount), relative(whole, notches)];
        let events = if notches == 0 { &events[..1] } else { &events };
        self.reports.report(Device::Mouse, events)
    }

    fn key(&mut self, pressed: &Key) -> io::Result<()> {
        let code = match pressed.target() {
            Some(KeyTarget::Place(code)) => code,
            Some(KeyTarget::Symbol { symbols, otherwise }) => {
                symbols.iter().find_map(|symbol| self.layout.by_itself(*symbol)).unwrap_or(otherwise)
            }
            None => {
                tracing::debug!("there is no key for the virtual key {:#04x}", pressed.key.0);
                return Ok(());
            }
        };
        self.press(code, pressed.pressed)
    }

    fn press(&mut self, code: u16, pressed: bool) -> io::Result<()> {
        self.reports.report(Device::Keyboard, &[key(KeyCode(code), pressed)])
    }

    fn type_character(&mut self, character: char) -> io::Result<()> {
        let Some(strokes) = self.layout.strokes(character) else {
            tracing::debug!("nobody types U+{:04X}", u32::from(character));
            return Ok(());
        };
        for Stroke { code, modifiers } in strokes {
            for modifier in modifiers {
                self.press(*modifier, true)?;
            }
            self.press(code, true)?;
            self.press(code, false)?;
            for modifier in modifiers.iter().rev() {
                self.press(*modifier, false)?;
            }
        }
        Ok(())
    }
}

/// Where on a surface that what is captured fills a place in the client's picture is.
fn places(picture: Size, content: &SizeOf) -> impl Fn((f64, f64)) -> (i32, i32) {
    let content = content().unwrap_or(picture);
    move |at| {
        let (x, y) = on_content(at, picture, content);
        let step = |at: f64, length: u32| (at / f64::from(length) * f64::from(EDGE)).round() as i32;
        (step(x, content.width), step(y, content.height))
    }
}

fn relative(axis: RelativeAxisCode, value: i32) -> InputEvent {
    InputEvent::new(EventType::RELATIVE.0, axis.0, value)
}

fn absolute(axis: AbsoluteAxisCode, value: i32) -> InputEvent {
    InputEvent::new(EventType::ABSOLUTE.0, axis.0, value)
}

fn key(code: KeyCode, pressed: bool) -> InputEvent {
    InputEvent::new(EventType::KEY.0, code.0, pressed.into())
}

#[cfg(test)]
mod tests;
