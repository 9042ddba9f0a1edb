use super::*;
use crate::protocol::input::samples::{absolute, at, click, finger, input, key, pad, state};
use proptest::prelude::*;

fn relative(dx: i32, dy: i32) -> Input {
    Input::RelativeMotion { dx, dy }
}

fn pen(buttons: PenButtons, x: f32) -> Input {
    Input::Pen(Pen { tool: PenTool::Pen, buttons, contact: Some(Contact::Move(at(x))) })
}

fn gyroscope(x: f32) -> Input {
    let (pad, sensor) = (pad(0), Sensor::Gyroscope);
    Input::ControllerMotion(ControllerMotion { pad, sensor, x, y: 0.0, z: 0.0 })
}

/// What comes out when nothing is taken meanwhile.
fn coalesced(inputs: &[Input]) -> Vec<Input> {
    let mut queue = Coalescing::default();
    inputs.iter().for_each(|input| queue.push(*input).expect("room"));
    drain(&mut queue)
}

fn drain(queue: &mut Coalescing) -> Vec<Input> {
    std::iter::from_fn(|| queue.pop()).collect()
}

#[test]
fn ways_of_the_mouse_add_up() {
    let ways = [relative(1, -1), relative(2, -2), click(true), relative(4, 0)];
    assert_eq!(coalesced(&ways), [relative(3, -3), click(true), relative(4, 0)]);
    let far = [relative(i32::MAX, i32::MIN), relative(1, -1)];
    assert_eq!(coalesced(&far), [relative(i32::MAX, i32::MIN)]);
}

#[test]
fn of_places_the_last_one_counts() {
    let places = [absolute(1), absolute(2), click(true), absolute(3), click(false), absolute(4), absolute(5)];
    let left = [absolute(2), click(true), absolute(3), click(false), absolute(5)];
    assert_eq!(coalesced(&places), left);
}

#[test]
fn ways_and_places_take_turns() {
    let inputs = [relative(1, 0), absolute(1), relative(1, 0), relative(1, 0), absolute(2), absolute(3)];
    assert_eq!(coalesced(&inputs), [relative(1, 0), absolute(1), relative(2, 0), absolute(3)]);
}

#[test]
fn a_key_and_a_wheel_keep_motion_apart() {
    for between in [key(b'W', true), Input::Wheel { amount: 120 }, Input::Text('x')] {
        let inputs = [relative(1, 0), between, relative(1, 0)];
        assert_eq!(coalesced(&inputs), inputs);
    }
}

#[test]
fn each_finger_moves_once() {
    let moved = |id, x| finger(id, Contact::Move(at(x)));
    let inputs = [moved(1, 0.1), moved(2, 0.2), moved(1, 0.3), moved(2, 0.4)];
    assert_eq!(coalesced(&inputs), [moved(1, 0.3), moved(2, 0.4)]);
    let inputs = [moved(1, 0.1), finger(2, Contact::Down(at(0.0))), moved(1, 0.2)];
    assert_eq!(coalesced(&inputs), inputs, "what another finger does counts too");
    let inputs = [finger(1, Contact::Hover(at(0.1))), moved(1, 0.2)];
    assert_eq!(coalesced(&inputs), inputs, "hovering is not touching");
}

#[test]
fn a_pen_moves_once_while_its_buttons_stay() {
    let down = Input::Pen(Pen {
        tool: PenTool::Pen,
        buttons: PenButtons::NONE,
        contact: Some(Contact::Down(at(0.0))),
    });
    let none = |x| pen(PenButtons::NONE, x);
    let primary = |x| pen(PenButtons::PRIMARY, x);
    let inputs = [down, none(0.1), none(0.2), primary(0.3), primary(0.4), primary(0.5), none(0.6)];
    assert_eq!(coalesced(&inputs), [down, none(0.2), primary(0.3), primary(0.5), none(0.6)]);
}

#[test]
fn sticks_move_once_while_the_buttons_stay() {
    let (none, a) = (PadButtons::default(), PadButtons::A);
    let inputs = [
        state(0, none, 1),
        state(0, none, 2),
        state(1, none, 9),
        state(0, none, 3),
        state(0, a, 4),
        state(0, a, 5),
        state(0, a, 6),
        state(0, none, 7),
    ];
    let left = [
        state(0, none, 1),
        state(0, none, 2),
        state(1, none, 9),
        state(0, none, 3),
        state(0, a, 4),
        state(0, a, 6),
        state(0, none, 7),
    ];
    assert_eq!(coalesced(&inputs), left, "the first state of a controller plugs it in");
}

