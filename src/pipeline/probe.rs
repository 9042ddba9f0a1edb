//! Does this encoder really encode here? Ten frames in a process of its own, since an encoder may abort or hang.

use super::cost;
use super::description::{EncodeDescription, Mode};
use super::video::codec_caps;
use crate::protocol::params::{Codec, Fps};
use anyhow::{Context, bail, ensure};
use gst::prelude::*;
use rustix::process::{Signal, getpid, kill_process};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Hidden subcommand of the host that runs [`run_child`]: `probe-encoder [cost] CODEC LAUNCH`.
pub const SUBCOMMAND: &str = "probe-encoder";

/// Frames that have to come out.
const FRAMES: u32 = 10;
/// Hardware may work on one frame and queue the next; more is a lookahead.
const MOST_HELD: u32 = 2;
/// After so many frames the last of them is called lost.
const LOSE_AFTER: u32 = 3;
/// After so many frames a key frame is asked for.
const REQUEST_AFTER: u32 = 6;
const MODE: Mode = Mode { width: 640, height: 360, fps: Fps { num: 60, den: 1 } };
const KBPS: u32 = 4000;
/// A hardware encoder may take seconds to wake up, and the machine may be busy.
const LIMIT: Duration = Duration::from_secs(20);

/// What a probe saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Milliseconds from the first frame in to the last one out.
    pub millis: u64,
    /// Frames the encoder kept back: latency that the player feels.
    pub held: u32,
    /// A key frame came when it was asked for.
    pub obeys_key_requests: bool,
    /// It took the event that tells of a lost frame, and marked one that does without it.
    pub answers_invalidation: bool,
}

/// The launch text that is probed; the cache knows a result by it.
pub fn launch_text(description: &EncodeDescription) -> String {
    description.fill(MODE, KBPS, 1)
}

/// Probes in a child process of `program`, which is a moonpipe binary. Blocks.
pub fn probe(description: &EncodeDescription, program: &Path) -> anyhow::Result<Report> {
    probe_until(description, program, &AtomicBool::new(false))
}

/// As [`probe`], until `stop` is set: then the child is killed.
pub fn probe_until(
    description: &EncodeDescription,
    program: &Path,
    stop: &AtomicBool,
) -> anyhow::Result<Report> {
    let arguments = [codec_name(description.codec), &launch_text(description)];
    ask_child(program, &arguments, LIMIT, stop)
}

/// What a child answers to these `arguments` of [`SUBCOMMAND`].
pub(super) fn ask_child<T: DeserializeOwned>(
    program: &Path,
    arguments: &[&str],
    limit: Duration,
    stop: &AtomicBool,
) -> anyhow::Result<T> {
    let mut child = Command::new(program)
        .arg(SUBCOMMAND)
        .args(arguments)
        // Nothing is written; that it closes tells the child that nobody waits any more.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let errors = drain(child.stderr.take());
    let answer = drain(child.stdout.take());
    let status = wait(&mut child, limit, stop)?;
    let [answer, errors] = [answer, errors].map(|thread| thread.join().unwrap_or_default());
    if !status.success() {
        let reason = errors.lines().last().filter(|line| !line.is_empty()).unwrap_or("no message");
        bail!("{reason} ({status})");
    }
    serde_json::from_str(&answer).with_context(|| format!("the probe answered {answer:?}"))
}

/// The child's side; `args` follow the subcommand. Prints a [`Report`] or a [`cost::Cost`] as JSON, or the reason on
/// stderr. It lives as long as its standard input is open.
pub fn run_child(args: &[String]) -> ExitCode {
    end_with_input();
    let result = match args {
        [codec, launch] => parse_codec(codec).and_then(|codec| json(&encode_ten(codec, launch)?)),
        [word, codec, launch] if word == cost::WORD => {
            parse_codec(codec).and_then(|codec| json(&cost::measure(codec, launch)?))
        }
        _ => Err(anyhow::anyhow!("usage: {SUBCOMMAND} [{}] CODEC LAUNCH", cost::WORD)),
    };
    match result {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", format!("{error:#}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn json(answer: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(answer)?)
}

/// A host that is killed closes the pipe; an encoder that hangs must not stay behind.
fn end_with_input() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        // Not `exit`: what it runs at the end may wait for the encoder.
        let _ = kill_process(getpid(), Signal::KILL);
    });
}

