use super::Codec;
use crate::latency;
use crate::packets::{CAPS_NAME, DATAGRAM_CAPS_NAME, PacketsMeta};
use crate::pool::GrowingPool;
use crate::wire::seal::{Key, NotAKey, VideoOpener};
use crate::wire::video::{FrameKind, Output, Received, Receiver};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::sync::{LazyLock, Mutex};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "gamestreamvideodepay",
        gst::DebugColorFlags::empty(),
        Some("GameStream packets to encoded video"),
    )
});

const PROP_CODEC: &str = "codec";
const PROP_REORDER_WINDOW: &str = "reorder-window";
const PROP_ENCRYPTION_KEY: &str = "encryption-key";
const PROP_STATS: &str = "stats";

const DEFAULT_CODEC: Codec = Codec::H264;
const DEFAULT_REORDER_WINDOW: u32 = 64;

/// From one frame to the next when the caps do not say it.
const USUAL_INTERVAL: gst::ClockTime = gst::ClockTime::from_nseconds(16_666_667);

/// Bytes of the pool's first buffers.
const USUAL_FRAME: usize = 256 * 1024;

#[derive(Clone, Copy)]
struct Settings {
    codec: Codec,
    reorder_window: u32,
    key: Result<Option<Key>, NotAKey>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { codec: DEFAULT_CODEC, reorder_window: DEFAULT_REORDER_WINDOW, key: Ok(None) }
    }
}

struct State {
    receiver: Receiver,
    opener: Option<VideoOpener>,
    /// The packet that was opened last.
    opened: Vec<u8>,
    pool: GrowingPool,
    first: bool,
    /// Of the frame that went out last.
    last_pts: Option<gst::ClockTime>,
    /// From one frame to the next, as the caps say.
    interval: gst::ClockTime,
}

impl State {
    fn new(reorder_window: u32, opener: Option<VideoOpener>) -> Self {
        Self {
            receiver: Receiver::new(reorder_window as usize),
            opener,
            opened: Vec::new(),
            pool: GrowingPool::new(USUAL_FRAME),
            first: true,
            last_pts: None,
            interval: USUAL_INTERVAL,
        }
    }

    fn handle_datagram(&mut self, datagram: &[u8], arrival: Option<u64>) {
        match &self.opener {
            None => self.receiver.handle_packet(datagram, arrival),
            Some(opener) => match opener.open(datagram, &mut self.opened) {
                Ok(packet) => self.receiver.handle_packet(packet, arrival),
                Err(_) => self.receiver.handle_unopened(),
            },
        }
    }

    fn frame(&mut self, frame: Received) -> Result<gst::Buffer, gst::FlowError> {
        let mut buffer = self.pool.acquire(frame.bitstream_len())?;
        let out = buffer.get_mut().expect("a buffer just acquired has one owner");
        frame.copy_to(&mut out.map_writable().map_err(|_| gst::FlowError::Error)?);
        // A packet of the next frame may arrive before the first one of this.
        let arrival = frame.arrival().map(gst::ClockTime::from_nseconds);
        self.last_pts = arrival.max(self.last_pts);
        out.set_pts(arrival.and(self.last_pts));
        if frame.kind() != FrameKind::Key {
            out.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        if frame.after_loss || self.first {
            out.set_flags(gst::BufferFlags::DISCONT);
            self.first = false;
        }
        self.receiver.recycle(frame);
        Ok(buffer)
    }
}

/// What goes out.
enum Step {
    Frame(gst::Buffer),
    Lost { first: u32, last: u32 },
}

/// Neither lock is taken while the other is held, and none while pushing or posting.
pub struct GameStreamVideoDepay {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

impl GameStreamVideoDepay {
    fn sink_chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.handle_buffer(&buffer).map_err(|error| self.fail(error))?;
        self.push_what_is_ready()
    }

    fn sink_chain_list(&self, list: gst::BufferList) -> Result<gst::FlowSuccess, gst::FlowError> {
        list.iter().try_for_each(|buffer| self.handle_buffer(buffer)).map_err(|error| self.fail(error))?;
        self.push_what_is_ready()
    }

    /// Says why the stream ends.
    fn fail(&self, error: gst::FlowError) -> gst::FlowError {
        gst::element_imp_error!(self, gst::ResourceError::Failed, ["Cannot read or make a buffer: {error}"]);
        error
    }

