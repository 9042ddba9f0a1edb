//! A long stream from a desktop of which random parts die, one after the other. Afterwards nothing of it is left.

use crate::harness::client::{Client, Running};
use crate::harness::desktop::{Desktop, Program};
use crate::harness::host::{Host, Setup, Usage};
use crate::harness::{Seeded, seed, soak_part, turn, until};
use std::time::{Duration, Instant};

/// Seconds in `make test`.
const SHORT: u32 = 48;
/// Of a long soak; the other part is the network's.
const PART: f64 = 0.4;
/// Longest until a picture comes again after a fault, on a machine that others use.
const PATIENCE: Duration = Duration::from_secs(30);
/// `pipewiresrc` gives up on a connection after half a minute.
const END_PATIENCE: Duration = Duration::from_secs(60);
/// Faults of one stream at most: its client keeps every frame until it decodes them.
const FAULTS_A_STREAM: u32 = 12;
const MODE: [&str; 8] = ["--width", "640", "--height", "360", "--fps", "30", "--bitrate", "6000"];
const SIZES: [&str; 4] = ["1280x720", "1920x1080", "1024x768", "800x600"];
/// On a desktop that is merely still, a new screencast shows nothing.
const MOVING: &str =
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1";

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Compositor,
    Portal,
    /// With the portal's backend, which does not survive it.
    PipeWire,
    WirePlumber,
    /// The two that everything passes through, one right after the other.
    PortalAndWirePlumber,
    Resized,
    /// The client goes as it should, and comes back.
    Left,
    /// It goes while there is no desktop, and comes back when there is one.
    LeftInTheDark,
}

const FAULTS: [Fault; 8] = [
    Fault::Compositor,
    Fault::Portal,
    Fault::PipeWire,
    Fault::WirePlumber,
    Fault::PortalAndWirePlumber,
    Fault::Resized,
    Fault::Left,
    Fault::LeftInTheDark,
];

/// What must be again as it was.
#[derive(Clone, Copy, Debug)]
struct Held {
    host: Usage,
    /// Nodes and clients.
    pipewire: (usize, usize),
}

struct Soak {
    stream: Option<Running>,
    /// Faults of the present stream.
    struck: u32,
    /// Streams so far.
    came: u32,
    /// Something moves in it.
    window: Option<Program>,
    size: &'static str,
    random: Seeded,
    client: Client,
    host: Host,
    desktop: Desktop,
}

impl Soak {
    fn start(seed: u64) -> Soak {
        let desktop = Desktop::start(1280, 720);
        let arguments = &["--source", "portal", "--audio", "pipewire", "--log", "debug"];
        let host = Host::with(&Setup { desktop: Some(&desktop), arguments, ..Setup::default() });
        let client = Client::paired(&host);
        let (window, random) = (Some(desktop.window(MOVING, 1)), Seeded(seed));
        let size = SIZES[0];
        let mut soak = Soak { desktop, host, client, window, size, random, stream: None, struck: 0, came: 0 };
        soak.come(&[]);
        soak
    }

    /// Every second time with a decoder that goes on without lost frames.
    fn come(&mut self, how: &[&str]) {
        let decoder: &[&str] = if self.came % 2 == 1 { &["--rfi"] } else { &[] };
        let way = ["--until-told", "--leave", "disconnect", "--decode", "--beat", "0.1"];
        let stream = self.client.start_stream(24 * 3600, &[&way[..], &MODE, decoder, how].concat());
        stream.picture().plays_on(10, PATIENCE);
        (self.stream, self.struck, self.came) = (Some(stream), 0, self.came + 1);
    }

    /// A portal whose backend came before its compositor may let the first ones wait longer than a client does.
    fn come_again_and_again(&mut self) {
        let is_refused = || {
            self.client.run(&["stream", "--seconds", "1", "--resume", "--leave", "disconnect"])["error"] != 0
        };
        until("a client is let in", END_PATIENCE, || (!is_refused()).then_some(()));
        self.come(&["--resume"]);
    }

    /// Ends the stream as a client does that means to come back: all that it got could be decoded, and nothing was
    /// missing, whatever the desktop did.
    fn leave(&mut self) {
        let mut stream = self.stream.take().expect("a stream runs between two faults");
        stream.tell_to_end();
        let report = stream.report(60);
        assert_eq!(report.terminated, None, "{report:#?}");
        assert_eq!((report.decode_errors, report.corrupt_recoveries), (0, 0), "{report:#?}");
    }

    /// Some of it, so that tries of the host fall into it, or none does.
    fn pause(&mut self) {
        std::thread::sleep(Duration::from_millis(self.random.below(2000) as u64));
    }

