//! The pipeline descriptions that ship: those whose elements are here really run, the others are held against a
//! catalogue of GStreamer's own sources (`data/gst-elements.json`).

use gst::prelude::*;
use moonpipe::pipeline::check::{self, Sample};
use moonpipe::pipeline::description::{Describes, EncodeDescription, Mode};
use moonpipe::pipeline::library::Library;
use moonpipe::pipeline::video::codec_caps;
use moonpipe::pipeline::{choose, launch, probe};
use moonpipe::protocol::params::{AudioParams, Codec, Fps};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

fn library(user: Option<&Path>) -> Library {
    moonpipe::pipeline::init().expect("GStreamer starts");
    Library::load(user)
}

const STEREO: AudioParams = AudioParams { channels: 2, packet_ms: 5, high_quality: false, encrypt: false };

/// Elements without which this test would prove nothing: `make test` installs them.
const EXPECTED_HERE: [&str; 4] = ["av1-aom", "h264-openh264", "h264-x264", "h265-x265"];

#[test]
fn shipped_descriptions_have_no_fault() {
    fn faults<'a, D: Sample + 'a>(all: impl Iterator<Item = &'a D>, faults: &mut Vec<String>) {
        for description in all.filter(|d| d.common().obstacle.is_none()) {
            if let Some(fault) = check::fault(description) {
                faults.push(format!("{}: {}", description.common().file, fault.reason));
            }
        }
    }
    let library = library(None);
    let mut found = Vec::new();
    faults(library.capture.values(), &mut found);
    faults(library.encode.values(), &mut found);
    faults(library.audio.values(), &mut found);
    faults(library.send.values(), &mut found);
    assert_eq!(found, Vec::<String>::new());
    for name in EXPECTED_HERE {
        assert_eq!(library.encode[name].common.obstacle, None);
    }
}

/// Two encoders of x265 that are opened at the same moment in one process may disturb each other.
static X265: Mutex<()> = Mutex::new(());

#[test]
fn software_encoders_encode_without_holding_frames_back() {
    let _alone = X265.lock().unwrap_or_else(PoisonError::into_inner);
    let library = library(None);
    for name in EXPECTED_HERE {
        let description = &library.encode[name];
        let report = probe::encode_ten(description.codec, &probe::launch_text(description))
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(report.held, 0, "{name} holds frames back");
        // GStreamer 1.22 does not hand the request to libaom.
        assert!(report.obeys_key_requests || name == "av1-aom", "{name} makes no key frame when asked");
    }
}

/// In the bitstream, of key frames and of others.
#[test]
fn frames_have_as_many_slices_as_a_client_asks_for() {
    const MODE: Mode = Mode { width: 640, height: 360, fps: Fps { num: 60, den: 1 } };
    let _alone = X265.lock().unwrap_or_else(PoisonError::into_inner);
    let library = library(None);
    for name in ["h264-openh264", "h264-x264", "h265-x265"] {
        let description = &library.encode[name];
        assert!(description.slices_frames());
        // x265 3.5 beside other work: now and then its first frame is no picture.
        let tries = if name == "h265-x265" { 3 } else { 1 };
        for slices in [1, 2, 4] {
            let text = format!(
                "videotestsrc num-buffers=3 ! video/x-raw,format=I420,width=640,height=360,framerate=60/1 ! {} ! {} \
                 ! appsink name=units sync=false",
                description.fill(MODE, 2000, slices),
                codec_caps(description.codec),
            );
            let found: Vec<_> = (0..tries).map(|_| slices_of_three(&text, description.codec)).collect();
            assert!(found.contains(&[slices; 3]), "{name} with {slices}: {found:?}");
        }
    }
}

/// Of the frames that a pipeline makes.
fn slices_of_three(text: &str, codec: Codec) -> [u32; 3] {
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let units = pipeline.by_name("units").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let found = [(); 3].map(|()| {
        let unit = units.pull_sample().expect("three come").buffer_owned().unwrap();
        count_slices(codec, &unit.map_readable().unwrap())
    });
    pipeline.set_state(gst::State::Null).unwrap();
    found
}

