//! One session from launch to end: the task that owns its streams and its connection.

use super::adaptation::Adapter;
use super::end::End;
use super::journal::Page;
use super::keep::Purpose;
use super::play::Play;
use super::sound::{Sound, Wish};
use super::stage::Stage;
use super::table::Secrets;
use super::view::View;
use super::watchers::ONLY_WATCHES;
use super::{Equipment, Shared, apps, budget, crowd, short};
use crate::desktop::sink::Sink;
use crate::memory;
use crate::pipeline::audio::{AudioSpec, AudioStream};
use crate::pipeline::description::{EncodeDescription, Mode};
use crate::pipeline::limits;
use crate::pipeline::video::{Loss, Sending, VideoSpec, VideoStream};
use crate::protocol::params::StreamParams;
use crate::protocol::rtsp::{RtspRefusal, SessionId};
use crate::servers::media::Expected;
use crate::servers::nvhttp::LaunchRequest;
use anyhow::bail;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

type Answer = oneshot::Sender<Result<(), RtspRefusal>>;

/// What the task of a session is told.
#[derive(Debug)]
pub(super) enum Command {
    Announce(Box<StreamParams>, Answer),
    Play(Answer),
}

/// Longest between launch and ANNOUNCE, and between ANNOUNCE and PLAY: a client asks one after the other.
const CONVERSATION_LIMIT: Duration = Duration::from_secs(30);

/// Longest that a display takes until apps can be shown there, Xwayland and a source that has to be built again included.
const DISPLAY_LIMIT: Duration = Duration::from_secs(60);

/// One session.
pub(super) struct Player {
    pub id: SessionId,
    pub shared: Arc<Shared>,
    pub launch: LaunchRequest,
    pub page: Page,
    stop: watch::Receiver<Option<End>>,
    connect_data: u32,
    /// Clients ping from the moment that they know the payload, long before the stream is settled.
    pub video_expected: Expected,
    pub audio_expected: Expected,
}

impl Player {
    pub fn new(
        id: SessionId,
        shared: Arc<Shared>,
        launch: LaunchRequest,
        secrets: &Secrets,
        stop: watch::Receiver<Option<End>>,
        page: Page,
    ) -> Self {
        let video_expected = shared.equipment.video_socket.expect(secrets.video_ping);
        let audio_expected = shared.equipment.audio_socket.expect(secrets.audio_ping);
        Self {
            id,
            shared,
            launch,
            page,
            stop,
            connect_data: secrets.connect_data,
            video_expected,
            audio_expected,
        }
    }

    /// Runs until the session is over; when it returns, all that belonged to it is gone.
    pub async fn run(self, mut inbox: mpsc::Receiver<Command>) {
        let end = match self.conversation(&mut inbox).await {
            Ok(mut stage) => {
                let end = Play::new(&self, &mut stage).serve(&mut inbox).await;
                if let Some(code) = end.termination() {
                    stage.control.sender.terminate(code);
                }
                self.leave(stage, &end).await;
                // Not waited for: the session is over without it.
                tokio::task::spawn_blocking(memory::give_back);
                end
            }
            Err(end) => {
                self.give_up_display().await;
                end
            }
        };
        match &end {
            End::Failed(_) => tracing::warn!(session = %self.id, "ended: {end}"),
            end => tracing::info!(session = %self.id, "ended: {end}"),
        }
        self.page.close(end.to_string(), end.may_resume());
    }

    /// ANNOUNCE, then PLAY. Returns with the streams running.
    async fn conversation(&self, inbox: &mut mpsc::Receiver<Command>) -> Result<Stage, End> {
        let (params, answer) = loop {
            match self.next_command(inbox).await? {
                Command::Announce(params, answer) => break (params, answer),
                Command::Play(answer) => refuse(answer, "PLAY before ANNOUNCE"),
            }
        };
        // A person may take their time to agree to a screencast; who quits meanwhile must not wait for that.
        let prepared = tokio::select! {
            prepared = self.prepare(&params) => prepared,
            end = self.stopped() => return Err(end),
        };
        let mut stage = match prepared {
            Ok(stage) => stage,
            Err(refusal) => {
                let _ = answer.send(Err(refusal.clone()));
                return Err(End::Failed(refusal.reason));
            }
        };
        let _ = answer.send(Ok(()));
        let begun = match self.wait_for_play(inbox).await {
            Ok(answer) => self.begin(&mut stage, &params, answer).await,
            Err(end) => Err(end),
        };
        match begun {
            Ok(()) => {
                self.run_app(&params, &stage.view);
                Ok(stage)
            }
            Err(end) => {
                self.leave(stage, &end).await;
                Err(end)
            }
        }
    }

