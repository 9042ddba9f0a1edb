/**
 * SECTION:element-gamestreamaudiodepay
 */
use gst::glib;

mod imp;

glib::wrapper! {
    pub struct GameStreamAudioDepay(ObjectSubclass<imp::GameStreamAudioDepay>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(
        Some(plugin),
        "gamestreamaudiodepay",
        gst::Rank::NONE,
        GameStreamAudioDepay::static_type(),
    )
}
