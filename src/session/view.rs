//! What one session looks at, through every switch.

use super::captures::Entered;
use crate::desktop::apps::process::Environment;
use crate::desktop::portal::Region;
use crate::desktop::sink::Sink;
use crate::input::{Size, SizeOf};
use crate::pipeline::description::{CaptureDescription, Describes, Mode, Takes};
use crate::pipeline::display::Display;
use crate::pipeline::frames::Attached;
use crate::pipeline::source::{Health, Looking, Source};
use crate::pipeline::upstream::Upstream;
use crate::protocol::rtsp::SessionId;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A source that is looked at.
pub(super) struct Look {
    description: CaptureDescription,
    /// What apps are told that are to show themselves there.
    environment: Environment,
    pub source: Arc<Source>,
    /// It is somebody else's.
    is_guest: bool,
    _looking: Looking,
}

/// A display, apart from the session that looks at it.
#[derive(Clone)]
pub(super) struct Held {
    pub description: CaptureDescription,
    pub environment: Environment,
    pub source: Arc<Source>,
    /// The last of its client's that looked, and in which mode.
    pub session: SessionId,
    pub mode: Mode,
    /// It was what is on, and not there for an app alone.
    pub entered: bool,
    pub sink: Option<Arc<Sink>>,
}

impl Look {
    pub fn new(description: &CaptureDescription, source: Arc<Source>) -> Look {
        let (description, environment) = (description.clone(), Environment::new());
        Look { description, environment, _looking: source.look(), source, is_guest: false }
    }

    pub fn with_environment(self, environment: Environment) -> Look {
        Look { environment, ..self }
    }

    /// At a display of somebody else's.
    pub fn as_guest(held: Held) -> Look {
        Look { is_guest: true, ..Look::new(&held.description, held.source) }
    }

    /// Of its description.
    pub fn name(&self) -> &str {
        self.description.name()
    }

    /// It belongs to one session.
    pub fn is_own(&self) -> bool {
        self.description.follows_client() && !self.is_guest
    }

    /// The session's apps show themselves there.
    fn is_display(&self) -> bool {
        self.description.opens_display() && !self.is_guest
    }

    /// Why it shows nothing new at present, if that is so.
    pub fn loss(&self) -> Option<String> {
        match &*self.source.health().borrow() {
            Health::Stands(reason) | Health::Over(reason) => Some(reason.clone()),
            Health::Runs | Health::Rebuilt(_) => None,
        }
    }

    /// What becomes of it from now on.
    fn news(&self) -> watch::Receiver<Health> {
        let mut health = self.source.health();
        // What others saw is no news, unless it is the last.
        if !matches!(*health.borrow(), Health::Over(_)) {
            health.mark_unchanged();
        }
        health
    }
}

/// What feels what a player does, and how large what is shown of it is by now.
pub(super) enum Feels {
    /// A display that takes events of its capture.
    Display(Upstream, SizeOf),
    /// This part of the desktop of the session that this process runs in.
    OwnDesktop(Option<Region>, SizeOf),
    /// Whoever reads the devices of this machine.
    Devices(SizeOf),
    Nothing,
}

fn size_of(caps: &gst::CapsRef) -> Option<Size> {
    let length =
        |name| caps.structure(0)?.get::<i32>(name).ok().and_then(|length| u32::try_from(length).ok());
    Some(Size { width: length("width")?, height: length("height")? })
}

/// What a session looks at now.
pub(super) struct View {
    look: Look,
    /// News since the session looks there.
    pub health: watch::Receiver<Health>,
    /// What it has to look at instead, to be handed to [`View::follow`].
    pub moves: mpsc::UnboundedReceiver<Look>,
    viewer: Option<(gst_app::AppSrc, Attached)>,
    /// Sources of its own that are being closed.
    left: TaskTracker,
    /// None of a display that stays with its session.
    entered: Option<Entered>,
    /// What the apps of a display are heard on, for nobody else.
    sink: Option<Arc<Sink>>,
}

