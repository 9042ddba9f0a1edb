use gst::glib;
use gst::subclass::prelude::*;
use std::sync::LazyLock;

#[derive(Default)]
pub struct FrameStamp {}

#[glib::object_subclass]
impl ObjectSubclass for FrameStamp {
    const NAME: &'static str = "GstFrameStamp";
    type Type = super::FrameStamp;
    type ParentType = gst::Element;
}

impl ObjectImpl for FrameStamp {}
impl GstObjectImpl for FrameStamp {}
impl ElementImpl for FrameStamp {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Frame stamp",
                "Filter/Video",
                "Frame stamp",
                env!("CARGO_PKG_NAME"),
            )
        });
        Some(&METADATA)
    }
}
