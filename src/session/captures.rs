//! Who looks at which source.
//!
//! A source that follows its client belongs to one session and goes with it. Any other shows what is there anyway:
//! all sessions share it, and it outlives them, so that a desktop is asked for its consent and its first frame once.
//!
//! A switch starts the sources that the other description needs, one for all or one for each session. Once every one of
//! them shows something all sessions are moved to them, in one step, and what they looked at before is closed. If one
//! does not, nobody has noticed anything.

use super::view::{Held, Look, View};
use crate::outputs::{self, Created, Outputs, VIRTUAL};
use crate::pipeline::capture::CaptureSpec;
use crate::pipeline::description::{CaptureDescription, Describes, Mode};
use crate::pipeline::library;
use crate::pipeline::rebuild::Limits;
use crate::pipeline::source::Source;
use crate::servers::admin::{SWITCH_LIMIT, Switched};
use anyhow::{anyhow, bail};
use std::collections::BTreeMap;
use std::future::pending;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The sources of this host.
pub struct Captures {
    library: BTreeMap<String, CaptureDescription>,
    outputs: Outputs,
    state_dir: PathBuf,
    now: Arc<Mutex<Now>>,
    /// Held while the shared source is started, so that there is one.
    starting: tokio::sync::Mutex<()>,
    /// Sources that nobody looks at any more.
    closing: TaskTracker,
}

/// What is on.
struct Now {
    description: CaptureDescription,
    shared: Option<Arc<Source>>,
    sessions: BTreeMap<u64, Session>,
    entered: u64,
    /// Ends the switch that is under way; nothing once the host ends.
    switch: Option<CancellationToken>,
}

/// Somebody who looks.
struct Session {
    mode: Mode,
    moves: mpsc::UnboundedSender<Look>,
}

/// Keeps a session among those who look, until it is dropped.
pub(super) struct Entered {
    now: Arc<Mutex<Now>>,
    id: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        lock(&self.now).sessions.remove(&self.id);
    }
}

/// Sources that a switch has made ready, by session; the one for all has no session.
type Ready = BTreeMap<Option<u64>, Look>;

impl Captures {
    /// Begins with the source of this name.
    pub fn new(
        library: BTreeMap<String, CaptureDescription>,
        source: &str,
        state_dir: PathBuf,
    ) -> anyhow::Result<Self> {
        let now = Now {
            description: library::named(&library, source, "source")?,
            shared: None,
            sessions: BTreeMap::new(),
            entered: 0,
            switch: Some(CancellationToken::new()),
        };
        let (starting, closing) = (tokio::sync::Mutex::new(()), TaskTracker::new());
        let outputs = Outputs::new(&library);
        Ok(Self { library, outputs, state_dir, now: Arc::new(Mutex::new(now)), starting, closing })
    }

