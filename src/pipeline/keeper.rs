//! The task behind a [`super::source::Source`]: it owns the captures, one after the other, and what they show.

use super::capture::{Capture, CaptureEvent, Feed, Recipe};
use super::description::Mode;
use super::display::Display;
use super::frames::Frames;
use super::idle::{Idle, Order, UNSEEN};
use super::output::VirtualOutput;
use super::rebuild::{Limits, Rebuilds, Step};
use super::source::Health;
use super::upstream::Upstream;
use anyhow::anyhow;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// For an output to change its size, or to go.
const OUTPUT_LIMIT: Duration = Duration::from_secs(3);

type Building = BoxFuture<'static, anyhow::Result<Capture>>;
type Pausing = BoxFuture<'static, anyhow::Result<()>>;

/// A capture that is being built.
struct Attempt {
    number: u64,
    building: Building,
    /// What it reported while it started.
    shows: bool,
    lost: Option<String>,
    /// What it was built for, and what it is to be.
    resized: Option<(Mode, Mode)>,
}

/// Another mode.
pub(super) struct Resize {
    pub recipe: Recipe,
    pub before: Mode,
    pub after: Mode,
}

/// How many look, and whether anybody ever did.
#[derive(Clone, Copy, Default)]
pub(super) struct Lookers {
    pub now: usize,
    pub ever: bool,
}

pub(super) struct Keeper {
    pub ask_to_resize: mpsc::UnboundedSender<Resize>,
    resizes: mpsc::UnboundedReceiver<Resize>,
    recipe: Recipe,
    /// What is captured, if it was made for that.
    output: Option<Box<dyn VirtualOutput>>,
    pub frames: Frames,
    pub upstream: Upstream,
    report: mpsc::UnboundedSender<(u64, CaptureEvent)>,
    events: mpsc::UnboundedReceiver<(u64, CaptureEvent)>,
    /// Captures so far.
    number: u64,
    running: Option<(u64, Capture)>,
    attempt: Option<Attempt>,
    plan: Rebuilds,
    idle: Idle,
    /// The running capture pauses, or goes on.
    pausing: Option<Pausing>,
    pub looking: Arc<watch::Sender<Lookers>>,
    pub shown: CancellationToken,
    pub health: watch::Sender<Health>,
    pub display: watch::Sender<Option<Display>>,
    rebuilt: u64,
    /// Captures that are being closed: some take seconds.
    closing: TaskTracker,
}

impl Keeper {
    pub fn new(recipe: Recipe, limits: Limits) -> Self {
        let (report, events) = mpsc::unbounded_channel();
        let (ask_to_resize, resizes) = mpsc::unbounded_channel();
        Self {
            ask_to_resize,
            resizes,
            recipe,
            output: None,
            frames: Frames::default(),
            upstream: Upstream::default(),
            report,
            events,
            number: 0,
            running: None,
            attempt: None,
            plan: Rebuilds::new(limits),
            idle: Idle::default(),
            pausing: None,
            looking: Arc::new(watch::channel(Lookers::default()).0),
            shown: CancellationToken::new(),
            health: watch::channel(Health::Runs).0,
            display: watch::channel(None).0,
            rebuilt: 0,
            closing: TaskTracker::new(),
        }
    }

    pub fn with(self, output: Box<dyn VirtualOutput>) -> Self {
        Self { output: Some(output), ..self }
    }

    /// The first capture is lost already.
    pub fn begin_lost(&mut self, reason: String) {
        self.number = 1;
        self.lose(reason);
    }

    pub async fn start_first(&mut self) -> anyhow::Result<()> {
        let (number, building) = self.build(self.recipe.clone());
        let capture = building.await?;
        self.run_capture(number, capture);
        Ok(())
    }

