//! Fits a stream to its network: how much parity, and how much in all.
//!
//! Decides only. What comes in is what the client reports of blocks that needed parity (0x5502), what it says of lost
//! frames, and what was sent; what comes out is a share of parity and a total rate. Parity is paid for out of that total,
//! so more of it never puts more on the wire. [`loss`] measures, [`parity`] says what that asks for, [`rate`] says what
//! the network carries, and [`failures`] tells a frame lost here and there from a network that is full.
//!
//! Silence means that nothing was lost, if the client is one that reports; of others only the frames that they lose are
//! known, and their parity never falls below where it began.

mod applying;
mod decision;
mod failures;
mod loss;
mod parity;
mod rate;
mod report;
#[cfg(test)]
mod simulation;
mod way;

pub use applying::Adapter;
pub use decision::{Decision, Reason};

use crate::protocol::control::FecStatus;
use failures::Failures;
use loss::LossMeter;
use parity::Channel;
use rate::{Move, RateControl, View};
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::time::Instant;
use way::Way;

/// How often the controller looks.
pub const TICK: Duration = Duration::from_millis(50);
/// Reports that a client sends at most in [`REPORT_INTERVAL`].
const REPORTS_AT_ONCE: u32 = 8;
const REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// What leaves so soon after a cut still meets the queue that filled before.
const DRAIN: Duration = Duration::from_millis(150);
/// Frames that fail for so long are lost to a full queue, or to a link that is gone for a while.
const SERIES: Duration = Duration::from_millis(100);
/// So many blocks failing now, and such a share of all, cannot wait.
const STORM: (f64, f64) = (4.0, 0.12);
/// Since the share last rose, before it falls; doubled each time that it rises soon after it fell.
const HOLD: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(16);
/// So soon.
const TO_AND_FRO: Duration = Duration::from_secs(20);
/// A share that did not rise for so long was no answer to a queue that filled.
const CALM: Duration = Duration::from_secs(1);
/// Between two steps down.
const RELEASE_INTERVAL: Duration = Duration::from_secs(1);
/// What is left of the share after a step down, in per cent.
const RELEASE_PERCENT: u32 = 85;
/// How much more may be lost before a step down would have been too early, and how much smaller or larger blocks may be:
/// the share that makes so many whole packets differs from one size to the next.
const RELUCTANCE: f64 = 1.3;
const OTHER_SIZES: [f64; 3] = [0.85, 1.0, 1.15];
/// Losses of frames that a mute client tells of in a row are one.
const MUTE_PAUSE: Duration = Duration::from_millis(500);
/// After a frame was lost by a client that says no more, the share stays.
const MUTE_HOLD: Duration = Duration::from_secs(30);
/// The most parity packets that the smallest block is given.
const MOST_MIN_PARITY: u32 = 40;

/// What the controller stays inside.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// Parity in per cent of data packets.
    pub fec_percentage: RangeInclusive<u32>,
    /// What it begins with.
    pub start_percentage: u32,
    /// Parity packets per block that the client insists on.
    pub min_parity: u32,
    /// The whole stream on the wire: the floor, and what the client asked for.
    pub kbps: RangeInclusive<u32>,
    /// The client sends 0x5502.
    pub reports: bool,
    pub frame_interval: Duration,
}

/// What was sent since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Index of the last frame, and frames.
    pub frame: u32,
    pub frames: u64,
    pub packets: u64,
    pub parity_packets: u64,
    pub bytes: u64,
}

/// What the controller knows and did, for whoever publishes it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// In force now.
    pub fec_percentage: u32,
    pub min_parity: u32,
    pub kbps: u32,
    /// Shares of 1 over the last seconds: packets lost before parity, blocks that parity did not mend.
    pub loss_before: f64,
    pub loss_after: f64,
    /// Mean number of packets lost in a row.
    pub burst: f64,
    /// Loss over the last seconds less that over the last ten: above zero it gets worse.
    pub trend: f64,
    /// Since the start: reports of the client, blocks among them that failed, and decisions by what they changed.
    pub reports: u64,
    pub failed_blocks: u64,
    /// Since the start: data packets that were lost, and rebuilt from parity.
    pub recovered_packets: u64,
    pub parity_raised: u64,
    pub parity_lowered: u64,
    pub rate_raised: u64,
    pub rate_lowered: u64,
}

