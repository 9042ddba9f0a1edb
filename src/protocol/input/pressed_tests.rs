use super::*;
use crate::protocol::input::VirtualKey;
use crate::protocol::input::samples::{absolute, at, click, finger, input, key, pad, state};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn handle(pressed: &mut Pressed, input: Input) -> Vec<Input> {
    pressed.handle(input).collect()
}

fn pad_finger(number: u16, id: u32, contact: Contact) -> Input {
    let touch = Touch::Pointer { id, contact };
    Input::ControllerTouch(ControllerTouch { pad: pad(number), touchpad: 0, touch })
}

fn pen(buttons: PenButtons, contact: Option<Contact>) -> Input {
    Input::Pen(Pen { tool: PenTool::Pen, buttons, contact })
}

#[test]
fn a_repeated_key_is_pressed_once() {
    let mut pressed = Pressed::default();
    assert_eq!(handle(&mut pressed, key(b'A', true)), [key(b'A', true)]);
    assert_eq!(handle(&mut pressed, key(b'A', true)), [], "auto-repeat");
    assert_eq!(handle(&mut pressed, key(b'A', false)), [key(b'A', false)]);
    assert_eq!(handle(&mut pressed, key(b'A', false)), [], "is up already");
    assert_eq!(pressed.release_all(), []);
}

#[test]
fn the_key_goes_up_that_went_down() {
    let mut pressed = Pressed::default();
    let by_layout = |pressed| {
        let modifiers = Modifiers::SHIFT;
        Key { key: VirtualKey(b'Y'), pressed, normalized: false, modifiers }
    };
    handle(&mut pressed, Input::Key(by_layout(true)));
    assert_eq!(handle(&mut pressed, key(b'Y', false)).len(), 1);
    handle(&mut pressed, Input::Key(by_layout(true)));
    let lifted = Key { modifiers: Modifiers::NONE, ..by_layout(false) };
    assert_eq!(handle(&mut pressed, key(b'Y', false)), [Input::Key(lifted)]);
    handle(&mut pressed, Input::Key(by_layout(true)));
    assert_eq!(pressed.release_all(), [Input::Key(lifted)]);
}

#[test]
fn keys_are_lifted_before_their_modifiers() {
    let mut pressed = Pressed::default();
    for code in [0xa2, 0xa0, b'S'] {
        handle(&mut pressed, key(code, true));
    }
    assert_eq!(pressed.release_all(), [key(b'S', false), key(0xa0, false), key(0xa2, false)]);
    assert_eq!(pressed.release_all(), []);
}

#[test]
fn modifiers_that_no_key_holds_are_missing() {
    let mut pressed = Pressed::default();
    let with = |code, modifiers| Key { key: VirtualKey(code), pressed: true, normalized: true, modifiers };
    let both = Modifiers::SHIFT.union(Modifiers::CONTROL);
    assert_eq!(pressed.missing_modifiers(&with(b'A', both)), both);
    handle(&mut pressed, key(0xa1, true));
    assert_eq!(pressed.modifiers(), Modifiers::SHIFT);
    assert_eq!(pressed.missing_modifiers(&with(b'A', both)), Modifiers::CONTROL);
    assert_eq!(pressed.missing_modifiers(&with(0xa2, both)), Modifiers::NONE, "it is the modifier");
    let up = Key { pressed: false, ..with(b'A', both) };
    assert_eq!(pressed.missing_modifiers(&up), Modifiers::NONE);
}

#[test]
fn buttons_are_pressed_and_lifted_once() {
    let mut pressed = Pressed::default();
    assert_eq!(handle(&mut pressed, click(false)), []);
    assert_eq!(handle(&mut pressed, click(true)), [click(true)]);
    assert_eq!(handle(&mut pressed, click(true)), []);
    assert_eq!(pressed.release_all(), [click(false)]);
}

#[test]
fn the_oldest_finger_makes_room() {
    let mut pressed = Pressed::default();
    for id in 0..16 {
        let down = finger(id, Contact::Down(at(0.0)));
        assert_eq!(handle(&mut pressed, down), [down]);
    }
    let down = finger(16, Contact::Down(at(0.0)));
    assert_eq!(handle(&mut pressed, down), [finger(0, Contact::Cancel), down]);
    assert_eq!(handle(&mut pressed, finger(0, Contact::Move(at(0.1)))), [], "is gone");
    assert_eq!(handle(&mut pressed, finger(0, Contact::Up(at(0.1)))), []);
    assert_eq!(pressed.release_all(), (1..=16).map(|id| finger(id, Contact::Cancel)).collect::<Vec<_>>());
}

#[test]
fn a_finger_hovers_touches_and_leaves() {
    let mut pressed = Pressed::default();
    let hover = finger(1, Contact::Hover(at(0.0)));
    let down = finger(1, Contact::Down(at(0.0)));
    let (leave, cancel) = (finger(1, Contact::Leave), finger(1, Contact::Cancel));
    assert_eq!(handle(&mut pressed, hover), [hover]);
    assert_eq!(handle(&mut pressed, finger(1, Contact::Move(at(0.1)))), [], "does not touch");
    assert_eq!(handle(&mut pressed, down), [down]);
    assert_eq!(handle(&mut pressed, leave), [], "touches");
    assert_eq!(handle(&mut pressed, down), [cancel, down], "was lifted unseen");
    assert_eq!(handle(&mut pressed, hover), [cancel, hover]);
    assert_eq!(pressed.release_all(), [leave]);
    assert_eq!(handle(&mut pressed, Input::Touch(Touch::CancelAll)), []);
}