    fn handle_buffer(&self, buffer: &gst::BufferRef) -> Result<(), gst::FlowError> {
        let bytes = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        let arrival = buffer.pts().map(gst::ClockTime::nseconds);
        let state = &mut *self.state.lock().unwrap();
        match buffer.meta::<PacketsMeta>() {
            Some(cut) if cut.size() > 0 => {
                bytes.chunks(cut.size()).for_each(|datagram| state.handle_datagram(datagram, arrival));
            }
            _ => state.handle_datagram(&bytes, arrival),
        }
        Ok(())
    }

    fn push_what_is_ready(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        while let Some(step) = self.next_step().map_err(|error| self.fail(error))? {
            match step {
                Step::Frame(buffer) => {
                    self.srcpad.push(buffer)?;
                }
                Step::Lost { first, last } => {
                    gst::debug!(CAT, imp = self, "Frames {first} to {last} are lost, requesting a key unit");
                    let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
                    self.sinkpad.push_event(event);
                }
            }
        }
        Ok(gst::FlowSuccess::Ok)
    }

    fn next_step(&self) -> Result<Option<Step>, gst::FlowError> {
        let state = &mut *self.state.lock().unwrap();
        Ok(match state.receiver.poll_output() {
            None => None,
            Some(Output::Frame(frame)) => Some(Step::Frame(state.frame(frame)?)),
            Some(Output::Lost { first, last }) => Some(Step::Lost { first, last }),
        })
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => {
                let codec = self.settings.lock().unwrap().codec;
                let caps = video_caps(caps.caps(), codec);
                gst::debug!(CAT, imp = self, "Giving {caps}");
                let interval = frame_interval(&caps).unwrap_or(USUAL_INTERVAL);
                let before = std::mem::replace(&mut self.state.lock().unwrap().interval, interval);
                if before != interval {
                    self.post_latency();
                }
                return self.srcpad.push_event(gst::event::Caps::new(&caps));
            }
            gst::EventView::Eos(_) => {
                self.state.lock().unwrap().receiver.handle_end();
                if let Err(error) = self.push_what_is_ready() {
                    gst::debug!(CAT, imp = self, "The last frames were not taken: {error}");
                }
            }
            gst::EventView::FlushStop(_) => {
                let state = &mut *self.state.lock().unwrap();
                state.receiver.restart();
                state.last_pts = None;
            }
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(query) => latency::answer(query, &self.sinkpad, self.latency()),
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    /// A frame that lacks packets is given up when two later ones are complete.
    fn latency(&self) -> gst::ClockTime {
        self.state.lock().unwrap().interval * 2
    }

    fn post_latency(&self) {
        let _ = self.obj().post_message(gst::message::Latency::builder().src(&*self.obj()).build());
    }

    fn prepare(&self) -> Result<(), gst::ErrorMessage> {
        let settings = *self.settings.lock().unwrap();
        let key = settings.key.map_err(|NotAKey| {
            gst::error_msg!(gst::ResourceError::Settings, ["{PROP_ENCRYPTION_KEY} is not 32 hex digits"])
        })?;
        let opener = key.map(|key| VideoOpener::new(&key));
        *self.state.lock().unwrap() = State::new(settings.reorder_window, opener);
        Ok(())
    }

    fn stats(&self) -> gst::Structure {
        let stats = self.state.lock().unwrap().receiver.stats();
        gst::Structure::builder("application/x-gamestreamvideodepay-stats")
            .field("packets", stats.packets)
            .field("lost", stats.lost)
            .field("late", stats.late)
            .field("reordered", stats.reordered)
            .field("repeated", stats.repeated)
            .field("invalid", stats.invalid)
            .field("recovered", stats.recovered)
            .field("frames", stats.frames)
            .field("frames-lost", stats.frames_lost)
            .build()
    }
}

/// Caps of the video in these packets.
fn video_caps(packets: &gst::CapsRef, codec: Codec) -> gst::Caps {
    let structure = packets.structure(0).expect("caps of an event are fixed");
    let codec = match structure.get::<&str>("encoding-name") {
        Ok("H264") => Codec::H264,
        Ok("H265") => Codec::H265,
        Ok("AV1") => Codec::Av1,
        _ => codec,
    };
    let mut caps = video_caps_of(codec);
    if let Ok(framerate) = structure.get::<gst::Fraction>("framerate") {
        caps.make_mut().set("framerate", framerate);
    }
    caps
}

fn frame_interval(caps: &gst::CapsRef) -> Option<gst::ClockTime> {
    let rate = caps.structure(0)?.get::<gst::Fraction>("framerate").ok()?;
    let numerator = u64::try_from(rate.numer()).ok().filter(|&numerator| numerator > 0)?;
    gst::ClockTime::SECOND.mul_div_ceil(rate.denom() as u64, numerator)
}

fn video_caps_of(codec: Codec) -> gst::Caps {
    let (name, format, alignment) = match codec {
        Codec::H264 => ("video/x-h264", "byte-stream", "au"),
        Codec::H265 => ("video/x-h265", "byte-stream", "au"),
        Codec::Av1 => ("video/x-av1", "obu-stream", "tu"),
    };
    gst::Caps::builder(name).field("stream-format", format).field("alignment", alignment).build()
}

#[glib::object_subclass]
impl ObjectSubclass for GameStreamVideoDepay {
    const NAME: &'static str = "GstGameStreamVideoDepay";
    type Type = super::GameStreamVideoDepay;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("declared below");
        let failed = || Err(gst::FlowError::Error);
        let sinkpad = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(move |_, parent, buffer| {
                Self::catch_panic_pad_function(parent, failed, |this| this.sink_chain(buffer))
            })
            .chain_list_function(move |_, parent, list| {
                Self::catch_panic_pad_function(parent, failed, |this| this.sink_chain_list(list))
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(pad, event))
            })
            .build();
        let srcpad = gst::Pad::builder_from_template(&template("src"))
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_query(pad, query))
            })
            .build();
        Self {
            sinkpad,
            srcpad,
            settings: Mutex::default(),
            state: Mutex::new(State::new(DEFAULT_REORDER_WINDOW, None)),
        }
    }
}