/// Encodes ten frames in this process.
pub fn encode_ten(codec: Codec, launch: &str) -> anyhow::Result<Report> {
    super::init()?;
    let text = format!(
        "videotestsrc name=source num-buffers={FRAMES} ! video/x-raw,format=(string){{NV12,I420}},width={},height={},framerate={} \
         ! {launch} ! {} ! appsink name=joint sync=false",
        MODE.width,
        MODE.height,
        MODE.fps,
        codec_caps(codec),
    );
    let pipeline = super::run::parse(&text)?;
    let seen = watch(&pipeline, codec)?;
    let start = Instant::now();
    let outcome = play(&pipeline);
    let millis = start.elapsed().as_millis() as u64;
    pipeline.set_state(gst::State::Null)?;
    outcome?;
    if let Some(fault) = seen.fault.lock().expect("no probe panics").take() {
        bail!("{fault}");
    }
    let frames = seen.frames.load(Ordering::Acquire);
    ensure!(frames == FRAMES, "{frames} frames came out of {FRAMES}");
    let held = FRAMES - seen.before_end.load(Ordering::Acquire);
    ensure!(held <= MOST_HELD, "it holds back {held} frames, which a player would feel");
    Ok(Report {
        millis,
        held,
        obeys_key_requests: seen.later_keys.load(Ordering::Acquire) > 0,
        answers_invalidation: seen.took_loss.load(Ordering::Acquire)
            && seen.recoveries.load(Ordering::Acquire) > 0,
    })
}

#[derive(Default)]
struct Seen {
    frames: AtomicU32,
    /// Frames that were out when the source ended.
    before_end: AtomicU32,
    /// Key frames after the one that was asked for.
    later_keys: AtomicU32,
    /// The encoder answered when it was told of a lost frame.
    took_loss: AtomicBool,
    /// Frames that do without it.
    recoveries: AtomicU32,
    fault: Mutex<Option<String>>,
}

impl Seen {
    fn take(&self, codec: Codec, sample: &gst::Sample) {
        let before = self.frames.fetch_add(1, Ordering::AcqRel);
        if before == 0
            && let Some(fault) = first_frame_fault(codec, sample)
        {
            *self.fault.lock().expect("no probe panics") = Some(fault);
        }
        let is_key = sample.buffer().is_some_and(|b| !b.flags().contains(gst::BufferFlags::DELTA_UNIT));
        let is_recovery = sample.buffer().is_some_and(|buffer| {
            gst::meta::CustomMeta::from_buffer(buffer, "GstGameStreamRecoveryMeta").is_ok()
        });
        self.recoveries.fetch_add(u32::from(is_recovery && !is_key), Ordering::AcqRel);
        if before >= REQUEST_AFTER && is_key {
            self.later_keys.fetch_add(1, Ordering::AcqRel);
        }
    }
}

fn watch(pipeline: &gst::Pipeline, codec: Codec) -> anyhow::Result<Arc<Seen>> {
    let seen = Arc::new(Seen::default());
    let joint = super::run::element(pipeline.upcast_ref(), "joint")?;
    let joint = joint.downcast::<gst_app::AppSink>().expect("the text makes it an appsink");
    let encoder = super::run::element(pipeline.upcast_ref(), "encoder")?;
    let encoder = encoder.static_pad("src").context("the encoder has no source pad")?;
    let counted = seen.clone();
    let on_sample = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        counted.take(codec, &sample);
        if counted.frames.load(Ordering::Acquire) == LOSE_AFTER {
            counted.took_loss.store(tell_of_loss(&encoder, &sample), Ordering::Release);
        }
        if counted.frames.load(Ordering::Acquire) == REQUEST_AFTER {
            let request = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
            let _ = encoder.send_event(request);
        }
        Ok(gst::FlowSuccess::Ok)
    };
    joint.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build());
    let source = super::run::element(pipeline.upcast_ref(), "source")?;
    let ended = seen.clone();
    source.static_pad("src").expect("a source has a pad").add_probe(
        gst::PadProbeType::EVENT_DOWNSTREAM,
        move |_, info| {
            if info.event().is_some_and(|event| event.type_() == gst::EventType::Eos) {
                ended.before_end.store(ended.frames.load(Ordering::Acquire), Ordering::Release);
            }
            gst::PadProbeReturn::Ok
        },
    );
    Ok(seen)
}

