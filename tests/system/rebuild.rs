//! A desktop that dies while somebody plays: the picture stands still, and goes on when the desktop is back.

use crate::harness::client::{Client, Report};
use crate::harness::desktop::Desktop;
use crate::harness::host::{Host, Setup};
use crate::harness::{at_best, monotonic_seconds, turn, until};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
/// What Moonlight makes of the code for a picture that cannot go on.
const FATAL_VIDEO_ERROR: Option<i64> = Some(-104);
/// Backgrounds and their mean luma, on both sides of this.
const DARK: &str = "204060";
const BRIGHT: &str = "c0c0c0";
const BETWEEN: f64 = 120.0;

fn host_in(desktop: &Desktop) -> Host {
    let arguments = &["--source", "portal", "--audio", "pipewire", "--log", "debug"];
    Host::with(&Setup { desktop: Some(desktop), arguments, ..Setup::default() })
}

/// Of a session's log: the key frame that goes with it has the same reason.
const SHOWS: &str = "play: a new source shows";
const STANDS: &str = "the picture stands still";

/// Waits until the log has said this so many times.
fn wait_times(host: &Host, text: &str, times: usize) {
    until(&format!("{times} × {text:?}"), LIMIT, || {
        (host.log.all().iter().filter(|line| line.contains(text)).count() >= times).then_some(())
    });
}

fn times(host: &Host, text: &str) -> usize {
    host.log.all().iter().filter(|line| line.contains(text)).count()
}

/// A desktop whose compositor dies five times and is back a second later each time.
struct Deaths {
    report: Report,
    /// Seconds from when the compositor is back until the client sees it.
    delays: Vec<Option<f64>>,
}

impl Deaths {
    /// `is_bright` says of the desktop what it is before, and after.
    fn play(desktop: &Desktop, host: &Host, client: &Client, is_bright: &mut bool) -> Deaths {
        let (lost, shown) = (times(host, STANDS), times(host, SHOWS));
        let look = ["--until-told", "--decode", "--brightness", "desktop=0,0,1280,720"];
        let mut stream = client.start_stream(90, &look);
        stream.picture();
        let mut back = Vec::new();
        for death in 1..=5 {
            desktop.order("kill-compositor");
            wait_times(host, STANDS, lost + death);
            std::thread::sleep(Duration::from_secs(1));
            *is_bright = !*is_bright;
            desktop.order(&format!("start-compositor {}", if *is_bright { BRIGHT } else { DARK }));
            back.push((monotonic_seconds(), *is_bright));
            wait_times(host, SHOWS, shown + death);
            // Until its background is there too.
            std::thread::sleep(Duration::from_secs(1));
        }
        stream.tell_to_end();
        let report = stream.report(90);
        let changes = &report.brightness["desktop"];
        let delay = |&(back, is_bright): &(f64, bool)| {
            let is_new = |luma: f64| (luma > BETWEEN) == is_bright;
            let killed = back - 1.0;
            let new = changes.iter().find(|(seconds, luma)| *seconds > killed && is_new(*luma));
            new.map(|(seconds, _)| seconds - back)
        };
        let delays = back.iter().map(delay).collect();
        Deaths { report, delays }
    }

    fn is_seamless(&self) -> bool {
        self.report.lost == 0 && self.report.max_gap_ms <= 250.0 && self.is_soon()
    }

    fn is_soon(&self) -> bool {
        self.delays.iter().all(|delay| delay.is_some_and(|delay| delay <= 2.0))
    }
}

#[test]
fn a_compositor_that_dies_five_times_in_a_row_shows_again_each_time() {
    let _turn = turn();
    let desktop = Desktop::start(1280, 720);
    let host = host_in(&desktop);
    let client = Client::paired(&host);
    let mut is_bright = false;
    let deaths = at_best(|| Deaths::play(&desktop, &host, &client, &mut is_bright), Deaths::is_seamless);
    let report = &deaths.report;
    println!("{:?}, longest gap {} ms: {report:#?}", deaths.delays, report.max_gap_ms);
    report.assert_whole(1280, 720);
    assert!(report.max_gap_ms <= 250.0, "the stream goes on while there is no source");
    assert!(deaths.is_soon(), "seconds until it is seen again: {:?}", deaths.delays);
    let sessions = host.sessions();
    let last = sessions.last().expect("it played");
    assert!(last["key-frames"]["a new source shows"].as_u64().is_some_and(|count| count >= 1), "{last}");
}

#[test]
fn a_new_size_a_dead_portal_and_a_dead_pipewire_are_survived() {
    let _turn = turn();
    let desktop = Desktop::start(1280, 720);
    let host = host_in(&desktop);
    let client = Client::paired(&host);
    // Something moves: a desktop that is merely still gives a new screencast nothing. And xdg-desktop-portal-wlr 0.7 does
    // not survive PipeWire: it has to go with it.
    let moving = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=480,framerate=30/1";
    let _window = desktop.window(moving, 1);
    let report = at_best(|| survive(&desktop, &host, &client), Report::is_complete);
    println!("{report:#?}");
    report.assert_whole(1280, 720);
    assert!(report.has_tone(1000.0), "the sound of the new PipeWire: {report:#?}");
    for reason in ["8294400 bytes came for 1280x720", "PipeWire lost the node", "PipeWire ended"] {
        assert!(times(&host, reason) >= 1, "{reason}");
    }
}

fn survive(desktop: &Desktop, host: &Host, client: &Client) -> Report {
    desktop.order("resize 1280x720");
    let mut stream = client.start_stream(90, &["--until-told", "--decode", "--tone"]);
    stream.picture();
    let heard = times(host, "the sound is back");
    let deaths: [&[&str]; 3] =
        [&["resize 1920x1080"], &["kill-portal"], &["kill-sound", "kill-portal", "start-sound"]];
    for death in deaths {
        let shown = times(host, SHOWS);
        death.iter().for_each(|order| desktop.order(order));
        wait_times(host, SHOWS, shown + 1);
    }
    wait_times(host, "the sound is back", heard + 1);
    // Nothing was heard before.
    let tone = desktop.tone(1000.0, 30);
    let _playing = desktop.run("pw-play", &[tone.to_str().expect("text")]);
    std::thread::sleep(Duration::from_secs(3));
    stream.tell_to_end();
    stream.report(90)
}

#[test]
fn one_that_never_comes_back_ends_the_session_with_the_reason() {
    let _turn = turn();
    let desktop = Desktop::start(1280, 720);
    let host = host_in(&desktop);
    let client = Client::paired(&host);
    let stream = client.start_stream(90, &["--leave", "disconnect"]);
    stream.picture();
    desktop.order("kill-compositor");
    let told = stream.event("terminated", Duration::from_secs(60));
    assert_eq!(told["code"].as_i64(), FATAL_VIDEO_ERROR, "{told}");
    let ended = until("the session is over", LIMIT, || {
        host.sessions().last().and_then(|session| session["ended"].as_str().map(str::to_owned))
    });
    assert!(ended.contains("no source any more") && ended.contains("within 40 s"), "{ended}");
    host.wait_log("ended: no source any more", LIMIT);
    // And the next one has a picture again.
    desktop.order(&format!("start-compositor {DARK}"));
    let report = client.stream(1, &["--decode"]);
    assert_eq!(report.decode_errors, 0);
}
