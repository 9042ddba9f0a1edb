//! Replaces the encoder of a stream when it dies. A thread of its own, since what it waits for may hang; all others only
//! leave it orders.

use super::super::description::{Describes, EncodeDescription, Mode};
use super::super::limits;
use super::super::run::StreamEvent;
use super::attendant::{self, Wishes};
use super::place::{Closing, Place};
use super::section::{Life, Section};
use super::succession::Succession;
use super::{Prepare, Present};
use crate::threads::Rtkit;
use gst::prelude::*;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

/// Longest an encoder may take to open: hardware may have to wake up, and a client leaves after ten seconds without a
/// picture.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// Longest it may take to close before it is left to itself.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

pub(super) enum Order {
    /// Open the first that opens.
    Open(oneshot::Sender<Result<(), String>>),
    /// The pipeline plays.
    Play,
    /// The section of this number is open, or does not open.
    Opened(u64),
    /// It died.
    Died(u64),
    /// Close it and end; answered when it is closed.
    Stop(oneshot::Sender<()>),
}

/// Why there is no encoder.
enum Without {
    /// It died before it was in its place.
    Dead(String),
    Stopped,
}

/// A section in its place.
struct Running {
    /// Counts the sections of a stream.
    number: u64,
    section: Section,
}

/// What a supervisor works with.
pub(super) struct Charge {
    pub place: Place,
    /// Best first.
    pub encoders: Vec<EncodeDescription>,
    pub mode: Mode,
    /// As [`EncodeDescription::fill`] takes them.
    pub slices: u32,
    pub wishes: Arc<Wishes>,
    pub prepare: Prepare,
    pub rtkit: Rtkit,
    pub present: Arc<Present>,
    pub events: UnboundedSender<StreamEvent>,
    /// To itself.
    pub inbox: Sender<Order>,
}

pub(super) struct Supervisor {
    charge: Charge,
    orders: Receiver<Order>,
    succession: Succession,
    /// Sections so far.
    count: u64,
    playing: bool,
    current: Option<Running>,
    closing: Vec<Closing>,
    stopped: Option<oneshot::Sender<()>>,
}

impl Supervisor {
    pub fn new(charge: Charge, orders: Receiver<Order>) -> Self {
        let succession = Succession::new(charge.encoders.len(), Instant::now());
        let (current, closing, stopped) = (None, Vec::new(), None);
        Self { charge, orders, succession, count: 0, playing: false, current, closing, stopped }
    }

    /// Runs until the stream is stopped.
    pub fn run(mut self) {
        while self.stopped.is_none() {
            // The sender that it keeps itself never goes.
            let Ok(order) = self.orders.recv() else { break };
            match order {
                Order::Open(answer) => drop(answer.send(self.begin())),
                Order::Play => self.play(),
                Order::Died(number) if self.is_current(number) => self.replace(),
                Order::Died(_) | Order::Opened(_) => {}
                Order::Stop(answer) => self.stopped = Some(answer),
            }
        }
        self.close();
    }

    fn is_current(&self, number: u64) -> bool {
        self.current.as_ref().is_some_and(|running| running.number == number)
    }

    fn name(&self, encoder: usize) -> &str {
        self.charge.encoders[encoder].name()
    }

    /// Puts the best that opens into its place.
    fn begin(&mut self) -> Result<(), String> {
        let encoder = self.succession.current();
        match self.install(encoder, None) {
            Ok(()) => Ok(()),
            Err(Without::Dead(reason)) => self.succeed(reason, false),
            Err(Without::Stopped) => Err("it was stopped before".into()),
        }
    }

    fn play(&mut self) {
        self.playing = true;
        if let Some(running) = &self.current {
            start(&running.section);
        }
    }

    /// The present encoder died.
    fn replace(&mut self) {
        let Some(running) = &self.current else { return };
        let reason = running.section.life.fault().unwrap_or("it was closed").to_owned();
        let delivered = running.section.life.units() > 0;
        // Nobody waits for it while the next one opens.
        running.section.abandon();
        if let Err(reason) = self.succeed(reason, delivered) {
            let _ = self.charge.events.send(StreamEvent::Failed(reason));
        }
    }

    /// Finds the one that takes the place of an encoder which died for this `reason`. The error says that none does.
    fn succeed(&mut self, mut reason: String, mut delivered: bool) -> Result<(), String> {
        loop {
            let dead = self.succession.current();
            // It was tried with whole frames only.
            if !delivered && std::mem::replace(&mut self.charge.slices, 1) > 1 {
                let change = format!("{} is opened again without slices ({reason})", self.name(dead));
                match self.install(dead, Some(change)) {
                    Ok(()) | Err(Without::Stopped) => return Ok(()),
                    Err(Without::Dead(why)) => reason = why,
                }
            }
            let next = self.succession.handle_death(reason.clone(), delivered, Instant::now());
            let Some(next) = next else { return Err(self.obituary()) };
            let name = self.name(dead);
            let change = match next == dead {
                true => format!("the encoder {name} died ({reason}) and is opened again"),
                false => format!("the encoder {name} died ({reason}), {} takes its place", self.name(next)),
            };
            match self.install(next, Some(change)) {
                Ok(()) => return Ok(()),
                Err(Without::Dead(why)) => (reason, delivered) = (why, false),
                Err(Without::Stopped) => return Ok(()),
            }
        }
    }

