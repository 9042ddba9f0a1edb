//! Whose display is where in its life. Decides only: [`super::keep`] holds the displays and brings the time.
//!
//! A display belongs to one client. It is active while a session of the client shows it. When the client leaves without
//! quitting it lingers, app and all, for the same client to come back to. One that is replaced by a newer session of its
//! client lingers too, until that one has settled what it plays; from a session that does not let go in time the newer one
//! takes it by force. A client has one display. What becomes of a client that launches what another one has on a display
//! says the configuration ([`Others`]).

use crate::config::{DisplaySettings, Linger, Others};
use crate::identity::Fingerprint;
use crate::protocol::rtsp::SessionId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How a session leaves its display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// The client is away, and may come back.
    Away,
    /// A newer session of the same client is on its way here.
    Replaced,
    /// For good.
    Ended,
}

/// What becomes of the display of a session that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It waits for the client.
    Kept,
    /// It is for the session to end.
    Removed,
    /// A newer session of the client has taken it by force.
    Taken,
}

/// What a session finds of its client's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<W> {
    Nothing,
    /// This, which is active from now on.
    Kept(W),
    /// This with another app, which is removed.
    Other(W),
}

/// A newer session settles what it plays in this time.
const SETTLING: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
enum State {
    Active { session: SessionId },
    Lingering { until: Option<Instant> },
}

#[derive(Debug)]
struct Display<W> {
    app: u32,
    /// Somebody played on it; nobody misses one that was never seen.
    played: bool,
    held: W,
    state: State,
}

impl<W> Display<W> {
    fn is_active(&self) -> bool {
        matches!(self.state, State::Active { .. })
    }
}

/// Every display that is not removed; `W` is what is held of one.
#[derive(Debug)]
pub(super) struct Displays<W> {
    settings: DisplaySettings,
    by_client: BTreeMap<Fingerprint, Display<W>>,
    /// The host ends: none is kept any more.
    closing: bool,
}

impl<W: Clone> Displays<W> {
    pub fn new(settings: DisplaySettings) -> Self {
        Self { settings, by_client: BTreeMap::new(), closing: false }
    }

    /// The client launches `app`, or goes on with it. Its display waits for the session; one with another app is removed.
    pub fn handle_launched(&mut self, now: Instant, client: &Fingerprint, app: u32) -> Option<W> {
        let display = self.by_client.get_mut(client)?;
        if display.app != app {
            return self.handle_released(client);
        }
        if let State::Lingering { until: Some(until) } = &mut display.state {
            *until = (*until).max(now + SETTLING);
        }
        None
    }

    /// `session` is to show `app`: on the display that its client left, or that an older session of the client, which was
    /// told to end, still holds.
    pub fn handle_return(&mut self, client: Fingerprint, session: SessionId, app: u32) -> Found<W> {
        let is_older = |state: &State| match state {
            State::Active { session: its } => *its < session,
            State::Lingering { .. } => true,
        };
        let is_there = self.by_client.get(&client).is_some_and(|display| is_older(&display.state));
        let Some(display) = is_there.then(|| self.by_client.remove(&client)).flatten() else {
            return Found::Nothing;
        };
        if display.app != app {
            return Found::Other(display.held);
        }
        let held = display.held.clone();
        self.by_client.insert(client, Display { state: State::Active { session }, ..display });
        Found::Kept(held)
    }

    /// What is held of the display that `session` shows from now on.
    pub fn handle_shown(&mut self, client: &Fingerprint, session: SessionId, held: W) {
        if let Some(display) = self.active_of(client, session) {
            display.held = held;
        }
    }

    /// `session` shows `app` on a new display. What the client left meanwhile is removed.
    pub fn handle_opened(&mut self, client: Fingerprint, session: SessionId, app: u32, held: W) -> Option<W> {
        let left = self.handle_released(&client);
        let state = State::Active { session };
        self.by_client.insert(client, Display { app, played: false, held, state });
        left
    }

    /// Whom `client` meets that launches `app`, and what becomes of it then; nobody if it has that itself, or is to get
    /// a display of its own.
    pub fn meets(&self, client: &Fingerprint, app: u32) -> Option<(Others, Fingerprint)> {
        let others = self.settings.others;
        if others == Others::OwnDisplay || self.by_client.get(client).is_some_and(|own| own.app == app) {
            return None;
        }
        let mut owners = self.by_client.iter().filter(|(_, display)| display.app == app);
        // What nobody plays there is nothing to share.
        let owner = match others {
            Others::Share => owners.find(|(_, display)| display.is_active()),
            _ => owners.max_by_key(|(_, display)| display.is_active()),
        };
        owner.map(|(owner, _)| (others, *owner))
    }

    /// Whether `owner` shows `app` now.
    pub fn shows(&self, owner: &Fingerprint, app: u32) -> bool {
        self.by_client.get(owner).is_some_and(|display| display.app == app && display.is_active())
    }

