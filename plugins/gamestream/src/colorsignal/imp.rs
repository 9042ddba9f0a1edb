use super::{Colors, Malformed, av1, h264};
use gst::glib;
use gst::subclass::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::VideoColorimetry;
use std::sync::{LazyLock, Mutex, PoisonError};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "colorsignal",
        gst::DebugColorFlags::empty(),
        Some("Colours written into bitstreams"),
    )
});

type Describe = fn(&[u8], Colors) -> Result<Option<Vec<u8>>, Malformed>;

/// What the caps say: how the stream is written, and its colours.
#[derive(Clone, Copy)]
struct Stream {
    describe: Describe,
    colors: Colors,
}

#[derive(Default)]
pub struct ColorSignal {
    stream: Mutex<Option<Stream>>,
}

/// Nothing where the caps do not say all of it.
fn stream(caps: &gst::CapsRef) -> Option<Stream> {
    let structure = caps.structure(0)?;
    let describe: Describe = if structure.name() == "video/x-h264" { h264::describe } else { av1::describe };
    let said: VideoColorimetry = structure.get::<&str>("colorimetry").ok()?.parse().ok()?;
    let code = |code: u32| u8::try_from(code).ok();
    Some(Stream {
        describe,
        colors: Colors {
            primaries: code(said.primaries().to_iso())?,
            transfer: code(said.transfer().to_iso())?,
            matrix: code(said.matrix().to_iso())?,
            full_range: said.range() == gst_video::VideoColorRange::Range0_255,
        },
    })
}

#[glib::object_subclass]
impl ObjectSubclass for ColorSignal {
    const NAME: &'static str = "GstColorSignal";
    type Type = super::ColorSignal;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for ColorSignal {}
impl GstObjectImpl for ColorSignal {}

impl ElementImpl for ColorSignal {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Colour signaller",
                "Filter/Video",
                "Writes into H.264 and AV1 which colours the pictures have, as the caps say",
                crate::AUTHOR,
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let h264 = gst::Structure::builder("video/x-h264")
                .field("stream-format", "byte-stream")
                .field("alignment", "au")
                .build();
            let av1 = gst::Structure::builder("video/x-av1")
                .field("stream-format", "obu-stream")
                .field("alignment", "tu")
                .build();
            let caps = [h264, av1].into_iter().collect::<gst::Caps>();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .map(|(name, direction)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                        .expect("a valid template")
                })
                .to_vec()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for ColorSignal {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let stream = stream(incaps);
        if stream.is_none() {
            gst::debug!(CAT, imp = self, "{incaps} says nothing of colours");
        }
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = stream;
        Ok(())
    }

    fn transform_ip(&self, buffer: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        let stream = *self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        // Headers come with key frames.
        let Some(stream) = stream.filter(|_| !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)) else {
            return Ok(gst::FlowSuccess::Ok);
        };
        let described = {
            let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            (stream.describe)(&map, stream.colors)
        };
        match described {
            Ok(Some(described)) => {
                gst::trace!(CAT, imp = self, "{:?} written", stream.colors);
                buffer.remove_all_memory();
                buffer.append_memory(gst::Memory::from_mut_slice(described));
            }
            Ok(None) => {}
            Err(Malformed) => gst::warning!(CAT, imp = self, "The headers of this frame make no sense"),
        }
        Ok(gst::FlowSuccess::Ok)
    }
}
