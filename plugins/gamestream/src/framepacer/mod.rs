/**
 * SECTION:element-framepacer
 */
use gst::glib;

mod imp;

glib::wrapper! {
    pub struct FramePacer(ObjectSubclass<imp::FramePacer>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(Some(plugin), "framepacer", gst::Rank::NONE, FramePacer::static_type())
}
