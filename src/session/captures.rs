//! Who may look at which capture.
//!
//! A capture that follows its client belongs to one session and goes with it. Any other shows what is there anyway:
//! all sessions share it, and it outlives them, so that a desktop is asked for its consent and its first frame once.

use crate::pipeline::capture::{Capture, CaptureEvent, CaptureSpec};
use crate::pipeline::description::{CaptureDescription, Mode};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};

/// The captures of this host.
pub struct Captures {
    description: CaptureDescription,
    state_dir: PathBuf,
    shared: Mutex<Option<Shared>>,
}

struct Shared {
    capture: Arc<Capture>,
    events: mpsc::UnboundedReceiver<CaptureEvent>,
}

/// What a session looks at.
pub enum Source {
    Own(Capture, mpsc::UnboundedReceiver<CaptureEvent>),
    Shared(Arc<Capture>),
}

impl Source {
    pub fn capture(&self) -> &Capture {
        match self {
            Self::Own(capture, _) => capture,
            Self::Shared(capture) => capture,
        }
    }

    /// The next report of a capture of the session's own; never ends for a shared one.
    pub async fn event(&mut self) -> CaptureEvent {
        match self {
            Self::Own(_, events) => match events.recv().await {
                Some(event) => event,
                None => std::future::pending().await,
            },
            Self::Shared(_) => std::future::pending().await,
        }
    }

    /// Ends a capture of the session's own; a shared one stays.
    pub async fn close(self) {
        if let Self::Own(capture, _) = self {
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
            let (capture, events) = self.start(mode).await?;
            return Ok(Source::Own(capture, events));
        }
        let mut shared = self.shared.lock().await;
        if let Some(lost) = shared.as_mut().and_then(Shared::lost) {
            tracing::info!("capture {}: {lost}; started again", self.description.common.name);
            self.close_shared(&mut shared).await;
        }
        if shared.is_none() {
            let (capture, events) = self.start(mode).await?;
            *shared = Some(Shared { capture: Arc::new(capture), events });
        }
        let shared = shared.as_ref().expect("it was just put there");
        Ok(Source::Shared(shared.capture.clone()))
    }

    /// Ends the shared capture.
    pub async fn close(&self) {
        self.close_shared(&mut *self.shared.lock().await).await;
    }

    async fn close_shared(&self, shared: &mut Option<Shared>) {
        // A session that still looks at it keeps it until the session ends, and drops it then.
        if let Some(capture) = shared.take().and_then(|shared| Arc::into_inner(shared.capture)) {
            capture.close().await;
        }
    }

    async fn start(&self, mode: Mode) -> anyhow::Result<(Capture, mpsc::UnboundedReceiver<CaptureEvent>)> {
        let (report, events) = mpsc::unbounded_channel();
        let spec =
            CaptureSpec { description: self.description.clone(), mode, state_dir: self.state_dir.clone() };
        Ok((Capture::start(spec, report).await?, events))
    }
}

impl Shared {
    /// Why the capture is over, if it is.
    fn lost(&mut self) -> Option<String> {
        while let Ok(event) = self.events.try_recv() {
            if let CaptureEvent::Lost(reason) = event {
                return Some(reason);
            }
        }
        None
    }
}
