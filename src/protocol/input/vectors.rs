//! Packets of every kind, and what is read from them.

use super::event::*;
use super::keys::{Modifiers, VirtualKey};

fn pad(number: u16) -> PadNumber {
    PadNumber::new(number).expect("below 16")
}

fn at(x: f32, y: f32) -> TouchPoint {
    TouchPoint { x, y, pressure: None, distance: None, area: None, rotation: None, tilt: None }
}

/// What clients send, by the layouts of Moonlight's Input.h: size, kind, body. One or more of each kind.
pub fn vectors() -> Vec<(&'static str, Input)> {
    let key = |key, pressed, normalized, modifiers| {
        Input::Key(Key {
            key: VirtualKey(key),
            pressed,
            normalized,
            modifiers: Modifiers::from_byte(modifiers),
        })
    };
    let touch = |id, contact| Input::Touch(Touch::Pointer { id, contact });
    let finger = TouchPoint {
        pressure: Some(0.75),
        area: Some(Ellipse { major: 0.125, minor: 0.0625 }),
        rotation: Some(Degrees(90)),
        ..at(0.5, 0.25)
    };
    let pen = TouchPoint {
        pressure: Some(1.0),
        rotation: Some(Degrees(270)),
        tilt: Some(Degrees(45)),
        ..at(0.5, 0.25)
    };
    vec![
        ("00000006 0d000000 0100", Input::Haptics { enabled: true }),
        ("00000006 0d000000 0000", Input::Haptics { enabled: false }),
        ("00000008 07000000 0001 fffe", Input::RelativeMotion { dx: 1, dy: -2 }),
        (
            "0000000e 05000000 0280 0168 0000 04ff 02cf",
            Input::AbsoluteMotion(AbsoluteMotion { x: 640, y: 360, max_x: 1279, max_y: 719 }),
        ),
        ("00000005 08000000 01", Input::Button { button: MouseButton::Left, pressed: true }),
        ("00000005 08000000 02", Input::Button { button: MouseButton::Middle, pressed: true }),
        ("00000005 08000000 03", Input::Button { button: MouseButton::Right, pressed: true }),
        ("00000005 09000000 04", Input::Button { button: MouseButton::X1, pressed: false }),
        ("00000005 09000000 05", Input::Button { button: MouseButton::X2, pressed: false }),
        ("0000000a 0a000000 ff88 ff88 0000", Input::Wheel { amount: -120 }),
        ("00000006 01000055 003c", Input::HorizontalWheel { amount: 60 }),
        ("0000000a 03000000 00 4180 03 0000", key(0x41, true, true, 3)),
        ("0000000a 04000000 01 e280 f8 0000", key(0xe2, false, false, 8)),
        ("00000005 17000000 61", Input::Text('a')),
        ("00000007 17000000 e282ac", Input::Text('€')),
        ("00000008 17000000 f09f8eae", Input::Text('🎮')),
        (
            "00000020 02000055 01 00 5a00 2a000000 0000003f 0000803e 0000403f 0000003e 0000803d",
            touch(42, Contact::Down(finger)),
        ),
        (
            "00000020 02000055 00 00 ffff ffffffff 0000003f 0000803e 0000003e 00000000 00000000",
            touch(u32::MAX, Contact::Hover(TouchPoint { distance: Some(0.125), ..at(0.5, 0.25) })),
        ),
        (
            "00000020 02000055 03 00 ffff 01000000 0000003f 0000803e 00000000 0000003e 00000000",
            touch(
                1,
                Contact::Move(TouchPoint {
                    area: Some(Ellipse { major: 0.125, minor: 0.125 }),
                    ..at(0.5, 0.25)
                }),
            ),
        ),
        (
            "00000020 02000055 02 00 ffff 01000000 0000003f 0000803e 00000000 00000000 00000000",
            touch(1, Contact::Up(at(0.5, 0.25))),
        ),
        (
            // Nothing but the pointer counts: the point is not even made of numbers.
            "00000020 02000055 04 00 ffff 01000000 0000c07f 0000c07f 0000c07f 0000c07f 0000c07f",
            touch(1, Contact::Cancel),
        ),
        (
            "00000020 02000055 06 00 ffff 01000000 00000000 00000000 00000000 00000000 00000000",
            touch(1, Contact::Leave),
        ),
        (
            "00000020 02000055 07 00 ffff 01000000 00000000 00000000 00000000 00000000 00000000",
            Input::Touch(Touch::CancelAll),
        ),
        (
            "00000020 03000055 03 01 05 00 0000003f 0000803e 0000803f 0e01 2d 00 00000000 00000000",
            Input::Pen(Pen { tool: PenTool::Pen, buttons: PenButtons(5), contact: Some(Contact::Move(pen)) }),
        ),
        (
            "00000020 03000055 00 02 00 00 0000003f 0000803e 00000000 ffff ff 00 00000000 00000000",
            Input::Pen(Pen {
                tool: PenTool::Eraser,
                buttons: PenButtons::NONE,
                contact: Some(Contact::Hover(at(0.5, 0.25))),
            }),
        ),
        (
            "00000020 03000055 05 01 02 00 0000c07f 0000c07f 0000c07f ffff ff 00 0000c07f 0000c07f",
            Input::Pen(Pen { tool: PenTool::Pen, buttons: PenButtons::SECONDARY, contact: None }),
        ),
        (
            "00000020 03000055 07 00 00 00 00000000 00000000 00000000 ffff ff 00 00000000 00000000",
            Input::Pen(Pen {
                tool: PenTool::Unknown,
                buttons: PenButtons::NONE,
                contact: Some(Contact::Cancel),
            }),
        ),
        (
            "0000001e 0c000000 1a00 0200 0500 1400 0110 ff 80 0080 ff7f 0100 ffff 9c00 2000 5500",
            Input::Controller(ControllerState {
                pad: pad(2),
                plugged: 0b101,
                buttons: PadButtons(PadButtons::A.0 | PadButtons::UP.0 | PadButtons::MISC.0),
                left_trigger: 255,
                right_trigger: 128,
                left_stick: Stick { x: -32768, y: 32767 },
                right_stick: Stick { x: 1, y: -1 },
            }),
        ),
        (
            "0000000c 04000055 0f 02 fb01 fff73f00",
            Input::ControllerArrival(ControllerArrival {
                pad: pad(15),
                kind: PadKind::PlayStation,
                capabilities: PadCapabilities(0x1fb),
                buttons: PadButtons(0x3f_f7ff),
            }),
        ),
        (
            "00000018 05000055 01 01 00 01 07000000 0000003f 0000803e 0000403f",
            Input::ControllerTouch(ControllerTouch {
                pad: pad(1),
                touchpad: 1,
                touch: Touch::Pointer {
                    id: 7,
                    contact: Contact::Down(TouchPoint { pressure: Some(0.75), ..at(0.5, 0.25) }),
                },
            }),
        ),
        (
            "00000014 06000055 01 01 0000 0000a03f 000020c1 00000042",
            Input::ControllerMotion(ControllerMotion {
                pad: pad(1),
                sensor: Sensor::Accelerometer,
                x: 1.25,
                y: -10.0,
                z: 32.0,
            }),
        ),
        (
            "00000014 06000055 01 02 0000 00000000 00000000 00000000",
            Input::ControllerMotion(ControllerMotion {
                pad: pad(1),
                sensor: Sensor::Gyroscope,
                x: 0.0,
                y: 0.0,
                z: 0.0,
            }),
        ),
        (
            "00000008 07000055 01 03 37 00",
            Input::ControllerBattery(ControllerBattery {
                pad: pad(1),
                state: BatteryState::Charging,
                percent: Some(55),
            }),
        ),
        (
            "00000008 07000055 01 00 ff 00",
            Input::ControllerBattery(ControllerBattery {
                pad: pad(1),
                state: BatteryState::Unknown,
                percent: None,
            }),
        ),
    ]
}