fn count_slices(codec: Codec, unit: &[u8]) -> u32 {
    let is_slice = |header: u8| match codec {
        Codec::H264 => [1, 5].contains(&(header & 0x1f)),
        Codec::H265 => header >> 1 & 0x3f < 32,
        Codec::Av1 => false,
    };
    unit.windows(4).filter(|bytes| bytes[..3] == [0, 0, 1] && is_slice(bytes[3])).count() as u32
}

/// It lies beside the program, where the host finds it.
#[test]
fn the_plugin_beside_the_program_goes_on_without_lost_frames() {
    let library = library(None);
    let description = &library.encode["h264-x264-rfi"];
    let program = Path::new(env!("CARGO_BIN_EXE_moonpipe"));
    let plugin = program.with_file_name("libgstx264rfi.so");
    assert!(plugin.exists(), "no {}: cargo build --release --workspace", plugin.display());
    let report = probe::probe(description, program).unwrap();
    assert!(report.answers_invalidation && report.obeys_key_requests && report.held == 0, "{report:?}");
    let plain = probe::probe(&library.encode["h264-x264"], program).unwrap();
    assert!(!plain.answers_invalidation && plain.obeys_key_requests, "{plain:?}");
    assert!(description.common.rank > library.encode["h264-x264"].common.rank);
}

#[test]
fn a_probe_in_a_child_survives_what_encoders_do() {
    let library = library(None);
    let program = Path::new(env!("CARGO_BIN_EXE_moonpipe"));
    let mut broken: EncodeDescription = library.encode["h264-x264"].clone();
    assert!(probe::probe(&broken, program).is_ok());
    broken.common.launch = "x264enc name=encoder ! identity error-after=3 ! h264parse".into();
    assert!(probe::probe(&broken, program).unwrap_err().to_string().contains("identity"));
    // An assertion of the encoder's library ends the whole process.
    let folder = tempfile::tempdir().unwrap();
    let aborts = folder.path().join("aborts");
    std::fs::write(&aborts, "#!/bin/sh\nkill -ABRT $$\n").unwrap();
    std::fs::set_permissions(&aborts, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let error = probe::probe(&library.encode["av1-aom"], &aborts).unwrap_err().to_string();
    assert!(error.contains("signal: 6"), "{error}");
}

/// An encoder that takes its time: a minute for each frame.
const SLOW: &str = "identity sleep-time=60000000 ! x264enc name=encoder bitrate={kbps} ! h264parse";

#[test]
fn a_probe_ends_when_nobody_waits_for_it() {
    let program = Path::new(env!("CARGO_BIN_EXE_moonpipe"));
    let mut child = Command::new(program)
        .args([probe::SUBCOMMAND, "h264", SLOW])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the host starts");
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

#[test]
fn a_choice_can_be_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let (hangs, begun) = (folder.path().join("hangs"), folder.path().join("begun"));
    std::fs::write(&hangs, format!("#!/bin/sh\n: > {}\nexec sleep 600\n", begun.display())).unwrap();
    std::fs::set_permissions(&hangs, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let library = library(None);
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let choice = scope.spawn(|| choose::choose_with(&library, folder.path(), &hangs, &stop));
        while !begun.exists() && start.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        assert!(begun.exists(), "no probe begins");
        stop.store(true, Ordering::Release);
        assert!(choice.join().unwrap().is_none());
    });
    assert!(start.elapsed() < Duration::from_secs(15), "no probe was waited for");
}

