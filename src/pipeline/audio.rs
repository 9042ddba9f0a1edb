//! The stream of sound of one session: a [`Source`] that ends in Opus, and what makes packets of that. They are two
//! pipelines as those of the picture are, so that numbers and seals go on when the source is built again.

use super::capture::Recipe;
use super::description::{AudioDescription, SendDescription};
use super::frames::Attached;
use super::property;
use super::rebuild::Limits;
use super::run::{self, Gate, Runner, StreamEvent};
use super::source::{Health, Looking, Source};
use super::video::Sending;
use crate::protocol::params::{AudioParams, SessionKey};
use anyhow::{Context, anyhow};
use gst::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;
use tokio::sync::{OnceCell, mpsc, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// What an [`AudioStream`] is built from.
pub struct AudioSpec<'a> {
    pub params: AudioParams,
    /// Seals every payload where `params.encrypt` asks for it.
    pub key: Option<SessionKey>,
    /// `rikeyid`, wrapped to 32 bits: start of the initialisation vector.
    pub key_id: u32,
    /// The host's audio port; the stream keeps a descriptor of its own.
    pub socket: BorrowedFd<'a>,
    pub sending: Sending,
}

/// Beyond this `opusenc` falls back to its default without a word.
const MOST_OPUS_KBPS: u32 = 650;

/// Bitrate of the Opus stream in kbit/s; with hard CBR this is what leaves, less parity and headers.
/// The figures are what GameStream hosts use for normal and high quality, as far as `opusenc` goes.
pub fn opus_kbps(params: &AudioParams) -> u32 {
    let usual: u32 = match (params.channels, params.high_quality) {
        (..=2, false) => 96,
        (..=2, true) => 512,
        (3..=6, false) => 256,
        (3..=6, true) => 1536,
        (7.., false) => 450,
        (7.., true) => 2048,
    };
    usual.min(MOST_OPUS_KBPS)
}

/// Longest that a session waits for the sound before it begins: a client gives up on its answer.
const START_LIMIT: Duration = Duration::from_secs(5);

/// A session without sound goes on, so there is time.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running stream. [`AudioStream::stop`] ends it with all its threads.
pub struct AudioStream {
    audio: AudioDescription,
    params: AudioParams,
    sound: OnceCell<Sound>,
    events: mpsc::UnboundedSender<StreamEvent>,
    /// Opus goes in here.
    entry: gst_app::AppSrc,
    runner: Runner,
    packetizer: gst::Element,
    sender: gst::Element,
    gate: Gate,
}

/// What sounds.
struct Sound {
    source: Source,
    _looking: Looking,
    _attached: Attached,
    _reporting: AbortOnDropHandle<()>,
}

impl AudioStream {
    /// Builds the pipeline. `events` hears of failures until the stream is stopped.
    pub fn build(
        audio: &AudioDescription,
        send: &SendDescription,
        spec: AudioSpec<'_>,
        events: mpsc::UnboundedSender<StreamEvent>,
    ) -> anyhow::Result<AudioStream> {
        let p = &spec.params;
        let socket = spec.socket.try_clone_to_owned().context("the audio socket cannot be shared")?;
        let text = format!(
            "appsrc name=entry is-live=true format=time do-timestamp=true max-buffers=40 max-bytes=0 leaky-type=upstream \
             ! {}",
            send.common.launch
        );
        let fd = socket.as_raw_fd();
        let runner = Runner::new("audio", run::parse(&text)?, Some(socket));
        runner.watch(run::into_channel(events.clone(), |event| event));
        let entry = run::element(runner.pipeline.upcast_ref(), "entry")?;
        let entry = entry.downcast::<gst_app::AppSrc>().expect("the text makes it an appsrc");
        let packetizer = run::element(runner.pipeline.upcast_ref(), "packetizer")?;
        let sender = run::element(runner.pipeline.upcast_ref(), "sender")?;
        property::set_number(&packetizer, "packet-duration", p.packet_ms)?;
        if let Some(key) = spec.key.as_ref().filter(|_| p.encrypt) {
            property::set(&packetizer, "encryption-key", hex::encode(key.0))?;
            property::set_number(&packetizer, "encryption-iv", spec.key_id)?;
        }
        property::set_number(&sender, "fd", fd)?;
        property::set_number(&sender, "dscp", spec.sending.dscp)?;
        let gate = Gate::before(&packetizer, || {});
        let (audio, params, sound) = (audio.clone(), spec.params, OnceCell::new());
        Ok(Self { audio, params, sound, events, entry, runner, packetizer, sender, gate })
    }

