use gst::glib;
use gst::subclass::prelude::*;
use std::sync::LazyLock;

#[derive(Default)]
pub struct FramePacer {}

#[glib::object_subclass]
impl ObjectSubclass for FramePacer {
    const NAME: &'static str = "GstFramePacer";
    type Type = super::FramePacer;
    type ParentType = gst::Element;
}

impl ObjectImpl for FramePacer {}
impl GstObjectImpl for FramePacer {}
impl ElementImpl for FramePacer {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Frame pacer",
                "Filter/Video",
                "Frame pacer",
                env!("CARGO_PKG_NAME"),
            )
        });
        Some(&METADATA)
    }
}
