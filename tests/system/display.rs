//! A display for each player, on a machine without monitor, GPU or desktop.

use crate::harness::client::{Client, Report};
use crate::harness::display::{
    BLUE, RED, app, assert_colour, assert_quadrants, is_near, look_at_quadrants, quadrants, sockets, terminal,
};
use crate::harness::host::{Host, Setup};
use crate::harness::{turn, until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
/// A client's library moves the mouse as it begins, and its pointer would be in the picture.
const WITHOUT_POINTER: &str = "launch";

#[test]
fn an_app_has_a_display_of_the_clients_size_and_both_go_with_the_client() {
    let _turn = turn();
    let runtime_dir = tempfile::tempdir().expect("a folder");
    let host = Host::with(&Setup {
        apps: Some(&app("terminal", &terminal(RED), "")),
        arguments: &["--source", "virtual"],
        runtime_dir: Some(runtime_dir.path()),
        config: "[displays]\nlinger = \"immediately\"\n",
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let report = client.stream(
        10,
        &[
            "--app",
            "terminal",
            "--decode",
            "--leave",
            "disconnect",
            "--width",
            "1366",
            "--height",
            "768",
            "--fps",
            "30",
            "--colour",
            "right=1280,700,60,60",
            "--colour",
            "left=10,650,60,60",
        ],
    );
    report.assert_whole(1366, 768);
    assert_colour(&report, RED);
    until("the display goes with its player", SOON, || sockets(runtime_dir.path()).is_empty().then_some(()));
    until("nothing runs", SOON, || (client.running_app() == "0").then_some(()));
}

/// No pixel is cut off, turned, or moved.
#[test]
fn content_is_in_its_place() {
    let _turn = turn();
    let runtime_dir = tempfile::tempdir().expect("a folder");
    let host = Host::with(&Setup {
        apps: Some(&app("quadrants", &quadrants(), "")),
        arguments: &["--source", "virtual"],
        runtime_dir: Some(runtime_dir.path()),
        ..Setup::default()
    });
    let client = Client::paired(&host);
    host.permit_latest(WITHOUT_POINTER);
    for (width, height, fps) in [(1280, 720, 60), (1366, 768, 30)] {
        let report = look(&client, width, height, fps, &[]);
        assert_quadrants(&report);
        assert_eq!(
            (report.sizes.as_slice(), report.decode_errors),
            (&[(width, height)][..], 0),
            "{report:#?}"
        );
    }
}

/// Encoded and decoded by processors, most frames of it come late; those that come are right.
#[test]
fn a_large_and_fast_display_is_shown_in_its_own_size() {
    let _turn = turn();
    let runtime_dir = tempfile::tempdir().expect("a folder");
    let host = Host::with(&Setup {
        apps: Some(&app("quadrants", &quadrants(), "")),
        arguments: &["--source", "virtual", "--log", "debug"],
        runtime_dir: Some(runtime_dir.path()),
        ..Setup::default()
    });
    let client = Client::paired(&host);
    host.permit_latest(WITHOUT_POINTER);
    let report = look(&client, 2560, 1440, 120, &["--bitrate", "40000"]);
    println!("{report:#?}");
    assert_eq!((report.error, report.terminated), (0, None), "{report:#?}");
    assert_eq!((report.sizes.as_slice(), report.decode_errors), (&[(2560, 1440)][..], 0), "{report:#?}");
    assert_quadrants(&report);
}

/// What a player of [`quadrants`] sees after a while, who quits it then.
fn look(client: &Client, width: u32, height: u32, fps: u32, how: &[&str]) -> Report {
    let places = look_at_quadrants(width, height);
    let (wide, high, fps) = (width.to_string(), height.to_string(), fps.to_string());
    let mode = ["--app", "quadrants", "--decode", "--width", &wide, "--height", &high, "--fps", &fps];
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    client.stream(12, &[&mode[..], &places, how].concat())
}

#[test]
fn an_isolated_app_leaves_the_hosts_own_picture_to_the_others() {
    let _turn = turn();
    let runtime_dir = tempfile::tempdir().expect("a folder");
    let apps =
        "[[app]]\ntitle = \"Desktop\"\n".to_owned() + &app("terminal", &terminal(BLUE), "isolated = true");
    let runtime_dir_of_host = Some(runtime_dir.path());
    let host = Host::with(&Setup { apps: Some(&apps), runtime_dir: runtime_dir_of_host, ..Setup::default() });
    let (player, other) = (Client::paired(&host), Client::paired(&host));
    let small =
        ["--decode", "--width", "640", "--height", "360", "--fps", "30", "--colour", "place=560,300,40,40"];
    let alone = player.start_stream(12, &[&["--app", "terminal"], &small[..]].concat());
    let desktop = other.stream(8, &small);
    assert_colour(&alone.report(12), BLUE);
    assert!(!desktop.colours.values().any(|seen| is_near(*seen, BLUE.1)), "{:?}", desktop.colours);
    assert!(desktop.counter.read > 0, "the other sees the test picture: {desktop:#?}");
}

#[test]
fn an_x11_program_is_shown() {
    let _turn = turn();
    let runtime_dir = tempfile::tempdir().expect("a folder");
    let apps = app("x11", &format!("xmessage -bg '#{0}' -fg '#{0}' -buttons '' hello", RED.0), "");
    let host = Host::with(&Setup {
        apps: Some(&apps),
        arguments: &["--source", "virtual"],
        runtime_dir: Some(runtime_dir.path()),
        ..Setup::default()
    });
    let look =
        ["--decode", "--width", "640", "--height", "360", "--fps", "30", "--colour", "corner=580,300,40,40"];
    let report = Client::paired(&host).stream(12, &[&["--app", "x11"], &look[..]].concat());
    assert_colour(&report, RED);
}

#[test]
fn without_a_runtime_folder_the_client_is_told_why() {
    let _turn = turn();
    let host = Host::with(&Setup { arguments: &["--source", "virtual"], ..Setup::default() });
    let refused = Client::paired(&host).run(&["stream", "--seconds", "2"]);
    let said = refused["refused"].to_string();
    assert!(said.contains("has no display") && said.contains("XDG_RUNTIME_DIR is not set"), "{refused}");
}
