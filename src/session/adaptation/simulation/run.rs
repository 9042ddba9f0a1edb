//! A host, a way and a client on one simulated clock.

use super::client::{Client, Event, Packet};
use super::link::{Link, Phase, Seeded};
use crate::protocol::control::FecStatus;
use crate::protocol::params::{AudioParams, Codec, ColorSpace, Fps, VideoParams};
use crate::session::adaptation::{Adaptation, Bounds, Decision, Figures, Sent};
use crate::session::budget;
use gstgamestream::wire::video::{Layout, Redundancy};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// A key frame is so much larger than the average.
const KEY_FRAME: f64 = 4.0;
/// How much of what a key frame cost too much each frame after it saves.
const REPAYMENT: f64 = 0.1;
const PING: f64 = 0.1;
/// Between two measurements of ENet's round trip, and how far each moves it.
const ROUND_TRIP_INTERVAL: f64 = 0.5;
const ROUND_TRIP_WEIGHT: f64 = 0.125;

/// One case: who streams what over which way.
pub struct Case {
    pub name: &'static str,
    pub seconds: f64,
    pub kbps: u32,
    pub fps: u32,
    /// Share of the bitrate that the picture takes: a still desktop takes little.
    pub load: f64,
    pub phases: Vec<Phase>,
    pub queue_bytes: f64,
    /// One way, in seconds.
    pub delay: f64,
    pub start_percentage: u32,
    /// The client sends 0x5502.
    pub reports: bool,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            name: "",
            seconds: 150.0,
            kbps: 20_000,
            fps: 60,
            load: 1.0,
            phases: Vec::new(),
            queue_bytes: 200_000.0,
            delay: 0.005,
            start_percentage: 20,
            reports: true,
        }
    }
}

/// What a case came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub frames: u64,
    /// When frames were lost that left here, in seconds.
    pub lost: Vec<f64>,
    /// Longest time without a new picture in seconds, and when it ended.
    pub freeze: (f64, f64),
    pub key_frames: u64,
    pub data: u64,
    pub parity: u64,
    /// Each second: share of parity, kbit/s granted and on the wire.
    pub seconds: Vec<(u32, u32, f64)>,
    pub decisions: u64,
    pub figures: Figures,
}

impl Outcome {
    pub fn lost_within(&self, from: f64, to: f64) -> usize {
        self.lost.iter().filter(|at| (from..to).contains(*at)).count()
    }

    /// Mean share of parity among data packets.
    pub fn parity_share(&self) -> f64 {
        self.parity as f64 / self.data.max(1) as f64
    }

    /// Of kbit/s granted, from one second to another: least, mean, most.
    pub fn kbps(&self, from: usize, to: usize) -> (u32, u32, u32) {
        let all = self.seconds[from..to.min(self.seconds.len())].iter().map(|second| second.1);
        let (least, most) = (all.clone().min().unwrap_or(0), all.clone().max().unwrap_or(0));
        let count = all.len().max(1) as u64;
        (least, (all.map(u64::from).sum::<u64>() / count) as u32, most)
    }

    /// Times that the share of parity turned from down to up.
    pub fn swings(&self) -> usize {
        let changes: Vec<bool> = self
            .seconds
            .windows(2)
            .filter(|pair| pair[0].0 != pair[1].0)
            .map(|pair| pair[1].0 > pair[0].0)
            .collect();
        changes.windows(2).filter(|pair| !pair[0] && pair[1]).count()
    }

    /// Times that the rate turned from up to down.
    pub fn turns(&self) -> usize {
        let changes: Vec<bool> = self
            .seconds
            .windows(2)
            .filter(|pair| pair[0].1 != pair[1].1)
            .map(|pair| pair[1].1 > pair[0].1)
            .collect();
        changes.windows(2).filter(|pair| pair[0] && !pair[1]).count()
    }
}

