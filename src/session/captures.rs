//! Who may look at which capture.
//!
//! A capture that follows its client belongs to one session and goes with it. Any other shows what is there anyway:
//! all sessions share it, and it outlives them, so that a desktop is asked for its consent and its first frame once.

use crate::pipeline::capture::{Capture, CaptureSpec};
use crate::pipeline::description::{CaptureDescription, Mode};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};

/// The captures of this host.
pub struct Captures {
    description: CaptureDescription,
    state_dir: PathBuf,
    shared: Mutex<Option<Arc<Capture>>>,
}

/// What a session looks at.
pub enum Source {
    Own(Capture),
    Shared(Arc<Capture>),
}

impl Source {
    pub fn capture(&self) -> &Capture {
        match self {
            Self::Own(capture) => capture,
            Self::Shared(capture) => capture,
        }
    }

    /// Ends a capture of the session's own; a shared one stays.
    pub async fn close(self) {
        if let Self::Own(capture) = self {
            capture.close().await;
        }
    }
}

impl Captures {
    pub fn new(description: CaptureDescription, state_dir: PathBuf) -> Self {
        Self { description, state_dir, shared: Mutex::new(None) }
    }

    /// The capture for a session of `mode`: a new one, or the one that all share.
    pub async fn open(&self, mode: Mode) -> anyhow::Result<Source> {
        if self.description.follows_client() {
            return Ok(Source::Own(self.start(mode).await?));
        }
        let mut shared = self.shared.lock().await;
        let lost = shared.as_ref().and_then(|capture| capture.lost().borrow().clone());
        if let Some(reason) = lost {
            tracing::info!("capture {}: {reason}; started again", self.description.common.name);
            self.close_shared(&mut shared).await;
        }
        let capture = match &*shared {
            Some(capture) => capture.clone(),
            None => shared.insert(Arc::new(self.start(mode).await?)).clone(),
        };
        Ok(Source::Shared(capture))
    }

    /// Ends the shared capture.
    pub async fn close(&self) {
        self.close_shared(&mut *self.shared.lock().await).await;
    }

    async fn close_shared(&self, shared: &mut Option<Arc<Capture>>) {
        // A session that still looks at it keeps it until the session ends, and drops it then.
        if let Some(capture) = shared.take().and_then(Arc::into_inner) {
            capture.close().await;
        }
    }

    async fn start(&self, mode: Mode) -> anyhow::Result<Capture> {
        let name = self.description.common.name.clone();
        let (report, mut events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                tracing::debug!("capture {name}: {event:?}");
            }
        });
        let spec =
            CaptureSpec { description: self.description.clone(), mode, state_dir: self.state_dir.clone() };
        Capture::start(spec, report).await
    }
}