impl ObjectImpl for GameStreamVideoDepay {
    fn constructed(&self) {
        self.parent_constructed();
        self.obj().add_pad(&self.sinkpad).expect("a new element has no pads");
        self.obj().add_pad(&self.srcpad).expect("a new element has no pads");
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecEnum::builder_with_default(PROP_CODEC, DEFAULT_CODEC)
                    .nick("Codec")
                    .blurb("What the packets hold, unless the caps say so in a field encoding-name (H264, H265, AV1)")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder(PROP_REORDER_WINDOW)
                    .nick("Reorder window")
                    .blurb(
                        "Packets of later frames that may arrive before an incomplete frame is given up; two complete \
                         later frames end the wait as well",
                    )
                    .minimum(1)
                    .maximum(65_535)
                    .default_value(DEFAULT_REORDER_WINDOW)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder(PROP_ENCRYPTION_KEY)
                    .nick("Encryption key")
                    .blurb(
                        "AES-128 key of the session as 32 hex digits, with which every packet is opened; empty takes \
                         packets in the clear",
                    )
                    .write_only()
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>(PROP_STATS)
                    .nick("Statistics")
                    .blurb(
                        "Counts since the start: packets (of the stream, each once), lost (should have come and have \
                         not), late (data packets after their frame was delivered, rebuilt or given up), reordered \
                         (after a newer one), repeated, invalid (no packet of the stream), recovered (data packets \
                         rebuilt from parity), frames (delivered), frames-lost (given up)",
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
            PROP_CODEC => settings.codec = value.get().expect("type checked upstream"),
            PROP_REORDER_WINDOW => settings.reorder_window = value.get().expect("type checked upstream"),
            PROP_ENCRYPTION_KEY => {
                let text: Option<String> = value.get().expect("type checked upstream");
                settings.key = Key::parse(&text.unwrap_or_default());
            }
            _ => unimplemented!(),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            PROP_CODEC => self.settings.lock().unwrap().codec.to_value(),
            PROP_REORDER_WINDOW => self.settings.lock().unwrap().reorder_window.to_value(),
            PROP_STATS => self.stats().to_value(),
            _ => unimplemented!(),
        }
    }
}

impl GstObjectImpl for GameStreamVideoDepay {}

impl ElementImpl for GameStreamVideoDepay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "GameStream video depayloader",
                "Codec/Depayloader/Network/Video",
                "Puts the packets of a GameStream video stream in order, rebuilds lost ones and gives encoded frames",
                crate::AUTHOR,
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let mut packets = gst::Caps::builder(CAPS_NAME).field("media", "video").build();
            packets.merge(gst::Caps::builder(DATAGRAM_CAPS_NAME).field("media", "video").build());
            let mut video = video_caps_of(Codec::H264);
            video.merge(video_caps_of(Codec::H265));
            video.merge(video_caps_of(Codec::Av1));
            let template = |name, direction, caps| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps)
                    .expect("a template that GStreamer accepts")
            };
            vec![
                template("sink", gst::PadDirection::Sink, &packets),
                template("src", gst::PadDirection::Src, &video),
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
