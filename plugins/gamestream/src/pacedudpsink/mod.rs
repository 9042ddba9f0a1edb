/**
 * SECTION:element-pacedudpsink
 * @short-description: sends the datagrams of each frame in paced bursts
 *
 * Sends what `gamestreamvideopay` and `gamestreamaudiopay` make: buffers that hold all datagrams of a frame back to
 * back. They leave in at most 12 bursts over three quarters of the frame's duration, with UDP segmentation offload
 * where the kernel has it. A buffer of any other element is one datagram.
 *
 * Host and port may change while playing; without them buffers are dropped and counted. Many sinks can share one
 * socket: set `fd` on each.
 *
 * A peer that does not exist is no error: the element posts an element message `GstGameStreamPeerGone` (fields `host`,
 * `port`, `error`), once per destination, and goes on sending. What the socket does not take for 5 ms is dropped, and so
 * is a datagram that is too long for the way.
 *
 * A host that is a name is resolved when the property is set, and again at the start if that failed.
 *
 * |[
 * gst-launch-1.0 videotestsrc is-live=true ! x264enc tune=zerolatency ! video/x-h264,stream-format=byte-stream ! gamestreamvideopay ! pacedudpsink host=127.0.0.1 port=47998
 * ]|
 *
 * Statistics (`application/x-pacedudpsink-stats`): `frames` (buffers or lists handled), `packets` and `bytes` sent,
 * `dropped` (datagrams without destination, or not taken by the network), `lost` (datagrams lost on purpose),
 * `send-calls` (system calls made), `waits` (pauses between bursts), `errors` (refused system calls) and `call` (the
 * system call in use: `gso`, `sendmmsg` or `send`). With framepacer upstream, `stages` says where the time of frames
 * goes (`application/x-gamestream-stages`): a structure each for `pace`, `encode`, `packetize`, `queue`, `send` and
 * `total` with `count`, `p50`, `p99` and `max` in nanoseconds.
 */
use gst::glib;

mod fault;
mod imp;
mod loss;
mod sender;
mod settings;
mod socket;

glib::wrapper! {
    pub struct PacedUdpSink(ObjectSubclass<imp::PacedUdpSink>) @extends gst_base::BaseSink, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(Some(plugin), "pacedudpsink", gst::Rank::NONE, PacedUdpSink::static_type())
}
