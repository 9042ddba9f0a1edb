use super::*;
use crate::protocol::input::MouseButton;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const ALL: Allowed = Allowed { input: true, controllers: true };
const A: VirtualKey = VirtualKey(0x41);

/// Tells the test, and waits for its word before each event where there is a gate.
struct Told {
    name: &'static str,
    told: Sender<(&'static str, Input)>,
    gate: Option<Receiver<()>>,
}

impl Injector for Told {
    fn name(&self) -> &'static str {
        self.name
    }

    fn inject(&mut self, input: &Input) {
        self.gate.as_ref().map(|gate| gate.recv_timeout(LIMIT));
        self.told.send((self.name, *input)).unwrap();
    }
}

fn key(pressed: bool) -> Input {
    modifier(A, pressed)
}

fn button(pressed: bool) -> Input {
    Input::Button { button: MouseButton::Left, pressed }
}

fn moved(dx: i32) -> Input {
    Input::RelativeMotion { dx, dy: 0 }
}

struct Scene {
    hands: Hands,
    told: Receiver<(&'static str, Input)>,
    tell: Sender<(&'static str, Input)>,
}

impl Scene {
    fn new() -> Self {
        let (tell, told) = channel();
        Self { hands: Hands::start("1".into(), ALL).unwrap(), told, tell }
    }

    fn direct(&self, name: &'static str) {
        let told = self.tell.clone();
        self.hands.direct(move || Box::new(Told { name, told, gate: None }));
    }

    fn hears(&self) -> (&'static str, Input) {
        self.told.recv_timeout(LIMIT).expect("an event")
    }
}

#[test]
fn events_come_in_order_and_what_is_down_goes_up_at_the_end() {
    let scene = Scene::new();
    scene.direct("first");
    let take = scene.hands.taker();
    for input in [key(true), moved(3), button(true), button(false), key(true)] {
        take(input);
    }
    for input in [key(true), moved(3), button(true), button(false)] {
        assert_eq!(scene.hears(), ("first", input));
    }
    drop(scene.hands);
    assert_eq!(scene.told.recv_timeout(LIMIT), Ok(("first", key(false))));
    take(key(true));
    drop(scene.tell);
    assert_eq!(scene.told.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected), "it is over");
}

#[test]
fn what_is_down_goes_up_where_it_went_down() {
    let scene = Scene::new();
    scene.direct("first");
    let take = scene.hands.taker();
    take(key(true));
    assert_eq!(scene.hears(), ("first", key(true)));
    scene.direct("second");
    assert_eq!(scene.hears(), ("first", key(false)));
    take(key(false));
    take(button(true));
    assert_eq!(scene.hears(), ("second", button(true)));
}

#[test]
fn a_slow_injector_gets_less_motion_and_every_click() {
    let scene = Scene::new();
    let (open, gate) = channel();
    let told = scene.tell.clone();
    scene.hands.direct(move || Box::new(Told { name: "slow", told, gate: Some(gate) }));
    let take = scene.hands.taker();
    take(button(true));
    for _ in 0..10_000 {
        take(moved(1));
    }
    take(button(false));
    for _ in 0..4 {
        open.send(()).unwrap();
    }
    assert_eq!(scene.hears().1, button(true));
    assert_eq!(scene.hears().1, moved(10_000));
    assert_eq!(scene.hears().1, button(false));
}

#[test]
fn what_is_not_allowed_is_not_done_and_lifted_when_it_is_allowed_no_longer() {
    let scene = Scene::new();
    scene.direct("first");
    let take = scene.hands.taker();
    take(key(true));
    assert_eq!(scene.hears().1, key(true));
    scene.hands.allow(Allowed { input: false, ..ALL });
    assert_eq!(scene.hears().1, key(false));
    take(button(true));
    take(Input::Haptics { enabled: true });
    assert_eq!(scene.hears().1, Input::Haptics { enabled: true }, "the click before it was not allowed");
    scene.hands.allow(ALL);
    take(button(true));
    assert_eq!(scene.hears().1, button(true));
}

#[test]
fn clicks_beyond_all_bounds_leave_nothing_down() {
    let scene = Scene::new();
    let (open, gate) = channel();
    let told = scene.tell.clone();
    scene.hands.direct(move || Box::new(Told { name: "slow", told, gate: Some(gate) }));
    let take = scene.hands.taker();
    for count in 0..5001 {
        take(button(count % 2 == 0));
    }
    for _ in 0..5001 {
        open.send(()).unwrap();
    }
    let mut down = 0_i32;
    let mut heard = 0;
    // Once it has caught up, the last word is a release.
    while let Ok((_, Input::Button { pressed, .. })) = scene.told.recv_timeout(Duration::from_millis(500)) {
        down += if pressed { 1 } else { -1 };
        heard += 1;
        assert!((0..=1).contains(&down));
    }
    assert!(down == 0 && heard < 5001, "{heard} of 5001, {down} down");
}

/// As touch keyboards say it.
#[test]
fn a_modifier_that_only_the_key_tells_of_is_held_for_it() {
    const SHIFT: VirtualKey = VirtualKey(0xa0);
    let scene = Scene::new();
    scene.direct("first");
    let take = scene.hands.taker();
    let shifted = Key { key: A, pressed: true, normalized: true, modifiers: Modifiers::SHIFT };
    take(Input::Key(shifted));
    for input in [modifier(SHIFT, true), Input::Key(shifted), modifier(SHIFT, false)] {
        assert_eq!(scene.hears().1, input);
    }
    take(Input::Key(Key { pressed: false, ..shifted }));
    assert_eq!(scene.hears().1, Input::Key(Key { pressed: false, ..shifted }));
    take(modifier(SHIFT, true));
    take(Input::Key(shifted));
    assert_eq!([scene.hears().1, scene.hears().1], [modifier(SHIFT, true), Input::Key(shifted)]);
}
