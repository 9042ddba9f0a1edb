/**
 * SECTION:element-gamestreamaudiopay
 * @short-description: Opus to GameStream packets
 * @see_also: gamestreamaudiodepay, pacedudpsink
 *
 * Wraps Opus into the packets that Moonlight clients receive, one datagram per buffer, and after every fourth sends two
 * parity packets as a buffer of their own, from which a client rebuilds any two of the six. With a key, payloads are
 * sealed with AES-128-CBC.
 *
 * Parity needs payloads of one length: encode with a constant bitrate (opusenc bitrate-type=cbr) and packets of
 * packet-duration. A block of unequal payloads goes without parity.
 *
 * |[
 * gst-launch-1.0 audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! opusenc frame-size=5 bitrate-type=cbr bitrate=96000 ! gamestreamaudiopay ! pacedudpsink host=127.0.0.1 port=48000
 * ]| Sends a tone.
 */
use gst::glib;

mod imp;

glib::wrapper! {
    pub struct GameStreamAudioPay(ObjectSubclass<imp::GameStreamAudioPay>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(
        Some(plugin),
        "gamestreamaudiopay",
        gst::Rank::NONE,
        GameStreamAudioPay::static_type(),
    )
}
