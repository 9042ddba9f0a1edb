//! The picture and the sound of a whole stream, decoded.

use crate::harness::client::{Client, Report};
use crate::harness::host::{Host, Setup};
use crate::harness::turn;

const TEN_SECONDS: u32 = 10;
const LOOK: [&str; 2] = ["--decode", "--tone"];

fn ten_seconds(codec: &str, fps: &str) {
    let host = Host::start();
    let rate: f64 = fps.parse().expect("a number");
    let arguments = [&LOOK[..], &["--codec", codec, "--fps", fps]].concat();
    let is_fluent = |report: &Report| report.is_fluent(rate) && report.is_steady();
    let report = Client::paired(&host).best_stream(TEN_SECONDS, &arguments, is_fluent);
    println!("{codec}: {report:#?}");
    assert_eq!(report.codec, codec);
    report.assert_whole(1280, 720);
    report.assert_steady();
    report.assert_rate(rate);
    report.assert_tone(440.0);
}

#[test]
fn h264_at_60_frames_a_second_for_ten_seconds() {
    let _turn = turn();
    ten_seconds("h264", "60");
}

#[test]
fn hevc_for_ten_seconds() {
    let _turn = turn();
    // What x265 encodes in real time on two cores, with a client that decodes beside it.
    ten_seconds("hevc", "30");
}

#[test]
fn av1_for_ten_seconds() {
    let _turn = turn();
    // What libaom encodes in real time on two cores.
    ten_seconds("av1", "30");
}

/// Each way of sealing, each packet size that clients ask for, and both kinds of RTSP.
#[test]
fn with_and_without_encryption_in_both_packet_sizes() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    for (encrypt, bits) in [("none", 0), ("all", 7)] {
        for size in ["1024", "1392"] {
            for rtsp in [&[][..], &["--plain-rtsp"]] {
                let arguments = [&LOOK[..], &["--encrypt", encrypt, "--packet-size", size], rtsp].concat();
                let report = client.best_stream(2, &arguments, Report::is_complete);
                // The library takes the 32 bytes of the seal out of the packet.
                let expected = size.parse::<u32>().expect("a number") - if bits & 2 != 0 { 32 } else { 0 };
                assert_eq!(report.packet_size, expected, "{report:#?}");
                assert_eq!(report.encryption & 2, bits & 2, "video is sealed as asked: {report:#?}");
                report.assert_whole(1280, 720);
                report.assert_forward();
                report.assert_tone(440.0);
            }
        }
    }
}

#[test]
fn over_ipv6() {
    let _turn = turn();
    let host = Host::start();
    let report = Client::paired(&host).at("::1").best_stream(3, &LOOK, Report::is_complete);
    report.assert_whole(1280, 720);
    report.assert_forward();
    report.assert_tone(440.0);
}

/// The way of a picture that is neither 720p nor 60 frames a second.
#[test]
fn in_the_mode_that_the_client_asks_for() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    for (width, height, fps) in [(1920, 1080, 30), (854, 480, 60)] {
        let mode = [("--width", width), ("--height", height), ("--fps", fps)];
        let words: Vec<String> =
            mode.iter().flat_map(|(name, value)| [name.to_string(), value.to_string()]).collect();
        let arguments: Vec<&str> = LOOK.into_iter().chain(words.iter().map(String::as_str)).collect();
        let rate = f64::from(fps);
        let report = client.best_stream(2, &arguments, |report| report.is_fluent(rate));
        report.assert_whole(width, height);
        report.assert_forward();
        report.assert_rate(rate);
    }
}

/// The client's greeting costs no second key frame, and its decoder gets work for all its threads.
#[test]
fn a_stream_begins_with_one_key_frame_of_as_many_slices_as_the_decoder_asks_for() {
    let _turn = turn();
    // A bitrate that changes may open an encoder anew.
    let host = Host::with(&Setup { config: "[send]\nadaptation = false\n", ..Setup::default() });
    let client = Client::paired(&host);
    for (codec, fps) in [("h264", "60"), ("hevc", "30")] {
        let arguments = ["--decode", "--slices", "4", "--codec", codec, "--fps", fps];
        let is_whole = |report: &Report| report.is_complete() && report.idr == 1;
        let report = client.best_stream(2, &arguments, is_whole);
        assert_eq!((report.idr, &report.slices[..]), (1, &[4][..]), "{codec}: {report:#?}");
        report.assert_whole(1280, 720);
        let sessions = host.sessions();
        let asked = &sessions.last().expect("it is remembered")["key-frames"];
        assert_eq!(*asked, serde_json::json!({"first frame": 1}), "{codec}");
    }
}
