/**
 * SECTION:element-pacedudpsink
 * @short-description: sends the datagrams of each frame in paced bursts
 *
 * Sends what `gamestreamvideopay` and `gamestreamaudiopay` make: buffers that hold all datagrams of a frame back to
 * back, with UDP segmentation offload where the kernel has it. A buffer of any other element is one datagram, a buffer
 * list one frame.
 *
 * A frame of more than `burst-packets` and `burst-bytes` leaves in at most 12 bursts, no closer together than 500 µs: the
 * first at once, the others at times that are fixed from then on. They are spread
 *
 * * at `link-rate`, if that is set;
 * * otherwise at eight times the `bitrate`, and no faster than the interface that leads to the receiver;
 * * over three quarters of the frame's duration, if none of that is known or it is longer. A frame larger than the
 *   `bitrate` makes one on average may take more in proportion, at most one and three quarters of its duration. The frames
 *   behind it, which begin late because of it, leave up to twice as fast.
 *
 * The rate of the interface is read from `/sys/class/net` whenever the destination changes. The duration is that of the
 * buffer, or what the `framerate` of the caps says; without either, and with `pacing=false`, a frame leaves at once.
 * Flushing, pausing and stopping end a wait at once; after a pause the frame goes on where it was. Waits end to some
 * microseconds: the last 80 µs of each, at most, are spun.
 *
 * All properties but `fd` may change while playing; a frame that is under way keeps what it began with. Without host and
 * port buffers are dropped and counted. Many sinks can share one socket: set `fd` on each.
 *
 * A peer that does not exist is no error: the element posts an element message `GstGameStreamPeerGone` (fields `host`,
 * `port`, `error`), once per destination, and goes on sending. What the network does not take (EAGAIN, ENOBUFS) is
 * tried again until one and three quarters of the frame's duration are over, 5 ms where that is not known; the rest of
 * the frame is dropped then. A datagram that is too long for the way is dropped, too.
 *
 * A host that is a name is resolved when the property is set, and again at the start if that failed.
 *
 * |[
 * gst-launch-1.0 videotestsrc is-live=true ! x264enc tune=zerolatency ! video/x-h264,stream-format=byte-stream ! gamestreamvideopay ! pacedudpsink host=127.0.0.1 port=47998
 * ]|
 *
 * Statistics (`application/x-pacedudpsink-stats`): `frames` (buffers or lists handled), `packets` and `bytes` sent,
 * `dropped` (datagrams without destination, or not taken by the network), `lost` (datagrams lost on purpose),
 * `send-calls` (system calls made), `waits` (pauses between bursts), `sleeps` (system calls that waited), `spin-time`
 * (nanoseconds spun at the end of waits), `errors` (refused system calls) and `call` (the system call in use: `gso`,
 * `sendmmsg` or `send`). With framepacer upstream, `stages` says where the time of frames goes
 * (`application/x-gamestream-stages`): a structure each for `pace`, `encode`, `packetize`, `queue`, `send` and `total`
 * with `count`, `p50`, `p99` and `max` in nanoseconds.
 */
use gst::glib;

mod alarm;
mod datagrams;
mod fault;
mod imp;
mod interface;
mod loss;
mod sender;
mod settings;
mod socket;
#[cfg(windows)]
mod socket_windows;
mod stats;

glib::wrapper! {
    pub struct PacedUdpSink(ObjectSubclass<imp::PacedUdpSink>) @extends gst_base::BaseSink, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(Some(plugin), "pacedudpsink", gst::Rank::NONE, PacedUdpSink::static_type())
}
