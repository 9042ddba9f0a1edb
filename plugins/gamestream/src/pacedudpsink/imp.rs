use super::{
    fault::Fault,
    loss::Loss,
    sender::{Call, Sender},
    settings::{Destination, LossSettings, Settings, properties, resolve},
    socket::{Reports, UdpSocket, Way},
};
use crate::{
    packets::{CAPS_NAME, PacketsMeta},
    timing::{FrameMeta, FrameTimes, Stages},
    wire::pacing,
};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use std::{
    io::{self, IoSlice},
    sync::{Arc, Condvar, LazyLock, Mutex},
    time::{Duration, Instant},
};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("pacedudpsink", gst::DebugColorFlags::empty(), Some("Paced UDP sink"))
});

/// How long a frame may wait in all for a socket that takes nothing.
const PATIENCE: Duration = Duration::from_millis(5);
/// Reports of the network on earlier datagrams that a burst passes over, and one more.
const TRIES: u32 = 4;
/// Between two tries when the device's queue is full (ENOBUFS): the kernel tells nobody when it has room again.
const RETRY: Duration = Duration::from_micros(500);

/// Lock order: none is taken while another is held.
#[derive(Default)]
pub struct PacedUdpSink {
    settings: Mutex<Arc<Settings>>,
    /// Taken out by the streaming thread while it sends, so that nothing is locked while it waits.
    run: Mutex<Option<Run>>,
    stats: Mutex<Stats>,
    stages: Mutex<Stages>,
    caps_interval: Mutex<Option<Duration>>,
    interrupt: Interrupt,
}

/// From start to stop.
struct Run {
    socket: UdpSocket,
    settings: Arc<Settings>,
    way: Option<Way>,
    /// Whether this destination's absence was told.
    gone: bool,
    /// The error that the user was told of last.
    warned: Option<i32>,
    sender: Sender,
    loss: Loss,
}

#[derive(Clone, Copy, Default)]
struct Stats {
    frames: u64,
    packets: u64,
    bytes: u64,
    dropped: u64,
    lost: u64,
    send_calls: u64,
    waits: u64,
    errors: u64,
    call: &'static str,
}

/// Ends waits early.
#[derive(Default)]
struct Interrupt {
    interrupted: Mutex<bool>,
    changed: Condvar,
}

impl Interrupt {
    fn set(&self, interrupted: bool) {
        *self.interrupted.lock().unwrap() = interrupted;
        self.changed.notify_all();
    }

    /// Waits until `duration` is over (true) or somebody interrupts (false).
    fn wait(&self, duration: Duration) -> bool {
        let guard = self.interrupted.lock().unwrap();
        let (guard, _) =
            self.changed.wait_timeout_while(guard, duration, |interrupted| !*interrupted).unwrap();
        !*guard
    }
}

/// What follows a refused send.
enum Then {
    Again,
    /// Goes on behind the datagram.
    Skip,
    /// The rest of the frame is given up.
    GiveUp,
}