#[test]
fn the_best_rank_that_encodes_is_chosen_and_remembered() {
    let user = tempfile::tempdir().unwrap();
    let x264 = "x264enc name=encoder bitrate={kbps}";
    write(
        user.path(),
        "encode/best.toml",
        &encoder(&format!("{x264} ! identity error-after=3 ! h264parse"), 99),
    );
    write(user.path(), "encode/slow.toml", &encoder(&format!("{x264} ! h264parse"), 98));
    write(user.path(), "encode/better.toml", &encoder(&format!("{x264} tune=zerolatency ! h264parse"), 97));
    let library = library(Some(user.path()));
    let cache = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_moonpipe"));
    let go_on = AtomicBool::new(false);
    let first = choose::choose_with(&library, cache.path(), program, &go_on).expect("it is not interrupted");
    assert_eq!(first.codecs(), [Codec::H264, Codec::H265, Codec::Av1]);
    assert_eq!(first.encoder(Codec::H264).unwrap().name(), "better", "{:#?}", first.verdicts);
    let lines: Vec<_> = first.verdicts.iter().map(|v| v.to_string()).collect();
    assert!(lines.iter().any(|l| l.starts_with("best (rank 99) does not encode here")), "{lines:#?}");
    assert!(
        lines.iter().any(|l| l.starts_with("slow (rank 98) does not encode here: it holds back")),
        "{lines:#?}"
    );
    if library.encode["h264-va"].common.obstacle.is_some() {
        assert!(
            lines.iter().any(|l| l.starts_with("h264-va (rank 60) cannot work here because")),
            "{lines:#?}"
        );
    }
    let second = choose::choose_with(&library, cache.path(), program, &go_on).expect("it is not interrupted");
    let cached = |v: &&choose::Verdict| matches!(v.outcome, choose::Outcome::Works { cached: true, .. });
    assert!(second.verdicts.iter().filter(cached).count() >= EXPECTED_HERE.len());
    assert_eq!(first.cost, second.cost, "measured once");
    assert!(first.pixels_per_second().is_some());
}