#[test]
fn a_press_is_known_as_one_after_the_queue_was_emptied() {
    let mut queue = Coalescing::default();
    queue.push(state(0, PadButtons::A, 0)).expect("room");
    drain(&mut queue);
    for x in 1..5 {
        queue.push(state(0, PadButtons::A, x)).expect("room");
    }
    queue.push(state(0, PadButtons::B, 5)).expect("room");
    queue.push(state(0, PadButtons::B, 6)).expect("room");
    let left = [state(0, PadButtons::A, 4), state(0, PadButtons::B, 5), state(0, PadButtons::B, 6)];
    assert_eq!(drain(&mut queue), left);
}

#[test]
fn of_a_sensor_the_last_sample_counts() {
    let inputs = [gyroscope(1.0), relative(1, 0), gyroscope(0.0), relative(1, 0)];
    assert_eq!(coalesced(&inputs), [gyroscope(0.0), relative(2, 0)]);
}

/// Motion goes first that a later one of its device makes good, then the oldest.
#[test]
fn a_full_queue_drops_motion_alone() {
    let mut queue = Coalescing::default();
    queue.push(relative(7, 0)).expect("room");
    queue.push(click(true)).expect("room");
    queue.push(finger(1, Contact::Move(at(0.1)))).expect("room");
    queue.push(click(false)).expect("room");
    queue.push(finger(1, Contact::Move(at(0.2)))).expect("room");
    for _ in 5..MAX_WAITING {
        queue.push(key(b'A', true)).expect("room");
    }
    assert_eq!((queue.len(), queue.dropped()), (MAX_WAITING, 0));
    queue.push(key(b'B', true)).expect("the finger's first place goes");
    queue.push(key(b'C', true)).expect("the way of the mouse goes");
    queue.push(key(b'D', true)).expect("the finger's last place goes");
    assert_eq!(queue.push(key(b'E', true)), Err(Full(key(b'E', true))));
    queue.push(relative(1, 1)).expect("motion is dropped without a word");
    assert_eq!((queue.len(), queue.dropped()), (MAX_WAITING, 4));
    let left = drain(&mut queue);
    assert_eq!(left[..2], [click(true), click(false)]);
    assert_eq!(left[MAX_WAITING - 3..], [key(b'B', true), key(b'C', true), key(b'D', true)]);
    assert!(left[2..MAX_WAITING - 3].iter().all(|input| *input == key(b'A', true)));
}

#[test]
fn what_goes_first_is_made_good_by_a_later_one() {
    let mut queue = Coalescing::default();
    queue.push(relative(7, 0)).expect("room");
    queue.push(click(true)).expect("room");
    queue.push(finger(1, Contact::Move(at(0.1)))).expect("room");
    for _ in 3..MAX_WAITING {
        queue.push(key(b'A', true)).expect("room");
    }
    queue.push(finger(1, Contact::Move(at(0.2)))).expect("its own earlier place goes");
    let left = drain(&mut queue);
    assert_eq!(left[..3], [relative(7, 0), click(true), key(b'A', true)]);
    assert_eq!(left[MAX_WAITING - 1], finger(1, Contact::Move(at(0.2))));
}

/// Events that may be merged, told from the list alone: what each says, and whether it is motion.
fn motions(inputs: &[Input]) -> Vec<bool> {
    let same_buttons = |at: usize| {
        let before = inputs[..at].iter().rev();
        match inputs[at] {
            Input::Controller(now) => {
                let mut of_pad = before.filter_map(|input| match input {
                    Input::Controller(state) if state.pad == now.pad => Some(Some(*state)),
                    Input::ControllerArrival(arrival) if arrival.pad == now.pad => Some(None),
                    _ => None,
                });
                let last = of_pad.next().flatten();
                last.is_some_and(|last| (last.buttons, last.plugged) == (now.buttons, now.plugged))
            }
            Input::Pen(now) => {
                let mut pens = before.filter_map(|input| match input {
                    Input::Pen(pen) => Some(*pen),
                    _ => None,
                });
                pens.next().is_some_and(|last| (last.tool, last.buttons) == (now.tool, now.buttons))
            }
            _ => true,
        }
    };
    let moves = |at: usize| match inputs[at] {
        Input::RelativeMotion { .. } | Input::AbsoluteMotion(_) | Input::ControllerMotion(_) => true,
        Input::Touch(Touch::Pointer { contact, .. })
        | Input::ControllerTouch(ControllerTouch { touch: Touch::Pointer { contact, .. }, .. })
        | Input::Pen(Pen { contact: Some(contact), .. }) => {
            matches!(contact, Contact::Move(_) | Contact::Hover(_))
        }
        Input::Controller(_) => true,
        _ => false,
    };
    (0..inputs.len()).map(|at| moves(at) && same_buttons(at)).collect()
}