    fn obituary(&self) -> String {
        let deaths = self.succession.deaths().iter();
        let deaths: Vec<String> = deaths.map(|(who, why)| format!("{}: {why}", self.name(*who))).collect();
        format!("no encoder is left: {}", deaths.join("; "))
    }

    /// Opens an encoder and puts it into its place; `change` tells the session of it.
    fn install(&mut self, encoder: usize, change: Option<String>) -> Result<(), Without> {
        let running = self.open(encoder)?;
        if let Some(change) = change {
            self.charge.present.count_replacement();
            // Before its first frame, which is a key frame.
            let _ = self.charge.events.send(StreamEvent::EncoderReplaced(change));
        }
        let old = self.current.as_ref().map(|old| &old.section);
        if let Err(error) = self.charge.place.switch(old, &running.section) {
            self.put_away(running.section);
            return Err(Without::Dead(format!("{error:#}")));
        }
        if let Some(old) = self.current.take() {
            self.put_away(old.section);
        }
        if self.playing {
            start(&running.section);
        }
        let name = self.name(encoder).to_owned();
        self.charge.present.set(name, &running.section);
        self.current = Some(running);
        Ok(())
    }

    /// Builds the section of an encoder and opens it, beside the one that is in its place.
    fn open(&mut self, encoder: usize) -> Result<Running, Without> {
        let section = self.build(encoder).map_err(|error| Without::Dead(format!("{error:#}")))?;
        let number = self.count;
        let (bin, life, inbox) = (section.bin.clone(), section.life.clone(), self.charge.inbox.clone());
        let open = move || {
            if bin.set_state(gst::State::Paused).is_err() {
                life.die("it does not open");
            }
            drop(bin);
            let _ = inbox.send(Order::Opened(number));
        };
        let opened = std::thread::Builder::new().name("encoder-open".into()).spawn(open);
        let opened =
            opened.map_err(|error| Without::Dead(error.to_string())).and_then(|_| self.wait_for(number));
        let died = section.life.fault().map(str::to_owned);
        match opened.and_then(|()| died.map_or(Ok(()), |reason| Err(Without::Dead(reason)))) {
            Ok(()) => Ok(Running { number, section }),
            Err(without) => {
                self.put_away(section);
                Err(without)
            }
        }
    }

    fn build(&mut self, encoder: usize) -> anyhow::Result<Section> {
        self.count += 1;
        let Charge { place, encoders, mode, slices, wishes, prepare, rtkit, inbox, .. } = &self.charge;
        let (description, kbps, number) = (&encoders[encoder], wishes.kbps(), self.count);
        let launch = description.fill(*mode, limits::kbps(description, kbps), *slices);
        let build = |convert| {
            let inbox = inbox.clone();
            let life = Life::new(move || drop(inbox.send(Order::Died(number))));
            Section::build(&launch, convert, rtkit, life)
        };
        let mut section = build(false)?;
        // What is paced now is what it has to begin with: a desktop that is still shows nothing else.
        if place.feeder.current_caps().is_some_and(|caps| !section.takes(&caps)) {
            section = build(true)?;
        }
        prepare(&section.encoder);
        attendant::attend(&section.encoder, description, kbps, wishes.clone());
        section.add_to(&place.pipeline)?;
        Ok(section)
    }

    /// Until the section of this number has opened. Others that die meanwhile are dead already.
    fn wait_for(&mut self, number: u64) -> Result<(), Without> {
        let end = Instant::now() + OPEN_LIMIT;
        loop {
            match self.orders.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Order::Opened(opened)) if opened == number => return Ok(()),
                Ok(Order::Stop(answer)) => {
                    self.stopped = Some(answer);
                    return Err(Without::Stopped);
                }
                Ok(Order::Play) => self.playing = true,
                Ok(_) => {}
                Err(_) => {
                    return Err(Without::Dead(format!("it does not open in {} s", OPEN_LIMIT.as_secs())));
                }
            }
        }
    }

    fn put_away(&mut self, section: Section) {
        self.closing.retain(|closing| !closing.wait(Duration::ZERO));
        self.closing.push(self.charge.place.close(section));
    }

    fn close(mut self) {
        self.charge.present.clear();
        if let Some(running) = self.current.take() {
            self.put_away(running.section);
        }
        let end = Instant::now() + CLOSE_LIMIT;
        let hanging = |closing: &&Closing| !closing.wait(end.saturating_duration_since(Instant::now()));
        let hanging = self.closing.iter().filter(hanging).count();
        if hanging > 0 {
            tracing::warn!("{hanging} encoders do not close and are left to themselves");
        }
        if let Some(answer) = self.stopped.take() {
            let _ = answer.send(());
        }
    }
}

/// Lets a section run as its pipeline does.
fn start(section: &Section) {
    if section.bin.sync_state_with_parent().is_err() {
        section.life.die("it does not start");
    }
}
