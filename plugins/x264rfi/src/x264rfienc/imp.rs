use super::settings::{PROPERTIES, Settings};
use super::{event, format};
use crate::RECOVERY_META;
use crate::bitstream::{Parameters, Rewriter, Unsupported};
use crate::libx264::{Encoder, Plane, Rate, Refused};
use crate::recovery::{Broken, Order, Recovery};
use gst::glib;
use gst::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use std::sync::{LazyLock, Mutex};

pub(crate) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "x264rfienc",
        gst::DebugColorFlags::empty(),
        Some("H.264 that goes on without lost reference frames"),
    )
});

/// An open encoder and its stream.
struct Encoding {
    encoder: Encoder,
    info: gst_video::VideoInfo,
    rate: Rate,
    /// Not while intra refresh is on, whose stream has no gaps to bear.
    rewriter: Option<Rewriter>,
    /// A frame while it is put together.
    unit: Vec<u8>,
}

/// What became of a frame.
struct Encoded {
    unit: gst::Buffer,
    key: bool,
    number: i64,
}

#[derive(Debug)]
enum Fault {
    Refused(Refused),
    Unsupported(Unsupported),
    Buffer,
}

/// Lock order: `encoding`, `settings`, `recovery`; none is held while pushing. The event takes `recovery` alone, so that
/// nobody who sends it waits for a frame.
#[derive(Default)]
pub struct X264RfiEnc {
    encoding: Mutex<Option<Encoding>>,
    settings: Mutex<Settings>,
    recovery: Mutex<Recovery>,
}

impl Encoding {
    fn encode(
        &mut self,
        picture: &gst_video::VideoFrameRef<&gst::BufferRef>,
        order: Order,
        element: &super::X264RfiEnc,
    ) -> Result<Encoded, Fault> {
        if let Some(from) = order.invalidate {
            self.encoder.invalidate(from)?;
        }
        let mut planes = [Plane::default(); 3];
        for (index, plane) in planes.iter_mut().enumerate().take(picture.n_planes() as usize) {
            let bytes = picture.plane_data(index as u32).map_err(|_| Fault::Buffer)?;
            *plane = Plane { bytes, stride: picture.plane_stride()[index] as usize };
        }
        let units = self.encoder.encode(&planes, order.number, order.key)?;
        self.unit.clear();
        for unit in units.iter() {
            match &mut self.rewriter {
                Some(rewriter) => rewriter.write(unit, &mut self.unit)?,
                None => self.unit.extend_from_slice(unit),
            }
        }
        let key = units.is_idr;
        let mut unit = element.allocate_output_buffer(self.unit.len());
        let writable = unit.get_mut().ok_or(Fault::Buffer)?;
        writable.copy_from_slice(0, &self.unit).map_err(|_| Fault::Buffer)?;
        if order.recovers() && !key {
            gst::meta::CustomMeta::add(writable, RECOVERY_META).map_err(|_| Fault::Buffer)?;
        }
        Ok(Encoded { unit, key, number: order.number })
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Unsupported> for Fault {
    fn from(unsupported: Unsupported) -> Self {
        Self::Unsupported(unsupported)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(Refused) => f.write_str("libx264 refuses"),
            Self::Unsupported(what) => write!(f, "libx264 writes what is not known: {what}"),
            Self::Buffer => f.write_str("a buffer cannot be used"),
        }
    }
}

impl X264RfiEnc {
    fn open(&self, info: &gst_video::VideoInfo) -> Result<gst::Caps, gst::LoggableError> {
        let settings = *self.settings.lock().unwrap();
        let allowed = self.obj().src_pad().allowed_caps();
        let (agreed, profile) = format::profile(allowed.as_deref());
        let config = format::config(&settings, info, profile)
            .ok_or_else(|| gst::loggable_error!(CAT, "No picture of this format was agreed on"))?;
        gst::debug!(CAT, imp = self, "Opening {config:?}");
        let refused = |Refused| gst::loggable_error!(CAT, "libx264 does not open {config:?}");
        let mut encoder = Encoder::open(&config).map_err(refused)?;
        let parameters = parameters(&mut encoder).ok_or_else(|| {
            gst::loggable_error!(CAT, "libx264 writes no sequence parameter set that can be read")
        })?;
        let says_profile = allowed.is_some_and(|allowed| says_profile(&allowed));
        let rewriter = (!settings.intra_refresh).then(Rewriter::default);
        let encoding =
            Encoding { encoder, info: info.clone(), rate: config.rate, rewriter, unit: Vec::new() };
        *self.encoding.lock().unwrap() = Some(encoding);
        self.recovery.lock().unwrap().reset();
        Ok(format::output_caps(says_profile.then_some(agreed), &parameters))
    }

