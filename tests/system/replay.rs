//! A recorded stream of 100 Mbit/s in place of the encoder: what every client should be able to get, whatever this
//! machine can encode.

use crate::harness::client::{Client, Report};
use crate::harness::host::{Host, Setup};
use crate::harness::recording::Recording;
use crate::harness::{soak_seconds, turn};

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
fn replay(encrypt: &str) -> Report {
    let seconds = soak_seconds(SHORT);
    let recording = Recording::in_1080p60_at_100_mbit();
    let encoder = recording.description(seconds + 30);
    let pipelines = [STILL, ("encode/recorded.toml", &encoder)];
    let host = Host::with(&Setup {
        pipelines: &pipelines,
        arguments: &["--source", "still", "--log", "debug"],
        ..Setup::default()
    });
    let arguments = [&MODE[..], &["--units-sha256", "--encrypt", encrypt]].concat();
    let mut report = Client::paired(&host).stream(seconds, &arguments);
    let units = std::mem::take(&mut report.units_sha256);
    println!("encrypt {encrypt}: {report:#?}");
    let foreign: Vec<&String> = units.iter().filter(|unit| !recording.hashes().contains(*unit)).collect();
    assert!(foreign.is_empty(), "{} units are not of the recording: {report:#?}", foreign.len());
    assert_eq!(units.len(), recording.hashes().len(), "all of the recording was seen: {report:#?}");
    assert_eq!(report.lost, 0, "{report:#?}");
    assert_eq!((report.unrecoverable, report.corrupt_recoveries), (0, 0), "{report:#?}");
    assert_eq!(report.terminated, None, "{report:#?}");
    assert!(report.mbps > 95.0, "{report:#?}");
    report.assert_rate(60.0);
    report
}

#[test]
fn a_recording_of_100_mbit_loses_no_frame() {
    let _turn = turn();
    let report = replay("none");
    assert_eq!(report.encryption & 2, 0, "video is not sealed: {report:#?}");
}

#[test]
fn a_recording_of_100_mbit_loses_no_frame_sealed() {
    let _turn = turn();
    let report = replay("all");
    assert_eq!(report.encryption & 2, 2, "video is sealed: {report:#?}");
}
