use crate::latency;
use crate::packets::{CAPS_NAME, DATAGRAM_CAPS_NAME, PacketsMeta};
use crate::pool::GrowingPool;
use crate::wire::audio::{MAX_PAYLOAD, Output, Receiver, Timeline};
use crate::wire::seal::{AudioOpener, Key, NotAKey};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::sync::{LazyLock, Mutex};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "gamestreamaudiodepay",
        gst::DebugColorFlags::empty(),
        Some("GameStream packets to Opus"),
    )
});

const PROP_CHANNELS: &str = "channels";
const PROP_ENCRYPTION_KEY: &str = "encryption-key";
const PROP_ENCRYPTION_IV: &str = "encryption-iv";
const PROP_STATS: &str = "stats";

const DEFAULT_CHANNELS: u32 = 2;
const DEFAULT_ENCRYPTION_IV: u32 = 0;

#[derive(Clone, Copy)]
struct Settings {
    channels: u32,
    key: Result<Option<Key>, NotAKey>,
    iv: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { channels: DEFAULT_CHANNELS, key: Ok(None), iv: DEFAULT_ENCRYPTION_IV }
    }
}

struct State {
    receiver: Receiver,
    timeline: Timeline,
    /// Of the newest datagram.
    arrival: Option<gst::ClockTime>,
    opener: Option<AudioOpener>,
    pool: GrowingPool,
    /// The next buffer is the first one, or follows a gap that no GAP event stands for.
    discont: bool,
}

impl State {
    fn new(opener: Option<AudioOpener>) -> Self {
        Self {
            receiver: Receiver::default(),
            timeline: Timeline::default(),
            arrival: None,
            opener,
            pool: GrowingPool::new(MAX_PAYLOAD),
            discont: true,
        }
    }

    /// What goes out next.
    fn next_step(&mut self) -> Result<Option<Step>, gst::FlowError> {
        let duration = u64::from(self.receiver.packet_duration()) * gst::ClockTime::MSECOND;
        let Some(output) = self.receiver.poll_output() else { return Ok(None) };
        let (timestamp, payload) = match output {
            Output::Lost { timestamp } => (timestamp, None),
            Output::Payload { sequence, timestamp, payload } => {
                (timestamp, Some(opus(&mut self.pool, self.opener.as_ref(), sequence, payload)?))
            }
        };
        let pts = self.time(timestamp, payload.is_some()).map(gst::ClockTime::from_nseconds);
        if let Some(None) = payload {
            self.receiver.handle_unopened();
        }
        let Some(mut buffer) = payload.flatten() else {
            self.discont |= pts.is_none();
            return Ok(Some(Step::Missing(pts.map(|pts| gap(pts, duration)))));
        };
        let out = buffer.get_mut().expect("a buffer just acquired has one owner");
        out.set_pts(pts);
        out.set_duration(duration);
        if std::mem::take(&mut self.discont) {
            out.set_flags(gst::BufferFlags::DISCONT);
        }
        Ok(Some(Step::Payload(buffer)))
    }

    /// When what has this timestamp is to be played, whether it `arrived` or is missing.
    fn time(&mut self, timestamp: u32, arrived: bool) -> Option<u64> {
        let arrival = self.arrival?.nseconds();
        if !arrived {
            return self.timeline.find(timestamp, arrival);
        }
        let (time, broken) = self.timeline.place(timestamp, arrival);
        self.discont |= broken;
        Some(time)
    }
}

/// What goes out.
enum Step {
    Payload(gst::Buffer),
    Missing(Option<gst::Event>),
}

/// Neither lock is taken while the other is held, and none while pushing or posting.
pub struct GameStreamAudioDepay {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

impl GameStreamAudioDepay {
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
        let mut state = self.state.lock().unwrap();
        state.arrival = buffer.pts();
        let receiver = &mut state.receiver;
        let before = receiver.packet_duration();
        let cut = buffer.meta::<PacketsMeta>().map(|cut| cut.size()).filter(|&size| size > 0);
        match cut {
            Some(size) => bytes.chunks(size).for_each(|datagram| receiver.handle_datagram(datagram)),
            None => receiver.handle_datagram(&bytes),
        }
        let changed = receiver.packet_duration() != before;
        drop(state);
        if changed {
            self.post_latency();
        }
        Ok(())
    }

