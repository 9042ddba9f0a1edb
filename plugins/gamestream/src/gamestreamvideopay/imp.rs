use super::continuity::{Continuity, Incoming, Remedy, Verdict};
use super::invalidation::{self, Sent};
use super::stats::Stats;
use crate::packets::{Form, PacketsMeta};
use crate::pool::GrowingPool;
use crate::timing::{FrameMeta, FrameTimes};
use crate::wire::seal::{Key, NotAKey, VideoSealer};
use crate::wire::video::{Frame, FrameKind, Layout, MAX_PACKET_SIZE, Packetizer, Redundancy};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::sync::{LazyLock, Mutex};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "gamestreamvideopay",
        gst::DebugColorFlags::empty(),
        Some("Encoded video to GameStream packets"),
    )
});

const PROP_PACKET_SIZE: &str = "packet-size";
const PROP_FEC_PERCENTAGE: &str = "fec-percentage";
const PROP_MIN_FEC_PACKETS: &str = "min-fec-packets";
const PROP_ENCRYPTION_KEY: &str = "encryption-key";
const PROP_STATS: &str = "stats";

const DEFAULT_PACKET_SIZE: u32 = 1392;
const DEFAULT_FEC_PERCENTAGE: u32 = 20;
const DEFAULT_MIN_FEC_PACKETS: u32 = 0;

#[derive(Clone, Copy)]
struct Settings {
    packet_size: u32,
    fec_percentage: u32,
    min_fec_packets: u32,
    key: Result<Option<Key>, NotAKey>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            packet_size: DEFAULT_PACKET_SIZE,
            fec_percentage: DEFAULT_FEC_PERCENTAGE,
            min_fec_packets: DEFAULT_MIN_FEC_PACKETS,
            key: Ok(None),
        }
    }
}

impl Settings {
    fn redundancy(&self) -> Redundancy {
        Redundancy { percentage: self.fec_percentage as u8, min: self.min_fec_packets as usize }
    }
}

/// Bytes of the pool's first buffers: a frame at 100 Mbit/s and 60 fps fits.
const USUAL_FRAME: usize = 256 * 1024;

struct State {
    form: Form,
    /// What comes in.
    caps: Option<gst::Caps>,
    packetizer: Packetizer,
    pool: GrowingPool,
    segment: gst::FormattedSegment<gst::ClockTime>,
    /// From one frame to the next, as the caps say.
    interval: Option<gst::ClockTime>,
    continuity: Continuity,
    sent: Sent,
    stats: Stats,
}

impl Default for State {
    fn default() -> Self {
        Self {
            form: Form::default(),
            caps: None,
            packetizer: Packetizer::default(),
            pool: GrowingPool::new(USUAL_FRAME),
            segment: Default::default(),
            interval: None,
            continuity: Continuity::default(),
            sent: Sent::default(),
            stats: Stats::default(),
        }
    }
}

/// What becomes of a frame.
struct Outcome {
    /// Its packets, if it goes out.
    packets: Option<(Form, gst::Buffer)>,
    missing: Option<Missing>,
}

/// What is to be done for frames that are missing.
struct Missing {
    remedy: Remedy,
    /// To ask an encoder for a recovery frame with.
    event: Option<gst::Event>,
    time: Option<gst::ClockTime>,
}

/// Seals under the present key.
#[derive(Default)]
struct Sealing {
    sealer: Option<(Key, VideoSealer)>,
    /// Packets sealed under other keys: should one of them come back, it meets no nonce again.
    before: u64,
}

impl Sealing {
    fn set_key(&mut self, key: Option<Key>) {
        if self.sealer.as_ref().map(|(key, _)| *key) == key {
            return;
        }
        if let Some((_, sealer)) = self.sealer.take() {
            self.before = sealer.packets();
        }
        self.sealer = key.map(|key| (key, VideoSealer::new(&key, self.before)));
    }
}