impl PacedUdpSink {
    /// Sends the datagrams of one frame along the run's way, with pauses between bursts.
    fn send_frame(
        &self,
        run: &mut Run,
        datagrams: &[IoSlice<'_>],
        interval: Option<Duration>,
        stats: &mut Stats,
    ) -> Result<(), gst::FlowError> {
        self.take_settings(run);
        let kept: Vec<_> = datagrams.iter().filter(|_| !run.loss.loses()).copied().collect();
        stats.lost += (datagrams.len() - kept.len()) as u64;
        if run.way.is_none() {
            stats.dropped += kept.len() as u64;
            return Ok(());
        }
        let bytes = kept.iter().map(|d| d.len()).sum();
        let plan = match interval {
            Some(interval) if run.settings.pacing => {
                pacing::Plan::spread(kept.len(), bytes, interval, run.settings.link_kbps)
            }
            _ => pacing::Plan::at_once(kept.len()),
        };
        let begin = Instant::now();
        let mut patience = PATIENCE;
        for burst in plan {
            self.pause_until(burst.due, begin, stats)?;
            if !self.send_burst(run, &kept[burst.packets], &mut patience, stats) {
                break;
            }
        }
        stats.dropped += kept.len() as u64 - stats.packets;
        Ok(())
    }

    /// Waits for a burst's turn. A pause of the pipeline is waited out, a flush ends the frame.
    fn pause_until(&self, due: Duration, begin: Instant, stats: &mut Stats) -> Result<(), gst::FlowError> {
        while let Some(wait) = pacing::wait(due, begin.elapsed()) {
            stats.waits += 1;
            if !self.interrupt.wait(wait) {
                gst::log!(CAT, imp = self, "interrupted");
                self.obj().wait_preroll()?;
            }
        }
        Ok(())
    }

    /// Sends a burst; `false` gives up the rest of the frame.
    fn send_burst(
        &self,
        run: &mut Run,
        datagrams: &[IoSlice<'_>],
        patience: &mut Duration,
        stats: &mut Stats,
    ) -> bool {
        let mut at = 0;
        let mut tries = TRIES;
        while at < datagrams.len() {
            let Some(way) = &run.way else { return false };
            match run.sender.send(&run.socket.along(way), &datagrams[at..]) {
                Ok(count) => {
                    stats.count(&datagrams[at..at + count]);
                    at += count;
                }
                Err(error) => match self.handle_error(run, &error, patience, &mut tries, stats) {
                    Then::Again => {}
                    Then::Skip => at += 1,
                    Then::GiveUp => return false,
                },
            }
        }
        true
    }

    fn handle_error(
        &self,
        run: &mut Run,
        error: &io::Error,
        patience: &mut Duration,
        tries: &mut u32,
        stats: &mut Stats,
    ) -> Then {
        match Fault::from(error) {
            Fault::Interrupted => return Then::Again,
            Fault::Full if !patience.is_zero() => {
                self.wait_for_room(&run.socket, error, patience);
                return Then::Again;
            }
            Fault::Full => {
                gst::debug!(CAT, imp = self, "The network does not take more: {error}");
                return Then::GiveUp;
            }
            _ => {}
        }
        stats.errors += 1;
        let reports = run.socket.take_reports(run.way.as_ref());
        match Fault::from(error) {
            Fault::PeerGone => {
                if reports != Reports::Others {
                    self.tell_gone(&run.settings.to, &mut run.gone, error);
                }
                // What the network says of an earlier datagram: this one was not tried.
                let pending = reports != Reports::None || error.raw_os_error() == Some(libc::ECONNREFUSED);
                *tries = tries.saturating_sub(1);
                if pending && *tries > 0 { Then::Again } else { Then::GiveUp }
            }
            Fault::TooLong => {
                self.warn(run, error);
                Then::Skip
            }
            _ => {
                self.warn(run, error);
                Then::GiveUp
            }
        }
    }

    /// Tells the user of an error, the first time in a row only.
    fn warn(&self, run: &mut Run, error: &io::Error) {
        if error.raw_os_error().is_none_or(|code| run.warned.replace(code) == Some(code)) {
            return;
        }
        let Destination { host, port, .. } = &run.settings.to;
        gst::element_imp_warning!(
            self,
            gst::ResourceError::Write,
            ["Cannot send to {} port {port}: {error}", host.as_deref().unwrap_or_default()]
        );
    }

    fn wait_for_room(&self, socket: &UdpSocket, error: &io::Error, patience: &mut Duration) {
        let begin = Instant::now();
        if error.raw_os_error() == Some(libc::EAGAIN) {
            socket.wait_writable(*patience);
        } else if !self.interrupt.wait(RETRY.min(*patience)) {
            *patience = Duration::ZERO;
        }
        *patience = patience.saturating_sub(begin.elapsed());
    }

    /// Tells the application that a destination cannot be reached, the first time only.
    fn tell_gone(&self, to: &Destination, gone: &mut bool, error: &io::Error) {
        if std::mem::replace(gone, true) {
            return;
        }
        gst::info!(CAT, imp = self, "Peer gone: {error}");
        let message = gst::Structure::builder("GstGameStreamPeerGone")
            .field("host", to.host.as_deref())
            .field("port", i32::from(to.port))
            .field("error", error.to_string())
            .build();
        let _ = self.obj().post_message(gst::message::Element::builder(message).src(&*self.obj()).build());
    }

    /// Makes what was asked since the last frame come true.
    fn take_settings(&self, run: &mut Run) {
        let asked = self.settings.lock().unwrap().clone();
        if Arc::ptr_eq(&asked, &run.settings) {
            return;
        }
        let before = std::mem::replace(&mut run.settings, asked);
        if before.to != run.settings.to {
            self.find_way(run);
        }
        if before.loss != run.settings.loss {
            run.loss = loss(run.settings.loss);
        }
    }

    /// Asks for a name that could not be resolved when it was set.
    fn resolve_again(&self) {
        let to = self.settings.lock().unwrap().to.clone();
        if to.resolved.is_ok() {
            return;
        }
        let resolved = resolve(to.host.as_deref());
        let mut settings = self.settings.lock().unwrap();
        if settings.to.host == to.host {
            Arc::make_mut(&mut settings).set_host(to.host, resolved);
        }
    }

    fn find_way(&self, run: &mut Run) {
        let to = &run.settings.to;
        let found = to.address().and_then(|address| {
            let source = to.source()?;
            address.map(|address| run.socket.way(address, source, to.dscp)).transpose()
        });
        gst::debug!(CAT, imp = self, "Way to {to:?}: {found:?}");
        run.gone = false;
        run.warned = None;
        run.sender.start_over();
        // What the network has to say of the former destination is of no interest any more.
        run.socket.take_reports(None);
        run.way = found.unwrap_or_else(|error| {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::NotFound,
                ["Cannot send to {} port {}: {error}", to.host.as_deref().unwrap_or_default(), to.port]
            );
            None
        });
    }

    /// Sends `datagrams` as one frame.
    fn deliver(
        &self,
        datagrams: &[IoSlice<'_>],
        duration: Option<gst::ClockTime>,
        times: Option<FrameTimes>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let taken = self.run.lock().unwrap().take();
        let Some(mut run) = taken else {
            return Err(gst::FlowError::Flushing);
        };
        sharpen_sleep();
        let interval = duration.map(Duration::from).or(*self.caps_interval.lock().unwrap());
        let mut stats = Stats::default();
        let first_send = gst::get_timestamp();
        let result = self.send_frame(&mut run, datagrams, interval, &mut stats);
        if let Some(times) = times.filter(|_| stats.packets > 0) {
            let last_send = Some(gst::get_timestamp());
            let times = FrameTimes { first_send: Some(first_send), last_send, ..times };
            self.stages.lock().unwrap().record(&times);
        }
        gst::trace!(CAT, imp = self, "{} of {} datagrams sent", stats.packets, datagrams.len());
        self.stats.lock().unwrap().add(&stats, &run.sender);
        *self.run.lock().unwrap() = Some(run);
        result.map(|()| gst::FlowSuccess::Ok)
    }
}

impl Stats {
    /// Counts datagrams that were sent.
    fn count(&mut self, datagrams: &[IoSlice<'_>]) {
        self.packets += datagrams.len() as u64;
        self.bytes += datagrams.iter().map(|datagram| datagram.len() as u64).sum::<u64>();
    }

    /// Adds what one frame did.
    fn add(&mut self, frame: &Stats, sender: &Sender) {
        self.frames += 1;
        self.packets += frame.packets;
        self.bytes += frame.bytes;
        self.dropped += frame.dropped;
        self.lost += frame.lost;
        self.waits += frame.waits;
        self.errors += frame.errors;
        self.send_calls = sender.calls();
        self.call = sender.call().name();
    }

    fn structure(&self) -> gst::Structure {
        gst::Structure::builder("application/x-pacedudpsink-stats")
            .field("frames", self.frames)
            .field("packets", self.packets)
            .field("bytes", self.bytes)
            .field("dropped", self.dropped)
            .field("lost", self.lost)
            .field("send-calls", self.send_calls)
            .field("waits", self.waits)
            .field("errors", self.errors)
            .field("call", self.call)
            .build()
    }
}

fn loss(settings: LossSettings) -> Loss {
    Loss::new(settings.percentage, settings.burst, settings.seed.into())
}

/// Lets sleeps of this thread end within 30 µs of their time instead of 80.
fn sharpen_sleep() {
    thread_local!(static SHARP: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    SHARP.with(|sharp| {
        if !sharp.replace(true) {
            // SAFETY: takes a number of nanoseconds.
            unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
        }
    });
}

/// When the frame in a buffer passed what, as far as somebody observed it.
fn times(buffer: &gst::BufferRef) -> Option<FrameTimes> {
    buffer.meta::<FrameMeta>().map(|meta| *meta.value())
}

/// Cuts a buffer as its meta says; without one it is a datagram.
fn cut<'a>(bytes: &'a [u8], buffer: &gst::BufferRef, datagrams: &mut Vec<IoSlice<'a>>) {
    match buffer.meta::<PacketsMeta>() {
        Some(meta) if meta.size() > 0 => {
            datagrams.extend(bytes.chunks_exact(meta.size()).take(meta.count()).map(IoSlice::new));
        }
        _ => datagrams.push(IoSlice::new(bytes)),
    }
}

#[glib::object_subclass]
impl ObjectSubclass for PacedUdpSink {
    const NAME: &'static str = "GstPacedUdpSink";
    type Type = super::PacedUdpSink;
    type ParentType = gst_base::BaseSink;
}

impl ObjectImpl for PacedUdpSink {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let settings = || self.settings.lock().unwrap();
        if pspec.name() != "host" {
            return Arc::make_mut(&mut settings()).set(pspec.name(), value);
        }
        // Here and not where packets are sent: the resolver cannot be interrupted, and nothing is locked meanwhile.
        let host: Option<String> = value.get().expect("type checked upstream");
        let resolved = resolve(host.as_deref());
        Arc::make_mut(&mut settings()).set_host(host, resolved);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => {
                let mut stats = self.stats.lock().unwrap().structure();
                stats.set("stages", self.stages.lock().unwrap().structure());
                stats.to_value()
            }
            name => self.settings.lock().unwrap().value(name),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        obj.set_sync(false);
        obj.set_async(false);
        // A kept buffer would be missing in the payloader's pool.
        obj.set_property("enable-last-sample", false);
    }
}

impl GstObjectImpl for PacedUdpSink {}

impl ElementImpl for PacedUdpSink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Paced UDP sink",
                "Sink/Network",
                "Sends the datagrams of each frame in bursts that are spread over the frame's duration",
                crate::AUTHOR,
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst::Caps::new_any();
            let sink =
                gst::PadTemplate::new("sink", gst::PadDirection::Sink, gst::PadPresence::Always, &caps)
                    .expect("a valid template");
            vec![sink]
        });
        &TEMPLATES
    }
}

