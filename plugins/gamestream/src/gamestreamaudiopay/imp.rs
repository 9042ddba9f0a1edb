use gst::glib;
use gst::subclass::prelude::*;

#[derive(Default)]
pub struct GameStreamAudioPay {}

#[glib::object_subclass]
impl ObjectSubclass for GameStreamAudioPay {
    const NAME: &'static str = "GstGameStreamAudioPay";
    type Type = super::GameStreamAudioPay;
    type ParentType = gst::Element;
}

impl ObjectImpl for GameStreamAudioPay {}
impl GstObjectImpl for GameStreamAudioPay {}
impl ElementImpl for GameStreamAudioPay {}
