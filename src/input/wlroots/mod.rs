//! Desktops of wlroots (sway, Hyprland, labwc, …): a virtual pointer and a virtual keyboard, by protocols that their
//! compositors have. There is none for touch: a finger is the pointer with its left button down.

mod keyboard;
mod outputs;

use super::place::{Size, on_content};
use super::{Injector, SizeOf};
use crate::desktop::portal::Region;
use crate::protocol::input::{Contact, Input, Key, KeyTarget, MouseButton, Touch};
use anyhow::Context;
use keyboard::Keyboard;
use outputs::{Outputs, Seen};
use std::time::Instant;
use wayland_client::globals::registry_queue_init;
use wayland_client::protocol::wl_pointer::{Axis, AxisSource, ButtonState};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{Connection, EventQueue, delegate_noop};
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_manager_v1::ZwpVirtualKeyboardManagerV1;
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1;
use wayland_protocols_wlr::virtual_pointer::v1::client::zwlr_virtual_pointer_manager_v1::ZwlrVirtualPointerManagerV1;
use wayland_protocols_wlr::virtual_pointer::v1::client::zwlr_virtual_pointer_v1::ZwlrVirtualPointerV1;

/// One notch of a wheel in the client's unit, and in pixels, as other desktops scroll.
const NOTCH: i32 = 120;
const NOTCH_PIXELS: f64 = 15.0;

/// Places are told in parts of the compositor's unit.
const STEPS: f64 = 256.0;

/// What the compositor says.
struct World {
    outputs: Outputs,
}

pub struct Wlroots {
    events: EventQueue<World>,
    world: World,
    pointer: ZwlrVirtualPointerV1,
    keyboard: Keyboard,
    began: Instant,
    /// The output, or all of them.
    seen: Option<Seen>,
    /// Of the client's picture.
    picture: Size,
    /// Of what is shown in it.
    content: SizeOf,
    /// What is left of a notch, along each axis.
    scrolled: [i32; 2],
    /// The finger that is the pointer.
    finger: Option<u32>,
    is_gone: bool,
}

impl Wlroots {
    /// On the compositor of the session that this process runs in. What is seen is the output of that name, else what the
    /// portal says to show `region`.
    pub fn connect(
        output: Option<&str>,
        region: Option<Region>,
        picture: Size,
        content: SizeOf,
    ) -> anyhow::Result<Self> {
        let connection = Connection::connect_to_env().context("no Wayland desktop is here")?;
        let (globals, mut events) = registry_queue_init::<World>(&connection)?;
        let queue = events.handle();
        let pointers: ZwlrVirtualPointerManagerV1 =
            globals.bind(&queue, 1..=2, ()).context("it has no virtual pointers")?;
        let keyboards: ZwpVirtualKeyboardManagerV1 =
            globals.bind(&queue, 1..=1, ()).context("it has no virtual keyboards")?;
        let seat: WlSeat = globals.bind(&queue, 1..=1, ()).context("it has no seat")?;
        let mut world = World { outputs: Outputs::bind(&globals, &queue)? };
        // Once for the outputs themselves, once for what is said of them.
        events.roundtrip(&mut world)?;
        events.roundtrip(&mut world)?;
        let seen = world.outputs.choose(output, region)?;
        // Not one that belongs to an output: sway 1.7 forgets of which.
        let pointer = pointers.create_virtual_pointer(Some(&seat), &queue, ());
        let keyboard = Keyboard::new(keyboards.create_virtual_keyboard(&seat, &queue, ()))?;
        events.roundtrip(&mut world)?;
        Ok(Self {
            events,
            world,
            pointer,
            keyboard,
            began: Instant::now(),
            seen,
            picture,
            content,
            scrolled: [0; 2],
            finger: None,
            is_gone: false,
        })
    }

    fn now(&self) -> u32 {
        self.began.elapsed().as_millis() as u32
    }

    fn point(&self, at: (f64, f64)) {
        let content = (self.content)().unwrap_or(self.picture);
        let (x, y) = on_content(at, self.picture, content);
        let desktop = self.world.outputs.whole();
        let seen = self.seen.and_then(|seen| self.world.outputs.region(seen)).unwrap_or(desktop);
        let step = |at: f64, length: u32, from: i32, long: i32| {
            ((f64::from(from) + at / f64::from(length) * f64::from(long)) * STEPS) as u32
        };
        let x = step(x, content.width, seen.x - desktop.x, seen.width);
        let y = step(y, content.height, seen.y - desktop.y, seen.height);
        let extent = |length: i32| (f64::from(length) * STEPS) as u32;
        self.pointer.motion_absolute(self.now(), x, y, extent(desktop.width), extent(desktop.height));
        self.pointer.frame();
    }

