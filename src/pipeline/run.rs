//! What all pipelines share: GStreamer itself, state changes off the async threads, the bus, and the gate that keeps
//! a stream shut until its destination is known.

use super::display::Display;
use super::{plugins, priority, property};
use crate::threads::Rtkit;
use anyhow::{Context, bail};
use gst::glib;
use gst::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Starts GStreamer with our elements and routes its log to `tracing`. Safe to call often; the first call counts.
pub fn init() -> anyhow::Result<()> {
    static DONE: std::sync::OnceLock<Result<(), String>> = std::sync::OnceLock::new();
    DONE.get_or_init(|| start_gstreamer().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|reason| anyhow::anyhow!("{reason}"))
}

fn start_gstreamer() -> anyhow::Result<()> {
    gst::init().context("GStreamer does not start")?;
    // Before any look-up: a plugin file of the same name on GST_PLUGIN_PATH must not register its types first.
    gstgamestream::plugin_register_static().context("our own GStreamer elements cannot be registered")?;
    #[cfg(target_os = "linux")]
    gstwaylandsrc::plugin_register_static().context("our own Wayland display cannot be registered")?;
    route_log();
    plugins::load();
    Ok(())
}

/// GStreamer's errors are the surroundings', so they are warnings here; what GST_DEBUG asks for comes through too.
fn route_log() {
    gst::log::remove_default_log_function();
    if std::env::var_os("GST_DEBUG").is_none() {
        gst::log::set_default_threshold(gst::DebugLevel::Error);
    }
    gst::log::add_log_function(|category, level, _file, _function, _line, object, message| {
        let text = message.get().map(|m| m.to_string()).unwrap_or_default();
        let object = object.map(|o| o.to_string()).unwrap_or_default();
        let category = category.name();
        match level {
            gst::DebugLevel::Error => tracing::warn!(target: "gstreamer", category, object, "{text}"),
            gst::DebugLevel::Warning | gst::DebugLevel::Fixme | gst::DebugLevel::Info => {
                tracing::debug!(target: "gstreamer", category, object, "{text}")
            }
            _ => tracing::trace!(target: "gstreamer", category, object, "{text}"),
        }
    });
    glib::log_set_default_handler(|domain, level, message| match level {
        glib::LogLevel::Error | glib::LogLevel::Critical | glib::LogLevel::Warning => {
            tracing::warn!(target: "glib", domain, "{message}")
        }
        _ => tracing::debug!(target: "glib", domain, "{message}"),
    });
}

/// What a stream reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The pipeline stopped for this reason.
    Failed(String),
    /// The source is lost for this reason, and built again.
    SourceLost(String),
    /// It is there again.
    SourceBack,
    /// Apps can show themselves here.
    Display(Display),
    /// Nobody listens at the destination any more.
    PeerGone,
    /// A frame was dropped on its way to the wire, which only a key frame makes good.
    KeyFrameNeeded,
    /// The encoder died and another one takes its place, or the same opened again: what died, of what, and which.
    EncoderReplaced(String),
}

/// A pipeline whose state changes run on threads of their own: some elements block for half a minute.
pub(super) struct Runner {
    pub pipeline: gst::Pipeline,
    /// Whose pipeline it is, for messages and thread names: `capture`, `video`, `audio`.
    what: &'static str,
    order: Arc<Order>,
    /// The first error on the bus.
    fault: Arc<OnceLock<String>>,
}

/// Makes state changes follow one another, and nothing start once a stop was asked for: however late the thread of a
/// start gets its turn, the pipeline ends up stopped.
#[derive(Default)]
struct Order {
    turn: Mutex<()>,
    /// What the pipeline names by its number: each thread that changes its state keeps it open.
    descriptor: Option<OwnedFd>,
    started: AtomicBool,
    stopped: AtomicBool,
}

impl Order {
    /// Runs on a state thread and may block.
    fn change(&self, pipeline: &gst::Pipeline, state: gst::State) -> anyhow::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if state != gst::State::Null && self.stopped.load(Ordering::Acquire) {
            bail!("it was stopped before");
        }
        pipeline.set_state(state)?;
        Ok(())
    }
}

/// Longest a pipeline may take to start.
pub(super) const START_LIMIT: Duration = Duration::from_secs(10);
/// Longest a pipeline may take to stop before it is left to itself.
const STOP_LIMIT: Duration = Duration::from_secs(5);

