use crate::packets::{Form, PacketsMeta};
use crate::pool::GrowingPool;
use crate::wire::audio::{Packetizer, Parity};
use crate::wire::seal::{AudioSealer, Key, NotAKey};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::sync::{LazyLock, Mutex};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "gamestreamaudiopay",
        gst::DebugColorFlags::empty(),
        Some("Opus to GameStream packets"),
    )
});

const PROP_PACKET_DURATION: &str = "packet-duration";
const PROP_ENCRYPTION_KEY: &str = "encryption-key";
const PROP_ENCRYPTION_IV: &str = "encryption-iv";
const PROP_STATS: &str = "stats";

const DEFAULT_PACKET_DURATION: u32 = 5;
const DEFAULT_ENCRYPTION_IV: u32 = 0;

/// Bytes of the pool's buffers: any data packet, and the usual pair of parity.
const USUAL_BUFFER: usize = 2048;

#[derive(Clone, Copy)]
struct Settings {
    packet_duration: u32,
    key: Result<Option<Key>, NotAKey>,
    iv: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { packet_duration: DEFAULT_PACKET_DURATION, key: Ok(None), iv: DEFAULT_ENCRYPTION_IV }
    }
}

struct State {
    form: Form,
    /// What comes in.
    caps: Option<gst::Caps>,
    packetizer: Packetizer,
    pool: GrowingPool,
    sealer: Option<AudioSealer>,
    stats: Stats,
}