    /// The source for a session of `mode`: a new one, or the one that all share.
    pub(super) async fn open(&self, mode: Mode) -> anyhow::Result<View> {
        loop {
            let description = self.now().description.clone();
            let view = match description.follows_client() {
                true => self.open_own(&description, mode).await,
                false => self.open_shared(&description, mode).await,
            };
            match view {
                Ok(Some(view)) => return Ok(view),
                Err(error) if self.is_on(&description) => return Err(error),
                // Another one is on meanwhile.
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// A display of the session's own, whatever is on.
    pub(super) async fn open_isolated(&self, mode: Mode) -> anyhow::Result<View> {
        let created = self.outputs.create(mode).await?;
        Ok(View::alone(self.start_on(created, mode).await?))
    }

    /// Looks again at a display that its session left, with `mode` from now on.
    pub(super) fn return_to(&self, held: Held, mode: Mode) -> View {
        let Held { description, environment, source, mode: before, entered, sink, .. } = held;
        if mode != before {
            source.resize(self.spec(&description, mode), before, mode);
        }
        let look = Look::new(&description, source).with_environment(environment);
        let entered = if entered { self.now().enter(&look, mode) } else { None };
        let view = match entered {
            Some((id, moves)) => View::new(look, moves, Entered { now: self.now.clone(), id }),
            None => View::alone(look),
        };
        view.with_sink(sink)
    }

    /// Whether each session gets a display of its own.
    pub(super) fn open_displays(&self) -> bool {
        self.now().description.opens_display()
    }

    /// Why no output can be made.
    pub(super) fn output_obstacle(&self) -> Option<String> {
        self.outputs.obstacle()
    }

    /// Shows the source of this name to all who look, at the modes they have, and to those who come later. The last of
    /// two switches counts. On an error nothing has changed.
    pub async fn switch(&self, name: &str) -> anyhow::Result<Switched> {
        let description = library::named(&self.library, name, "source")?;
        let Some(ended) = self.begin_switch(name)? else { return Ok(Switched::ShownAlready) };
        tracing::info!("a switch to the source {name} begins");
        let mut ready = Ready::new();
        let result = tokio::select! {
            biased;
            () = ended.cancelled() => Err(self.given_up()),
            result = timeout(SWITCH_LIMIT, self.move_all(&description, &mut ready, &ended)) => {
                let late = || anyhow!("source {name} shows nothing within {} s", SWITCH_LIMIT.as_secs());
                result.unwrap_or_else(|_| Err(late()))
            }
        };
        // Those of a switch that failed, and of sessions that ended meanwhile.
        ready.into_values().for_each(|look| self.close_later(look.source));
        match &result {
            Ok(players) => tracing::info!("the source is {name} now, {players} look at it"),
            Err(error) => tracing::warn!("no switch to the source {name}: {error:#}"),
        }
        Ok(Switched::Done { players: result? })
    }

    /// Ends the shared source, and a switch that is under way.
    pub async fn close(&self) {
        let shared = {
            let mut now = self.now();
            if let Some(under_way) = now.switch.take() {
                under_way.cancel();
            }
            now.shared.take()
        };
        if let Some(source) = shared {
            source.close().await;
        }
        self.closing.close();
        self.closing.wait().await;
    }

    async fn open_own(&self, description: &CaptureDescription, mode: Mode) -> anyhow::Result<Option<View>> {
        let look = match description.opens_display() {
            true if description.name() == VIRTUAL => {
                self.start_on(self.outputs.create(mode).await?, mode).await?
            }
            true => self.start_on(outputs::of_description(description), mode).await?,
            false => Look::new(description, self.start(description, mode).await?),
        };
        Ok(self.enter(look, mode).await)
    }

    async fn open_shared(
        &self,
        description: &CaptureDescription,
        mode: Mode,
    ) -> anyhow::Result<Option<View>> {
        let _starting = self.starting.lock().await;
        let shared = self.now().shared.clone();
        if let Some(source) = shared {
            let Some(reason) = source.why_over() else {
                return Ok(self.enter(Look::new(description, source), mode).await);
            };
            tracing::info!("capture {}: {reason}; started again", description.name());
            self.now().shared.take_if(|shared| Arc::ptr_eq(shared, &source));
            source.close().await;
        }
        let source = self.start(description, mode).await?;
        Ok(self.enter(Look::new(description, source), mode).await)
    }

    /// Lets a session look there; not at what a switch has taken away meanwhile, which is closed.
    async fn enter(&self, look: Look, mode: Mode) -> Option<View> {
        let entered = self.now().enter(&look, mode);
        let Some((id, moves)) = entered else {
            look.source.close().await;
            return None;
        };
        Some(View::new(look, moves, Entered { now: self.now.clone(), id }))
    }

    /// Cancels the switch before; nothing if this source is on already.
    fn begin_switch(&self, name: &str) -> anyhow::Result<Option<CancellationToken>> {
        let mut now = self.now();
        let Some(before) = &now.switch else { bail!("the host ends") };
        before.cancel();
        let ended = CancellationToken::new();
        now.switch = Some(ended.clone());
        Ok((now.description.name() != name).then_some(ended))
    }

    /// Starts what is missing in `ready`, waits until it shows something, and moves everybody there; says how many.
    async fn move_all(
        &self,
        description: &CaptureDescription,
        ready: &mut Ready,
        ended: &CancellationToken,
    ) -> anyhow::Result<usize> {
        loop {
            let step = self.now().take_step(description, ready, ended)?;
            let missing = match step {
                Step::Start(missing) => missing,
                Step::Moved { players, left } => {
                    left.into_iter().for_each(|source| self.close_later(source));
                    return Ok(players);
                }
            };
            for (session, mode) in missing {
                let source = self.start(description, mode).await?;
                ready.insert(session, Look::new(description, source));
            }
            for (session, look) in ready.iter() {
                self.wait_until_it_shows(*session, look).await?;
            }
        }
    }

    /// Or until the session that it is for is over.
    async fn wait_until_it_shows(&self, session: Option<u64>, look: &Look) -> anyhow::Result<()> {
        let moves = session.map(|id| self.now().sessions.get(&id).map(|session| session.moves.clone()));
        let over = async {
            match moves {
                Some(Some(moves)) => moves.closed().await,
                Some(None) => {}
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = over => Ok(()),
            shown = look.source.shows() => shown.map_err(|reason| anyhow!("capture {}: {reason}", look.name())),
        }
    }

    async fn start(&self, description: &CaptureDescription, mode: Mode) -> anyhow::Result<Arc<Source>> {
        Ok(Arc::new(Source::start(self.spec(description, mode), Limits::default()).await?))
    }

    /// Shows an output that was created for this.
    async fn start_on(&self, created: Created, mode: Mode) -> anyhow::Result<Look> {
        let Created { capture, environment, output } = created;
        let source = Source::start_on(output, self.spec(&capture, mode), Limits::default()).await?;
        Ok(Look::new(&capture, Arc::new(source)).with_environment(environment))
    }

    fn spec(&self, description: &CaptureDescription, mode: Mode) -> CaptureSpec {
        CaptureSpec { description: description.clone(), mode, state_dir: self.state_dir.clone() }
    }

    fn given_up(&self) -> anyhow::Error {
        match self.now().switch {
            Some(_) => anyhow!("another switch came"),
            None => anyhow!("the host ends"),
        }
    }

    fn close_later(&self, source: Arc<Source>) {
        self.closing.spawn(async move { source.close().await });
    }

    fn is_on(&self, description: &CaptureDescription) -> bool {
        self.now().description.name() == description.name()
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        lock(&self.now)
    }
}

/// What a switch does next.
enum Step {
    /// Start these.
    Start(Vec<(Option<u64>, Mode)>),
    /// Nothing: so many sessions are moved. This one was shared by them.
    Moved { players: usize, left: Option<Arc<Source>> },
}

impl Now {
    /// Enters a session that looks at this; not if something else is on.
    fn enter(&mut self, look: &Look, mode: Mode) -> Option<(u64, mpsc::UnboundedReceiver<Look>)> {
        let another = |shared: &Arc<Source>| !Arc::ptr_eq(shared, &look.source);
        if self.description.name() != look.name()
            || (!look.is_own() && self.shared.as_ref().is_some_and(another))
        {
            return None;
        }
        if !look.is_own() {
            self.shared = Some(look.source.clone());
        }
        let (moves, moved) = mpsc::unbounded_channel();
        self.entered += 1;
        self.sessions.insert(self.entered, Session { mode, moves });
        Some((self.entered, moved))
    }

    /// Moves all sessions to what is `ready` if that is enough.
    fn take_step(
        &mut self,
        description: &CaptureDescription,
        ready: &mut Ready,
        ended: &CancellationToken,
    ) -> anyhow::Result<Step> {
        if ended.is_cancelled() {
            bail!("another switch came");
        }
        // Apps stay where they were shown.
        let has_display = self.description.opens_display() || description.opens_display();
        if has_display && !self.sessions.is_empty() {
            bail!(
                "players have displays of their own, with apps on them: this has to wait until they have left"
            );
        }
        let own = description.follows_client();
        let key = |session: &u64| own.then_some(*session);
        let missing: BTreeMap<_, _> = (self.sessions.iter())
            .filter(|(session, _)| !ready.contains_key(&key(session)))
            .map(|(session, Session { mode, .. })| (key(session), *mode))
            .collect();
        if !missing.is_empty() {
            return Ok(Step::Start(missing.into_iter().collect()));
        }
        let is_for_somebody =
            |session: &Option<u64>| session.is_none_or(|id| self.sessions.contains_key(&id));
        let mut looks = ready.iter().filter(|(session, _)| is_for_somebody(session));
        if let Some(reason) = looks.find_map(|(_, look)| look.loss()) {
            bail!("capture {}: {reason}", description.name());
        }
        self.description = description.clone();
        let left = self.shared.take();
        self.shared = ready.get(&None).map(|look| look.source.clone());
        for (session, Session { moves, .. }) in &self.sessions {
            let look = match &self.shared {
                Some(shared) => Look::new(description, shared.clone()),
                None => ready.remove(&Some(*session)).expect("none is missing"),
            };
            // Who ends at this moment needs none.
            let _ = moves.send(look);
        }
        ready.remove(&None);
        Ok(Step::Moved { players: self.sessions.len(), left })
    }
}

fn lock(now: &Mutex<Now>) -> MutexGuard<'_, Now> {
    now.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "captures_tests.rs"]
mod tests;
