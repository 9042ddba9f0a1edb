/**
 * SECTION:element-gamestreamaudiodepay
 * @short-description: GameStream packets to Opus
 * @see_also: gamestreamaudiopay, pacedudpsink
 *
 * Puts the packets of a GameStream audio stream in order, rebuilds lost ones from parity and gives Opus. Takes single
 * datagrams as application/x-gamestream, which is what udpsrc makes of them when its caps say so, and whole buffers of
 * gamestreamaudiopay.
 *
 * A packet that is still missing when a later block of four is complete, or when the block after the next one begins,
 * is given up: a GAP event stands for it, which opusdec plc=true conceals. Buffers are as far apart as their timestamps
 * say, from where the first packet arrived; arrivals that are 200 ms off place them anew, with DISCONT.
 *
 * Whatever arrives that is no packet of the stream is counted and ignored. A stream that begins anew is followed after
 * 16 packets.
 *
 * |[
 * gst-launch-1.0 udpsrc port=48000 caps=application/x-gamestream,media=audio ! gamestreamaudiodepay ! opusdec plc=true ! audioconvert ! autoaudiosink
 * ]| Plays what the example of gamestreamaudiopay sends.
 */
use gst::glib;

mod imp;

glib::wrapper! {
    pub struct GameStreamAudioDepay(ObjectSubclass<imp::GameStreamAudioDepay>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(
        Some(plugin),
        "gamestreamaudiodepay",
        gst::Rank::NONE,
        GameStreamAudioDepay::static_type(),
    )
}