/// Lock order: `settings`, `state`, `sealing`; none is held while pushing or posting.
pub struct GameStreamVideoPay {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
    /// Outlives a stop: nonces go on where they were.
    sealing: Mutex<Sealing>,
}

impl GameStreamVideoPay {
    fn sink_chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        if buffer.size() == 0 {
            return Ok(gst::FlowSuccess::Ok);
        }
        if self.srcpad.check_reconfigure() {
            self.negotiate();
        }
        let now = self.obj().current_running_time();
        let settings = *self.settings.lock().unwrap();
        let Outcome { packets, missing } =
            self.packetize(&buffer, settings, now).map_err(|error| self.fail(error))?;
        if let Some(missing) = missing {
            self.make_good(missing);
        }
        match packets {
            Some((form, packets)) => form.push(&self.srcpad, packets),
            None => Ok(gst::FlowSuccess::Ok),
        }
    }

    fn packetize(
        &self,
        buffer: &gst::BufferRef,
        settings: Settings,
        now: Option<gst::ClockTime>,
    ) -> Result<Outcome, gst::FlowError> {
        let state = &mut *self.state.lock().unwrap();
        let layout = Layout::plan(buffer.size(), settings.packet_size as usize, settings.redundancy());
        if layout.is_err() {
            gst::warning!(CAT, imp = self, "{} bytes do not fit into the packets of a frame", buffer.size());
        }
        let time = buffer.pts().and_then(|pts| state.segment.to_running_time(pts)).or(now);
        let Verdict { send, skip, remedy } = state.continuity.judge(Incoming {
            key: is_key(buffer),
            recovery: invalidation::is_recovery(buffer),
            discont: buffer.flags().contains(gst::BufferFlags::DISCONT),
            fits: layout.is_ok(),
            time,
            interval: state.interval.or(buffer.duration()),
        });
        let missing =
            remedy.map(|remedy| Missing { remedy, event: state.invalidation(skip, buffer.pts()), time });
        state.packetizer.skip_frames(skip);
        if state.stats.skip(skip) {
            gst::warning!(CAT, imp = self, "{} frames are missing so far", state.stats.skipped);
        }
        match layout {
            Ok(layout) if send => {
                state.sent.handle_sent(state.packetizer.next_frame(), buffer.pts());
                let packets = Some((state.form, self.write(state, &layout, buffer, now)?));
                Ok(Outcome { packets, missing })
            }
            _ => {
                state.stats.dropped += 1;
                Ok(Outcome { packets: None, missing })
            }
        }
    }

    /// Says why the stream ends.
    fn fail(&self, error: gst::FlowError) -> gst::FlowError {
        gst::element_imp_error!(self, gst::ResourceError::Failed, ["Cannot read or make a buffer: {error}"]);
        error
    }

    fn write(
        &self,
        state: &mut State,
        layout: &Layout,
        buffer: &gst::BufferRef,
        now: Option<gst::ClockTime>,
    ) -> Result<gst::Buffer, gst::FlowError> {
        let arrival = gst::get_timestamp();
        let sealing = &mut *self.sealing.lock().unwrap();
        let sealer = sealing.sealer.as_mut().map(|(_, sealer)| sealer);
        let size = layout.datagram(sealer.is_some());
        let mut packets = state.pool.acquire(size * layout.packets())?;
        let times = buffer.meta::<FrameMeta>().map(|meta| *meta.value());
        let index = state.packetizer.next_frame();
        let out = packets.get_mut().expect("a buffer just acquired has one owner");
        {
            let bitstream = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            let mut bytes = out.map_writable().map_err(|_| gst::FlowError::Error)?;
            let running_time = buffer.pts().and_then(|pts| state.segment.to_running_time(pts));
            let age = times.and_then(|times| times.begin()).map_or_else(
                || running_time.zip(now).map(|(from, to)| to.saturating_sub(from)),
                |begin| Some(gst::get_timestamp().saturating_sub(begin)),
            );
            let frame = Frame {
                kind: kind(buffer),
                timestamp: rtp_time(running_time.or(now).unwrap_or_default()),
                latency: latency(age),
                bitstream: &bitstream,
            };
            state.packetizer.write(layout, &frame, sealer, &mut bytes);
        }
        out.set_pts(buffer.pts());
        out.set_dts(buffer.dts());
        out.set_duration(buffer.duration());
        if !is_key(buffer) {
            out.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        PacketsMeta::add(out, size, layout.packets());
        // A pooled buffer may still have the times of the frame before.
        FrameMeta::set_pooled(out, packetized(times.unwrap_or_default(), arrival));
        state.stats.count(index, layout, kind(buffer), size);
        gst::trace!(CAT, imp = self, "{} bytes in {} packets", buffer.size(), layout.packets());
        Ok(packets)
    }

    /// Asks the encoder for a frame that needs none of those that are missing, or, where none answers, for a key unit.
    fn make_good(&self, Missing { remedy, event, time }: Missing) {
        let event = event.filter(|_| remedy == Remedy::Recovery);
        if event.is_some_and(|event| self.invalidate(event)) {
            return;
        }
        let asks = {
            let state = &mut *self.state.lock().unwrap();
            let asks = state.continuity.may_ask(time);
            state.stats.key_unit_requests += u64::from(asks);
            asks
        };
        if asks {
            self.request_key_unit();
        }
    }

    /// Whether an encoder upstream takes the event.
    fn invalidate(&self, event: gst::Event) -> bool {
        gst::debug!(CAT, imp = self, "{:?}", event.structure());
        let answered = self.sinkpad.push_event(event);
        self.state.lock().unwrap().stats.invalidations += u64::from(answered);
        answered
    }

    /// A client cannot decode the frames of these indices.
    fn handle_lost(&self, first: u32, last: u32) -> bool {
        let broken = self.state.lock().unwrap().sent.broken(first, last);
        broken.is_some_and(|broken| self.invalidate(invalidation::event(first, last, broken)))
    }

    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match invalidation::indices(&event) {
            Some((first, last)) => self.handle_lost(first, last),
            None => gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
    }

    fn request_key_unit(&self) {
        gst::debug!(CAT, imp = self, "Requesting a key unit");
        let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
        if !self.sinkpad.push_event(event) {
            gst::debug!(CAT, imp = self, "Nobody upstream makes key units on request");
        }
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => {
                {
                    let state = &mut *self.state.lock().unwrap();
                    state.interval = frame_interval(caps.caps());
                    state.caps = Some(caps.caps_owned());
                }
                return self.negotiate();
            }
            gst::EventView::Segment(segment) => {
                let segment = segment.segment().downcast_ref::<gst::ClockTime>();
                self.state.lock().unwrap().segment = segment.cloned().unwrap_or_default();
            }
            gst::EventView::FlushStop(_) => {
                let state = &mut *self.state.lock().unwrap();
                state.segment = Default::default();
                state.continuity.flush();
                state.sent.clear();
            }
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    /// Agrees with downstream on how packets leave, and says what they are.
    fn negotiate(&self) -> bool {
        let Some(video) = self.state.lock().unwrap().caps.clone() else { return true };
        let form = Form::agree(&self.srcpad);
        let caps = packet_caps(form, &video);
        gst::debug!(CAT, imp = self, "Sending {caps}");
        self.state.lock().unwrap().form = form;
        self.srcpad.current_caps().as_ref() == Some(&caps)
            || self.srcpad.push_event(gst::event::Caps::new(&caps))
    }

    /// Takes up the key, and does beforehand what would make the first frames late.
    fn prepare(&self) -> Result<(), gst::ErrorMessage> {
        let settings = *self.settings.lock().unwrap();
        let key = settings.key.map_err(|NotAKey| {
            gst::error_msg!(gst::ResourceError::Settings, ["{PROP_ENCRYPTION_KEY} is not 32 hex digits"])
        })?;
        let mut state = State::default();
        state.packetizer.prepare(settings.redundancy());
        *self.state.lock().unwrap() = state;
        self.sealing.lock().unwrap().set_key(key);
        Ok(())
    }
}

impl State {
    /// The event for `count` frames before one of timestamp `pts`, which are left out.
    fn invalidation(&self, count: u32, pts: Option<gst::ClockTime>) -> Option<gst::Event> {
        let first = self.packetizer.next_frame();
        let last = first.wrapping_add(count.saturating_sub(1));
        Some(invalidation::event(first, last, self.sent.broken_after_newest(pts)?))
    }
}

fn is_key(buffer: &gst::BufferRef) -> bool {
    !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)
}

