//! All that runs while a client is served.

use super::Equipment;
use super::adaptation::Adapter;
use super::sound::Sound;
use super::view::View;
use crate::input::Hands;
use crate::pipeline::StreamEvent;
use crate::pipeline::audio::AudioStream;
use crate::pipeline::description::Mode;
use crate::pipeline::stages;
use crate::pipeline::video::VideoStream;
use crate::servers::control::ControlPeer;
use std::time::Duration;
use tokio::sync::mpsc;

/// All that runs for a session once its stream is settled.
pub(super) struct Stage {
    pub video: VideoStream,
    pub audio: AudioStream,
    pub view: View,
    /// Where it is taken from once it plays.
    pub sound: Sound,
    pub mode: Mode,
    pub hands: Hands,
    pub control: ControlPeer,
    pub frame_interval: Duration,
    pub adapter: Adapter,
    pub video_events: mpsc::UnboundedReceiver<StreamEvent>,
    pub audio_events: mpsc::UnboundedReceiver<StreamEvent>,
}

impl Stage {
    /// Ends everything but what was looked at.
    pub async fn close(mut self, equipment: &Equipment) -> View {
        let stats = self.video.stats();
        tracing::debug!(
            "pace: {}; encode: {:?}; packetize: {}; send: {}",
            stats.pace,
            stats.encode,
            stats.packetize,
            stats.send
        );
        let stages: Vec<String> = stages::read(&stats.send).iter().map(ToString::to_string).collect();
        tracing::info!("a frame's way in ms, half/99 %/all of them within: {}", stages.join(", "));
        self.view.detach();
        // Nothing stays down on what goes on.
        let hands = tokio::task::spawn_blocking(move || drop(self.hands));
        let (.., lifted) = tokio::join!(self.video.stop(), self.audio.stop(), hands);
        self.sound.close(equipment).await;
        if let Err(panic) = lifted {
            tracing::error!("something may be held down: {panic}");
        }
        self.view
    }
}
