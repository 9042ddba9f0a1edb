/**
 * SECTION:element-gamestreamvideodepay
 * @short-description: GameStream packets to encoded video
 * @see_also: gamestreamvideopay, pacedudpsink
 *
 * Puts the packets of a GameStream video stream in order, rebuilds lost ones from parity, and gives encoded frames in
 * order, each with the PTS of the first packet of it that arrived. Takes single datagrams as application/x-gamestream,
 * which is what udpsrc makes of them when its caps say so, and whole frames of gamestreamvideopay.
 *
 * A frame that still lacks packets when reorder-window packets of later frames have arrived, or when two later frames
 * are complete, is given up. The element goes on with the next one: that is flagged DISCONT, and a key unit is requested
 * upstream, where an application finds the event with a probe and asks the sender for a key frame. What a decoder makes
 * of frames until then is its own matter.
 *
 * Whatever arrives that is no packet of the stream is counted and ignored. A stream that begins anew is followed after
 * 64 packets.
 *
 * |[
 * gst-launch-1.0 udpsrc port=47998 buffer-size=8388608 caps=application/x-gamestream,media=video ! gamestreamvideodepay codec=h264 ! h264parse ! avdec_h264 ! videoconvert ! autovideosink sync=false
 * ]| Shows what the example of gamestreamvideopay sends.
 */
use gst::glib;

mod imp;

/// Codec of a stream whose caps do not name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstGameStreamCodec")]
#[repr(u32)]
pub enum Codec {
    #[default]
    #[enum_value(name = "H.264", nick = "h264")]
    H264,
    #[enum_value(name = "H.265", nick = "h265")]
    H265,
    #[enum_value(name = "AV1", nick = "av1")]
    Av1,
}

glib::wrapper! {
    pub struct GameStreamVideoDepay(ObjectSubclass<imp::GameStreamVideoDepay>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(
        Some(plugin),
        "gamestreamvideodepay",
        gst::Rank::NONE,
        GameStreamVideoDepay::static_type(),
    )
}
