//! What players start, and what becomes of it.

use crate::harness::client::Client;
use crate::harness::desktop::Desktop;
use crate::harness::host::{Host, Setup};
use crate::harness::{send_signal, turn, until};
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

/// A shell script as `cmd`, which is split into words and not given to a shell by itself.
fn app(title: &str, script: &str, more: &str) -> String {
    format!("[[app]]\ntitle = \"{title}\"\ncmd = '''sh -c \"{script}\"'''\n{more}\n")
}

/// Writes its number and what it was told, once for each start, and stays with a child that left its group.
fn player(title: &str, folder: &Path, more: &str) -> String {
    let notes = folder.join(title).display().to_string();
    app(
        title,
        &format!(
            "setsid sleep 7777 & echo $$ $MOONPIPE_WIDTH $MOONPIPE_HEIGHT $MOONPIPE_FPS $MINE >> {notes}; exec sleep 7777"
        ),
        more,
    )
}

fn notes(folder: &Path, title: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(title)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn started(folder: &Path, title: &str) -> Vec<String> {
    until("the app starts", SOON, || Some(notes(folder, title)).filter(|lines| !lines.is_empty()))
}

/// How many processes there are of the apps of the host that has this identity.
pub fn left(identity: &str) -> usize {
    let mark = format!("MOONPIPE_APP={identity}/");
    let environments = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        std::fs::read(entry.path().join("environ")).ok()
    });
    environments.filter(|e| e.split(|byte| *byte == 0).any(|v| v.starts_with(mark.as_bytes()))).count()
}

fn nothing_left(identity: &str) {
    until("every process of the app is gone", SOON, || (left(identity) == 0).then_some(()));
}

pub fn about(client: &Client, field: &str) -> String {
    client.get("/serverinfo")["root"][field].as_str().expect("a text").to_owned()
}

#[test]
fn an_app_starts_once_lives_through_a_resume_and_ends_with_its_children_when_it_is_quit() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let apps = player("game", folder.path(), "env = { MINE = \"yes\" }");
    let host = Host::with(&Setup { apps: Some(&apps), ..Setup::default() });
    let client = Client::paired(&host);
    let identity = about(&client, "uniqueid");
    let game = ["--app", "game", "--leave", "disconnect", "--width", "640", "--height", "360"];
    client.stream(1, &game);
    let line = started(folder.path(), "game");
    assert!(line[0].ends_with(" 640 360 60 yes"), "{line:?}");
    assert_ne!(client.running_app(), "0");
    let there = left(&identity);
    assert!(there >= 2, "{there} processes");
    client.stream(1, &["--resume", "--leave", "disconnect"]);
    assert_eq!((notes(folder.path(), "game"), left(&identity)), (line, there), "it was not started again");
    assert_eq!(client.run(&["cancel"])["game"], 0);
    nothing_left(&identity);
}

#[test]
fn nothing_that_a_client_sends_becomes_part_of_a_command_or_of_its_environment() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let seen = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let here = folder.path().display();
    let script =
        format!("cat /proc/$$/environ > {here}/told; cp /proc/$$/cmdline {here}/words; exec sleep 7777");
    let host = Host::with(&Setup { apps: Some(&app("game", &script, "")), ..Setup::default() });
    let client = Client::paired(&host);
    let game = client.run(&["apps"])["apps"]["game"].to_string();
    let key = "00".repeat(16);
    for (mode, appid, rikey) in [
        ("640x360x60;touch%20hostile", &*game, &*key),
        ("640x360x%24(touch%20hostile)", &game, &key),
        ("640x360x60", &format!("{game};hostile"), &key),
        ("640x360x60", "..%2F..%2Fhostile", &key),
        ("640x360x60", &game, "%60hostile%60"),
    ] {
        let answer = client
            .get(&format!("/launch?appid={appid}&mode={mode}&rikey={rikey}&rikeyid=1&localAudioPlayMode=0"));
        assert_ne!(answer["status"], 200, "{mode} {appid} {rikey}: {answer}");
    }
    assert_eq!((client.running_app().as_str(), seen("told").as_str()), ("0", ""));
    let more =
        "&cmd=hostile&env=HOSTILE%3Dhostile&title=%24(hostile)&clientName=%3Bhostile&MOONPIPE_FPS=hostile";
    client.stream(2, &["--app", "game", "--width", "640", "--height", "360", "--launch-more", more]);
    let told = until("the app tells", SOON, || Some(seen("told")).filter(|_| !seen("words").is_empty()));
    assert!(told.contains("MOONPIPE_FPS=60\0") && !told.to_lowercase().contains("hostile"), "{told}");
    assert_eq!(seen("words").split('\0').collect::<Vec<_>>(), ["sh", "-c", &script, ""]);
}

