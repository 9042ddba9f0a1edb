//! Serving a client while its streams run: everything that happens to a session passes through one loop.

use super::end::End;
use super::keyframes::{KeyFrames, Reason};
use super::longterm::LongTerm;
use super::player::{Command, Player, refuse};
use super::silence::Silence;
use super::stage::Stage;
use super::view::Look;
use crate::pipeline::StreamEvent;
use crate::pipeline::source::Health;
use crate::protocol::control::ControlEvent;
use crate::servers::media::Endpoint;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// A source that shows nothing for so long after PLAY is still, and a client without any picture leaves after 10 s.
const FIRST_FRAME_LIMIT: Duration = Duration::from_millis(500);

/// How often a player is asked whether it still may, and its figures are written down.
const SECOND: Duration = Duration::from_secs(1);

/// What is known of a session while it plays.
pub(super) struct Play<'a> {
    player: &'a Player,
    stage: &'a mut Stage,
    keys: KeyFrames,
    silence: Silence,
    /// Nobody asks it before an encoder here marks long-term references.
    long_term: LongTerm,
}

impl<'a> Play<'a> {
    /// PLAY was answered just now.
    pub fn new(player: &'a Player, stage: &'a mut Stage) -> Self {
        let keys = KeyFrames::new(stage.frame_interval);
        Self { player, stage, keys, silence: Silence::new(Instant::now()), long_term: LongTerm::default() }
    }

    /// Serves the client until there is a reason to end.
    pub async fn serve(mut self, inbox: &mut mpsc::Receiver<Command>) -> End {
        let gone = self.stage.view.gone();
        let black_due = Instant::now() + FIRST_FRAME_LIMIT;
        let mut shows_something = false;
        let mut second = interval(SECOND);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What was pinged before counts now.
        let mut video_endpoint = self.player.video_expected.endpoint.clone();
        let mut audio_endpoint = self.player.audio_expected.endpoint.clone();
        video_endpoint.mark_changed();
        audio_endpoint.mark_changed();
        loop {
            self.ask_for_key_frame_if_due();
            let owed = self.keys.deadline();
            let looks = self.stage.adapter.deadline();
            let ended = tokio::select! {
                end = self.player.stopped() => Some(end),
                () = async { sleep_until(owed.expect("checked")).await }, if owed.is_some() => None,
                () = sleep_until(looks) => {
                    self.adapt();
                    None
                }
                command = inbox.recv() => match command {
                    Some(Command::Announce(_, answer) | Command::Play(answer)) => {
                        refuse(answer, "the stream runs already");
                        None
                    }
                    None => Some(End::HostEnds),
                },
                _ = second.tick() => {
                    self.write_down();
                    self.stage.hands.allow(self.player.allowed());
                    self.revoked()
                }
                event = self.stage.control.events.recv() => self.handle_control(event),
                Ok(()) = video_endpoint.changed() => {
                    let endpoint = *video_endpoint.borrow_and_update();
                    self.handle_video_endpoint(endpoint);
                    None
                }
                Ok(()) = audio_endpoint.changed() => {
                    let endpoint = *audio_endpoint.borrow_and_update();
                    self.handle_audio_endpoint(endpoint);
                    None
                }
                Some(event) = self.stage.video_events.recv() => self.handle_video(event),
                Some(event) = self.stage.audio_events.recv() => {
                    self.handle_audio(event);
                    None
                }
                Ok(()) = self.stage.view.health.changed() => self.handle_source(),
                Some(look) = self.stage.view.moves.recv() => {
                    self.handle_switch(look);
                    None
                }
                () = sleep_until(black_due), if !shows_something => {
                    shows_something = true;
                    self.show_black_if_nothing_came();
                    None
                }
                () = gone.cancelled() => Some(End::OwnerLeft),
                () = sleep_until(self.silence.deadline()) => Some(End::Silent),
            };
            if let Some(end) = ended {
                self.write_down();
                return end;
            }
        }
    }

    fn ask_for_key_frame_if_due(&mut self) {
        self.keys.handle_round_trip(self.stage.control.round_trip());
        if let Some(reason) = self.keys.poll(Instant::now()) {
            tracing::debug!(session = %self.player.id, "key frame: {reason}");
            self.stage.video.force_key_unit();
            self.player.page.write(|status| *status.key_frames.entry(reason.to_string()).or_default() += 1);
        }
    }

    /// Fits parity and bitrate to what gets lost.
    fn adapt(&mut self) {
        let Stage { adapter, video, control, .. } = &mut *self.stage;
        if let Some(now) = adapter.tick(Instant::now(), video, control.round_trip()) {
            self.player.page.write(|status| {
                (status.fec_percentage, status.encoder_kbps) = (now.fec_percentage, now.encoder_kbps);
            });
        }
    }

    fn write_down(&self) {
        self.player.page.count(&self.stage.video.stats());
        self.player.page.report(&self.stage.adapter.figures());
    }

    fn revoked(&self) -> Option<End> {
        let Player { shared, launch, .. } = self.player;
        (!shared.equipment.clients.is_paired(&launch.client)).then_some(End::Revoked)
    }

