//! A host with a display for each player, and the players.

use crate::harness::client::{Client, Report, Running};
use crate::harness::display::{RED, app, terminal};
use crate::harness::host::{Host, Setup};
use crate::harness::{output, until};
use crate::machine::{Shares, Spent};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What is on the displays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Still,
    Moving,
}

/// The encoder that is measured, whatever else this machine has.
const ENCODER: &str = "h264-x264-rfi";
const ENCODER_TEXT: &str = include_str!("../../pipelines/encode/h264-x264-rfi.toml");
const CONFIG: &str = "[players]\nmost = 1000\noverload = \"allow\"\n[displays]\nlinger = \"immediately\"\n";
pub const MODE: [&str; 6] = ["--width", "1280", "--height", "720", "--fps", "60"];
/// Pictures that differ everywhere, shown again and again.
const PICTURES: u32 = 8;
/// A player whose processors are all busy needs long for the first picture.
const PATIENCE: Duration = Duration::from_secs(60);
/// Nobody plays longer.
const LONGEST: u32 = 3600;
/// Frames after which a stream has settled.
const SETTLED: u64 = 120;

/// Ends in the order of its fields.
pub struct Party {
    content: Content,
    players: Vec<(Client, Running)>,
    host: Host,
    _folder: tempfile::TempDir,
}

/// What all players saw, and what it took.
#[derive(Debug)]
pub struct Figures {
    /// Of each player, frames and new pictures in a second.
    pub fps: Vec<f64>,
    pub new: Vec<f64>,
    pub lost: i64,
    pub shares: Shares,
}

/// How far a player is.
struct Position {
    report: Report,
    sent: u64,
    new: u64,
}

impl Party {
    pub fn new(content: Content) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let apps = app("game", &command(content, folder.path()), "");
        Self { content, players: Vec::new(), host: host(&apps, folder.path(), &[]), _folder: folder }
    }

    /// One more plays, and all see what they are to see.
    pub fn invite(&mut self) {
        let client = Client::paired(&self.host);
        let how = [&["--app", "game", "--until-told", "--beat", "0.5"][..], &MODE].concat();
        let stream = client.start_unwatched_stream(LONGEST, &how);
        stream.picture().plays_on(SETTLED, PATIENCE);
        self.players.push((client, stream));
        if self.content == Content::Moving {
            until("what the last player sees moves", PATIENCE, || {
                (self.counted().last()?.1 >= SETTLED / 2).then_some(())
            });
        }
    }

    pub fn measure(&mut self, time: Duration) -> Figures {
        let clients: Vec<u32> = self.players.iter().map(|(_, stream)| stream.pid()).collect();
        let before = self.positions();
        let spent_before = Spent::now(self.host.pid(), &clients);
        std::thread::sleep(time);
        let spent = Spent::now(self.host.pid(), &clients);
        let after = self.positions();
        let pairs = || after.iter().zip(&before);
        let fps = pairs().map(|(after, before)| after.fps_since(before));
        let new = pairs().map(|(after, before)| after.fps_since(before) * after.new_since(before));
        Figures {
            fps: fps.collect(),
            new: new.collect(),
            lost: pairs().map(|(after, before)| after.report.lost - before.report.lost).sum(),
            shares: spent.since(&spent_before),
        }
    }

    /// Everybody leaves; panics if somebody's stream failed.
    pub fn end(mut self) {
        self.players.iter_mut().for_each(|(_, stream)| stream.tell_to_end());
        for (_, stream) in self.players.drain(..) {
            let report = stream.report(LONGEST);
            assert_eq!(report.terminated, None, "{report:#?}");
        }
    }

    fn positions(&mut self) -> Vec<Position> {
        let counted = self.counted();
        assert_eq!(counted.len(), self.players.len(), "somebody's session is over");
        let players = self.players.iter_mut().zip(counted);
        let looks = players.map(|((_, stream), (sent, new))| {
            let report = stream.look(PATIENCE);
            assert_eq!(report.terminated, None, "{report:#?}");
            Position { report, sent, new }
        });
        looks.collect()
    }

    /// Of each player in the order of coming, the frames that the host has sent, and those of them that show something new.
    fn counted(&self) -> Vec<(u64, u64)> {
        let sessions = self.host.sessions().into_iter().filter(|session| session["ended"].is_null());
        let count = |session: serde_json::Value| {
            assert_eq!(session["encoder"], ENCODER, "that is what is measured: {session}");
            let frames = |name: &str| session["frames"][name].as_u64().expect("a number");
            (frames("sent"), frames("new"))
        };
        sessions.map(count).collect()
    }
}

impl Position {
    fn fps_since(&self, before: &Self) -> f64 {
        (self.report.frames - before.report.frames) as f64 / (self.report.seconds - before.report.seconds)
    }

    /// The share of frames that show something new. The host counts once a second: not in the very same time, but all at
    /// the same moment.
    fn new_since(&self, before: &Self) -> f64 {
        (self.new - before.new) as f64 / (self.sent - before.sent).max(1) as f64
    }
}

/// With the encoder that is measured, and these descriptions besides.
pub fn host(apps: &str, runtime_dir: &Path, descriptions: &[(&str, &str)]) -> Host {
    let encoder = ENCODER_TEXT.replace("rank = 25", "rank = 1000");
    assert_ne!(encoder, ENCODER_TEXT, "it has another rank by now");
    let file = format!("encode/{ENCODER}.toml");
    Host::with(&Setup {
        config: CONFIG,
        apps: Some(apps),
        arguments: &["--source", "virtual"],
        pipelines: &[&[(file.as_str(), encoder.as_str())], descriptions].concat(),
        runtime_dir: Some(runtime_dir),
        ..Setup::default()
    })
}

/// What fills a display, as cheaply as can be: it is the host that is measured.
fn command(content: Content, folder: &Path) -> String {
    let files = folder.join("picture-%d");
    let files = files.display();
    match content {
        Content::Still => terminal(RED),
        Content::Moving => {
            let text = format!(
                "videotestsrc num-buffers={PICTURES} pattern=zone-plate kx2=10 ky2=10 kt=4 \
                 ! video/x-raw,format=BGRx,width=1280,height=720,framerate=60/1 ! multifilesink location={files}"
            );
            let drawn = output(Command::new("gst-launch-1.0").arg("-q").args(text.split_whitespace()));
            assert!(drawn.status.success(), "{drawn:?}");
            format!(
                "gst-launch-1.0 -q multifilesrc location={files} stop-index={} loop=true \
                 ! rawvideoparse format=bgrx width=1280 height=720 framerate=60/1 ! waylandsink",
                PICTURES - 1
            )
        }
    }
}
