//! What a player does arrives at the client.

use super::client::Client;
use super::harness::{Lines, Program, Show};
use gst_video::{NavigationEvent, NavigationModifierType};

const NONE: NavigationModifierType = NavigationModifierType::empty();

/// `wev`, which prints the events that it gets.
struct Wev {
    _program: Program,
    lines: Lines,
}

impl Wev {
    fn start(show: &Show) -> Self {
        let mut program = show.run("stdbuf", &["-oL", "wev"]);
        let mut lines = Lines::of(&mut program);
        lines.says(&["wl_keyboard", "enter"]);
        Self { _program: program, lines }
    }

    fn says(&mut self, words: &[&str]) -> String {
        self.lines.says(words)
    }
}

fn start() -> (Show, Wev) {
    let show = Show::start("", "video/x-raw,width=640,height=360");
    let wev = Wev::start(&show);
    (show, wev)
}

fn send(show: &Show, event: NavigationEvent) {
    assert!(show.send(gst::event::Navigation::new(event.structure())));
}

fn key(show: &Show, key: &str) {
    let name = || key.to_owned();
    send(show, NavigationEvent::KeyPress { key: name(), modifier_state: NONE });
    send(show, NavigationEvent::KeyRelease { key: name(), modifier_state: NONE });
}

#[test]
fn the_pointer_is_where_navigation_says() {
    let (show, mut wev) = start();
    send(&show, NavigationEvent::MouseMove { x: 12.5, y: 34.25, modifier_state: NONE });
    wev.says(&["wl_pointer", "enter", "12.5", "34.25"]);
    send(&show, NavigationEvent::MouseMove { x: 639.0, y: 359.0, modifier_state: NONE });
    wev.says(&["wl_pointer", "motion", "639.0", "359.0"]);
    send(&show, NavigationEvent::MouseButtonPress { button: 1, x: 5.0, y: 6.0, modifier_state: NONE });
    wev.says(&["wl_pointer", "button", "272", "(left)", "1 (pressed)"]);
    send(&show, NavigationEvent::MouseButtonRelease { button: 1, x: 5.0, y: 6.0, modifier_state: NONE });
    wev.says(&["wl_pointer", "button", "272", "0 (released)"]);
    let scroll =
        NavigationEvent::MouseScroll { x: 5.0, y: 6.0, delta_x: 0.0, delta_y: -240.0, modifier_state: NONE };
    send(&show, scroll);
    wev.says(&["wl_pointer", "axis", "vertical", "30.0"]);
}

#[test]
fn keys_arrive_by_name() {
    let (show, mut wev) = start();
    for (name, code) in
        [("a", "38"), ("Return", "36"), ("F5", "71"), ("Left", "113"), ("5", "14"), ("space", "65")]
    {
        key(&show, name);
        wev.says(&["wl_keyboard", "key", &format!("key: {code};"), "1 (pressed)"]);
        wev.says(&["wl_keyboard", "key", &format!("key: {code};"), "0 (released)"]);
    }
}

#[test]
fn modifiers_count() {
    let (show, mut wev) = start();
    send(&show, NavigationEvent::KeyPress { key: "Shift_L".into(), modifier_state: NONE });
    key(&show, "A");
    wev.says(&["wl_keyboard", "key: 38;", "1 (pressed)"]);
    let line = wev.says(&["sym: "]);
    assert!(line.contains("sym: A "), "{line}");
}

#[test]
fn the_event_of_our_own_says_codes_and_fine_steps() {
    let (show, mut wev) = start();
    show.send_input("event=key, code=(uint)30, pressed=true");
    wev.says(&["wl_keyboard", "key: 38;", "1 (pressed)"]);
    show.send_input("event=motion, x=100.0, y=50.0");
    wev.says(&["wl_pointer", "enter"]);
    show.send_input("event=relative-motion, dx=-10.0, dy=20.0");
    wev.says(&["wl_pointer", "motion", "90.0", "70.0"]);
    show.send_input("event=button, code=(uint)275, pressed=true");
    wev.says(&["wl_pointer", "button", "275", "1 (pressed)"]);
    show.send_input("event=scroll, x=60");
    wev.says(&["wl_pointer", "axis", "horizontal", "7.5"]);
    show.send_input("event=release-all");
    wev.says(&["wl_keyboard", "key: 38;", "0 (released)"]);
    wev.says(&["wl_pointer", "button", "275", "0 (released)"]);
}

#[test]
fn a_key_may_be_named_by_what_it_types() {
    let (show, mut wev) = start();
    for (symbols, code) in [("q", "24"), ("¥\\\\", "51"), ("я", "38")] {
        for (pressed, state) in [(true, "1 (pressed)"), (false, "0 (released)")] {
            let key = format!("symbols=(string)\"{symbols}\", otherwise=(uint)30, pressed={pressed}");
            show.send_input(&format!("event=symbol, {key}"));
            wev.says(&["wl_keyboard", &format!("key: {code};"), state]);
        }
    }
}

#[test]
fn text_is_typed_whatever_the_layout_is() {
    let (show, mut wev) = start();
    show.send_input("event=text, text=(string)\"aA@é字\"");
    for symbol in ["a", "A", "at", "eacute", "U5B57"] {
        wev.says(&[&format!("sym: {symbol} ")]);
    }
    show.send_input("event=key, code=(uint)16, pressed=true");
    wev.says(&["wl_keyboard", "key: 24;", "1 (pressed)"]);
    wev.says(&["sym: q "]);
    show.send_input("event=text, text=(string)\"X\"");
    wev.says(&["sym: X "]);
    show.send_input("event=key, code=(uint)16, pressed=false");
    wev.says(&["wl_keyboard", "key: 24;", "0 (released)"]);
}

#[test]
fn fingers_touch() {
    let (show, mut wev) = start();
    let at = |x, y| NavigationEvent::TouchDown { identifier: 3, x, y, pressure: 1.0, modifier_state: NONE };
    send(&show, at(20.0, 30.0));
    send(&show, NavigationEvent::TouchFrame { modifier_state: NONE });
    wev.says(&["wl_touch", "down", "id: 3", "20.0"]);
    let to =
        NavigationEvent::TouchMotion { identifier: 3, x: 25.0, y: 30.0, pressure: 1.0, modifier_state: NONE };
    send(&show, to);
    wev.says(&["wl_touch", "motion", "id: 3", "25.0"]);
    send(&show, NavigationEvent::TouchUp { identifier: 3, x: 25.0, y: 30.0, modifier_state: NONE });
    wev.says(&["wl_touch", "up", "id: 3"]);
}

#[test]
fn the_pointer_is_drawn_where_it_is_unless_hidden() {
    const RED: u32 = 0xff0000;
    let show = Show::start("only-damaged=true", "video/x-raw,width=100,height=60");
    let mut client = Client::connect(show.connect());
    client.full_window(RED);
    show.picture_with("no pointer before anybody points", |shot| shot.is_all(RED));
    show.send_input("event=motion, x=40.0, y=20.0");
    let shot = show.picture_with("an arrow", |shot| shot.count(0xffffff) > 0);
    let (left, top, ..) = shot.area(0xffffff).unwrap();
    assert_eq!((left, top), (40, 20), "its tip");
    gst::prelude::ObjectExt::set_property(&show.source(), "show-cursor", false);
    show.picture_with("no arrow", |shot| shot.is_all(RED));
}
