use gst::glib;
use gst::subclass::prelude::*;

#[derive(Default)]
pub struct GameStreamVideoDepay {}

#[glib::object_subclass]
impl ObjectSubclass for GameStreamVideoDepay {
    const NAME: &'static str = "GstGameStreamVideoDepay";
    type Type = super::GameStreamVideoDepay;
    type ParentType = gst::Element;
}

impl ObjectImpl for GameStreamVideoDepay {}
impl GstObjectImpl for GameStreamVideoDepay {}
impl ElementImpl for GameStreamVideoDepay {}
