//! Several hosts and several players at once.

use crate::harness::client::Client;
use crate::harness::host::Host;
use crate::harness::{at_best, turn};

/// Small pictures: two encoders and two clients share two cores.
const SMALL: [&str; 8] = ["--width", "640", "--height", "360", "--fps", "30", "--decode", "--tone"];

#[test]
fn two_hosts_and_two_clients_side_by_side() {
    let _turn = turn();
    let hosts = [Host::start(), Host::start()];
    let clients = hosts.each_ref().map(Client::paired);
    both_play(&clients);
}

#[test]
fn two_players_on_one_host() {
    let _turn = turn();
    let host = Host::start();
    both_play(&[Client::paired(&host), Client::paired(&host)]);
}

fn both_play(clients: &[Client; 2]) {
    let play = || {
        let streams = clients.each_ref().map(|client| client.start_stream(5, &SMALL));
        for stream in &streams {
            stream.picture();
        }
        streams.map(|stream| stream.report(5))
    };
    for report in at_best(play, |reports| reports.iter().all(|report| report.is_fluent(30.0))) {
        report.assert_whole(640, 360);
        report.assert_forward();
        report.assert_rate(30.0);
        report.assert_tone(440.0);
    }
}
