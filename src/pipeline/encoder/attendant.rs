//! Who attends to one encoder: bitrates and key frames are asked of it by the thread that feeds it, before the next
//! frame, so that one that hangs holds up nobody else. Where it does not take them while it runs, it is opened anew
//! between two frames.

use super::super::description::EncodeDescription;
use super::super::{limits, property};
use super::renewal::Renewal;
use gst::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What a stream wishes of its encoder, whichever that is.
#[derive(Debug)]
pub(super) struct Wishes {
    kbps: AtomicU32,
    key: AtomicBool,
}

impl Wishes {
    pub fn new(kbps: u32) -> Self {
        Self { kbps: AtomicU32::new(kbps), key: AtomicBool::new(false) }
    }

    pub fn kbps(&self) -> u32 {
        self.kbps.load(Ordering::Acquire)
    }

    pub fn set_kbps(&self, kbps: u32) {
        self.kbps.store(kbps, Ordering::Release);
    }

    pub fn ask_for_key(&self) {
        self.key.store(true, Ordering::Release);
    }

    /// A key frame leaves: nobody needs another one for what was lost before it.
    pub fn answer(&self) {
        self.key.store(false, Ordering::Release);
    }
}

/// One encoder, and what was wished of it so far.
struct Attendant {
    element: gst::glib::WeakRef<gst::Element>,
    description: EncodeDescription,
    wishes: Arc<Wishes>,
    /// An access unit came out since it was opened.
    delivers: Arc<AtomicBool>,
    /// The thread that feeds it alone takes it.
    state: Mutex<State>,
}

struct State {
    /// The last wish that was seen, in kbit/s.
    seen: u32,
    renewal: Renewal,
}

/// Attends to `element`, which is linked and was told to run at `kbps`.
pub(super) fn attend(
    element: &gst::Element,
    description: &EncodeDescription,
    kbps: u32,
    wishes: Arc<Wishes>,
) {
    let sink = element.static_pad("sink").expect("an encoder has a sink pad");
    let Some(feeder) = sink.peer() else { return };
    let renewal = Renewal::new(limits::kbps(description, kbps));
    let delivers = begin(element);
    let attendant = Attendant {
        element: element.downgrade(),
        description: description.clone(),
        wishes,
        delivers,
        state: Mutex::new(State { seen: kbps, renewal }),
    };
    feeder.add_probe(gst::PadProbeType::BUFFER, move |feeder, _| {
        if let Some(element) = attendant.element.upgrade() {
            attendant.handle_frame(&element, feeder);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Keeps requests for key frames from `element`, whoever makes them, until its first access unit came out, which is a
/// key frame and answers them. GStreamer's base class reckons with other times until then: where the encoder shifts
/// timestamps, as x264enc does by a thousand hours, a request that its first frame answers would put off all later ones
/// by as much. Returns whether a unit came out.
fn begin(element: &gst::Element) -> Arc<AtomicBool> {
    let delivers = Arc::new(AtomicBool::new(false));
    let begun = delivers.clone();
    let pad = element.static_pad("src").expect("an encoder has a source pad");
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
        let asks = info.event().map(|event| gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok());
        match asks {
            None => begun.store(true, Ordering::Release),
            // Not Drop: the binding has taken the event out already, and GStreamer would release nothing.
            Some(true) if !begun.load(Ordering::Acquire) => return gst::PadProbeReturn::Handled,
            Some(_) => {}
        }
        gst::PadProbeReturn::Ok
    });
    delivers
}

impl Attendant {
    /// Runs before each frame, on the thread that feeds the encoder through `feeder`.
    fn handle_frame(&self, element: &gst::Element, feeder: &gst::Pad) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.heed_bitrate(&mut state, element);
        // The first unit is a key frame anyway, and answers if it leaves.
        match self.delivers.load(Ordering::Acquire) && self.wishes.key.swap(false, Ordering::AcqRel) {
            true if self.description.obeys_key_requests => force_key_unit(element),
            true => state.renewal.owe_key(),
            false => {}
        }
        let now = Instant::now();
        if state.renewal.is_due(now) {
            let kbps = state.renewal.wished();
            self.open_anew(element, feeder, kbps);
            // One key frame answers all requests that came before it.
            state.renewal.opened(kbps, Instant::now());
        }
    }

    fn heed_bitrate(&self, state: &mut State, element: &gst::Element) {
        let wished = self.wishes.kbps();
        if wished == std::mem::replace(&mut state.seen, wished) {
            return;
        }
        let kbps = limits::kbps(&self.description, wished);
        if self.description.bitrate.live {
            self.write_bitrate(element, kbps);
            state.renewal.runs_at(kbps);
        } else {
            state.renewal.wish(kbps);
        }
    }

    fn write_bitrate(&self, encoder: &gst::Element, kbps: u32) {
        let bitrate = &self.description.bitrate;
        if let Err(error) = property::set_number(encoder, &bitrate.property, bitrate.value(kbps)) {
            tracing::warn!("the bitrate stays: {error:#}");
        }
    }

    /// Closes `encoder` and opens it again; `feeder` is the pad whose thread feeds it, and this runs on it.
    fn open_anew(&self, encoder: &gst::Element, feeder: &gst::Pad, kbps: u32) {
        let closed = encoder.set_state(gst::State::Ready);
        self.delivers.store(false, Ordering::Release);
        self.write_bitrate(encoder, kbps);
        if closed.is_err() || encoder.sync_state_with_parent().is_err() {
            tracing::warn!("the encoder cannot be opened anew");
        }
        // Closing made it forget the events that precede frames.
        let mut events = Vec::new();
        feeder.sticky_events_foreach(|event| {
            events.push(event.clone());
            std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
        });
        let Some(sink) = feeder.peer() else { return };
        for event in events {
            sink.send_event(event);
        }
    }
}

/// Makes the next frame that goes into `encoder` a key frame with all headers.
pub(super) fn force_key_unit(encoder: &gst::Element) {
    let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
    let pad = encoder.static_pad("src").expect("an encoder has a source pad");
    if !pad.send_event(event) {
        tracing::debug!("the encoder did not take a key frame request");
    }
}
