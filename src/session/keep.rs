//! Holds the displays of all clients, as [`super::displays`] decides, and ends those that are removed.

use super::displays::{Displays, Found, Leaving, Left};
use super::end::End;
use super::endings::Endings;
use super::view::{Held, View};
use super::{Shared, apps, short};
use crate::config::DisplaySettings;
use crate::identity::Fingerprint;
use crate::pipeline::description::Mode;
use crate::protocol::rtsp::SessionId;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval_at};

/// So often it is looked whose time is up.
const TICK: Duration = Duration::from_millis(250);

/// The displays of this host.
pub(super) struct Keep {
    displays: Mutex<Displays<Held>>,
    /// Of displays and apps.
    pub(super) endings: Endings,
}

/// Whom a display is for, and what shows itself there.
#[derive(Clone, Copy)]
pub(super) struct Purpose {
    pub session: SessionId,
    pub client: Fingerprint,
    pub app: u32,
    pub mode: Mode,
}

/// A display that was removed, and what ran there.
pub(super) struct Removed {
    app: Option<apps::Started>,
    held: Held,
}

/// Waits until a removed display has ended.
pub(super) async fn ended(display: JoinHandle<()>) {
    if let Err(panic) = display.await {
        tracing::error!("a display did not end: {panic}");
    }
}

impl Keep {
    pub fn new(settings: DisplaySettings) -> Keep {
        Keep { displays: Mutex::new(Displays::new(settings)), endings: Endings::default() }
    }

    pub fn displays(&self) -> MutexGuard<'_, Displays<Held>> {
        self.displays.lock().expect("nothing panics while it holds the displays")
    }
}

impl Shared {
    /// The display that the client left, for its session to go on with, if there is one.
    pub(super) async fn find_display(&self, purpose: Purpose) -> Option<View> {
        let Purpose { session, client, app, mode } = purpose;
        let (held, is_its) = {
            let mut displays = self.keep.displays();
            match displays.handle_return(client, session, app) {
                Found::Nothing => return None,
                Found::Kept(held) => (held, true),
                Found::Other(held) => (held, false),
            }
        };
        let over = held.source.why_over();
        if let Some(reason) = &over {
            tracing::info!(%session, client = %short(&client), "its display is gone: {reason}");
        }
        if over.is_some() || !is_its {
            if is_its {
                self.forget_display(&client, session);
            }
            let removed = self.removed(&client, held);
            // It goes on ending when nobody waits any more.
            ended(self.end(&client, removed)).await;
            return None;
        }
        self.equipment.apps.hand_over(&client, session);
        tracing::info!(%session, client = %short(&client), "its display is still there");
        let view = self.equipment.captures.return_to(held, mode);
        self.keep.displays().handle_shown(&client, session, view.held(session, mode));
        Some(view)
    }

    /// A session shows what it shows on a new display.
    pub(super) fn register_display(&self, Purpose { session, client, app, mode }: Purpose, view: &View) {
        let (left, running) = {
            let mut displays = self.keep.displays();
            let left = displays.handle_opened(client, session, app, view.held(session, mode));
            // It shows itself on a display that nobody will see again.
            (left, self.equipment.apps.take(&client))
        };
        if left.is_none() && running.is_none() {
            return;
        }
        tracing::info!(%session, client = %short(&client), "what its client had on another display ends");
        self.keep.endings.spawn(client, async move {
            apps::end(running).await;
            if let Some(held) = left {
                held.source.close().await;
            }
        });
    }

    pub(super) fn mark_display_played(&self, client: &Fingerprint, session: SessionId) {
        self.keep.displays().handle_played(client, session);
    }

    /// Keeps the display of a session that is over, app and all; gives it back if it is not to be kept. `how` the session
    /// ends is asked once nobody can ask for its display any more.
    pub(super) fn keep_display(
        self: &Arc<Self>,
        purpose: Purpose,
        view: View,
        how: impl FnOnce() -> Leaving,
    ) -> Option<View> {
        let Purpose { session, client, mode, .. } = purpose;
        let left = {
            let mut displays = self.keep.displays();
            displays.handle_left(Instant::now(), &client, session, how(), || view.held(session, mode))
        };
        match left {
            Left::Removed => return Some(view),
            // Dropped, and not closed: the newer session looks at it.
            Left::Taken => tracing::info!(%session, "its display was taken by the client's next session"),
            Left::Kept => {
                tracing::info!(%session, "its display waits for the client");
                self.watch_later(client);
            }
        }
        None
    }

