//! One encoder with all that its description puts around it: a bin of its own between pacer and packetizer, which is
//! taken out as a whole when the encoder dies.
//!
//! It begins with a queue, so that the thread that encodes belongs to the bin: one that hangs stays behind with it. The
//! queue holds one frame, the freshest, and never keeps the pacer waiting. What fails inside never reaches the elements
//! outside: its messages go to a bus of its own, and its pads take whatever comes once it is dead.

use super::super::run::{self, StreamEvent};
use super::opening;
use super::watchdog::Watchdog;
use crate::threads::Rtkit;
use anyhow::Context;
use gst::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// The first element of a section.
const QUEUE: &str = "queue name=section-frames leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0 silent=true";
/// Between it and an encoder that does not take the pictures as they are.
const CONVERSION: &str = "! videoconvert";
/// The last element; a description may end in caps, and it gives these something to stand before.
const END: &str = "capsfilter name=section-units";

const ENDED: &str = "it ended the stream";

pub(super) struct Section {
    pub bin: gst::Bin,
    pub sink: gst::Pad,
    pub src: gst::Pad,
    /// The element that encodes.
    pub encoder: gst::Element,
    pub life: Arc<Life>,
    /// Of the queue.
    frames: gst::Pad,
}

/// How one encoder lives and dies.
pub(super) struct Life {
    watchdog: Mutex<Watchdog>,
    frames: AtomicU64,
    units: AtomicU64,
    /// Why it ended; nothing where its end is nobody's fault.
    fate: OnceLock<Option<String>>,
    on_death: Box<dyn Fn() + Send + Sync>,
}

impl Life {
    /// `on_death` is called once, from any thread.
    pub fn new(on_death: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            watchdog: Mutex::new(Watchdog::new()),
            frames: AtomicU64::new(0),
            units: AtomicU64::new(0),
            fate: OnceLock::new(),
            on_death: Box::new(on_death),
        })
    }

    /// It failed. The first reason counts.
    pub fn die(&self, reason: impl Into<String>) {
        if self.fate.set(Some(reason.into())).is_ok() {
            (self.on_death)();
        }
    }

    /// It is not needed any more: what fails from now on is nobody's business.
    pub fn end(&self) {
        let _ = self.fate.set(None);
    }

    /// What it died of.
    pub fn fault(&self) -> Option<&str> {
        self.fate.get()?.as_deref()
    }

    /// Frames that went in.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Acquire)
    }

    /// Access units that came out.
    pub fn units(&self) -> u64 {
        self.units.load(Ordering::Acquire)
    }

    fn has_ended(&self) -> bool {
        self.fate.get().is_some()
    }

    fn watchdog(&self) -> std::sync::MutexGuard<'_, Watchdog> {
        self.watchdog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_frame(&self) {
        self.frames.fetch_add(1, Ordering::AcqRel);
        let mut watchdog = self.watchdog();
        if watchdog.handle_frame_in(Instant::now()) {
            let frames = watchdog.unanswered();
            drop(watchdog);
            self.die(format!("nothing came out for {frames} frames"));
        }
    }

    fn count_unit(&self) {
        self.units.fetch_add(1, Ordering::AcqRel);
        self.watchdog().handle_unit_out();
    }
}

impl Section {
    /// `launch` is the filled text of a description. With `convert`, pictures come in any format.
    pub fn build(launch: &str, convert: bool, rtkit: &Rtkit, life: Arc<Life>) -> anyhow::Result<Section> {
        let convert = if convert { CONVERSION } else { "" };
        let text = format!("{QUEUE} {convert} ! {launch} ! {END}");
        let bin = gst::parse::bin_from_description_full(&text, false, None, gst::ParseFlags::FATAL_ERRORS)
            .with_context(|| format!("the encoder cannot be built: {text}"))?
            .downcast::<gst::Bin>()
            .map_err(|_| anyhow::anyhow!("not a bin: {text}"))?;
        // The pipeline's states are not its own: it is opened and closed on threads that may wait for it.
        bin.set_locked_state(true);
        let pad = |element: &str, pad: &str| {
            anyhow::Ok(run::element(&bin, element)?.static_pad(pad).expect("queues and filters have it"))
        };
        let (frames, units) = (pad("section-frames", "sink")?, pad("section-units", "src")?);
        let encoder = run::element(&bin, "encoder")?;
        opening::arrange(&encoder);
        let sink = entrance(&frames, life.clone())?;
        let src = exit(&units, life.clone())?;
        bin.add_pad(&sink)?;
        bin.add_pad(&src)?;
        let section = Section { bin, sink: sink.upcast(), src: src.upcast(), encoder, life, frames };
        section.listen(rtkit);
        Ok(section)
    }

