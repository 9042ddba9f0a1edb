/**
 * SECTION:element-x264rfienc
 * @short-description: H.264 that goes on without lost reference frames
 * @see_also: gamestreamvideopay
 *
 * Encodes with libx264 for a network that loses frames: one frame in, one frame out, no key frames but those that are
 * asked for. Decoders keep more pictures (dpb-size) than are needed as references. When the upstream event
 * GstGameStreamInvalidate says since when frames are broken, the next frame refers only to older ones, and carries the
 * custom meta GstGameStreamRecoveryMeta; so does nothing that comes later refer to what is broken. Where no picture is old
 * enough, the next frame is a key frame.
 *
 * The event's structure has the u64 fields since, the first timestamp in nanoseconds that is broken, and, where it is
 * known, until, that of the last frame that was lost: nothing is done where a frame after it makes it good already. The
 * element answers FALSE while intra-refresh is on.
 *
 * The syntax element frame_num gets more bits than libx264 gives it, and gaps in it are allowed, without which decoders
 * stop at lost frames.
 *
 * |[
 * gst-launch-1.0 videotestsrc is-live=true ! video/x-raw,width=1280,height=720,framerate=60/1 ! x264rfienc bitrate=8000 ! gamestreamvideopay ! pacedudpsink host=127.0.0.1 port=47998
 * ]| Sends a test picture; a frame that a full queue drops costs no key frame.
 */
use gst::glib;
use gst::prelude::*;

mod event;
mod format;
mod imp;
mod settings;

pub(crate) use imp::CAT;

glib::wrapper! {
    pub struct X264RfiEnc(ObjectSubclass<imp::X264RfiEnc>) @extends gst_video::VideoEncoder, gst::Element, gst::Object, @implements gst::Preset;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "x264rfienc", gst::Rank::NONE, X264RfiEnc::static_type())
}