fn kind(buffer: &gst::BufferRef) -> FrameKind {
    if is_key(buffer) {
        FrameKind::Key
    } else if invalidation::is_recovery(buffer) {
        FrameKind::Recovery
    } else {
        FrameKind::Delta
    }
}

/// 90 kHz, to the nearest tick, wrapping.
fn rtp_time(running_time: gst::ClockTime) -> u32 {
    ((u128::from(running_time.nseconds()) * 9 + 50_000) / 100_000) as u32
}

/// An age in tenths of a millisecond, at least one; 0 when it is not known.
fn latency(age: Option<gst::ClockTime>) -> u16 {
    let Some(age) = age else { return 0 };
    (age.useconds() / 100).clamp(1, u64::from(u16::MAX)) as u16
}

/// The times of a frame whose packets are ready; `arrival` is when it came, unless somebody saw it leave the encoder.
fn packetized(times: FrameTimes, arrival: gst::ClockTime) -> FrameTimes {
    FrameTimes {
        encode_out: times.encode_out.or(Some(arrival)),
        packetized: Some(gst::get_timestamp()),
        ..times
    }
}

/// From one frame to the next, if these caps say it.
fn frame_interval(video: &gst::CapsRef) -> Option<gst::ClockTime> {
    let rate = video.structure(0)?.get::<gst::Fraction>("framerate").ok()?;
    let numerator = u64::try_from(rate.numer()).ok().filter(|&numerator| numerator > 0)?;
    gst::ClockTime::SECOND.mul_div_round(rate.denom() as u64, numerator)
}