    /// Whether it takes pictures of these caps.
    pub fn takes(&self, caps: &gst::Caps) -> bool {
        !self.sink.query_caps(Some(caps)).is_empty()
    }

    /// Puts it into `pipeline`, where it does nothing yet.
    pub fn add_to(&self, pipeline: &gst::Pipeline) -> anyhow::Result<()> {
        let bus = self.bin.bus();
        pipeline.add(&self.bin)?;
        // To the pipeline it posts nothing: who died, and whether that still matters, is only known here.
        self.bin.set_bus(bus.as_ref());
        Ok(())
    }

    fn listen(&self, rtkit: &Rtkit) {
        let bus = gst::Bus::new();
        let life = self.life.clone();
        run::watch(&bus, "video", rtkit.clone(), move |event| {
            if let StreamEvent::Failed(reason) = event {
                life.die(reason);
            }
        });
        self.bin.set_bus(Some(&bus));
    }

    /// Whoever waits for it waits no longer. The encoder itself is left as it is.
    pub fn abandon(&self) {
        self.life.end();
        let _ = self.frames.set_active(false);
    }
}

/// Takes frames for the queue whose pad is `target`, and drops them once the encoder is dead: whatever becomes of it, to
/// those before it all is well.
fn entrance(target: &gst::Pad, life: Arc<Life>) -> anyhow::Result<gst::GhostPad> {
    let [chained, told, asked] = [life.clone(), life.clone(), life];
    let pad = gst::GhostPad::builder_with_target(target)?
        .name("sink")
        .chain_function(move |pad, parent, buffer| {
            chained.count_frame();
            if chained.has_ended() {
                return Ok(gst::FlowSuccess::Ok);
            }
            match gst::ProxyPad::chain_default(pad, parent, buffer) {
                Ok(_) => {}
                Err(gst::FlowError::Eos) => chained.die(ENDED),
                Err(error) => chained.die(format!("it takes no more frames: {error}")),
            }
            Ok(gst::FlowSuccess::Ok)
        })
        .event_function(move |pad, parent, event| {
            let caps = event.type_() == gst::EventType::Caps;
            let taken = told.has_ended() || gst::Pad::event_default(pad, parent, event);
            if caps && !taken {
                told.die("it does not take the pictures");
            }
            true
        })
        .query_function(move |pad, _, query| match query.view_mut() {
            gst::QueryViewMut::Caps(query) if asked.has_ended() => {
                query.set_result(&query.filter_owned().unwrap_or_else(gst::Caps::new_any));
                true
            }
            gst::QueryViewMut::AcceptCaps(query) if asked.has_ended() => {
                query.set_result(true);
                true
            }
            _ if asked.has_ended() => false,
            _ => pad.target().is_some_and(|target| target.query(query)),
        });
    Ok(pad.build())
}

/// Hands over the access units that leave `target`.
fn exit(target: &gst::Pad, life: Arc<Life>) -> anyhow::Result<gst::GhostPad> {
    let told = life.clone();
    let pad = gst::GhostPad::builder_with_target(target)?
        .name("src")
        .proxy_pad_chain_function(move |pad, parent, buffer| {
            life.count_unit();
            // It is not the encoder that fails when nobody takes its units.
            gst::ProxyPad::chain_default(pad, parent, buffer).inspect_err(|error| match error {
                gst::FlowError::NotNegotiated => life.die("nobody takes what it makes"),
                _ => life.end(),
            })
        })
        .build();
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if info.event().is_none_or(|event| event.type_() != gst::EventType::Eos) {
            return gst::PadProbeReturn::Ok;
        }
        told.die(ENDED);
        // Not Drop: the binding has taken the event out already, and GStreamer would release nothing.
        gst::PadProbeReturn::Handled
    });
    Ok(pad)
}