/// What one stretch of motion between two other events says in the end.
#[derive(Clone, Debug, Default, PartialEq)]
struct Stretch {
    way: (i64, i64),
    place: Option<Input>,
    fingers: std::collections::BTreeMap<String, Input>,
}

/// The stretches of motion, and the events between them.
fn stretches(inputs: &[Input], motions: &[bool]) -> (Vec<Stretch>, Vec<Input>) {
    let (mut stretches, mut others) = (vec![Stretch::default()], Vec::new());
    for (input, motion) in inputs.iter().zip(motions) {
        if !motion {
            others.push(*input);
            stretches.push(Stretch::default());
            continue;
        }
        let stretch = stretches.last_mut().expect("there is one at the start");
        match *input {
            Input::RelativeMotion { dx, dy } => {
                stretch.way.0 += i64::from(dx);
                stretch.way.1 += i64::from(dy);
            }
            Input::AbsoluteMotion(_) => stretch.place = Some(*input),
            Input::Touch(Touch::Pointer { id, .. }) => {
                _ = stretch.fingers.insert(format!("finger {id}"), *input)
            }
            Input::ControllerTouch(ControllerTouch { pad, touchpad, touch: Touch::Pointer { id, .. } }) => {
                _ = stretch.fingers.insert(format!("{pad:?} {touchpad} {id}"), *input)
            }
            Input::Pen(_) => _ = stretch.fingers.insert("pen".into(), *input),
            Input::Controller(state) => _ = stretch.fingers.insert(format!("{:?}", state.pad), *input),
            Input::ControllerMotion(motion) => {
                _ = stretch.fingers.insert(format!("{:?} {:?}", motion.pad, motion.sensor), *input)
            }
            other => panic!("{other:?} is no motion"),
        }
    }
    (stretches, others)
}

proptest! {
    /// Nothing but motion is touched, and each stretch of motion says in the end what it said.
    #[test]
    fn less_says_the_same(inputs in proptest::collection::vec(input(3), 0..200)) {
        let left = coalesced(&inputs);
        let (before, others_before) = stretches(&inputs, &motions(&inputs));
        let (after, others_after) = stretches(&left, &motions(&left));
        prop_assert_eq!(others_before, others_after);
        prop_assert_eq!(before, after);
    }

    /// A consumer that takes events at any time gets the same in the end.
    #[test]
    fn taking_turns_loses_nothing(
        inputs in proptest::collection::vec((input(3), 0..3usize), 0..200),
    ) {
        let mut queue = Coalescing::default();
        let (mut all, mut taken) = (Vec::new(), Vec::new());
        for (input, pops) in inputs {
            queue.push(input).expect("room");
            all.push(input);
            taken.extend((0..pops).map_while(|_| queue.pop()));
        }
        taken.extend(drain(&mut queue));
        prop_assert!(queue.is_empty() && queue.dropped() == 0);
        let (before, after) = (stretches(&all, &motions(&all)), stretches(&taken, &motions(&taken)));
        prop_assert_eq!(before, after);
    }

    #[test]
    fn motion_in_a_row_is_one_event(ways in proptest::collection::vec((any::<i16>(), any::<i16>()), 1..300)) {
        let inputs: Vec<Input> = ways.iter().map(|(dx, dy)| relative((*dx).into(), (*dy).into())).collect();
        let sum = ways.iter().fold((0, 0), |sum, way| (sum.0 + i32::from(way.0), sum.1 + i32::from(way.1)));
        prop_assert_eq!(coalesced(&inputs), [relative(sum.0, sum.1)]);
    }

    /// However much comes, only motion is lost, and the queue does not grow.
    #[test]
    fn a_flood_loses_motion_alone(inputs in proptest::collection::vec(input(2000), 1000..1500)) {
        let mut queue = Coalescing::default();
        let motions = motions(&inputs);
        let mut kept = Vec::new();
        for (input, motion) in inputs.iter().zip(&motions) {
            match queue.push(*input) {
                Ok(()) => kept.extend((!motion).then_some(*input)),
                Err(Full(refused)) => {
                    prop_assert!(!motion && refused == *input && queue.len() == MAX_WAITING);
                    break;
                }
            }
            prop_assert!(queue.len() <= MAX_WAITING);
        }
        let left = drain(&mut queue);
        let mut rest = left.iter();
        prop_assert!(kept.iter().all(|input| rest.any(|other| other == input)), "in order, none lost");
    }
}
