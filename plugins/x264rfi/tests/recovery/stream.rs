//! An encoder, a network that loses frames, a client that waits for a clean one, and decoders.

use gst::prelude::*;
use gst_check::Harness;
use std::collections::BTreeMap;
use std::sync::Once;

pub const SIZE: (usize, usize) = (320, 240);
/// For streams of many frames.
pub const TINY: (usize, usize) = (64, 48);
const INTERVAL: gst::ClockTime = gst::ClockTime::from_nseconds(16_666_667);

pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstx264rfi::plugin_register_static().unwrap();
    });
}

/// An encoded frame.
#[derive(Clone, Debug)]
pub struct Unit {
    pub number: usize,
    pub bytes: Vec<u8>,
    pub key: bool,
    pub recovery: bool,
}

pub struct Encoder {
    pub harness: Harness,
    size: (usize, usize),
    next: usize,
}

impl Encoder {
    /// `properties` as in a launch text.
    pub fn new(properties: &str) -> Self {
        Self::of_size(SIZE, properties)
    }

    pub fn of_size(size: (usize, usize), properties: &str) -> Self {
        init();
        let mut harness = Harness::new_parse(&format!("x264rfienc name=encoder {properties}"));
        let (width, height) = size;
        harness.set_src_caps_str(&format!(
            "video/x-raw,format=I420,width={width},height={height},framerate=60/1,colorimetry=bt709"
        ));
        harness.play();
        Self { harness, size, next: 0 }
    }

    pub fn element(&self) -> gst::Element {
        let bin = self.harness.element().unwrap().downcast::<gst::Bin>().unwrap();
        bin.by_name("encoder").unwrap()
    }

    /// Encodes the next picture.
    pub fn encode(&mut self) -> Unit {
        let number = self.next;
        self.next += 1;
        let mut buffer = gst::Buffer::from_mut_slice(picture(self.size, number));
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(time(number));
        writable.set_duration(INTERVAL);
        self.harness.push(buffer).unwrap();
        let out = self.harness.pull().unwrap();
        assert!(self.harness.try_pull().is_none(), "one in, one out");
        assert_eq!(out.pts(), Some(time(number)));
        Unit {
            number,
            bytes: out.map_readable().unwrap().to_vec(),
            key: !out.flags().contains(gst::BufferFlags::DELTA_UNIT),
            recovery: gst::meta::CustomMeta::from_buffer(&out, gstx264rfi::RECOVERY_META).is_ok(),
        }
    }

    pub fn encode_many(&mut self, count: usize) -> Vec<Unit> {
        (0..count).map(|_| self.encode()).collect()
    }

    /// Says that frames are broken from `first` on, and `last` is the last that was lost. Whether anybody answers.
    pub fn invalidate(&mut self, first: usize, last: usize) -> bool {
        let since = first.checked_sub(1).map_or(0, |good| time(good).nseconds() + 1);
        let structure = gst::Structure::builder("GstGameStreamInvalidate")
            .field("first", first as u32)
            .field("last", last as u32)
            .field("since", since)
            .field("until", time(last).nseconds());
        self.harness.push_upstream_event(gst::event::CustomUpstream::new(structure.build()))
    }
}

fn time(number: usize) -> gst::ClockTime {
    INTERVAL * number as u64
}

/// A texture that moves, and a block that moves the other way.
fn picture((width, height): (usize, usize), number: usize) -> Vec<u8> {
    let mut bytes = vec![128; width * height * 3 / 2];
    for (at, luma) in bytes[..width * height].iter_mut().enumerate() {
        let (x, y) = (at % width + 3 * number, at / width + number);
        let texture = (x / 3).wrapping_mul(0x9e37_79b9) ^ (y / 3).wrapping_mul(0x85eb_ca6b);
        *luma = 40 + (texture >> 13 & 127) as u8;
    }
    let way = width - width * 3 / 16;
    for y in height / 4..height * 5 / 12 {
        let left = way - 5 * number % way;
        bytes[y * width + left..][..width / 8].fill(235);
    }
    bytes
}

/// What a network does: these frames do not arrive.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    pub first: usize,
    pub count: usize,
    /// Frames that are encoded between the last lost one and the answer.
    pub delay: usize,
}

/// A stream with losses, and what of it a client hands to its decoder.
#[derive(Debug, Default)]
pub struct Played {
    pub size: (usize, usize),
    pub sent: Vec<Unit>,
    pub received: Vec<Unit>,
    pub handled: usize,
}

impl Played {
    pub fn keys(&self) -> usize {
        self.sent.iter().filter(|unit| unit.key).count()
    }

    pub fn recoveries(&self) -> usize {
        self.sent.iter().filter(|unit| unit.recovery).count()
    }
}

/// Plays `frames` frames; the client tells of each loss once, `delay` frames after it, if `tells`.
pub fn play(encoder: &mut Encoder, frames: usize, losses: &[Loss], tells: bool) -> Played {
    let mut played = Played { size: encoder.size, ..Played::default() };
    let mut waits = false;
    for number in 0..frames {
        for loss in losses.iter().filter(|loss| tells && loss.first + loss.count + loss.delay == number) {
            played.handled += usize::from(encoder.invalidate(loss.first, loss.first + loss.count - 1));
        }
        let unit = encoder.encode();
        let lost = losses.iter().any(|loss| (loss.first..loss.first + loss.count).contains(&number));
        waits = lost || (waits && tells && !unit.key && !unit.recovery);
        if !waits {
            played.received.push(unit.clone());
        }
        played.sent.push(unit);
    }
    played
}

/// Decodes pictures of `size` with `decoder`, by the number of their frame.
pub fn decode(decoder: &str, (width, height): (usize, usize), units: &[Unit]) -> BTreeMap<usize, Vec<u8>> {
    let text = format!(
        "appsrc name=source format=time caps=video/x-h264,stream-format=byte-stream,alignment=au,profile=high,framerate=60/1,width={width},height={height} \
         ! {decoder} ! videoconvert ! video/x-raw,format=I420 ! appsink name=sink sync=false"
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("source").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for unit in units {
        let mut buffer = gst::Buffer::from_slice(unit.bytes.clone());
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(time(unit.number));
        writable.set_dts(time(unit.number));
        writable.set_duration(INTERVAL);
        if !unit.key {
            writable.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let mut pictures = BTreeMap::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().unwrap();
        let number = (buffer.pts().unwrap().nseconds() + INTERVAL.nseconds() / 2) / INTERVAL.nseconds();
        pictures.insert(number as usize, buffer.map_readable().unwrap().to_vec());
    }
    pipeline.set_state(gst::State::Null).unwrap();
    pictures
}
