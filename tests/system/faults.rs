//! A host that is killed at any step of a session's way, and started again.

use crate::apps::{about, left};
use crate::harness::display::{House, SMALL};
use crate::harness::{send_signal, turn, until};
use std::collections::BTreeSet;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// What the log says at each step.
const WHILE_IT_BEGINS: [&str; 8] = [
    "launched session=",
    "DESCRIBE",
    "SETUP streamid=control",
    "streams H.264",
    "is a display for apps",
    "ANNOUNCE",
    " plays session=",
    "game runs",
];
const WHILE_IT_ENDS: [&str; 5] = [
    "a frame's way in ms",
    "its display waits for the client",
    "ended: the client left",
    "a display is removed: its client did not come back",
    "the source virtual is closed",
];

/// Locks and sockets of X11 servers.
fn x11() -> BTreeSet<String> {
    let names = |folder: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let locks = names("/tmp").into_iter().filter(|name| name.starts_with(".X"));
    locks.chain(names("/tmp/.X11-unix")).collect()
}

#[test]
fn nothing_is_left_of_a_host_that_was_killed_at_any_step() {
    let _turn = turn();
    let before = x11();
    let mut house = House::new("[displays]\nlinger = 1\n");
    let identity = about(&house.client, "uniqueid");
    for step in WHILE_IT_BEGINS {
        let stream = house.client.start_stream(60, &SMALL);
        house = kill_at(house, step, &identity);
        drop(stream);
    }
    for step in WHILE_IT_ENDS {
        let mut stream =
            house.client.start_stream(60, &[&SMALL[..], &["--until-told", "--leave", "disconnect"]].concat());
        stream.picture();
        house.host.wait_log("game runs", SOON);
        stream.tell_to_end();
        house = kill_at(house, step, &identity);
    }
    // While it ends because it was told to.
    let stream = house.client.start_stream(60, &SMALL);
    stream.picture();
    house.host.wait_log("game runs", SOON);
    send_signal(house.host.pid(), libc::SIGTERM);
    house = kill_at(house, "ended: the host ends", &identity);
    drop(stream);
    // What was left in folders is used again, and goes with that.
    house.play(&house.client, &SMALL, &[]);
    until("the display goes", SOON, || house.displays().is_empty().then_some(()));
    until("what X11 left goes", SOON, || x11().is_subset(&before).then_some(()));
    assert_eq!(left(&identity), 0);
    house.host.stop();
}

/// Of the host that runs then, the next one is there.
fn kill_at(mut house: House, step: &str, identity: &str) -> House {
    house.host.wait_log(step, SOON);
    house.host.kill();
    let house = house.again();
    assert_eq!(left(identity), 0, "gone before the host is ready, killed at {step:?}");
    assert_eq!(house.client.running_app(), "0", "killed at {step:?}");
    house
}
