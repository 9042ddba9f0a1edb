//! What a player does, from a client's bytes to events that a desktop can be told.
//!
//! ```text
//! 0x0206 ─▸ Input::parse ─▸ Coalescing ─▸ Pressed ─▸ whoever injects
//! ```
//!
//! * [`Input`] (`event.rs`) has one variant for each kind of event, with typed fields, units and bounds: who gets one
//!   need not check it again. It is `Copy` and holds nothing on the heap.
//! * [`Input::parse`] (`parse.rs`) reads what a client sends and says exactly what was wrong with what it refuses. A kind
//!   that it does not know is [`InputError::Unknown`], with its number: newer clients have more kinds.
//! * [`Coalescing`] (`coalescing.rs`) stands before a consumer that may be slower than a mouse that reports 8000 times a
//!   second. Motion becomes one event while it waits; a click never loses its place.
//! * [`Pressed`] (`pressed.rs`) knows what is down. It tells auto-repeat from presses, bounds the fingers, drops what
//!   lifts nothing, and gives the events that lift everything when a session ends.
//! * [`VirtualKey`] and [`Key::target`] (`keys.rs`) say which key of a Linux keyboard is meant.
//!
//! What goes the other way (rumble, sensors, lights) is in [`super::feedback`] and `control::HostMessage`.
//!
//! Positive directions: a mouse and a picture go right and down, a stick goes right and up, a wheel goes up (away from
//! the player) and right.

mod coalescing;
mod event;
mod keys;
mod parse;
mod pressed;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod vectors;

pub use coalescing::{Coalescing, Full, MAX_WAITING};
pub use event::{
    AbsoluteMotion, BatteryState, Contact, ControllerArrival, ControllerBattery, ControllerMotion,
    ControllerState, ControllerTouch, Degrees, Ellipse, Input, Key, MouseButton, PadButtons, PadCapabilities,
    PadKind, PadNumber, Pen, PenButtons, PenTool, Sensor, Stick, TOUCHPADS, Touch, TouchPoint,
};
pub use keys::{KeyTarget, Modifiers, VirtualKey};
pub use parse::InputError;
pub use pressed::{MAX_POINTERS, Pressed};
