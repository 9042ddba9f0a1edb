/**
 * SECTION:element-gamestreamvideopay
 */
use gst::glib;

mod imp;

glib::wrapper! {
    pub struct GameStreamVideoPay(ObjectSubclass<imp::GameStreamVideoPay>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(
        Some(plugin),
        "gamestreamvideopay",
        gst::Rank::NONE,
        GameStreamVideoPay::static_type(),
    )
}
