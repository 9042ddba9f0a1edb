use super::stylus::BTN_STYLUS3;
use super::*;
use crate::protocol::input::*;
use proptest::prelude::*;
use std::sync::Arc;

const HD: Size = Size { width: 1920, height: 1080 };

/// Type, code and value.
type Event = (u16, u16, i32);

#[derive(Default)]
struct Written(Vec<(Device, Vec<Event>)>);

impl Report for Written {
    fn report(&mut self, device: Device, events: &[InputEvent]) -> io::Result<()> {
        let events = events.iter().map(|event| (event.event_type().0, event.code(), event.value()));
        self.0.push((device, events.collect()));
        Ok(())
    }
}

fn hand(layout: &str, content: Size) -> Hand<Written> {
    Hand::new(Written::default(), Layout::named(layout).unwrap(), HD, Arc::new(move || Some(content)))
}

/// What the devices of a hand report of these.
fn reported(hand: &mut Hand<Written>, inputs: &[Input]) -> Vec<(Device, Vec<Event>)> {
    inputs.iter().for_each(|input| hand.inject(input).unwrap());
    std::mem::take(&mut hand.reports.0)
}

fn rel(axis: RelativeAxisCode, value: i32) -> Event {
    (EventType::RELATIVE.0, axis.0, value)
}

fn abs(axis: AbsoluteAxisCode, value: i32) -> Event {
    (EventType::ABSOLUTE.0, axis.0, value)
}

fn button(code: KeyCode, value: i32) -> Event {
    (EventType::KEY.0, code.0, value)
}

fn point(x: f32, y: f32) -> TouchPoint {
    TouchPoint { x, y, pressure: None, distance: None, area: None, rotation: None, tilt: None }
}

fn finger(id: u32, contact: Contact) -> Input {
    Input::Touch(Touch::Pointer { id, contact })
}

#[test]
fn a_mouse_moves_clicks_and_scrolls() {
    use RelativeAxisCode as Axis;
    let inputs = [
        Input::RelativeMotion { dx: 5, dy: -3 },
        Input::Button { button: MouseButton::X2, pressed: true },
        Input::Wheel { amount: 80 },
        Input::Wheel { amount: 80 },
        Input::HorizontalWheel { amount: -240 },
    ];
    let expected = [
        vec![rel(Axis::REL_X, 5), rel(Axis::REL_Y, -3)],
        vec![button(KeyCode::BTN_EXTRA, 1)],
        vec![rel(Axis::REL_WHEEL_HI_RES, 80)],
        vec![rel(Axis::REL_WHEEL_HI_RES, 80), rel(Axis::REL_WHEEL, 1)],
        vec![rel(Axis::REL_HWHEEL_HI_RES, -240), rel(Axis::REL_HWHEEL, -2)],
    ];
    let expected = expected.map(|events| (Device::Mouse, events));
    assert_eq!(reported(&mut hand("us", HD), &inputs), expected);
}

#[test]
fn a_place_is_the_same_place_of_what_is_captured() {
    use AbsoluteAxisCode as Axis;
    let there = |x, y| Input::AbsoluteMotion(AbsoluteMotion { x, y, max_x: 1919, max_y: 1079 });
    // 4:3 in 16:9: 240 of 1920 pixels at each side are border.
    let mut hand = hand("us", Size { width: 1440, height: 1080 });
    let at = |x, y| (Device::Pointer, vec![abs(Axis::ABS_X, x), abs(Axis::ABS_Y, y)]);
    let seen = reported(&mut hand, &[there(0, 0), there(1919, 1079)]);
    assert_eq!(seen, [at(0, 0), at(EDGE, EDGE)]);
    let down = finger(1, Contact::Down(point(0.5, 0.25)));
    let (device, events) = reported(&mut hand, &[down]).remove(0);
    assert_eq!(device, Device::Touchscreen);
    assert!(events.contains(&abs(Axis::ABS_MT_POSITION_X, (EDGE + 1) / 2)), "{events:?}");
    assert!(events.contains(&abs(Axis::ABS_MT_POSITION_Y, (EDGE + 1) / 4)), "{events:?}");
}

