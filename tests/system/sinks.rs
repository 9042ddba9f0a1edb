//! Each player hears their own apps, and nobody else's; and the host plays what they hear only if they ask for it.

use crate::harness::client::{Client, Report, Running};
use crate::harness::desktop::{Desktop, Program};
use crate::harness::display::{BLUE, Colour, RED, app, assert_colour, terminal};
use crate::harness::host::{Host, Setup};
use crate::harness::{at_best, turn, until};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOUDSPEAKER: &str = "loudspeaker";
const IN_FORCE: &str = "default.audio.sink";
/// What was chosen by a person or for one.
const CHOSEN: &str = "default.configured.audio.sink";
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

/// As the session manager names it.
fn default_sink(desktop: &Desktop, key: &str) -> String {
    let told = desktop.ask("pw-metadata", &["0", key]);
    let name = told.split_once("\"name\":").map_or("", |(_, rest)| rest);
    name.split('"').nth(1).unwrap_or_default().to_owned()
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

/// Everything that the loudspeaker plays.
struct Recording {
    file: PathBuf,
    recorder: Program,
}

impl Recording {
    fn start(desktop: &Desktop) -> Recording {
        let file = desktop.folder().join("loudspeaker.raw");
        let text = format!(
            "-q pipewiresrc target-object={LOUDSPEAKER} stream-properties=props,stream.capture.sink=true \
             ! audio/x-raw,format=F32LE ! filesink buffer-mode=unbuffered location={}",
            file.display()
        );
        let words: Vec<&str> = text.split_whitespace().collect();
        let _ = std::fs::remove_file(&file);
        let recorder = desktop.run("gst-launch-1.0", &words);
        until("the loudspeaker is recorded", SOON, || (samples(&file).len() > 4800).then_some(()));
        Self { file, recorder }
    }

    /// A second of it at least.
    fn end(self) -> Vec<f32> {
        until("there is a second of it", SOON, || (samples(&self.file).len() > 96_000).then_some(()));
        drop(self.recorder);
        samples(&self.file)
    }
}

fn samples(file: &Path) -> Vec<f32> {
    let bytes = std::fs::read(file).unwrap_or_default();
    bytes.as_chunks().0.iter().map(|sample| f32::from_le_bytes(*sample)).collect()
}

fn is_silent(samples: &[f32]) -> bool {
    samples.iter().all(|sample| sample.abs() < 1e-6)
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

    let loudspeaker = Recording::start(&desktop);
    play_well(&desktop, &players, || {});
    assert!(is_silent(&loudspeaker.end()), "the default sink plays something");
    assert_eq!(default_sink(&desktop, IN_FORCE), LOUDSPEAKER);

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

/// The stream of a client that hears what the desktop plays.
fn listen(client: &Client, more: &[&str]) -> Running {
    let arguments = [&["--until-told", "--hear", "1000"], &LOOK[..], more].concat();
    let stream = client.start_stream(60, &arguments);
    stream.picture();
    stream
}

/// Hears it, and tells what the loudspeaker plays at the same time.
fn assert_hears(desktop: &Desktop, mut stream: Running) -> Vec<f32> {
    let loudspeaker = Recording::start(desktop);
    stream.sounds_on(SETTLED, SOON);
    let loudspeaker = loudspeaker.end();
    stream.tell_to_end();
    let report = stream.report(60);
    assert!(report.hears_only("1000"), "{report:#?}");
    loudspeaker
}

/// The one silent sink that is the default while somebody plays, with the program on it.
fn wait_until_hushed(desktop: &Desktop) {
    until("the silent sink is the default", SOON, || {
        let sinks = desktop.sinks();
        (sinks.len() == 1 && sinks[0] == default_sink(desktop, IN_FORCE)).then_some(())
    });
    wait_until_played(desktop, &desktop.sinks());
    until("the loudspeaker is left", SOON, || (players_on(desktop, LOUDSPEAKER) == 0).then_some(()));
}

fn wait_until_given_back(desktop: &Desktop) {
    until("the loudspeaker is the default", SOON, || {
        (default_sink(desktop, IN_FORCE) == LOUDSPEAKER).then_some(())
    });
    wait_until_played(desktop, &[LOUDSPEAKER.to_owned()]);
    until("nothing is left", SOON, || desktop.sinks().is_empty().then_some(()));
}

#[test]
fn a_desktop_is_silent_while_it_is_played_unless_the_client_asks() {
    let _turn = turn();
    let desktop = Desktop::start(640, 360);
    let tone = desktop.tone(1000.0, 600);
    let _playing = desktop.run("pw-play", &[tone.to_str().expect("text")]);
    wait_until_played(&desktop, &[LOUDSPEAKER.to_owned()]);
    let setup = Setup { desktop: Some(&desktop), arguments: &["--audio", "pipewire"], ..Setup::default() };
    let mut host = Host::with(&setup);
    let client = Client::paired(&host);

    let stream = listen(&client, &[]);
    wait_until_hushed(&desktop);
    assert!(is_silent(&assert_hears(&desktop, stream)), "the loudspeaker plays");
    wait_until_given_back(&desktop);
    assert_eq!(default_sink(&desktop, CHOSEN), "", "nothing was chosen before");

    let stream = listen(&client, &["--local-audio"]);
    assert!(!is_silent(&assert_hears(&desktop, stream)), "the loudspeaker is silent");
    assert!(desktop.sinks().is_empty() && default_sink(&desktop, IN_FORCE) == LOUDSPEAKER);

    let chosen = format!("{{ \"name\": \"{LOUDSPEAKER}\" }}");
    desktop.ask("pw-metadata", &["0", CHOSEN, &chosen, "Spa:String:JSON"]);
    let stream = listen(&client, &[]);
    wait_until_hushed(&desktop);
    host.kill();
    stream.kill();
    wait_until_given_back(&desktop);
    let host = host.again(&setup);
    assert_eq!(default_sink(&desktop, CHOSEN), LOUDSPEAKER, "as it was chosen");

    // The session manager loses ours as well.
    let stream = listen(&client, &[]);
    wait_until_hushed(&desktop);
    restart_sound(&desktop);
    let _playing = desktop.run("pw-play", &[tone.to_str().expect("text")]);
    wait_until_hushed(&desktop);
    assert!(is_silent(&assert_hears(&desktop, stream)), "the loudspeaker plays");
    wait_until_given_back(&desktop);
    assert_eq!(default_sink(&desktop, CHOSEN), LOUDSPEAKER);
    drop(host);
}

fn restart_sound(desktop: &Desktop) {
    desktop.order("kill-sound");
    desktop.order("start-sound");
}

#[test]
fn a_display_is_heard_on_the_host_if_the_client_asks() {
    let _turn = turn();
    let desktop = Desktop::start(640, 360);
    let [first, _] = GAMES;
    let host = Host::with(&Setup {
        apps: Some(&game(&desktop, first)),
        arguments: &["--source", "virtual", "--audio", "pipewire"],
        desktop: Some(&desktop),
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let mut stream =
        client.start_stream(60, &[&["--app", first.0, "--until-told", "--local-audio"], &LOOK[..]].concat());
    stream.picture();
    until("there is a sink", SOON, || (desktop.sinks().len() == 1).then_some(()));
    wait_until_played(&desktop, &desktop.sinks());
    wait_until_played(&desktop, &[LOUDSPEAKER.to_owned()]);
    let loudspeaker = Recording::start(&desktop);
    stream.sounds_on(SETTLED, SOON);
    assert!(!is_silent(&loudspeaker.end()), "the loudspeaker is silent");
    stream.tell_to_end();
    let report = stream.report(60);
    assert!(report.hears_only(first.1), "{report:#?}");
    until("nothing plays here any more", SOON, || (players_on(&desktop, LOUDSPEAKER) == 0).then_some(()));
}
