//! The command line: what it prints, how it ends.

use crate::harness::client::Client;
use crate::harness::host::{self, Host, Setup};
use crate::harness::{output, turn, until};
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

/// `moonpipe ARGUMENTS` with folders of its own and this configuration.
fn moonpipe(config: &str, arguments: &[&str]) -> Output {
    let folder = host::new_folder(&Setup { config, ..Setup::default() });
    output(&mut host::moonpipe(Path::new(host::MOONPIPE), folder.path(), arguments))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

#[test]
fn help_names_every_command() {
    let help = output(std::process::Command::new(host::MOONPIPE).arg("--help"));
    assert_eq!(help.status.code(), Some(0));
    for word in ["serve", "pair", "clients", "sessions", "switch", "pipelines", "--config", "--state-dir"] {
        assert!(said(&help).contains(word), "--help does not mention {word}: {}", said(&help));
    }
}

#[test]
fn wrong_usage_ends_with_two() {
    for arguments in [
        &["sreve"][..],
        &["serve", "--prot", "1"],
        &["serve", "--port", "seventy"],
        &["clients", "remove"],
        &["clients", "permit", "sofa", "fly"],
        &["pair"],
        &["switch"],
    ] {
        let ended = moonpipe("", arguments);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {}", said(&ended));
    }
}

#[test]
fn an_unknown_configuration_key_is_refused_with_the_allowed_ones() {
    let ended = moonpipe("soruce = \"test\"\n", &["serve"]);
    assert_eq!(ended.status.code(), Some(2), "{}", said(&ended));
    for word in ["config.toml", "soruce", "source"] {
        assert!(said(&ended).contains(word), "the refusal does not name {word}: {}", said(&ended));
    }
}

#[test]
fn a_configuration_that_is_no_toml_is_refused_with_its_line() {
    let ended = moonpipe("\n\nsource = \n", &["serve"]);
    assert_eq!(ended.status.code(), Some(2), "{}", said(&ended));
    assert!(said(&ended).contains("config.toml:3:"), "{}", said(&ended));
}

#[test]
fn an_unknown_source_is_refused_with_those_there_are() {
    let ended = moonpipe("", &["serve", "--source", "telescope"]);
    assert!(matches!(ended.status.code(), Some(1 | 2)), "{}", said(&ended));
    for word in ["telescope", "test", "portal"] {
        assert!(said(&ended).contains(word), "the refusal does not name {word}: {}", said(&ended));
    }
}

#[test]
fn a_switch_without_a_host_says_how_to_start_one() {
    let ended = moonpipe("", &["switch", "test"]);
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    assert!(said(&ended).contains("no host runs"), "{}", said(&ended));
}

#[test]
fn a_port_in_use_is_named() {
    let base = host::free_base();
    let _taken = TcpListener::bind(("::", base + 21)).expect("it was free");
    let ended = moonpipe("", &["serve", "--port", &base.to_string()]);
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    assert!(
        said(&ended).contains(&(base + 21).to_string()),
        "the refusal does not name the port: {}",
        said(&ended)
    );
}

#[test]
fn pipelines_says_what_works_here_and_why_not() {
    let listed = moonpipe("", &["pipelines"]);
    assert_eq!(listed.status.code(), Some(0), "{}", said(&listed));
    for word in ["test", "portal", "x264", "nvh264enc"] {
        assert!(said(&listed).contains(word), "{word} is not listed: {}", said(&listed));
    }
}

#[test]
fn a_broken_description_is_refused_by_file_and_reason_and_the_others_work() {
    let _turn = turn();
    let pipelines = [
        (
            "encode/broken.toml",
            "codec = \"h264\"\nrank = 200\nneeds = []\nbitrate = { property = \"bitrate\", unit = \"kbit/s\", live = true }\nlaunch = \"x264encc name=encoder bitrate={kbps}\"\n",
        ),
        ("capture/typo.toml", "rank = 1\nneeds = []\nlunch = \"videotestsrc\"\n"),
    ];
    let host = Host::with(&Setup { pipelines: &pipelines, ..Setup::default() });
    let log = host.log.all().join("\n");
    for (file, reason) in [("broken.toml", "x264encc"), ("typo.toml", "lunch")] {
        let line = log
            .lines()
            .find(|line| line.contains(file))
            .unwrap_or_else(|| panic!("{file} is not refused: {log}"));
        assert!(log.contains(reason), "{line} does not say why");
    }
}

#[test]
fn a_codec_that_nothing_here_encodes_is_not_offered() {
    const H264: u32 = 1;
    const HEVC: u32 = 0x100;
    const AV1: u32 = 0x1_0000;
    let _turn = turn();
    // In the place of the shipped one, an encoder that exists and encodes nothing.
    let broken = r#"
codec = "h265"
rank = 20
needs = ["x265enc"]
bitrate = { property = "bitrate", unit = "kbit/s", live = true }
launch = "x265enc name=encoder bitrate={kbps} ! identity error-after=1 ! h265parse config-interval=-1"
"#;
    let host = Host::with(&Setup { pipelines: &[("encode/h265-x265.toml", broken)], ..Setup::default() });
    let answer = Client::new(&host).run(&["get", "/serverinfo", "--plain"]);
    assert_eq!(
        answer["root"]["ServerCodecModeSupport"],
        (H264 | AV1).to_string(),
        "{answer}; HEVC would be {HEVC}"
    );
    assert_eq!(answer["root"]["MaxLumaPixelsHEVC"], "0", "{answer}");
    host.wait_log("h265-x265", Duration::from_secs(1));
}

#[test]
fn serve_says_what_to_do_next() {
    let _turn = turn();
    let host = Host::start();
    let next = host.wait_log("pair PIN", Duration::from_secs(5));
    let binary = Path::new(host::MOONPIPE).canonicalize().expect("it runs");
    assert!(next.contains(&binary.display().to_string()), "{next}");
    let port = host.port("http").to_string();
    assert!(
        host.log.all().iter().any(|line| line.contains("Moonlight") && line.contains(&port)),
        "{}",
        host.log.tail(20)
    );
}

#[test]
fn sessions_are_told_while_they_run_and_afterwards() {
    let _turn = turn();
    let host = Host::start();
    let none = host.command(&["sessions"]);
    assert!(none.status.success() && said(&none).contains("nobody"), "{}", said(&none));
    let client = Client::paired(&host);
    let mut stream = client.start_stream(60, &["--until-told"]);
    stream.picture();
    let running = until("frames are counted", Duration::from_secs(10), || {
        host.sessions().pop().filter(|session| session["frames"]["sent"].as_u64() > Some(0))
    });
    assert!(running["ended"].is_null(), "{running}");
    assert_eq!(running["stream"], "H.264 1280x720 at 60 fps");
    let share = running["fec-percentage"].as_u64().expect("a number");
    assert!((5..=20).contains(&share), "it begins with 20 and falls where nothing is lost: {running}");
    stream.tell_to_end();
    let report = stream.report(60);
    let ended = until("it ends", Duration::from_secs(10), || {
        host.sessions().pop().filter(|session| session["ended"].is_string())
    });
    assert_eq!(ended["key-frames"]["first frame"], 1, "{ended}");
    assert!(ended["frames"]["sent"].as_u64() >= Some(report.frames), "{ended} {report:#?}");
    let [sent, new] = ["sent", "new"].map(|name| ended["frames"][name].as_u64().expect("a number"));
    assert!(new <= sent && 2 * new > sent, "the test picture moves: {ended}");
    let told = said(&host.command(&["sessions"]));
    assert!(told.contains("H.264 1280x720") && told.contains("first frame"), "{told}");
    // It closes its connection first, and says then that it will not come back.
    for (leave, why) in
        [("quit", "the client quit the app"), ("disconnect", "the client left, and may resume")]
    {
        client.stream(1, &["--leave", leave]);
        until(why, Duration::from_secs(10), || {
            host.sessions().pop().filter(|session| session["ended"] == why)
        });
    }
}