    pub async fn run(mut self, stop: CancellationToken) {
        let mut looking = self.looking.subscribe();
        loop {
            let Lookers { now, ever } = *looking.borrow_and_update();
            if self.plan.is_rebuilding() && now == 0 {
                self.end(format!("{}, and nobody looked", self.plan.reason()));
                break;
            }
            if let Some(reason) = self.take_step() {
                self.end(reason);
                break;
            }
            // Who started it is about to look.
            self.idle.handle_watched(now > 0 || !ever);
            self.pause_or_go_on();
            let due = self.plan.deadline();
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(()) = looking.changed() => {}
                Some(resize) = self.resizes.recv() => self.handle_resize(resize).await,
                Some((number, event)) = self.events.recv() => self.handle_event(number, event),
                result = built(&mut self.attempt) => self.handle_built(result),
                result = paused(&mut self.pausing) => self.handle_paused(result),
                () = async { sleep_until(due.expect("checked")).await }, if due.is_some() => {}
            }
        }
        self.close().await;
    }

    /// Does what the plan says is due; the reason if that is to end.
    fn take_step(&mut self) -> Option<String> {
        match self.plan.poll(Instant::now())? {
            Step::Try => {
                self.close_running();
                let (number, building) = self.build(self.recipe.clone());
                let building = in_time(self.plan.patience(), building);
                self.attempt = Some(Attempt { number, building, shows: false, lost: None, resized: None });
                None
            }
            Step::GiveUp(reason) => Some(reason),
        }
    }

    fn handle_event(&mut self, number: u64, event: CaptureEvent) {
        tracing::debug!("capture {number} of {}: {event:?}", self.recipe.name);
        if event == CaptureEvent::FirstFrame {
            self.shown.cancel();
        }
        if event == CaptureEvent::Frames {
            self.idle.handle_frames();
        }
        if let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.number == number) {
            match event {
                CaptureEvent::FirstFrame => attempt.shows = true,
                CaptureEvent::Lost(reason) => attempt.lost = Some(reason),
                CaptureEvent::Display(display) => self.tell_display(display),
                CaptureEvent::Frames | CaptureEvent::CapsChanged(_) => {}
            }
        } else if self.running.as_ref().is_some_and(|(running, _)| *running == number) {
            match event {
                // Of the first capture, everybody sees the first frame anyway.
                CaptureEvent::FirstFrame if number > 1 => self.shows_again(),
                CaptureEvent::FirstFrame | CaptureEvent::Frames | CaptureEvent::CapsChanged(_) => {}
                CaptureEvent::Display(display) => self.tell_display(display),
                CaptureEvent::Lost(reason) => self.lose(reason),
            }
        }
    }

    /// The building of the attempt came to an end.
    fn handle_built(&mut self, result: anyhow::Result<Capture>) {
        let Some(Attempt { number, shows, lost, resized, .. }) = self.attempt.take() else { return };
        match result {
            Ok(capture) => {
                if let Some((before, after)) = resized {
                    capture.resize(before, after);
                }
                self.plan.handle_started(capture.tells_loss());
                self.run_capture(number, capture);
                if shows {
                    self.shows_again();
                }
                if let Some(reason) = lost {
                    self.lose(reason);
                }
            }
            Err(error) => {
                tracing::debug!("not yet: {error:#}");
                self.plan.handle_refused(Instant::now(), format!("{error:#}"));
            }
        }
    }

    /// Has the capture that runs pause or go on, where it is to.
    fn pause_or_go_on(&mut self) {
        while let (Some((_, capture)), Some(order)) = (&self.running, self.idle.poll()) {
            if order == Order::AwaitFrames {
                self.frames.await_frames(UNSEEN);
                continue;
            }
            let what = if order == Order::Pause { "pauses: nobody looks" } else { "goes on" };
            tracing::info!("the source {} {what}", self.recipe.name);
            self.pausing = Some(capture.pause(order == Order::Pause).boxed());
        }
    }

    /// The capture pauses, or goes on; one that does neither is lost.
    fn handle_paused(&mut self, result: anyhow::Result<()>) {
        self.pausing = None;
        self.idle.handle_changed();
        if let Err(error) = result {
            self.lose(format!("{error:#}"));
        }
    }

    async fn handle_resize(&mut self, Resize { recipe, before, after }: Resize) {
        self.recipe = recipe;
        if let Some(output) = &mut self.output {
            match timeout(OUTPUT_LIMIT, output.resize(after)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!("the output of {} keeps its size: {error:#}", self.recipe.name)
                }
                Err(_) => {
                    tracing::warn!("the output of {} does not change its size in time", self.recipe.name)
                }
            }
        }
        if let Some((_, capture)) = &self.running {
            capture.resize(before, after);
        }
        if let Some(attempt) = &mut self.attempt {
            let (built_for, _) = attempt.resized.unwrap_or((before, after));
            attempt.resized = Some((built_for, after));
        }
    }

    fn tell_display(&self, opened: Display) {
        tracing::info!("the source {} is a display for apps: {opened}", self.recipe.name);
        self.display.send_replace(Some(opened));
    }

    fn lose(&mut self, reason: String) {
        self.close_running();
        self.display.send_replace(None);
        self.health.send_replace(Health::Stands(reason.clone()));
        self.plan.handle_lost(Instant::now(), reason);
    }

    fn shows_again(&mut self) {
        self.plan.handle_frame();
        self.rebuilt += 1;
        self.health.send_replace(Health::Rebuilt(self.rebuilt));
    }

    fn end(&self, reason: String) {
        self.health.send_replace(Health::Over(reason));
    }

    fn build(&mut self, recipe: Recipe) -> (u64, Building) {
        self.number += 1;
        let feed = Feed::new(self.frames.clone(), self.number, self.report.clone());
        (self.number, Capture::start(recipe, feed).boxed())
    }

    fn run_capture(&mut self, number: u64, capture: Capture) {
        self.idle.handle_capture();
        self.upstream.connect(capture.end());
        self.running = Some((number, capture));
    }

    fn close_running(&mut self) {
        self.pausing = None;
        self.upstream.connect(None);
        if let Some((_, capture)) = self.running.take() {
            self.closing.spawn(capture.close());
        }
    }

    pub async fn close(mut self) {
        self.attempt = None;
        self.close_running();
        self.closing.close();
        self.closing.wait().await;
        if let Some(output) = self.output.take()
            && timeout(OUTPUT_LIMIT, output.release()).await.is_err()
        {
            tracing::warn!("the output of {} does not go in time", self.recipe.name);
        }
        tracing::debug!("the source {} is closed", self.recipe.name);
    }
}

/// A portal that died while it was asked never answers.
fn in_time(limit: Duration, building: Building) -> Building {
    let late = move |_| Err(anyhow!("it does not start within {} s", limit.as_secs_f32()));
    timeout(limit, building).map(move |built| built.unwrap_or_else(late)).boxed()
}

/// Waits for ever when nothing changes.
async fn paused(pausing: &mut Option<Pausing>) -> anyhow::Result<()> {
    match pausing {
        Some(pausing) => pausing.await,
        None => std::future::pending().await,
    }
}

/// What became of the attempt; waits for ever when there is none.
async fn built(attempt: &mut Option<Attempt>) -> anyhow::Result<Capture> {
    match attempt {
        Some(attempt) => attempt.building.as_mut().await,
        None => std::future::pending().await,
    }
}
