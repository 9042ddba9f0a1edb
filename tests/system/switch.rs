//! Another source while somebody plays: nobody reconnects, and nothing is missing.

use crate::harness::client::{Client, Report, Running};
use crate::harness::desktop::Desktop;
use crate::harness::host::{Host, Setup};
use crate::harness::{at_best, turn, until};
use std::process::Output;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
/// Mean lumas of a dark and a bright source lie on both sides of this.
const BETWEEN: f64 = 120.0;
const SMALL: [&str; 9] =
    ["--width", "640", "--height", "360", "--fps", "30", "--decode", "--brightness", "all=0,0,640,360"];

fn start(client: &Client) -> Running {
    client.start_stream(90, &[&SMALL[..], &["--until-told", "--beat", "0.2"]].concat())
}

/// A picture of one colour that is shared by all, at a rate that leaves the machine time.
fn shared(argb: &str) -> String {
    format!(
        "launch = \"videotestsrc is-live=true pattern=solid-color foreground-color={argb} ! video/x-raw,width=320,height=180,framerate=10/1\"\n"
    )
}

/// The same for each session, at its own size.
fn own(argb: &str) -> String {
    shared(argb)
        .replace("width=320,height=180,framerate=10/1", "width={width},height={height},framerate={fps}")
}

const ABSENT: &str = "needs = [\"filesrc\"]\nlaunch = \"filesrc location=/nonexistent ! rawvideoparse\"\n";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

fn switch(host: &Host, source: &str) -> String {
    let told = host.command(&["switch", source]);
    assert_eq!(told.status.code(), Some(0), "{}", said(&told));
    said(&told)
}

/// Says why.
fn refused(host: &Host, source: &str) -> String {
    let told = host.command(&["switch", source]);
    assert_eq!(told.status.code(), Some(1), "{}", said(&told));
    said(&told)
}

/// What was seen, one after the other: true where it was bright.
fn seen(report: &Report) -> Vec<bool> {
    let mut seen: Vec<bool> = report.brightness["all"].iter().map(|(_, luma)| *luma > BETWEEN).collect();
    seen.dedup();
    seen
}

fn is_seamless(report: &Report) -> bool {
    report.lost == 0 && report.max_gap_ms <= 250.0
}

fn times(host: &Host, text: &str) -> usize {
    host.log.all().iter().filter(|line| line.contains(text)).count()
}

#[test]
fn everybody_who_plays_sees_another_source() {
    let _turn = turn();
    let (dark, bright_own) = (shared("0xff202020"), own("0xffe0e0e0"));
    let pipelines = [
        ("capture/dark.toml", dark.as_str()),
        ("capture/bright.toml", &bright_own),
        ("capture/absent.toml", ABSENT),
    ];
    let host =
        Host::with(&Setup { pipelines: &pipelines, arguments: &["--source", "dark"], ..Setup::default() });
    let clients = [Client::paired(&host), Client::paired(&host)];
    let reports = at_best(|| play_both(&host, &clients), |reports| reports.iter().all(is_seamless));
    for report in &reports {
        report.assert_whole(640, 360);
        assert!(report.max_gap_ms <= 250.0, "{report:#?}");
        assert_eq!(seen(report), [false, true, false], "{report:#?}");
    }
    assert!(switch(&host, "bright").contains("nobody plays"), "the next session sees it");
    let report = clients[0].stream(2, &SMALL);
    assert_eq!(seen(&report), [true], "{report:#?}");
}

fn play_both(host: &Host, clients: &[Client; 2]) -> [Report; 2] {
    let mut streams = clients.each_ref().map(start);
    streams.iter().for_each(|stream| _ = stream.picture());
    for (source, reason) in [("telescope", "bright, "), ("absent", "Resource not found")] {
        let said = refused(host, source);
        assert!(said.contains(reason), "{said}");
    }
    for source in ["bright", "dark"] {
        assert!(switch(host, source).contains("all 2"), "both play");
        let shown = |session: &serde_json::Value| session["source"] == source || session["ended"].is_string();
        until("both are there", LIMIT, || host.sessions().iter().all(shown).then_some(()));
        streams.iter().for_each(|stream| stream.plays_on(30, LIMIT));
    }
    assert!(switch(host, "dark").contains("already"));
    let told = said(&host.command(&["sessions"]));
    assert!(told.contains("dark as H.264 640x360"), "{told}");
    streams.iter_mut().for_each(|stream| stream.tell_to_end());
    streams.map(|stream| stream.report(90))
}

