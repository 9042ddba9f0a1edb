/**
 * SECTION:element-gamestreamvideopay
 * @short-description: Encoded video to GameStream packets
 * @see_also: gamestreamvideodepay, pacedudpsink
 *
 * Cuts each encoded frame into the packets that Moonlight clients receive: RTP with NVIDIA's video header, up to four
 * blocks per frame, each with Reed-Solomon parity, each packet sealed with AES-128-GCM when there is a key.
 *
 * A frame leaves as one buffer with all its datagrams back to back and a meta that says how to cut it, which
 * pacedudpsink sends and gamestreamvideodepay understands. Packets and parity are computed in that pooled buffer. To
 * stock elements, udpsink for example, it leaves as a list with a buffer for each datagram. Caps decide: of
 * application/x-gamestream (a buffer each) and application/x-gamestream-packets (together) the one that downstream
 * names first, and where all is welcome a buffer each.
 *
 * The host latency that clients display is the time since the picture was captured where framepacer is upstream, and
 * the age of the buffer's timestamp elsewhere.
 *
 * Packets are sealed under nonces that count from 0 for each key, also over a stop and a start of the element. So give a
 * key to one element only, and a new element a new key.
 *
 * Clients start with a key frame, so frames before the first one are dropped and a key unit is requested upstream. A
 * buffer that is flagged DISCONT follows one that a leaky queue dropped: unless it is a key or recovery frame, one frame
 * index is left out, from which the client sees the loss. A frame that does not fit into the packets of four blocks is
 * dropped with the same consequences. Either is made good at once: the upstream event GstGameStreamInvalidate asks for a
 * recovery frame, and a key unit is requested where no encoder takes it.
 *
 * A frame that carries the custom meta GstGameStreamRecoveryMeta needs none of the frames that were called broken: clients
 * that wait for a key frame are told that they can go on with it. Whoever hears of lost frames sends this element the
 * event GstGameStreamInvalidate with u32 fields first and last, indices of the wire, both included. It goes on to the
 * encoder with u64 fields since, in nanoseconds what follows the timestamp of the last good frame, and until, the timestamp
 * of the last lost one. The answer is FALSE where no encoder takes it, and where the frames are too old or were never sent.
 *
 * |[
 * gst-launch-1.0 videotestsrc is-live=true ! video/x-raw,width=1280,height=720,framerate=60/1 ! x264enc tune=zerolatency key-int-max=60 ! video/x-h264,profile=high ! h264parse config-interval=-1 ! gamestreamvideopay fec-percentage=50 ! pacedudpsink host=127.0.0.1 port=47998
 * ]| Sends a test picture with half as many parity packets as data packets.
 */
use gst::glib;

mod continuity;
mod imp;
mod invalidation;
mod stats;

glib::wrapper! {
    pub struct GameStreamVideoPay(ObjectSubclass<imp::GameStreamVideoPay>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(
        Some(plugin),
        "gamestreamvideopay",
        gst::Rank::NONE,
        GameStreamVideoPay::static_type(),
    )
}