    fn push_what_is_ready(&self) -> Result<gst::FlowSuccess, gst::FlowError> {
        loop {
            let step = self.state.lock().unwrap().next_step();
            let step = step.map_err(|error| self.fail(error))?;
            match step {
                None => return Ok(gst::FlowSuccess::Ok),
                Some(Step::Payload(buffer)) => {
                    self.srcpad.push(buffer)?;
                }
                Some(Step::Missing(gap)) => {
                    gst::debug!(CAT, imp = self, "A packet is missing");
                    gap.map(|gap| self.srcpad.push_event(gap));
                }
            }
        }
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => {
                let channels = self.settings.lock().unwrap().channels;
                let Some(caps) = opus_caps(caps.caps(), channels) else {
                    gst::warning!(CAT, imp = self, "More than two channels: {}", caps.caps());
                    return false;
                };
                gst::debug!(CAT, imp = self, "Giving {caps}");
                return self.srcpad.push_event(gst::event::Caps::new(&caps));
            }
            gst::EventView::Eos(_) => {
                self.state.lock().unwrap().receiver.handle_end();
                if let Err(error) = self.push_what_is_ready() {
                    gst::debug!(CAT, imp = self, "The last packets were not taken: {error}");
                }
            }
            gst::EventView::FlushStop(_) => {
                let state = &mut *self.state.lock().unwrap();
                state.receiver.restart();
                state.timeline = Timeline::default();
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

    /// A packet that is lost is given up when the block after the next one begins.
    fn latency(&self) -> gst::ClockTime {
        u64::from(self.state.lock().unwrap().receiver.block_duration()) * 2 * gst::ClockTime::MSECOND
    }

    fn post_latency(&self) {
        let _ = self.obj().post_message(gst::message::Latency::builder().src(&*self.obj()).build());
    }

    fn prepare(&self) -> Result<(), gst::ErrorMessage> {
        let settings = *self.settings.lock().unwrap();
        let key = settings.key.map_err(|NotAKey| {
            gst::error_msg!(gst::ResourceError::Settings, ["{PROP_ENCRYPTION_KEY} is not 32 hex digits"])
        })?;
        *self.state.lock().unwrap() = State::new(key.map(|key| AudioOpener::new(&key, settings.iv)));
        Ok(())
    }

    fn stats(&self) -> gst::Structure {
        let stats = self.state.lock().unwrap().receiver.stats();
        gst::Structure::builder("application/x-gamestreamaudiodepay-stats")
            .field("packets", stats.packets)
            .field("lost", stats.lost)
            .field("late", stats.late)
            .field("reordered", stats.reordered)
            .field("repeated", stats.repeated)
            .field("invalid", stats.invalid)
            .field("recovered", stats.recovered)
            .field("payloads", stats.delivered)
            .field("payloads-lost", stats.given_up)
            .build()
    }
}

/// The Opus in `payload` in a buffer of its own; nothing if it cannot be opened.
fn opus(
    pool: &mut GrowingPool,
    opener: Option<&AudioOpener>,
    sequence: u16,
    payload: &[u8],
) -> Result<Option<gst::Buffer>, gst::FlowError> {
    let mut buffer = pool.acquire(payload.len())?;
    let out = buffer.get_mut().expect("a buffer just acquired has one owner");
    let len = {
        let mut bytes = out.map_writable().map_err(|_| gst::FlowError::Error)?;
        bytes.copy_from_slice(payload);
        match opener.map(|opener| opener.open(sequence, &mut bytes)) {
            None => payload.len(),
            Some(opened) => opened.map_or(0, <[u8]>::len),
        }
    };
    out.set_size(len);
    Ok((len > 0).then_some(buffer))
}

fn gap(pts: gst::ClockTime, duration: gst::ClockTime) -> gst::Event {
    gst::event::Gap::builder(pts).duration(duration).build()
}

/// Caps of the Opus in these packets, if they are mono or stereo.
fn opus_caps(packets: &gst::CapsRef, channels: u32) -> Option<gst::Caps> {
    let structure = packets.structure(0).expect("caps of an event are fixed");
    let channels = structure.get::<i32>("channels").unwrap_or(channels as i32);
    let caps = gst::Caps::builder("audio/x-opus")
        .field("rate", 48_000)
        .field("channels", channels)
        .field("channel-mapping-family", 0);
    (1..=2).contains(&channels).then(|| caps.build())
}

#[glib::object_subclass]
impl ObjectSubclass for GameStreamAudioDepay {
    const NAME: &'static str = "GstGameStreamAudioDepay";
    type Type = super::GameStreamAudioDepay;
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
        Self { sinkpad, srcpad, settings: Mutex::default(), state: Mutex::new(State::new(None)) }
    }
}

impl ObjectImpl for GameStreamAudioDepay {
    fn constructed(&self) {
        self.parent_constructed();
        self.obj().add_pad(&self.sinkpad).expect("a new element has no pads");
        self.obj().add_pad(&self.srcpad).expect("a new element has no pads");
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecUInt::builder(PROP_CHANNELS)
                    .nick("Channels")
                    .blurb("Channels of the Opus in the packets, mono or stereo, unless the caps say it")
                    .minimum(1)
                    .maximum(2)
                    .default_value(DEFAULT_CHANNELS)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder(PROP_ENCRYPTION_KEY)
                    .nick("Encryption key")
                    .blurb(
                        "AES-128 key of the session as 32 hex digits, with which every payload is opened; empty takes \
                         payloads in the clear",
                    )
                    .write_only()
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder(PROP_ENCRYPTION_IV)
                    .nick("Encryption vector")
                    .blurb(
                        "The rikeyid of the session as an unsigned number; with the sequence number added it is the \
                         initial vector of a payload",
                    )
                    .default_value(DEFAULT_ENCRYPTION_IV)
                    .write_only()
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>(PROP_STATS)
                    .nick("Statistics")
                    .blurb(
                        "Counts since the start: packets (of the stream, each once, parity included), lost (data \
                         packets that should have come and have not), late (data packets after they were rebuilt or \
                         given up), reordered (after a newer one), repeated, invalid (no packet of the stream), \
                         recovered (data packets rebuilt from parity), payloads (delivered), payloads-lost (given up)",
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
            PROP_CHANNELS => settings.channels = value.get().expect("type checked upstream"),
            PROP_ENCRYPTION_KEY => {
                let text: Option<String> = value.get().expect("type checked upstream");
                settings.key = Key::parse(&text.unwrap_or_default());
            }
            PROP_ENCRYPTION_IV => settings.iv = value.get().expect("type checked upstream"),
            _ => unimplemented!(),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            PROP_CHANNELS => self.settings.lock().unwrap().channels.to_value(),
            PROP_STATS => self.stats().to_value(),
            _ => unimplemented!(),
        }
    }
}

impl GstObjectImpl for GameStreamAudioDepay {}

impl ElementImpl for GameStreamAudioDepay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "GameStream audio depayloader",
                "Codec/Depayloader/Network/Audio",
                "Puts the packets of a GameStream audio stream in order, rebuilds lost ones and gives Opus",
                crate::AUTHOR,
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let mut packets = gst::Caps::builder(CAPS_NAME).field("media", "audio").build();
            packets.merge(gst::Caps::builder(DATAGRAM_CAPS_NAME).field("media", "audio").build());
            let opus = gst::Caps::new_empty_simple("audio/x-opus");
            let template = |name, direction, caps| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps)
                    .expect("a template that GStreamer accepts")
            };
            vec![
                template("sink", gst::PadDirection::Sink, &packets),
                template("src", gst::PadDirection::Src, &opus),
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
