//! Who looks at which source.
//!
//! A source that follows its client belongs to one session and goes with it. Any other shows what is there anyway:
//! all sessions share it, and it outlives them, so that a desktop is asked for its consent and its first frame once.

use crate::pipeline::capture::CaptureSpec;
use crate::pipeline::description::{CaptureDescription, Mode};
use crate::pipeline::rebuild::Limits;
use crate::pipeline::source::{Health, Looking, Source};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// The sources of this host.
pub struct Captures {
    description: CaptureDescription,
    state_dir: PathBuf,
    shared: Mutex<Option<Arc<Source>>>,
}

/// What a session looks at.
pub struct View {
    pub source: Arc<Source>,
    /// News since the session looks.
    pub health: watch::Receiver<Health>,
    /// It ends with the session.
    own: bool,
    _looking: Looking,
}

impl View {
    fn of(source: Arc<Source>, own: bool) -> View {
        let (mut health, looking) = (source.health(), source.look());
        // What others saw is no news, unless it is the last.
        if !matches!(*health.borrow(), Health::Over(_)) {
            health.mark_unchanged();
        }
        View { source, health, own, _looking: looking }
    }

    /// Ends a source of the session's own; a shared one stays.
    pub async fn close(self) {
        if self.own {
            self.source.close().await;
        }
    }
}

impl Captures {
    pub fn new(description: CaptureDescription, state_dir: PathBuf) -> Self {
        Self { description, state_dir, shared: Mutex::new(None) }
    }

    /// The source for a session of `mode`: a new one, or the one that all share.
    pub async fn open(&self, mode: Mode) -> anyhow::Result<View> {
        if self.description.follows_client() {
            return Ok(View::of(self.start(mode).await?, true));
        }
        let mut shared = self.shared.lock().await;
        if let Some(source) = &*shared {
            let view = View::of(source.clone(), false);
            let over = match &*view.health.borrow() {
                Health::Over(reason) => Some(reason.clone()),
                _ => None,
            };
            let Some(reason) = over else { return Ok(view) };
            tracing::info!("capture {}: {reason}; started again", self.description.common.name);
            source.close().await;
        }
        let source = shared.insert(self.start(mode).await?);
        Ok(View::of(source.clone(), false))
    }

    /// Ends the shared source.
    pub async fn close(&self) {
        if let Some(source) = self.shared.lock().await.take() {
            source.close().await;
        }
    }

    async fn start(&self, mode: Mode) -> anyhow::Result<Arc<Source>> {
        let spec =
            CaptureSpec { description: self.description.clone(), mode, state_dir: self.state_dir.clone() };
        Ok(Arc::new(Source::start(spec, Limits::default()).await?))
    }
}