impl Runner {
    /// `descriptor` is one that the pipeline names by its number: it stays open until the pipeline is stopped, however
    /// long that hangs, so that no other file gets the number meanwhile. GStreamer's PipeWire elements share what they
    /// have for a number: the next pipeline would be led to the connection of this one.
    pub fn new(what: &'static str, pipeline: gst::Pipeline, descriptor: Option<OwnedFd>) -> Self {
        let order = Arc::new(Order { descriptor, ..Order::default() });
        Self { pipeline, what, order, fault: Arc::default() }
    }

    /// The descriptor that stays open.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.order.descriptor.as_ref().map(AsFd::as_fd)
    }

    /// Forwards errors, the end and "peer gone" to `report`, straight from the threads that post them.
    pub fn watch(&self, report: impl Fn(StreamEvent) + Send + Sync + 'static) {
        let bus = self.pipeline.bus().expect("a pipeline has a bus");
        let fault = self.fault.clone();
        watch(&bus, self.what, Rtkit::here(), move |event| {
            if let StreamEvent::Failed(reason) = &event {
                let _ = fault.set(reason.clone());
            }
            report(event);
        });
    }

    pub async fn start(&self) -> anyhow::Result<()> {
        self.start_within(START_LIMIT).await
    }

    /// Opens what it is made of.
    pub async fn open(&self) -> anyhow::Result<()> {
        self.order.started.store(true, Ordering::Release);
        self.change(gst::State::Ready, START_LIMIT).await
    }

    pub async fn start_within(&self, limit: Duration) -> anyhow::Result<()> {
        self.order.started.store(true, Ordering::Release);
        self.change(gst::State::Playing, limit).await
    }

    /// A state change takes longer than somebody waited for it.
    pub fn is_stuck(&self) -> bool {
        matches!(self.order.turn.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Stops it and waits until every thread of it has ended.
    pub async fn stop(&self) {
        self.order.stopped.store(true, Ordering::Release);
        if let Err(error) = self.change(gst::State::Null, STOP_LIMIT).await {
            tracing::warn!("{error:#}");
        }
    }

    /// Begins at once. Whoever asks for two changes waits for the first: they run on threads of their own.
    pub fn change(
        &self,
        state: gst::State,
        limit: Duration,
    ) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let (what, pipeline, order) = (self.what, self.pipeline.clone(), self.order.clone());
        let fault = self.fault.clone();
        let (done, finished) = oneshot::channel();
        let begun = std::thread::Builder::new().name(format!("{what}-state")).spawn(move || {
            let result = order.change(&pipeline, state);
            drop(pipeline);
            let _ = done.send(result);
        });
        async move {
            begun?;
            let result = match tokio::time::timeout(limit, finished).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(anyhow::anyhow!("its thread ended early")),
                Err(_) => Err(anyhow::anyhow!("it takes longer than {} s", limit.as_secs())),
            };
            // What an element said of its failure says more than that it failed.
            let said = fault.get().filter(|_| state != gst::State::Null);
            result
                .map_err(|error| said.map_or(error, |fault| anyhow::anyhow!("{fault}")))
                .with_context(|| format!("the {what} pipeline does not go to {state:?}"))
        }
    }
}

impl Drop for Runner {
    /// For pipelines that nobody stopped; after `stop` it has nothing to do.
    fn drop(&mut self) {
        let stopped = self.order.stopped.swap(true, Ordering::AcqRel);
        if self.order.started.load(Ordering::Acquire) && !stopped {
            let (pipeline, order) = (self.pipeline.clone(), self.order.clone());
            let stop = move || drop(order.change(&pipeline, gst::State::Null));
            let _ = std::thread::Builder::new().name(format!("{}-state", self.what)).spawn(stop);
        }
    }
}

/// Tells `report` what is said on `bus`, and settles the threads that begin there as those of the pipeline `what`.
pub(super) fn watch(
    bus: &gst::Bus,
    what: &'static str,
    rtkit: Rtkit,
    report: impl Fn(StreamEvent) + Send + Sync + 'static,
) {
    bus.set_sync_handler(move |_, message| {
        // Posted by the new thread itself.
        if let gst::MessageView::StreamStatus(status) = message.view() {
            priority::settle(what, status, &rtkit);
        }
        if let Some(event) = event_of(what, message) {
            report(event);
        }
        gst::BusSyncReply::Drop
    });
}