#[test]
fn a_pen_is_lifted_after_its_buttons() {
    let mut pressed = Pressed::default();
    let down = pen(PenButtons::PRIMARY, Some(Contact::Down(at(0.5))));
    assert_eq!(handle(&mut pressed, down), [down]);
    let both = [pen(PenButtons::NONE, None), pen(PenButtons::NONE, Some(Contact::Cancel))];
    assert_eq!(pressed.release_all(), both);
    let hover = pen(PenButtons::NONE, Some(Contact::Hover(at(0.5))));
    assert_eq!(handle(&mut pressed, hover), [hover]);
    assert_eq!(pressed.release_all(), [pen(PenButtons::NONE, Some(Contact::Leave))]);
}

#[test]
fn controllers_are_unplugged_one_after_the_other() {
    let mut pressed = Pressed::default();
    let down = pad_finger(2, 9, Contact::Down(at(0.5)));
    assert_eq!(handle(&mut pressed, down), [], "no such controller");
    for number in [2, 5] {
        let pressed_a = state(number, PadButtons::A, 100);
        assert_eq!(handle(&mut pressed, pressed_a), [pressed_a]);
    }
    assert_eq!(handle(&mut pressed, down), [down]);
    let unplugged = |number, plugged| Input::Controller(ControllerState::neutral(pad(number), plugged));
    let releases = [pad_finger(2, 9, Contact::Cancel), unplugged(2, 1 << 5), unplugged(5, 0)];
    assert_eq!(pressed.release_all(), releases);
    assert_eq!(pressed.release_all(), []);
    assert_eq!(handle(&mut pressed, unplugged(5, 0)), [], "is unplugged already");
}

#[test]
fn what_holds_nothing_passes() {
    let mut pressed = Pressed::default();
    for input in
        [absolute(5), Input::Wheel { amount: 120 }, Input::Text('ß'), Input::Haptics { enabled: true }]
    {
        assert_eq!(handle(&mut pressed, input), [input]);
    }
    assert_eq!(pressed.release_all(), []);
}

/// A desktop that takes only what can happen to real devices.
#[derive(Default)]
struct Desktop {
    keys: BTreeSet<u8>,
    buttons: Vec<MouseButton>,
    /// By controller and touchpad, or none for the screen; `true`: down.
    pointers: BTreeMap<(Option<(PadNumber, u8)>, u32), bool>,
    pen: Option<bool>,
    pen_buttons: bool,
    pads: BTreeSet<PadNumber>,
}

impl Desktop {
    fn take(&mut self, input: Input) {
        match input {
            Input::Key(key) if key.pressed => assert!(self.keys.insert(key.key.0)),
            Input::Key(key) => assert!(self.keys.remove(&key.key.0)),
            Input::Button { button, pressed } => {
                assert_ne!(self.buttons.contains(&button), pressed);
                self.buttons.retain(|held| *held != button);
                self.buttons.extend(pressed.then_some(button));
            }
            Input::Touch(touch) => self.touch(None, touch),
            Input::Pen(pen) => {
                if let Some(contact) = pen.contact {
                    self.pen = after(self.pen, contact);
                }
                self.pen_buttons = pen.buttons != PenButtons::NONE;
            }
            Input::ControllerArrival(arrival) => self.plug(arrival.pad, true),
            Input::Controller(state) if state.is_plugged() => {
                self.pads.insert(state.pad);
            }
            Input::Controller(state) => {
                assert!(self.pads.contains(&state.pad));
                self.plug(state.pad, false);
            }
            Input::ControllerTouch(ControllerTouch { pad, touchpad, touch }) => {
                assert!(self.pads.contains(&pad));
                self.touch(Some((pad, touchpad)), touch);
            }
            _ => {}
        }
    }

    /// A controller comes and goes without fingers on it.
    fn plug(&mut self, pad: PadNumber, plugged: bool) {
        self.pointers.retain(|(surface, _), _| surface.is_none_or(|(of, _)| of != pad));
        self.pads.remove(&pad);
        self.pads.extend(plugged.then_some(pad));
    }

    fn touch(&mut self, surface: Option<(PadNumber, u8)>, touch: Touch) {
        match touch {
            Touch::CancelAll => self.pointers.retain(|(of, _), _| *of != surface),
            Touch::Pointer { id, contact } => {
                let before = self.pointers.remove(&(surface, id));
                if let Some(down) = after(before, contact) {
                    self.pointers.insert((surface, id), down);
                }
            }
        }
        let here = self.pointers.keys().filter(|(of, _)| *of == surface).count();
        assert!(here <= MAX_POINTERS, "{here} at once");
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty()
            && self.buttons.is_empty()
            && self.pointers.is_empty()
            && self.pen.is_none()
            && !self.pen_buttons
            && self.pads.is_empty()
    }
}

/// Whether a pointer is down (`Some(true)`), hovers, or is not there after `contact`.
fn after(before: Option<bool>, contact: Contact) -> Option<bool> {
    match (contact, before) {
        (Contact::Hover(_), None | Some(false)) => Some(false),
        (Contact::Down(_), None | Some(false)) => Some(true),
        (Contact::Move(_), Some(true)) => Some(true),
        (Contact::Up(_), Some(true)) => None,
        (Contact::Leave, Some(false)) => None,
        (Contact::Cancel, Some(_)) => None,
        impossible => panic!("{impossible:?}"),
    }
}

proptest! {
    #[test]
    fn a_desktop_is_told_what_can_happen_and_is_left_empty(
        inputs in proptest::collection::vec(input(40), 0..300),
    ) {
        let (mut pressed, mut desktop) = (Pressed::default(), Desktop::default());
        for input in inputs {
            pressed.handle(input).for_each(|input| desktop.take(input));
        }
        pressed.release_all().into_iter().for_each(|input| desktop.take(input));
        prop_assert!(desktop.is_empty());
        prop_assert_eq!(pressed.release_all(), []);
    }
}