/// Down and up of what is pressed, as key codes.
fn pressed(layout: &str, input: Input) -> Vec<(KeyCode, bool)> {
    let reports = reported(&mut hand(layout, HD), &[input]);
    reports
        .into_iter()
        .flat_map(|(device, events)| {
            assert_eq!(device, Device::Keyboard);
            events.into_iter().map(|(_, code, value)| (KeyCode(code), value == 1))
        })
        .collect()
}

#[test]
fn keys_are_places_unless_the_client_names_letters() {
    let y = |normalized| {
        Input::Key(Key { key: VirtualKey(0x59), pressed: true, normalized, modifiers: Modifiers::NONE })
    };
    assert_eq!(pressed("de", y(true)), [(KeyCode::KEY_Y, true)]);
    // The German keyboard has Y where the American one has Z.
    assert_eq!(pressed("de", y(false)), [(KeyCode::KEY_Z, true)]);
}

#[test]
fn text_is_typed_as_the_layout_has_it_or_by_its_number() {
    let stroke = |code| [(code, true), (code, false)];
    let held = |held, code| [(held, true), (code, true), (code, false), (held, false)];
    assert_eq!(pressed("us", Input::Text('a')), stroke(KeyCode::KEY_A));
    assert_eq!(pressed("us", Input::Text('\n')), stroke(KeyCode::KEY_ENTER));
    assert_eq!(pressed("us", Input::Text('A')), held(KeyCode::KEY_LEFTSHIFT, KeyCode::KEY_A));
    assert_eq!(pressed("de", Input::Text('@')), held(KeyCode::KEY_RIGHTALT, KeyCode::KEY_Q));
    assert_eq!(pressed("us", Input::Text('\u{1b}')), stroke(KeyCode::KEY_ESC));
    assert_eq!(pressed("us", Input::Text('\u{1}')), []);

    let (control, shift) = (KeyCode::KEY_LEFTCTRL, KeyCode::KEY_LEFTSHIFT);
    let begin = [(control, true), (shift, true), (KeyCode::KEY_U, true), (KeyCode::KEY_U, false)];
    let number = [KeyCode::KEY_E, KeyCode::KEY_9, KeyCode::KEY_SPACE].map(stroke).concat();
    let expected = [&begin[..], &[(shift, false), (control, false)], &number].concat();
    assert_eq!(pressed("us", Input::Text('é')), expected);
}

#[test]
fn fingers_have_slots() {
    use AbsoluteAxisCode as Axis;
    let mut hand = hand("us", HD);
    let inputs = [
        finger(70, Contact::Down(point(0.0, 0.0))),
        finger(71, Contact::Down(point(1.0, 1.0))),
        finger(70, Contact::Up(point(0.0, 0.0))),
        finger(71, Contact::Move(point(0.0, 1.0))),
        Input::Touch(Touch::CancelAll),
    ];
    let at = |x, y| [abs(Axis::ABS_MT_POSITION_X, x), abs(Axis::ABS_MT_POSITION_Y, y)];
    let slot = |slot, contact| [abs(Axis::ABS_MT_SLOT, slot), abs(Axis::ABS_MT_TRACKING_ID, contact)];
    let expected = [
        [
            &slot(0, 0)[..],
            &at(0, 0),
            &[button(KeyCode::BTN_TOUCH, 1), abs(Axis::ABS_X, 0), abs(Axis::ABS_Y, 0)],
        ]
        .concat(),
        [slot(1, 1), at(EDGE, EDGE)].concat(),
        slot(0, -1).to_vec(),
        [&[abs(Axis::ABS_MT_SLOT, 1)][..], &at(0, EDGE)].concat(),
        [&slot(1, -1)[..], &[button(KeyCode::BTN_TOUCH, 0)]].concat(),
    ];
    assert_eq!(reported(&mut hand, &inputs), expected.map(|events| (Device::Touchscreen, events)));
}

