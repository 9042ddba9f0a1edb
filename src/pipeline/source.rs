//! What streams look at: one capture after the other. A lost one is built again while its last picture stays; when the
//! budget for that is spent ([`super::rebuild`]), the source is over. While nobody looks, it pauses ([`super::idle`]).

use super::capture::Recipe;
use super::description::Mode;
use super::display::Display;
use super::frames::{Attached, Frames};
use super::keeper::{Keeper, Lookers, Resize};
use super::output::VirtualOutput;
use super::rebuild::Limits;
use super::upstream::Upstream;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How a source fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Its first capture runs.
    Runs,
    /// The capture is lost, for this reason: the last picture stays while another is built.
    Stands(String),
    /// Another capture shows something; how often that happened.
    Rebuilt(u64),
    /// It does not come back, for this reason.
    Over(String),
}

/// A picture that goes on. Dropping it ends it too; [`Source::close`] waits for the end.
pub struct Source {
    frames: Frames,
    upstream: Upstream,
    health: watch::Receiver<Health>,
    display: watch::Receiver<Option<Display>>,
    looking: Arc<watch::Sender<Lookers>>,
    resizes: mpsc::UnboundedSender<Resize>,
    /// Cancelled by the first frame.
    shown: CancellationToken,
    stop: CancellationToken,
    /// Cancelled when nothing of it is left.
    gone: CancellationToken,
    _stop_on_drop: DropGuard,
}

/// Somebody looks: only then are pictures taken, and a lost capture is built again.
pub struct Looking(Arc<watch::Sender<Lookers>>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.send_modify(|lookers| lookers.now -= 1);
    }
}

impl Source {
    /// Starts the first capture; one that does not start is an error.
    pub async fn start(recipe: impl Into<Recipe>, limits: Limits) -> anyhow::Result<Source> {
        Self::start_with(Keeper::new(recipe.into(), limits)).await
    }

    /// As [`Source::start`], of an output that goes with it, or with the error.
    pub async fn start_on(
        output: Box<dyn VirtualOutput>,
        recipe: impl Into<Recipe>,
        limits: Limits,
    ) -> anyhow::Result<Source> {
        Self::start_with(Keeper::new(recipe.into(), limits).with(output)).await
    }

    async fn start_with(mut keeper: Keeper) -> anyhow::Result<Source> {
        match keeper.start_first().await {
            Ok(()) => Ok(Self::of(keeper)),
            Err(error) => {
                keeper.close().await;
                Err(error)
            }
        }
    }

    /// Begins with a capture that is lost for this reason, for somebody who looks already.
    pub fn lost(recipe: impl Into<Recipe>, limits: Limits, reason: String) -> (Source, Looking) {
        let mut keeper = Keeper::new(recipe.into(), limits);
        keeper.begin_lost(reason);
        let looking = look(&keeper.looking);
        (Self::of(keeper), looking)
    }

    fn of(keeper: Keeper) -> Source {
        let (stop, gone) = (CancellationToken::new(), CancellationToken::new());
        let source = Self {
            frames: keeper.frames.clone(),
            upstream: keeper.upstream.clone(),
            health: keeper.health.subscribe(),
            display: keeper.display.subscribe(),
            looking: keeper.looking.clone(),
            resizes: keeper.ask_to_resize.clone(),
            shown: keeper.shown.clone(),
            stop: stop.clone(),
            gone: gone.clone(),
            _stop_on_drop: stop.clone().drop_guard(),
        };
        tokio::spawn(async move {
            // A fault in here must not keep anybody waiting.
            let _gone = gone.drop_guard();
            keeper.run(stop).await;
        });
        source
    }

    /// Gives `viewer` the last frame at once and every later one, whatever capture it comes from.
    pub fn attach(&self, viewer: &gst_app::AppSrc) -> Attached {
        self.frames.attach(viewer)
    }

    /// Gives `viewer` this picture if no frame was ever captured; none can come in between. True if it did.
    pub fn show_if_nothing(&self, viewer: &gst_app::AppSrc, sample: &gst::Sample) -> bool {
        self.frames.show_if_nothing(viewer, sample)
    }

    /// Caps of the last frame.
    pub fn caps(&self) -> Option<gst::Caps> {
        self.frames.caps()
    }

    /// Where events go for what captures it, whichever capture that is.
    pub fn upstream(&self) -> Upstream {
        self.upstream.clone()
    }

    /// Says that somebody looks, until the answer is dropped.
    pub fn look(&self) -> Looking {
        look(&self.looking)
    }

    /// Shows what it shows in another mode from now on: what is like `before` in its caps filters becomes as in `recipe`.
    pub fn resize(&self, recipe: impl Into<Recipe>, before: Mode, after: Mode) {
        if self.resizes.send(Resize { recipe: recipe.into(), before, after }).is_err() {
            tracing::debug!("a source that is over shows nothing in another mode");
        }
    }

    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Why it does not come back, if that is so.
    pub fn why_over(&self) -> Option<String> {
        match &*self.health.borrow() {
            Health::Over(reason) => Some(reason.clone()),
            Health::Runs | Health::Stands(_) | Health::Rebuilt(_) => None,
        }
    }

    /// Where apps can show themselves, while there is a capture that is a display.
    pub fn display(&self) -> watch::Receiver<Option<Display>> {
        self.display.clone()
    }

    /// Waits for the first frame; the reason if the capture is lost before.
    pub async fn shows(&self) -> Result<(), String> {
        let mut health = self.health();
        let lost = async {
            let lost = health.wait_for(|health| matches!(health, Health::Stands(_) | Health::Over(_))).await;
            match lost.as_deref() {
                Ok(Health::Stands(reason) | Health::Over(reason)) => reason.clone(),
                _ => "the source is closed".into(),
            }
        };
        tokio::select! {
            biased;
            () = self.shown.cancelled() => Ok(()),
            reason = lost => Err(reason),
        }
    }

    /// Cancelled when it is to end.
    pub fn stopped(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Ends it, and waits until every thread of it is gone.
    pub async fn close(&self) {
        self.stop.cancel();
        self.gone.cancelled().await;
    }
}

fn look(looking: &Arc<watch::Sender<Lookers>>) -> Looking {
    looking.send_modify(|lookers| *lookers = Lookers { now: lookers.now + 1, ever: true });
    Looking(looking.clone())
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
