//! One player each: who plays what ([`table`]), what one session does from launch to end ([`player`]), and what it may
//! spend ([`budget`]). The only place where the desktop and the pipelines meet a client.

mod adaptation;
mod apps;
pub mod budget;
mod captures;
mod crowd;
mod displays;
mod end;
mod endings;
mod hands;
mod journal;
mod keep;
mod keyframes;
pub mod longterm;
mod others;
mod play;
mod player;
mod silence;
mod sound;
mod stage;
mod table;
mod view;
mod watchers;

pub use apps::Apps;
pub use captures::Captures;
pub use sound::Hush;

use crate::config::{DisplaySettings, InputSettings, Others, PlayerSettings, SendSettings};
use crate::desktop::apps::list;
use crate::identity::{Clients, Fingerprint};
use crate::pipeline::choose::Choice;
use crate::pipeline::description::{AudioDescription, SendDescription};
use crate::pipeline::limits;
use crate::protocol::params::{SessionKey, StreamParams, Surround};
use crate::protocol::ports::Ports;
use crate::protocol::rtsp::{RtspOffer, RtspRefusal, SessionId};
use crate::servers::admin::{Overview, Sources, Switched};
use crate::servers::control::ControlServer;
use crate::servers::media::MediaSocket;
use crate::servers::nvhttp::{App, LaunchRequest, Launched, PlayerSessions, Refusal};
use crate::servers::rtsp::{BoxFuture, RtspSessions};
use crate::servers::status::SessionStatus;
use crowd::Room;
use end::End;
use futures_util::future::join_all;
use journal::Journal;
use keep::Keep;
use player::{Command, Player};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use table::{Entry, Secrets, Table};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// What every session of this host works with.
pub struct Equipment {
    pub ports: Ports,
    pub clients: Clients,
    pub choice: Choice,
    pub surround: Vec<Surround>,
    pub captures: Captures,
    pub apps: Apps,
    pub audio_description: AudioDescription,
    pub hush: Hush,
    pub send_video: SendDescription,
    pub send_audio: SendDescription,
    pub send: SendSettings,
    pub displays: DisplaySettings,
    pub players: PlayerSettings,
    pub input: InputSettings,
    pub control: ControlServer,
    pub video_socket: Arc<MediaSocket>,
    pub audio_socket: Arc<MediaSocket>,
}

/// All sessions of this host. Clones share one state.
#[derive(Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
}

struct Shared {
    equipment: Equipment,
    table: Mutex<Table<Handle>>,
    journal: Journal,
    keep: Keep,
}

/// How to reach the task of one session.
#[derive(Clone, Debug)]
struct Handle {
    commands: mpsc::Sender<Command>,
    /// Says why the session has to end; the first reason counts.
    stop: watch::Sender<Option<End>>,
    /// Cancelled once every thread, socket and pipeline of the session is gone.
    gone: CancellationToken,
}

/// Over plain RTSP nothing but the address tells two clients apart that are on their way.
const OTHER_PLAIN_LAUNCH: &str =
    "Another client at this address is about to play, and neither encrypts RTSP: try again once it plays.";

/// Longest that anything waits for a session to be gone.
const RELEASE_LIMIT: Duration = Duration::from_secs(3);

impl Sessions {
    pub fn new(equipment: Equipment) -> Self {
        let keep = Keep::new(equipment.displays);
        let shared = Shared { equipment, table: Mutex::default(), journal: Journal::default(), keep };
        Self { shared: Arc::new(shared) }
    }

    /// Tells every client that the host ends, and waits until their sessions and the shared capture are gone.
    pub async fn close(&self) {
        let all: Vec<_> = {
            let mut table = self.table();
            table.close();
            table.iter().map(|(_, entry)| entry.handle.clone()).collect()
        };
        release(all, End::HostEnds).await;
        self.shared.equipment.apps.end_all().await;
        self.shared.equipment.hush.close().await;
        if tokio::time::timeout(RELEASE_LIMIT, self.shared.end_displays()).await.is_err() {
            tracing::warn!("a display does not end within {} s", RELEASE_LIMIT.as_secs());
        }
        if tokio::time::timeout(RELEASE_LIMIT, self.shared.equipment.captures.close()).await.is_err() {
            tracing::warn!("the capture does not end within {} s", RELEASE_LIMIT.as_secs());
        }
    }

