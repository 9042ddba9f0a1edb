//! How soon a player who launches sees something, where displays serve X11 programs and where they do not.

use crate::common::{Table, quantile};
use crate::harness::client::Client;
use crate::harness::display::{RED, app, terminal};
use crate::harness::host::Host;
use crate::party::{self, MODE};
use std::time::{Duration, Instant};

const DISPLAY: &str = include_str!("../../pipelines/capture/virtual.toml");
const DISPLAY_IS_THERE: &str = "is a display for apps";
const SOON: Duration = Duration::from_secs(30);
/// Long enough for an app to show itself.
const SECONDS: u32 = 3;
const WAY: [&str; 4] = ["answered", "display for apps", "first frame", "picture of the app"];

/// A host, its client, and how long each launch took until each step of [`WAY`].
struct Home {
    name: &'static str,
    host: Host,
    client: Client,
    times: [Vec<Duration>; WAY.len()],
    _folder: tempfile::TempDir,
}

/// In turns, so many launches each.
pub fn measure(launches: usize) {
    let without = DISPLAY.replace("xwayland=true", "xwayland=false");
    assert_ne!(without, DISPLAY, "the description says it in other words by now");
    let mut homes = [Home::new("with Xwayland", DISPLAY), Home::new("without", &without)];
    for number in 1..=launches {
        eprintln!("launch {number} of {launches}");
        homes.iter_mut().for_each(Home::launch);
    }
    let mut table = Table::new(&[&["from the launch until, ms"], &WAY[..]].concat());
    for Home { name, times, .. } in &homes {
        for (what, share) in [("median", 0.5), ("longest", 1.0)] {
            let millis = |times: &Vec<Duration>| format!("{}", quantile(times, share).as_millis());
            table.row([format!("{name}, {what}")].into_iter().chain(times.iter().map(millis)));
        }
    }
    table.print("Launches");
}

impl Home {
    fn new(name: &'static str, display: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let apps = app("game", &terminal(RED), "");
        let host = party::host(&apps, folder.path(), &[("capture/virtual.toml", display)]);
        let client = Client::paired(&host);
        Self { name, host, client, times: Default::default(), _folder: folder }
    }

    fn launch(&mut self) {
        let how = ["--app", "game", "--decode", "--brightness", "all=0,0,1280,720"];
        let stream = self.client.start_unwatched_stream(SECONDS, &[&how, &MODE[..]].concat());
        stream.event("launched", SOON);
        let answered = Instant::now();
        let is_there = self.wait_for_display(self.times[0].len() + 1);
        let report = stream.report(SECONDS);
        let millis = |millis: f64| Duration::from_secs_f64(millis / 1e3);
        let seen = &report.brightness["all"];
        assert!(seen.len() > 1, "the app does not show itself within {SECONDS} s: {report:#?}");
        let launch = millis(report.launch_ms);
        let frame = millis(report.first_frame_ms);
        let picture = frame + Duration::from_secs_f64(seen[1].0 - seen[0].0);
        let steps = [launch, launch + (is_there - answered), frame, picture];
        self.times.iter_mut().zip(steps).for_each(|(times, step)| times.push(step));
    }

    /// When the host says so for the time of this number.
    fn wait_for_display(&self, number: usize) -> Instant {
        let mut left = number;
        let found = self.host.log.wait_for(SOON, |line| {
            left -= usize::from(line.contains(DISPLAY_IS_THERE));
            (left == 0).then(Instant::now)
        });
        found.unwrap_or_else(|| panic!("no display within {SOON:?}:\n{}", self.host.log.tail(30)))
    }
}