/// What the packets of video with these caps are.
fn packet_caps(form: Form, video: &gst::CapsRef) -> gst::Caps {
    let structure = video.structure(0).expect("caps of an event are fixed");
    let encoding = match structure.name().as_str() {
        "video/x-h265" => "H265",
        "video/x-av1" => "AV1",
        _ => "H264",
    };
    form.caps()
        .field("media", "video")
        .field("encoding-name", encoding)
        .field_if_some("framerate", structure.get::<gst::Fraction>("framerate").ok())
        .build()
}

#[glib::object_subclass]
impl ObjectSubclass for GameStreamVideoPay {
    const NAME: &'static str = "GstGameStreamVideoPay";
    type Type = super::GameStreamVideoPay;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("declared below");
        let sinkpad = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.sink_chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(pad, event))
            })
            .build();
        let srcpad = gst::Pad::builder_from_template(&template("src"))
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_event(pad, event))
            })
            .build();
        Self {
            sinkpad,
            srcpad,
            settings: Mutex::default(),
            state: Mutex::default(),
            sealing: Mutex::default(),
        }
    }
}

impl ObjectImpl for GameStreamVideoPay {
    fn constructed(&self) {
        self.parent_constructed();
        self.obj().add_pad(&self.sinkpad).expect("a new element has no pads");
        self.obj().add_pad(&self.srcpad).expect("a new element has no pads");
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecUInt::builder(PROP_PACKET_SIZE)
                    .nick("Packet size")
                    .blurb(
                        "Size of a packet in bytes as client and host agree on it (the packetSize of ANNOUNCE); a \
                         datagram is 16 bytes longer, and another 32 with encryption",
                    )
                    .minimum(64)
                    .maximum(MAX_PACKET_SIZE as u32)
                    .default_value(DEFAULT_PACKET_SIZE)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder(PROP_FEC_PERCENTAGE)
                    .nick("FEC percentage")
                    .blurb(
                        "Parity packets in per cent of the data packets of a block, rounded up; so many packets of a \
                         block may be lost. 0 sends none",
                    )
                    .maximum(255)
                    .default_value(DEFAULT_FEC_PERCENTAGE)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder(PROP_MIN_FEC_PACKETS)
                    .nick("Minimum of FEC packets")
                    .blurb(
                        "Parity packets that even the smallest block gets (the minRequiredFecPackets of ANNOUNCE), \
                         as long as they are not more than 255 % of its data packets; without meaning while \
                         fec-percentage is 0",
                    )
                    .maximum(40)
                    .default_value(DEFAULT_MIN_FEC_PACKETS)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder(PROP_ENCRYPTION_KEY)
                    .nick("Encryption key")
                    .blurb(
                        "AES-128 key of the session as 32 hex digits (the rikey of the launch request), with which \
                         every packet is sealed; empty sends them in the clear",
                    )
                    .write_only()
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>(PROP_STATS)
                    .nick("Statistics")
                    .blurb(
                        "Counts since the start: frames, key-frames, packets (parity included), parity-packets, bytes \
                         (as datagrams), frames-dropped (before the first key frame, or too large), frames-skipped \
                         (frame indices left out), key-unit-requests, recovery-frames, invalidations (events that an \
                         encoder answered); and last-key-frame, the frame index of the last key frame",
                    )
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = self.settings.lock().unwrap();
        match pspec.name() {
            PROP_PACKET_SIZE => settings.packet_size = value.get().expect("type checked upstream"),
            PROP_FEC_PERCENTAGE => settings.fec_percentage = value.get().expect("type checked upstream"),
            PROP_MIN_FEC_PACKETS => settings.min_fec_packets = value.get().expect("type checked upstream"),
            PROP_ENCRYPTION_KEY => {
                let text: Option<String> = value.get().expect("type checked upstream");
                settings.key = Key::parse(&text.unwrap_or_default());
            }
            _ => unimplemented!(),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            PROP_PACKET_SIZE => self.settings.lock().unwrap().packet_size.to_value(),
            PROP_FEC_PERCENTAGE => self.settings.lock().unwrap().fec_percentage.to_value(),
            PROP_MIN_FEC_PACKETS => self.settings.lock().unwrap().min_fec_packets.to_value(),
            PROP_STATS => {
                let stats = self.state.lock().unwrap().stats;
                stats.structure().to_value()
            }
            _ => unimplemented!(),
        }
    }
}

impl GstObjectImpl for GameStreamVideoPay {}

impl ElementImpl for GameStreamVideoPay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "GameStream video payloader",
                "Codec/Payloader/Network/Video",
                "Cuts encoded video into the packets that Moonlight clients receive, with Reed-Solomon parity and \
                 optional encryption",
                crate::AUTHOR,
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let stream = |name, format, alignment| {
                gst::Structure::builder(name)
                    .field("stream-format", format)
                    .field("alignment", alignment)
                    .build()
            };
            let video = gst::Caps::builder_full()
                .structure(stream("video/x-h264", "byte-stream", "au"))
                .structure(stream("video/x-h265", "byte-stream", "au"))
                .structure(stream("video/x-av1", "obu-stream", "tu"))
                .build();
            let packets = Form::template("video");
            let template = |name, direction, caps| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps)
                    .expect("a template that GStreamer accepts")
            };
            vec![
                template("sink", gst::PadDirection::Sink, &video),
                template("src", gst::PadDirection::Src, &packets),
            ]
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            self.prepare().map_err(|error| {
                self.post_error_message(error);
                gst::StateChangeError
            })?;
        }
        self.parent_change_state(transition)
    }
}
