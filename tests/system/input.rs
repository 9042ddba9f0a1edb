//! What players do, from the client library to what feels it.

use crate::harness::client::{Client, Running};
use crate::harness::desktop::Desktop;
use crate::harness::display::{SMALL, app, corner, is_near, sockets};
use crate::harness::host::{Host, Setup};
use crate::harness::{seed, soak_seconds, turn, until, within};
use moonpipe::protocol::input::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);
const PRESS: u8 = 7;
const RELEASE: u8 = 8;
const DOWN: u8 = 3;
const UP: u8 = 4;

/// Of wev's window.
const WEV: [f64; 3] = [170.0, 170.0, 170.0];

const PLAIN: [&str; 7] = ["--until-told", "--width", "640", "--height", "360", "--fps", "30"];

/// A host that writes down what is felt, where it does, and a client of it. The folder goes
/// first in the list, and so last of all.
fn recording() -> (TempDir, PathBuf, Host, Client) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("felt");
    let config = format!("[input]\nrecord = \"{}\"\n", file.display());
    let host = Host::with(&Setup { config: &config, ..Setup::default() });
    let client = Client::paired(&host);
    (folder, file, host, client)
}

fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// What is written down of it.
fn written(input: Input) -> String {
    format!("{input:?}")
}

fn key(code: u8, pressed: bool, normalized: bool) -> Input {
    Input::Key(Key { key: VirtualKey(code), pressed, normalized, modifiers: Modifiers::NONE })
}

fn point(x: f32, y: f32) -> TouchPoint {
    TouchPoint { x, y, pressure: None, distance: None, area: None, rotation: None, tilt: None }
}

fn touch(id: u32, contact: Contact) -> Input {
    Input::Touch(Touch::Pointer { id, contact })
}

fn mouse() -> Vec<(Value, Vec<Input>)> {
    let button = |pressed| move |button| Input::Button { button, pressed };
    let all = [MouseButton::Left, MouseButton::Middle, MouseButton::Right, MouseButton::X1, MouseButton::X2];
    let mut script = vec![
        (json!(["MouseMoveEvent", 5, -3]), vec![Input::RelativeMotion { dx: 5, dy: -3 }]),
        (
            json!(["MousePositionEvent", 100, 50, 640, 360]),
            vec![Input::AbsoluteMotion(AbsoluteMotion { x: 100, y: 50, max_x: 639, max_y: 359 })],
        ),
        (json!(["HighResScrollEvent", 60]), vec![Input::Wheel { amount: 60 }]),
        (json!(["ScrollEvent", -1]), vec![Input::Wheel { amount: -120 }]),
        (json!(["HighResHScrollEvent", 30]), vec![Input::HorizontalWheel { amount: 30 }]),
        (json!(["HScrollEvent", 1]), vec![Input::HorizontalWheel { amount: 120 }]),
    ];
    for (number, which) in (1..).zip(all) {
        script.push((json!(["MouseButtonEvent", PRESS, number]), vec![button(true)(which)]));
        script.push((json!(["MouseButtonEvent", RELEASE, number]), vec![button(false)(which)]));
    }
    script
}

fn keyboard() -> Vec<(Value, Vec<Input>)> {
    // As clients send key codes: with the highest bit.
    let code = |key: i32| key - 0x8000;
    vec![
        (json!(["KeyboardEvent", code(0x41), DOWN, 0]), vec![key(0x41, true, true)]),
        (json!(["KeyboardEvent", code(0x41), UP, 0]), vec![key(0x41, false, true)]),
        (json!(["KeyboardEvent2", code(0xdc), DOWN, 0, 1]), vec![key(0xdc, true, false)]),
        (json!(["KeyboardEvent2", code(0xdc), UP, 0, 1]), vec![key(0xdc, false, false)]),
        (json!(["Utf8TextEvent", "é字"]), vec![Input::Text('é'), Input::Text('字')]),
    ]
}

