//! The last frame and who is shown it. It outlives every capture, so that a lost one leaves its picture behind.

use gstgamestream::timing;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Clones share one state.
#[derive(Clone, Default)]
pub(super) struct Frames(Arc<Mutex<Shown>>);

#[derive(Default)]
struct Shown {
    last: Option<gst::Sample>,
    /// Number of the capture that the last frame came from.
    capture: u64,
    viewers: Vec<(u64, gst_app::AppSrc)>,
    next_id: u64,
    /// Until this many have come.
    awaits: u32,
}

/// Keeps a viewer attached; dropping it detaches.
pub struct Attached {
    frames: Frames,
    id: u64,
}

/// What is new about a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct News {
    /// The first one that this capture shows.
    pub first: bool,
    /// The last of those that [`Frames::await_frames`] counts.
    pub awaited: bool,
    /// Its caps, if they are others than those of the frame before.
    pub caps: Option<gst::Caps>,
}

impl Frames {
    /// Gives `viewer` the last frame at once and every later one.
    pub fn attach(&self, viewer: &gst_app::AppSrc) -> Attached {
        let mut shown = self.lock();
        shown.next_id += 1;
        let id = shown.next_id;
        // An appsrc only queues: pushing under the lock keeps frames in order and cannot come back here.
        if let Some(last) = &shown.last {
            push(viewer, last, None);
        }
        shown.viewers.push((id, viewer.clone()));
        Attached { frames: self.clone(), id }
    }

    /// Gives `viewer` this picture if no frame was ever captured; none can come in between. True if it did.
    pub fn show_if_nothing(&self, viewer: &gst_app::AppSrc, sample: &gst::Sample) -> bool {
        let shown = self.lock();
        let nothing = shown.last.is_none();
        if nothing {
            push(viewer, sample, None);
        }
        nothing
    }

    /// Caps of the last frame.
    pub fn caps(&self) -> Option<gst::Caps> {
        self.lock().last.as_ref()?.caps_owned()
    }

    /// Counts so many frames from now on; the last one is told.
    pub fn await_frames(&self, count: u32) {
        self.lock().awaits = count;
    }

    /// Keeps `sample` as the last frame and shows it to all, unless a later capture shows something already: nothing
    /// then.
    pub fn keep(&self, capture: u64, sample: gst::Sample, captured: Option<gst::ClockTime>) -> Option<News> {
        let mut shown = self.lock();
        if capture < shown.capture {
            return None;
        }
        let before = shown.last.as_ref().and_then(|sample| sample.caps_owned());
        let caps = sample.caps_owned().filter(|caps| before.as_ref() != Some(caps));
        let first = shown.last.is_none() || shown.capture != capture;
        for (_, viewer) in &shown.viewers {
            push(viewer, &sample, captured);
        }
        shown.last = Some(sample);
        shown.capture = capture;
        let awaited = shown.awaits == 1;
        shown.awaits = shown.awaits.saturating_sub(1);
        Some(News { first, awaited, caps })
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.frames.lock().viewers.retain(|(id, _)| *id != self.id);
    }
}

/// The frame without timestamps: the viewer's own clock gives it one on arrival. The pixels are shared. A frame that
/// is shown again on its viewer's arrival is not said to be `captured` long ago.
fn push(viewer: &gst_app::AppSrc, sample: &gst::Sample, captured: Option<gst::ClockTime>) {
    let (Some(mut buffer), Some(caps)) = (sample.buffer_owned(), sample.caps_owned()) else { return };
    {
        let buffer = buffer.make_mut();
        buffer.set_pts(None);
        buffer.set_dts(None);
        buffer.set_duration(None);
        buffer.unset_flags(gst::BufferFlags::all() - gst::BufferFlags::TAG_MEMORY);
        if let Some(captured) = captured {
            let clock = gst::Caps::new_empty_simple(timing::CAPTURE_TIME);
            gst::ReferenceTimestampMeta::add(buffer, &clock, captured, gst::ClockTime::NONE);
        }
    }
    // A viewer that is stopping refuses; it detaches in a moment.
    let _ = viewer.push_sample(&gst::Sample::builder().buffer(&buffer).caps(&caps).build());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(format: gst_video::VideoFormat) -> gst::Sample {
        gst::init().unwrap();
        let info = gst_video::VideoInfo::builder(format, 8, 8).build().unwrap();
        let buffer = gst::Buffer::with_size(info.size()).unwrap();
        gst::Sample::builder().buffer(&buffer).caps(&info.to_caps().unwrap()).build()
    }

    #[test]
    fn the_first_frame_of_a_later_capture_takes_the_place_of_the_one_before() {
        let frames = Frames::default();
        let gray = sample(gst_video::VideoFormat::Gray8);
        let caps = gray.caps_owned();
        let first = News { first: true, ..News::default() };
        assert_eq!(frames.keep(1, gray.clone(), None), Some(News { caps: caps.clone(), ..first.clone() }));
        assert_eq!(frames.keep(1, gray.clone(), None), Some(News::default()));
        assert_eq!(frames.keep(3, gray.clone(), None), Some(first));
        assert_eq!(frames.keep(1, sample(gst_video::VideoFormat::Bgrx), None), None, "too late");
        assert_eq!(frames.caps(), caps);
        frames.await_frames(2);
        assert_eq!(frames.keep(1, gray.clone(), None), None);
        assert_eq!(frames.keep(3, gray.clone(), None), Some(News::default()));
        assert_eq!(frames.keep(3, gray.clone(), None), Some(News { awaited: true, ..News::default() }));
        assert_eq!(frames.keep(3, gray, None), Some(News::default()), "told once");
    }
}