    async fn wait_for_play(&self, inbox: &mut mpsc::Receiver<Command>) -> Result<Answer, End> {
        loop {
            match self.next_command(inbox).await? {
                Command::Play(answer) => return Ok(answer),
                Command::Announce(_, answer) => refuse(answer, "ANNOUNCE came twice"),
            }
        }
    }

    async fn begin(&self, stage: &mut Stage, params: &StreamParams, answer: Answer) -> Result<(), End> {
        let wish = Wish { channels: params.audio.channels, local: self.launch.local_audio };
        stage.sound = Sound::open(&self.shared.equipment, &stage.view, wish).await;
        let (video, audio) = tokio::select! {
            started = async { tokio::join!(stage.video.start(), stage.audio.start(stage.sound.sink())) } => started,
            end = self.stopped() => return Err(end),
        };
        // A picture without sound is better than none.
        if let Err(error) = audio {
            tracing::warn!(session = %self.id, "no sound: {error:#}");
        }
        if let Err(error) = video {
            let reason = format!("{error:#}");
            let _ = answer.send(Err(RtspRefusal::new(500, reason.clone())));
            return Err(End::Failed(reason));
        }
        self.shared.mark_played(self.id);
        self.shared.mark_display_played(&self.launch.client, self.id);
        let _ = answer.send(Ok(()));
        Ok(())
    }

    /// What the client launched, on what it looks at. A picture without it is better than none.
    fn run_app(&self, params: &StreamParams, view: &View) {
        if view.is_guest() {
            return;
        }
        let (id, LaunchRequest { client, app, .. }) = (self.id, self.launch.clone());
        let mut environment = apps::surroundings(mode_of(params));
        environment.extend(view.sink().into_iter().flat_map(apps::heard_on));
        environment.extend(view.environment().iter().cloned());
        let (shared, display) = (self.shared.clone(), view.display());
        tokio::spawn(async move {
            if let Some(mut display) = display {
                match timeout(DISPLAY_LIMIT, display.wait_for(Option::is_some)).await {
                    Ok(Ok(display)) => environment.extend(display.iter().flat_map(apps::on)),
                    // The session is over.
                    Ok(Err(_)) => return,
                    Err(_) => {
                        tracing::warn!(session = %id, "no app: the display does not say where it is");
                        return;
                    }
                }
            }
            if let Err(error) = shared.run_app((id, client), app, &environment).await {
                tracing::warn!(session = %id, "the app does not start: {error:#}");
            }
        });
    }

    /// Ends everything, but a display that waits for its client.
    async fn leave(&self, stage: Stage, end: &End) {
        let mode = stage.mode;
        let mut view = Some(stage.close(&self.shared.equipment).await);
        let may_resume = end.may_resume() && self.stop.borrow().is_none();
        if view.as_ref().is_some_and(View::is_guest) && !may_resume {
            // It was never this client's to go on with.
            self.clear_app();
        }
        if view.as_ref().is_some_and(|view| view.display().is_some()) {
            // Whoever wants its end says so before asking for its display.
            let how = || self.stop.borrow().as_ref().unwrap_or(end).leaving();
            view = view.and_then(|view| self.shared.keep_display(self.purpose(mode), view, how));
        }
        if let Some(view) = view {
            // Before the display that it is on.
            apps::end(self.take_app(&view, end)).await;
            view.close().await;
        }
    }