#[test]
fn a_bad_file_is_refused_by_line_and_reason_and_the_others_work() {
    let cases = [
        ("encode/typo.toml", encoder("x264enk name=encoder bitrate={kbps}", 1), 5, "unknown element x264enk"),
        (
            "encode/property.toml",
            encoder("x264enc name=encoder bitrate={kbps}\n bitrat=3", 1),
            6,
            "no property bitrat",
        ),
        ("encode/value.toml", encoder("x264enc name=encoder bitrate={kbps} tune=quick", 1), 5, "tune"),
        ("encode/rate.toml", encoder("x264enc name=encoder", 1), 5, "missing placeholder {kbps}"),
        (
            "encode/word.toml",
            encoder("x264enc name=encoder bitrate={kbps}\n threads={cores}", 1),
            6,
            "{cores}",
        ),
        ("encode/name.toml", encoder("x264enc bitrate={kbps}", 1), 5, "name=encoder"),
        ("encode/codec.toml", "codec = \"vp8\"\n".into(), 1, "unknown variant `vp8`"),
        (
            "encode/later.toml",
            encoder("openh264enc name=encoder qp-max={kbps}", 1).replace("\"bitrate\"", "\"rate\""),
            4,
            "no property rate",
        ),
        (
            "encode/key.toml",
            format!("{}color = 1\n", encoder("x264enc name=encoder bitrate={kbps}", 1)),
            7,
            "unknown field `color`",
        ),
        (
            "capture/half.toml",
            "rank = 1\nlaunch = \"videotestsrc ! video/x-raw,width={width}\"\n".into(),
            2,
            "{height}",
        ),
        ("capture/lone.toml", "launch = \"pipewiresrc path={node}\"\n".into(), 1, "{fd}"),
        (
            "capture/bus.toml",
            "launch = \"pipewiresrc path={node} fd={fd}\"\nbus = \"tcp:host=elsewhere,port=1\"\n".into(),
            2,
            "bus: allowed are unix:path=/absolute/path and unix:abstract=name",
        ),
        (
            "capture/busless.toml",
            "bus = \"unix:path=/run/bus\"\nlaunch = \"videotestsrc ! video/x-raw\"\n".into(),
            1,
            "bus: it is for a launch with {node} and {fd}",
        ),
        (
            "capture/hands.toml",
            "input = \"hands\"\nlaunch = \"videotestsrc ! video/x-raw\"\n".into(),
            1,
            "unknown variant `hands`, expected `uinput`",
        ),
        (
            "capture/own.toml",
            "launch = \"waylandsrc ! video/x-raw,width={width},height={height},framerate={fps}\"\ninput = \"uinput\"\n"
                .into(),
            2,
            "input: waylandsrc takes input by itself",
        ),
        ("audio/silent.toml", "launch = \"audiotestsrc ! opusenc\"\n".into(), 1, "{channels}"),
        (
            "send/nameless.toml",
            "media = \"video\"\nlaunch = \"fakesink name=sender\"\n".into(),
            2,
            "name=packetizer",
        ),
        (
            "send/audio.toml",
            "launch = \"gamestreamvideopay name=packetizer ! pacedudpsink name=sender\"\nmedia = \"video\"\n"
                .into(),
            2,
            "the host sends audio",
        ),
        (
            "send/elsewhere.toml",
            "media = \"audio\"\nlaunch = \"gamestreamaudiopay name=packetizer ! udpsink name=sender\"\n"
                .into(),
            2,
            "element udpsink, named sender, has no property fd",
        ),
        ("audio/broken.toml", "launch = \"audiotestsrc\n".into(), 1, ""),
    ];
    let user = tempfile::tempdir().unwrap();
    for (file, toml, ..) in &cases {
        write(user.path(), file, toml);
    }
    write(user.path(), "capture/test.toml", "rank = 7\nlaunch = \"videotestsrc ! video/x-raw\"\n");
    write(user.path(), "capture/rare.toml", "needs = [\"nosuchsrc\"]\nlaunch = \"nosuchsrc speed=3\"\n");
    write(user.path(), "capture/deadly.toml", "launch = \"ximagesrc use-damage=false ! videoconvert\"\n");
    let library = library(Some(user.path()));
    for (file, _, line, reason) in &cases {
        let refused = library
            .refused
            .iter()
            .find(|r| r.file.ends_with(file))
            .unwrap_or_else(|| panic!("{file} passed"));
        assert_eq!(refused.line, *line, "{refused}");
        assert!(refused.reason.contains(reason), "{refused}");
    }
    assert_eq!(library.refused.len(), cases.len(), "{:#?}", library.refused);
    assert_eq!(library.capture["test"].common.rank, 7, "a user's file shadows the built-in one");
    assert!(!library.capture["test"].follows_client());
    assert_eq!(library.capture["rare"].common.obstacle.as_deref(), Some("there is no element nosuchsrc"));
    let deadly = library.capture["deadly"].common.obstacle.as_deref().expect("it must not run in the host");
    assert!(deadly.contains("ximagesrc ends the process"), "{deadly}");
    assert!(library.encode.contains_key("h264-x264"));
}

#[test]
fn no_launch_text_keeps_a_placeholder() {
    let library = library(None);
    let mode = Mode { width: 1280, height: 720, fps: Fps { num: 60000, den: 1001 } };
    let texts = (library.capture.values().map(|d| d.fill(mode, Some((42, 7)))))
        .chain(library.encode.values().map(|d| d.fill(mode, 10_000, 4)))
        .chain(library.audio.values().map(|d| d.fill(&STEREO, 96, Some("sink"))));
    for text in texts {
        assert_eq!(launch::placeholders(&text), [], "{text}");
    }
    assert!(library.capture["test"].fill(mode, None).contains("framerate=60000/1001"));
}