    fn encode(&self, frame: &gst_video::VideoCodecFrame<'_>) -> Result<Encoded, gst::FlowError> {
        let mut encoding = self.encoding.lock().unwrap();
        let encoding = encoding.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
        let rate = self.settings.lock().unwrap().rate;
        if rate != encoding.rate && encoding.encoder.set_rate(rate).is_err() {
            gst::warning!(CAT, imp = self, "The bitrate stays at {} kbit/s", encoding.rate.kbps);
        }
        encoding.rate = rate;
        let key = frame.flags().contains(gst_video::VideoCodecFrameFlags::FORCE_KEYFRAME);
        let order = self.recovery.lock().unwrap().handle_frame(frame.pts().map(|pts| pts.nseconds()), key);
        let picture = frame.input_buffer().ok_or(gst::FlowError::Error)?;
        let info = encoding.info.clone();
        let encoded = gst_video::VideoFrameRef::from_buffer_ref_readable(picture, &info)
            .map_err(|_| Fault::Buffer)
            .and_then(|picture| encoding.encode(&picture, order, &self.obj()))
            .map_err(|fault| {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Encode,
                    ["A frame cannot be encoded: {fault}"]
                );
                gst::FlowError::Error
            })?;
        if encoded.key && !order.key {
            self.recovery.lock().unwrap().handle_key(encoded.number);
        }
        Ok(encoded)
    }

    fn handle_broken(&self, broken: Broken) -> bool {
        if self.settings.lock().unwrap().intra_refresh {
            return false;
        }
        gst::debug!(CAT, imp = self, "{broken:?}");
        self.recovery.lock().unwrap().handle_broken(broken);
        true
    }
}

fn parameters(encoder: &mut Encoder) -> Option<Parameters> {
    let headers = encoder.headers().ok()?;
    headers.iter().find_map(|unit| {
        let nal = &unit[unit.iter().position(|byte| *byte == 1)? + 1..];
        (nal.first()? & 0x1f == 7).then(|| Parameters::read(nal)).flatten()
    })
}

fn says_profile(allowed: &gst::CapsRef) -> bool {
    allowed.structure(0).is_some_and(|structure| structure.get::<String>("profile").is_ok())
}

#[glib::object_subclass]
impl ObjectSubclass for X264RfiEnc {
    const NAME: &'static str = "GstX264RfiEnc";
    type Type = super::X264RfiEnc;
    type ParentType = gst_video::VideoEncoder;
    type Interfaces = (gst::Preset,);
}

impl ObjectImpl for X264RfiEnc {
    fn properties() -> &'static [glib::ParamSpec] {
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.settings.lock().unwrap().set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        self.settings.lock().unwrap().value(pspec.name())
    }
}

impl GstObjectImpl for X264RfiEnc {}

impl PresetImpl for X264RfiEnc {}

impl ElementImpl for X264RfiEnc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "H.264 encoder without lost references",
                "Codec/Encoder/Video",
                "Encodes H.264 with libx264, and goes on without frames that a client has lost",
                "The moonpipe developers",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let raw = gst_video::VideoCapsBuilder::new()
                .format_list([gst_video::VideoFormat::Nv12, gst_video::VideoFormat::I420])
                .width_range(16..=16384)
                .height_range(16..=16384)
                .build();
            let encoded = gst::Caps::builder("video/x-h264")
                .field("stream-format", "byte-stream")
                .field("alignment", "au")
                .field("profile", gst::List::new(["high", "main", "constrained-baseline", "baseline"]))
                .build();
            let template = |name, direction, caps: &gst::Caps| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps).expect("plain caps")
            };
            vec![
                template("sink", gst::PadDirection::Sink, &raw),
                template("src", gst::PadDirection::Src, &encoded),
            ]
        });
        &TEMPLATES
    }
}

impl VideoEncoderImpl for X264RfiEnc {
    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.encoding.lock().unwrap() = None;
        self.recovery.lock().unwrap().reset();
        Ok(())
    }

    fn set_format(
        &self,
        state: &gst_video::VideoCodecState<'static, gst_video::video_codec_state::Readable>,
    ) -> Result<(), gst::LoggableError> {
        let caps = self.open(state.info())?;
        let element = self.obj();
        element.set_latency(gst::ClockTime::ZERO, gst::ClockTime::ZERO);
        let output = element
            .set_output_state(caps, Some(state))
            .map_err(|_| gst::loggable_error!(CAT, "The output's caps are refused"))?;
        element.negotiate(output).map_err(|_| gst::loggable_error!(CAT, "Downstream refuses the stream"))
    }

    fn handle_frame(
        &self,
        mut frame: gst_video::VideoCodecFrame,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let Encoded { unit, key, .. } = self.encode(&frame)?;
        if key {
            frame.set_flags(gst_video::VideoCodecFrameFlags::SYNC_POINT);
        }
        if let Some(pts) = frame.pts() {
            frame.set_dts(pts);
        }
        frame.set_output_buffer(unit);
        self.obj().finish_frame(frame)
    }

    fn flush(&self) -> bool {
        // Times may begin anew, so that nothing is known of the frames before: the next one begins anew too.
        let info = self.encoding.lock().unwrap().as_ref().map(|encoding| encoding.info.clone());
        info.is_none_or(|info| self.open(&info).is_ok())
    }

    fn propose_allocation(&self, query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        self.parent_propose_allocation(query)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        match event::read(&event) {
            Some(broken) => broken.is_some_and(|broken| self.handle_broken(broken)),
            None => self.parent_src_event(event),
        }
    }
}