struct Run<'a> {
    case: &'a Case,
    begin: Instant,
    adaptation: Adaptation,
    link: Link,
    client: Client,
    random: Seeded,
    video: VideoParams,
    audio: AudioParams,
    redundancy: Redundancy,
    kbps: u32,
    encoder_kbps: u32,
    sent: Sent,
    sequence: u16,
    debt: f64,
    key_owed: bool,
    /// Until when a key frame asked for arrives here.
    key_requests: VecDeque<f64>,
    waits_for_key: bool,
    reports: VecDeque<(f64, FecStatus)>,
    next: (f64, f64, f64),
    round_trip: f64,
    shown: f64,
    last_complete: u32,
    second_bytes: f64,
    out: Outcome,
}

/// The same seed gives the same outcome.
pub fn run(case: &Case, seed: u64) -> Outcome {
    Run::new(case, seed).play()
}

fn video(case: &Case) -> VideoParams {
    VideoParams {
        codec: Codec::H264,
        width: 1920,
        height: 1080,
        fps: Fps { num: case.fps, den: 1 },
        packet_size: 1392,
        total_kbps: case.kbps,
        min_fec_packets: 2,
        encrypt: true,
        color_space: ColorSpace::Bt709,
        full_range: false,
        max_reference_frames: 1,
        slices_per_frame: 1,
    }
}

impl<'a> Run<'a> {
    fn new(case: &'a Case, seed: u64) -> Self {
        let begin = Instant::now();
        let bounds = Bounds {
            fec_percentage: 5..=60,
            start_percentage: case.start_percentage,
            min_parity: 2,
            kbps: 1000..=case.kbps,
            reports: case.reports,
            frame_interval: Duration::from_secs(1) / case.fps,
        };
        let mut run = Self {
            case,
            begin,
            adaptation: Adaptation::new(bounds, begin),
            link: Link::new(&case.phases, case.queue_bytes, case.delay, seed),
            client: Client::default(),
            random: Seeded(!seed),
            video: video(case),
            audio: AudioParams { channels: 2, packet_ms: 5, high_quality: false, encrypt: true },
            redundancy: Redundancy { percentage: case.start_percentage as u8, min: 2 },
            kbps: case.kbps,
            encoder_kbps: 0,
            sent: Sent::default(),
            sequence: 0,
            debt: 0.0,
            key_owed: true,
            key_requests: VecDeque::new(),
            waits_for_key: true,
            reports: VecDeque::new(),
            next: (0.0, 0.0, 0.0),
            round_trip: 2.0 * case.delay,
            shown: 0.0,
            last_complete: 0,
            second_bytes: 0.0,
            out: Outcome::default(),
        };
        run.share_out();
        run
    }

    fn play(mut self) -> Outcome {
        let interval = 1.0 / f64::from(self.case.fps);
        let frames = (self.case.seconds * f64::from(self.case.fps)) as u64;
        for n in 0..frames {
            let now = n as f64 * interval;
            self.listen(now);
            self.send_frame(now);
            if (n + 1) % u64::from(self.case.fps) == 0 {
                let wire = self.second_bytes * 8.0 / 1000.0;
                self.out.seconds.push((self.redundancy.percentage.into(), self.kbps, wire));
                self.second_bytes = 0.0;
            }
        }
        self.out.frames = frames;
        self.out.figures = self.adaptation.figures();
        self.out
    }

    fn at(&self, seconds: f64) -> Instant {
        self.begin + Duration::from_secs_f64(seconds)
    }

    /// All that happens between two frames but the frame.
    fn listen(&mut self, now: f64) {
        let (ping, tick, measured) = self.next;
        if now >= ping {
            let arrival = now + self.link.delay;
            let reports = self.client.take_reports().into_iter().filter(|_| self.case.reports);
            self.reports.extend(reports.map(|report| (arrival, report)));
            self.next.0 = now + PING;
        }
        if now >= measured {
            let sample = 2.0 * self.link.delay + self.link.queue(now);
            self.round_trip += (sample - self.round_trip) * ROUND_TRIP_WEIGHT;
            let (at, measured) = (self.at(now), Duration::from_secs_f64(self.round_trip.min(1.0)));
            self.adaptation.handle_round_trip(at, measured);
            self.next.2 = now + ROUND_TRIP_INTERVAL;
        }
        while self.reports.front().is_some_and(|(arrival, _)| *arrival <= now) {
            let (_, report) = self.reports.pop_front().expect("checked");
            self.adaptation.handle_fec_status(self.at(now), &report);
        }
        while self.key_requests.front().is_some_and(|arrival| *arrival <= now) {
            self.key_requests.pop_front();
            self.key_owed = true;
            self.adaptation.handle_lost_frame(self.at(now));
        }
        if now >= tick {
            self.next.1 = now + 0.05;
            let now = self.at(now);
            self.adaptation.handle_sent(now, self.sent);
            if let Some(decision) = self.adaptation.poll(now) {
                self.apply(decision);
            }
        }
    }

