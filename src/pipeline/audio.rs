//! The stream of sound of one session: source, Opus, packets.

use super::description::{AudioDescription, SendDescription};
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

/// Bitrate of the Opus stream in kbit/s; with hard CBR this is what leaves, less parity and headers.
/// The figures are what GameStream hosts use for normal and high quality.
pub fn opus_kbps(params: &AudioParams) -> u32 {
    match (params.channels, params.high_quality) {
        (..=2, false) => 96,
        (..=2, true) => 512,
        (3..=6, false) => 256,
        (3..=6, true) => 1536,
        (7.., false) => 450,
        (7.., true) => 2048,
    }
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
        packetizer.set_property_from_str("packet-duration", &p.packet_ms.to_string());
        if let Some(key) = spec.key.as_ref().filter(|_| p.encrypt) {
            packetizer.set_property("encryption-key", hex::encode(key.0));
            packetizer.set_property("encryption-iv", spec.key_id);
        }
        sender.set_property("fd", socket.as_raw_fd());
        sender.set_property("dscp", spec.sending.dscp);
        let gate = Gate::before(&packetizer);
        Ok(Self { runner, packetizer, sender, gate, _socket: socket })
    }

    /// Starts recording and encoding. Nothing leaves before [`Self::set_destination`].
    pub async fn start(&self) -> anyhow::Result<()> {
        self.runner.start().await
    }

    /// Sends to `peer` from now on, from `source` where the client used that address of ours.
    pub fn set_destination(&self, peer: SocketAddr, source: Option<IpAddr>) {
        run::set_destination(&self.sender, peer, source);
        self.gate.open();
    }

    /// Counters of the packetizer and the sender, as they publish them in `stats`.
    pub fn stats(&self) -> (gst::Structure, gst::Structure) {
        (self.packetizer.property("stats"), self.sender.property("stats"))
    }

    /// Ends the stream; when it returns, every thread of the pipeline is gone.
    pub async fn stop(self) {
        self.runner.stop().await;
    }
}