#[test]
fn the_list_follows_its_file_and_a_fault_in_it_changes_nothing() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    let apps = || client.run(&["apps"])["apps"].as_object().expect("apps by title").clone();
    let titles = || apps().keys().cloned().collect::<Vec<_>>();
    assert_eq!(titles(), ["Desktop"]);
    host.write_apps("[[app]]\ntitle = \"Tom & Jerry\"\nimage = \"cover.jpg\"\n");
    assert_eq!(titles(), ["Tom & Jerry"]);
    let picture = || {
        client.get(&format!("/appasset?AssetType=2&AssetIdx=0&appid={}", apps()["Tom & Jerry"]))["type"]
            .clone()
    };
    assert_eq!(picture(), "image/png", "the host's own card");
    host.write_config("cover.jpg", &[0xff, 0xd8, 0xff, 0xe0]);
    assert_eq!(picture(), "image/jpeg");
    host.write_apps("[[app]]\ntitle = \"other\"\nisolate = true\n");
    assert_eq!(titles(), ["Tom & Jerry"]);
    let line = host.wait_log("apps.toml:3: ", SOON);
    assert!(line.contains("isolate") && line.contains("`isolated`"), "{line}");
}

#[test]
fn the_end_of_an_app_ends_its_session_unless_it_is_kept() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate").display().to_string();
    let script = format!("setsid sleep 7777 & until [ -e {gate} ]; do sleep 0.05; done; exit 3");
    let apps = app("game", &script, "") + &app("kept", &script, "exit = \"keep\"");
    let host = Host::with(&Setup { apps: Some(&apps), ..Setup::default() });
    let client = Client::paired(&host);
    let small = ["--leave", "disconnect", "--width", "640", "--height", "360"];
    let stream = client.start_stream(60, &[&["--app", "game"], &small[..]].concat());
    stream.picture();
    assert_ne!(client.running_app(), "0");
    std::fs::write(&gate, "").unwrap();
    assert_eq!(stream.event("terminated", SOON)["code"], 0);
    until("nothing runs", SOON, || (client.running_app() == "0").then_some(()));
    host.wait_log("ended: game: it ended with exit code 3", SOON);
    nothing_left(&about(&client, "uniqueid"));
    let report = client.stream(2, &[&["--app", "kept"], &small[..]].concat());
    assert_eq!(report.terminated, None, "{report:#?}");
    host.wait_log("kept: it ended with exit code 3", SOON);
    assert_ne!(client.running_app(), "0");
}

#[test]
fn nothing_of_an_app_outlives_its_host_whatever_ends_it() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let apps = player("game", folder.path(), "");
    let setup = Setup { apps: Some(&apps), ..Setup::default() };
    let mut host = Host::with(&setup);
    let client = Client::paired(&host);
    let identity = about(&client, "uniqueid");
    let game = ["--app", "game", "--leave", "disconnect", "--width", "640", "--height", "360"];
    client.stream(1, &game);
    started(folder.path(), "game");
    host.kill();
    assert!(left(&identity) >= 2, "what a killed host leaves");
    let mut host = host.again(&setup);
    assert_eq!(left(&identity), 0, "gone before the host is ready");
    client.stream(1, &game);
    until("the app starts again", SOON, || (notes(folder.path(), "game").len() == 2).then_some(()));
    host.stop();
    assert_eq!(left(&identity), 0);
}

