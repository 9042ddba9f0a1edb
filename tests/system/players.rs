//! Four players on one host, who do not feel each other.

use crate::harness::client::{Client, Report, Running};
use crate::harness::desktop::Desktop;
use crate::harness::display::{BLUE, Colour, GREEN, RED, YELLOW, app, is_near, terminal};
use crate::harness::host::{Host, Setup};
use crate::harness::link::{Conditions, Loss, Rate};
use crate::harness::network::{Network, Step};
use crate::harness::{at_best, monotonic_seconds, turn, until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
const TOGETHER: Duration = Duration::from_secs(60);
/// Small pictures: four encoders and four clients share two cores.
const SMALL: [&str; 10] =
    ["--until-told", "--decode", "--tone", "--beat", "0.1", "--width", "640", "--height", "360", "--fps=30"];
const CORNER: &str = "--colour=corner=580,300,40,40";
const PLAYERS: [(Colour, f64); 4] = [(RED, 440.0), (BLUE, 660.0), (GREEN, 880.0), (YELLOW, 1100.0)];
/// Behind a network that loses packets, and becomes slow then.
const LOSSY: usize = 2;
/// Dies halfway.
const KILLED: usize = 3;
/// Too little for the sound and its parity alone.
const SLOW: Rate = Rate { kbps: 200, queue: Duration::from_millis(100) };

#[test]
fn four_play_their_own_while_one_is_killed_and_one_has_a_bad_network() {
    let _turn = turn();
    let desktop = Desktop::start(1280, 720);
    let apps = PLAYERS.map(|(colour, hertz)| {
        let tone = desktop.tone(hertz, 300);
        let cmd = format!("sh -c 'pw-play {} & exec {}'", tone.display(), terminal(colour));
        app(&hertz.to_string(), &cmd, "")
    });
    let host = Host::with(&Setup {
        apps: Some(&apps.concat()),
        arguments: &["--source", "virtual", "--audio", "pipewire"],
        desktop: Some(&desktop),
        ..Setup::default()
    });
    let clients = PLAYERS.map(|_| Client::paired(&host));
    let is_good = |(reports, _): &(Vec<Report>, Report)| {
        reports.iter().take(2).all(Report::is_complete)
            && reports.iter().all(|report| report.decode_errors == 0)
    };
    let (reports, killed) = at_best(|| play(&host, &clients), is_good);
    for (report, (colour, hertz)) in reports.iter().chain([&killed]).zip(PLAYERS) {
        println!(
            "{hertz} Hz: {} frames, {} lost, {} rebuilt",
            report.frames, report.lost, report.fec_recovered
        );
        assert_eq!((report.error, report.terminated, report.decode_errors), (0, None, 0), "{report:#?}");
        assert!(is_near(report.colours["corner"], colour.1), "{report:#?}");
        assert!(report.has_tone(hertz), "{report:#?}");
    }
    for report in &reports[..2] {
        report.assert_whole(640, 360);
        assert_eq!(report.audio_lost, 0, "{report:#?}");
    }
    assert!(reports[LOSSY].fec_recovered > 0, "it lost packets");
}

/// What all saw but the one who was killed, and what that one saw until then.
fn play(host: &Host, clients: &[Client; 4]) -> (Vec<Report>, Report) {
    let network = Network::before(host, 1);
    let port = network.rtsp_port.to_string();
    let before = host.ticks();
    let mut streams: Vec<Running> = clients
        .iter()
        .zip(PLAYERS)
        .enumerate()
        .map(|(index, (client, (_, hertz)))| {
            let (app, way) = (hertz.to_string(), ["--plain-rtsp", "--encrypt", "none", "--rtsp-port", &port]);
            let way = if index == LOSSY { &way[..] } else { &[] };
            let stream = client.start_stream(300, &[&["--app", &app, CORNER], &SMALL[..], way].concat());
            stream.picture();
            stream
        })
        .collect();
    let begin = monotonic_seconds();
    let ten_percent = Conditions { loss: Loss::Each(10.0), ..Conditions::default() };
    let slow = Conditions { rate: Some(SLOW), ..Conditions::default() };
    let script = [(0, ten_percent), (35, slow), (50, Conditions::default())];
    network.play(&script.map(|(second, like)| (Duration::from_secs(second), Step::Become(like))).to_vec());
    until("half of the time is over", 2 * TOGETHER, || (monotonic_seconds() - begin > 30.0).then_some(()));
    let mut killed = streams.remove(KILLED);
    let seen = killed.look(SOON);
    killed.kill();
    until("the time is over", 2 * TOGETHER, || (monotonic_seconds() - begin > 60.0).then_some(()));
    // The kernel counts a hundred ticks a second.
    let used = (host.ticks() - before) as f64 / 100.0;
    println!("{:.1} % of a core for each player", used / (monotonic_seconds() - begin) / 3.5 * 100.0);
    for stream in &mut streams {
        stream.plays_on(15, SOON);
        stream.tell_to_end();
    }
    let counts = network.counts();
    assert!(counts.lost > 0 && counts.overflowed > 0, "a bad network: {counts:?}");
    (streams.into_iter().map(|stream| stream.report(300)).collect(), seen)
}
