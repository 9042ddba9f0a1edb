//! Where the time of a frame goes: a meta that travels with it, and histograms of its stages.
//!
//! Times are those of the system's monotonic clock ([`gst::get_timestamp`]), which capture and stream pipelines
//! share whatever their own clocks are.

mod histogram;
mod stages;

pub use histogram::Histogram;
pub use stages::{STAGES, Stages};

use crate::meta::{Plain, Registration, Value};
use gst::ClockTime;
use std::{ffi::CStr, sync::OnceLock};

/// Caps name of a [`gst::ReferenceTimestampMeta`] that says when a picture was captured, on the monotonic clock.
/// `framepacer` heeds it; without it a picture counts as captured when it arrives there.
pub const CAPTURE_TIME: &str = "timestamp/x-monotonic";

/// Travels with a frame from `framepacer` to `pacedudpsink`, through every encoder that passes metas on.
pub type FrameMeta = Plain<FrameTimes>;

/// When a frame passed what. A stage that nobody observed has no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameTimes {
    /// Counts the frames of a stream from 0.
    pub number: u64,
    /// The picture was shown before: nothing was captured for this frame.
    pub repeated: bool,
    pub capture: Option<ClockTime>,
    /// Left the pacer.
    pub pace: Option<ClockTime>,
    pub encode_in: Option<ClockTime>,
    pub encode_out: Option<ClockTime>,
    pub packetized: Option<ClockTime>,
    pub first_send: Option<ClockTime>,
    pub last_send: Option<ClockTime>,
}

impl FrameTimes {
    /// When what the frame shows began its way: its capture, and for a repeated one its tick.
    pub fn begin(&self) -> Option<ClockTime> {
        if self.repeated { self.pace } else { self.capture.or(self.pace) }
    }
}

impl Value for FrameTimes {
    const API: &'static CStr = c"GstGameStreamFrameMetaAPI";
    const NAME: &'static CStr = c"GstGameStreamFrameMeta";

    fn registration() -> &'static OnceLock<Registration> {
        static REGISTRATION: OnceLock<Registration> = OnceLock::new();
        &REGISTRATION
    }

    /// A part of a frame is still of that frame.
    fn follows(&self, _into: &gst::BufferRef, _whole: bool) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_keep_the_times_and_the_pool_keeps_the_meta() {
        gst::init().unwrap();
        let mut pool = crate::pool::GrowingPool::new(1000);
        let times = FrameTimes { number: 7, pace: Some(ClockTime::SECOND), ..FrameTimes::default() };
        let mut buffer = pool.acquire(1000).unwrap();
        assert!(buffer.meta::<FrameMeta>().is_none());
        FrameMeta::set_pooled(buffer.get_mut().unwrap(), times);
        let part = buffer.copy_region(gst::BufferCopyFlags::all(), 10..20).unwrap();
        assert_eq!(part.meta::<FrameMeta>().unwrap().value(), &times);
        drop((part, buffer));
        let again = pool.acquire(10).unwrap();
        assert!(again.meta::<FrameMeta>().is_some(), "no other is allocated for the next frame");
    }
}
