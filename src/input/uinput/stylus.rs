//! A pen on a graphics tablet.

use super::devices::PRESSURE;
use super::{absolute, key};
use crate::protocol::input::{Contact, Pen, PenButtons, PenTool, TouchPoint};
use evdev::{AbsoluteAxisCode as Axis, InputEvent, KeyCode};

/// Of linux/input-event-codes.h.
pub const BTN_STYLUS3: KeyCode = KeyCode(0x149);

const BUTTONS: [(PenButtons, KeyCode); 3] = [
    (PenButtons::PRIMARY, KeyCode::BTN_STYLUS),
    (PenButtons::SECONDARY, KeyCode::BTN_STYLUS2),
    (PenButtons::TERTIARY, BTN_STYLUS3),
];

#[derive(Default)]
pub struct Stylus {
    /// The end that is over the tablet.
    tool: Option<KeyCode>,
}

impl Stylus {
    pub fn handle(&mut self, pen: &Pen, place: impl Fn((f64, f64)) -> (i32, i32)) -> Vec<InputEvent> {
        let mut events = Vec::new();
        match pen.contact {
            Some(Contact::Hover(point)) => {
                self.comes(pen.tool, &mut events);
                touches(false, &point, &place, &mut events);
            }
            Some(Contact::Down(point) | Contact::Move(point)) => {
                self.comes(pen.tool, &mut events);
                touches(true, &point, &place, &mut events);
            }
            Some(Contact::Up(point)) => touches(false, &point, &place, &mut events),
            Some(Contact::Leave | Contact::Cancel) => self.goes(&mut events),
            None => {}
        }
        events.extend(BUTTONS.map(|(button, code)| key(code, pen.buttons.contains(button))));
        events
    }

    fn comes(&mut self, tool: PenTool, events: &mut Vec<InputEvent>) {
        let tool = match tool {
            PenTool::Unknown | PenTool::Pen => KeyCode::BTN_TOOL_PEN,
            PenTool::Eraser => KeyCode::BTN_TOOL_RUBBER,
        };
        if self.tool != Some(tool) {
            self.goes(events);
            self.tool = Some(tool);
            events.push(key(tool, true));
        }
    }

    fn goes(&mut self, events: &mut Vec<InputEvent>) {
        if let Some(tool) = self.tool.take() {
            events.extend([
                absolute(Axis::ABS_PRESSURE, 0),
                key(KeyCode::BTN_TOUCH, false),
                key(tool, false),
            ]);
        }
    }
}

/// Where the pen is, and how. A pen of unknown pressure presses with half of it.
fn touches(
    down: bool,
    point: &TouchPoint,
    place: impl Fn((f64, f64)) -> (i32, i32),
    events: &mut Vec<InputEvent>,
) {
    let (x, y) = place((point.x.into(), point.y.into()));
    let part = |part: f32| ((part * PRESSURE as f32).round() as i32).clamp(1, PRESSURE);
    let pressure = if down { part(point.pressure.unwrap_or(0.5)) } else { 0 };
    let distance = if down { 0 } else { point.distance.map_or(1, part) };
    events.extend([absolute(Axis::ABS_X, x), absolute(Axis::ABS_Y, y)]);
    events.extend([absolute(Axis::ABS_PRESSURE, pressure), absolute(Axis::ABS_DISTANCE, distance)]);
    if let Some((x, y)) = tilt(point) {
        events.extend([absolute(Axis::ABS_TILT_X, x), absolute(Axis::ABS_TILT_Y, y)]);
    }
    events.push(key(KeyCode::BTN_TOUCH, down));
}

/// How far the end in the hand leans to the right and towards the player, in degrees. The client says where the tip points,
/// clockwise from the picture's upper edge, and how far from upright.
fn tilt(point: &TouchPoint) -> Option<(i32, i32)> {
    let (rotation, tilt) = (f64::from(point.rotation?.0).to_radians(), f64::from(point.tilt?.0).to_radians());
    let lean = |part: f64| (part * tilt.sin()).atan2(tilt.cos()).to_degrees().round() as i32;
    Some((lean(-rotation.sin()), lean(rotation.cos())))
}
