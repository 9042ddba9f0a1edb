//! Where the sections of a stream are put, and how one goes and the next one comes.

use super::section::Section;
use anyhow::{Context, bail};
use gst::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Longest until the pad before a section is idle: what is behind it never keeps it waiting.
const SWITCH_LIMIT: Duration = Duration::from_secs(5);

/// In the pipeline, between these two pads.
pub(in crate::pipeline) struct Place {
    pub pipeline: gst::Pipeline,
    /// Raw pictures come from here.
    pub feeder: gst::Pad,
    /// Access units go there.
    pub drain: gst::Pad,
}

/// Access units find their way before the first frame goes in.
fn link(
    feeder: &gst::Pad,
    (sink, src): &(gst::Pad, gst::Pad),
    drain: &gst::Pad,
) -> Result<(), gst::PadLinkError> {
    src.link(drain)?;
    feeder.link(sink)?;
    Ok(())
}

/// A section that is being closed by a thread of its own, which may hang with it.
pub(super) struct Closing {
    done: mpsc::Receiver<()>,
}

impl Place {
    /// Puts `new` in the place of `old`, which may be none, between two frames. Where `new` cannot be linked `old` stays:
    /// a pad before it that leads nowhere would end the stream.
    pub(super) fn switch(&self, old: Option<&Section>, new: &Section) -> anyhow::Result<()> {
        let old = old.map(|section| (section.sink.clone(), section.src.clone()));
        let new = (new.sink.clone(), new.src.clone());
        let (feeder, drain) = (self.feeder.clone(), self.drain.clone());
        let relink = move || -> Result<(), gst::PadLinkError> {
            if let Some((sink, src)) = &old {
                let _ = feeder.unlink(sink);
                let _ = src.unlink(&drain);
            }
            let linked = link(&feeder, &new, &drain);
            if let (Err(_), Some(old)) = (&linked, &old) {
                let _ = feeder.unlink(&new.0);
                let _ = new.1.unlink(&drain);
                link(&feeder, old, &drain)?;
            }
            linked
        };
        let (done, relinked) = mpsc::channel();
        // Whoever comes first decides: the frame that passes, or the end of the patience.
        let claimed = Arc::new(AtomicBool::new(false));
        let claim = claimed.clone();
        let probe = self.feeder.add_probe(gst::PadProbeType::IDLE, move |_, _| {
            if !claim.swap(true, Ordering::AcqRel) && done.send(relink()).is_err() {
                tracing::error!("nobody waits for the encoder that was put in its place");
            }
            gst::PadProbeReturn::Remove
        });
        match relinked.recv_timeout(SWITCH_LIMIT) {
            Ok(linked) => linked.context("it cannot be linked"),
            Err(_) if claimed.swap(true, Ordering::AcqRel) => {
                relinked.recv().context("no frame passes any more")?.context("it cannot be linked")
            }
            Err(_) => {
                probe.into_iter().for_each(|probe| self.feeder.remove_probe(probe));
                bail!("no frame passed in {} s", SWITCH_LIMIT.as_secs());
            }
        }
    }

    /// Closes a section, in its place or not, and forgets it.
    pub(super) fn close(&self, section: Section) -> Closing {
        section.abandon();
        let _ = self.pipeline.remove(&section.bin);
        let (closed, done) = mpsc::channel();
        let close = move || {
            let _ = section.bin.set_state(gst::State::Null);
            drop(section);
            let _ = closed.send(());
        };
        if let Err(error) = std::thread::Builder::new().name("encoder-close".into()).spawn(close) {
            tracing::warn!("an encoder stays open: {error}");
        }
        Closing { done }
    }
}

impl Closing {
    /// Waits until it is closed. False if it still is not after `limit`.
    pub fn wait(&self, limit: Duration) -> bool {
        !matches!(self.done.recv_timeout(limit), Err(mpsc::RecvTimeoutError::Timeout))
    }
}
