//! Ten players, one after the other: nothing of them stays.

use crate::harness::client::Client;
use crate::harness::host::{Host, Usage};
use crate::harness::turn;
use std::time::Duration;

const ROUNDS: usize = 10;

#[test]
fn ten_rounds_leave_nothing_behind() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    let mut after: Vec<Usage> = Vec::new();
    for round in 1..=ROUNDS {
        let report = client.stream(1, &[]);
        assert!(report.frames > 30, "round {round}: {report:#?}");
        assert_eq!(client.get("/serverinfo")["root"]["currentgame"], "0");
        // What the first player needed may stay for the second: a library, a warm pool. Nothing more after that.
        if let Some(&second) = after.get(1) {
            host.wait_settled(second, Duration::from_secs(20));
        }
        after.push(host.settled());
        println!("round {round}: {:?}", after[round - 1]);
    }
    let (third, last) = (after[2].resident_kib, after[ROUNDS - 1].resident_kib);
    assert!(last * 100 <= third * 105, "memory grew from {third} KiB to {last} KiB: {after:#?}");
}