fn event_of(what: &str, message: &gst::MessageRef) -> Option<StreamEvent> {
    let source = || message.src().map(|s| s.name().to_string()).unwrap_or_default();
    match message.view() {
        gst::MessageView::Error(error) => {
            let detail = error.debug().map(|d| d.to_string()).unwrap_or_default();
            tracing::debug!("{what}: {}: {}: {detail}", source(), error.error());
            Some(StreamEvent::Failed(format!("{}: {}", source(), error.error())))
        }
        gst::MessageView::Warning(warning) => {
            tracing::warn!("{what}: {}: {}", source(), warning.error());
            None
        }
        gst::MessageView::Eos(_) => Some(StreamEvent::Failed("the stream ended".into())),
        gst::MessageView::Element(element) => {
            let structure = element.structure()?;
            let is_gone = structure.name() == "GstGameStreamPeerGone";
            let display = || Display::of(structure).map(StreamEvent::Display);
            is_gone.then_some(StreamEvent::PeerGone).or_else(display)
        }
        _ => None,
    }
}

/// Sends events into a channel; the receiver may be gone.
pub(super) fn into_channel<T: Send + 'static>(
    events: mpsc::UnboundedSender<T>,
    wrap: impl Fn(StreamEvent) -> T + Send + Sync + 'static,
) -> impl Fn(StreamEvent) + Send + Sync + 'static {
    move |event| drop(events.send(wrap(event)))
}

/// Keeps everything back until a destination is known, so that the first packet that leaves is the first of a frame
/// that can be decoded alone, and frame indices start with it. Tells of every such frame that leaves.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<AtomicU8>);

const SHUT: u8 = 0;
const AWAITS_KEY: u8 = 1;
const OPEN: u8 = 2;

impl Gate {
    /// Puts the gate before `element`. `leaves` runs when a frame that can be decoded alone passes.
    pub fn before(element: &gst::Element, leaves: impl Fn() + Send + Sync + 'static) -> Gate {
        let gate = Gate::default();
        let state = gate.0.clone();
        let pad = element.static_pad("sink").expect("it has a sink pad");
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let stands_alone =
                info.buffer().is_some_and(|b| !b.flags().contains(gst::BufferFlags::DELTA_UNIT));
            match (state.load(Ordering::Acquire), stands_alone) {
                (OPEN, false) => gst::PadProbeReturn::Ok,
                (OPEN | AWAITS_KEY, true) => {
                    state.store(OPEN, Ordering::Release);
                    leaves();
                    gst::PadProbeReturn::Ok
                }
                // Not Drop: the binding has taken the buffer out already, and GStreamer would release nothing.
                _ => gst::PadProbeReturn::Handled,
            }
        });
        gate
    }

    /// Opens with the next frame that can be decoded alone, if it is shut.
    pub fn open(&self) {
        let _ = self.0.compare_exchange(SHUT, AWAITS_KEY, Ordering::AcqRel, Ordering::Acquire);
    }

    pub fn is_shut(&self) -> bool {
        self.0.load(Ordering::Acquire) == SHUT
    }
}

/// Tells `sender` where to send: `source` is the address of ours that the client used.
pub(super) fn set_destination(
    sender: &gst::Element,
    peer: SocketAddr,
    source: Option<IpAddr>,
) -> anyhow::Result<()> {
    property::set(sender, "source-address", source.map(|s| s.to_string()).unwrap_or_default())?;
    property::set(sender, "host", host_text(peer))?;
    property::set_number(sender, "port", peer.port())
}

/// The address as the sender reads it; a link-local one is nothing without its interface.
fn host_text(peer: SocketAddr) -> String {
    let ip = peer.ip().to_canonical();
    match peer {
        SocketAddr::V6(v6) if ip.is_ipv6() && v6.scope_id() != 0 => format!("{ip}%{}", v6.scope_id()),
        _ => ip.to_string(),
    }
}

/// The element of `bin` that its text calls `name`.
pub(super) fn element(bin: &gst::Bin, name: &str) -> anyhow::Result<gst::Element> {
    bin.by_name(name).with_context(|| format!("the pipeline has no element named {name}"))
}

