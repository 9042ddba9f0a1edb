//! The event that says what a client cannot decode.

use crate::recovery::Broken;

const NAME: &str = "GstGameStreamInvalidate";

/// What `event` says; the outer option is none where it is another event. The inner one is none where it does not say
/// since when, in nanoseconds: that is answered with FALSE, and whoever sent it asks for a key frame.
pub fn read(event: &gst::EventRef) -> Option<Option<Broken>> {
    let gst::EventView::CustomUpstream(event) = event.view() else { return None };
    let structure = event.structure().filter(|structure| structure.name() == NAME)?;
    let since = structure.get::<u64>("since").ok();
    Some(since.map(|since| Broken { since, until: structure.get("until").ok() }))
}
