use super::{
    alarm::{self, Alarm},
    datagrams::{cut, recycle},
    fault::Fault,
    interface,
    loss::Loss,
    sender::{Call, Sender},
    settings::{Destination, LossSettings, Settings, properties, resolve},
    socket::{Reports, UdpSocket, Way},
    stats::Stats,
};
use crate::{
    packets::CAPS_NAME,
    timing::{FrameMeta, FrameTimes, Stages},
    wire::pacing::{Frame, Pacer},
};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use std::{
    io::{self, IoSlice},
    os::fd::AsFd,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("pacedudpsink", gst::DebugColorFlags::empty(), Some("Paced UDP sink"))
});

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
    /// Of the present run; rings while nothing may wait.
    alarm: Mutex<Option<Arc<Alarm>>>,
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
    /// Of the interface that leads there, in kbit/s.
    interface: Option<u32>,
    pacer: Pacer,
    alarm: Arc<Alarm>,
    loss: Loss,
    /// Empty; kept for its memory.
    datagrams: Vec<IoSlice<'static>>,
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
        datagrams: &mut Vec<IoSlice<'_>>,
        interval: Option<Duration>,
        stats: &mut Stats,
    ) -> Result<(), gst::FlowError> {
        self.take_settings(run);
        stats.lost += run.lose(datagrams);
        if run.way.is_none() {
            stats.dropped += datagrams.len() as u64;
            return Ok(());
        }
        let bytes = datagrams.iter().map(|datagram| datagram.len()).sum();
        let frame = Frame { packets: datagrams.len(), bytes, interval };
        let path = run.settings.path(run.interface);
        let plan = run.pacer.plan(&frame, &run.settings.cap(), &path, alarm::now());
        let limit = plan.limit();
        let mut paused = Duration::ZERO;
        for burst in plan {
            paused += self.pause_until(&run.alarm, burst.due + paused, stats)?;
            if !self.send_burst(run, &datagrams[burst.packets], limit + paused, stats) {
                break;
            }
        }
        run.pacer.done(alarm::now());
        stats.dropped += datagrams.len() as u64 - stats.packets;
        Ok(())
    }

    /// Waits for a burst's turn. A flush ends the frame; a pause of the pipeline is waited out, and how long it took is
    /// returned: the bursts to come are later by that.
    fn pause_until(
        &self,
        alarm: &Alarm,
        mut due: Duration,
        stats: &mut Stats,
    ) -> Result<Duration, gst::FlowError> {
        let mut paused = Duration::ZERO;
        stats.waits += u64::from(alarm::now() < due);
        while !alarm.wait_until(due, &mut stats.cost) {
            gst::log!(CAT, imp = self, "interrupted");
            let begin = alarm::now();
            self.obj().wait_preroll()?;
            let took = alarm::now() - begin;
            (due, paused) = (due + took, paused + took);
        }
        Ok(paused)
    }

    /// Sends a burst; `false` gives up the rest of the frame, which is not waited for after `limit`.
    fn send_burst(
        &self,
        run: &mut Run,
        datagrams: &[IoSlice<'_>],
        limit: Duration,
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
                Err(error) => match self.handle_error(run, &error, limit, &mut tries, stats) {
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
        limit: Duration,
        tries: &mut u32,
        stats: &mut Stats,
    ) -> Then {
        match Fault::from(error) {
            Fault::Interrupted => return Then::Again,
            Fault::Full => return self.wait_for_room(run, error, limit, stats),
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

    /// Waits until the network takes more, at most until `limit`.
    fn wait_for_room(&self, run: &Run, error: &io::Error, limit: Duration, stats: &mut Stats) -> Then {
        let now = alarm::now();
        let undisturbed = now < limit
            && if error.raw_os_error() == Some(libc::EAGAIN) {
                // Reports would end the wait; an absent peer will be reported again.
                run.socket.take_reports(None);
                run.alarm.wait_writable(run.socket.as_fd(), limit)
            } else {
                run.alarm.wait_until(limit.min(now + RETRY), &mut stats.cost)
            };
        if undisturbed {
            return Then::Again;
        }
        gst::debug!(CAT, imp = self, "The network does not take more: {error}");
        Then::GiveUp
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
            let Some(address) = address else { return Ok((None, None)) };
            let way = run.socket.way(address, source, to.dscp)?;
            Ok((Some(way), interface::speed_towards(address, source)))
        });
        gst::debug!(CAT, imp = self, "Way to {to:?} and kbit/s of the interface: {found:?}");
        run.gone = false;
        run.warned = None;
        run.sender.start_over();
        // What the network has to say of the former destination is of no interest any more.
        run.socket.take_reports(None);
        (run.way, run.interface) = found.unwrap_or_else(|error| {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::NotFound,
                ["Cannot send to {} port {}: {error}", to.host.as_deref().unwrap_or_default(), to.port]
            );
            (None, None)
        });
    }

    /// Sends as one frame the datagrams that `fill` names.
    fn deliver<'a>(
        &self,
        duration: Option<gst::ClockTime>,
        times: Option<FrameTimes>,
        fill: impl FnOnce(&mut Vec<IoSlice<'a>>),
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let taken = self.run.lock().unwrap().take();
        let Some(mut run) = taken else {
            return Err(gst::FlowError::Flushing);
        };
        let mut datagrams = recycle(std::mem::take(&mut run.datagrams));
        fill(&mut datagrams);
        let interval = duration.map(Duration::from).or(*self.caps_interval.lock().unwrap());
        let mut stats = Stats::default();
        let first_send = gst::get_timestamp();
        let result = self.send_frame(&mut run, &mut datagrams, interval, &mut stats);
        if let Some(times) = times.filter(|_| stats.packets > 0) {
            let last_send = Some(gst::get_timestamp());
            let times = FrameTimes { first_send: Some(first_send), last_send, ..times };
            self.stages.lock().unwrap().record(&times);
        }
        gst::trace!(CAT, imp = self, "{} of {} datagrams sent", stats.packets, datagrams.len());
        run.datagrams = recycle(datagrams);
        self.stats.lock().unwrap().add(&stats, &run.sender);
        *self.run.lock().unwrap() = Some(run);
        result.map(|()| gst::FlowSuccess::Ok)
    }
}

