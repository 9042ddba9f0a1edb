//! Parity and bitrate follow what the real client reports.

use crate::harness::client::{Client, Report};
use crate::harness::host::{Host, Setup};
use crate::harness::relay::Relay;
use crate::harness::{at_best, soak_seconds, turn, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// A picture that no encoder can make small: the stream really is as wide as it was asked for.
const NOISE: (&str, &str) = (
    "capture/noise.toml",
    r#"rank = 1
needs = ["videotestsrc"]
launch = "videotestsrc is-live=true pattern=snow ! video/x-raw,format=I420,width={width},height={height},framerate={fps}"
"#,
);

fn host(config: &str) -> Host {
    Host::with(&Setup {
        config,
        pipelines: &[NOISE],
        arguments: &["--source", "noise", "--log", "debug"],
        ..Setup::default()
    })
}

/// Shares of parity that the host has gone to, in order.
fn shares(host: &Host) -> Vec<u32> {
    values(host, "fec_percentage=")
}

/// Total rates in kbit/s that it has gone to.
fn rates(host: &Host) -> Vec<u32> {
    values(host, " kbps=")
}

fn values(host: &Host, field: &str) -> Vec<u32> {
    let value = |line: &String| {
        let digits = line.split(field).nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    host.log.all().iter().filter(|line| line.contains("adapts: ")).filter_map(value).collect()
}

#[test]
fn five_percent_lost_is_mended_after_the_first_seconds() {
    let _turn = turn();
    let host = host("[send]\nloss-percentage = 5.0\nloss-seed = 5\nfec-percentage = 20\n");
    let client = Client::paired(&host);
    let play = || client.stream(soak_seconds(15), &["--bitrate", "10000"]);
    let is_mended = |report: &Report| report.unrecoverable <= 5 && report.lost <= 5 && report.lost_late == 0;
    let report = at_best(play, is_mended);
    println!("{report:#?}\n{:?}", shares(&host));
    assert!(report.unrecoverable <= 5 && report.lost <= 5, "{report:#?}");
    assert_eq!(report.lost_late, 0, "after three seconds: {report:#?}");
    let most = shares(&host).into_iter().max();
    assert!(most > Some(30), "{most:?}: {report:#?}");
    let network = network(&host);
    let figure = |name: &str| network[name].as_f64().unwrap_or_else(|| panic!("no {name}: {network}"));
    // Of the last seconds, in which parity mends what is lost; a hundred frames and more.
    assert!((0.015..0.15).contains(&figure("loss-before")), "{network}");
    assert!(figure("loss-after") < 0.01, "{network}");
    assert!((0.5..2.5).contains(&figure("burst")), "each packet by itself: {network}");
    // Since the beginning, but for what came after the last look: a report of each block that needed parity.
    assert!(figure("reports") >= report.fec_blocks as f64 / 2.0, "{} blocks: {network}", report.fec_blocks);
    assert!(figure("failed-blocks") <= 5.0 && figure("parity-raised") >= 1.0, "{network}");
}

/// What the host tells its owner of the network of the last session.
fn network(host: &Host) -> serde_json::Value {
    host.sessions().pop().expect("it is remembered")["network"].take()
}

fn total_kbps(host: &Host) -> u64 {
    network(host)["total-kbps"].as_u64().expect("a figure")
}

#[test]
fn parity_shrinks_to_the_least_where_nothing_is_lost() {
    let _turn = turn();
    let host = host("[send]\nfec-percentage = 40\n");
    let client = Client::paired(&host);
    let mut stream = client.start_stream(90, &["--until-told", "--bitrate", "10000"]);
    stream.picture();
    until("the share is the least", Duration::from_secs(60), || {
        host.sessions().pop().filter(|session| session["fec-percentage"] == 5)
    });
    stream.tell_to_end();
    stream.report(90);
    let shares = shares(&host);
    assert!(shares.len() >= 5, "in steps: {shares:?}");
}

/// A way that carries 5 Mbit/s for a while, and drops what is more. When it is wide again, so is the stream.
#[test]
fn a_way_that_narrows_shows_no_frozen_second() {
    const NARROW: std::ops::Range<u64> = 6..14;
    let _turn = turn();
    let host = host("");
    let client = Client::paired(&host);
    let play = || {
        let (mut begin, mut room, mut last) = (None, 64e3, Instant::now());
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let relay = Relay::start(host.port("video"), move |packet| {
            let now = Instant::now();
            let seconds = (now - *begin.get_or_insert(now)).as_secs();
            room = f64::min(64e3, room + (now - last).as_secs_f64() * 5e6 / 8.0);
            last = now;
            over.store(seconds >= NARROW.end, Ordering::Relaxed);
            if !NARROW.contains(&seconds) {
                return false;
            }
            let fits = room >= packet.len() as f64;
            room -= if fits { packet.len() as f64 } else { 0.0 };
            !fits
        });
        let port = relay.port.to_string();
        let way = ["--until-told", "--bitrate", "20000", "--video-port", &port];
        let mut stream = client.start_stream(120, &way);
        stream.picture();
        until("the way is wide again", LIMIT, || is_over.load(Ordering::Relaxed).then_some(()));
        let (wide, narrow) = (Instant::now(), total_kbps(&host));
        until("more is sent than passed before", LIMIT, || {
            (total_kbps(&host) > 7000.max(narrow * 5 / 4)).then_some(())
        });
        println!("from {narrow} to {} kbit/s in {:?}", total_kbps(&host), wide.elapsed());
        stream.tell_to_end();
        let report = stream.report(60);
        println!("{} passed, {} lost, {report:#?}", relay.passed(), relay.lost());
        report
    };
    let report = at_best(play, |report: &Report| report.max_gap_ms < 1000.0);
    println!("{:?}", rates(&host));
    // With the rate left as it is, next to no frame passes for as long as the way is narrow.
    assert!(report.max_gap_ms < 1000.0, "{report:#?}");
    assert!(rates(&host).iter().any(|kbps| *kbps < 12_000), "{:?}", rates(&host));
    assert_eq!(report.terminated, None, "{report:#?}");
}