    /// Starts recording and encoding. Nothing leaves before [`Self::set_destination`]. Sound that does not begin is
    /// lost sound: the stream is silent until it comes. `sink`: what is listened to, by its name in PipeWire, where the
    /// player has one and the description [uses it](AudioDescription::uses_sink).
    pub async fn start(&self, sink: Option<&str>) -> anyhow::Result<()> {
        self.runner.start().await?;
        let recipe = self.recipe(sink);
        let limits = Limits { time: PATIENCE, ..Limits::default() };
        let started = timeout(START_LIMIT, Source::start(recipe.clone(), limits)).await;
        let late = || anyhow!("it does not start within {} s", START_LIMIT.as_secs());
        let (source, looking) = match started.unwrap_or_else(|_| Err(late())) {
            Ok(source) => {
                let looking = source.look();
                (source, looking)
            }
            Err(error) => {
                let reason = format!("{error:#}");
                // The session may be over.
                let _ = self.events.send(StreamEvent::SourceLost(reason.clone()));
                Source::lost(recipe, limits, reason)
            }
        };
        let sound = Sound {
            _looking: looking,
            _attached: source.attach(&self.entry),
            _reporting: AbortOnDropHandle::new(tokio::spawn(report(source.health(), self.events.clone()))),
            source,
        };
        // Started twice, the second goes.
        let _ = self.sound.set(sound);
        Ok(())
    }

    fn recipe(&self, sink: Option<&str>) -> Recipe {
        let p = &self.params;
        Recipe {
            what: "audio",
            name: self.audio.common.name.clone(),
            launch: self.audio.fill(p, opus_kbps(p), sink),
            delivers: "audio/x-opus",
            portal: None,
        }
    }

    /// Sends to `peer` from now on, from `source` where the client used that address of ours.
    pub fn set_destination(&self, peer: SocketAddr, source: Option<IpAddr>) {
        if let Err(error) = run::set_destination(&self.sender, peer, source) {
            tracing::warn!("the sound goes nowhere: {error:#}");
        }
        self.gate.open();
    }

    /// Counters of the packetizer and the sender, as they publish them in `stats`.
    pub fn stats(&self) -> (gst::Structure, gst::Structure) {
        (property::stats(&self.packetizer), property::stats(&self.sender))
    }

    /// Ends the stream; when it returns, every thread of the pipeline is gone.
    pub async fn stop(self) {
        if let Some(sound) = self.sound.get() {
            sound.source.close().await;
        }
        self.runner.stop().await;
    }
}

async fn report(mut health: watch::Receiver<Health>, events: mpsc::UnboundedSender<StreamEvent>) {
    while health.changed().await.is_ok() {
        let event = match &*health.borrow_and_update() {
            Health::Runs => continue,
            Health::Stands(reason) => StreamEvent::SourceLost(reason.clone()),
            Health::Rebuilt(_) => StreamEvent::SourceBack,
            Health::Over(reason) => StreamEvent::Failed(reason.clone()),
        };
        // The session may be over.
        let _ = events.send(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gst::glib;

    /// What is deducted from the video's share is what is encoded.
    #[test]
    fn opusenc_takes_every_bitrate() {
        gst::init().unwrap();
        let encoder = gst::ElementFactory::make("opusenc").build().unwrap();
        let spec = encoder.find_property("bitrate").unwrap();
        let spec = spec.downcast_ref::<glib::ParamSpecInt>().unwrap();
        for (channels, high_quality) in [2, 6, 8].into_iter().flat_map(|n| [(n, false), (n, true)]) {
            let kbps = opus_kbps(&AudioParams { channels, packet_ms: 5, high_quality, encrypt: false });
            assert!(kbps as i32 * 1000 <= spec.maximum(), "{channels} channels: {kbps} kbit/s");
        }
    }
}
