//! Encoders that die while a client plays.

use crate::harness::client::{Client, Report};
use crate::harness::host::{Host, Setup};
use crate::harness::{root, turn};
use std::time::Duration;

/// x264 of this rank, and `fault` behind it. It passes the trial, which has ten frames.
fn x264(rank: i32, fault: &str) -> String {
    format!(
        r#"codec = "h264"
rank = {rank}
needs = ["x264enc", "h264parse"]
bitrate = {{ property = "bitrate", unit = "kbit/s", live = true }}
launch = """
x264enc name=encoder bitrate={{kbps}} speed-preset=ultrafast tune=zerolatency threads=1 key-int-max=2147483647
  vbv-buf-capacity=34 bframes=0 aud=false byte-stream=true option-string="scenecut=0"
! video/x-h264,profile=high ! h264parse config-interval=-1 ! {fault}
"""
"#
    )
}

/// The lines of the log that tell of a replacement.
fn replacements(host: &Host) -> Vec<String> {
    host.log.all().into_iter().filter(|line| line.contains(" died (")).collect()
}

/// The first dies of an error, is opened again and dies again; the second ends the stream, twice; the third stays.
#[test]
fn a_chain_of_encoders_where_the_first_two_fail() {
    let _turn = turn();
    let (first, second) = (x264(2000, "identity error-after=90"), x264(1000, "identity eos-after=60"));
    let pipelines = [("encode/h264-first.toml", &*first), ("encode/h264-second.toml", &*second)];
    let arguments = &["--log", "debug"];
    let host = Host::with(&Setup { pipelines: &pipelines, arguments, ..Setup::default() });
    let client = Client::paired(&host);
    // Each stream begins with the best again. What others take of the machine is not the encoders' doing.
    let report = client
        .best_stream(10, &["--decode"], |report: &Report| report.is_complete() && report.max_gap_ms < 250.0);
    println!("{report:#?}");
    report.assert_whole(1280, 720);
    report.assert_forward();
    assert!(report.max_gap_ms < 1000.0, "a hiccup at most: {report:#?}");
    let lines = replacements(&host);
    println!("{lines:#?}");
    let [.., a, b, c, d] = &lines[..] else { panic!("{lines:#?}") };
    assert!(a.contains("the encoder h264-first died (") && a.contains(") and is opened again"), "{a}");
    assert!(b.contains("h264-first") && b.contains("), h264-second takes its place"), "{b}");
    assert!(c.contains("h264-second died (it ended the stream) and is opened again"), "{c}");
    assert!(d.contains("h264-second died (it ended the stream), ") && d.contains("takes its place"), "{d}");
    // One that the client asks for at the same moment answers for it.
    host.wait_log("key frame: the encoder was replaced", Duration::from_secs(1));
}

#[test]
fn with_no_encoder_left_the_session_ends_and_says_why() {
    let _turn = turn();
    // In the place of all that might encode here.
    let names = std::fs::read_dir(root().join("pipelines/encode")).expect("the shipped ones");
    let names = names.map(|entry| entry.expect("readable").file_name().into_string().expect("plain names"));
    let files: Vec<(String, String)> = names
        .filter(|name| name.starts_with("h264-"))
        .map(|name| {
            let fault = x264(10, "identity error-after=60");
            let text = if name == "h264-x264.toml" {
                fault
            } else {
                fault.replace("needs = [", "needs = [\"none\", ")
            };
            (format!("encode/{name}"), text)
        })
        .collect();
    let pipelines: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let host = Host::with(&Setup { pipelines: &pipelines, ..Setup::default() });
    let client = Client::paired(&host);
    let stream = client.start_stream(60, &["--leave", "disconnect"]);
    stream.picture();
    let told = stream.event("terminated", Duration::from_secs(20));
    assert!(told["code"].as_i64().is_some_and(|code| code != 0), "it did not end well: {told}");
    let line = host.wait_log("no encoder is left: h264-x264: ", Duration::from_secs(5));
    assert!(line.contains("WARN") && line.matches("h264-x264: ").count() == 2, "{line}");
    drop(stream);
}
