//! Random events for tests: few keys, fingers and controllers, so that they meet.

use super::event::*;
use super::keys::{Modifiers, VirtualKey};
use proptest::prelude::*;

pub fn pad(number: u16) -> PadNumber {
    PadNumber::new(number).expect("below 16")
}

pub fn at(x: f32) -> TouchPoint {
    TouchPoint { x, y: 0.5, pressure: None, distance: None, area: None, rotation: None, tilt: None }
}

pub fn key(key: u8, pressed: bool) -> Input {
    Input::Key(Key { key: VirtualKey(key), pressed, normalized: true, modifiers: Modifiers::NONE })
}

pub fn finger(id: u32, contact: Contact) -> Input {
    Input::Touch(Touch::Pointer { id, contact })
}

pub fn absolute(x: u16) -> Input {
    Input::AbsoluteMotion(AbsoluteMotion { x, y: 0, max_x: 1000, max_y: 1000 })
}

pub fn click(pressed: bool) -> Input {
    Input::Button { button: MouseButton::Left, pressed }
}

pub fn state(number: u16, buttons: PadButtons, x: i16) -> Input {
    let neutral = ControllerState::neutral(pad(number), 0xffff);
    Input::Controller(ControllerState { buttons, left_stick: Stick { x, y: 0 }, ..neutral })
}

fn contact() -> impl Strategy<Value = Contact> {
    let point = (0..=100u8).prop_map(|x| at(f32::from(x) / 100.0));
    (0..6, point).prop_map(|(what, point)| match what {
        0 => Contact::Hover(point),
        1 => Contact::Down(point),
        2 => Contact::Move(point),
        3 => Contact::Up(point),
        4 => Contact::Leave,
        _ => Contact::Cancel,
    })
}

fn touch(ids: u32) -> impl Strategy<Value = Touch> {
    prop_oneof![
        30 => (0..ids, contact()).prop_map(|(id, contact)| Touch::Pointer { id, contact }),
        1 => Just(Touch::CancelAll),
    ]
}

fn pen() -> impl Strategy<Value = Input> {
    let buttons = prop_oneof![Just(PenButtons::NONE), Just(PenButtons::PRIMARY)];
    let tool = prop_oneof![9 => Just(PenTool::Pen), 1 => Just(PenTool::Eraser)];
    (tool, buttons, proptest::option::weighted(0.9, contact()))
        .prop_map(|(tool, buttons, contact)| Input::Pen(Pen { tool, buttons, contact }))
}

fn controller() -> impl Strategy<Value = Input> {
    let buttons = prop_oneof![4 => Just(PadButtons::default()), 1 => Just(PadButtons::A)];
    let plugged = prop_oneof![9 => Just(0b111), 1 => 0..0b111u16];
    let state = (0..3u16, plugged, buttons, -9..9i16).prop_map(|(number, plugged, buttons, x)| {
        let neutral = ControllerState::neutral(pad(number), plugged);
        Input::Controller(ControllerState { buttons, left_stick: Stick { x, y: 0 }, ..neutral })
    });
    let arrival = (0..3u16).prop_map(|number| {
        let (capabilities, buttons) = (PadCapabilities::default(), PadButtons::A);
        Input::ControllerArrival(ControllerArrival {
            pad: pad(number),
            kind: PadKind::Xbox,
            capabilities,
            buttons,
        })
    });
    let fingers = (0..3u16, 0..2u8, touch(3)).prop_map(|(number, touchpad, touch)| {
        Input::ControllerTouch(ControllerTouch { pad: pad(number), touchpad, touch })
    });
    let sensor = prop_oneof![Just(Sensor::Accelerometer), Just(Sensor::Gyroscope)];
    let motion = (0..3u16, sensor, -9..9i8).prop_map(|(number, sensor, x)| {
        let motion = ControllerMotion { pad: pad(number), sensor, x: x.into(), y: 0.0, z: 0.0 };
        Input::ControllerMotion(motion)
    });
    prop_oneof![6 => state, 1 => arrival, 3 => fingers, 2 => motion]
}

fn mouse() -> impl Strategy<Value = Input> {
    let button = prop_oneof![Just(MouseButton::Left), Just(MouseButton::X2)];
    prop_oneof![
        4 => (any::<i16>(), any::<i16>())
            .prop_map(|(dx, dy)| Input::RelativeMotion { dx: dx.into(), dy: dy.into() }),
        4 => (0..=1000u16).prop_map(absolute),
        2 => (button, any::<bool>()).prop_map(|(button, pressed)| Input::Button { button, pressed }),
        1 => any::<i16>().prop_map(|amount| Input::Wheel { amount }),
        1 => any::<i16>().prop_map(|amount| Input::HorizontalWheel { amount }),
    ]
}

/// Anything, of fingers with up to `ids` numbers.
pub fn input(ids: u32) -> impl Strategy<Value = Input> {
    let keys = prop_oneof![Just(0xa0u8), Just(b'A'), Just(b'B')];
    prop_oneof![
        6 => mouse(),
        3 => (keys, any::<bool>()).prop_map(|(code, pressed)| key(code, pressed)),
        6 => touch(ids).prop_map(Input::Touch),
        4 => pen(),
        6 => controller(),
        1 => any::<char>().prop_map(Input::Text),
    ]
}
