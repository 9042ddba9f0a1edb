//! Lost frames that cost no key frame.

use crate::harness::client::{Client, Report};
use crate::harness::host::{Host, Setup};
use crate::harness::{at_best, turn};
use crate::loss::DROPPING;
use std::path::Path;
use std::time::Duration;

const SECONDS: u32 = 8;
/// Key frames that are asked for when a stream begins: the first frame, and another where that one was lost.
const AT_THE_START: u64 = 2;
/// Says why each key frame is asked for.
const DEBUG: [&str; 2] = ["--log", "debug"];

/// Rank above all others: whatever this machine has besides.
pub fn rfi_first() -> (&'static str, String) {
    let plugin = Path::new(crate::harness::host::MOONPIPE).with_file_name("libgstx264rfi.so");
    assert!(plugin.exists(), "no {}: cargo build --release --workspace", plugin.display());
    let text = include_str!("../../pipelines/encode/h264-x264-rfi.toml").replace("rank = 25", "rank = 1000");
    assert!(text.contains("rank = 1000"));
    ("encode/h264-x264-rfi.toml", text)
}

/// Plays a stream of which frames are lost.
fn play(host: &Host) -> Report {
    host.wait_log("goes on without lost frames", Duration::from_secs(5));
    let client = Client::paired(host);
    let requests = || host.log.all().iter().filter(|line| line.contains("key frame: ")).count() as u64;
    // Where the machine stands still for longer than the decoder keeps pictures, a key frame has to help.
    let (report, asked) = at_best(
        || {
            let before = requests();
            (client.stream(SECONDS, &["--rfi", "--decode", "--bitrate", "4000"]), requests() - before)
        },
        |(report, asked)| report.idr <= *asked && *asked <= AT_THE_START && report.lost > 0,
    );
    println!("{asked} key frames asked for: {report:#?}");
    assert!(asked <= AT_THE_START && report.idr <= asked, "{asked} key frames asked for: {report:#?}");
    assert_eq!((report.decode_errors, report.decoded), (0, report.frames), "{report:#?}");
    assert_eq!(report.terminated, None, "{report:#?}");
    report.assert_forward();
    assert!(report.seconds > f64::from(SECONDS) * 0.8, "the stream goes on to its end: {report:#?}");
    // A loss that is not made good is all that follows it.
    assert!(report.lost > 0 && report.lost * 5 < report.frames as i64, "{report:#?}");
    report
}

/// Three packets in two hundred are lost, and no parity makes up for it.
#[test]
fn lost_frames_cost_no_key_frame() {
    let _turn = turn();
    let (file, text) = rfi_first();
    let config = "[send]\nloss-percentage = 1.5\nloss-seed = 11\nfec-percentage = 0\nadaptation = false\n";
    let host =
        Host::with(&Setup { config, pipelines: &[(file, &text)], arguments: &DEBUG, ..Setup::default() });
    let report = play(&host);
    assert!(report.invalidations > 0, "{report:#?}");
}

/// The packetizer asks for a frame that does without before any client has noticed.
#[test]
fn frames_dropped_by_the_host_cost_no_key_frame() {
    let _turn = turn();
    let (file, text) = rfi_first();
    let host =
        Host::with(&Setup { pipelines: &[(file, &text), DROPPING], arguments: &DEBUG, ..Setup::default() });
    play(&host);
    let told = host.command(&["sessions"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("lost frames did without"), "{told}");
}