impl Run {
    /// Takes out the datagrams that are lost on purpose; how many.
    fn lose(&mut self, datagrams: &mut Vec<IoSlice<'_>>) -> u64 {
        let before = datagrams.len();
        datagrams.retain(|_| !self.loss.loses());
        (before - datagrams.len()) as u64
    }
}

fn loss(settings: LossSettings) -> Loss {
    Loss::new(settings.percentage, settings.burst, settings.seed.into())
}

/// When the frame in a buffer passed what, as far as somebody observed it.
fn times(buffer: &gst::BufferRef) -> Option<FrameTimes> {
    buffer.meta::<FrameMeta>().map(|meta| *meta.value())
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
        let alarm = Alarm::new().map(Arc::new).map_err(|error| {
            gst::error_msg!(gst::ResourceError::OpenWrite, ["Cannot make a timer: {error}"])
        })?;
        let mut run = Run {
            socket,
            settings,
            way: None,
            gone: false,
            warned: None,
            sender,
            interface: None,
            pacer: Pacer::default(),
            alarm: alarm.clone(),
            loss,
            datagrams: Vec::new(),
        };
        self.find_way(&mut run);
        *self.stats.lock().unwrap() = Stats { call: run.sender.call(), ..Stats::default() };
        *self.caps_interval.lock().unwrap() = None;
        *self.stages.lock().unwrap() = Stages::default();
        *self.alarm.lock().unwrap() = Some(alarm);
        *self.run.lock().unwrap() = Some(run);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.run.lock().unwrap() = None;
        *self.alarm.lock().unwrap() = None;
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
        self.deliver(buffer.duration(), times(buffer), |datagrams| cut(&map, buffer, datagrams))
    }

    /// A list is one frame.
    fn render_list(&self, list: &gst::BufferList) -> Result<gst::FlowSuccess, gst::FlowError> {
        let maps: Result<Vec<_>, _> = list.iter().map(gst::BufferRef::map_readable).collect();
        let maps = maps.map_err(|_| {
            gst::element_imp_error!(self, gst::ResourceError::Read, ["Cannot read a buffer"]);
            gst::FlowError::Error
        })?;
        let duration = list.iter().find_map(gst::BufferRef::duration);
        self.deliver(duration, list.iter().find_map(times), |datagrams| {
            for (map, buffer) in maps.iter().zip(list.iter()) {
                cut(map, buffer, datagrams);
            }
        })
    }

    /// Anything is sent, and a frame in one buffer is what a payloader should choose.
    fn caps(&self, filter: Option<&gst::Caps>) -> Option<gst::Caps> {
        let Some(filter) = filter else { return Some(gst::Caps::new_any()) };
        let mut caps = gst::Caps::new_empty_simple(CAPS_NAME).intersect(filter);
        caps.merge(filter.clone());
        Some(caps)
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.alarm.lock().unwrap().iter().for_each(|alarm| alarm.ring());
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.alarm.lock().unwrap().iter().for_each(|alarm| alarm.hush());
        Ok(())
    }
}
