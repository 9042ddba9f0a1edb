use gst::glib;
use gst::subclass::prelude::*;

#[derive(Default)]
pub struct GameStreamVideoPay {}

#[glib::object_subclass]
impl ObjectSubclass for GameStreamVideoPay {
    const NAME: &'static str = "GstGameStreamVideoPay";
    type Type = super::GameStreamVideoPay;
    type ParentType = gst::Element;
}

impl ObjectImpl for GameStreamVideoPay {}
impl GstObjectImpl for GameStreamVideoPay {}
impl ElementImpl for GameStreamVideoPay {}
