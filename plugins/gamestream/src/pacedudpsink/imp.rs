use super::{
    loss::Loss,
    sender::Sender,
    settings::{Destination, LossSettings, Settings, properties},
    socket::{UdpSocket, Way},
};
use crate::{packets::PacketsMeta, wire::pacing};
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
/// Between two tries when the device's queue is full (ENOBUFS): the kernel tells nobody when it has room again.
const RETRY: Duration = Duration::from_micros(500);

/// Lock order: none is taken while another is held.
#[derive(Default)]
pub struct PacedUdpSink {
    settings: Mutex<Arc<Settings>>,
    /// Taken out by the streaming thread while it sends, so that nothing is locked while it waits.
    run: Mutex<Option<Run>>,
    stats: Mutex<Stats>,
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

/// How a burst ended.
enum Sent {
    All,
    /// So many of the burst went and the rest of the frame is given up.
    Part(usize),
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
            let first = burst.packets.start;
            let sent = self.send_burst(run, &kept[burst.packets.clone()], &mut patience, stats);
            let gone_out = first + if let Sent::Part(count) = sent { count } else { burst.packets.len() };
            stats.bytes += kept[first..gone_out].iter().map(|d| d.len() as u64).sum::<u64>();
            stats.packets += (gone_out - first) as u64;
            if let Sent::Part(_) = sent {
                stats.dropped += (kept.len() - gone_out) as u64;
                break;
            }
        }
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

    fn send_burst(
        &self,
        run: &mut Run,
        datagrams: &[IoSlice<'_>],
        patience: &mut Duration,
        stats: &mut Stats,
    ) -> Sent {
        let Some(way) = &run.way else { return Sent::Part(0) };
        let mut sent = 0;
        let mut refused = false;
        while sent < datagrams.len() {
            let error = match run.sender.send(&run.socket.along(way), &datagrams[sent..]) {
                Ok(count) => {
                    sent += count;
                    continue;
                }
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) if !patience.is_zero() => {
                    self.wait_for_room(&run.socket, &error, patience);
                }
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => {
                    gst::debug!(CAT, imp = self, "The network does not take more: {error}");
                    return Sent::Part(sent);
                }
                // What the network says of an earlier datagram; this one was not tried.
                Some(libc::ECONNREFUSED) if !refused => {
                    refused = true;
                    stats.errors += 1;
                    self.tell_gone(&run.settings.to, &mut run.gone, &error);
                }
                _ => {
                    stats.errors += 1;
                    self.tell_gone(&run.settings.to, &mut run.gone, &error);
                    return Sent::Part(sent);
                }
            }
        }
        Sent::All
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

    fn find_way(&self, run: &mut Run) {
        let to = &run.settings.to;
        let found = to.address().and_then(|address| {
            let source = to.source()?;
            address.map(|address| run.socket.way(address, source, to.dscp)).transpose()
        });
        gst::debug!(CAT, imp = self, "Way to {to:?}: {found:?}");
        run.gone = false;
        run.sender.start_over();
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
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let taken = self.run.lock().unwrap().take();
        let Some(mut run) = taken else {
            return Err(gst::FlowError::Flushing);
        };
        sharpen_sleep();
        let interval = duration.map(Duration::from).or(*self.caps_interval.lock().unwrap());
        let mut stats = Stats::default();
        let result = self.send_frame(&mut run, datagrams, interval, &mut stats);
        gst::trace!(CAT, imp = self, "{} of {} datagrams sent", stats.packets, datagrams.len());
        self.stats.lock().unwrap().add(&stats, &run.sender);
        *self.run.lock().unwrap() = Some(run);
        result.map(|()| gst::FlowSuccess::Ok)
    }
}

impl Stats {
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
            unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1u64) };
        }
    });
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
        let mut settings = self.settings.lock().unwrap();
        Arc::make_mut(&mut settings).set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => self.stats.lock().unwrap().structure().to_value(),
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
                env!("CARGO_PKG_NAME"),
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
        let mut run = Run { socket, settings, way: None, gone: false, sender: Sender::default(), loss };
        self.find_way(&mut run);
        *self.stats.lock().unwrap() = Stats { call: run.sender.call().name(), ..Stats::default() };
        *self.caps_interval.lock().unwrap() = None;
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
        self.deliver(&datagrams, buffer.duration())
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
        self.deliver(&datagrams, list.iter().find_map(gst::BufferRef::duration))
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