/// Tells the encoder with this source pad that all from `sample` on is lost. Whether it answers.
fn tell_of_loss(encoder: &gst::Pad, sample: &gst::Sample) -> bool {
    let Some(pts) = sample.buffer().and_then(|buffer| buffer.pts()) else { return false };
    let structure = gst::Structure::builder("GstGameStreamInvalidate")
        .field("first", LOSE_AFTER)
        .field("last", LOSE_AFTER)
        .field("since", pts.nseconds());
    encoder.send_event(gst::event::CustomUpstream::new(structure.build()))
}

/// Clients find the key frame only in the first packet, behind nothing but parameter sets and a short SEI.
fn first_frame_fault(codec: Codec, sample: &gst::Sample) -> Option<String> {
    const FIRST_PACKET: usize = 900;
    let buffer = sample.buffer()?;
    if buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) {
        return Some("the first frame is no key frame".into());
    }
    let map = buffer.map_readable().ok()?;
    let found = key_slice_offset(codec, &map)?;
    match found {
        Some(at) if at < FIRST_PACKET => None,
        Some(at) => {
            Some(format!("the key frame starts {at} bytes into its first access unit, behind other data"))
        }
        None => Some("the first frame holds no key picture".into()),
    }
}

/// Where the first key slice starts in an Annex B access unit; the outer option is none for codecs without slices.
fn key_slice_offset(codec: Codec, data: &[u8]) -> Option<Option<usize>> {
    let is_key = |header: u8| match codec {
        Codec::H264 => header & 0x1f == 5,
        Codec::H265 => (16..=21).contains(&((header >> 1) & 0x3f)),
        Codec::Av1 => false,
    };
    (codec != Codec::Av1).then(|| data.windows(4).position(|w| w[..3] == [0, 0, 1] && is_key(w[3])))
}

fn play(pipeline: &gst::Pipeline) -> anyhow::Result<()> {
    let bus = pipeline.bus().expect("a pipeline has a bus");
    let started = pipeline.set_state(gst::State::Playing);
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let wait =
        if started.is_err() { gst::ClockTime::ZERO } else { gst::ClockTime::from_seconds(LIMIT.as_secs()) };
    match bus.timed_pop_filtered(wait, &kinds) {
        Some(message) => match message.view() {
            gst::MessageView::Error(error) => {
                let source = message.src().map(|s| s.name().to_string()).unwrap_or_default();
                bail!("{source}: {}", error.error())
            }
            _ => Ok(()),
        },
        None if started.is_err() => bail!("the pipeline does not start"),
        None => bail!("nothing came out within {} s", LIMIT.as_secs()),
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for the child; one that takes longer, or that nobody waits for any more, is killed.
fn wait(child: &mut Child, limit: Duration, stop: &AtomicBool) -> anyhow::Result<std::process::ExitStatus> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let stopped = stop.load(Ordering::Acquire);
        if stopped || Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            ensure!(!stopped, "interrupted");
            bail!("it did not finish within {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "h264",
        Codec::H265 => "h265",
        Codec::Av1 => "av1",
    }
}

fn parse_codec(text: &str) -> anyhow::Result<Codec> {
    [Codec::H264, Codec::H265, Codec::Av1]
        .into_iter()
        .find(|codec| codec_name(*codec) == text)
        .with_context(|| format!("no codec is called {text:?}"))
}