/// The desktops have sessions, buses and PipeWires of their own; the host runs in the first.
#[test]
fn two_desktops_are_shown_in_turn() {
    let _turn = turn();
    let desktops = [Desktop::start(640, 360), Desktop::start(640, 360)];
    // Something moves: a desktop that is merely still gives a new screencast nothing.
    let window = |desktop: &Desktop, argb: &str| {
        let moving = "video/x-raw,width=640,height=360,framerate=10/1";
        let pipeline =
            format!("videotestsrc is-live=true pattern=solid-color foreground-color={argb} ! {moving}");
        desktop.window(&pipeline, 1)
    };
    let _windows = [window(&desktops[0], "0xff202020"), window(&desktops[1], "0xffe0e0e0")];
    let other = format!(
        "needs = [\"pipewiresrc\"]\nbus = \"{}\"\nlaunch = \"pipewiresrc path={{node}} fd={{fd}} always-copy=true ! video/x-raw\"\n",
        desktops[1].bus()
    );
    let nowhere = other.replace(&desktops[1].bus(), "unix:path=/nonexistent/bus");
    let host = Host::with(&Setup {
        desktop: Some(&desktops[0]),
        arguments: &["--source", "portal", "--log", "debug"],
        pipelines: &[
            ("capture/other.toml", &other),
            ("capture/nowhere.toml", &nowhere),
            ("capture/absent.toml", ABSENT),
        ],
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let report = at_best(|| play_desktops(&host, &client), is_seamless);
    println!("{report:#?}");
    report.assert_whole(640, 360);
    assert!(report.max_gap_ms <= 250.0, "the stream goes on: {report:#?}");
    assert_eq!(seen(&report), [false, true, false], "{report:#?}");
    // Built before the one before was dropped, each time.
    let order: Vec<String> = host.log.all().into_iter().filter_map(|line| step(&line)).collect();
    let last = &order[order.len() - 4..];
    assert_eq!(last, ["other shows", "portal closed", "portal shows", "other closed"], "{order:#?}");
    let report = leave_a_dead_desktop(&host, &client, &desktops[1]);
    assert_eq!((report.lost, report.terminated), (0, None), "{report:#?}");
    assert_eq!(seen(&report), [false, true, false], "{report:#?}");
}

/// It is noticed although its PipeWire is another session's, and need not come back.
fn leave_a_dead_desktop(host: &Host, client: &Client, other: &Desktop) -> Report {
    let mut stream = start(client);
    stream.picture();
    switch(host, "other");
    stream.plays_on(30, LIMIT);
    other.order("kill-compositor");
    host.wait_log("the picture stands still", LIMIT);
    switch(host, "portal");
    stream.plays_on(30, LIMIT);
    stream.tell_to_end();
    stream.report(90)
}

/// What of the captures a line of the log tells.
fn step(line: &str) -> Option<String> {
    for name in ["portal", "other"] {
        if line.contains(&format!("capture 1 of {name}: FirstFrame")) {
            return Some(format!("{name} shows"));
        }
        if line.contains(&format!("the source {name} is closed")) {
            return Some(format!("{name} closed"));
        }
    }
    None
}

fn play_desktops(host: &Host, client: &Client) -> Report {
    let mut stream = start(client);
    stream.picture();
    for (source, reason) in [("absent", "Resource not found"), ("nowhere", "no desktop portal answers on")] {
        let said = refused(host, source);
        assert!(said.contains(reason), "{said}");
        stream.plays_on(30, LIMIT);
    }
    for (source, before) in [("other", "portal"), ("portal", "other")] {
        let closes = format!("the source {before} is closed");
        let closed = times(host, &closes);
        switch(host, source);
        stream.plays_on(60, LIMIT);
        until("the one before is closed", LIMIT, || (times(host, &closes) > closed).then_some(()));
    }
    stream.tell_to_end();
    let report = stream.report(90);
    let sessions = host.sessions();
    let session = sessions.last().expect("it played");
    assert_eq!((&session["source"], &session["source-rebuilds"]), (&"portal".into(), &0.into()), "{session}");
    report
}