    fn order(&self, orders: &[&str]) {
        orders.iter().for_each(|order| self.desktop.order(order));
    }

    fn begin_compositor(&mut self) {
        let colour = self.random.below(1 << 24);
        self.order(&[&format!("start-compositor {colour:06x}")]);
        self.window = Some(self.desktop.window(MOVING, 1));
        self.size = SIZES[0];
    }

    /// Does it, and returns when there are picture and sound again.
    fn strike(&mut self, fault: Fault) {
        let known = self.host.log.all().len();
        self.struck += 1;
        match fault {
            Fault::Compositor => {
                self.order(&["kill-compositor"]);
                self.pause();
                self.begin_compositor();
            }
            Fault::Portal => self.order(&["kill-portal"]),
            Fault::PipeWire => {
                self.order(&["kill-sound", "kill-portal"]);
                self.pause();
                self.order(&["start-sound"]);
            }
            Fault::WirePlumber => {
                self.order(&["kill-wireplumber"]);
                self.pause();
                self.order(&["start-wireplumber"]);
            }
            Fault::PortalAndWirePlumber => {
                self.order(&["kill-portal"]);
                self.pause();
                self.order(&["kill-wireplumber", "start-wireplumber"]);
            }
            Fault::Resized => {
                let others: Vec<&str> = SIZES.into_iter().filter(|size| *size != self.size).collect();
                self.size = others[self.random.below(others.len())];
                self.order(&[&format!("resize {}", self.size)]);
            }
            Fault::Left => {
                self.leave();
                self.come(&["--resume"]);
                return;
            }
            Fault::LeftInTheDark => {
                self.order(&["kill-compositor"]);
                self.pause();
                self.leave();
                self.begin_compositor();
                self.come_again_and_again();
                return;
            }
        }
        self.wait_for_all(known, fault);
    }

    /// Of what the log says since it had `known` lines, the last is that picture and sound are there.
    fn wait_for_all(&self, known: usize, fault: Fault) {
        until(&format!("there is a picture after {fault:?}"), PATIENCE, || {
            let lines = &self.host.log.all()[known..];
            let last = |text: &str| lines.iter().rposition(|line| line.contains(text));
            let (stands, shows) = (last("the picture stands still")?, last("play: a new source shows")?);
            let sounds =
                last("play: silence: ") < last("the sound is back") || last("play: silence: ").is_none();
            (shows > stands && sounds).then_some(())
        });
        self.stream.as_ref().expect("it plays").plays_on(15, PATIENCE);
    }

    fn suffer_for(&mut self, length: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < length {
            let fault = match self.struck {
                FAULTS_A_STREAM.. => Fault::Left,
                _ => FAULTS[self.random.below(FAULTS.len())],
            };
            let struck = Instant::now();
            self.strike(fault);
            let (at, took) = (begin.elapsed().as_secs(), struck.elapsed().as_millis());
            println!("{at:>5} s: {fault:?}, over after {took} ms; {:?}", self.held());
        }
    }

    fn held(&self) -> Held {
        Held { host: self.host.usage(), pipewire: self.desktop.pipewire() }
    }

    /// Nobody plays any more.
    fn quit(&mut self) -> Held {
        self.leave();
        assert_eq!(self.client.run(&["cancel"])["game"], 0);
        Held { host: self.host.settled(), pipewire: self.desktop.pipewire() }
    }
}

#[test]
fn a_desktop_that_dies_in_parts_leaves_nothing_behind() {
    let _turn = turn();
    let seed = seed();
    println!("MOONPIPE_SEED={seed}");
    let mut soak = Soak::start(seed);
    // What the first needed may stay for the second: a library, a warm pool. Nothing more after that.
    for fault in [Fault::PipeWire, Fault::Compositor, Fault::Resized, Fault::WirePlumber] {
        soak.strike(fault);
    }
    let before = soak.quit();
    soak.come(&[]);
    soak.suffer_for(soak_part(SHORT, PART));
    soak.quit();
    soak.host.wait_settled(before.host, END_PATIENCE);
    let (nodes, clients) = before.pipewire;
    until("PipeWire has no more than before", END_PATIENCE, || {
        let (now_nodes, now_clients) = soak.desktop.pipewire();
        (now_nodes <= nodes && now_clients <= clients).then_some(())
    });
    let after = Held { host: soak.host.settled(), pipewire: soak.desktop.pipewire() };
    println!("before {before:?}, after {after:?}");
    let (grown, from) = (after.host.resident_kib, before.host.resident_kib);
    // As much as one frame more or less in a pool, on a host of 40 MiB.
    assert!(grown <= from + (from / 10).max(8 << 10), "memory grew from {from} KiB to {grown} KiB");
}
