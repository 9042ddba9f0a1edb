//! A network that loses, reorders, delays, narrows, goes dark and gives the client another address, between a host and
//! the real client. `--nocapture` prints a table of what was seen.

use crate::harness::client::{Client, Report};
use crate::harness::host::{Host, Setup};
use crate::harness::link::{Conditions, Loss, Rate};
use crate::harness::network::{Counts, Network, Script, Second, Step};
use crate::harness::relay::{LeftOut, OneOfEveryBlock, Relay};
use crate::harness::{at_best, seed, soak_seconds, turn};
use crate::invalidation::rfi_first;
use crate::loss::NOISE;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Seconds of each disturbance in `make test`, and at most.
const SHORT: u32 = 2;
const LONG: u32 = 20;
const DARK: Duration = Duration::from_secs(3);
/// Longest until frames come again after the network is as it was; a machine that others use is slow at times.
const PATIENCE: Duration = Duration::from_secs(20);
const FPS: f64 = 30.0;
const MODE: [&str; 8] = ["--width", "640", "--height", "360", "--fps", "30", "--bitrate", "8000"];

fn secs(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Like this for so long, then clean again.
fn lasting(length: Duration, conditions: Conditions) -> Script {
    vec![(Duration::ZERO, Step::Become(conditions)), (length, Step::Become(Conditions::default()))]
}

fn lossy(length: Duration, loss: Loss) -> Script {
    lasting(length, Conditions { loss, ..Conditions::default() })
}

fn dark() -> Script {
    lasting(DARK, Conditions { dark: true, ..Conditions::default() })
}

/// From 20 Mbit/s to 5 and back.
fn steps(length: Duration) -> Script {
    let rate = |kbps| Conditions {
        rate: Some(Rate { kbps, queue: Duration::from_millis(80) }),
        ..Conditions::default()
    };
    [20_000, 5000, 20_000]
        .into_iter()
        .zip(0..)
        .map(|(kbps, n)| (n * length, Step::Become(rate(kbps))))
        .collect()
}

/// A host that shows what no encoder can make small.
fn noisy_host(config: &str) -> Host {
    let (file, text) = rfi_first();
    let (pipelines, arguments) = (&[NOISE, (file, &text)], &["--source", "noise"]);
    Host::with(&Setup { config, pipelines, arguments, ..Setup::default() })
}

/// Frames that one lost on the host takes with it, itself included, up to the one that mends it.
const MENDED_WITHIN: i64 = 6;

/// Frames that were lost on the way, and not because of those that the host left out.
fn lost_on_the_way(report: &Report, left_out: u64) -> i64 {
    (report.lost - left_out as i64 * MENDED_WITHIN).max(0)
}

fn nothing_lost(report: &Report, left_out: u64) -> bool {
    report.unrecoverable == 0 && lost_on_the_way(report, left_out) == 0
}

struct Seen {
    report: Report,
    counts: Counts,
    seconds: Vec<Second>,
    /// As the host counts them.
    reasons: String,
}

/// A stream through the network, which plays the script after the first picture. The stream ends when frames come again
/// after that.
fn play(host: &Host, client: &Client, script: &Script, mode: &[&str]) -> Seen {
    let network = Network::before(host, seed());
    let port = network.rtsp_port.to_string();
    let way =
        ["--until-told", "--decode", "--beat", "0.1", "--plain-rtsp", "--encrypt", "none", "--rtsp-port"];
    let mut stream = client.start_stream(300, &[&way[..], &[&port], mode].concat());
    stream.picture();
    stream.plays_on(30, PATIENCE);
    network.play(script);
    let length = script.last().map_or(Duration::ZERO, |(after, _)| *after);
    crate::harness::until("the script is played", length + PATIENCE, || network.has_played().then_some(()));
    stream.plays_on(30, PATIENCE);
    stream.tell_to_end();
    let report = stream.report(60);
    let session = host.sessions().pop().expect("it is remembered");
    let reasons = session["key-frames"].to_string().replace('"', "");
    Seen { report, counts: network.counts(), seconds: network.seconds(), reasons }
}

impl Seen {
    fn row(&self, name: &str) -> String {
        let (r, c) = (&self.report, &self.counts);
        let each = |figure: fn(&Second) -> u64| {
            let figures: Vec<String> = self.seconds.iter().map(|second| figure(second).to_string()).collect();
            figures.join(" ")
        };
        format!(
            "{name:<24} {:>6} {:>5} {:>4} {:>7.0} {:>4} {:>4} {:>4} {:>6} {:>6} {:>6} {:>6} {:>5}   {}   {}   {}",
            r.frames,
            r.lost,
            c.left_out,
            r.max_gap_ms,
            r.idr,
            r.idr_requests,
            r.invalidations,
            r.fec_recovered,
            c.passed,
            c.lost,
            c.overflowed,
            c.overrun,
            each(|second| (second.parity * 100).checked_div(second.data).unwrap_or(0)),
            each(|second| second.bytes * 8 / 100_000),
            self.reasons,
        )
    }

    /// Nothing that arrived is broken, and the session never ended.
    fn assert_alive(&self, name: &str) {
        let report = &self.report;
        assert_eq!(report.terminated, None, "{name}: {report:#?}");
        assert_eq!(report.decode_errors, 0, "{name}: {report:#?}");
        assert_eq!(report.corrupt_recoveries, 0, "{name}: {report:#?}");
    }
}

const HEAD: &str = "case                     frames  lost left  freeze  idr idr? rfi? repaired passed   lost overfl  over   \
parity in % and Mbit/s × 10, by second; key frames";

/// What a case must hold on any machine.
struct Case {
    name: String,
    script: Script,
    /// The client's decoder goes on without lost frames.
    rfi: bool,
    /// Frames lost on the way; with none, no block fails either.
    most_lost: i64,
    longest_freeze: Duration,
}

fn case(name: &str, script: Script, most_lost: i64) -> Case {
    Case { name: name.into(), script, rfi: false, most_lost, longest_freeze: secs(1) }
}

fn cases(length: Duration) -> Vec<Case> {
    let shaky = |conditions| lasting(length, conditions);
    let clean = Conditions::default;
    let mut cases = vec![
        case("clean", shaky(clean()), 0),
        case("1 % each", lossy(length, Loss::Each(1.0)), 0),
        case("reordered 5 %", shaky(Conditions { reordered: 5.0, ..clean() }), 0),
        case("jitter 20 ms", shaky(Conditions { jitter: Duration::from_millis(20), ..clean() }), 0),
    ];
    // As long as parity is less than it comes to be.
    for (percent, most_lost) in [(3.0, 5), (5.0, 5), (10.0, 8)] {
        cases.push(case(&format!("{percent} % each"), lossy(length, Loss::Each(percent)), most_lost));
    }
    let bursts = [(1.0, 0.04, false), (3.0, 0.10, true), (5.0, 0.16, false), (10.0, 0.22, false)];
    for (percent, share, rfi) in bursts.into_iter().chain([(10.0, 0.22, true)]) {
        let name = format!("{percent} % in bursts{}", if rfi { ", rfi" } else { "" });
        // Each begins with a burst, whatever its share.
        let most_lost = 10 + frames(length.mul_f64(share));
        cases.push(Case { rfi, ..case(&name, lossy(length, Loss::Bursts(percent)), most_lost) });
    }
    let longest_freeze = DARK + secs(2);
    cases.push(Case { longest_freeze, ..case("dark for 3 s", dark(), frames(longest_freeze)) });
    cases
}

fn frames(time: Duration) -> i64 {
    (time.as_secs_f64() * FPS) as i64
}

impl Case {
    fn is_held(&self, seen: &Seen) -> bool {
        let report = &seen.report;
        let lost = lost_on_the_way(report, seen.counts.left_out);
        let is_repaired = !self.rfi || report.invalidations > 0;
        lost <= self.most_lost
            && (self.most_lost > 0 || report.unrecoverable == 0)
            && is_repaired
            && freeze(report) < self.longest_freeze
    }
}

fn freeze(report: &Report) -> Duration {
    Duration::from_secs_f64(report.max_gap_ms / 1e3)
}

#[test]
fn a_stream_survives_what_networks_do() {
    let _turn = turn();
    let length = secs(soak_seconds(SHORT).min(LONG));
    let host = noisy_host("");
    let client = Client::paired(&host);
    println!("{HEAD}");
    for case in cases(length) {
        let decoder: &[&str] = if case.rfi { &["--rfi"] } else { &[] };
        let attempt = || {
            let seen = play(&host, &client, &case.script, &[&MODE, decoder].concat());
            println!("{}", seen.row(&case.name));
            seen.assert_alive(&case.name);
            seen
        };
        let seen = at_best(attempt, |seen| case.is_held(seen));
        let Case { name, most_lost, longest_freeze, .. } = &case;
        assert!(
            case.is_held(&seen),
            "{name}, at most {most_lost} frames and {longest_freeze:?}: {:#?}",
            seen.report
        );
    }
}

#[test]
fn a_stream_survives_a_link_that_narrows() {
    let _turn = turn();
    let host = noisy_host("");
    let client = Client::paired(&host);
    let length = secs(soak_seconds(SHORT).min(LONG));
    let mut script = steps(length);
    script.push((script[2].0 + secs(1), Step::Become(Conditions::default())));
    let attempt = || {
        let seen = play(&host, &client, &script, &["--fps", "30", "--bitrate", "15000"]);
        println!("{HEAD}\n{}", seen.row("20, 5, 20 Mbit/s"));
        seen.assert_alive("20, 5, 20 Mbit/s");
        assert!(seen.counts.overflowed > 0, "it was too narrow: {:#?}", seen.counts);
        seen.report
    };
    let report = at_best(attempt, |report| freeze(report) < secs(1));
    assert!(freeze(&report) < secs(1), "no second is frozen: {report:#?}");
}

/// One packet of every block is lost: less than the parity that a stream begins with makes good.
#[test]
fn single_lost_packets_never_show() {
    let _turn = turn();
    let seconds = soak_seconds(10);
    let host = noisy_host("[send]\nfec-percentage = 20\nadaptation = false\n");
    let client = Client::paired(&host);
    let attempt = || {
        let left_out = Arc::new(Mutex::new(LeftOut::default()));
        let (mut loss, sent) = (OneOfEveryBlock::seeded(seed()), left_out.clone());
        let relay = Relay::start(host.port("video"), move |packet| {
            sent.lock().unwrap().see(packet);
            loss.loses(packet)
        });
        let port = relay.port.to_string();
        let arguments = ["--encrypt", "none", "--decode", "--video-port", &port];
        let report = client.stream(seconds, &[&arguments[..], &MODE].concat());
        let left_out = left_out.lock().unwrap().frames;
        println!(
            "{} packets lost, {} rebuilt; {} frames lost, {left_out} left out by the host",
            relay.lost(),
            report.fec_recovered,
            report.lost
        );
        assert!(relay.lost() as f64 >= report.frames as f64 * 0.95, "one of every frame: {report:#?}");
        assert_eq!(report.decode_errors, 0, "{report:#?}");
        (report, left_out)
    };
    let (report, left_out) = at_best(attempt, |(report, left_out)| nothing_lost(report, *left_out));
    assert!(nothing_lost(&report, left_out), "{report:#?}");
    assert!(report.fec_recovered > 0, "{report:#?}");
    assert_eq!(host.sessions().pop().expect("it is remembered")["fec-percentage"], 20);
}
