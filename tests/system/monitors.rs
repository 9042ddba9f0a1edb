//! A virtual monitor of Mutter that ends while somebody plays, without a word from anybody.

use crate::harness::client::{Client, Report};
use crate::harness::desktop::{Desktop, Program};
use crate::harness::host::{Host, Setup};
use crate::harness::{at_best, monotonic_seconds, turn, until};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
/// Seconds until a monitor that ended has a successor.
const SOON: f64 = 2.0;
const STANDS: &str = "the picture stands still: PipeWire lost the node";
const SHOWS: &str = "play: a new source shows";
/// What Moonlight makes of the code for a picture that cannot go on.
const FATAL_VIDEO_ERROR: Option<i64> = Some(-104);
/// Mutter shows a monitor that nothing changes on once.
const MOVING: &str = "gst-launch-1.0 -q videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1 ! waylandsink";

fn window(desktop: &Desktop) -> Program {
    let words: Vec<&str> = MOVING.split_whitespace().collect();
    desktop.run(words[0], &words[1..])
}

fn times(host: &Host, text: &str) -> usize {
    host.log.all().iter().filter(|line| line.contains(text)).count()
}

/// Ends it so, and waits until the next one shows. Returns after how many seconds.
fn end(desktop: &Desktop, host: &Host, order: &str) -> f64 {
    let (lost, shown) = (times(host, STANDS), times(host, SHOWS));
    desktop.order(order);
    let ended = monotonic_seconds();
    until(&format!("the host notices {order}"), LIMIT, || (times(host, STANDS) > lost).then_some(()));
    until(&format!("it shows again after {order}"), LIMIT, || (times(host, SHOWS) > shown).then_some(()));
    monotonic_seconds() - ended
}

/// A stream during which all these happen, and its monitor's successor is seen for a second; and after how many seconds
/// each successor was there.
fn survive(desktop: &Desktop, host: &Host, client: &Client, orders: &[&str]) -> (Report, Vec<f64>) {
    let mut stream = client.start_stream(90, &["--until-told", "--decode", "--beat", "0.1"]);
    stream.picture();
    let survived = |order: &&str| {
        let seconds = end(desktop, host, order);
        stream.plays_on(60, LIMIT);
        seconds
    };
    let delays = orders.iter().map(survived).collect();
    stream.tell_to_end();
    (stream.report(90), delays)
}

#[test]
fn a_virtual_monitor_that_ends_is_made_again_and_one_that_cannot_be_ends_the_session() {
    let _turn = turn();
    let desktop = Desktop::mutter();
    let _window = window(&desktop);
    let arguments = &["--source", "portal", "--log", "debug"];
    let host = Host::with(&Setup { desktop: Some(&desktop), arguments, ..Setup::default() });
    let client = Client::paired(&host);
    // The second takes Mutter's client down, and its monitors with it.
    let orders = ["end-monitors", "kill-portal", "end-monitors"];
    let is_soon = |delays: &[f64]| delays.iter().all(|delay| *delay <= SOON);
    let (report, delays) = at_best(
        || survive(&desktop, &host, &client, &orders),
        |(report, delays)| report.is_complete() && report.max_gap_ms <= 250.0 && is_soon(delays),
    );
    println!("{delays:?}: {report:#?}");
    report.assert_whole(1280, 720);
    assert!(report.max_gap_ms <= 250.0, "the stream goes on while there is no monitor: {report:#?}");
    assert!(is_soon(&delays), "seconds until the next one is seen: {delays:?}");
    for session in host.sessions() {
        assert_eq!(session["encoder-replacements"], 0, "{session}");
    }
    let stream = client.start_stream(90, &["--leave", "disconnect"]);
    stream.picture();
    desktop.order("kill-mutter");
    let told = stream.event("terminated", Duration::from_secs(90));
    assert_eq!(told["code"].as_i64(), FATAL_VIDEO_ERROR, "{told}");
    host.wait_log("ended: no source any more", LIMIT);
}

/// A capture of the user's own, which goes to PipeWire by itself.
const OWN: &str = r#"launch = "pipewiresrc target-object=mutter always-copy=true ! video/x-raw""#;

#[test]
fn the_end_of_a_node_that_a_description_names_is_noticed() {
    let _turn = turn();
    let desktop = Desktop::mutter();
    let _window = window(&desktop);
    let host = Host::with(&Setup {
        desktop: Some(&desktop),
        pipelines: &[("capture/own.toml", OWN)],
        arguments: &["--source", "own", "--log", "debug"],
        ..Setup::default()
    });
    let client = Client::paired(&host);
    desktop.order("add-monitor");
    let mut stream = client.start_stream(90, &["--until-told", "--decode", "--beat", "0.1"]);
    stream.picture();
    let shown = times(&host, SHOWS);
    desktop.order("end-monitors");
    host.wait_log("the picture stands still: PipeWire lost the node \"mutter\"", LIMIT);
    host.wait_log("not yet: PipeWire does not have the node \"mutter\"", LIMIT);
    desktop.order("add-monitor");
    until("the new one is shown", LIMIT, || (times(&host, SHOWS) > shown).then_some(()));
    stream.plays_on(60, LIMIT);
    stream.tell_to_end();
    let report = stream.report(90);
    println!("{report:#?}");
    assert_eq!((report.lost, report.decode_errors), (0, 0), "{report:#?}");
}
