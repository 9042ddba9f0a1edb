//! What a display costs at 720p60, in processor time of this process, client not included, and how soon it shows something.

#[path = "../../gamestream/benches/common/mod.rs"]
mod common;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/display/harness.rs"]
mod harness;

use common::{Clock, Options, Table, number, print_machine, quantile};
use gst::prelude::*;
use harness::{PATIENCE, Show};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const CAPS: &str = "video/x-raw,width=1280,height=720,framerate=60/1";
/// Redraws its window in every interval.
const WINDOW: &str = "videotestsrc pattern=ball is-live=true ! video/x-raw,width=1280,height=720,framerate=60/1,format=BGRx ! waylandsink";

fn main() {
    let Options { quick, .. } = Options::from_args();
    harness::init();
    print_machine("Displays", "1280x720 at 60 fps.");
    starts(if quick { 3 } else { 10 });
    costs(Duration::from_secs(if quick { 1 } else { 5 }));
}

/// How long it takes, in turns without and with Xwayland.
fn starts(count: usize) {
    const KINDS: [(&str, &str); 2] =
        [("without Xwayland", "xwayland=false"), ("with Xwayland", "xwayland=true")];
    let mut all = KINDS.map(|_| Vec::new());
    for _ in 0..count {
        for (starts, (_, properties)) in all.iter_mut().zip(KINDS) {
            starts.push(Start::measure(properties));
        }
    }
    let mut table =
        Table::new(&["ms", "NULL to READY", "to PLAYING", "to the first buffer", "NULL to the message"]);
    for (starts, (name, _)) in all.iter().zip(KINDS) {
        for (what, share) in [("median", 0.5), ("longest", 1.0)] {
            let millis = |of: fn(&Start) -> Duration| {
                let times: Vec<Duration> = starts.iter().map(of).collect();
                number(quantile(&times, share).as_secs_f64() * 1e3)
            };
            table.row([
                format!("{name}, {what}"),
                millis(|start| start.ready),
                millis(|start| start.playing),
                millis(|start| start.shown),
                millis(|start| start.announced),
            ]);
        }
    }
    table.print("A display begins");
}

/// One start.
struct Start {
    ready: Duration,
    /// From READY until it was told to play.
    playing: Duration,
    /// From then until the first buffer came.
    shown: Duration,
    /// From NULL until `wayland-display` was posted: programs can connect, X11 programs too where they may.
    announced: Duration,
}

impl Start {
    fn measure(properties: &str) -> Self {
        let show = Show::prepare(properties, CAPS);
        let (sender, announcements) = channel();
        show.pipeline.bus().expect("a pipeline has one").set_sync_handler(move |_, message| {
            if message.structure().is_some_and(|said| said.name() == "wayland-display") {
                _ = sender.send(Instant::now());
            }
            gst::BusSyncReply::Drop
        });
        let turn = |state: gst::State| {
            show.pipeline.set_state(state).expect("it does");
            Instant::now()
        };
        let begin = Instant::now();
        let ready = turn(gst::State::Ready);
        let playing = turn(gst::State::Playing);
        let sample = show.sink.try_pull_sample(gst::ClockTime::try_from(PATIENCE).expect("not as long"));
        let shown = Instant::now();
        assert!(sample.is_some(), "no buffer within {PATIENCE:?}");
        let announced = announcements.recv_timeout(PATIENCE).expect("it says its name");
        Self {
            ready: ready - begin,
            playing: playing - ready,
            shown: shown - playing,
            announced: announced - begin,
        }
    }
}

/// Processor time of this process for each picture.
fn costs(time: Duration) {
    let mut table = Table::new(&["", "pictures/s", "ms of processor time each", "% of a core"]);
    for (what, properties, busy) in [
        ("nothing moves, only-damaged", "only-damaged=true", false),
        ("nothing moves", "", false),
        ("a window is redrawn", "", true),
    ] {
        let show = Show::start(properties, CAPS);
        let _window = busy.then(|| show.run("gst-launch-1.0", &WINDOW.split(' ').collect::<Vec<_>>()));
        let first = show.picture();
        if busy {
            show.picture_with("the window moves", |shot| !shot.is_all(first.at(0, 0)));
        }
        let (start, used) = (Instant::now(), Clock::ProcessCpu.now());
        let mut pictures = 0;
        while start.elapsed() < time {
            pictures += usize::from(show.sink.try_pull_sample(gst::ClockTime::from_mseconds(100)).is_some());
        }
        let (took, used) = (start.elapsed().as_secs_f64(), (Clock::ProcessCpu.now() - used).as_secs_f64());
        table.row([
            what.to_owned(),
            number(pictures as f64 / took),
            if pictures == 0 { "–".to_owned() } else { number(used * 1e3 / pictures as f64) },
            number(100.0 * used / took),
        ]);
    }
    table.print("A display costs");
}
