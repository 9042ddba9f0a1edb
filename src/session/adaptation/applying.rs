//! Lets the controller see a running stream, and does what it decides.

use super::{Adaptation, Bounds, Decision, Figures, Sent};
use crate::config::SendSettings;
use crate::pipeline::video::VideoStream;
use crate::protocol::control::ControlEvent;
use crate::protocol::params::{AudioParams, StreamParams, VideoParams};
use crate::protocol::rtsp::SessionId;
use crate::session::budget;
use std::time::Duration;
use tokio::time::Instant;

/// Between two lines of the log that everybody sees.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The controller of one stream, and what it needs to share out a bitrate.
pub struct Adapter {
    session: SessionId,
    adaptation: Adaptation,
    /// The owner wants parity and bitrate to stay: what is reported is only counted.
    is_fixed: bool,
    /// Those of the stream, with the rate and the minimum of parity as they are now.
    video: VideoParams,
    audio: AudioParams,
    /// Share and rate as last told.
    told: (u32, u32),
    told_at: Option<Instant>,
    /// Frames that were left out here, when it was looked last.
    skipped: u64,
}

/// What the stream runs at now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    pub fec_percentage: u32,
    pub encoder_kbps: u32,
}

impl Adapter {
    /// For a stream that starts with the parity of `settings`.
    pub fn new(session: SessionId, settings: &SendSettings, params: &StreamParams, now: Instant) -> Self {
        let (video, audio) = (params.video.clone(), params.audio.clone());
        let bounds = Bounds {
            fec_percentage: settings.least_fec_percentage..=settings.most_fec_percentage,
            start_percentage: settings.start_percentage(),
            min_parity: video.min_fec_packets,
            kbps: settings.least_kbps.min(video.total_kbps)..=video.total_kbps,
            reports: params.fec_status,
            frame_interval: Duration::from_nanos(video.fps.interval_ns()),
        };
        let told = (bounds.start_percentage, video.total_kbps);
        Self {
            session,
            adaptation: Adaptation::new(bounds, now),
            is_fixed: !settings.adaptation,
            video,
            audio,
            told,
            told_at: None,
            skipped: 0,
        }
    }

    /// When to call [`Self::tick`].
    pub fn deadline(&self) -> Instant {
        self.adaptation.deadline()
    }

    pub fn handle_control(&mut self, now: Instant, event: &ControlEvent) {
        match *event {
            ControlEvent::FecStatus(status) => self.adaptation.handle_fec_status(now, &status),
            ControlEvent::Invalidate { .. } | ControlEvent::IdrRequest => {
                self.adaptation.handle_lost_frame(now)
            }
            _ => {}
        }
    }

    /// The picture was broken on this side.
    pub fn handle_own_drop(&mut self, now: Instant) {
        self.adaptation.handle_own_drop(now);
    }

    /// Looks at the stream, and changes it if that is due.
    pub fn tick(&mut self, now: Instant, stream: &VideoStream, round_trip: Duration) -> Option<Applied> {
        let packetized = stream.packetized();
        self.adaptation.handle_round_trip(now, round_trip);
        self.adaptation.handle_sent(now, sent(&packetized));
        let skipped = packetized.get("frames-skipped").unwrap_or_default();
        if std::mem::replace(&mut self.skipped, skipped) != skipped {
            self.handle_own_drop(now);
        }
        if self.is_fixed {
            self.adaptation.watch(now);
            return None;
        }
        let decision = self.adaptation.poll(now)?;
        let applied = self.apply(stream, decision);
        self.tell(now, decision, applied);
        Some(applied)
    }

    pub fn figures(&self) -> Figures {
        self.adaptation.figures()
    }

    fn apply(&mut self, stream: &VideoStream, decision: Decision) -> Applied {
        let Decision { fec_percentage, min_parity, kbps, .. } = decision;
        (self.video.total_kbps, self.video.min_fec_packets) = (kbps, min_parity);
        let encoder_kbps = budget::encoder_kbps(&self.video, &self.audio, fec_percentage);
        stream.set_min_parity(min_parity);
        stream.set_redundancy(fec_percentage, encoder_kbps);
        stream.set_wire_rate(kbps);
        Applied { fec_percentage, encoder_kbps }
    }

    fn tell(&mut self, now: Instant, decision: Decision, applied: Applied) {
        let Decision { fec_percentage, min_parity, kbps, reason } = decision;
        let figures = self.figures();
        let percent = |share: f64| (share * 1000.0).round() / 10.0;
        let (before, after) = (percent(figures.loss_before), percent(figures.loss_after));
        let (burst, encoder_kbps) = ((figures.burst * 10.0).round() / 10.0, applied.encoder_kbps);
        let trend = percent(figures.trend);
        let session = self.session;
        if self.is_notable(now, fec_percentage, kbps) {
            (self.told, self.told_at) = ((fec_percentage, kbps), Some(now));
            tracing::info!(
                %session, fec_percentage, min_parity, kbps, encoder_kbps, before, after, burst, trend, "adapts: {reason}"
            );
        } else {
            tracing::debug!(
                %session, fec_percentage, min_parity, kbps, encoder_kbps, before, after, burst, trend, "adapts: {reason}"
            );
        }
    }

    /// Whether a change is worth a line that everybody sees.
    fn is_notable(&self, now: Instant, fec_percentage: u32, kbps: u32) -> bool {
        let (told_percentage, told_kbps) = self.told;
        let bounds = self.adaptation.bounds();
        let at_end = fec_percentage != told_percentage
            && [bounds.fec_percentage.start(), bounds.fec_percentage.end()].contains(&&fec_percentage);
        let differs = fec_percentage.abs_diff(told_percentage) >= 5
            || kbps.abs_diff(told_kbps) * 10 >= told_kbps
            || (kbps == *bounds.kbps.end() && kbps != told_kbps);
        let is_time = self.told_at.is_none_or(|told| now.saturating_duration_since(told) >= LOG_INTERVAL);
        is_time && (at_end || differs)
    }
}

/// What a packetizer has counted.
fn sent(stats: &gst::Structure) -> Sent {
    let count = |name: &str| stats.get::<u64>(name).unwrap_or_default();
    let frames = count("frames");
    Sent {
        frame: (frames + count("frames-skipped")) as u32,
        frames,
        packets: count("packets"),
        parity_packets: count("parity-packets"),
        bytes: count("bytes"),
    }
}