    fn handle_control(&mut self, event: Option<ControlEvent>) -> Option<End> {
        self.silence.handle_message(Instant::now());
        let session = self.player.id;
        if let Some(event) = &event {
            self.stage.adapter.handle_control(Instant::now(), event);
        }
        match event {
            None | Some(ControlEvent::Disconnected) => return Some(End::ClientLeft),
            Some(ControlEvent::Invalidate { first, last }) => self.handle_lost(first, last),
            Some(ControlEvent::LongTermAck { frame }) => self.handle_acknowledgement(frame),
            Some(ControlEvent::IdrRequest) => self.keys.handle_request(Instant::now()),
            Some(ControlEvent::Connected) => {
                self.keys.handle_connected(Instant::now());
                tracing::info!(%session, "plays");
            }
            // What a player types is nothing for a log.
            Some(ControlEvent::Input(_)) => {}
            Some(event) => tracing::trace!(%session, ?event, "control"),
        }
        None
    }

    fn handle_lost(&mut self, first: u32, last: u32) {
        let session = self.player.id;
        let video = &self.stage.video;
        if self.keys.handle_lost(|| video.invalidate(first, last)) {
            tracing::debug!(%session, "frames {first} to {last} are lost: the next one does without");
        }
    }

    fn handle_acknowledgement(&mut self, frame: u32) {
        if let Some(key) = self.stage.video.last_key_frame() {
            self.long_term.handle_key_frame(key);
        }
        self.long_term.handle_acknowledgement(frame);
    }

    fn handle_video_endpoint(&mut self, endpoint: Option<Endpoint>) {
        let Some(Endpoint { peer, local }) = endpoint else { return };
        tracing::debug!(session = %self.player.id, %peer, "video goes there");
        if self.stage.video.is_shut() {
            // Asked before it opens: an encoder's first frame that comes right then is answer enough.
            self.keys.handle_reason(Reason::FirstFrame);
            self.ask_for_key_frame_if_due();
        }
        self.stage.video.set_destination(peer, local);
    }

    fn handle_audio_endpoint(&self, endpoint: Option<Endpoint>) {
        if let Some(Endpoint { peer, local }) = endpoint {
            self.stage.audio.set_destination(peer, local);
        }
    }

    fn handle_video(&mut self, event: StreamEvent) -> Option<End> {
        match event {
            StreamEvent::Failed(reason) => return Some(End::Failed(reason)),
            StreamEvent::PeerGone => {
                tracing::debug!(session = %self.player.id, "nobody listens to the video");
            }
            StreamEvent::KeyFrameNeeded => self.make_good(Reason::Dropped),
            StreamEvent::EncoderReplaced(change) => {
                tracing::warn!(session = %self.player.id, "{change}");
                self.make_good(Reason::EncoderReset);
            }
            StreamEvent::SourceLost(_) | StreamEvent::SourceBack | StreamEvent::Display(_) => {}
        }
        None
    }

    /// What went wrong on this side is not the network's fault.
    fn make_good(&mut self, reason: Reason) {
        self.keys.handle_reason(reason);
        self.stage.adapter.handle_own_drop(Instant::now());
    }

    fn handle_audio(&self, event: StreamEvent) {
        let session = self.player.id;
        match event {
            // A picture without sound is better than none.
            StreamEvent::Failed(reason) => tracing::warn!(%session, "no more sound: {reason}"),
            StreamEvent::PeerGone => tracing::debug!(%session, "nobody listens to the sound"),
            StreamEvent::SourceLost(reason) => tracing::warn!(%session, "silence: {reason}"),
            StreamEvent::SourceBack => tracing::info!(%session, "the sound is back"),
            StreamEvent::KeyFrameNeeded | StreamEvent::EncoderReplaced(_) | StreamEvent::Display(_) => {}
        }
    }

    /// The stream goes on with the last picture while there is no source.
    fn handle_source(&mut self) -> Option<End> {
        let session = self.player.id;
        match &*self.stage.view.health.borrow_and_update() {
            Health::Runs => {}
            Health::Stands(reason) => tracing::warn!(%session, "the picture stands still: {reason}"),
            Health::Rebuilt(_) => {
                tracing::info!(%session, "a new source shows");
                self.player.page.write(|status| status.source_rebuilds += 1);
                self.keys.handle_reason(Reason::Rebuilt);
            }
            Health::Over(reason) => return Some(End::Failed(format!("no source any more: {reason}"))),
        }
        None
    }

    /// The owner shows something else.
    fn handle_switch(&mut self, look: Look) {
        tracing::info!(session = %self.player.id, "another source shows: {}", look.name());
        self.player.page.write(|status| look.name().clone_into(&mut status.source));
        self.stage.view.follow(look);
        self.player.direct(&self.stage.hands, &self.stage.view, self.stage.mode);
        self.keys.handle_reason(Reason::Rebuilt);
    }

    fn show_black_if_nothing_came(&self) {
        let Stage { video, view, .. } = &*self.stage;
        match video.black_sample() {
            Ok(black) => {
                if view.source().show_if_nothing(video.source(), &black) {
                    tracing::info!(session = %self.player.id, "the source shows nothing yet: the client sees black");
                }
            }
            Err(error) => tracing::warn!(session = %self.player.id, "{error:#}"),
        }
    }
}
