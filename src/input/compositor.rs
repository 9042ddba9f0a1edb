//! A display of our own: its compositor takes input as events that go up the capture's pipeline (`GstWaylandSrcInput`, as
//! the element's documentation describes it).

use super::Injector;
use super::place::{Size, on_content};
use crate::pipeline::upstream::Upstream;
use crate::protocol::input::{Contact, Input, Key, KeyTarget, MouseButton, Pen, Touch, TouchPoint};
use std::sync::Arc;

/// Asked for each place, since displays change their size.
pub type SizeOf = Arc<dyn Fn() -> Option<Size> + Send + Sync>;

/// The wheel's unit is the same on both sides, but a mouse's wheel goes up where a display scrolls down.
pub struct Compositor {
    upstream: Upstream,
    /// Of the client's picture.
    picture: Size,
    /// Of what is shown in it.
    content: SizeOf,
    /// A pen is a mouse here, and this is down.
    pen_is_down: bool,
}

impl Compositor {
    pub fn new(upstream: Upstream, picture: Size, content: SizeOf) -> Self {
        Self { upstream, picture, content, pen_is_down: false }
    }

    fn send(&self, event: &str, fields: impl FnOnce(gst::structure::Builder) -> gst::structure::Builder) {
        let builder = gst::Structure::builder("GstWaylandSrcInput").field("event", event);
        let event = gst::event::CustomUpstream::new(fields(builder).build());
        if !self.upstream.send(event) {
            tracing::trace!("nobody takes input where the source is built again");
        }
    }

    fn point(&self, at: (f64, f64)) {
        let (x, y) = self.place(at);
        self.send("motion", |fields| fields.field("x", x).field("y", y));
    }

    fn place(&self, at: (f64, f64)) -> (f64, f64) {
        let content = (self.content)().unwrap_or(self.picture);
        on_content(at, self.picture, content)
    }

    fn button(&self, button: MouseButton, pressed: bool) {
        let code = u32::from(button.evdev_code());
        self.send("button", |fields| fields.field("code", code).field("pressed", pressed));
    }

    fn scroll(&self, axis: &str, amount: i32) {
        self.send("scroll", |fields| fields.field(axis, amount));
    }

    fn key(&self, key: &Key) {
        let pressed = key.pressed;
        match key.target() {
            Some(KeyTarget::Place(code)) => {
                self.send("key", |fields| fields.field("code", u32::from(code)).field("pressed", pressed));
            }
            Some(KeyTarget::Symbol { symbols, otherwise }) => {
                let symbols: String = symbols.iter().collect();
                let otherwise = u32::from(otherwise);
                self.send("symbol", |fields| {
                    fields.field("symbols", symbols).field("otherwise", otherwise).field("pressed", pressed)
                });
            }
            None => tracing::debug!("there is no key for the virtual key {:#04x}", key.key.0),
        }
    }

    fn touch(&self, touch: &Touch) {
        let Touch::Pointer { id, contact } = touch else {
            return self.send("touch-cancel", |fields| fields);
        };
        match contact {
            Contact::Down(point) => self.finger("touch-down", *id, point),
            Contact::Move(point) => self.finger("touch-motion", *id, point),
            Contact::Up(_) => self.send("touch-up", |fields| fields.field("id", *id)),
            Contact::Cancel => self.send("touch-cancel", |fields| fields),
            // Wayland's fingers are on the surface or nowhere.
            Contact::Hover(_) | Contact::Leave => return,
        }
        self.send("touch-frame", |fields| fields);
    }

    fn finger(&self, event: &str, id: u32, point: &TouchPoint) {
        let (x, y) = self.place(fractions(point));
        self.send(event, |fields| fields.field("id", id).field("x", x).field("y", y));
    }

    fn pen(&mut self, pen: &Pen) {
        let Some(contact) = &pen.contact else { return };
        let (at, is_down) = match contact {
            Contact::Hover(point) => (Some(point), false),
            Contact::Down(point) => (Some(point), true),
            Contact::Move(point) => (Some(point), self.pen_is_down),
            Contact::Up(point) => (Some(point), false),
            Contact::Leave | Contact::Cancel => (None, false),
        };
        if let Some(point) = at {
            self.point(fractions(point));
        }
        if is_down != std::mem::replace(&mut self.pen_is_down, is_down) {
            self.button(MouseButton::Left, is_down);
        }
    }
}

fn fractions(point: &TouchPoint) -> (f64, f64) {
    (point.x.into(), point.y.into())
}

impl Injector for Compositor {
    fn name(&self) -> &'static str {
        "compositor"
    }

    fn inject(&mut self, input: &Input) {
        match input {
            Input::RelativeMotion { dx, dy } => {
                let (dx, dy) = (f64::from(*dx), f64::from(*dy));
                self.send("relative-motion", |fields| fields.field("dx", dx).field("dy", dy));
            }
            Input::AbsoluteMotion(motion) => self.point(motion.fraction()),
            Input::Button { button, pressed } => self.button(*button, *pressed),
            Input::Wheel { amount } => self.scroll("y", -i32::from(*amount)),
            Input::HorizontalWheel { amount } => self.scroll("x", i32::from(*amount)),
            Input::Key(key) => self.key(key),
            Input::Text(character) => {
                self.send("text", |fields| fields.field("text", character.to_string()));
            }
            Input::Touch(touch) => self.touch(touch),
            Input::Pen(pen) => self.pen(pen),
            // Wayland knows no controllers: programs open their devices.
            Input::Haptics { .. }
            | Input::Controller(_)
            | Input::ControllerArrival(_)
            | Input::ControllerTouch(_)
            | Input::ControllerMotion(_)
            | Input::ControllerBattery(_) => {}
        }
    }
}
