//! What goes up to whatever captures a source now: events from those who look at it.

use crate::desktop::portal::Region;
use gst::prelude::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The end of the capture that runs, if one does.
#[derive(Clone, Default)]
pub struct Upstream(Arc<Mutex<Option<End>>>);

/// Of a capture.
#[derive(Clone)]
pub(super) struct End {
    pub sink: gst::Pad,
    /// Of the desktop, where it is known.
    pub region: Option<Region>,
}

impl Upstream {
    /// From any thread, and without waiting for frames or state changes. False if nobody up there takes it.
    pub fn send(&self, event: gst::Event) -> bool {
        let end = self.end().clone();
        end.is_some_and(|end| end.sink.push_event(event))
    }

    /// The part of the desktop that is captured, where that is known.
    pub fn region(&self) -> Option<Region> {
        self.end().as_ref()?.region
    }

    pub(super) fn connect(&self, end: Option<End>) {
        *self.end() = end;
    }

    fn end(&self) -> MutexGuard<'_, Option<End>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn events_reach_the_capture_that_is_connected_and_no_other() {
        gst::init().unwrap();
        let upstream = Upstream::default();
        let event = || gst::event::CustomUpstream::new(gst::Structure::new_empty("Hello"));
        assert!(!upstream.send(event()), "nobody is there");
        let heard = |name: &'static str| {
            let (say, heard) = mpsc::channel();
            let pad = gst::Pad::builder(gst::PadDirection::Src).event_function(move |_, _, event| {
                // Those that are linked ask for caps by themselves.
                if event.type_() == gst::EventType::CustomUpstream {
                    say.send(name).unwrap();
                }
                true
            });
            let (src, sink) = (pad.build(), gst::Pad::builder(gst::PadDirection::Sink).build());
            sink.set_active(true).unwrap();
            src.set_active(true).unwrap();
            src.link(&sink).unwrap();
            (src, sink, heard)
        };
        let (_first, first, first_heard) = heard("first");
        let (_second, second, second_heard) = heard("second");
        let end = |sink| Some(End { sink, region: None });
        upstream.connect(end(first));
        assert!(upstream.send(event()) && first_heard.try_recv() == Ok("first"));
        upstream.connect(end(second));
        assert!(upstream.send(event()) && second_heard.try_recv() == Ok("second"));
        assert!(first_heard.try_recv().is_err());
        upstream.connect(None);
        assert!(!upstream.send(event()));
    }
}