fn surfaces() -> Vec<(Value, Vec<Input>)> {
    const UNKNOWN: u32 = 0xffff;
    let (tool, buttons) = (PenTool::Pen, PenButtons::PRIMARY);
    let felt = TouchPoint { pressure: Some(0.5), ..point(0.25, 0.75) };
    let written = TouchPoint {
        pressure: Some(0.75),
        area: Some(Ellipse { major: 0.25, minor: 0.125 }),
        rotation: Some(Degrees(90)),
        tilt: Some(Degrees(30)),
        ..point(0.5, 0.5)
    };
    vec![
        (
            json!(["TouchEvent", 1, 7, 0.25, 0.75, 0.5, 0.0, 0.0, UNKNOWN]),
            vec![touch(7, Contact::Down(felt))],
        ),
        (
            json!(["TouchEvent", 3, 7, 0.5, 0.75, 0.0, 0.0, 0.0, UNKNOWN]),
            vec![touch(7, Contact::Move(point(0.5, 0.75)))],
        ),
        (
            json!(["TouchEvent", 2, 7, 0.5, 0.75, 0.0, 0.0, 0.0, UNKNOWN]),
            vec![touch(7, Contact::Up(point(0.5, 0.75)))],
        ),
        (
            json!(["PenEvent", 1, 1, 1, 0.5, 0.5, 0.75, 0.25, 0.125, 90, 30]),
            vec![Input::Pen(Pen { tool, buttons, contact: Some(Contact::Down(written)) })],
        ),
        (
            json!(["PenEvent", 2, 1, 0, 0.5, 0.5, 0.0, 0.0, 0.0, UNKNOWN, 255]),
            vec![Input::Pen(Pen {
                tool,
                buttons: PenButtons::NONE,
                contact: Some(Contact::Up(point(0.5, 0.5))),
            })],
        ),
    ]
}

