/**
 * SECTION:element-framestamp
 * @short-description: draws a clock and a frame counter that machines can read
 *
 * Draws into raw video the running time (minutes:seconds.milliseconds) and below it the number of the frame, in digits,
 * and the number once more as 32 cells of 16×16 pixels from the top-left corner on, most significant bit first, white
 * for 1 and black for 0. What a decoder makes of a cell is read at its middle: a picture that was lost, repeated or
 * shown out of order cannot hide. A picture less than 512 pixels wide shows only the first cells.
 *
 * |[
 * gst-launch-1.0 videotestsrc is-live=true ! video/x-raw,width=1280,height=720,framerate=60/1 ! framestamp ! autovideosink
 * ]|
 */
use gst::glib;

mod drawing;
mod imp;

glib::wrapper! {
    pub struct FrameStamp(ObjectSubclass<imp::FrameStamp>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(Some(plugin), "framestamp", gst::Rank::NONE, FrameStamp::static_type())
}