    fn apply(&mut self, decision: Decision) {
        self.out.decisions += 1;
        self.redundancy =
            Redundancy { percentage: decision.fec_percentage as u8, min: decision.min_parity as usize };
        self.kbps = decision.kbps;
        self.share_out();
    }

    fn share_out(&mut self) {
        self.video.total_kbps = self.kbps;
        self.video.min_fec_packets = self.redundancy.min as u32;
        self.encoder_kbps = budget::encoder_kbps(&self.video, &self.audio, self.redundancy.percentage.into());
    }

    /// A frame of about the size that the encoder was told, or a key frame that the next ones pay for.
    fn frame_bytes(&mut self) -> (usize, bool) {
        let average = f64::from(self.encoder_kbps) * 125.0 / f64::from(self.case.fps) * self.case.load;
        let key = std::mem::take(&mut self.key_owed);
        let varied = average * (0.6 + 0.8 * self.random.share());
        let bytes =
            if key { average * KEY_FRAME } else { varied - (self.debt * REPAYMENT).min(varied / 2.0) };
        self.debt = (self.debt + bytes - if key { average } else { varied }).max(0.0);
        (bytes.max(50.0) as usize, key)
    }

    fn send_frame(&mut self, now: f64) {
        let (bytes, key) = self.frame_bytes();
        let layout = Layout::plan(bytes, self.video.packet_size as usize, self.redundancy).expect("it fits");
        let datagram = layout.datagram(true);
        // As the sink paces: eight times the bitrate.
        let step = datagram as f64 / (f64::from(self.kbps) * 125.0 * 8.0);
        self.sent.frame += 1;
        self.sent.frames += 1;
        self.out.key_frames += u64::from(key);
        let (frame, count) = (self.sent.frame, layout.blocks().len());
        let mut leaves = now;
        for (number, block) in layout.blocks().iter().enumerate() {
            self.sent.packets += block.packets() as u64;
            self.sent.parity_packets += block.parity as u64;
            self.out.data += block.data as u64;
            self.out.parity += block.parity as u64;
            for index in 0..block.packets() {
                let sequence = self.sequence;
                self.sequence = sequence.wrapping_add(1);
                self.second_bytes += (datagram + 48) as f64;
                self.sent.bytes += datagram as u64;
                leaves += step;
                let Some(arrival) = self.link.send(leaves, datagram + 28) else { continue };
                let packet = Packet {
                    frame,
                    key,
                    sequence,
                    block: number,
                    last_block: count - 1,
                    index,
                    layout: *block,
                };
                if let Some(event) = self.client.handle_packet(&packet) {
                    self.complete(now, arrival, event);
                }
            }
        }
    }

    fn complete(&mut self, now: f64, arrival: f64, event: Event) {
        let Event::Complete { frame, key } = event;
        let interval = 1.0 / f64::from(self.case.fps);
        for missing in self.last_complete + 1..frame {
            self.out.lost.push(now - f64::from(frame - missing) * interval);
            self.waits_for_key = true;
        }
        self.last_complete = frame;
        if key {
            self.waits_for_key = false;
        } else if self.waits_for_key {
            // Asked once a frame; the gate here lets few of them through.
            if self.key_requests.is_empty() && !self.key_owed {
                self.key_requests.push_back(arrival + self.link.delay);
            }
            return;
        }
        if self.shown > 0.0 && arrival - self.shown > self.out.freeze.0 {
            self.out.freeze = (arrival - self.shown, arrival);
        }
        self.shown = arrival;
    }
}
