//! What each player has running: started once, found again by whoever comes back, ended when its player quits.

use super::{End, Shared};
use crate::desktop::apps::catalog::Catalog;
use crate::desktop::apps::list::{App, Exit};
use crate::desktop::apps::process::{self, Environment, Running};
use crate::identity::Fingerprint;
use crate::pipeline::description::Mode;
use crate::pipeline::display::Display;
use crate::protocol::rtsp::SessionId;
use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard};

/// The apps of this host, and those that run.
pub struct Apps {
    catalog: Arc<Catalog>,
    /// What the marks of this host's processes begin with; no other host has it.
    host: String,
    running: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    started: u64,
    by_client: HashMap<Fingerprint, Started>,
}

impl Table {
    /// Takes out what runs of `client` if it is this.
    fn take_if(&mut self, client: &Fingerprint, is_it: impl FnOnce(&Started) -> bool) -> Option<Started> {
        self.by_client.get(client).filter(|started| is_it(started))?;
        self.by_client.remove(client)
    }
}

/// An app of a client.
pub(super) struct Started {
    number: u64,
    session: SessionId,
    app: u32,
    /// Nothing of a detached app.
    running: Option<Running>,
}

impl Apps {
    pub fn new(catalog: Catalog, host: &str) -> Self {
        Self { catalog: Arc::new(catalog), host: format!("{host}/"), running: Mutex::default() }
    }

    /// What a client may start.
    pub async fn list(&self) -> Arc<Vec<App>> {
        let catalog = self.catalog.clone();
        tokio::task::spawn_blocking(move || catalog.apps()).await.expect("reading a list does not panic")
    }

    pub async fn find(&self, id: u32) -> Option<App> {
        self.list().await.iter().find(|app| app.id == id).cloned()
    }

    /// Ends what a host that was killed left behind.
    pub async fn sweep(&self) {
        let host = self.host.clone();
        process::end_marked(move |mark| mark.starts_with(&host)).await;
    }

    /// Ends what runs of `client` unless it is `app`.
    pub async fn end_other(&self, client: &Fingerprint, app: u32) {
        let other = {
            let mut table = self.table();
            table.take_if(client, |started| started.app != app)
        };
        end(other).await;
    }

    /// Ends what runs of `client`.
    pub async fn end(&self, client: &Fingerprint) {
        end(self.take(client)).await;
    }

    /// Ends everything that is not detached.
    pub async fn end_all(&self) {
        self.table().by_client.clear();
        // Also those that somebody ends already, and may have no time to.
        self.sweep().await;
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.running.lock().expect("nothing panics while it holds the apps")
    }

    /// Takes out what runs of `client`, to be ended.
    pub(super) fn take(&self, client: &Fingerprint) -> Option<Started> {
        self.table().by_client.remove(client)
    }

    /// The same, if `session` started it.
    pub(super) fn take_of(&self, client: &Fingerprint, session: SessionId) -> Option<Started> {
        self.table().take_if(client, |started| started.session == session)
    }

    /// What runs of `client` is `session`'s from now on.
    pub(super) fn hand_over(&self, client: &Fingerprint, session: SessionId) {
        if let Some(started) = self.table().by_client.get_mut(client) {
            started.session = session;
        }
    }

    /// Starts `app` for `client` if it `is_wanted` still, and was not started since it was launched; its number and
    /// itself, unless it is on its own from now on.
    fn start(
        &self,
        (session, client): (SessionId, Fingerprint),
        app: &App,
        environment: &Environment,
        is_wanted: impl FnOnce() -> bool,
    ) -> anyhow::Result<Option<(u64, Running)>> {
        let Some(command) = &app.command else { return Ok(None) };
        let mut table = self.table();
        // Whoever quits it takes the wish back first, and then looks here for what is to be ended.
        if table.by_client.get(&client).is_some_and(|started| started.app == app.id) || !is_wanted() {
            return Ok(None);
        }
        table.started += 1;
        let number = table.started;
        let running = if app.detached {
            process::start_detached(command, environment)?;
            None
        } else {
            Some(Running::start(command, format!("{}{number}", self.host), environment)?)
        };
        table.by_client.insert(client, Started { number, session, app: app.id, running: running.clone() });
        Ok(running.map(|running| (number, running)))
    }

