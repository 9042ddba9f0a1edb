/**
 * SECTION:element-pacedudpsink
 */
use gst::glib;

mod imp;

glib::wrapper! {
    pub struct PacedUdpSink(ObjectSubclass<imp::PacedUdpSink>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(Some(plugin), "pacedudpsink", gst::Rank::NONE, PacedUdpSink::static_type())
}
