//! Each player hears their own apps, and nobody else's.

use crate::harness::client::{Client, Report};
use crate::harness::desktop::Desktop;
use crate::harness::display::{BLUE, Colour, RED, app, assert_colour, terminal};
use crate::harness::host::{Host, Setup};
use crate::harness::{at_best, turn, until};
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
/// Packets of 5 ms, for the last second of a stream to be what it settled on.
const SETTLED: u64 = 600;

/// Name of the app, its tone in hertz, what it shows.
type Game = (&'static str, &'static str, Colour);

const GAMES: [Game; 2] = [("first", "500", RED), ("second", "800", BLUE)];
const LOOK: [&str; 16] = [
    "--decode",
    "--width",
    "640",
    "--height",
    "360",
    "--fps",
    "30",
    "--hear",
    "500",
    "--hear",
    "800",
    "--colour=corner=580,300,40,40",
    "--beat",
    "0.1",
    "--leave",
    "disconnect",
];

/// Plays its tone again and again, whatever becomes of PipeWire, and fills its display with its colour.
fn game(desktop: &Desktop, (title, tone, colour): Game) -> String {
    let file = desktop.tone(tone.parse().expect("a number"), 4);
    let (file, desktop) = (file.display(), desktop.folder().display());
    // No host is left to end it.
    let play = format!("while sleep 0.1 && [ -d {desktop} ]; do timeout 6 pw-play {file}; done");
    app(title, &format!("sh -c '{play} & exec {}'", terminal(colour)), "")
}

/// What nodes play to this one.
fn players_on(desktop: &Desktop, sink: &str) -> usize {
    let links = desktop.ask("pw-link", &["-l", "-o"]);
    links.matches(&format!("|-> {sink}:playback_FL")).count()
}

/// Ends a part of PipeWire, which costs all sinks, and starts it again.
fn restart(desktop: &Desktop, host: &Host, part: &str, loss: &str) {
    let losses = || {
        let log = host.log.all();
        log.iter().filter(|line| line.contains("has to be made again") && line.contains(loss)).count()
    };
    let before = losses();
    desktop.order(&format!("kill-{part}"));
    until(loss, SOON, || (losses() >= before + GAMES.len()).then_some(()));
    desktop.order(&format!("start-{part}"));
}

/// These are there again, an app plays to each, and the host listens to each.
fn wait_until_heard(desktop: &Desktop, sinks: &[String]) {
    until("the sinks are back", SOON, || (desktop.sinks() == sinks).then_some(()));
    wait_until_played(desktop, sinks);
    until("the host listens to them", SOON, || {
        let links = desktop.ask("pw-link", &["-l", "-o"]);
        let is_linked = |sink: &String| {
            let monitor = links.split_once(&format!("{sink}:monitor_FL\n")).map_or("", |(_, rest)| rest);
            monitor.trim_start().starts_with("|->")
        };
        sinks.iter().all(is_linked).then_some(())
    });
}

fn wait_until_played(desktop: &Desktop, sinks: &[String]) {
    for sink in sinks {
        until(&format!("an app plays to {sink}"), SOON, || (players_on(desktop, sink) > 0).then_some(()));
    }
}

/// All play for so long that the last second is their games' sound.
fn play(desktop: &Desktop, players: &[(&Client, Game)], disturb: impl Fn()) -> Vec<Report> {
    let mut streams: Vec<_> = (players.iter())
        .map(|(client, (app, ..))| {
            client.start_stream(60, &[&["--app", app, "--until-told"], &LOOK[..]].concat())
        })
        .collect();
    streams.iter().for_each(|stream| _ = stream.picture());
    until("there are sinks", SOON, || (desktop.sinks().len() == GAMES.len()).then_some(()));
    wait_until_played(desktop, &desktop.sinks());
    disturb();
    streams.iter().for_each(|stream| stream.sounds_on(SETTLED, SOON));
    streams.iter_mut().for_each(|stream| stream.tell_to_end());
    streams.into_iter().map(|stream| stream.report(60)).collect()
}

fn assert_own(players: &[(&Client, Game)], reports: &[Report]) {
    for ((_, (_, tone, colour)), report) in players.iter().zip(reports) {
        assert!(report.hears_only(tone), "not {tone} Hz alone: {report:#?}");
        assert_colour(report, *colour);
    }
}

fn play_well(desktop: &Desktop, players: &[(&Client, Game)], disturb: impl Fn()) {
    let is_heard = |reports: &Vec<Report>| {
        players.iter().zip(reports).all(|((_, (_, tone, _)), report)| report.hears_only(tone))
    };
    assert_own(players, &at_best(|| play(desktop, players, &disturb), is_heard));
}

/// Everything that the default sink plays, into this file.
fn recording(file: &Path) -> Vec<String> {
    let text = format!(
        "-q pipewiresrc target-object=loudspeaker stream-properties=props,stream.capture.sink=true \
         ! audio/x-raw,format=F32LE ! filesink buffer-mode=unbuffered location={}",
        file.display()
    );
    text.split_whitespace().map(str::to_owned).collect()
}

fn samples(file: &Path) -> Vec<f32> {
    let bytes = std::fs::read(file).expect("a recording");
    bytes.as_chunks().0.iter().map(|sample| f32::from_le_bytes(*sample)).collect()
}

#[test]
fn each_player_hears_their_own_app_and_the_loudspeaker_none() {
    let _turn = turn();
    let desktop = Desktop::start(640, 360);
    let apps = GAMES.map(|each| game(&desktop, each)).concat();
    let mut host = Host::with(&Setup {
        apps: Some(&apps),
        arguments: &["--source", "virtual", "--audio", "pipewire", "--log", "debug"],
        config: "[displays]\nlinger = \"until released\"\n",
        desktop: Some(&desktop),
        ..Setup::default()
    });
    let clients = GAMES.map(|_| Client::paired(&host));
    let players: Vec<_> = clients.iter().zip(GAMES).collect();

    let file = desktop.folder().join("loudspeaker.raw");
    let words = recording(&file);
    let recorder = desktop.run("gst-launch-1.0", &words.iter().map(String::as_str).collect::<Vec<_>>());
    play_well(&desktop, &players, || {});
    drop(recorder);
    let loudspeaker = samples(&file);
    assert!(loudspeaker.len() > 96_000, "a second of it at least: {}", loudspeaker.len());
    assert!(loudspeaker.iter().all(|sample| sample.abs() < 1e-6), "the default sink plays something");
    let default = desktop.ask("pw-metadata", &["0", "default.audio.sink"]);
    assert!(default.contains("\"loudspeaker\""), "{default}");

    // Nobody plays, and the games go on.
    let kept = desktop.sinks();
    assert_eq!(kept.len(), GAMES.len());
    play_well(&desktop, &players[..1], || {});
    assert_eq!(desktop.sinks(), kept, "who comes back finds their own");

    play_well(&desktop, &players, || {
        restart(&desktop, &host, "sound", "PipeWire ended");
        wait_until_heard(&desktop, &kept);
    });
    play_well(&desktop, &players, || {
        restart(&desktop, &host, "wireplumber", "PipeWire lost its session manager");
        wait_until_heard(&desktop, &kept);
    });

    clients[0].run(&["cancel"]);
    until("a sink goes with its display", SOON, || (desktop.sinks().len() == GAMES.len() - 1).then_some(()));
    host.kill();
    until("nothing of it is left", SOON, || desktop.sinks().is_empty().then_some(()));
}
