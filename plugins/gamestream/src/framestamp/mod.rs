/**
 * SECTION:element-framestamp
 */
use gst::glib;

mod imp;

glib::wrapper! {
    pub struct FrameStamp(ObjectSubclass<imp::FrameStamp>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(Some(plugin), "framestamp", gst::Rank::NONE, FrameStamp::static_type())
}