    fn button(&self, button: MouseButton, pressed: bool) {
        let state = if pressed { ButtonState::Pressed } else { ButtonState::Released };
        self.pointer.button(self.now(), button.evdev_code().into(), state);
        self.pointer.frame();
    }

    fn scroll(&mut self, axis: Axis, amount: i32) {
        let rest = &mut self.scrolled[usize::from(axis == Axis::HorizontalScroll)];
        *rest += amount;
        let notches = *rest / NOTCH;
        *rest -= notches * NOTCH;
        let pixels = f64::from(amount) * NOTCH_PIXELS / f64::from(NOTCH);
        self.pointer.axis_source(AxisSource::Wheel);
        match notches {
            0 => self.pointer.axis(self.now(), axis, pixels),
            notches => self.pointer.axis_discrete(self.now(), axis, pixels, notches),
        }
        self.pointer.frame();
    }

    fn key(&mut self, key: &Key) {
        let code = match key.target() {
            Some(KeyTarget::Place(code)) => Some(code.into()),
            Some(KeyTarget::Symbol { symbols, otherwise }) => {
                let typed = symbols.iter().find_map(|symbol| self.keyboard.key_that_types(*symbol));
                Some(typed.unwrap_or(otherwise.into()))
            }
            None => None,
        };
        match code {
            Some(code) => self.keyboard.press(code, key.pressed, self.now()),
            None => tracing::debug!("there is no key for the virtual key {:#04x}", key.key.0),
        }
    }

    /// The first finger alone.
    fn touch(&mut self, touch: &Touch) {
        let (id, contact) = match *touch {
            Touch::Pointer { id, contact } if self.finger.is_none_or(|finger| finger == id) => (id, contact),
            Touch::Pointer { .. } => return,
            Touch::CancelAll => (0, Contact::Cancel),
        };
        match contact {
            Contact::Down(at) | Contact::Move(at) | Contact::Hover(at) => {
                self.point((at.x.into(), at.y.into()))
            }
            Contact::Up(_) | Contact::Leave | Contact::Cancel => {}
        }
        match contact {
            Contact::Down(_) if self.finger.is_none() => {
                self.finger = Some(id);
                self.button(MouseButton::Left, true);
            }
            Contact::Up(_) | Contact::Cancel if self.finger.take().is_some() => {
                self.button(MouseButton::Left, false);
            }
            _ => {}
        }
    }

    /// Without waiting: a compositor that does not read loses what it does not read.
    fn flush(&mut self) {
        let sent = self.events.flush();
        if let Some(reading) = self.events.prepare_read() {
            // Mostly there is nothing.
            _ = reading.read();
        }
        let heard = self.events.dispatch_pending(&mut self.world);
        let failure =
            sent.err().map(|error| error.to_string()).or(heard.err().map(|error| error.to_string()));
        if let Some(failure) = failure {
            tracing::warn!("the desktop takes no input any more: {failure}");
            self.is_gone = true;
        }
    }
}

impl Injector for Wlroots {
    fn name(&self) -> &'static str {
        "wlroots"
    }

    fn inject(&mut self, input: &Input) {
        if self.is_gone {
            return;
        }
        match input {
            Input::RelativeMotion { dx, dy } => {
                self.pointer.motion(self.now(), f64::from(*dx), f64::from(*dy));
                self.pointer.frame();
            }
            Input::AbsoluteMotion(motion) => self.point(motion.fraction()),
            Input::Button { button, pressed } => self.button(*button, *pressed),
            Input::Wheel { amount } => self.scroll(Axis::VerticalScroll, -i32::from(*amount)),
            Input::HorizontalWheel { amount } => self.scroll(Axis::HorizontalScroll, i32::from(*amount)),
            Input::Key(key) => self.key(key),
            Input::Text(character) => self.keyboard.type_character(*character, self.now()),
            Input::Touch(touch) => self.touch(touch),
            Input::Pen(pen) => {
                let contact = pen.contact.map(|contact| Touch::Pointer { id: u32::MAX, contact });
                contact.iter().for_each(|touch| self.touch(touch));
            }
            // Programs open the devices of controllers.
            Input::Haptics { .. }
            | Input::Controller(_)
            | Input::ControllerArrival(_)
            | Input::ControllerTouch(_)
            | Input::ControllerMotion(_)
            | Input::ControllerBattery(_) => return,
        }
        self.flush();
    }
}

delegate_noop!(World: ignore WlSeat);
delegate_noop!(World: ZwlrVirtualPointerManagerV1);
delegate_noop!(World: ZwlrVirtualPointerV1);
delegate_noop!(World: ZwpVirtualKeyboardManagerV1);
delegate_noop!(World: ZwpVirtualKeyboardV1);
