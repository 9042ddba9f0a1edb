//! A client whose network goes away, or becomes another one, while it plays.

use crate::harness::client::{Client, Report};
use crate::harness::host::Host;
use crate::harness::link::Conditions;
use crate::harness::network::{Network, Script, Step};
use crate::harness::{at_best, seed, turn, until};
use std::time::Duration;

/// What each frame and each control message needs to arrive on a machine that others use.
const PATIENCE: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);

fn dark(length: Duration) -> [(Duration, Step); 2] {
    let become_dark = Conditions { dark: true, ..Conditions::default() };
    [(Duration::ZERO, Step::Become(become_dark)), (length, Step::Become(Conditions::default()))]
}

/// A sealed stream that plays through the script and goes on afterwards, in one and the same session.
fn play(host: &Host, client: &Client, script: &Script) -> Report {
    let network = Network::before(host, seed());
    let port = network.rtsp_port.to_string();
    let arguments =
        ["--until-told", "--decode", "--tone", "--beat", "0.1", "--plain-rtsp", "--rtsp-port", &port];
    let mut stream = client.start_stream(300, &arguments);
    stream.picture();
    stream.plays_on(30, PATIENCE);
    let launched = launches(host);
    network.play(script);
    until("the script is played", PATIENCE, || network.has_played().then_some(()));
    stream.plays_on(60, PATIENCE);
    assert_eq!(launches(host), launched, "the client did not have to come again");
    stream.tell_to_end();
    let report = stream.report(60);
    println!("{:?} lost, longest gap {} ms", report.lost, report.max_gap_ms);
    assert_eq!(report.terminated, None, "{report:#?}");
    assert_eq!(report.decode_errors, 0, "{report:#?}");
    assert_eq!(report.counter.back, 0, "{report:#?}");
    report
}

fn launches(host: &Host) -> usize {
    host.log.all().iter().filter(|line| line.contains(" launched session=")).count()
}

/// A network that was gone for three seconds: pictures come again without a new connection.
#[test]
fn a_network_that_comes_back_is_played_on() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    let length = 3 * SECOND;
    let soon = |report: &Report| report.max_gap_ms < (length + SECOND).as_secs_f64() * 1e3;
    let report = at_best(|| play(&host, &client, &dark(length).to_vec()), soon);
    assert!(soon(&report), "pictures come within a second: {report:#?}");
    assert!(report.max_gap_ms > 2500.0 && report.lost > 50, "it was dark: {report:#?}");
}

/// Media follow what the pings say, and control what the keys prove. A request of the client gets through afterwards:
/// without the key frame that it asks for there would be no picture after the dark.
#[test]
fn a_client_may_move_to_another_address() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    let mut script = vec![(Duration::ZERO, Step::Move)];
    script.extend(dark(SECOND).map(|(after, step)| (after + 3 * SECOND, step)));
    let report = play(&host, &client, &script);
    assert!(report.idr_requests + report.invalidations > 0, "{report:#?}");
    host.wait_log("a control connection moved", PATIENCE);
}

/// A phone that leaves one network and finds another.
#[test]
fn a_client_may_come_back_from_another_address() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    let mut script = dark(2 * SECOND).to_vec();
    script.insert(1, (SECOND, Step::Move));
    play(&host, &client, &script);
    host.wait_log("a control connection moved", PATIENCE);
}