#[test]
fn sound_is_listened_to_where_it_is_played() {
    let library = library(None);
    let pipewire = &library.audio["pipewire"];
    assert!(pipewire.uses_sink() && !library.audio["test"].uses_sink());
    let target = |sink| {
        let text = pipewire.fill(&STEREO, 96, sink);
        let elements = launch::elements(&text);
        let target = elements[0].properties.iter().find(|(property, _)| *property == "target-object");
        target.map(|(_, value)| (*value).to_owned())
    };
    assert_eq!(target(Some("moonpipe-1-2a")).as_deref(), Some("moonpipe-1-2a"));
    assert_eq!(target(None), None, "the default sink");
}

/// In every version of GStreamer in which a description has what it needs, all its properties exist, and each
/// description has such a version.
#[test]
fn descriptions_for_other_machines_fit_the_catalogue() {
    let catalogue = Catalogue::read();
    let library = library(None);
    let all = (library.capture.values().map(|d| d.common()))
        .chain(library.encode.values().map(|d| d.common()))
        .chain(library.audio.values().map(|d| d.common()));
    let mut checked = BTreeSet::new();
    for common in all.filter(|c| c.needs.iter().any(|need| catalogue.knows(&need.element))) {
        let fitting: Vec<_> = catalogue.versions.iter().filter(|v| catalogue.satisfies(v, common)).collect();
        assert!(!fitting.is_empty(), "{} fits no version", common.file);
        for version in fitting {
            catalogue.hold(version, common);
        }
        checked.insert(common.name.as_str());
    }
    for version in &catalogue.versions {
        let nvenc = library.encode.values().filter(|d| d.codec == Codec::H264 && d.name().contains("nvenc"));
        assert!(nvenc.map(|d| d.common()).any(|c| catalogue.satisfies(version, c)), "no NVENC for {version}");
    }
    assert!(checked.len() >= 20, "{checked:?}");
}

#[derive(serde::Deserialize)]
struct Catalogue {
    versions: Vec<String>,
    elements: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>,
}

impl Catalogue {
    fn read() -> Self {
        serde_json::from_str(include_str!("data/gst-elements.json")).expect("the catalogue is JSON")
    }

    fn knows(&self, element: &str) -> bool {
        self.elements.contains_key(element)
    }

    /// What the catalogue does not list is taken to exist.
    fn satisfies(&self, version: &str, common: &moonpipe::pipeline::description::Common) -> bool {
        common.needs.iter().all(|need| match self.elements.get(&need.element) {
            None => true,
            Some(versions) => versions.get(version).is_some_and(|properties| {
                need.property.as_ref().is_none_or(|property| properties.contains_key(property))
            }),
        })
    }

    fn hold(&self, version: &str, common: &moonpipe::pipeline::description::Common) {
        for element in launch::elements(&common.launch) {
            let Some(versions) = self.elements.get(element.factory) else { continue };
            let known = versions.get(version);
            let known =
                known.unwrap_or_else(|| panic!("{}: no {} in {version}", common.file, element.factory));
            for (property, value) in element.properties.iter().filter(|(p, _)| *p != "name") {
                let kind = known.get(*property);
                let kind = kind.unwrap_or_else(|| {
                    panic!("{}: {} has no {property} in {version}", common.file, element.factory)
                });
                assert!(fits(kind, value), "{}: {property}={value} is no {kind}", common.file);
            }
        }
    }
}

fn fits(kind: &str, value: &str) -> bool {
    let value = value.replace("{kbps}", "1000").replace("{slices}", "4");
    match kind {
        "boolean" => value == "true" || value == "false",
        "uint" => value.parse::<u32>().is_ok(),
        "int" => value.parse::<i32>().is_ok(),
        _ => true,
    }
}

fn encoder(launch: &str, rank: u32) -> String {
    format!(
        "codec = \"h264\"\nrank = {rank}\nneeds = []\nbitrate = {{ property = \"bitrate\", unit = \"kbit/s\", live = true }}\nlaunch = \"\"\"{launch}\n\"\"\"\n"
    )
}

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
