/**
 * SECTION:element-rgbtoyuv
 * @short-description: makes RGB pictures NV12 or I420, rounded to the nearest
 *
 * The colour space and the range are those of the caps that come out: BT.601, BT.709, BT.2020 and the older matrices of
 * SMPTE 240M and the FCC, limited or full. Chroma is the mean of four pixels and lies in their middle (`chroma-site=jpeg`),
 * alpha is ignored. What is NV12 or I420 already passes through untouched; everything else is for `videoconvert`, which
 * rounds down at each step and is off by up to four levels of 255.
 *
 * |[
 * gst-launch-1.0 ximagesrc ! rgbtoyuv ! video/x-raw,colorimetry=bt709 ! x264enc ! fakesink
 * ]|
 */
use gst::glib;

mod conversion;
mod imp;

glib::wrapper! {
    pub struct RgbToYuv(ObjectSubclass<imp::RgbToYuv>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(Some(plugin), "rgbtoyuv", gst::Rank::NONE, RgbToYuv::static_type())
}