impl View {
    pub fn new(look: Look, moves: mpsc::UnboundedReceiver<Look>, entered: Entered) -> View {
        View { entered: Some(entered), ..Self::of(look, moves) }
    }

    /// One that no switch moves.
    pub fn alone(look: Look) -> View {
        Self::of(look, mpsc::unbounded_channel().1)
    }

    fn of(look: Look, moves: mpsc::UnboundedReceiver<Look>) -> View {
        let (health, left) = (look.news(), TaskTracker::new());
        View { look, health, moves, viewer: None, left, entered: None, sink: None }
    }

    pub fn with_sink(self, sink: Option<Arc<Sink>>) -> View {
        View { sink, ..self }
    }

    /// The name of the sink that the apps of this display play to, if it has one.
    pub fn sink(&self) -> Option<&str> {
        self.sink.as_deref().map(Sink::name)
    }

    /// Where the session's apps can show themselves, as soon as that is known; none if they show themselves on what is
    /// there anyway.
    pub fn display(&self) -> Option<watch::Receiver<Option<Display>>> {
        self.look.is_display().then(|| self.look.source.display())
    }

    /// What the session's apps are told to show themselves there, besides the names of the display.
    pub fn environment(&self) -> &Environment {
        &self.look.environment
    }

    /// What it looks at is somebody else's.
    pub fn is_guest(&self) -> bool {
        self.look.is_guest
    }

    /// Cancelled when somebody else's display goes.
    pub fn gone(&self) -> CancellationToken {
        if self.look.is_guest { self.look.source.stopped() } else { CancellationToken::new() }
    }

    /// Name of the description that is shown.
    pub fn name(&self) -> &str {
        self.look.name()
    }

    pub fn source(&self) -> &Source {
        &self.look.source
    }

    pub fn feels(&self) -> Feels {
        let Look { description, source, .. } = &self.look;
        // Who plays does not keep the source.
        let shown = Arc::downgrade(source);
        let size: SizeOf = Arc::new(move || {
            let caps = shown.upgrade()?.caps()?;
            size_of(&caps)
        });
        if description.input == Some(Takes::Uinput) {
            Feels::Devices(size)
        } else if description.opens_display() {
            Feels::Display(source.upstream(), size)
        } else if description.uses_portal() && description.bus.is_none() {
            Feels::OwnDesktop(source.upstream().region(), size)
        } else {
            Feels::Nothing
        }
    }

    /// Gives `viewer` the last frame at once and every later one, until [`View::detach`].
    pub fn attach(&mut self, viewer: &gst_app::AppSrc) {
        self.viewer = Some((viewer.clone(), self.look.source.attach(viewer)));
    }

    pub fn detach(&mut self) {
        self.viewer = None;
    }

    /// Looks at this from now on: its last frame is the next one that the viewer gets.
    pub fn follow(&mut self, look: Look) {
        if let Some((viewer, attached)) = self.viewer.take() {
            // First, so that no frame of the old source comes after one of the new.
            drop(attached);
            self.viewer = Some((viewer.clone(), look.source.attach(&viewer)));
        }
        self.health = look.news();
        let before = std::mem::replace(&mut self.look, look);
        if before.is_own() {
            self.left.spawn(async move { before.source.close().await });
        }
    }

    /// The display that a session looks at.
    pub fn held(&self, session: SessionId, mode: Mode) -> Held {
        let Look { description, environment, source, .. } = &self.look;
        let (description, environment) = (description.clone(), environment.clone());
        let (source, sink, entered) = (source.clone(), self.sink.clone(), self.entered.is_some());
        Held { description, environment, source, session, mode, entered, sink }
    }

    /// Ends the sources of the session's own; a shared one stays.
    pub async fn close(mut self) {
        self.detach();
        drop(self.entered);
        let mut own = vec![self.look];
        while let Ok(look) = self.moves.try_recv() {
            own.push(look);
        }
        for look in own.into_iter().filter(Look::is_own) {
            look.source.close().await;
        }
        self.left.close();
        self.left.wait().await;
    }
}
