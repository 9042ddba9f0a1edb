//! Packets that do not arrive.

use crate::harness::client::{Client, Report};
use crate::harness::host::{Host, Setup};
use crate::harness::relay::{AllThatFecCanBear, Relay};
use crate::harness::{at_best, turn};

/// A picture that no encoder can make small: the stream really is as wide as it was asked for.
pub const NOISE: (&str, &str) = (
    "capture/noise.toml",
    r#"rank = 1
needs = ["videotestsrc"]
launch = "videotestsrc is-live=true pattern=snow ! video/x-raw,format=I420,width={width},height={height},framerate={fps}"
"#,
);

/// Parity stays what it is, however much is lost.
const AS_IT_IS: &str = "[send]\nadaptation = false\n";

#[test]
fn three_percent_at_40_mbit_is_recovered() {
    let _turn = turn();
    let config = "[send]\nloss-percentage = 3.0\nloss-seed = 7\nfec-percentage = 20\nadaptation = false\n";
    let host = Host::with(&Setup {
        config,
        pipelines: &[NOISE],
        arguments: &["--source", "noise"],
        ..Setup::default()
    });
    let report = Client::paired(&host).best_stream(10, &["--bitrate", "40000"], Report::is_complete);
    println!("{report:#?}");
    assert_eq!(report.lost, 0, "{report:#?}");
    assert_eq!((report.unrecoverable, report.corrupt_recoveries), (0, 0), "{report:#?}");
    assert!(report.fec_recovered > 100, "{report:#?}");
    assert!(report.mbps > 20.0, "the stream is as wide as it was asked for: {report:#?}");
}

#[test]
fn as_many_as_there_is_parity_are_recovered_at_any_rate() {
    let _turn = turn();
    let host = Host::with(&Setup {
        config: AS_IT_IS,
        pipelines: &[NOISE],
        arguments: &["--source", "noise"],
        ..Setup::default()
    });
    let client = Client::paired(&host);
    for kbps in ["2000", "10000", "40000", "80000"] {
        let play = || {
            let mut fec = AllThatFecCanBear::seeded(kbps.parse().expect("a number"));
            let relay = Relay::start(host.port("video"), move |packet| fec.loses(packet));
            let (port, plain) = (relay.port.to_string(), ["--encrypt", "none", "--decode"]);
            let arguments = [&plain[..], &["--bitrate", kbps, "--video-port", &port]].concat();
            let report = client.stream(3, &arguments);
            let (passed, lost) = (relay.passed(), relay.lost());
            println!("{kbps} kbit/s: {passed} passed, {lost} lost, {} recovered", report.fec_recovered);
            assert!(lost * 8 > passed, "the relay loses a sixth: {lost} of {passed}");
            report
        };
        let report = at_best(play, |report| report.lost == 0);
        assert_eq!(report.lost, 0, "{kbps} kbit/s: {report:#?}");
        assert_eq!((report.unrecoverable, report.corrupt_recoveries), (0, 0), "{report:#?}");
        assert_eq!(report.decode_errors, 0, "{report:#?}");
        assert!(report.fec_recovered > 0, "{report:#?}");
    }
}

/// Loses a frame in fifty before it is packets.
pub const DROPPING: (&str, &str) = (
    "send/video.toml",
    r#"media = "video"
launch = """
identity drop-probability=0.02
! gamestreamvideopay name=packetizer
! queue name=packets max-size-buffers=2
! pacedudpsink name=sender
"""
"#,
);

/// A frame that is lost before it is packets: its index is spent, and a key frame makes it good where the encoder can do
/// no better.
#[test]
fn a_frame_dropped_by_the_host_is_answered_with_a_key_frame() {
    let _turn = turn();
    let plain = include_str!("../../pipelines/encode/h264-x264.toml").replace("rank = 20", "rank = 1000");
    let pipelines = [DROPPING, ("encode/h264-x264.toml", &plain)];
    let host =
        Host::with(&Setup { pipelines: &pipelines, arguments: &["--log", "debug"], ..Setup::default() });
    let report = Client::paired(&host).stream(5, &["--decode"]);
    println!("{report:#?}");
    let asked =
        host.log.all().iter().filter(|line| line.contains("key frame: a frame was dropped here")).count();
    assert!(report.lost > 0 && asked > 0, "{asked} asked for: {report:#?}");
    assert!(report.idr > asked as u64 / 2, "{asked} asked for: {report:#?}");
    assert_eq!((report.decode_errors, report.counter.back), (0, 0), "{report:#?}");
}
