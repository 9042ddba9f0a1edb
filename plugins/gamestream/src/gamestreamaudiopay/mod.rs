/**
 * SECTION:element-gamestreamaudiopay
 */
use gst::glib;

mod imp;

glib::wrapper! {
    pub struct GameStreamAudioPay(ObjectSubclass<imp::GameStreamAudioPay>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(
        Some(plugin),
        "gamestreamaudiopay",
        gst::Rank::NONE,
        GameStreamAudioPay::static_type(),
    )
}
