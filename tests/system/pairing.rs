//! Who may come in: pairing with the real client's code, and phases as no client would send them.

use crate::harness::client::Client;
use crate::harness::host::Host;
use crate::harness::{turn, until};
use serde_json::Value;
use std::time::Duration;

fn clients(host: &Host) -> String {
    let listed = host.command(&["clients"]);
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    String::from_utf8(listed.stdout).expect("text")
}

fn default_name(pairing: &Value) -> String {
    format!("client-{}", &pairing["sha256"].as_str().expect("a fingerprint")[..8])
}

#[test]
fn the_right_pin_pairs() {
    let _turn = turn();
    let host = Host::start();
    let nobody = host.command(&["pair", "1234"]);
    assert_eq!(nobody.status.code(), Some(1), "nobody waits: {nobody:?}");
    assert!(!nobody.stderr.is_empty(), "and it says so");

    let device = Client::new(&host);
    let pairing = device.start(&["pair", "--pin", "4711"]);
    let name = default_name(&pairing.event("pairing", Duration::from_secs(10)));
    host.tell_pin("4711", None);
    let result = pairing.result(Duration::from_secs(20));
    assert_eq!(result["paired"], true, "{result}");
    assert_eq!(result["apps"][0][1], "Desktop");
    assert_eq!(result["apps"].as_array().map(Vec::len), Some(1), "one app: {result}");
    assert!(clients(&host).contains(&name), "{name} in {}", clients(&host));
    assert_eq!(device.get("/serverinfo")["root"]["PairStatus"], "1");
    assert_eq!(
        device.run(&["get", "/serverinfo", "--plain"])["root"]["PairStatus"],
        "0",
        "plain HTTP knows nobody"
    );
    let picture = device.get("/appasset?appid=1&AssetType=2&AssetIdx=0");
    assert_eq!(picture["http_status"], 200, "{picture}");
}

#[test]
fn a_wrong_pin_does_not_pair_and_the_right_one_does_afterwards() {
    let _turn = turn();
    let host = Host::start();
    let device = Client::new(&host);
    let wrong = device.pair(&host, "1234", "4321", None);
    assert_eq!(wrong["paired"], false, "{wrong}");
    assert_eq!(device.get("/serverinfo")["status"], 401);
    let right = device.pair(&host, "1234", "1234", None);
    assert_eq!(right["paired"], true, "{right}");
}

#[test]
fn phases_out_of_order_pair_nobody() {
    let _turn = turn();
    let host = Host::start();
    for order in ["secret", "challenge", "response,secret", "challenge,response,secret", "not_hex"] {
        refused(&host, order, None);
    }
    // A PIN that paired nobody is told nobody else.
    for (pin, order) in [
        ("1001", "certificate,secret"),
        ("1002", "certificate,response"),
        ("1003", "certificate,challenge,secret"),
        ("1004", "certificate,short_challenge"),
    ] {
        refused(&host, order, Some(pin));
    }
    // The right order, and a phase that is sent twice: what was paired stays paired, nothing pairs again.
    let device = Client::new(&host);
    let phases = device.start(&["phases", "--order", "certificate,challenge,response,secret,secret"]);
    host.tell_pin("1234", None);
    let answers = phases.result(Duration::from_secs(20));
    assert_eq!(answers["answers"][3]["paired"], "1", "{answers}");
    assert_ne!(answers["answers"][4]["paired"], "1", "{answers}");
}

/// Nothing of `order` ends in a pairing.
fn refused(host: &Host, order: &str, pin: Option<&str>) {
    let device = Client::new(host);
    let phases = device.start(&["phases", "--pin", pin.unwrap_or("1234"), "--order", order]);
    if let Some(pin) = pin {
        host.tell_pin(pin, None);
    }
    let result = phases.result(Duration::from_secs(20));
    let last = result["answers"].as_array().and_then(|all| all.last()).expect("answers");
    assert_ne!(last["paired"], "1", "{order}: {result}");
    assert_eq!(device.get("/serverinfo")["status"], 401, "{order}: {result}");
}

#[test]
fn two_clients_are_two_entries_and_one_can_be_removed() {
    let _turn = turn();
    let host = Host::start();
    let (first, second) = (Client::new(&host), Client::new(&host));
    assert_eq!(first.pair(&host, "1111", "1111", Some("tablet"))["paired"], true);
    assert_eq!(second.pair(&host, "2222", "2222", Some("television"))["paired"], true);
    let listed = clients(&host);
    assert!(listed.contains("tablet") && listed.contains("television"), "{listed}");

    assert_eq!(host.command(&["clients", "remove", "tablet"]).status.code(), Some(0));
    until("the removed client is a stranger", Duration::from_secs(5), || {
        (first.get("/applist")["status"] == 401).then_some(())
    });
    assert_eq!(second.get("/applist")["status"], 200);
    assert_eq!(
        host.command(&["clients", "remove", "tablet"]).status.code(),
        Some(1),
        "there is none of that name now"
    );

    let mut host = host;
    host.stop();
    assert!(clients(&host).contains("television"), "without a running host too");
    assert_eq!(host.command(&["clients", "remove", "television"]).status.code(), Some(0));
    assert!(!clients(&host).contains("television"));
}

#[test]
fn a_client_that_vanishes_does_not_keep_the_next_one_out() {
    let _turn = turn();
    let host = Host::start();
    let ghost = Client::new(&host).start(&["pair", "--pin", "9999"]);
    ghost.event("pairing", Duration::from_secs(10));
    host.wait_log("PIN", Duration::from_secs(10));
    ghost.kill();
    until("the ghost is forgotten", Duration::from_secs(10), || {
        (host.command(&["pair", "9999"]).status.code() == Some(1)).then_some(())
    });
    let device = Client::new(&host);
    assert_eq!(device.pair(&host, "1234", "1234", None)["paired"], true);
}

#[test]
fn pairing_again_leaves_one_entry() {
    let _turn = turn();
    let host = Host::start();
    let device = Client::new(&host);
    for pin in ["1234", "5678"] {
        assert_eq!(device.pair(&host, pin, pin, None)["paired"], true);
    }
    assert_eq!(clients(&host).matches("client-").count(), 1, "{}", clients(&host));
}

#[test]
fn strangers_get_the_xml_401() {
    let _turn = turn();
    let host = Host::start();
    let stranger = Client::new(&host);
    for path in [
        "/serverinfo",
        "/applist",
        "/launch?appid=1",
        "/resume",
        "/cancel",
        "/appasset?appid=1",
        "/pair?phrase=pairchallenge",
    ] {
        for arguments in [&["get", path][..], &["get", path, "--no-certificate"]] {
            let answer = stranger.run(arguments);
            assert_eq!(answer["http_status"], 200, "{arguments:?}: {answer}");
            assert_eq!(answer["status"], 401, "{arguments:?}: {answer}");
        }
    }
}

#[test]
fn the_host_is_found_by_its_announcement() {
    let _turn = turn();
    let host = Host::start();
    let found = Client::new(&host).run(&["discover"]);
    assert!(found["addresses"].as_array().is_some_and(|all| !all.is_empty()), "mDNS finds nobody: {found}");
}
