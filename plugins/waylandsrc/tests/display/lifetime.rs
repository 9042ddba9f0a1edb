//! Coming, going, and what is left behind.

use super::client::Client;
use super::harness::{PATIENCE, Show, display_name, eventually, init};
use gst::prelude::*;
use std::path::Path;

/// Threads of this process whose name has the socket's.
fn threads_of(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|comm| comm.contains(name)).count()
}

fn is_open(path: &Path) -> bool {
    path.exists() || path.with_extension("lock").exists()
}

#[test]
fn a_message_says_the_name_and_clients_can_connect_then() {
    let show = Show::start("", "video/x-raw");
    assert!(show.name.starts_with("wayland-"), "{}", show.name);
    Client::connect(show.connect()).roundtrip();
}

#[test]
fn a_socket_can_be_named_and_is_had_once() {
    let show = Show::start("socket-name=by-name", "video/x-raw");
    assert_eq!(show.name, "by-name");
    let other = Show::prepare("socket-name=by-name", "video/x-raw");
    assert!(other.pipeline.set_state(gst::State::Playing).is_err());
    let why = eventually("an error", || other.error());
    assert!(why.contains("by-name"), "{why}");
    Client::connect(show.connect()).roundtrip();
}

#[test]
fn without_a_folder_for_sockets_the_error_says_so() {
    let run = std::process::Command::new("gst-launch-1.0")
        .args(["waylandsrc", "!", "fakesink"])
        .env("GST_PLUGIN_PATH", plugin_folder())
        .env("GST_REGISTRY", init().join("registry.bin"))
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .expect("gst-launch-1.0");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success() && said.contains("XDG_RUNTIME_DIR is not set"), "{said}");
}

#[test]
fn stopping_leaves_no_socket_no_thread_and_no_client_connected() {
    let show = Show::start("socket-name=to-stop", "video/x-raw,width=64,height=48");
    let mut client = Client::connect(show.connect());
    client.full_window(0xff0000);
    show.picture_with("red", |shot| shot.is_all(0xff0000));
    assert!(is_open(&show.socket()));
    assert_eq!(threads_of("to-stop"), 1);
    show.pipeline.set_state(gst::State::Null).unwrap();
    assert!(!is_open(&show.socket()));
    assert_eq!(threads_of("to-stop"), 0);
    let mut left = || client.events.roundtrip(&mut client.heard).err();
    eventually("the end of the connection", &mut left);
}

#[test]
fn it_can_be_started_again_and_again() {
    let show = Show::start("socket-name=again", "video/x-raw,width=64,height=48");
    for color in [0xff0000, 0x00ff00, 0x0000ff] {
        Client::connect(show.connect()).full_window(color);
        let mut client = Client::connect(show.connect());
        client.full_window(color);
        show.picture_with("the color", |shot| shot.is_all(color));
        show.pipeline.set_state(gst::State::Null).unwrap();
        show.pipeline.set_state(gst::State::Playing).unwrap();
        assert_eq!(display_name(&show.pipeline), "again");
    }
}

#[test]
fn a_pause_ends_with_what_changed_meanwhile() {
    let show = Show::start("only-damaged=true", "video/x-raw,width=64,height=48");
    let mut client = Client::connect(show.connect());
    let window = client.full_window(0xff0000);
    show.picture_with("red", |shot| shot.is_all(0xff0000));
    show.pipeline.set_state(gst::State::Paused).unwrap();
    client.paint(&window.surface, (64, 48), 0x00ff00);
    // Clients go on slowly while nobody looks.
    let frames = client.heard.frames;
    window.surface.frame(&client.queue(), ());
    window.surface.commit();
    client.until("a frame callback in the pause", |heard| heard.frames > frames);
    show.pipeline.set_state(gst::State::Playing).unwrap();
    show.picture_with("green", |shot| shot.is_all(0x00ff00));
}

#[test]
fn displays_stand_side_by_side() {
    let shows: Vec<_> = (0..3).map(|_| Show::start("", "video/x-raw,width=64,height=48")).collect();
    let colors = [0xff0000, 0x00ff00, 0x0000ff];
    let mut clients: Vec<_> = shows.iter().map(|show| Client::connect(show.connect())).collect();
    for (client, color) in clients.iter_mut().zip(colors) {
        client.full_window(color);
    }
    for (show, color) in shows.iter().zip(colors) {
        show.picture_with("its own color", |shot| shot.is_all(color));
    }
    shows[0].pipeline.set_state(gst::State::Null).unwrap();
    clients[1].full_window(0xffffff);
    shows[1].picture_with("white", |shot| shot.is_all(0xffffff));
    shows[2].picture_with("blue", |shot| shot.is_all(colors[2]));
}

#[test]
fn clients_that_connect_before_anything_plays_wait_for_it() {
    let show = Show::prepare("socket-name=early", "video/x-raw,width=64,height=48");
    show.pipeline.set_state(gst::State::Paused).unwrap();
    let show = show.named();
    let mut client = Client::connect(show.connect());
    let window = client.window(None);
    client.until("the size of the display", |heard| heard.sizes[0] == (64, 48));
    client.paint(&window.surface, (64, 48), 0x00ff00);
    show.pipeline.set_state(gst::State::Playing).unwrap();
    show.picture_with("green", |shot| shot.is_all(0x00ff00));
}

#[test]
fn the_built_plugin_works_from_a_command_line() {
    let run = std::process::Command::new("timeout")
        .arg(PATIENCE.as_secs().to_string())
        .args(["gst-launch-1.0", "-m", "waylandsrc", "num-buffers=10", "!", "videoconvert", "!", "fakesink"])
        .env("GST_PLUGIN_PATH", plugin_folder())
        .env("GST_REGISTRY", init().join("registry2.bin"))
        .output()
        .expect("gst-launch-1.0");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    assert!(said.contains("wayland-display, name=(string)wayland-"), "{said}");
}

/// Where cargo puts the plugin: above the folder of this test.
fn plugin_folder() -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).expect("target/release/deps").to_owned()
}
