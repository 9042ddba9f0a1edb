/**
 * SECTION:element-framepacer
 * @short-description: raw video at a steady rate, whatever the source does
 *
 * Pushes exactly one picture per tick of the negotiated frame rate: the freshest one, or the last one again when there
 * is none. A desktop that sends one picture and then nothing plays at full rate; of a source that is too fast the
 * pictures in between are left out. Upstream is never blocked.
 *
 * Timestamps are the running times of the ticks, exactly an interval apart; late, it goes on from now and never
 * catches up with a burst. A source at the output's own rate is shown picture by picture: a tick waits up to half an
 * interval for a picture that is about to come, and at the start ticks move, by at most an eighth of an interval each,
 * to where pictures arrive.
 *
 * The frame rate is what downstream asks for, upstream's otherwise, and 60/1 when neither says. The element is live,
 * so it delivers nothing while paused.
 *
 * A meta travels with each picture (see `timing`): its number, whether it is a repeated one, when it was captured and
 * when it left. Captured is what a GstReferenceTimestampMeta with caps timestamp/x-monotonic says, or the arrival here.
 *
 * |[
 * gst-launch-1.0 videotestsrc is-live=true ! video/x-raw,framerate=7/1 ! framepacer ! video/x-raw,framerate=60/1 ! fpsdisplaysink
 * ]|
 *
 * Statistics (`application/x-framepacer-stats`): `new` pictures, `repeated` ones, `replaced` ones that were never shown,
 * `resyncs` (times it was too late) and the ticks `skipped` by them.
 */
use gst::glib;

mod cadence;
mod caps;
mod imp;
mod state;

glib::wrapper! {
    pub struct FramePacer(ObjectSubclass<imp::FramePacer>) @extends gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(Some(plugin), "framepacer", gst::Rank::NONE, FramePacer::static_type())
}
