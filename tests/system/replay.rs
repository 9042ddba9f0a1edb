//! A recorded stream of 100 Mbit/s in place of the encoder: what every client should be able to get, whatever this
//! machine can encode.

use crate::harness::client::{Client, Report};
use crate::harness::host::{Host, Setup};
use crate::harness::recording::Recording;
use crate::harness::relay::{AllThatFecCanBear, Relay};
use crate::harness::{at_best, soak_seconds, turn};

/// Seconds of a stream in `make test`.
const SHORT: u32 = 7;
const MODE: [&str; 8] = ["--width", "1920", "--height", "1080", "--fps", "60", "--bitrate", "100000"];

/// What nobody sees should take nothing of the machine that is measured.
const STILL: (&str, &str) = (
    "capture/still.toml",
    r#"needs = ["videotestsrc"]
launch = "videotestsrc is-live=true pattern=black ! video/x-raw,format=I420,width=1920,height=1080,framerate=5/1"
"#,
);

/// Every access unit that the client gets is one of the recording, byte for byte, and none is missing.
fn replay(encrypt: &str, lossy: bool) -> Report {
    let seconds = soak_seconds(SHORT);
    let recording = Recording::in_1080p60_at_100_mbit();
    let encoder = recording.description(seconds + 30);
    let pipelines = [STILL, ("encode/recorded.toml", &encoder)];
    let host = Host::with(&Setup {
        config: "[send]\nadaptation = false\n",
        pipelines: &pipelines,
        arguments: &["--source", "still", "--log", "debug"],
        ..Setup::default()
    });
    let client = Client::paired(&host);
    let play = || {
        let relay = lossy.then(|| {
            let mut fec = AllThatFecCanBear::seeded(100_000);
            Relay::start(host.port("video"), move |packet| fec.loses(packet))
        });
        let port = relay.as_ref().map(|relay| relay.port.to_string());
        let way = port.iter().flat_map(|port| ["--video-port", port]);
        let arguments: Vec<&str> =
            MODE.into_iter().chain(["--units-sha256", "--encrypt", encrypt]).chain(way).collect();
        let mut report = client.stream(seconds, &arguments);
        let units = std::mem::take(&mut report.units_sha256);
        println!("encrypt {encrypt}: {report:#?}");
        let foreign = units.iter().filter(|unit| !recording.hashes().contains(*unit)).count();
        assert_eq!(foreign, 0, "units that are not of the recording: {report:#?}");
        assert_eq!(units.len(), recording.hashes().len(), "all of the recording was seen: {report:#?}");
        report
    };
    let report = at_best(play, |report| report.is_fluent(60.0));
    assert_eq!(report.lost, 0, "{report:#?}");
    assert_eq!((report.unrecoverable, report.corrupt_recoveries), (0, 0), "{report:#?}");
    assert_eq!(report.terminated, None, "{report:#?}");
    assert!(report.mbps > 90.0, "{report:#?}");
    report.assert_rate(60.0);
    report
}

#[test]
fn a_recording_of_100_mbit_loses_no_frame() {
    let _turn = turn();
    let report = replay("none", false);
    assert_eq!(report.encryption & 2, 0, "video is not sealed: {report:#?}");
}

/// As many packets of every block are lost as parity can make good: what the client rebuilds is what was recorded.
#[test]
fn a_recording_is_rebuilt_byte_for_byte() {
    let _turn = turn();
    let report = replay("none", true);
    assert!(report.fec_recovered > 1000, "{report:#?}");
}

#[test]
fn a_recording_of_100_mbit_loses_no_frame_sealed() {
    let _turn = turn();
    let report = replay("all", false);
    assert_eq!(report.encryption & 2, 2, "video is sealed: {report:#?}");
}