fn controllers() -> Vec<(Value, Vec<Input>)> {
    let pad = PadNumber::new(0).expect("the first");
    let neutral = ControllerState::neutral(pad, 1);
    let pressed = ControllerState {
        buttons: PadButtons(PadButtons::A.0 | PadButtons::PADDLE1.0),
        left_trigger: 255,
        right_trigger: 1,
        left_stick: Stick { x: 32767, y: -32768 },
        right_stick: Stick { x: -1, y: 2 },
        ..neutral
    };
    let capabilities = PadCapabilities(PadCapabilities::RUMBLE.0 | PadCapabilities::GYROSCOPE.0);
    let buttons = PadButtons(0xf3ff);
    let arrival = ControllerArrival { pad, kind: PadKind::PlayStation, capabilities, buttons };
    let finger = |contact| ControllerTouch { pad, touchpad: 0, touch: Touch::Pointer { id: 3, contact } };
    let down = TouchPoint { pressure: Some(1.0), ..point(0.5, 0.25) };
    let turned = ControllerMotion { pad, sensor: Sensor::Gyroscope, x: 1.5, y: -2.5, z: 90.0 };
    let battery = ControllerBattery { pad, state: BatteryState::Charging, percent: Some(80) };
    let state = pressed.buttons.0;
    vec![
        (
            json!(["ControllerArrivalEvent", 0, 1, 2, buttons.0, capabilities.0]),
            vec![Input::ControllerArrival(arrival), Input::Controller(neutral)],
        ),
        (
            json!(["MultiControllerEvent", 0, 1, state, 255, 1, 32767, -32768, -1, 2]),
            vec![Input::Controller(pressed)],
        ),
        (
            json!(["ControllerTouchEvent", 0, 1, 3, 0.5, 0.25, 1.0]),
            vec![Input::ControllerTouch(finger(Contact::Down(down)))],
        ),
        (
            json!(["ControllerTouchEvent", 0, 2, 3, 0.5, 0.25, 0.0]),
            vec![Input::ControllerTouch(finger(Contact::Up(point(0.5, 0.25))))],
        ),
        (json!(["ControllerMotionEvent", 0, 2, 1.5, -2.5, 90.0]), vec![Input::ControllerMotion(turned)]),
        (json!(["ControllerBatteryEvent", 0, 3, 80]), vec![Input::ControllerBattery(battery)]),
        (
            json!(["MultiControllerEvent", 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            vec![Input::Controller(ControllerState::neutral(pad, 0))],
        ),
    ]
}

/// Every event that the library has a function for.
#[test]
fn one_of_every_event_is_felt_as_it_was_meant_and_in_order() {
    let _turn = turn();
    let (_folder, file, host, client) = recording();
    let mut stream = client.start_stream(60, &PLAIN);
    stream.picture();
    // Every client wiggles the mouse when it begins.
    let wiggle = [1, -1].map(|way| Input::RelativeMotion { dx: way, dy: way });
    let mut expected = vec![written(Input::Haptics { enabled: true })];
    expected.extend(wiggle.map(written));
    until("the client has begun", SOON, || (lines(&file).len() >= expected.len()).then_some(()));
    for (what, felt) in [mouse(), keyboard(), surfaces(), controllers()].concat() {
        stream.act(json!([what]));
        expected.extend(felt.into_iter().map(written));
        until(&format!("{what} is felt"), SOON, || (lines(&file).len() >= expected.len()).then_some(()));
        assert_eq!(lines(&file), expected, "{what}");
    }
    stream.tell_to_end();
    assert_eq!(stream.report(60).error, 0);
    host.wait_log("input: ", SOON);
    assert_eq!(lines(&file), expected, "nothing was down");
}

#[test]
fn what_is_down_goes_up_when_the_client_leaves_and_when_it_dies() {
    let _turn = turn();
    let (_folder, file, _host, client) = recording();
    let last = |count: usize| -> Vec<String> {
        let all = lines(&file);
        all[all.len().saturating_sub(count)..].to_vec()
    };
    for dies in [false, true] {
        let mut stream = client.start_stream(60, &PLAIN);
        stream.picture();
        stream.act(json!([["KeyboardEvent", 0x57 - 0x8000, DOWN, 0], ["MouseButtonEvent", PRESS, 1]]));
        let click = Input::Button { button: MouseButton::Left, pressed: true };
        until("the button is down", SOON, || (last(1) == [written(click)]).then_some(()));
        if dies {
            stream.kill();
        } else {
            stream.tell_to_end();
            stream.report(60);
        }
        let lifted = [key(0x57, false, true), Input::Button { button: MouseButton::Left, pressed: false }]
            .map(written);
        until("both are up", SOON, || (last(2) == lifted).then_some(()));
    }
}

#[test]
fn a_client_does_what_it_may() {
    let _turn = turn();
    let (_folder, file, host, client) = recording();
    host.permit_latest("launch,controllers");
    let mut stream = client.start_stream(60, &PLAIN);
    stream.picture();
    let click = json!([["MouseButtonEvent", PRESS, 1], ["MouseButtonEvent", RELEASE, 1]]);
    stream.act(click.clone());
    stream.act(json!([["ControllerBatteryEvent", 0, 3, 80]]));
    let battery = |line: &String| line.starts_with("ControllerBattery");
    until("the controller is felt", SOON, || lines(&file).iter().any(battery).then_some(()));
    let is_click = |line: &String| line.starts_with("Button");
    assert!(!lines(&file).iter().any(is_click), "{:?}", lines(&file));
    // While it plays.
    host.permit_latest("everything");
    until("a click is felt", SOON, || {
        stream.act(click.clone());
        lines(&file).iter().any(is_click).then_some(())
    });
    stream.act(json!([["MouseButtonEvent", PRESS, 1]]));
    host.permit_latest("launch,controllers");
    let released = written(Input::Button { button: MouseButton::Left, pressed: false });
    until("what it held is up", SOON, || (lines(&file).last() == Some(&released)).then_some(()));
    stream.tell_to_end();
    assert_eq!(stream.report(60).error, 0);
}

/// Random and mutated packets.
#[test]
fn nonsense_at_full_speed_hurts_nobody_and_leaves_nothing_down() {
    const A_SECOND: u64 = 10_000;
    let _turn = turn();
    let (_folder, file, host, client) = recording();
    let seconds = soak_seconds(10).min(60).into();
    let mut stream = client.start_stream(300, &[&PLAIN[..], &["--beat", "0.1"]].concat());
    stream.picture();
    let lines_before = host.log.count();
    let sent = stream.flood(seed(), A_SECOND, seconds);
    assert!(sent > A_SECOND * seconds / 2, "only {sent} were sent");
    stream.plays_on(60, SOON);
    let all = lines(&file);
    let kinds: BTreeSet<&str> = all.iter().filter_map(|line| line.split([' ', '(']).next()).collect();
    println!("MOONPIPE_SEED={}: of {sent} packets {} events were felt: {kinds:?}", seed(), all.len());
    assert!(kinds.len() >= 12, "{kinds:?}");
    stream.act(json!([["Utf8TextEvent", "字"]]));
    until("text is felt", SOON, || (lines(&file).last() == Some(&written(Input::Text('字')))).then_some(()));
    stream.tell_to_end();
    let report = stream.report(300);
    assert_eq!((report.error, report.terminated), (0, None), "{report:#?}");
    host.wait_log("input: ", SOON);
    assert!(host.log.count() - lines_before < 200, "the log is flooded:\n{}", host.log.tail(50));
    let all = lines(&file);
    let count = |kind: &str, word: &str| {
        all.iter().filter(|line| line.starts_with(kind) && line.contains(word)).count()
    };
    for kind in ["Key", "Button"] {
        let (down, up) = (count(kind, "pressed: true"), count(kind, "pressed: false"));
        assert!(down == up && down > 0, "{kind}: {down} down, {up} up");
    }
}

/// Waits for a line of what the app writes.
fn says(file: &Path, words: &[&str]) {
    let is_meant = |line: &String| words.iter().all(|word| line.contains(word));
    let said = within(SOON, || lines(file).iter().any(is_meant).then_some(()));
    assert!(said.is_some(), "it never said {words:?}, but:\n{}", lines(file).join("\n"));
}

/// On a display of our own, where a window says what arrives.
fn wev(file: &Path, runtime_dir: &Path) -> (Host, Client, Running) {
    let cmd = format!("sh -c 'exec stdbuf -oL wev > {}'", file.display());
    let host = Host::with(&Setup {
        apps: Some(&app("game", &cmd, "")),
        arguments: &["--source", "virtual"],
        runtime_dir: Some(runtime_dir),
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let stream = client.start_stream(60, &[&SMALL[..], &["--until-told", corner(&SMALL)]].concat());
    stream.picture();
    says(file, &["wl_keyboard", "enter"]);
    (host, client, stream)
}

/// On a sway with two outputs, of which the second is streamed.
#[test]
fn a_window_on_the_desktop_gets_it_at_the_right_place_of_the_right_output() {
    let _turn = turn();
    let desktop = Desktop::start(640, 360);
    // Left of the other, so that what goes to the whole desktop goes elsewhere.
    desktop.order("second-output 640x360");
    let host = Host::with(&Setup {
        desktop: Some(&desktop),
        arguments: &["--source", "portal"],
        config: "[input]\noutput = \"HEADLESS-1\"\n",
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let mut stream = client.start_stream(60, &PLAIN);
    stream.picture();
    host.wait_log("input goes to: wlroots", SOON);
    let told = desktop.folder().join("told");
    let _wev = desktop.run("sh", &["-c", &format!("exec stdbuf -oL wev > {}", told.display())]);
    stream.act(json!([["MousePositionEvent", 320, 180, 640, 360]]));
    says(&told, &["wl_pointer", "enter"]);
    // Another place than the last: a window that came late has not heard of that one.
    stream.act(json!([["MousePositionEvent", 160, 90, 640, 360]]));
    says(&told, &["wl_pointer", "motion", "160.", "90."]);
    stream.act(json!([["MouseMoveEvent", 10, -20]]));
    says(&told, &["wl_pointer", "motion", "170.", "70."]);
    stream.act(json!([["MouseButtonEvent", PRESS, 1], ["MouseButtonEvent", RELEASE, 1]]));
    says(&told, &["wl_pointer", "button", "272", "0 (released)"]);
    stream.act(json!([["ScrollEvent", 1]]));
    says(&told, &["wl_pointer", "axis", "vertical", "-15."]);
    stream.act(json!([["KeyboardEvent", 0x51 - 0x8000, DOWN, 1], ["KeyboardEvent", 0x51 - 0x8000, UP, 1]]));
    says(&told, &["sym: Q "]);
    stream.act(json!([["Utf8TextEvent", "é字"]]));
    says(&told, &["sym: eacute "]);
    says(&told, &["sym: U5B57 "]);
    stream.tell_to_end();
    assert_eq!(stream.report(60).error, 0);
}

#[test]
fn a_window_on_a_players_own_display_gets_all_that_a_display_has() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("told");
    let (mut host, _client, mut stream) = wev(&file, folder.path());
    host.wait_log("input goes to: compositor", SOON);
    until("its window is seen", SOON, || is_near(stream.look(SOON).colours["corner"], WEV).then_some(()));
    stream.act(json!([["MousePositionEvent", 160, 90, 640, 360]]));
    says(&file, &["wl_pointer", "motion", "160.", "90."]);
    stream.act(json!([["MouseMoveEvent", 10, -20]]));
    says(&file, &["wl_pointer", "motion", "170.", "70."]);
    stream.act(json!([["MouseButtonEvent", PRESS, 3], ["MouseButtonEvent", RELEASE, 3]]));
    says(&file, &["wl_pointer", "button", "273", "1 (pressed)"]);
    says(&file, &["wl_pointer", "button", "273", "0 (released)"]);
    stream.act(json!([["HighResScrollEvent", 120]]));
    says(&file, &["wl_pointer", "axis", "vertical", "-15."]);
    stream.act(json!([["KeyboardEvent", 0x51 - 0x8000, DOWN, 0], ["KeyboardEvent", 0x51 - 0x8000, UP, 0]]));
    says(&file, &["sym: q "]);
    stream.act(json!([["KeyboardEvent", 0x51 - 0x8000, DOWN, 1], ["KeyboardEvent", 0x51 - 0x8000, UP, 1]]));
    says(&file, &["sym: Q "]);
    stream.act(json!([["Utf8TextEvent", "é字"]]));
    says(&file, &["sym: eacute "]);
    says(&file, &["sym: U5B57 "]);
    stream.act(json!([["TouchEvent", 1, 7, 0.5, 0.25, 0.5, 0.0, 0.0, 0xffff]]));
    says(&file, &["wl_touch", "down", "320.", "90."]);
    stream.act(json!([["TouchEvent", 2, 7, 0.5, 0.25, 0.0, 0.0, 0.0, 0xffff]]));
    says(&file, &["wl_touch", "up"]);
    stream.act(json!([["PenEvent", 1, 1, 0, 0.25, 0.5, 0.75, 0.0, 0.0, 0xffff, 255]]));
    says(&file, &["wl_pointer", "motion", "160.", "180."]);
    says(&file, &["wl_pointer", "button", "272", "1 (pressed)"]);
    stream.act(json!([["PenEvent", 2, 1, 0, 0.25, 0.5, 0.0, 0.0, 0.0, 0xffff, 255]]));
    says(&file, &["wl_pointer", "button", "272", "0 (released)"]);
    stream.tell_to_end();
    assert_eq!(stream.report(60).error, 0);
    until("the display goes", SOON, || sockets(folder.path()).is_empty().then_some(()));
    host.stop();
}