impl BaseSinkImpl for PacedUdpSink {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        self.resolve_again();
        let settings = self.settings.lock().unwrap().clone();
        let socket = if settings.fd < 0 { UdpSocket::open() } else { UdpSocket::share(settings.fd) };
        let socket = socket.map_err(|error| match settings.fd {
            -1 => gst::error_msg!(gst::ResourceError::OpenWrite, ["Cannot make a UDP socket: {error}"]),
            fd => gst::error_msg!(
                gst::ResourceError::Settings,
                ["fd={fd} is no UDP socket to send from: {error}"]
            ),
        })?;
        let loss = loss(settings.loss);
        let sender = Sender::new(if socket.can_segment() { Call::Segmented } else { Call::Many });
        let mut run = Run { socket, settings, way: None, gone: false, warned: None, sender, loss };
        self.find_way(&mut run);
        *self.stats.lock().unwrap() = Stats { call: run.sender.call().name(), ..Stats::default() };
        *self.caps_interval.lock().unwrap() = None;
        *self.stages.lock().unwrap() = Stages::default();
        *self.run.lock().unwrap() = Some(run);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.run.lock().unwrap() = None;
        Ok(())
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let rate = caps.structure(0).and_then(|s| s.get::<gst::Fraction>("framerate").ok());
        let interval = rate
            .filter(|rate| rate.numer() > 0)
            .map(|rate| Duration::from_secs(rate.denom() as u64) / rate.numer() as u32);
        gst::debug!(CAT, imp = self, "{caps}: interval {interval:?}");
        *self.caps_interval.lock().unwrap() = interval;
        Ok(())
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let map = buffer.map_readable().map_err(|_| {
            gst::element_imp_error!(self, gst::ResourceError::Read, ["Cannot read a buffer"]);
            gst::FlowError::Error
        })?;
        let mut datagrams = Vec::new();
        cut(&map, buffer, &mut datagrams);
        self.deliver(&datagrams, buffer.duration(), times(buffer))
    }

    /// A list is one frame.
    fn render_list(&self, list: &gst::BufferList) -> Result<gst::FlowSuccess, gst::FlowError> {
        let maps: Result<Vec<_>, _> = list.iter().map(gst::BufferRef::map_readable).collect();
        let maps = maps.map_err(|_| {
            gst::element_imp_error!(self, gst::ResourceError::Read, ["Cannot read a buffer"]);
            gst::FlowError::Error
        })?;
        let mut datagrams = Vec::new();
        for (map, buffer) in maps.iter().zip(list.iter()) {
            cut(map, buffer, &mut datagrams);
        }
        let duration = list.iter().find_map(gst::BufferRef::duration);
        self.deliver(&datagrams, duration, list.iter().find_map(times))
    }

    /// Anything is sent, and a frame in one buffer is what a payloader should choose.
    fn caps(&self, filter: Option<&gst::Caps>) -> Option<gst::Caps> {
        let Some(filter) = filter else { return Some(gst::Caps::new_any()) };
        let mut caps = gst::Caps::new_empty_simple(CAPS_NAME).intersect(filter);
        caps.merge(filter.clone());
        Some(caps)
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.interrupt.set(true);
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.interrupt.set(false);
        Ok(())
    }
}