/// What is started and left alone. The test ends it: nobody else does.
struct Detached(u32);

impl Drop for Detached {
    fn drop(&mut self) {
        send_signal(self.0, libc::SIGKILL);
    }
}

/// The first word of what an app wrote down.
fn number(line: &str) -> u32 {
    line.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no number: {line:?}"))
}

/// A number in /proc/PID/stat, counted from the state, which is 0; nothing of a process that has ended.
fn stat(pid: u32, field: usize) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    (fields.next()? != "Z").then(|| fields.nth(field - 1)?.parse().ok())?
}

fn process_group(pid: u32) -> Option<u32> {
    stat(pid, 2)
}

#[test]
fn a_detached_app_survives_a_quit_and_the_host() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let script = |title| format!("echo $$ >> {}; exec sleep 7777", folder.path().join(title).display());
    let apps = app("game", &script("game"), "") + &app("tool", &script("tool"), "detached = true");
    let mut host = Host::with(&Setup { apps: Some(&apps), ..Setup::default() });
    let client = Client::paired(&host);
    let identity = about(&client, "uniqueid");
    let small = ["--leave", "disconnect", "--width", "640", "--height", "360"];
    client.stream(1, &[&["--app", "tool"], &small[..]].concat());
    let tool = Detached(number(&started(folder.path(), "tool")[0]));
    assert_eq!(client.run(&["cancel"])["game"], 0);
    client.stream(1, &[&["--app", "game"], &small[..]].concat());
    let game = number(&started(folder.path(), "game")[0]);
    // Each leads a group of its own: a signal to the host's does not reach it.
    let groups = [host.pid(), game, tool.0].map(process_group);
    assert_eq!(groups[1..], [Some(game), Some(tool.0)]);
    assert_ne!(groups[0], groups[1]);
    host.stop();
    assert_eq!((left(&identity), process_group(game)), (0, None));
    assert_eq!(process_group(tool.0), Some(tool.0), "it lives");
}

/// A desktop has no display that goes: what plays on it waits for whoever started it.
#[test]
fn an_app_on_a_desktop_lives_until_it_is_quit() {
    let _turn = turn();
    let desktop = Desktop::start(1280, 720);
    let host = Host::with(&Setup {
        apps: Some(&player("game", desktop.folder(), "")),
        arguments: &["--source", "portal"],
        config: "[displays]\nlinger = \"immediately\"\n",
        desktop: Some(&desktop),
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let identity = about(&client, "uniqueid");
    client.stream(2, &["--app", "game", "--leave", "disconnect"]);
    let line = started(desktop.folder(), "game");
    host.wait_log("ended: the client left", SOON);
    let there = left(&identity);
    assert!(there >= 2 && client.running_app() != "0", "{there} processes");
    client.stream(2, &["--resume", "--leave", "disconnect"]);
    assert_eq!((notes(desktop.folder(), "game"), left(&identity)), (line, there), "it was not started again");
    assert_eq!(client.run(&["cancel"])["game"], 0);
    nothing_left(&identity);
}

#[test]
fn a_host_does_not_start_with_a_faulty_list() {
    let folder = crate::harness::host::new_folder(&Setup {
        apps: Some("[[app]]\ntitle = \"\"\n"),
        ..Setup::default()
    });
    let binary = Path::new(crate::harness::host::MOONPIPE);
    let port = crate::harness::host::free_base().to_string();
    let mut command = crate::harness::host::moonpipe(binary, folder.path(), &["serve", "--port", &port]);
    let told = crate::harness::output(&mut command);
    let said = String::from_utf8_lossy(&told.stderr);
    assert_eq!(told.status.code(), Some(2), "{said}");
    assert!(said.contains("apps.toml:2: title"), "{said}");
}
