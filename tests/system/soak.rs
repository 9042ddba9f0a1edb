//! A long stream to which random things happen, one after the other. Afterwards nothing of it is left.

use crate::harness::client::{Client, Running};
use crate::harness::host::{Host, Setup};
use crate::harness::link::{Conditions, Loss, Rate};
use crate::harness::network::{Network, Script, Step};
use crate::harness::source::Source;
use crate::harness::trigger::Trigger;
use crate::harness::{Seeded, seed, soak_part, turn, until};
use std::time::{Duration, Instant};

/// Seconds in `make test`.
const SHORT: u32 = 72;
/// Of a long soak; the other part is the desktop's.
const PART: f64 = 0.6;
/// Longest until frames come again after a fault, on a machine that others use.
const PATIENCE: Duration = Duration::from_secs(20);
/// Faults of one stream at most: its client keeps every frame until it decodes them.
const FAULTS_A_STREAM: u32 = 12;
const MODE: [&str; 8] = ["--width", "640", "--height", "360", "--fps", "30", "--bitrate", "6000"];

/// What may happen. One more is a variant, a place in [`FAULTS`], and what [`Soak::strike`] does about it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Lossy,
    Bursts,
    /// A client that was told of no reference invalidation may take the first packets that overtake each other for a
    /// loss, and then waits for 120 frames before it asks for a key frame.
    Reordered,
    Jitter,
    Narrow,
    Dark,
    Moved,
    MovedInTheDark,
    /// What is captured ends, and is there again soon.
    SourceEnded,
    /// The encoder fails, as far as one that can is in use: the next in rank cannot.
    EncoderFailed,
    /// The client goes as it should, and comes back.
    Left,
    /// It is killed, and started again at once.
    Killed,
    /// It is killed, and started again when the host has missed it.
    KilledForLong,
}

/// How often each happens, out of the sum.
const FAULTS: [(Fault, usize); 13] = [
    (Fault::Lossy, 4),
    (Fault::Bursts, 4),
    (Fault::Reordered, 2),
    (Fault::Jitter, 2),
    (Fault::Narrow, 3),
    (Fault::Dark, 3),
    (Fault::Moved, 3),
    (Fault::MovedInTheDark, 2),
    (Fault::SourceEnded, 3),
    (Fault::EncoderFailed, 3),
    (Fault::Left, 3),
    (Fault::Killed, 3),
    (Fault::KilledForLong, 1),
];

impl Fault {
    fn random(random: &mut Seeded) -> Fault {
        let mut ticket = random.below(FAULTS.iter().map(|(_, weight)| weight).sum());
        for (fault, weight) in FAULTS {
            match ticket.checked_sub(weight) {
                Some(rest) => ticket = rest,
                None => return fault,
            }
        }
        unreachable!("a ticket is below the sum")
    }

    /// What the network does; nothing for what happens elsewhere.
    fn script(self, random: &mut Seeded) -> Script {
        let mut millis =
            |from: usize, to: usize| Duration::from_millis((from + random.below(to - from)) as u64);
        let clean = Conditions::default;
        let conditions = match self {
            Fault::Lossy => Conditions { loss: Loss::Each(millis(1, 10).as_secs_f64() * 1e3), ..clean() },
            Fault::Bursts => Conditions { loss: Loss::Bursts(millis(1, 10).as_secs_f64() * 1e3), ..clean() },
            Fault::Reordered => Conditions { reordered: 10.0, ..clean() },
            Fault::Jitter => Conditions { jitter: millis(5, 20), delay: millis(0, 20), ..clean() },
            Fault::Narrow => Conditions {
                rate: Some(Rate { kbps: millis(3000, 7000).as_millis() as u32, queue: millis(50, 100) }),
                ..clean()
            },
            Fault::Dark | Fault::MovedInTheDark => Conditions { dark: true, ..clean() },
            Fault::Moved => return vec![(Duration::ZERO, Step::Move)],
            Fault::SourceEnded
            | Fault::EncoderFailed
            | Fault::Left
            | Fault::Killed
            | Fault::KilledForLong => return Vec::new(),
        };
        let length = millis(500, 3000);
        let mut script = vec![(Duration::ZERO, Step::Become(conditions)), (length, Step::Become(clean()))];
        if self == Fault::MovedInTheDark {
            script.insert(1, (length / 2, Step::Move));
        }
        script
    }
}

struct Soak {
    host: Host,
    client: Client,
    source: Source,
    trigger: Trigger,
    network: Network,
    random: Seeded,
    stream: Option<Running>,
    /// Faults of the present stream.
    struck: u32,
    /// Streams so far.
    came: u32,
    /// Requests of their clients to do without lost frames.
    invalidations: u64,
}

