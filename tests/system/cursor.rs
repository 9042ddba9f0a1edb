//! The pointer in the picture: drawn where an app shows it, gone where the app hides it.

use crate::harness::client::{Client, Running};
use crate::harness::desktop::Desktop;
use crate::harness::display::{SMALL, app, is_near};
use crate::harness::host::{Host, Setup};
use crate::harness::{turn, until};
use serde_json::json;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
/// A window of this colour, whose pointer hides while somebody types.
const WINDOW: &str = "foot -c /dev/null -o colors.background=c83214 -o mouse.hide-when-typing=yes sleep 600";
const COLOUR: [f64; 3] = [200.0, 50.0, 20.0];
/// Around where the pointer goes; the other is away from it and from what is typed.
const AREAS: [&str; 2] = ["--colour=pointer=444,216,24,24", "--colour=elsewhere=500,300,24,24"];

/// Sees the pointer come where the player moves it, go when a key is pressed, and come again.
fn comes_and_goes(stream: &mut Running) {
    until("the window fills the picture", SOON, || {
        stream.look(SOON).colours.values().all(|colour| is_near(*colour, COLOUR)).then_some(())
    });
    // Twice: a window that came late has not heard of the place before.
    stream
        .act(json!([["MousePositionEvent", 460, 230, 640, 360], ["MousePositionEvent", 452, 222, 640, 360]]));
    is_seen(stream, true);
    let key = 0x41 - 0x8000;
    stream.act(json!([["KeyboardEvent", key, 3, 0], ["KeyboardEvent", key, 4, 0]]));
    is_seen(stream, false);
    stream.act(json!([["MousePositionEvent", 450, 220, 640, 360]]));
    is_seen(stream, true);
}

fn is_seen(stream: &mut Running, meant: bool) {
    until(&format!("the pointer is seen: {meant}"), SOON, || {
        let colours = stream.look(SOON).colours;
        assert!(is_near(colours["elsewhere"], COLOUR), "{colours:?}");
        (is_plain(colours["pointer"]) != meant).then_some(())
    });
}

/// As good as codecs keep a plain colour: a pointer is an outline of a few pixels.
fn is_plain(seen: [f64; 3]) -> bool {
    seen.iter().zip(COLOUR).all(|(seen, meant)| (seen - meant).abs() <= 2.5)
}

#[test]
fn a_pointer_is_seen_on_a_desktop_until_the_app_hides_it() {
    let _turn = turn();
    let desktop = Desktop::start(640, 360);
    let host = Host::with(&Setup {
        desktop: Some(&desktop),
        arguments: &["--source", "portal"],
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let mode = ["--decode", "--width", "640", "--height", "360", "--fps", "30", "--until-told"];
    let mut stream = client.start_stream(60, &[&mode[..], &AREAS].concat());
    stream.picture();
    host.wait_log("input goes to: wlroots", SOON);
    let (program, arguments) = WINDOW.split_once(' ').expect("arguments");
    let _window = desktop.run(program, &arguments.split(' ').collect::<Vec<_>>());
    comes_and_goes(&mut stream);
    stream.tell_to_end();
    assert_eq!(stream.report(60).error, 0);
}

#[test]
fn a_pointer_is_seen_on_a_players_own_display_until_the_app_hides_it() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with(&Setup {
        apps: Some(&app("game", WINDOW, "")),
        arguments: &["--source", "virtual"],
        runtime_dir: Some(folder.path()),
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let mut stream = client.start_stream(60, &[&SMALL[..], &AREAS, &["--until-told"]].concat());
    stream.picture();
    comes_and_goes(&mut stream);
    stream.tell_to_end();
    assert_eq!(stream.report(60).error, 0);
}