impl Default for State {
    fn default() -> Self {
        Self {
            form: Form::default(),
            caps: None,
            packetizer: Packetizer::default(),
            pool: GrowingPool::new(USUAL_BUFFER),
            sealer: None,
            stats: Stats::default(),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Stats {
    packets: u64,
    parity_packets: u64,
    bytes: u64,
    dropped: u64,
    unprotected: u64,
}

/// Neither lock is taken while the other is held, and none while pushing or posting.
pub struct GameStreamAudioPay {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

impl GameStreamAudioPay {
    fn sink_chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        // Header buffers of Ogg are no sound.
        if buffer.size() == 0 || buffer.flags().contains(gst::BufferFlags::HEADER) {
            return Ok(gst::FlowSuccess::Ok);
        }
        if self.srcpad.check_reconfigure() {
            self.negotiate();
        }
        let (packet, parity) = self.packetize(&buffer).map_err(|error| self.fail(error))?;
        let form = self.state.lock().unwrap().form;
        for packets in [packet, parity].into_iter().flatten() {
            form.push(&self.srcpad, packets)?;
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// The packet of `buffer` if it fits, and the parity that follows it.
    fn packetize(
        &self,
        buffer: &gst::BufferRef,
    ) -> Result<(Option<gst::Buffer>, Option<gst::Buffer>), gst::FlowError> {
        let duration = self.settings.lock().unwrap().packet_duration;
        let state = &mut *self.state.lock().unwrap();
        let State { packetizer, pool, sealer, stats, .. } = state;
        let opus = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        let Ok(len) = Packetizer::packet_len(opus.len(), sealer.is_some()) else {
            gst::warning!(CAT, imp = self, "{} bytes of Opus do not fit into a packet", opus.len());
            stats.dropped += 1;
            return Ok((None, None));
        };
        let mut parity = None;
        let packet = packets(pool, buffer, len, 1, |bytes| {
            parity = packetizer.write(&opus, duration, sealer.as_ref(), bytes);
        })?;
        stats.packets += 1;
        stats.bytes += len as u64;
        let parity = match parity {
            Some(Parity::Packets(len)) => {
                stats.packets += 2;
                stats.parity_packets += 2;
                stats.bytes += 2 * len as u64;
                Some(packets(pool, buffer, len, 2, |bytes| packetizer.write_parity(duration, bytes))?)
            }
            Some(Parity::Impossible) => {
                if stats.unprotected == 0 {
                    gst::warning!(
                        CAT,
                        imp = self,
                        "Packets differ in length: no parity; use a constant bitrate"
                    );
                }
                stats.unprotected += 1;
                None
            }
            None => None,
        };
        Ok((Some(packet), parity))
    }

    /// Says why the stream ends.
    fn fail(&self, error: gst::FlowError) -> gst::FlowError {
        gst::element_imp_error!(self, gst::ResourceError::Failed, ["Cannot read or make a buffer: {error}"]);
        error
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        if let gst::EventView::Caps(caps) = event.view() {
            self.state.lock().unwrap().caps = Some(caps.caps_owned());
            return self.negotiate();
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    /// Agrees with downstream on how packets leave, and says what they are.
    fn negotiate(&self) -> bool {
        let Some(opus) = self.state.lock().unwrap().caps.clone() else { return true };
        let form = Form::agree(&self.srcpad);
        let caps = packet_caps(form, &opus);
        gst::debug!(CAT, imp = self, "Sending {caps}");
        self.state.lock().unwrap().form = form;
        self.srcpad.current_caps().as_ref() == Some(&caps)
            || self.srcpad.push_event(gst::event::Caps::new(&caps))
    }

    fn prepare(&self) -> Result<(), gst::ErrorMessage> {
        let settings = *self.settings.lock().unwrap();
        let key = settings.key.map_err(|NotAKey| {
            gst::error_msg!(gst::ResourceError::Settings, ["{PROP_ENCRYPTION_KEY} is not 32 hex digits"])
        })?;
        let sealer = key.map(|key| AudioSealer::new(&key, settings.iv));
        *self.state.lock().unwrap() = State { sealer, ..State::default() };
        Ok(())
    }
}

/// A buffer of `count` packets of `len` bytes with the times of `source`.
fn packets(
    pool: &mut GrowingPool,
    source: &gst::BufferRef,
    len: usize,
    count: usize,
    write: impl FnOnce(&mut [u8]),
) -> Result<gst::Buffer, gst::FlowError> {
    let mut buffer = pool.acquire(len * count)?;
    let out = buffer.get_mut().expect("a buffer just acquired has one owner");
    write(&mut out.map_writable().map_err(|_| gst::FlowError::Error)?);
    out.set_pts(source.pts());
    out.set_dts(source.dts());
    out.set_duration(source.duration());
    PacketsMeta::add(out, len, count);
    Ok(buffer)
}

/// What the packets of Opus with these caps are.
fn packet_caps(form: Form, opus: &gst::CapsRef) -> gst::Caps {
    let channels = opus.structure(0).and_then(|structure| structure.get::<i32>("channels").ok());
    form.caps()
        .field("media", "audio")
        .field("encoding-name", "OPUS")
        .field_if_some("channels", channels)
        .build()
}

impl Stats {
    fn structure(&self) -> gst::Structure {
        gst::Structure::builder("application/x-gamestreamaudiopay-stats")
            .field("packets", self.packets)
            .field("parity-packets", self.parity_packets)
            .field("bytes", self.bytes)
            .field("packets-dropped", self.dropped)
            .field("blocks-unprotected", self.unprotected)
            .build()
    }
}

#[glib::object_subclass]
impl ObjectSubclass for GameStreamAudioPay {
    const NAME: &'static str = "GstGameStreamAudioPay";
    type Type = super::GameStreamAudioPay;
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
        Self {
            sinkpad,
            srcpad: gst::Pad::from_template(&template("src")),
            settings: Mutex::default(),
            state: Mutex::default(),
        }
    }
}

impl ObjectImpl for GameStreamAudioPay {
    fn constructed(&self) {
        self.parent_constructed();
        self.obj().add_pad(&self.sinkpad).expect("a new element has no pads");
        self.obj().add_pad(&self.srcpad).expect("a new element has no pads");
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecUInt::builder(PROP_PACKET_DURATION)
                    .nick("Packet duration")
                    .blurb(
                        "Sound in a packet in milliseconds, as client and host agree on it (5 or 10); the encoder's \
                         frame size has to be the same, timestamps count in it",
                    )
                    .minimum(1)
                    .maximum(120)
                    .default_value(DEFAULT_PACKET_DURATION)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder(PROP_ENCRYPTION_KEY)
                    .nick("Encryption key")
                    .blurb(
                        "AES-128 key of the session as 32 hex digits (the rikey of the launch request), with which \
                         every payload is sealed; empty sends them in the clear",
                    )
                    .write_only()
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder(PROP_ENCRYPTION_IV)
                    .nick("Encryption vector")
                    .blurb(
                        "The rikeyid of the launch request as an unsigned number; with the sequence number added it \
                         is the initial vector of a payload",
                    )
                    .default_value(DEFAULT_ENCRYPTION_IV)
                    .write_only()
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>(PROP_STATS)
                    .nick("Statistics")
                    .blurb(
                        "Counts since the start: packets (parity included), parity-packets, bytes (as datagrams), \
                         packets-dropped (too long), blocks-unprotected (payloads of unequal length)",
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
            PROP_PACKET_DURATION => settings.packet_duration = value.get().expect("type checked upstream"),
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
            PROP_PACKET_DURATION => self.settings.lock().unwrap().packet_duration.to_value(),
            PROP_STATS => {
                let stats = self.state.lock().unwrap().stats;
                stats.structure().to_value()
            }
            _ => unimplemented!(),
        }
    }
}

impl GstObjectImpl for GameStreamAudioPay {}

impl ElementImpl for GameStreamAudioPay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "GameStream audio payloader",
                "Codec/Payloader/Network/Audio",
                "Wraps Opus into the packets that Moonlight clients receive, with parity and optional encryption",
                crate::AUTHOR,
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let opus = gst::Caps::new_empty_simple("audio/x-opus");
            let packets = Form::template("audio");
            let template = |name, direction, caps| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps)
                    .expect("a template that GStreamer accepts")
            };
            vec![
                template("sink", gst::PadDirection::Sink, &opus),
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
