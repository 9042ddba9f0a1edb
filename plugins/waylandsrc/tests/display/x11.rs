//! X11 programs in Xwayland.

use super::harness::{Lines, Program, Show, announcement, eventually};
use gst::prelude::*;
use gst_video::{NavigationEvent, NavigationModifierType};
use std::process::{Command, Stdio};

const WHITE: u32 = 0xffffff;

pub fn start(caps: &str) -> (Show, String) {
    let mut show = Show::prepare("xwayland=true only-damaged=true", caps);
    show.pipeline.set_state(gst::State::Playing).unwrap();
    let said = announcement(&show.pipeline);
    show.name = said.get("name").unwrap();
    (show, said.get("x-display").expect("an X11 display"))
}

/// `xev` has a white window and prints the events that it gets.
fn xev(display: &str) -> Program {
    let mut command = Command::new("stdbuf");
    command.args(["-oL", "xev"]).env("DISPLAY", display).env_remove("WAYLAND_DISPLAY");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    Program(child.expect("xev. scripts/install-dependencies --tests"))
}

#[test]
fn x11_programs_cover_the_display_and_get_what_the_player_does() {
    let (show, display) = start("video/x-raw,width=320,height=200");
    let mut program = xev(&display);
    let mut lines = Lines::of(&mut program);
    show.picture_with("xev's window alone", |shot| {
        shot.count(0) < 320 * 200 / 20 && shot.at(300, 180) == WHITE
    });
    let modifier_state = NavigationModifierType::empty();
    let press = NavigationEvent::KeyPress { key: "k".into(), modifier_state };
    assert!(show.send(gst::event::Navigation::new(press.structure())));
    lines.says(&["keysym 0x6b, k"]);
    show.send_input("event=motion, x=300.0, y=150.0");
    lines.says(&["root:(300,150)"]);
    show.send_input("event=button, code=(uint)272, pressed=true");
    lines.says(&["button 1"]);

    show.set_caps("video/x-raw,width=200,height=300");
    let shot = show
        .picture_with("the window in the new size", |shot| shot.width == 200 && shot.at(180, 280) == WHITE);
    assert_eq!(shot.height, 300);
}

/// Processes that are children of this one and called so, also those that nobody waited for.
fn children(name: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_ours = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let has = |line: String| status.lines().any(|other| other == line);
        has(format!("Name:\t{name}")) && has(format!("PPid:\t{}", std::process::id()))
    };
    numbers.filter(is_ours).collect()
}

#[test]
fn xwayland_goes_with_the_display() {
    let (show, display) = start("video/x-raw,width=64,height=48");
    let ours = || {
        children("Xwayland").into_iter().find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == display.as_bytes())
        })
    };
    let pid = ours().expect("a process");
    let mut program = xev(&display);
    // It is read on: who cannot say what it sees ends.
    let mut lines = Lines::of(&mut program);
    lines.says(&["MapNotify"]);
    show.pipeline.set_state(gst::State::Null).unwrap();
    eventually("no Xwayland", || (!children("Xwayland").contains(&pid)).then_some(()));
    let lock = format!("/tmp/.X{}-lock", &display[1..]);
    // Another test may have this display by now.
    eventually(&lock, || (!std::path::Path::new(&lock).exists() || ours().is_some()).then_some(()));
}

#[test]
fn a_dead_xwayland_leaves_the_display_alive() {
    let (show, display) = start("video/x-raw,width=64,height=48");
    let mut program = xev(&display);
    let mut lines = Lines::of(&mut program);
    lines.says(&["MapNotify"]);
    show.picture_with("its window", |shot| shot.count(WHITE) > 0);
    for pid in children("Xwayland") {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.contains(&format!("{display}\0")) {
            _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
    show.picture_with("nothing", |shot| shot.is_all(0));
    let mut client = super::client::Client::connect(show.connect());
    client.full_window(0x00ff00);
    show.picture_with("a Wayland client", |shot| shot.is_all(0x00ff00));
    assert_eq!(show.error(), None);
}

#[test]
fn stopping_leaves_no_socket_of_a_display_that_had_x11() {
    let (show, _) = start("video/x-raw,width=64,height=48");
    let socket = show.socket();
    let lock = socket.with_extension("lock");
    assert!(socket.exists() && lock.exists());
    show.pipeline.set_state(gst::State::Null).unwrap();
    assert!(!socket.exists() && !lock.exists());
}