impl Soak {
    fn start(seed: u64) -> Soak {
        let (source, trigger) = (Source::start(), Trigger::new());
        let host = Host::with(&Setup {
            pipelines: &[
                ("capture/noise.toml", &source.description()),
                ("encode/h264-failing.toml", &trigger.description()),
            ],
            arguments: &["--source", "noise"],
            ..Setup::default()
        });
        let client = Client::paired(&host);
        let network = Network::before(&host, seed);
        let random = Seeded(seed);
        let mut soak = Soak {
            host,
            client,
            source,
            trigger,
            network,
            random,
            stream: None,
            struck: 0,
            came: 0,
            invalidations: 0,
        };
        soak.come(&[]);
        soak
    }

    /// Every second time with a decoder that goes on without lost frames.
    fn come(&mut self, how: &[&str]) {
        let port = self.network.rtsp_port.to_string();
        let decoder: &[&str] = if self.came % 2 == 1 { &["--rfi"] } else { &[] };
        let way = ["--until-told", "--leave", "disconnect", "--decode", "--beat", "0.1", "--plain-rtsp"];
        let arguments = [&way[..], &["--rtsp-port", &port], &MODE, decoder, how].concat();
        let stream = self.client.start_stream(24 * 3600, &arguments);
        stream.picture();
        stream.plays_on(10, PATIENCE);
        self.stream = Some(stream);
        (self.struck, self.came) = (0, self.came + 1);
    }

    fn stream(&mut self) -> Running {
        self.stream.take().expect("a stream runs between two faults")
    }

    /// Ends the stream as a client does that means to come back: all that it got could be decoded.
    fn leave(&mut self) {
        let mut stream = self.stream();
        stream.tell_to_end();
        let report = stream.report(60);
        assert_eq!(report.terminated, None, "{report:#?}");
        assert_eq!((report.decode_errors, report.corrupt_recoveries), (0, 0), "{report:#?}");
        self.invalidations += report.invalidations;
    }

    /// Does it, and returns when frames come again.
    fn strike(&mut self, fault: Fault) {
        let script = fault.script(&mut self.random);
        self.struck += 1;
        match fault {
            Fault::SourceEnded => {
                self.source.end();
                let stream = self.stream.as_ref().expect("a stream runs between two faults");
                stream.plays_on(1 + self.random.below(45) as u64, PATIENCE);
                self.source.begin_again();
            }
            Fault::EncoderFailed => self.trigger.pull(),
            Fault::Left => {
                self.leave();
                self.come(&["--resume"]);
            }
            Fault::Killed => {
                self.stream().kill();
                self.come(&["--resume"]);
            }
            Fault::KilledForLong => {
                self.stream().kill();
                let over = || self.host.sessions().iter().all(|session| session["ended"].is_string());
                until("the host misses its client", 2 * PATIENCE, || over().then_some(()));
                self.come(&["--resume"]);
            }
            _ => {
                self.network.play(&script);
                let length = script.last().map_or(Duration::ZERO, |(after, _)| *after);
                let network = &self.network;
                until("the script is played", length + PATIENCE, || network.has_played().then_some(()));
            }
        }
        self.stream.as_ref().expect("it came again").plays_on(15, PATIENCE);
    }

    fn suffer_for(&mut self, length: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < length {
            let fault = match self.struck {
                FAULTS_A_STREAM.. => Fault::Left,
                _ => Fault::random(&mut self.random),
            };
            let struck = Instant::now();
            self.strike(fault);
            let (at, took) = (begin.elapsed().as_secs(), struck.elapsed().as_millis());
            println!("{at:>5} s: {fault:?}, frames again after {took} ms; {:?}", self.host.usage());
        }
    }

    /// Nobody plays any more, and nothing runs.
    fn quit(&mut self) {
        self.leave();
        assert_eq!(self.client.run(&["cancel"])["game"], 0);
    }
}

#[test]
fn random_faults_leave_nothing_behind() {
    let _turn = turn();
    let seed = seed();
    println!("MOONPIPE_SEED={seed}");
    let mut soak = Soak::start(seed);
    // What the first needed may stay for the second: a library, a warm pool. Nothing more after that.
    for fault in
        [Fault::Killed, Fault::Dark, Fault::EncoderFailed, Fault::SourceEnded, Fault::Left, Fault::Moved]
    {
        soak.strike(fault);
    }
    soak.quit();
    let before = soak.host.settled();
    soak.come(&[]);
    soak.suffer_for(soak_part(SHORT, PART));
    soak.quit();
    soak.host.wait_settled(before, PATIENCE);
    let after = soak.host.settled();
    let counts = soak.network.counts();
    println!("before {before:?}, after {after:?}; {} datagrams passed, {} lost", counts.passed, counts.lost);
    println!("{} streams, {} requests to do without lost frames", soak.came, soak.invalidations);
    assert!(soak.invalidations > 0, "there were losses, and clients with a use for recovery frames");
    assert!(
        after.resident_kib * 100 <= before.resident_kib * 110,
        "memory grew from {} KiB to {} KiB",
        before.resident_kib,
        after.resident_kib
    );
}
