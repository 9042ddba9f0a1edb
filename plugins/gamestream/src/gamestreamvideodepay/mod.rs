/**
 * SECTION:element-gamestreamvideodepay
 */
use gst::glib;

mod imp;

glib::wrapper! {
    pub struct GameStreamVideoDepay(ObjectSubclass<imp::GameStreamVideoDepay>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(
        Some(plugin),
        "gamestreamvideodepay",
        gst::Rank::NONE,
        GameStreamVideoDepay::static_type(),
    )
}
