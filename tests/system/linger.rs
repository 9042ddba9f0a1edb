//! Displays that wait for clients that left.

use crate::harness::client::Client;
use crate::harness::display::{RED, app, assert_colour, sockets, terminal};
use crate::harness::host::{Host, Setup};
use crate::harness::{send_signal, turn, until};
use std::time::Duration;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);
const SMALL: [&str; 9] = ["--app", "game", "--decode", "--width", "640", "--height", "360", "--fps", "30"];
const LARGE: [&str; 9] = ["--app", "game", "--decode", "--width", "1280", "--height", "720", "--fps", "60"];

/// A host with one app, which fills its display with a colour and writes down that it was started.
struct House {
    host: Host,
    client: Client,
    runtime_dir: TempDir,
}

impl House {
    fn new(linger: &str) -> House {
        let runtime_dir = tempfile::tempdir().expect("a folder");
        let starts = runtime_dir.path().join("starts");
        let cmd = format!("sh -c 'echo $$ >> {} && exec {}'", starts.display(), terminal(RED));
        let apps = app("game", &cmd, "");
        let host = Host::with(&Setup {
            apps: Some(&apps),
            arguments: &["--source", "virtual"],
            runtime_dir: Some(runtime_dir.path()),
            config: &format!("[displays]\nlinger = {linger}\n"),
            ..Setup::default()
        });
        let client = Client::paired(&host);
        House { host, client, runtime_dir }
    }

    /// How often the app was started.
    fn starts(&self) -> usize {
        let starts = std::fs::read_to_string(self.runtime_dir.path().join("starts"));
        starts.map_or(0, |text| text.lines().count())
    }

    /// The process of the app.
    fn app(&self) -> Option<u32> {
        let starts = std::fs::read_to_string(self.runtime_dir.path().join("starts")).ok()?;
        starts.lines().last()?.parse().ok()
    }

    /// Sockets of displays.
    fn displays(&self) -> Vec<String> {
        sockets(self.runtime_dir.path())
    }

    /// Plays for eight seconds, sees the app in the last corner of the picture, and leaves in that way.
    fn play(&self, mode: &[&str], how: &[&str]) {
        let corner = match mode[4] {
            "640" => "--colour=corner=580,300,40,40",
            _ => "--colour=corner=1200,640,60,60",
        };
        let report = self.client.stream(8, &[mode, &[corner], how].concat());
        assert_eq!((report.error, report.terminated), (0, None), "{report:#?}");
        assert_colour(&report, RED);
    }
}

#[test]
fn a_client_finds_its_display_and_app_again_in_another_size() {
    let _turn = turn();
    let house = House::new("\"until released\"");
    house.play(&SMALL, &["--leave", "disconnect"]);
    let display = house.displays();
    assert!(!display.is_empty() && house.client.running_app() != "0");
    house.play(&LARGE, &["--resume", "--leave", "disconnect"]);
    assert_eq!((house.displays(), house.starts()), (display, 1));
    house.client.run(&["cancel"]);
    until("a quit removes it", SOON, || house.displays().is_empty().then_some(()));
    assert_eq!(house.client.running_app(), "0");
}

#[test]
fn a_display_waits_no_longer_than_it_is_told_to() {
    let _turn = turn();
    let house = House::new("1");
    house.play(&SMALL, &["--leave", "disconnect"]);
    until("nobody waits for ever", SOON, || house.displays().is_empty().then_some(()));
    until("nothing runs", SOON, || (house.client.running_app() == "0").then_some(()));
    let late = house.client.run(&["stream", "--seconds", "2", "--resume"]);
    assert!(late["refused"].to_string().contains("Nothing runs"), "{late}");
    house.play(&SMALL, &[]);
    assert_eq!(house.starts(), 2, "it began anew");
}

/// Its app ends while nobody looks.
#[test]
fn a_display_goes_with_its_app() {
    let _turn = turn();
    let house = House::new("\"until released\"");
    house.play(&SMALL, &["--leave", "disconnect"]);
    let pid = house.app().expect("it runs");
    send_signal(pid, libc::SIGKILL);
    until("the display goes", SOON, || house.displays().is_empty().then_some(()));
    until("nothing runs", SOON, || (house.client.running_app() == "0").then_some(()));
}

#[test]
fn a_client_that_launches_again_gets_what_its_old_session_showed() {
    let _turn = turn();
    let house = House::new("\"immediately\"");
    // One that quits once it is told would quit the newer one.
    let zombie = house.client.start_stream(60, &[&SMALL[..], &["--leave", "disconnect"]].concat());
    zombie.picture();
    until("the app was started", SOON, || (house.starts() == 1).then_some(()));
    house.play(&LARGE, &["--leave", "disconnect"]);
    assert_eq!(house.starts(), 1);
    until("nothing waits", SOON, || house.displays().is_empty().then_some(()));
}

#[test]
fn what_waits_until_it_is_released_goes_with_the_host() {
    let _turn = turn();
    let mut house = House::new("\"until released\"");
    house.play(&SMALL, &["--leave", "disconnect"]);
    assert!(!house.displays().is_empty());
    house.host.stop();
    assert!(house.displays().is_empty());
}
