//! A recorded elementary stream that a host plays in place of an encoder.

use super::kept;
use gst::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Access units of H.264, a file each; the first is a key frame.
pub struct Recording {
    folder: PathBuf,
    hashes: BTreeSet<String>,
}

/// What the host tries an encoder with: ten pictures of this size.
const TRIAL: (&str, usize) = ("640x360", 10);
const SIZE: &str = "1920x1080";
const FPS: u32 = 60;
/// What x264 has to be told to make 100 Mbit/s of this noise.
const KBPS: u32 = 108_000;
const UNITS_FOLDER: &str = "noise-108000";
/// Two seconds, in four groups of pictures.
const UNITS: usize = 120;

impl Recording {
    /// Noise, with a key frame every half second. Made once, and kept.
    pub fn in_1080p60_at_100_mbit() -> Recording {
        moonpipe::pipeline::init().expect("GStreamer");
        let folder = kept().join("recording");
        let units = record(&folder.join(UNITS_FOLDER), SIZE, KBPS, 30, UNITS);
        // Nothing but key frames: one comes when it is asked for.
        record(&folder.join(TRIAL.0), TRIAL.0, 4000, 1, TRIAL.1);
        Recording { hashes: units.iter().map(|unit| sha256(as_received(unit))).collect(), folder }
    }

    /// SHA-256 of each unit as a client gets it.
    pub fn hashes(&self) -> &BTreeSet<String> {
        &self.hashes
    }

    /// An encode description of the highest rank. It swallows what it is to encode, and plays the recording again and
    /// again for so many seconds. Where ten pictures are encoded for a trial, it plays the ten of that size.
    pub fn description(&self, seconds: u32) -> String {
        let round = self.folder.join(SIZE);
        let _ = std::fs::remove_dir_all(&round);
        std::fs::create_dir_all(&round).expect("writable");
        for number in 0..(seconds * FPS) as usize {
            std::os::unix::fs::symlink(
                file(&self.folder.join(UNITS_FOLDER), number % UNITS),
                file(&round, number),
            )
            .expect("writable");
        }
        let folder = self.folder.display();
        // It begins after a second, so that it is not late when finding out what the files are takes its time; and the raw
        // pictures are taken two pictures later still, so that a trial does not end before what is played. After every
        // unit it sleeps for most of the interval: one that was held up by the machine must not catch up in a burst,
        // which no encoder makes and the queue behind it does not bear.
        format!(
            r#"codec = "h264"
rank = 1000
needs = ["imagesequencesrc", "h264parse"]
bitrate = {{ property = "datarate", unit = "bit/s", live = false }}
launch = """
fakesink name=at-{{kbps}}-kbps sync=true ts-offset=1033000000 processing-deadline=0 async=false
imagesequencesrc location={folder}/{{width}}x{{height}}/%05d.h264 framerate={{fps}}
! h264parse
! identity name=encoder sync=true ts-offset=1000000000 sleep-time=12000
"""
"#
        )
    }
}

/// The units in `folder`; made if they are not there.
fn record(folder: &Path, size: &str, kbps: u32, group: u32, count: usize) -> Vec<Vec<u8>> {
    let read =
        || (0..count).map(|number| std::fs::read(file(folder, number)).ok()).collect::<Option<Vec<_>>>();
    if let Some(units) = read() {
        return units;
    }
    let units = encode(size, kbps, group, count);
    std::fs::create_dir_all(folder).expect("writable");
    for (number, unit) in units.iter().enumerate() {
        std::fs::write(file(folder, number), unit).expect("writable");
    }
    units
}

/// From the second group of pictures on: x264 describes itself in the first, and clients pass over that.
fn encode(size: &str, kbps: u32, group: u32, count: usize) -> Vec<Vec<u8>> {
    let (width, height) = size.split_once('x').expect("WIDTHxHEIGHT");
    let text = format!(
        "videotestsrc pattern=snow num-buffers={pictures} \
         ! video/x-raw,format=I420,width={width},height={height},framerate={FPS}/1 \
         ! x264enc bitrate={kbps} speed-preset=ultrafast tune=zerolatency key-int-max={group} vbv-buf-capacity=34 \
           bframes=0 aud=false byte-stream=true option-string=scenecut=0 \
         ! video/x-h264,profile=high ! h264parse config-interval=-1 \
         ! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=units sync=false",
        pictures = count + group as usize,
    );
    let pipeline = gst::parse::launch(&text).expect("x264 is installed").downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("units").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).expect("it starts");
    let mut units = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().expect("a unit");
        let is_key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        assert_eq!(is_key, units.len() % group as usize == 0, "a key frame in every {group}");
        units.push(buffer.map_readable().expect("memory").to_vec());
    }
    pipeline.set_state(gst::State::Null).expect("it stops");
    units.split_off(group as usize)
}

fn file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number:05}.h264"))
}

/// Clients leave out the delimiter in front.
fn as_received(unit: &[u8]) -> &[u8] {
    const DELIMITER: &[u8] = &[0, 0, 0, 1, 0x09, 0xf0];
    assert_ne!(unit.last(), Some(&0), "no unit ends in zeros");
    unit.strip_prefix(DELIMITER).unwrap_or(unit)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}