#[test]
fn a_pen_comes_writes_leans_and_goes() {
    use AbsoluteAxisCode as Axis;
    let mut hand = hand("us", HD);
    let pen = |tool, contact| Input::Pen(Pen { tool, buttons: PenButtons::PRIMARY, contact: Some(contact) });
    let leaning = TouchPoint {
        pressure: Some(0.25),
        rotation: Some(Degrees(90)),
        tilt: Some(Degrees(30)),
        ..point(1.0, 0.0)
    };
    let inputs = [
        pen(PenTool::Eraser, Contact::Hover(point(0.0, 0.0))),
        pen(PenTool::Pen, Contact::Down(leaning)),
        pen(PenTool::Pen, Contact::Leave),
    ];
    let place = |x, y| [abs(Axis::ABS_X, x), abs(Axis::ABS_Y, y)];
    let feels = |pressure, distance| [abs(Axis::ABS_PRESSURE, pressure), abs(Axis::ABS_DISTANCE, distance)];
    let buttons = [button(KeyCode::BTN_STYLUS, 1), button(KeyCode::BTN_STYLUS2, 0), button(BTN_STYLUS3, 0)];
    let goes = |tool| [abs(Axis::ABS_PRESSURE, 0), button(KeyCode::BTN_TOUCH, 0), button(tool, 0)];
    let (rubber, tip) = (KeyCode::BTN_TOOL_RUBBER, KeyCode::BTN_TOOL_PEN);
    let expected = [
        [&[button(rubber, 1)][..], &place(0, 0), &feels(0, 1), &[button(KeyCode::BTN_TOUCH, 0)], &buttons]
            .concat(),
        [
            &goes(rubber)[..],
            &[button(tip, 1)],
            &place(EDGE, 0),
            &feels(256, 0),
            // The tip points to the right, so the hand is at the left.
            &[abs(Axis::ABS_TILT_X, -30), abs(Axis::ABS_TILT_Y, 0), button(KeyCode::BTN_TOUCH, 1)],
            &buttons,
        ]
        .concat(),
        [&goes(tip)[..], &buttons].concat(),
    ];
    assert_eq!(reported(&mut hand, &inputs), expected.map(|events| (Device::Tablet, events)));
}

proptest! {
    /// What the kernel would hold down after any touches and their end.
    #[test]
    fn no_finger_stays(touches in proptest::collection::vec((0u32..20, 0u8..6), 0..200)) {
        let mut hand = hand("us", HD);
        let mut pressed = Pressed::default();
        for (id, what) in touches {
            let at = point(0.5, 0.5);
            let contact = match what {
                0 | 1 => Contact::Down(at),
                2 => Contact::Move(at),
                3 => Contact::Up(at),
                4 => Contact::Hover(at),
                _ => Contact::Cancel,
            };
            for input in pressed.handle(finger(id, contact)) {
                hand.inject(&input).unwrap();
            }
        }
        for input in pressed.release_all() {
            hand.inject(&input).unwrap();
        }
        let (mut slot, mut held, mut touched) = (0, [false; fingers::SLOTS], 0);
        for (kind, code, value) in hand.reports.0.into_iter().flat_map(|(_, events)| events) {
            match (EventType(kind), code) {
                (EventType::ABSOLUTE, code) if code == AbsoluteAxisCode::ABS_MT_SLOT.0 => slot = value as usize,
                (EventType::ABSOLUTE, code) if code == AbsoluteAxisCode::ABS_MT_TRACKING_ID.0 => {
                    prop_assert_ne!(held[slot], value >= 0);
                    held[slot] = value >= 0;
                }
                (EventType::KEY, _) => touched = value,
                _ => {}
            }
        }
        prop_assert_eq!((held, touched), ([false; fingers::SLOTS], 0));
    }
}
