//! The answer of an element that holds data back.

use gst::prelude::*;

/// Answers with upstream's latency and the element's `own`, which is how long it may hold a buffer back.
pub fn answer(query: &mut gst::query::Latency, sinkpad: &gst::Pad, own: gst::ClockTime) -> bool {
    let mut upstream = gst::query::Latency::new();
    if !sinkpad.peer_query(&mut upstream) {
        return false;
    }
    let (live, min, max) = upstream.result();
    query.set(live, min + own, max.map(|max| max + own));
    true
}