    /// What has to end with the session: an app that is on its display, or whose client may not even quit it any more.
    fn take_app(&self, view: &View, end: &End) -> Option<apps::Started> {
        let (client, is_revoked) = (&self.launch.client, *end == End::Revoked);
        if view.display().is_none() && !is_revoked {
            return None;
        }
        let apps = &self.shared.equipment.apps;
        self.clear_app();
        if is_revoked { apps.take(client) } else { apps.take_of(client, self.id) }
    }

    /// The client has nothing running any more, unless it launched something since.
    fn clear_app(&self) {
        let mut table = self.shared.table();
        if table.is_newest(self.id) {
            table.clear_app(&self.launch.client);
        }
    }

    fn purpose(&self, mode: Mode) -> Purpose {
        Purpose { session: self.id, client: self.launch.client, app: self.launch.app, mode }
    }

    /// What the session shows. `channels`: of a sink of its own.
    async fn open_view(&self, mode: Mode, channels: u32) -> anyhow::Result<View> {
        // Whatever is on by now: its app is there.
        if let Some(view) = self.shared.find_display(self.purpose(mode)).await {
            return Ok(view);
        }
        // What a session did not let go of at the launch, it may have by now.
        self.shared.take_over((self.id, self.launch.client), self.launch.app).await;
        if let Some(view) = self.shared.find_display(self.purpose(mode)).await {
            return Ok(view);
        }
        if let Some(view) = self.shared.share_display(&self.purpose(mode)) {
            return Ok(view);
        }
        let Equipment { captures, audio_description, .. } = &self.shared.equipment;
        // What the client had until now is gone before there is something new.
        self.shared.keep.endings.settled(&self.launch.client).await;
        let is_isolated = self.is_isolated().await;
        if (is_isolated || captures.open_displays()) && !self.shared.may_launch(&self.launch.client) {
            bail!(ONLY_WATCHES);
        }
        let mut view = match is_isolated {
            true => captures.open_isolated(mode).await?,
            false => captures.open(mode).await?,
        };
        if view.display().is_none() {
            return Ok(view);
        }
        if audio_description.uses_sink() {
            let description = format!("Moonlight client {}", short(&self.launch.client));
            view = view.with_sink(Sink::open(&description, channels).await.map(Arc::new));
        }
        self.shared.register_display(self.purpose(mode), &view);
        Ok(view)
    }

    /// The session is over before it could leave its display: that is gone, and what ran there goes too.
    async fn give_up_display(&self) {
        let client = &self.launch.client;
        if self.shared.forget_display(client, self.id) {
            self.clear_app();
            apps::end(self.shared.equipment.apps.take_of(client, self.id)).await;
        }
    }

    /// Whether the client launched something that has a display of its own.
    async fn is_isolated(&self) -> bool {
        self.shared.equipment.apps.find(self.launch.app).await.is_some_and(|app| app.isolated)
    }

    async fn next_command(&self, inbox: &mut mpsc::Receiver<Command>) -> Result<Command, End> {
        tokio::select! {
            end = self.stopped() => Err(end),
            command = timeout(CONVERSATION_LIMIT, inbox.recv()) => match command {
                Ok(Some(command)) => Ok(command),
                Ok(None) => Err(End::HostEnds),
                Err(_) => Err(End::NeverPlayed),
            },
        }
    }

