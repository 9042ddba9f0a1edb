//! How sessions end, and how they go on.

use crate::harness::client::{Client, Report};
use crate::harness::host::Host;
use crate::harness::{at_best, turn, until, within};
use std::time::{Duration, Instant};

const GRACEFUL: Option<i64> = Some(0);

#[test]
fn sigterm_tells_the_client() {
    let _turn = turn();
    let mut host = Host::start();
    let client = Client::paired(&host);
    let stream = client.start_stream(60, &["--leave", "disconnect"]);
    stream.picture();
    host.stop();
    let told = stream.event("terminated", Duration::from_secs(5));
    assert_eq!(told["code"].as_i64(), GRACEFUL, "{told}");
}

#[test]
fn ctrl_c_ends_the_host() {
    let _turn = turn();
    let mut host = Host::start();
    host.signal(libc::SIGINT);
    assert_eq!(host.wait_end(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn a_client_that_disconnects_can_resume() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    let idle = host.usage();
    let leave_and_resume = || {
        client.stream(2, &["--leave", "disconnect"]);
        assert_ne!(client.running_app(), "0", "the app runs on");
        assert_eq!(
            client.get("/serverinfo")["root"]["state"].as_str().map(|s| s.ends_with("_SERVER_BUSY")),
            Some(true)
        );
        client.stream(2, &["--resume", "--decode", "--tone"])
    };
    let resumed = at_best(leave_and_resume, Report::is_complete);
    resumed.assert_whole(1280, 720);
    resumed.assert_forward();
    resumed.assert_tone(440.0);
    assert_eq!(client.running_app(), "0", "the second time it quit");
    // Threads of the runtime wait ten seconds for more to do.
    let few = within(Duration::from_secs(20), || (host.usage().threads <= idle.threads + 4).then_some(()));
    assert!(few.is_some(), "before {idle:?}, after {:?}\n{}", host.usage(), host.inventory());
}

#[test]
fn another_client_neither_sees_nor_ends_the_session_of_the_first() {
    let _turn = turn();
    let host = Host::start();
    let (player, other) = (Client::paired(&host), Client::paired(&host));
    let mut stream = player.start_stream(60, &["--until-told", "--width", "640", "--height", "360"]);
    stream.picture();
    assert_eq!(other.running_app(), "0");
    let _ = other.run(&["get", "/cancel"]);
    assert_ne!(player.running_app(), "0", "still playing");
    stream.tell_to_end();
    let report = stream.report(60);
    assert_eq!(report.terminated, None, "{report:#?}");
}

#[test]
fn cancel_from_outside_ends_the_stream() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    let stream = client.start_stream(60, &["--leave", "disconnect"]);
    stream.picture();
    assert_eq!(client.run(&["cancel"])["game"], 0);
    let told = stream.event("terminated", Duration::from_secs(5));
    assert_eq!(told["code"].as_i64(), GRACEFUL, "{told}");
}

#[test]
fn ten_seconds_of_silence_end_the_session() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    // The first stream leaves what stays for good.
    client.stream(1, &[]);
    let idle = host.settled();
    let stream = client.start_stream(60, &[]);
    stream.picture();
    let playing = host.usage();
    assert!(playing.descriptors > idle.descriptors, "idle {idle:?}, playing {playing:?}");
    stream.kill();
    let silent_since = Instant::now();
    host.wait_settled(idle, Duration::from_secs(25));
    let took = silent_since.elapsed();
    assert!(took > Duration::from_secs(8), "it waits ten seconds for the client, not {took:?}");
    assert_ne!(client.running_app(), "0", "the app runs on");
    let resumed = client.stream(1, &["--resume", "--decode"]);
    assert_eq!(resumed.decode_errors, 0, "under new keys the picture goes on: {resumed:#?}");
    assert!(resumed.decoded > 0, "{resumed:#?}");
    host.wait_settled(idle, Duration::from_secs(20));
}

#[test]
fn a_client_that_was_killed_resumes_before_it_is_missed() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    client.stream(1, &[]);
    let idle = host.settled();
    let stream = client.start_stream(60, &[]);
    stream.picture();
    stream.kill();
    let resumed = client.stream(2, &["--resume", "--decode", "--tone"]);
    resumed.assert_forward();
    resumed.assert_tone(440.0);
    assert_eq!(resumed.decode_errors, 0, "{resumed:#?}");
    host.wait_settled(idle, Duration::from_secs(20));
}

#[test]
fn a_launch_that_nobody_follows_holds_nothing() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    client.stream(1, &[]);
    let idle = host.settled();
    let key = "00112233445566778899aabbccddeeff";
    let path =
        format!("/launch?appid=1&mode=1280x720x60&rikey={key}&rikeyid=-5&surroundAudioInfo=196610&corever=1");
    for _ in 0..3 {
        let answer = client.get(&path);
        assert_eq!(answer["status"], 200, "{answer}");
        assert!(
            answer["root"]["sessionUrl0"].as_str().is_some_and(|url| url.starts_with("rtspenc://127.0.0.1:")),
            "{answer}"
        );
    }
    assert_eq!(client.run(&["cancel"])["game"], 0);
    host.wait_settled(idle, Duration::from_secs(20));
}

#[test]
fn the_launch_of_something_else_is_refused_with_a_reason() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    for path in [
        "/launch?appid=4242&mode=1280x720x60&rikey=00112233445566778899aabbccddeeff&rikeyid=1",
        "/launch?appid=1&mode=big&rikey=00&rikeyid=1",
        "/resume?rikey=00112233445566778899aabbccddeeff&rikeyid=1",
    ] {
        let answer = client.get(path);
        assert!(
            answer["status"].as_i64().is_some_and(|s| s >= 400) && answer["message"] != "",
            "{path}: {answer}"
        );
    }
    until("nothing runs", Duration::from_secs(2), || (client.running_app() == "0").then_some(()));
}