/// The controller of one stream.
#[derive(Debug)]
pub struct Adaptation {
    bounds: Bounds,
    meter: LossMeter,
    failures: Failures,
    rate: RateControl,
    percentage: u32,
    min_parity: u32,
    /// Share and minimum before they last rose.
    calm: (u32, u32),
    raised: Instant,
    released: Instant,
    /// How long the share stays when it rose, and whether it fell since.
    hold: Duration,
    fell: bool,
    /// What a mute client's losses have brought the share to, and until when.
    mute: Option<(u32, Instant)>,
    mute_heard: Option<Instant>,
    own_drop: Option<Instant>,
    sent: Sent,
    last_tick: Instant,
    /// Data packets a block, and kbit/s on the wire, both of the last moments.
    block: f64,
    sent_kbps: f64,
    blocks: f64,
    /// Blocks since the start that lost something.
    hurt: f64,
    batch: Batch,
    way: Way,
    figures: Figures,
}

/// Reports that came together.
#[derive(Clone, Copy, Debug)]
struct Batch {
    since: Instant,
    count: u32,
    first: u32,
    last: u32,
}

impl Adaptation {
    pub fn new(bounds: Bounds, now: Instant) -> Self {
        let percentage = bounds.start_percentage.min(*bounds.fec_percentage.end());
        Self {
            meter: LossMeter::default(),
            failures: Failures::default(),
            rate: RateControl::new(bounds.kbps.clone(), now),
            percentage,
            min_parity: bounds.min_parity,
            calm: (percentage, bounds.min_parity),
            raised: now,
            released: now,
            hold: *HOLD.start(),
            fell: false,
            mute: None,
            mute_heard: None,
            own_drop: None,
            sent: Sent::default(),
            last_tick: now,
            block: 0.0,
            sent_kbps: 0.0,
            blocks: 0.0,
            hurt: 0.0,
            batch: Batch { since: now, count: 0, first: 0, last: 0 },
            way: Way::default(),
            figures: Figures::default(),
            bounds,
        }
    }

    /// Counters of what was sent, at each tick.
    pub fn handle_sent(&mut self, now: Instant, sent: Sent) {
        let time = now.saturating_duration_since(self.last_tick);
        let since = |count: fn(&Sent) -> u64| count(&sent).saturating_sub(count(&self.sent)) as f64;
        let (frames, bytes) = (since(|s| s.frames), since(|s| s.bytes));
        let data = (since(|s| s.packets) - since(|s| s.parity_packets)).max(0.0);
        let (last, seconds) = (self.sent, time.as_secs_f64());
        (self.sent, self.last_tick) = (sent, now);
        // What was sent before anybody listened says nothing.
        let (frames, data) = if last.frames == 0 { (0.0, 0.0) } else { (frames, data) };
        let mut blocks = 0.0;
        if frames > 0.0 {
            let packets = 100.0 * 255.0 / f64::from(100 + self.percentage);
            let per_frame = (data / frames / packets).ceil().clamp(1.0, 4.0);
            blocks = frames * per_frame;
            blend(&mut self.block, data / blocks, (frames / 60.0).min(1.0));
        }
        if seconds > 0.0 && last.frames > 0 {
            blend(&mut self.sent_kbps, bytes * 8.0 / 1000.0 / seconds, (seconds / 0.5).min(1.0));
        }
        self.blocks += blocks;
        self.meter.handle_sent(time, data, blocks);
    }

    /// 0x5502. Numbers that no block can have are passed over.
    pub fn handle_fec_status(&mut self, now: Instant, status: &FecStatus) {
        let Some(report) = report::read(status) else { return };
        self.figures.reports += 1;
        if report.failed {
            self.figures.failed_blocks += 1;
        } else {
            self.figures.recovered_packets += u64::from(report.lost_data);
        }
        self.handle_batch(now, report.frame);
        if self.failures.handle_report(now, &report) {
            self.meter.handle_report(&report);
            self.hurt += 1.0;
        }
    }

