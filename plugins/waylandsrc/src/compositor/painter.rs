//! Pictures of the output, in the memory that goes downstream; only what changed is drawn.

use super::Layout;
use super::drawing::Scene;
use super::renderer::{Draw, Failure, Frame};
use super::swapchain::{Canvas, Swapchain};
use crate::mode::Mode;
use smithay::backend::renderer::damage::OutputDamageTracker;
use smithay::utils::Transform;

/// Pictures of one mode.
#[derive(Debug)]
pub struct Painter {
    /// Whether anything changed since the last picture.
    changes: OutputDamageTracker,
    /// What changed since the picture that a buffer holds.
    repairs: OutputDamageTracker,
    buffers: Swapchain,
    last: Option<gst::Buffer>,
    frame: Frame,
}

impl Painter {
    pub fn new(mode: Mode, layout: Layout) -> Self {
        let frame = Frame::new(mode, layout.format);
        Self {
            changes: tracker(mode),
            repairs: tracker(mode),
            buffers: Swapchain::new(frame.bytes(), layout.params),
            last: None,
            frame,
        }
    }

    /// The picture drawn last.
    pub fn last(&self) -> Option<gst::Buffer> {
        self.last.as_ref().map(|buffer| buffer.copy())
    }

    /// Draws, unless nothing has changed.
    pub fn paint<D: Draw>(&mut self, by: &mut D, scene: &Scene) -> Result<Option<gst::Buffer>, Failure> {
        let elements = scene.elements(by.renderer());
        let (changed, _) = self.changes.damage_output(1, &elements).map_err(Failure::picture)?;
        if changed.is_none() && self.last.is_some() {
            return Ok(None);
        }
        // The last picture is of no more use, and its memory may be.
        self.last = None;
        let Canvas { buffer, age } = self.buffers.acquire().map_err(Failure::picture)?;
        let (buffer, drawn) = match buffer.into_mapped_buffer_writable() {
            Ok(mut memory) => {
                let drawn = by.draw(&self.frame, memory.as_mut_slice(), age, &mut self.repairs, &elements);
                (memory.into_buffer(), drawn)
            }
            Err(buffer) => (buffer, Err(Failure::picture("memory cannot be written"))),
        };
        let canvas = Canvas { buffer, age };
        if let Err(failure) = drawn {
            self.buffers.discard(canvas);
            // What was drawn before the fault is not known: without a history all is drawn again.
            (self.changes, self.repairs) = (tracker(self.frame.mode), tracker(self.frame.mode));
            return Err(failure);
        }
        let buffer = self.buffers.present(canvas);
        self.last = Some(buffer.copy());
        Ok(Some(buffer))
    }
}

fn tracker(mode: Mode) -> OutputDamageTracker {
    OutputDamageTracker::new((mode.width, mode.height), 1.0, Transform::Normal)
}
