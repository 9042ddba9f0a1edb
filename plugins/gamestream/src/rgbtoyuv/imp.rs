use super::conversion::{Conversion, RGB, YUV};
use gst::glib;
use gst::subclass::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoCapsBuilder, VideoFormat, VideoFrameRef, VideoInfo};
use std::sync::{LazyLock, Mutex, PoisonError};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "rgbtoyuv",
        gst::DebugColorFlags::empty(),
        Some("RGB to YUV, rounded to the nearest"),
    )
});

static RGB_CAPS: LazyLock<gst::Caps> = LazyLock::new(|| VideoCapsBuilder::new().format_list(RGB).build());
static YUV_CAPS: LazyLock<gst::Caps> = LazyLock::new(|| VideoCapsBuilder::new().format_list(YUV).build());

/// What a conversion changes, or is told by the other side.
const COLOUR_FIELDS: [&str; 3] = ["format", "colorimetry", "chroma-site"];

#[derive(Default)]
pub struct RgbToYuv {
    /// Nothing while pictures pass through.
    conversion: Mutex<Option<Conversion>>,
}

/// What `caps`, which are of one kind, become on the other side.
fn converted(caps: &gst::Caps, formats: &[VideoFormat]) -> gst::Caps {
    let structures = caps.iter().map(|structure| {
        let mut other = structure.to_owned();
        other.remove_fields(COLOUR_FIELDS);
        other.set("format", gst::List::new(formats.iter().map(|format| format.to_str())));
        other
    });
    structures.collect()
}

#[glib::object_subclass]
impl ObjectSubclass for RgbToYuv {
    const NAME: &'static str = "GstRgbToYuv";
    type Type = super::RgbToYuv;
    type ParentType = gst_video::VideoFilter;
}

impl ObjectImpl for RgbToYuv {}

impl GstObjectImpl for RgbToYuv {}

impl ElementImpl for RgbToYuv {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "RGB to YUV",
                "Filter/Converter/Video",
                "Makes RGB pictures NV12 or I420, rounded to the nearest",
                crate::AUTHOR,
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let both: gst::Caps = YUV_CAPS.iter().chain(RGB_CAPS.iter()).map(ToOwned::to_owned).collect();
            [("sink", gst::PadDirection::Sink, &both), ("src", gst::PadDirection::Src, &YUV_CAPS)]
                .map(|(name, direction, caps)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps)
                        .expect("a valid template")
                })
                .to_vec()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for RgbToYuv {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = true;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let untouched = caps.intersect(&YUV_CAPS);
        let other = if direction == gst::PadDirection::Sink {
            converted(&caps.intersect(&RGB_CAPS), &YUV)
        } else {
            converted(&untouched, &RGB)
        };
        let all: gst::Caps = untouched.iter().chain(other.iter()).map(ToOwned::to_owned).collect();
        Some(
            filter.map_or(all.clone(), |filter| {
                filter.intersect_with_mode(&all, gst::CapsIntersectMode::First)
            }),
        )
    }

    fn fixate_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        mut othercaps: gst::Caps,
    ) -> gst::Caps {
        othercaps.truncate();
        let is_converted = direction == gst::PadDirection::Sink && caps.can_intersect(&RGB_CAPS);
        let structure = othercaps.make_mut().structure_mut(0);
        if let Some(structure) = structure.filter(|other| is_converted && !other.has_field("chroma-site")) {
            structure.set("chroma-site", gst_video::VideoChromaSite::JPEG.to_str());
        }
        self.parent_fixate_caps(direction, caps, othercaps)
    }
}

impl VideoFilterImpl for RgbToYuv {
    fn set_info(
        &self,
        incaps: &gst::Caps,
        in_info: &VideoInfo,
        outcaps: &gst::Caps,
        out_info: &VideoInfo,
    ) -> Result<(), gst::LoggableError> {
        let conversion = Conversion::new(in_info, out_info);
        if conversion.is_none() && in_info != out_info {
            return Err(gst::loggable_error!(CAT, "{incaps} cannot become {outcaps}"));
        }
        gst::debug!(CAT, imp = self, "{incaps} becomes {outcaps}: {conversion:?}");
        *self.conversion.lock().unwrap_or_else(PoisonError::into_inner) = conversion;
        Ok(())
    }

    fn transform_frame(
        &self,
        in_frame: &VideoFrameRef<&gst::BufferRef>,
        out_frame: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let conversion = *self.conversion.lock().unwrap_or_else(PoisonError::into_inner);
        let conversion = conversion.ok_or(gst::FlowError::NotNegotiated)?;
        conversion.convert(in_frame, out_frame).map_err(|error| {
            gst::element_imp_error!(self, gst::StreamError::Format, ["{error}"]);
            gst::FlowError::Error
        })?;
        Ok(gst::FlowSuccess::Ok)
    }
}