    fn table(&self) -> MutexGuard<'_, Table<Handle>> {
        self.shared.table()
    }

    /// Enters the session at once, so that of two launches of one client the later one stays, and answers when what the
    /// client had before is gone.
    async fn start(&self, mut request: LaunchRequest, app: u32) -> Result<Launched, Refusal> {
        request.app = app;
        if let Some(refusal) = self.refusal(&request).await {
            return Err(refusal);
        }
        // Who has to leave is not one too many.
        let spared = self.shared.owner_under(Others::TakeOver, &request.client, app);
        let mut random = [0; 20];
        aws_lc_rs::rand::fill(&mut random).expect("the system gives random bytes");
        let secrets = Secrets::from_random(random);
        let (commands, inbox) = mpsc::channel(4);
        let (stop, stopped) = watch::channel(None);
        let gone = CancellationToken::new();
        let client = request.client;
        let pixels_per_second = crowd::pixels_per_second(request.mode);
        let entry = Entry {
            client,
            key: request.key.clone(),
            sealed: request.rtsp_encrypted,
            peer: request.peer.ip(),
            secrets: secrets.clone(),
            pixels_per_second,
            played: false,
            handle: Handle { commands, stop, gone: gone.clone() },
        };
        let (id, before) = {
            let mut table = self.table();
            if table.is_closing() {
                return Err(Refusal::new(503, "This host is shutting down."));
            }
            let others = table.others_than(&client, spared.as_ref());
            if let Some(reason) = self.room().refusal(others, pixels_per_second) {
                return Err(Refusal::new(503, reason));
            }
            if !request.rtsp_encrypted && table.plain_of_another(request.peer.ip(), &client) {
                return Err(Refusal::new(503, OTHER_PLAIN_LAUNCH));
            }
            let before: Vec<_> = table.of_client(&client).map(|entry| entry.handle.clone()).collect();
            table.set_app(client, app);
            (table.insert(entry), before)
        };
        tracing::info!(session = %id, client = %short(&client), peer = %request.peer, "launched");
        let page = self.shared.journal.open(id, client, self.shared.name_of(&client));
        let player = Player::new(id, self.shared.clone(), request, &secrets, stopped, page.clone());
        let shared = self.shared.clone();
        tokio::spawn(async move {
            // A fault in one session must not take the others with it.
            let outcome = tokio::spawn(player.run(inbox)).await;
            if let Err(panic) = outcome {
                tracing::error!(session = %id, "the session failed: {panic}");
                page.close("a fault of the host, see its log".into(), false);
            }
            shared.remove(id);
            // Of a session that came to its end there is none.
            shared.abandon_display(&client, id);
            gone.cancel();
        });
        release(before, End::Replaced).await;
        // What a later launch has begun meanwhile is not this one's to end.
        let is_wanted = || self.table().wants((id, client), app);
        if is_wanted()
            && let Some(removed) = self.shared.release_other_display(&client, app)
        {
            keep::ended(removed).await;
        }
        if is_wanted() {
            self.shared.equipment.apps.end_other(&client, app).await;
        }
        // Of two runs of one app the second begins after the end of the first.
        self.shared.keep.endings.settled(&client).await;
        self.shared.take_over((id, client), app).await;
        if !is_wanted() {
            return Err(Refusal::new(503, "This client launched again meanwhile, or quit."));
        }
        Ok(Launched { rtsp_port: self.shared.equipment.ports.rtsp() })
    }

    /// Why this is not to be had at all. Said here because a client shows the answer to its launch.
    async fn refusal(&self, LaunchRequest { client, app, mode, .. }: &LaunchRequest) -> Option<Refusal> {
        let choice = &self.shared.equipment.choice;
        if let Some(reason) = mode.and_then(|mode| limits::launch_refusal(choice, mode)) {
            return Some(Refusal::new(400, reason));
        }
        if let Some(refusal) = self.shared.refuse_without_output(*app).await {
            return Some(refusal);
        }
        if let Some(refusal) = self.shared.refuse_other(client, *app).await {
            return Some(refusal);
        }
        self.shared.refuse_watcher(client, *app).await
    }

    fn room(&self) -> Room {
        let Equipment { choice, players, .. } = &self.shared.equipment;
        let measured = if players.may_overload { None } else { choice.pixels_per_second() };
        Room { players: players.most, pixels_per_second: measured }
    }

    async fn command(
        &self,
        id: SessionId,
        command: impl FnOnce(oneshot::Sender<Result<(), RtspRefusal>>) -> Command,
    ) -> Result<(), RtspRefusal> {
        let over = || RtspRefusal::new(454, "the session is over");
        let handle = self.table().get(id).map(|entry| entry.handle.clone()).ok_or_else(over)?;
        let (answer, answered) = oneshot::channel();
        handle.commands.send(command(answer)).await.map_err(|_| over())?;
        answered.await.map_err(|_| over())?
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table<Handle>> {
        self.table.lock().expect("nothing panics while it holds the table")
    }

    fn remove(&self, id: SessionId) {
        self.table().remove(id);
    }

    fn mark_played(&self, id: SessionId) {
        self.table().mark_played(id);
    }

    /// For the owner.
    fn name_of(&self, client: &Fingerprint) -> String {
        self.equipment.clients.find(client).map_or_else(|| short(client), |known| known.name)
    }
}

impl Table<Handle> {
    /// This launch of the client is its last, and nobody has ended it or quit what it launched.
    fn wants(&self, (session, client): (SessionId, Fingerprint), app: u32) -> bool {
        let is_on = self.get(session).is_some_and(|entry| entry.handle.stop.borrow().is_none());
        is_on && self.is_newest(session) && self.running_app(&client) == app
    }
}

