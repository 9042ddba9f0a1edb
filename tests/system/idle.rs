//! Nobody plays, and nothing is captured: a source pauses when it is left, and goes on for the next who comes.

use crate::harness::client::{Client, Report};
use crate::harness::desktop::Desktop;
use crate::harness::display::app;
use crate::harness::host::{Host, Setup};
use crate::harness::{at_best, turn, until};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
/// Long enough for ticks of 10 ms, and for PipeWire's session manager to suspend what is idle.
const WHILE: Duration = Duration::from_secs(6);
/// Of the processor time that the host takes while somebody plays.
const SMALL: f64 = 0.04;
const FPS: u64 = 30;
const PAUSES: &str = "pauses: nobody looks";
const LOOK: [&str; 9] =
    ["--width", "640", "--height", "360", "--fps", "30", "--bitrate", "20000", "--decode"];

/// Processor time of the host for a while.
fn spent(host: &Host) -> u64 {
    let before = host.ticks();
    std::thread::sleep(WHILE);
    host.ticks() - before
}

/// A client that plays, is away for a while, and comes back.
#[derive(Debug)]
struct Absence {
    played: u64,
    idled: u64,
    before: Report,
    after: Report,
}

impl Absence {
    fn take(host: &Host, client: &Client, how: &[&str], back: &[&str]) -> Absence {
        let pauses = times(host, PAUSES);
        let mut stream = client.start_stream(60, &[&LOOK[..], how, &["--until-told"]].concat());
        stream.picture();
        let played = spent(host);
        stream.tell_to_end();
        let before = stream.report(60);
        until("it pauses", LIMIT, || (times(host, PAUSES) > pauses).then_some(()));
        let idled = spent(host);
        let after = client.stream(4, &[&LOOK[..], how, back].concat());
        Absence { played, idled, before, after }
    }

    fn share(&self) -> f64 {
        self.idled as f64 / self.played as f64
    }

    /// The picture moves again, before and after.
    fn moves(&self) -> bool {
        [&self.before, &self.after].iter().all(|report| {
            let counter = &report.counter;
            let counted = counter.last.unwrap_or(0).saturating_sub(counter.first.unwrap_or(0));
            let blinked = report.brightness.values().map(Vec::len).max().unwrap_or(0);
            counted >= FPS || blinked >= 10
        })
    }

    fn is_free(&self) -> bool {
        self.share() <= SMALL && self.moves()
    }

    #[track_caller]
    fn assert_free(&self) {
        println!("{} ticks played, {} idled", self.played, self.idled);
        assert!(self.moves(), "{self:#?}");
        assert!(self.share() <= SMALL, "nobody looks, and it costs {}: {self:#?}", self.share());
    }
}

fn times(host: &Host, text: &str) -> usize {
    host.log.all().iter().filter(|line| line.contains(text)).count()
}

/// The host's own test picture goes with its session; one that all share stays.
const SHARED: &str = r#"launch = """
videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=640,height=360,framerate=30/1
! framestamp ! videoconvert ! video/x-raw,format=RGBA64_LE
""""#;

#[test]
fn a_picture_that_nobody_sees_costs_nothing_and_stands_still() {
    let _turn = turn();
    let host = Host::with(&Setup {
        pipelines: &[("capture/shared.toml", SHARED)],
        arguments: &["--source", "shared"],
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let missing = |absence: &Absence| {
        let (last, first) = (absence.before.counter.last, absence.after.counter.first);
        first.expect("it is read").saturating_sub(last.expect("it is read"))
    };
    // Sixty that nobody saw begin the pause; going and coming take a moment each.
    let few = 60 + FPS * WHILE.as_secs() / 2;
    let absence = at_best(
        || Absence::take(&host, &client, &[], &[]),
        |absence| absence.is_free() && missing(absence) <= few,
    );
    absence.assert_free();
    let missing = missing(&absence);
    assert!(missing <= few, "{missing} frames were captured for nobody: {absence:#?}");
}

/// Shows itself at the top of the screen.
const CLOCK: &str = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=640,height=360,framerate=30/1 ! framestamp ! videoconvert";

#[test]
fn a_desktop_is_not_watched_while_nobody_plays_and_its_screencast_stays() {
    let _turn = turn();
    let desktop = Desktop::start(640, 360);
    let _clock = desktop.window(CLOCK, 1);
    let host = Host::with(&Setup {
        desktop: Some(&desktop),
        arguments: &["--source", "portal", "--log", "debug"],
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let absence = at_best(|| Absence::take(&host, &client, &[], &[]), Absence::is_free);
    absence.assert_free();
    for loss in ["the picture stands still", "; started again"] {
        assert_eq!(times(&host, loss), 0, "it was paused, and not lost");
    }
}

/// Black and white in turns.
const BLINKS: &str = "gst-launch-1.0 -q videotestsrc is-live=true pattern=blink ! video/x-raw,width=640,height=360,framerate=30/1 ! waylandsink";

#[test]
fn a_display_that_is_kept_costs_nothing_and_comes_back_in_another_size() {
    let _turn = turn();
    let runtime_dir = tempfile::tempdir().expect("a folder");
    let host = Host::with(&Setup {
        apps: Some(&app("game", BLINKS, "")),
        arguments: &["--source", "virtual"],
        runtime_dir: Some(runtime_dir.path()),
        config: "[displays]\nlinger = \"until released\"\n",
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let how = ["--app", "game", "--brightness", "all=0,0,640,360", "--leave", "disconnect"];
    let back = ["--resume", "--width", "1280", "--height", "720", "--leave", "quit"];
    let absence = at_best(|| Absence::take(&host, &client, &how, &back), Absence::is_free);
    absence.assert_free();
}
