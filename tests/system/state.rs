//! What the host keeps on disk.

use crate::harness::client::Client;
use crate::harness::host::{Host, Setup};
use crate::harness::{Seeded, turn};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the state folder").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn regular(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}

#[test]
fn only_the_owner_may_read_the_state() {
    let _turn = turn();
    let host = Host::start();
    let _client = Client::paired(&host);
    let kept: Vec<PathBuf> = files(&host.state()).into_iter().filter(|path| regular(path)).collect();
    assert!(kept.len() >= 3, "certificate, key and clients: {kept:?}");
    for path in kept {
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
}

#[test]
fn the_certificate_stays_the_same() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    let id = |client: &Client| client.get("/serverinfo")["root"]["uniqueid"].clone();
    let before = id(&client);
    let mut host = host;
    host.stop();
    let host = host.again(&Setup::default());
    assert_eq!(id(&client), before, "the same host to everybody");
    assert_eq!(client.get("/applist")["status"], 200, "and the client is still paired");
    drop(host);
}

/// A kill at any moment leaves the old file or the new one.
#[test]
fn a_kill_at_any_moment_leaves_whole_files() {
    let _turn = turn();
    let mut random = Seeded(99);
    let mut host = Host::start();
    let keeper = Client::new(&host);
    assert_eq!(keeper.pair(&host, "1234", "1234", Some("keeper"))["paired"], true);
    for round in 0..12 {
        // Killed around the moment at which a new client is written down, or while one is removed.
        let guest = Client::new(&host);
        let pairing = guest.start(&["pair", "--pin", "1234"]);
        host.tell_pin("1234", Some(&format!("guest{round}")));
        std::thread::sleep(Duration::from_micros(random.next() % 60_000));
        host.kill();
        drop(pairing);
        assert_whole(&host.state());
        host = host.again(&Setup::default());
        assert_eq!(keeper.get("/applist")["status"], 200, "round {round}: who was paired is paired");
    }
}

#[test]
fn a_kill_during_the_first_start_leaves_a_folder_that_starts() {
    let _turn = turn();
    let mut random = Seeded(5);
    for _ in 0..8 {
        let setup = Setup::default();
        let folder = crate::harness::host::new_folder(&setup);
        let binary = Path::new(crate::harness::host::MOONPIPE);
        let base = crate::harness::host::free_base().to_string();
        let mut command = crate::harness::host::moonpipe(binary, folder.path(), &["serve", "--port", &base]);
        let quiet = std::process::Stdio::null;
        let mut child = command.stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn().expect("it starts");
        // A new RSA key takes some tens to hundreds of milliseconds.
        std::thread::sleep(Duration::from_millis(random.next() % 800));
        child.kill().expect("a child");
        child.wait().expect("a child");
        assert_whole(&folder.path().join("state"));
        let listed =
            crate::harness::output(&mut crate::harness::host::moonpipe(binary, folder.path(), &["clients"]));
        assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    }
}

/// PEM files have a beginning and an end, TOML and JSON files parse.
fn assert_whole(state: &Path) {
    for path in files(state) {
        let named = |end: &str| path.extension().is_some_and(|extension| extension == end);
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if named("pem") {
            assert!(
                text.starts_with("-----BEGIN") && text.trim_end().ends_with("-----"),
                "{}: {text}",
                path.display()
            );
        } else if named("toml") {
            assert!(text.parse::<toml::Table>().is_ok(), "{}: {text}", path.display());
        } else if named("json") {
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}: {text}", path.display());
        }
    }
}
