//! A compositor in this very process: `waylandsrc`, which is its own capture. It works wherever GStreamer does, without
//! desktop, monitor and GPU.

use super::{Created, VirtualOutputs};
use crate::pipeline::description::{CaptureDescription, Mode};
use crate::pipeline::output::VirtualOutput;
use futures_util::future::BoxFuture;
use std::future::ready;

pub(super) struct Compositor(CaptureDescription);

impl Compositor {
    pub fn new(description: CaptureDescription) -> Self {
        Self(description)
    }
}

impl VirtualOutputs for Compositor {
    fn name(&self) -> &'static str {
        "compositor"
    }

    fn obstacle(&self) -> Option<String> {
        self.0.common.obstacle.clone()
    }

    fn create(&self, _: Mode) -> BoxFuture<'_, anyhow::Result<Created>> {
        Box::pin(ready(Ok(created(self.0.clone()))))
    }
}

/// The display is there once its capture runs, and says its names then.
pub(super) fn created(capture: CaptureDescription) -> Created {
    let environment =
        vec![("XDG_SESSION_TYPE".into(), Some("wayland".into())), ("WAYLAND_SOCKET".into(), None)];
    Created { capture, environment, output: Box::new(WithItsCapture) }
}

/// Its size is that of the capture's caps, and it ends with the capture.
struct WithItsCapture;

impl VirtualOutput for WithItsCapture {
    fn resize(&mut self, _: Mode) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(ready(Ok(())))
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(ready(()))
    }
}