    /// Why somebody wants the session to end.
    pub async fn stopped(&self) -> End {
        let mut stop = self.stop.clone();
        match stop.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(End::HostEnds),
            Err(_) => End::HostEnds,
        }
    }

    /// As [`build`](Self::build), with what the client is told if it fails.
    async fn prepare(&self, params: &StreamParams) -> Result<Stage, RtspRefusal> {
        let encoders = self.encoders(params).map_err(|reason| RtspRefusal::new(400, reason))?;
        self.build(params, &encoders).await.map_err(|error| RtspRefusal::new(500, format!("{error:#}")))
    }

    /// Those that can encode what the client asks for, best first; one at least.
    fn encoders(&self, params: &StreamParams) -> Result<Vec<EncodeDescription>, String> {
        let mut refusal = format!("this host does not encode {}", params.video.codec);
        let mut encoders = Vec::new();
        for encode in self.shared.equipment.choice.all(params.video.codec) {
            match limits::refusal(encode, mode_of(params)) {
                Some(reason) => refusal = reason,
                None => encoders.push(encode.clone()),
            }
        }
        if encoders.is_empty() { Err(refusal) } else { Ok(encoders) }
    }

    /// Builds everything for what was settled; nothing is sent yet.
    async fn build(&self, params: &StreamParams, encoders: &[EncodeDescription]) -> anyhow::Result<Stage> {
        let equipment = &self.shared.equipment;
        let video = &params.video;
        tracing::info!(
            session = %self.id, encoder = %encoders[0].common.name, kbps = video.total_kbps,
            "streams {} {}x{} at {} fps", video.codec, video.width, video.height, video.fps.rounded(),
        );
        let spec = self.video_spec(params);
        self.page.write(|status| {
            let (width, height, fps) = (video.width, video.height, video.fps.rounded());
            status.stream = format!("{} {width}x{height} at {fps} fps", video.codec);
            status.encoder = encoders[0].common.name.clone();
            (status.fec_percentage, status.encoder_kbps) = (spec.fec_percentage, spec.encoder_kbps);
        });
        let (video_report, video_events) = mpsc::unbounded_channel();
        let (audio_report, audio_events) = mpsc::unbounded_channel();
        let video = VideoStream::build(encoders, &equipment.send_video, spec, video_report)?;
        let audio = AudioStream::build(
            &equipment.audio_description,
            &equipment.send_audio,
            self.audio_spec(params),
            audio_report,
        )?;
        let mode = mode_of(params);
        let asked = crowd::pixels_per_second(Some((mode.width, mode.height, mode.fps.rounded() as u32)));
        self.shared.table().set_pixels(self.id, asked);
        let mut view = self.open_view(mode, params.audio.channels).await?;
        self.page.write(|status| view.name().clone_into(&mut status.source));
        view.attach(video.source());
        let hands = self.grow_hands()?;
        self.direct(&hands, &view, mode);
        let take_input = Box::new(hands.taker());
        Ok(Stage {
            video,
            audio,
            view,
            sound: Sound::default(),
            mode,
            hands,
            control: equipment.control.admit(
                self.connect_data,
                self.launch.key.clone(),
                params.control_v2,
                take_input,
            ),
            adapter: Adapter::new(self.id, &equipment.send, params, Instant::now()),
            frame_interval: Duration::from_secs(params.video.fps.den.into()) / params.video.fps.num,
            video_events,
            audio_events,
        })
    }

    fn video_spec(&self, params: &StreamParams) -> VideoSpec<'_> {
        let Equipment { send, video_socket, .. } = &self.shared.equipment;
        let fec_percentage = send.start_percentage();
        VideoSpec {
            params: params.video.clone(),
            encoder_kbps: budget::encoder_kbps(&params.video, &params.audio, fec_percentage),
            fec_percentage,
            key: Some(self.launch.key.clone()),
            socket: video_socket.as_fd(),
            sending: Sending {
                pacing: send.pacing,
                dscp: send.dscp,
                link_kbps: send.link_rate,
                loss: (send.loss_percentage > 0.0).then_some(Loss {
                    percentage: send.loss_percentage,
                    burst: send.loss_burst,
                    seed: send.loss_seed.into(),
                }),
            },
        }
    }

    fn audio_spec(&self, params: &StreamParams) -> AudioSpec<'_> {
        AudioSpec {
            params: params.audio.clone(),
            key: Some(self.launch.key.clone()),
            key_id: self.launch.key_id,
            socket: self.shared.equipment.audio_socket.as_fd(),
            sending: Sending::default(),
        }
    }
}

fn mode_of(params: &StreamParams) -> Mode {
    let video = &params.video;
    Mode { width: video.width, height: video.height, fps: video.fps }
}

pub(super) fn refuse(answer: Answer, reason: &str) {
    let _ = answer.send(Err(RtspRefusal::new(455, reason)));
}
