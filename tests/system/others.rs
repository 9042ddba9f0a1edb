//! Two clients, and one app that the first has on a display of its own.

use crate::harness::client::{Client, Running};
use crate::harness::display::{House, LARGE, RED, SMALL, assert_colour, corner};
use crate::harness::{turn, until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
/// One that quits once it is told would quit what came after it.
const LEAVES: [&str; 2] = ["--leave", "disconnect"];
const GRACEFUL: Option<i64> = Some(0);

/// Until told to end.
fn begin(client: &Client, how: &[&str]) -> Running {
    let look = ["--until-told", "--beat", "0.1", corner(&SMALL)];
    let stream = client.start_stream(60, &[&SMALL[..], &look, how].concat());
    stream.picture();
    stream
}

/// The first client plays the app already.
fn house(others: &str, how: &[&str]) -> (House, Client, Running) {
    let house = House::new(&format!("[displays]\nlinger = \"until released\"\nothers = \"{others}\"\n"));
    let other = Client::paired(&house.host);
    let stream = begin(&house.client, how);
    until("the app was started", SOON, || (house.starts() == 1).then_some(()));
    (house, other, stream)
}

#[test]
fn each_has_a_display_of_its_own_if_nothing_is_said() {
    let _turn = turn();
    let (house, other, mut stream) = house("own display", &[]);
    house.play(&other, &LARGE, &["--leave", "disconnect"]);
    assert_eq!(house.starts(), 2);
    stream.tell_to_end();
    let report = stream.report(60);
    assert_eq!(report.terminated, None, "{report:#?}");
    assert_colour(&report, RED);
}

#[test]
fn another_client_takes_the_display_over_from_one_who_plays_and_from_one_who_left() {
    let _turn = turn();
    let (house, other, stream) = house("take over", &LEAVES);
    let displays = house.displays();
    house.play(&other, &LARGE, &["--leave", "disconnect"]);
    let report = stream.report(60);
    assert_eq!(report.terminated, GRACEFUL, "{report:#?}");
    assert_eq!((house.starts(), house.displays()), (1, displays.clone()));
    assert_eq!(house.client.running_app(), "0");
    assert_ne!(other.running_app(), "0");
    // It waits for the one who took it, and the first takes it back.
    house.play(&house.client, &SMALL, &[]);
    assert_eq!((house.starts(), other.running_app().as_str()), (1, "0"));
    until("it was quit", SOON, || house.displays().is_empty().then_some(()));
}

#[test]
fn another_client_is_refused_what_somebody_has() {
    let _turn = turn();
    let (house, other, mut stream) = house("refuse", &[]);
    let late = other.run(&["stream", "--seconds", "2", "--app", "game"]);
    assert!(late["refused"].to_string().contains("game is taken by "), "{late}");
    stream.plays_on(15, SOON);
    stream.tell_to_end();
    assert_colour(&stream.report(60), RED);
    until("it was quit", SOON, || house.displays().is_empty().then_some(()));
    house.play(&other, &SMALL, &[]);
}

#[test]
fn another_client_sees_the_same_until_the_display_goes() {
    let _turn = turn();
    let (house, other, mut stream) = house("share", &[]);
    house.play(&other, &LARGE, &[]);
    assert_eq!(house.starts(), 1);
    stream.plays_on(15, SOON);
    // It left without quitting, and goes on where it was.
    house.play(&other, &LARGE, &LEAVES);
    assert_ne!(other.running_app(), "0");
    let guest = other.start_stream(60, &[&LARGE[..], &LEAVES].concat());
    guest.picture();
    stream.tell_to_end();
    let (owner, guest) = (stream.report(60), guest.report(60));
    assert_eq!((owner.terminated, guest.terminated), (None, GRACEFUL), "{guest:#?}");
    until("nothing runs", SOON, || (other.running_app() == "0").then_some(()));
    assert_colour(&owner, RED);
    assert_eq!(house.starts(), 1);
}

#[test]
fn one_who_may_only_watch_sees_what_is_shared_and_starts_nothing() {
    let _turn = turn();
    let (house, other, mut stream) = house("share", &[]);
    house.host.permit_latest("nothing");
    house.play(&other, &LARGE, &[]);
    stream.tell_to_end();
    assert_eq!(stream.report(60).error, 0);
    until("it was quit", SOON, || house.displays().is_empty().then_some(()));
    let refused = other.run(&["stream", "--seconds", "2", "--app", "game"]);
    assert!(refused["refused"].to_string().contains("may only watch"), "{refused}");
    assert_eq!((house.starts(), other.running_app().as_str()), (1, "0"));
    house.host.permit_latest("everything");
    house.play(&other, &SMALL, &[]);
    assert_eq!(house.starts(), 2);
}

#[test]
fn one_who_asks_for_more_than_the_encoders_bear_besides_is_told_so() {
    let _turn = turn();
    let (house, other, mut stream) = house("own display", &[]);
    let huge =
        ["stream", "--seconds", "2", "--app", "game", "--width", "3840", "--height", "2160", "--fps", "240"];
    let refused = other.run(&huge);
    assert!(refused["refused"].to_string().contains("does not encode as much"), "{refused}");
    stream.plays_on(15, SOON);
    // What is less is not too much.
    house.play(&other, &SMALL, &[]);
    stream.tell_to_end();
    assert_colour(&stream.report(60), RED);
}

#[test]
fn one_player_too_many_is_told_so() {
    let _turn = turn();
    let house = House::new("[players]\nmost = 1\n");
    let other = Client::paired(&house.host);
    let zombie = begin(&house.client, &LEAVES);
    let late = other.run(&["stream", "--seconds", "2", "--app", "game"]);
    assert!(late["refused"].to_string().contains("1 player is here already"), "{late}");
    // One who plays may launch again.
    house.play(&house.client, &SMALL, &[]);
    assert_eq!(zombie.report(60).terminated, GRACEFUL);
    house.play(&other, &SMALL, &[]);
}