    /// Sees to the end of the time that a client's display waits.
    pub(super) fn watch_later(self: &Arc<Self>, client: Fingerprint) {
        let shared = self.clone();
        tokio::spawn(async move { shared.watch(client).await });
    }

    /// A session is over that has no display, or lost it on the way. Whether it had one.
    pub(super) fn forget_display(&self, client: &Fingerprint, session: SessionId) -> bool {
        let mut displays = self.keep.displays();
        displays.handle_lost(client, session).is_some()
    }

    /// A session failed in a way that nobody foresaw, and left its display as it was.
    pub(super) fn abandon_display(&self, client: &Fingerprint, session: SessionId) {
        let removed = {
            let mut displays = self.keep.displays();
            let Some(held) = displays.handle_lost(client, session) else { return };
            // What runs there is this session's, whoever left it last.
            self.removed(client, Held { session, ..held })
        };
        self.write_off(client, "its session failed");
        drop(self.end(client, removed));
    }

    /// Until the client's display does not linger any more.
    async fn watch(&self, client: Fingerprint) {
        let mut tick = interval_at(Instant::now() + TICK, TICK);
        loop {
            tick.tick().await;
            self.remove_those_that_waited();
            let Some(held) = self.keep.displays().waiting(&client) else { return };
            let over = match self.equipment.clients.is_paired(&client) {
                true => held.source.why_over(),
                false => Some(End::Revoked.to_string()),
            };
            if let Some(why) = over {
                self.release_display(&client, &why);
            }
        }
    }

    fn remove_those_that_waited(&self) {
        let mut displays = self.keep.displays();
        while let Some((client, held)) = displays.poll(Instant::now()) {
            let removed = self.removed(&client, held);
            self.write_off(&client, "its client did not come back");
            drop(self.end(&client, removed));
        }
    }

    /// Removes the display of a client that is away, with the app on it.
    pub(super) fn release_display(&self, client: &Fingerprint, why: &str) -> Option<JoinHandle<()>> {
        let removed = {
            let mut displays = self.keep.displays();
            let held = displays.handle_released(client)?;
            self.removed(client, held)
        };
        self.write_off(client, why);
        Some(self.end(client, removed))
    }

    /// The client launches `app`: what waits for it with another one is removed.
    pub(super) fn release_other_display(&self, client: &Fingerprint, app: u32) -> Option<JoinHandle<()>> {
        let removed = {
            let mut displays = self.keep.displays();
            let held = displays.handle_launched(Instant::now(), client, app)?;
            self.removed(client, held)
        };
        self.write_off(client, "its client launched another app");
        Some(self.end(client, removed))
    }

    /// In one step with the decision: what a session of the client starts from now on is another app.
    fn removed(&self, client: &Fingerprint, held: Held) -> Removed {
        Removed { app: self.equipment.apps.take_of(client, held.session), held }
    }

    /// Nobody can come back to it any more.
    fn write_off(&self, client: &Fingerprint, why: &str) {
        tracing::info!(client = %short(client), "a display is removed: {why}");
        {
            let mut table = self.table();
            if table.of_client(client).next().is_none() {
                table.clear_app(client);
            }
        }
        self.journal.quit(client, format!("left, and its display was removed: {why}"));
    }

    /// First the app, then what it is on.
    fn end(&self, client: &Fingerprint, Removed { app, held }: Removed) -> JoinHandle<()> {
        self.keep.endings.spawn(*client, async move {
            apps::end(app).await;
            held.source.close().await;
        })
    }

    /// Ends what waits for clients, and keeps nothing from now on; the host ends.
    pub(super) async fn end_displays(&self) {
        let left = self.keep.displays().handle_closing();
        for (client, held) in left {
            let removed = self.removed(&client, held);
            drop(self.end(&client, removed));
        }
        self.keep.endings.close().await;
    }
}
