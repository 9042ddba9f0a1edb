//! A compositor in this very process: `waylandsrc`, which is its own capture. It works wherever GStreamer does, without
//! desktop, monitor and GPU.

use super::{Created, VirtualOutputs};
use crate::pipeline::description::{CaptureDescription, Mode};
use crate::pipeline::output::VirtualOutput;
use futures_util::future::BoxFuture;
use std::ffi::OsString;
use std::future::ready;
use std::path::PathBuf;

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
        self.0.common.obstacle.clone().or_else(|| no_sockets(std::env::var_os("XDG_RUNTIME_DIR")))
    }

    fn create(&self, _: Mode) -> BoxFuture<'_, anyhow::Result<Created>> {
        Box::pin(ready(Ok(created(self.0.clone()))))
    }
}

/// Why programs cannot reach displays whose sockets lie in this folder.
fn no_sockets(folder: Option<OsString>) -> Option<String> {
    let Some(folder) = folder.map(PathBuf::from).filter(|folder| folder.is_absolute()) else {
        return Some(
            "XDG_RUNTIME_DIR is not set to an absolute path; it says where the sockets of displays lie"
                .into(),
        );
    };
    (!folder.is_dir()).then(|| format!("there is no folder {} (XDG_RUNTIME_DIR)", folder.display()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_need_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(no_sockets(Some(folder.path().into())), None);
        for (wrong, reason) in
            [(None, "not set"), (Some("run"), "absolute"), (Some("/nowhere/run"), "/nowhere/run")]
        {
            let said = no_sockets(wrong.map(OsString::from)).unwrap();
            assert!(said.contains("XDG_RUNTIME_DIR") && said.contains(reason), "{said}");
        }
    }
}
