//! The encoder of a running stream. When it dies it is replaced in its place, by itself and then by the next in rank:
//! pacer, packetizer and sender go on, and with them the frame index, the RTP clock and the nonces.
//!
//! [`succession`], [`watchdog`] and [`renewal`] decide. A [`section`] is one encoder with what its description puts around
//! it, put into its [`place`] by the [`supervisor`]; what a stream sets on it is in [`settings`], and an
//! [`attendant`] asks things of it.

mod attendant;
mod opening;
mod place;
mod renewal;
mod section;
mod settings;
mod succession;
mod supervisor;
mod watchdog;

pub(super) use place::Place;
pub(super) use settings::prepare;

use super::description::{EncodeDescription, Mode};
use super::run::StreamEvent;
use crate::threads::Rtkit;
use anyhow::Context;
use attendant::Wishes;
use section::{Life, Section};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use supervisor::{Charge, Order, Supervisor};
use tokio::sync::{mpsc::UnboundedSender, oneshot};
use tokio::time::timeout;

/// Longest that a stream waits for its encoder to end; each step of it has a limit of its own.
const STOP_LIMIT: Duration = Duration::from_secs(12);

/// Called with each element that is to encode, before it is opened.
pub(super) type Prepare = Box<dyn Fn(&gst::Element) + Send>;

/// What encodes, and what became of it so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodeStats {
    /// Name of the description.
    pub encoder: String,
    /// Frames that went in and access units that came out, of all encoders of the stream. Frames that are fresher than
    /// one not yet taken replace it, and some may be inside.
    pub frames: u64,
    pub units: u64,
    /// How often a dead encoder was replaced, by itself or another one.
    pub replacements: u64,
}

/// What is shown of the encoder that is in its place.
#[derive(Default)]
pub(super) struct Present(Mutex<Shown>);

#[derive(Default)]
struct Shown {
    /// Frames and units are those of encoders that are gone.
    stats: EncodeStats,
    life: Option<Arc<Life>>,
}

impl Present {
    /// Nothing panics while it is held.
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, encoder: String, section: &Section) {
        self.clear();
        let mut shown = self.shown();
        shown.stats.encoder = encoder;
        shown.life = Some(section.life.clone());
    }

    fn clear(&self) {
        let mut shown = self.shown();
        if let Some(life) = shown.life.take() {
            shown.stats.frames += life.frames();
            shown.stats.units += life.units();
        }
    }

    fn count_replacement(&self) {
        self.shown().stats.replacements += 1;
    }

    fn stats(&self) -> EncodeStats {
        let shown = self.shown();
        let mut stats = shown.stats.clone();
        if let Some(life) = &shown.life {
            // In this order, no unit is counted whose frame is not.
            stats.units += life.units();
            stats.frames += life.frames();
        }
        stats
    }
}

pub(super) struct Encoder {
    wishes: Arc<Wishes>,
    present: Arc<Present>,
    orders: Sender<Order>,
}

impl Encoder {
    /// The best of `encoders` that opens is to run at `kbps`, as far as it goes there, with so
    /// many slices of a frame. `events` hears when one dies.
    pub fn new(
        place: Place,
        encoders: &[EncodeDescription],
        (mode, slices): (Mode, u32),
        kbps: u32,
        prepare: Prepare,
        events: UnboundedSender<StreamEvent>,
    ) -> anyhow::Result<Encoder> {
        let (orders, inbox) = mpsc::channel();
        let (wishes, present) = (Arc::new(Wishes::new(kbps)), Arc::default());
        let encoder =
            Self { wishes: Arc::clone(&wishes), present: Arc::clone(&present), orders: orders.clone() };
        let encoders = encoders.to_vec();
        let charge = Charge {
            place,
            encoders,
            mode,
            slices,
            wishes,
            prepare,
            rtkit: Rtkit::here(),
            present,
            events,
            inbox: orders,
        };
        let supervisor = Supervisor::new(charge, inbox);
        std::thread::Builder::new().name("encoders".into()).spawn(|| supervisor.run())?;
        Ok(encoder)
    }

    /// Opens the best that opens; before the pipeline starts.
    pub async fn open(&self) -> anyhow::Result<()> {
        let (answer, opened) = oneshot::channel();
        let _ = self.orders.send(Order::Open(answer));
        opened.await.context("it was stopped before")?.map_err(|reason| anyhow::anyhow!("{reason}"))
    }

    /// The pipeline has started.
    pub fn play(&self) {
        let _ = self.orders.send(Order::Play);
    }

    /// Makes the next encoded frame a key frame with all headers, unless one leaves before.
    pub fn force_key_unit(&self) {
        self.wishes.ask_for_key();
    }

    /// What to call when a key frame leaves.
    pub fn on_key_frame(&self) -> impl Fn() + Send + Sync + use<> {
        let wishes = Arc::clone(&self.wishes);
        move || wishes.answer()
    }

    /// Changes the bitrate as far as the encoder goes there, before the next frame or when [`renewal`] finds it worth a
    /// key frame.
    pub fn set_bitrate(&self, kbps: u32) {
        self.wishes.set_kbps(kbps);
    }

    pub fn stats(&self) -> EncodeStats {
        self.present.stats()
    }

    /// Closes it; one that hangs is left to itself after some seconds.
    pub async fn stop(&self) {
        let (answer, stopped) = oneshot::channel();
        let _ = self.orders.send(Order::Stop(answer));
        // Dropped by a supervisor that was stopped before.
        if timeout(STOP_LIMIT, stopped).await.is_err() {
            tracing::warn!("the encoder does not end within {} s: left to itself", STOP_LIMIT.as_secs());
        }
    }
}

impl Drop for Encoder {
    /// For streams that nobody stopped.
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop(oneshot::channel().0));
    }
}
