//! Displays that wait for clients that left.

use crate::harness::display::{House, LARGE, SMALL};
use crate::harness::{send_signal, turn, until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

fn house(linger: &str) -> House {
    House::new(&format!("[displays]\nlinger = {linger}\n"))
}

#[test]
fn a_client_finds_its_display_and_app_again_in_another_size() {
    let _turn = turn();
    let house = house("\"until released\"");
    house.play(&house.client, &SMALL, &["--leave", "disconnect"]);
    let display = house.displays();
    assert!(!display.is_empty() && house.client.running_app() != "0");
    house.play(&house.client, &LARGE, &["--resume", "--leave", "disconnect"]);
    assert_eq!((house.displays(), house.starts()), (display, 1));
    house.client.run(&["cancel"]);
    until("a quit removes it", SOON, || house.displays().is_empty().then_some(()));
    assert_eq!(house.client.running_app(), "0");
}

/// Nothing says that it left: its host finds out by its silence.
#[test]
fn a_client_that_died_finds_its_display_and_app_again() {
    let _turn = turn();
    let house = house("30");
    let stream = house.client.start_stream(60, &SMALL);
    stream.picture();
    until("the app was started", SOON, || (house.starts() == 1).then_some(()));
    assert!(!house.displays().is_empty());
    stream.kill();
    house.host.wait_log("ended: nothing was heard of the client", SOON);
    house.host.wait_log("its display waits for the client", SOON);
    assert_ne!(house.client.running_app(), "0");
    house.play(&house.client, &SMALL, &["--resume"]);
    assert_eq!(house.starts(), 1, "it was not started again");
    until("a quit removes it", SOON, || house.displays().is_empty().then_some(()));
}

#[test]
fn a_display_waits_no_longer_than_it_is_told_to() {
    let _turn = turn();
    let house = house("1");
    house.play(&house.client, &SMALL, &["--leave", "disconnect"]);
    until("nobody waits for ever", SOON, || house.displays().is_empty().then_some(()));
    until("nothing runs", SOON, || (house.client.running_app() == "0").then_some(()));
    let late = house.client.run(&["stream", "--seconds", "2", "--resume"]);
    assert!(late["refused"].to_string().contains("Nothing runs"), "{late}");
    house.play(&house.client, &SMALL, &[]);
    assert_eq!(house.starts(), 2, "it began anew");
}

/// Its app ends while nobody looks.
#[test]
fn a_display_goes_with_its_app() {
    let _turn = turn();
    let house = house("\"until released\"");
    house.play(&house.client, &SMALL, &["--leave", "disconnect"]);
    let pid = house.app().expect("it runs");
    send_signal(pid, libc::SIGKILL);
    until("the display goes", SOON, || house.displays().is_empty().then_some(()));
    until("nothing runs", SOON, || (house.client.running_app() == "0").then_some(()));
}

#[test]
fn a_client_that_launches_again_gets_what_its_old_session_showed() {
    let _turn = turn();
    let house = house("\"immediately\"");
    // One that quits once it is told would quit the newer one.
    let zombie = house.client.start_stream(60, &[&SMALL[..], &["--leave", "disconnect"]].concat());
    zombie.picture();
    until("the app was started", SOON, || (house.starts() == 1).then_some(()));
    house.play(&house.client, &LARGE, &["--leave", "disconnect"]);
    assert_eq!(house.starts(), 1);
    until("nothing waits", SOON, || house.displays().is_empty().then_some(()));
}

/// Its sound sleeps for a minute, and does not wake because it is to end.
#[test]
fn a_client_takes_its_display_by_force_from_an_old_session_that_hangs() {
    const SLEEPS: &str = r#"launch = """
audiotestsrc is-live=true samplesperbuffer=240
! audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels={channels}
! identity sleep-time=60000000
! opusenc name=encoder bitrate={kbps}000 frame-size={packet_ms}
"""
"#;
    let _turn = turn();
    let house = House::with_sound("[displays]\nlinger = \"immediately\"\n", SLEEPS);
    let zombie = house.client.start_stream(60, &[&SMALL[..], &["--leave", "disconnect"]].concat());
    zombie.picture();
    until("the app was started", SOON, || (house.starts() == 1).then_some(()));
    house.play(&house.client, &LARGE, &["--leave", "disconnect"]);
    assert_eq!(house.starts(), 1, "the app was not started again");
    let log = house.host.log.all();
    let at = |words: &str| log.iter().position(|line| line.contains(words));
    let (found, let_go) = (at("its display is still there"), at("its display was taken by"));
    assert!(found.is_some() && found < let_go, "it let go in time: {found:?}, {let_go:?}");
    until("nothing waits", SOON, || house.displays().is_empty().then_some(()));
}

#[test]
fn what_waits_until_it_is_released_goes_with_the_host() {
    let _turn = turn();
    let mut house = house("\"until released\"");
    house.play(&house.client, &SMALL, &["--leave", "disconnect"]);
    assert!(!house.displays().is_empty());
    house.host.stop();
    assert!(house.displays().is_empty());
}
