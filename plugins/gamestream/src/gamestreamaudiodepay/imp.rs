use gst::glib;
use gst::subclass::prelude::*;

#[derive(Default)]
pub struct GameStreamAudioDepay {}

#[glib::object_subclass]
impl ObjectSubclass for GameStreamAudioDepay {
    const NAME: &'static str = "GstGameStreamAudioDepay";
    type Type = super::GameStreamAudioDepay;
    type ParentType = gst::Element;
}

impl ObjectImpl for GameStreamAudioDepay {}
impl GstObjectImpl for GameStreamAudioDepay {}
impl ElementImpl for GameStreamAudioDepay {}
