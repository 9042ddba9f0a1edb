//! The encoder of a running stream: key frames and bitrates are asked of it, or, where it does not take them while it
//! runs, it is opened anew between two frames.

use super::description::EncodeDescription;
use super::renewal::Renewal;
use super::{limits, property};
use gst::prelude::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub(super) struct Encoder {
    element: gst::Element,
    shared: Arc<Shared>,
}

/// What the thread that feeds the encoder knows of it.
struct Shared {
    description: EncodeDescription,
    renewal: Mutex<Renewal>,
}

impl Encoder {
    /// `element` is linked, and runs at `kbps` as far as it goes there.
    pub fn new(element: gst::Element, description: &EncodeDescription, kbps: u32) -> Self {
        let renewal = Mutex::new(Renewal::new(limits::kbps(description, kbps)));
        let shared = Arc::new(Shared { description: description.clone(), renewal });
        let encoder = Self { element, shared };
        if !(description.obeys_key_requests && description.bitrate.live) {
            encoder.open_anew_when_due();
        }
        encoder
    }

    /// Makes the next encoded frame a key frame with all headers.
    pub fn force_key_unit(&self) {
        if !self.shared.description.obeys_key_requests {
            return self.shared.renewal().owe_key();
        }
        let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
        let pad = self.element.static_pad("src").expect("an encoder has a source pad");
        if !pad.send_event(event) {
            tracing::debug!("the encoder did not take a key frame request");
        }
    }

    /// Changes the bitrate as far as the encoder goes there, at once or when [`Renewal`] finds it worth a key frame.
    pub fn set_bitrate(&self, kbps: u32) {
        let kbps = limits::kbps(&self.shared.description, kbps);
        if self.shared.description.bitrate.live {
            self.shared.write_bitrate(&self.element, kbps);
        }
        self.shared.renewal().wish(kbps);
    }

    /// Looks before each frame, on the thread that feeds the encoder.
    fn open_anew_when_due(&self) {
        let sink = self.element.static_pad("sink").expect("an encoder has a sink pad");
        let Some(feeder) = sink.peer() else { return };
        let (element, shared) = (self.element.downgrade(), self.shared.clone());
        feeder.add_probe(gst::PadProbeType::BUFFER, move |feeder, _| {
            if let Some(element) = element.upgrade() {
                shared.open_anew_if_due(&element, feeder);
            }
            gst::PadProbeReturn::Ok
        });
    }
}

impl Shared {
    /// Nothing panics while it is held.
    fn renewal(&self) -> MutexGuard<'_, Renewal> {
        self.renewal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_bitrate(&self, encoder: &gst::Element, kbps: u32) {
        let bitrate = &self.description.bitrate;
        if let Err(error) = property::set_number(encoder, &bitrate.property, bitrate.value(kbps)) {
            tracing::warn!("the bitrate stays: {error:#}");
        }
    }

    fn open_anew_if_due(&self, encoder: &gst::Element, feeder: &gst::Pad) {
        let kbps = {
            let renewal = self.renewal();
            if !renewal.is_due(Instant::now()) {
                return;
            }
            renewal.wished()
        };
        self.open_anew(encoder, feeder, kbps);
        // One key frame answers all requests that came before it.
        self.renewal().opened(kbps, Instant::now());
    }

    /// Closes `encoder` and opens it again; `feeder` is the pad whose thread feeds it, and this runs on it.
    fn open_anew(&self, encoder: &gst::Element, feeder: &gst::Pad, kbps: u32) {
        let closed = encoder.set_state(gst::State::Ready);
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