    /// What `session` started for `owner` is `heir`'s from now on. What the heir had is to be ended.
    pub(super) fn bequeath(
        &self,
        owner: &Fingerprint,
        session: SessionId,
        heir: Fingerprint,
    ) -> Option<Started> {
        let mut table = self.table();
        let started = table.take_if(owner, |started| started.session == session)?;
        table.by_client.insert(heir, started)
    }

    /// Forgets the app of this number, and says whose it was; nothing if it was taken out already, to be ended.
    fn forget(&self, number: u64) -> Option<Fingerprint> {
        let mut table = self.table();
        let mut all = table.by_client.iter();
        let client = *all.find(|(_, started)| started.number == number)?.0;
        table.by_client.remove(&client);
        Some(client)
    }
}

impl Shared {
    /// Runs the client's app unless it runs already. Called once there is something to see.
    pub(super) async fn run_app(
        self: &Arc<Self>,
        (session, client): (SessionId, Fingerprint),
        app: u32,
        environment: &Environment,
    ) -> anyhow::Result<()> {
        let apps = &self.equipment.apps;
        // One that was taken from the list since plays on as it is.
        let Some(app) = apps.find(app).await else { return Ok(()) };
        let is_wanted = || {
            let may_launch = self.may_launch(&client);
            let table = self.table();
            may_launch && table.wants((session, client), app.id) && !table.is_closing()
        };
        let started = apps.start((session, client), &app, environment, is_wanted)?;
        let Some((number, mut running)) = started else { return Ok(()) };
        tracing::info!("{} runs", app.title);
        let shared = self.clone();
        tokio::spawn(async move {
            let how = running.ended().await;
            tracing::info!("{}: {how}", app.title);
            if app.exit != Exit::EndSession {
                return;
            }
            // Another client may have taken it over.
            if let Some(client) = shared.equipment.apps.forget(number) {
                shared.app_ended(&client, &app, &how);
                shared.release_display(&client, &format!("{}: {how}", app.title));
                // What it started and left behind.
                let _ = shared.keep.endings.spawn(client, async move { running.end().await }).await;
            }
        });
        Ok(())
    }

    /// An app ended by itself, and its session with it.
    fn app_ended(&self, client: &Fingerprint, app: &App, how: &str) {
        let mut table = self.table();
        if table.running_app(client) == app.id {
            table.clear_app(client);
            for entry in table.of_client(client) {
                entry.handle.stop(&End::AppEnded(format!("{}: {how}", app.title)));
            }
        }
    }
}

/// Ends an app that was taken out.
pub(super) async fn end(started: Option<Started>) {
    if let Some(running) = started.and_then(|started| started.running) {
        running.end().await;
    }
}

/// What an app is told of the stream that shows it.
pub(super) fn surroundings(mode: Mode) -> Environment {
    [
        ("MOONPIPE_WIDTH", mode.width.to_string()),
        ("MOONPIPE_HEIGHT", mode.height.to_string()),
        ("MOONPIPE_FPS", mode.fps.rounded().to_string()),
    ]
    .map(|(name, value)| (name.into(), Some(value.into())))
    .to_vec()
}

/// What an app is told of the sink that it is to play to: programs of PulseAudio know the first, those of PipeWire itself
/// and of ALSA the second. What they record from is left alone by both.
pub(super) fn heard_on(sink: &str) -> Environment {
    ["PULSE_SINK", "PIPEWIRE_NODE"].map(|name| (name.into(), Some(sink.into()))).to_vec()
}

/// The names of the display that an app is to show itself on, instead of the one that the host runs in.
pub(super) fn on(display: &Display) -> Environment {
    let x11 = display.x11.as_ref().map(OsString::from);
    vec![("WAYLAND_DISPLAY".into(), Some(display.wayland.clone().into())), ("DISPLAY".into(), x11)]
}
