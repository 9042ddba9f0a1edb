use gst::glib;
use gst::subclass::prelude::*;

#[derive(Default)]
pub struct FrameStamp {}

#[glib::object_subclass]
impl ObjectSubclass for FrameStamp {
    const NAME: &'static str = "GstFrameStamp";
    type Type = super::FrameStamp;
    type ParentType = gst::Element;
}

impl ObjectImpl for FrameStamp {}
impl GstObjectImpl for FrameStamp {}
impl ElementImpl for FrameStamp {}