    /// What `owner` shows now.
    pub fn shown(&self, owner: &Fingerprint) -> Option<W> {
        self.by_client.get(owner).filter(|display| display.is_active()).map(|display| display.held.clone())
    }

    /// `heir` takes over what `owner` has with `app`, unless a session of the owner still holds it.
    pub fn handle_taken_over(
        &mut self,
        now: Instant,
        owner: &Fingerprint,
        heir: Fingerprint,
        app: u32,
    ) -> Option<W> {
        let is_it = self.by_client.get(owner).is_some_and(|display| display.app == app);
        if self.closing || !is_it || self.by_client.contains_key(&heir) {
            return None;
        }
        let display = self.take_lingering(owner)?;
        let (held, state) = (display.held.clone(), State::Lingering { until: Some(now + SETTLING) });
        self.by_client.insert(heir, Display { state, ..display });
        Some(held)
    }

    /// The streams of `session` run.
    pub fn handle_played(&mut self, client: &Fingerprint, session: SessionId) {
        if let Some(display) = self.active_of(client, session) {
            display.played = true;
        }
    }

    /// `session` is over, or goes no further: its display is kept as what `wait` holds then, or removed.
    pub fn handle_left(
        &mut self,
        now: Instant,
        client: &Fingerprint,
        session: SessionId,
        leaving: Leaving,
        wait: impl FnOnce() -> W,
    ) -> Left {
        let (linger, closing) = (self.settings.linger, self.closing);
        let is_newer = |state: &State| matches!(state, State::Active { session: its } if *its > session);
        if self.by_client.get(client).is_some_and(|display| is_newer(&display.state)) {
            return Left::Taken;
        }
        let Some(display) = self.active_of(client, session) else { return Left::Removed };
        let linger = match leaving {
            Leaving::Ended => Linger::Immediately,
            Leaving::Replaced if !display.played => Linger::For(SETTLING),
            Leaving::Replaced => at_least(SETTLING, linger),
            Leaving::Away if !display.played => Linger::Immediately,
            Leaving::Away => linger,
        };
        let until = match linger {
            Linger::For(time) if !closing => Some(now + time),
            Linger::UntilReleased if !closing => None,
            _ => {
                self.by_client.remove(client);
                return Left::Removed;
            }
        };
        (display.state, display.held) = (State::Lingering { until }, wait());
        Left::Kept
    }

    /// `session` lost its display, if it had one: that is removed.
    pub fn handle_lost(&mut self, client: &Fingerprint, session: SessionId) -> Option<W> {
        self.active_of(client, session)?;
        self.by_client.remove(client).map(|display| display.held)
    }

    /// The client quits, or may not come back: its display is removed if it lingers. An active one is its session's.
    pub fn handle_released(&mut self, client: &Fingerprint) -> Option<W> {
        Some(self.take_lingering(client)?.held)
    }

    /// The host ends: all that linger are removed.
    pub fn handle_closing(&mut self) -> Vec<(Fingerprint, W)> {
        self.closing = true;
        let clients: Vec<_> = self.by_client.keys().copied().collect();
        clients.into_iter().filter_map(|client| Some((client, self.handle_released(&client)?))).collect()
    }

    /// Whose display has waited long enough: it is removed.
    pub fn poll(&mut self, now: Instant) -> Option<(Fingerprint, W)> {
        let is_over = |display: &Display<W>| match display.state {
            State::Lingering { until: Some(until) } => until <= now,
            _ => false,
        };
        let client =
            self.by_client.iter().find(|(_, display)| is_over(display)).map(|(client, _)| *client)?;
        Some((client, self.handle_released(&client)?))
    }

    /// What waits for `client`.
    pub fn waiting(&self, client: &Fingerprint) -> Option<W> {
        self.lingering(client).map(|display| display.held.clone())
    }

    fn lingering(&self, client: &Fingerprint) -> Option<&Display<W>> {
        self.by_client.get(client).filter(|display| !display.is_active())
    }

    fn take_lingering(&mut self, client: &Fingerprint) -> Option<Display<W>> {
        self.lingering(client)?;
        self.by_client.remove(client)
    }

    fn active_of(&mut self, client: &Fingerprint, session: SessionId) -> Option<&mut Display<W>> {
        let is_its = |state: &State| matches!(state, State::Active { session: its } if *its == session);
        self.by_client.get_mut(client).filter(|display| is_its(&display.state))
    }
}

fn at_least(time: Duration, linger: Linger) -> Linger {
    match linger {
        Linger::Immediately => Linger::For(time),
        Linger::For(longer) => Linger::For(longer.max(time)),
        Linger::UntilReleased => Linger::UntilReleased,
    }
}

#[cfg(test)]
#[path = "displays_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "displays_model.rs"]
mod model;
