//! Frames that a client cannot decode, as the wire numbers them and as an encoder knows them. The ring decides only.

use gst::ffi;
use std::collections::VecDeque;
use std::ffi::CStr;

/// Asks the encoder upstream for a frame that needs none of the frames `first` to `last`, which are indices of the wire.
pub const EVENT: &str = "GstGameStreamInvalidate";

/// Name of the custom meta with which an encoder marks that frame.
const RECOVERY_META: &CStr = c"GstGameStreamRecoveryMeta";

/// Frames that are remembered: what is older, no decoder keeps.
const REMEMBERED: usize = 256;

/// What is broken, in timestamps of frames; nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The first after the last good frame.
    pub since: u64,
    /// That of the last frame that is known to be lost.
    pub until: u64,
}

/// The frames that were sent last.
#[derive(Debug)]
pub struct Sent {
    frames: VecDeque<(u32, u64)>,
}

impl Default for Sent {
    fn default() -> Self {
        Self { frames: VecDeque::with_capacity(REMEMBERED) }
    }
}

impl Sent {
    /// The frame `index` goes out; one without a timestamp cannot be spoken of.
    pub fn handle_sent(&mut self, index: u32, pts: Option<gst::ClockTime>) {
        let Some(pts) = pts else { return };
        if self.frames.len() == REMEMBERED {
            self.frames.pop_front();
        }
        self.frames.push_back((index, pts.nseconds()));
    }

    /// Timestamps begin anew.
    pub fn clear(&mut self) {
        self.frames.clear();
    }

    /// The frames `first` to `last` in timestamps; nothing where they are too old, or were never sent.
    pub fn broken(&self, first: u32, last: u32) -> Option<Broken> {
        let (newest, _) = self.frames.back()?;
        if is_before(*newest, first) {
            return None;
        }
        let (_, good) = self.frames.iter().rev().find(|(index, _)| is_before(*index, first))?;
        let (_, lost) = self.frames.iter().rev().find(|(index, _)| !is_before(last, *index))?;
        Some(Broken { since: good + 1, until: *lost })
    }

    /// What follows the newest frame, up to one of timestamp `until`.
    pub fn broken_after_newest(&self, until: Option<gst::ClockTime>) -> Option<Broken> {
        let (_, good) = self.frames.back()?;
        Some(Broken { since: good + 1, until: until?.nseconds() })
    }
}

/// Indices wrap.
fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// The event, for an encoder.
pub fn event(first: u32, last: u32, broken: Broken) -> gst::Event {
    let structure = gst::Structure::builder(EVENT)
        .field("first", first)
        .field("last", last)
        .field("since", broken.since)
        .field("until", broken.until);
    gst::event::CustomUpstream::new(structure.build())
}

/// The indices that `event` names, where it is one that no encoder understands yet.
pub fn indices(event: &gst::EventRef) -> Option<(u32, u32)> {
    let gst::EventView::CustomUpstream(event) = event.view() else { return None };
    let structure = event.structure().filter(|s| s.name() == EVENT && !s.has_field("since"))?;
    Some((structure.get("first").ok()?, structure.get("last").ok()?))
}

/// Whether the encoder marked this frame: it refers to none of the frames that were called broken.
pub fn is_recovery(buffer: &gst::BufferRef) -> bool {
    // SAFETY: the buffer is valid and only looked at, and the name ends in 0. Not the binding: it copies the name.
    !unsafe { ffi::gst_buffer_get_custom_meta(buffer.as_mut_ptr(), RECOVERY_META.as_ptr()) }.is_null()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(indices: impl IntoIterator<Item = u32>) -> Sent {
        let mut sent = Sent::default();
        for index in indices {
            sent.handle_sent(index, Some(gst::ClockTime::from_nseconds(u64::from(index) * 10)));
        }
        sent
    }

    #[test]
    fn indices_become_times() {
        let sent = sent(1..=20);
        assert_eq!(sent.broken(15, 17), Some(Broken { since: 141, until: 170 }));
        assert_eq!(sent.broken(2, 2), Some(Broken { since: 11, until: 20 }));
        assert_eq!(
            sent.broken(20, 90),
            Some(Broken { since: 191, until: 200 }),
            "more may be lost than was sent"
        );
        assert_eq!(sent.broken(1, 5), None, "nothing is good before the first");
        assert_eq!(sent.broken(21, 21), None, "it was not sent");
        assert_eq!(Sent::default().broken(1, 1), None);
    }

    #[test]
    fn indices_that_were_left_out_break_what_follows_them() {
        let sent = sent((1..=10).chain(14..=20));
        assert_eq!(sent.broken(11, 13), Some(Broken { since: 101, until: 100 }));
        assert_eq!(sent.broken(12, 14), Some(Broken { since: 101, until: 140 }));
        let until = Some(gst::ClockTime::from_nseconds(230));
        assert_eq!(sent.broken_after_newest(until), Some(Broken { since: 201, until: 230 }));
        assert_eq!(sent.broken_after_newest(None), None);
    }

    #[test]
    fn what_is_too_old_is_not_known() {
        let sent = sent(1..=1000);
        assert_eq!(sent.broken(744, 744), None);
        let oldest = 1000 - REMEMBERED as u32 + 2;
        assert_eq!(sent.broken(oldest, oldest).unwrap().until, u64::from(oldest) * 10);
        assert_eq!(sent.frames.len(), REMEMBERED);
    }

    #[test]
    fn indices_wrap() {
        let mut sent = Sent::default();
        for n in 0..20u64 {
            sent.handle_sent(
                (u32::MAX - 9).wrapping_add(n as u32),
                Some(gst::ClockTime::from_nseconds(n * 10)),
            );
        }
        assert_eq!(sent.broken(u32::MAX, 1), Some(Broken { since: 81, until: 110 }));
        sent.handle_sent(10, None);
        assert_eq!(sent.broken(9, 10), Some(Broken { since: 181, until: 190 }));
        sent.clear();
        assert_eq!(sent.broken(9, 9), None);
    }
}
