//! A network that loses, reorders, delays, narrows, goes dark and gives the client another address, between a host and
//! the real client. `--nocapture` prints a table of what was seen.

use crate::harness::client::{Client, Report};
use crate::harness::host::{Host, Setup};
use crate::harness::link::{Conditions, Loss, Rate};
use crate::harness::network::{Counts, Network, Script, Second, Step};
use crate::harness::relay::{LeftOut, OneOfEveryBlock, Relay};
use crate::harness::{at_best, seed, soak_seconds, turn};
use crate::loss::NOISE;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Seconds of each disturbance in `make test`, and at most.
const SHORT: u32 = 2;
const LONG: u32 = 20;
const DARK: Duration = Duration::from_secs(3);
/// Longest until frames come again after the network is as it was; a machine that others use is slow at times.
const PATIENCE: Duration = Duration::from_secs(20);
const KBPS: &str = "8000";
const MODE: [&str; 8] = ["--width", "640", "--height", "360", "--fps", "30", "--bitrate", KBPS];

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
fn noisy_host() -> Host {
    Host::with(&Setup { pipelines: &[NOISE], arguments: &["--source", "noise"], ..Setup::default() })
}

/// No frame was lost on the way. One that the host left out takes others with it, up to the next key frame.
fn nothing_lost(report: &Report, left_out: u64) -> bool {
    report.unrecoverable == 0 && (report.lost == 0 || left_out > 0)
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

    fn is_whole(&self) -> bool {
        nothing_lost(&self.report, self.counts.left_out)
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

/// What a case must hold on any machine: nothing is lost where parity suffices, and no freeze is longer than that.
struct Case {
    name: String,
    script: Script,
    whole: bool,
    longest_freeze: Duration,
}

fn case(name: &str, script: Script) -> Case {
    // As long as the script: a picture that no key frame mends must not stay broken afterwards.
    let longest_freeze = script.last().map_or(Duration::ZERO, |(after, _)| *after) + secs(2);
    Case { name: name.into(), script, whole: false, longest_freeze }
}

fn whole(name: &str, script: Script) -> Case {
    Case { whole: true, longest_freeze: secs(2), ..case(name, script) }
}

fn cases(length: Duration) -> Vec<Case> {
    let millis = Duration::from_millis;
    let mut cases = vec![
        whole("clean", lasting(length, Conditions::default())),
        whole("1 % each", lossy(length, Loss::Each(1.0))),
        whole("reordered 5 %", lasting(length, Conditions { reordered: 5.0, ..Conditions::default() })),
        whole("jitter 20 ms", lasting(length, Conditions { jitter: millis(20), ..Conditions::default() })),
    ];
    for percent in [3.0, 5.0, 10.0] {
        cases.push(case(&format!("{percent} % each"), lossy(length, Loss::Each(percent))));
    }
    for percent in [1.0, 3.0, 5.0, 10.0] {
        cases.push(case(&format!("{percent} % in bursts"), lossy(length, Loss::Bursts(percent))));
    }
    cases.push(case("dark for 3 s", dark()));
    cases
}

#[test]
fn a_stream_survives_what_networks_do() {
    let _turn = turn();
    let length = secs(soak_seconds(SHORT).min(LONG));
    let host = noisy_host();
    let client = Client::paired(&host);
    println!("{HEAD}");
    for Case { name, script, whole, longest_freeze } in cases(length) {
        let attempt = || {
            let seen = play(&host, &client, &script, &MODE);
            println!("{}", seen.row(&name));
            seen.assert_alive(&name);
            seen
        };
        let freeze = |seen: &Seen| Duration::from_secs_f64(seen.report.max_gap_ms / 1e3);
        let held = |seen: &Seen| (!whole || seen.is_whole()) && freeze(seen) <= longest_freeze;
        let seen = at_best(attempt, held);
        assert!(held(&seen), "{name}, freeze at most {longest_freeze:?}: {:#?}", seen.report);
    }
}

#[test]
fn a_stream_survives_a_link_that_narrows() {
    let _turn = turn();
    let host = noisy_host();
    let client = Client::paired(&host);
    let mut script = steps(secs(soak_seconds(SHORT).min(LONG)));
    script.push((script[2].0 + secs(1), Step::Become(Conditions::default())));
    let seen = play(&host, &client, &script, &["--fps", "30", "--bitrate", "15000"]);
    println!("{HEAD}\n{}", seen.row("20, 5, 20 Mbit/s"));
    seen.assert_alive("20, 5, 20 Mbit/s");
    assert!(seen.counts.overflowed > 0, "it was too narrow: {:#?}", seen.counts);
}

/// One packet of every block is lost: less than parity makes good.
#[test]
fn single_lost_packets_never_show() {
    let _turn = turn();
    let seconds = soak_seconds(SHORT);
    let host = noisy_host();
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
}
