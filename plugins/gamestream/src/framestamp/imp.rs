use super::drawing::{self, Rectangle};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoFormat, VideoFrameRef};
use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering::Relaxed},
};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "framestamp",
        gst::DebugColorFlags::empty(),
        Some("Clock and frame counter in the picture"),
    )
});

const DEFAULT_FIRST_NUMBER: u32 = 0;

const FORMATS: [VideoFormat; 6] = [
    VideoFormat::I420,
    VideoFormat::Nv12,
    VideoFormat::Bgrx,
    VideoFormat::Rgbx,
    VideoFormat::Bgra,
    VideoFormat::Rgba,
];

pub struct FrameStamp {
    first_number: AtomicU32,
    /// Number of the next frame.
    number: AtomicU32,
}

impl Default for FrameStamp {
    fn default() -> Self {
        Self { first_number: DEFAULT_FIRST_NUMBER.into(), number: DEFAULT_FIRST_NUMBER.into() }
    }
}

type Frame<'a> = VideoFrameRef<&'a mut gst::BufferRef>;

/// Fills rectangles in the planes of one frame, as far as they lie in it.
struct Painter<'f, 'b> {
    frame: &'f mut Frame<'b>,
    /// Luma of black and white; chroma is 128 for both.
    luma: [u8; 2],
}

impl<'f, 'b> Painter<'f, 'b> {
    fn new(frame: &'f mut Frame<'b>) -> Self {
        let full = frame.info().colorimetry().range() == gst_video::VideoColorRange::Range0_255;
        Self { luma: if full { [0, 255] } else { [16, 235] }, frame }
    }

    fn fill(&mut self, rectangle: Rectangle) {
        let level = self.luma[usize::from(rectangle.white)];
        match self.frame.format() {
            VideoFormat::I420 => {
                self.fill_plane(0, rectangle, 1, [level]);
                self.fill_plane(1, rectangle, 2, [128]);
                self.fill_plane(2, rectangle, 2, [128]);
            }
            VideoFormat::Nv12 => {
                self.fill_plane(0, rectangle, 1, [level]);
                self.fill_plane(1, rectangle, 2, [128, 128]);
            }
            _ => {
                let level = if rectangle.white { 255 } else { 0 };
                let mut pixel = [level; 4];
                // Opaque; where there is no alpha nobody looks.
                pixel[3] = 255;
                self.fill_plane(0, rectangle, 1, pixel);
            }
        }
    }

    /// Fills a plane that has one `pixel` for each `subsampling`² of the picture.
    fn fill_plane<const N: usize>(&mut self, plane: u32, area: Rectangle, subsampling: u32, pixel: [u8; N]) {
        let scaled = |edge: u32, limit: u32| edge.min(limit).div_ceil(subsampling) as usize;
        let (width, height) = (self.frame.width(), self.frame.height());
        let columns = scaled(area.x, width)..scaled(area.x + area.width, width);
        let rows = scaled(area.y, height)..scaled(area.y + area.height, height);
        let stride = self.frame.plane_stride()[plane as usize] as usize;
        let data = self.frame.plane_data_mut(plane).expect("the format has this plane");
        for row in rows {
            let (pixels, _) = data[row * stride..][columns.start * N..columns.end * N].as_chunks_mut::<N>();
            pixels.fill(pixel);
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for FrameStamp {
    const NAME: &'static str = "GstFrameStamp";
    type Type = super::FrameStamp;
    type ParentType = gst_video::VideoFilter;
}

impl ObjectImpl for FrameStamp {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let first = glib::ParamSpecUInt::builder("first-number")
                .nick("First number")
                .blurb("Number of the first frame; each further one counts one up")
                .default_value(DEFAULT_FIRST_NUMBER)
                .mutable_ready()
                .build();
            vec![first]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        match pspec.name() {
            "first-number" => self.first_number.store(value.get().expect("type checked upstream"), Relaxed),
            _ => unimplemented!(),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "first-number" => self.first_number.load(Relaxed).to_value(),
            _ => unimplemented!(),
        }
    }
}

impl GstObjectImpl for FrameStamp {}

impl ElementImpl for FrameStamp {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Frame stamp",
                "Filter/Effect/Video",
                "Draws a clock and a frame counter, in digits and in cells that a program can read",
                crate::AUTHOR,
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst_video::VideoCapsBuilder::new().format_list(FORMATS).build();
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

impl BaseTransformImpl for FrameStamp {
    const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        self.number.store(self.first_number.load(Relaxed), Relaxed);
        Ok(())
    }
}

impl VideoFilterImpl for FrameStamp {
    fn transform_frame_ip(&self, frame: &mut Frame<'_>) -> Result<gst::FlowSuccess, gst::FlowError> {
        let number = self.number.fetch_add(1, Relaxed);
        let segment = self.obj().segment();
        let time =
            segment.downcast_ref::<gst::ClockTime>().and_then(|s| s.to_running_time(frame.buffer().pts()));
        let clock = drawing::clock(time.unwrap_or_default().mseconds());
        gst::trace!(CAT, imp = self, "Frame {number} at {clock}");
        let height = frame.height();
        let mut painter = Painter::new(frame);
        drawing::cells(number, |rectangle| painter.fill(rectangle));
        drawing::text(&[&clock, &number.to_string()], height, |rectangle| painter.fill(rectangle));
        Ok(gst::FlowSuccess::Ok)
    }
}