/// Parses a whole pipeline text; nothing in it may be half right.
pub(super) fn parse(text: &str) -> anyhow::Result<gst::Pipeline> {
    let element = gst::parse::launch_full(text, None, gst::ParseFlags::FATAL_ERRORS)
        .with_context(|| format!("the pipeline cannot be built: {text}"))?;
    element.downcast::<gst::Pipeline>().map_err(|_| anyhow::anyhow!("not a pipeline: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::AtomicU32;
    use std::sync::mpsc;

    fn runner(text: &str) -> Runner {
        init().unwrap();
        let runner = Runner::new("video", parse(text).unwrap(), None);
        runner.watch(|_| ());
        runner
    }

    #[tokio::test]
    async fn why_a_pipeline_does_not_start_is_told() {
        let runner = runner("filesrc name=source location=/nonexistent ! fakesink");
        let error = format!("{:#}", runner.start().await.unwrap_err());
        assert!(error.contains("does not go to Playing: source: "), "{error}");
    }

    #[tokio::test]
    async fn what_was_stopped_does_not_start_any_more() {
        let runner = runner("videotestsrc ! fakesink");
        runner.stop().await;
        assert!(runner.start().await.is_err());
        assert_eq!(runner.pipeline.current_state(), gst::State::Null);
    }

    /// The element that hangs may still use it, and a file that is opened meanwhile must not get its number.
    #[tokio::test]
    async fn a_descriptor_stays_open_while_its_pipeline_hangs() {
        init().unwrap();
        let (mut outside, inside) = UnixStream::pair().unwrap();
        let pipeline = parse("fakesrc ! fakesink").unwrap();
        let (let_go, gone_on) = mpsc::channel::<()>();
        let (hangs, hanging) = mpsc::channel();
        let held = Mutex::new((gone_on, hangs));
        pipeline.bus().unwrap().set_sync_handler(move |_, _| {
            let (gone_on, hangs) = &*held.lock().unwrap();
            // Each step of a state change is told by the thread that takes it.
            let _ = hangs.send(());
            let _ = gone_on.recv();
            gst::BusSyncReply::Drop
        });
        let runner = Runner::new("video", pipeline, Some(inside.into()));
        let start = tokio::time::timeout(Duration::from_millis(1), runner.start());
        assert!(start.await.is_err());
        hanging.recv_timeout(Duration::from_secs(20)).expect("it begins to start");
        drop(runner);
        outside.set_nonblocking(true).unwrap();
        assert_eq!(outside.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "it is open");
        drop(let_go);
        outside.set_nonblocking(false).unwrap();
        outside.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(outside.read(&mut [0]).unwrap(), 0, "it is closed when the pipeline is stopped");
    }

    /// What a key frame answers was asked for while it could still reach the client.
    #[test]
    fn only_what_leaves_the_gate_is_told() {
        init().unwrap();
        let told = Arc::new(AtomicU32::new(0));
        let telling = told.clone();
        let element = gst::ElementFactory::make("identity").build().unwrap();
        let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps_str("video/x-h264");
        let gate = Gate::before(&element, move || {
            telling.fetch_add(1, Ordering::AcqRel);
        });
        let mut push = |flags| {
            let mut frame = gst::Buffer::new();
            frame.make_mut().set_flags(flags);
            harness.push(frame).unwrap();
            (harness.try_pull().is_some(), told.load(Ordering::Acquire))
        };
        let (key, delta) = (gst::BufferFlags::empty(), gst::BufferFlags::DELTA_UNIT);
        assert!(gate.is_shut());
        assert_eq!([push(key), push(delta)], [(false, 0); 2]);
        gate.open();
        assert!(!gate.is_shut());
        assert_eq!(
            [push(delta), push(key), push(delta), push(key)],
            [(false, 0), (true, 1), (true, 1), (true, 2)]
        );
        gate.open();
        assert_eq!(push(delta), (true, 2), "it stays open");
    }

    #[test]
    fn addresses_are_written_as_the_client_would() {
        let text = |address: &str| host_text(address.parse().unwrap());
        assert_eq!(text("192.0.2.1:9"), "192.0.2.1");
        assert_eq!(text("[::ffff:192.0.2.1]:9"), "192.0.2.1");
        assert_eq!(text("[2001:db8::1]:9"), "2001:db8::1");
        assert_eq!(text("[fe80::1%3]:9"), "fe80::1%3");
    }
}
