/**
 * SECTION:element-audiopacer
 * @short-description: gives sound the rate of this machine's clock
 *
 * A sound card has a clock of its own, which is a few ten millionths off: in half an hour a receiver that plays by
 * another one has to leave out a third of a second, or lacks it. This element resamples what a live source hands over, so
 * that just as many samples leave in a second of the system's monotonic clock as their rate says. It goes no further than
 * 500 ppm, and what a source that stood still did not hand over is not made up for.
 *
 * |[
 * gst-launch-1.0 audiotestsrc is-live=true ! audiopacer ! audioconvert ! autoaudiosink
 * ]|
 */
use gst::glib;

mod drift;
mod imp;
mod resample;

glib::wrapper! {
    pub struct AudioPacer(ObjectSubclass<imp::AudioPacer>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    use gst::prelude::*;
    gst::Element::register(Some(plugin), "audiopacer", gst::Rank::NONE, AudioPacer::static_type())
}
