//! A host that is killed at any step of a session's way, and started again.

use crate::apps::{about, left};
use crate::harness::display::{House, SMALL};
use crate::harness::host::Host;
use crate::harness::{send_signal, turn, until};
use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// What the log says at each step.
const WHILE_IT_BEGINS: [&str; 9] = [
    "launched session=",
    "DESCRIBE",
    "SETUP streamid=control",
    "streams H.264",
    "is a display for apps",
    "the sink moonpipe-",
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

/// Numbers of the X11 displays that the host has opened.
fn x11(host: &Host) -> BTreeSet<String> {
    let lines = host.log.all();
    lines.iter().filter_map(|line| Some(line.split_once(" DISPLAY=:")?.1.trim().to_owned())).collect()
}

/// Numbers of the X11 displays whose files say that they belong to one of these processes.
fn x11_of(pids: &[u32]) -> Vec<String> {
    let files = std::fs::read_dir("/tmp").expect("readable").flatten();
    let is_theirs = |number: &String| {
        let pid = std::fs::read_to_string(format!("/tmp/.X{number}-lock")).unwrap_or_default();
        pid.trim().parse().is_ok_and(|pid| pids.contains(&pid))
    };
    let numbers = files.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_prefix(".X")?.strip_suffix("-lock")?.to_owned())
    });
    numbers.filter(is_theirs).collect()
}

fn is_left(display: &String) -> bool {
    let lock = format!("/tmp/.X{display}-lock");
    let socket = format!("/tmp/.X11-unix/X{display}");
    [lock, socket].iter().any(|file| Path::new(file).exists())
}

#[test]
fn nothing_is_left_of_a_host_that_was_killed_at_any_step() {
    let _turn = turn();
    let mut house = House::with_sinks("[displays]\nlinger = 1\n");
    let identity = about(&house.client, "uniqueid");
    let mut killed = Killed::default();
    for step in WHILE_IT_BEGINS {
        let stream = house.client.start_stream(60, &SMALL);
        house = kill_at(house, step, &identity, &mut killed);
        drop(stream);
    }
    for step in WHILE_IT_ENDS {
        let mut stream =
            house.client.start_stream(60, &[&SMALL[..], &["--until-told", "--leave", "disconnect"]].concat());
        stream.picture();
        house.host.wait_log("game runs", SOON);
        stream.tell_to_end();
        house = kill_at(house, step, &identity, &mut killed);
    }
    // While it ends because it was told to.
    let stream = house.client.start_stream(60, &SMALL);
    stream.picture();
    house.host.wait_log("game runs", SOON);
    assert!(!house.xwaylands().is_empty() && !house.displays().is_empty(), "there is what is to go");
    send_signal(house.host.pid(), libc::SIGTERM);
    house = kill_at(house, "ended: the host ends", &identity, &mut killed);
    drop(stream);
    // What was left in folders is used again, and goes with that.
    house.play(&house.client, &SMALL, &[]);
    until("the display goes", SOON, || house.displays().is_empty().then_some(()));
    killed.x11.extend(x11(&house.host));
    assert!(!killed.x11.is_empty(), "displays for X11 programs");
    until("what X11 left goes", SOON, || (!killed.x11.iter().any(is_left)).then_some(()));
    assert_eq!((left(&identity), x11_of(&killed.pids)), (0, vec![]));
    house.host.stop();
}

/// The hosts that were killed so far.
#[derive(Default)]
struct Killed {
    pids: Vec<u32>,
    /// Numbers of the X11 displays that they opened.
    x11: BTreeSet<String>,
}

/// Kills the host as soon as its log says this. The next one is there then.
fn kill_at(mut house: House, step: &str, identity: &str, killed: &mut Killed) -> House {
    house.host.wait_log(step, SOON);
    house.host.kill();
    killed.x11.extend(x11(&house.host));
    killed.pids.push(house.host.pid());
    let sinks = || house.desktop.as_ref().expect("it has sinks").sinks();
    until(&format!("its sink is gone, killed at {step:?}"), SOON, || sinks().is_empty().then_some(()));
    let house = house.again();
    assert_eq!(left(identity), 0, "gone before the host is ready, killed at {step:?}");
    assert_eq!(house.client.running_app(), "0", "killed at {step:?}");
    let told = format!("its Xwayland is gone, killed at {step:?}");
    until(&told, SOON, || house.xwaylands().is_empty().then_some(()));
    // Nothing answers where its display was, and the next one takes that place: no second is ever left.
    let sockets: Vec<_> = house.displays().into_iter().filter(|name| !name.ends_with(".lock")).collect();
    let answers = sockets.iter().any(|name| UnixStream::connect(house.runtime_dir().join(name)).is_ok());
    assert!(sockets.len() <= 1 && !answers, "{sockets:?}, killed at {step:?}");
    let x11 = x11_of(&killed.pids);
    assert!(x11.len() <= 1, "{x11:?}, killed at {step:?}");
    house
}