    /// A frame was dropped on this side: what the client says of it is not the network's fault.
    pub fn handle_own_drop(&mut self, now: Instant) {
        self.own_drop = Some(now);
    }

    /// How long the way there and back takes.
    pub fn handle_round_trip(&mut self, now: Instant, round_trip: Duration) {
        self.way.handle_round_trip(now, round_trip);
    }

    /// When to poll again.
    pub fn deadline(&self) -> Instant {
        self.last_tick + TICK
    }

    /// As [`Self::poll`], for a stream that is to stay as it is.
    pub fn watch(&mut self, now: Instant) {
        self.close_batch(now);
    }

    /// What to change now, if anything.
    pub fn poll(&mut self, now: Instant) -> Option<Decision> {
        self.close_batch(now);
        let moved = self.move_rate(now);
        let shared = self.move_share(now);
        let reason = moved.or(shared)?;
        Some(Decision {
            fec_percentage: self.percentage,
            min_parity: self.min_parity,
            kbps: self.rate.kbps(),
            reason,
        })
    }

    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub fn figures(&self) -> Figures {
        Figures {
            fec_percentage: self.percentage,
            min_parity: self.min_parity,
            kbps: self.rate.kbps(),
            loss_before: self.meter.loss_before(),
            loss_after: self.meter.loss_after(),
            burst: self.meter.burst(),
            trend: self.meter.trend(),
            ..self.figures
        }
    }

    /// The client asks to have a lost frame made good, by invalidation or with a key frame: all that one tells who does
    /// not report.
    pub fn handle_lost_frame(&mut self, now: Instant) {
        let at_start = self.blocks < 60.0;
        let recently =
            |at: Option<Instant>, time| at.is_some_and(|at| now.saturating_duration_since(at) < time);
        if self.bounds.reports || at_start || recently(self.own_drop, Duration::from_secs(1)) {
            return;
        }
        let again = recently(self.mute_heard, MUTE_PAUSE);
        self.mute_heard = Some(now);
        if !again {
            let more = (self.percentage + self.percentage / 2).max(self.percentage + 10);
            self.mute = Some((more.min(*self.bounds.fec_percentage.end()), now + MUTE_HOLD));
        }
    }

    fn handle_batch(&mut self, now: Instant, frame: u32) {
        if self.batch.count == 0 {
            self.batch = Batch { since: now, count: 0, first: frame, last: frame };
        }
        self.batch.count += 1;
        self.batch.last = self.batch.last.max(frame);
    }

    /// A full batch says nothing of the frames after its last: they do not count as whole.
    fn close_batch(&mut self, now: Instant) {
        if now < self.batch.since + REPORT_INTERVAL / 2 {
            return;
        }
        if self.batch.count >= REPORTS_AT_ONCE && self.sent.frames > 0 {
            let seen = f64::from((self.batch.last - self.batch.first).saturating_add(1));
            let frames = f64::from(self.frames_in(REPORT_INTERVAL));
            let blocks = (frames - seen).max(0.0) * self.blocks / self.sent.frames as f64;
            self.meter.handle_untold(blocks * self.block, blocks);
        }
        self.batch.count = 0;
    }

    /// Frames sent in this time, rounded up.
    fn frames_in(&self, time: Duration) -> u32 {
        (time.as_secs_f64() / self.bounds.frame_interval.as_secs_f64()).ceil() as u32
    }

