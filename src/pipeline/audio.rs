//! The stream of sound of one session: source, Opus, packets.

use super::description::{AudioDescription, SendDescription};
use super::property;
use super::run::{self, Gate, Runner, StreamEvent};
use super::video::Sending;
use crate::protocol::params::{AudioParams, SessionKey};
use anyhow::Context;
use gst::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use tokio::sync::mpsc;

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

/// A running stream. [`AudioStream::stop`] ends it with all its threads.
pub struct AudioStream {
    runner: Runner,
    packetizer: gst::Element,
    sender: gst::Element,
    gate: Gate,
    _socket: OwnedFd,
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
        let source = audio.fill(p.channels, p.packet_ms, opus_kbps(p));
        let text = format!("{source} ! audio/x-opus ! {}", send.common.launch);
        let runner = Runner::new("audio", run::parse(&text)?);
        runner.watch(run::into_channel(events, |event| event));
        let packetizer = run::element(runner.pipeline.upcast_ref(), "packetizer")?;
        let sender = run::element(runner.pipeline.upcast_ref(), "sender")?;
        property::set_number(&packetizer, "packet-duration", p.packet_ms)?;
        if let Some(key) = spec.key.as_ref().filter(|_| p.encrypt) {
            property::set(&packetizer, "encryption-key", hex::encode(key.0))?;
            property::set_number(&packetizer, "encryption-iv", spec.key_id)?;
        }
        property::set_number(&sender, "fd", socket.as_raw_fd())?;
        property::set_number(&sender, "dscp", spec.sending.dscp)?;
        let gate = Gate::before(&packetizer);
        Ok(Self { runner, packetizer, sender, gate, _socket: socket })
    }

    /// Starts recording and encoding. Nothing leaves before [`Self::set_destination`].
    pub async fn start(&self) -> anyhow::Result<()> {
        self.runner.start().await
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
        self.runner.stop().await;
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
