use gst::glib;
use gst::subclass::prelude::*;

#[derive(Default)]
pub struct FramePacer {}

#[glib::object_subclass]
impl ObjectSubclass for FramePacer {
    const NAME: &'static str = "GstFramePacer";
    type Type = super::FramePacer;
    type ParentType = gst::Element;
}

impl ObjectImpl for FramePacer {}
impl GstObjectImpl for FramePacer {}
impl ElementImpl for FramePacer {}
