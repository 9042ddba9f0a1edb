//! A real Wayland desktop, seen and heard by the Moonlight client.

use crate::harness::client::Client;
use crate::harness::desktop::Desktop;
use crate::harness::host::{Host, Setup};
use crate::harness::{at_best, turn};

/// Red, green and blue of the desktop where no window is: tests/desktop/desktop sets it.
const BACKGROUND: [f64; 3] = [32.0, 64.0, 96.0];

fn portal_host(desktop: &Desktop) -> Host {
    Host::with(&Setup { desktop: Some(desktop), arguments: &["--source", "portal"], ..Setup::default() })
}

/// Two conversions and a lossy codec lie between the two.
fn assert_colour(seen: [f64; 3], meant: [f64; 3]) {
    let near = seen.iter().zip(meant).all(|(a, b)| (a - b).abs() <= 8.0);
    assert!(near, "the client sees {seen:?} instead of {meant:?}");
}

#[test]
fn the_portal_shows_a_window_and_a_moving_clock() {
    let _turn = turn();
    let desktop = Desktop::start(1280, 720);
    // Tiled side by side: a colour on the left, the clock and the frame counter on the right.
    let _colour = desktop.window(
        "videotestsrc is-live=true pattern=solid-color foreground-color=0xffc83214 ! video/x-raw,width=640,height=720,framerate=5/1",
        1,
    );
    let _clock = desktop.window(
        "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=640,height=720,framerate=30/1 ! framestamp ! videoconvert",
        2,
    );
    let host = portal_host(&desktop);
    let report = Client::paired(&host).best_stream(
        4,
        &["--decode", "--counter-at", "640,0", "--colour", "window=100,200,400,400", "--bitrate", "20000"],
        |report| report.is_fluent(60.0),
    );
    println!("{report:#?}");
    report.assert_whole(1280, 720);
    report.assert_rate(60.0);
    assert_colour(report.colours["window"], [200.0, 50.0, 20.0]);
    let clock = &report.counter;
    assert!(clock.unreadable < report.decoded / 10, "the clock is seen: {clock:#?}");
    assert_eq!(clock.back, 0, "{clock:#?}");
    // The window is drawn 30 times a second, and copied when it changed.
    let moved = clock.last.unwrap_or(0) - clock.first.unwrap_or(0);
    assert!((60..=150).contains(&moved), "in four seconds the clock moves on by {moved}: {clock:#?}");
}

#[test]
fn a_static_desktop_plays_at_full_rate_for_every_viewer() {
    let _turn = turn();
    let desktop = Desktop::start(1280, 720);
    let host = portal_host(&desktop);
    let (first, second) = (Client::paired(&host), Client::paired(&host));
    for viewer in [&first, &second, &first] {
        let look = ["--decode", "--colour", "desktop=0,0,1280,720"];
        let report = viewer.best_stream(3, &look, |report| report.is_fluent(60.0));
        report.assert_whole(1280, 720);
        report.assert_rate(60.0);
        assert_colour(report.colours["desktop"], BACKGROUND);
    }
}

#[test]
fn a_source_of_another_size_gets_borders_and_one_warning() {
    let _turn = turn();
    let desktop = Desktop::start(1024, 768);
    let host = portal_host(&desktop);
    // 4:3 in 16:9: 960 of 1280 pixels are the desktop, 160 on each side are black.
    let areas = [
        "--decode",
        "--colour",
        "middle=200,40,880,640",
        "--colour",
        "left=10,10,140,700",
        "--colour",
        "right=1130,10,140,700",
    ];
    let client = Client::paired(&host);
    let mut streams = 0;
    let play = || {
        streams += 1;
        client.stream(3, &areas)
    };
    let report = at_best(play, |report| report.is_fluent(60.0));
    report.assert_whole(1280, 720);
    report.assert_rate(60.0);
    assert_colour(report.colours["middle"], BACKGROUND);
    assert_colour(report.colours["left"], [0.0; 3]);
    assert_colour(report.colours["right"], [0.0; 3]);
    let warnings: Vec<String> =
        host.log.all().into_iter().filter(|l| l.contains("WARN") && l.contains("1024x768")).collect();
    assert!(
        warnings.len() == streams && warnings.iter().all(|line| line.contains("1280x720")),
        "one warning a stream, with both sizes: {warnings:#?}"
    );
}

#[test]
fn what_applications_play_is_heard() {
    let _turn = turn();
    let desktop = Desktop::start(1280, 720);
    let tone = desktop.tone(1000.0, 30);
    let host = Host::with(&Setup {
        desktop: Some(&desktop),
        arguments: &["--audio", "pipewire"],
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let _playing = desktop.run("pw-play", &[tone.to_str().expect("text")]);
    let report = client.best_stream(4, &["--tone"], |report| report.is_complete() && report.has_tone(1000.0));
    println!("{report:#?}");
    report.assert_tone(1000.0);
}