impl Handle {
    fn stop(&self, why: &End) {
        self.stop.send_if_modified(|reason| {
            let first = reason.is_none();
            reason.get_or_insert_with(|| why.clone());
            first
        });
    }

    async fn released(&self) {
        if tokio::time::timeout(RELEASE_LIMIT, self.gone.cancelled()).await.is_err() {
            tracing::warn!("a session does not end within {} s", RELEASE_LIMIT.as_secs());
        }
    }
}

impl Overview for Sessions {
    fn sessions(&self) -> Vec<SessionStatus> {
        self.shared.journal.read()
    }
}

impl Sources for Sessions {
    fn switch<'a>(&'a self, source: &'a str) -> BoxFuture<'a, anyhow::Result<Switched>> {
        Box::pin(self.shared.equipment.captures.switch(source))
    }
}

impl PlayerSessions for Sessions {
    fn running_app(&self, client: &Fingerprint) -> u32 {
        self.shared.running_app(client)
    }

    fn apps(&self) -> BoxFuture<'_, Vec<App>> {
        Box::pin(async {
            let apps = self.shared.equipment.apps.list().await;
            let offered =
                |app: &list::App| App { id: app.id, title: app.title.clone(), image: app.image.clone() };
            apps.iter().map(offered).collect()
        })
    }

    fn launch(&self, request: LaunchRequest) -> BoxFuture<'_, Result<Launched, Refusal>> {
        Box::pin(async move {
            let app = request.app;
            if self.shared.equipment.apps.find(app).await.is_none() {
                return Err(Refusal::new(404, "The host has no such app"));
            }
            self.start(request, app).await
        })
    }

    fn resume(&self, request: LaunchRequest) -> BoxFuture<'_, Result<Launched, Refusal>> {
        Box::pin(async move {
            match self.running_app(&request.client) {
                0 => Err(Refusal::new(400, "Nothing runs that could be resumed. Start the app again.")),
                app => self.start(request, app).await,
            }
        })
    }

    fn cancel(&self, client: &Fingerprint) -> BoxFuture<'_, Result<(), Refusal>> {
        let client = *client;
        let handles: Vec<_> = {
            let mut table = self.table();
            table.clear_app(&client);
            table.of_client(&client).map(|entry| entry.handle.clone()).collect()
        };
        let shared = self.shared.clone();
        Box::pin(async move {
            release(handles, End::Quit).await;
            if let Some(session) = shared.journal.quit(&client, End::Quit.to_string()) {
                tracing::info!(session, "{}", End::Quit);
            }
            // It goes on ending when that takes longer.
            let display = shared.release_display(&client, "its client quit");
            let app = shared.equipment.apps.take(&client);
            let ending = shared.keep.endings.spawn(client, async move {
                apps::end(app).await;
                if let Some(display) = display {
                    keep::ended(display).await;
                }
            });
            if tokio::time::timeout(RELEASE_LIMIT, ending).await.is_err() {
                tracing::info!(
                    "an app does not end within {} s and is ended by force",
                    RELEASE_LIMIT.as_secs()
                );
            }
            Ok(())
        })
    }
}

impl RtspSessions for Sessions {
    fn sealed(&self) -> Vec<(SessionId, SessionKey)> {
        self.table().sealed()
    }

    fn plain(&self, peer: IpAddr) -> Option<SessionId> {
        self.table().plain(peer)
    }

    fn offer(&self, session: SessionId) -> Option<RtspOffer> {
        let table = self.table();
        let secrets = &table.get(session)?.secrets;
        let Equipment { ports, choice, surround, input, .. } = &self.shared.equipment;
        Some(RtspOffer {
            session: format!("{session}"),
            codecs: choice.codecs(),
            video_port: ports.video(),
            control_port: ports.control(),
            audio_port: ports.audio(),
            video_ping: secrets.video_ping,
            audio_ping: secrets.audio_ping,
            connect_data: secrets.connect_data,
            rfi: choice.answers_invalidation(),
            // There are no controllers yet that have any.
            controller_sensors: input.record.is_some(),
            surround: surround.clone(),
        })
    }

    fn announce(&self, session: SessionId, params: StreamParams) -> BoxFuture<'_, Result<(), RtspRefusal>> {
        Box::pin(self.command(session, |answer| Command::Announce(Box::new(params), answer)))
    }

    fn play(&self, session: SessionId) -> BoxFuture<'_, Result<(), RtspRefusal>> {
        Box::pin(self.command(session, Command::Play))
    }
}

/// Stops these sessions, and waits for them to be gone.
async fn release(handles: Vec<Handle>, why: End) {
    for handle in &handles {
        handle.stop(&why);
    }
    join_all(handles.iter().map(Handle::released)).await;
}

/// The first 8 digits name a client well enough for a log.
fn short(client: &Fingerprint) -> String {
    client.to_string()[..8].to_owned()
}