    fn move_rate(&mut self, now: Instant) -> Option<Reason> {
        let (failures_now, failing_now) = self.meter.failing_now();
        let view = View {
            sent_kbps: self.sent_kbps,
            heavy: self.failures.heavy(now, self.frames_in(SERIES)),
            hurt: self.hurt,
            failed: self.failures.count(),
            usual: self.meter.usual(),
            now: self.meter.now(),
            loss_now: self.meter.loss_now(),
            dispersion: self.meter.dispersion(),
            density: self.meter.density(),
            storm: failures_now >= STORM.0 && failing_now >= STORM.1,
            queue: self.way.queue(),
        };
        let before = self.rate.kbps();
        let what = self.rate.update(now, &view);
        // Blocks shrink and grow with the rate, and what a smaller one gets must not be what a larger one needed.
        self.block *= f64::from(self.rate.kbps()) / f64::from(before.max(1));
        if self.rate.take_full() {
            self.meter.forgive();
            let share = (self.percentage, self.min_parity);
            (self.percentage, self.min_parity) = self.calm;
            if what.is_none() && share != self.calm {
                self.figures.parity_lowered += 1;
                return Some(Reason::LessLoss);
            }
        }
        let what = what?;
        self.figures.rate_raised += u64::from(self.rate.kbps() > before);
        self.figures.rate_lowered += u64::from(self.rate.kbps() < before);
        if what == Move::Cut {
            // Reports of what has left meanwhile tell of the rate before.
            self.failures.forget_until(self.sent.frame.saturating_add(self.frames_in(DRAIN)));
        }
        Some(what.into())
    }

    fn move_share(&mut self, now: Instant) -> Option<Reason> {
        let (percentage, min_parity) = self.needed(now, 1.0, 1.0)?;
        let before = (self.percentage, self.min_parity);
        if now >= self.raised + CALM {
            self.calm = before;
        }
        if percentage > self.percentage || min_parity > self.min_parity {
            self.percentage = self.percentage.max(percentage);
            self.min_parity = self.min_parity.max(min_parity);
            if std::mem::take(&mut self.fell) {
                let again = now < self.released + TO_AND_FRO;
                self.hold = if again { (self.hold * 2).min(*HOLD.end()) } else { *HOLD.start() };
            }
            self.raised = now;
            self.figures.parity_raised += 1;
            return Some(Reason::MoreLoss);
        }
        if now < self.raised + self.hold || now < self.released + RELEASE_INTERVAL {
            return None;
        }
        // With less it must do even if a little more is lost, or it goes to and fro.
        let needed = OTHER_SIZES.map(|size| self.needed(now, RELUCTANCE, size));
        let (percentage, min_parity) =
            needed.into_iter().flatten().reduce(|one, other| (one.0.max(other.0), one.1.max(other.1)))?;
        if percentage < self.percentage {
            self.percentage = percentage.max(self.percentage * RELEASE_PERCENT / 100);
        }
        if min_parity < self.min_parity {
            self.min_parity = min_parity.max(self.min_parity * RELEASE_PERCENT / 100);
        }
        if (self.percentage, self.min_parity) == before {
            return None;
        }
        (self.released, self.fell) = (now, true);
        self.figures.parity_lowered += 1;
        Some(Reason::LessLoss)
    }

    /// Percentage and minimum of parity packets that `more` times the losses ask for, with blocks of `size` times theirs.
    fn needed(&mut self, now: Instant, more: f64, size: f64) -> Option<(u32, u32)> {
        if self.block <= 0.0 {
            return None;
        }
        if !self.bounds.reports {
            self.mute = self.mute.filter(|(_, until)| now < *until);
            let share = self.mute.map_or(self.bounds.start_percentage, |(share, _)| share);
            return Some((share.min(*self.bounds.fec_percentage.end()), self.bounds.min_parity));
        }
        let channel =
            Channel { loss: (self.meter.loss() * more).min(1.0), dispersion: self.meter.dispersion() };
        let min = self.bounds.min_parity..=self.bounds.min_parity.max(MOST_MIN_PARITY);
        let redundancy = channel.redundancy(self.block * size, self.bounds.fec_percentage.clone(), min);
        Some((redundancy.percentage.into(), redundancy.min as u32))
    }
}

/// Moves a mean towards what was seen now; the first time it is that.
fn blend(mean: &mut f64, seen: f64, weight: f64) {
    *mean = if *mean == 0.0 { seen } else { *mean + (seen - *mean) * weight };
}
