use gst::glib;
use gst::subclass::prelude::*;

#[derive(Default)]
pub struct PacedUdpSink {}

#[glib::object_subclass]
impl ObjectSubclass for PacedUdpSink {
    const NAME: &'static str = "GstPacedUdpSink";
    type Type = super::PacedUdpSink;
    type ParentType = gst::Element;
}

impl ObjectImpl for PacedUdpSink {}
impl GstObjectImpl for PacedUdpSink {}
impl ElementImpl for PacedUdpSink {}
