//! Streaming threads say what they do, and go before everything that can wait.
//!
//! Only the thread that sends becomes a real-time thread, at the lowest priority of that kind and only where the system
//! lets us (RLIMIT_RTPRIO, or root): it has deadlines to meet, works for microseconds at a time, and starts no thread.
//! Packetizing computes for a good part of a millisecond and encoding for most of a frame's interval, on threads of its
//! own that inherit what we set: in real time they would starve a small machine, so they get a nice value.

use crate::threads::{self, Rtkit};
use gst::prelude::*;

/// Capture, pacing and encoding: the most work, and all the rest waits for it.
const ENCODE: i32 = -10;
/// Behind a queue: packetizing and sending.
const SEND: i32 = -5;

/// What a streaming thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Role {
    /// As `top -H` shows it, 15 characters at most.
    name: &'static str,
    nice: i32,
    real_time: bool,
}

/// Of the thread that `element` runs in the pipeline called `pipeline`: what is behind its pad is done there.
fn role(pipeline: &str, element: &str) -> Role {
    let role = |name, nice| Role { name, nice, real_time: false };
    match (pipeline, element) {
        ("video", "source") => role("video-convert", ENCODE),
        ("video", "pacer") => role("video-pace", ENCODE),
        ("video", "encoded") => role("video-packetize", SEND),
        ("video", "packets") => Role { real_time: true, ..role("video-send", SEND) },
        ("video", _) => role("video-encode", ENCODE),
        ("audio", "encoded") => role("audio-send", SEND),
        ("audio", _) => role("audio-encode", ENCODE),
        _ => role("capture", ENCODE),
    }
}

/// Names and raises the calling thread, which has just posted `status`, and lowers it when its work is over: GStreamer
/// gives a thread that has ended its work the next one, whatever that is.
pub(super) fn settle(pipeline: &str, status: &gst::message::StreamStatus, rtkit: &Rtkit) {
    let (kind, owner) = status.get();
    let role = role(pipeline, &owner.name());
    match kind {
        gst::StreamStatusType::Enter => enter(role, status, rtkit),
        gst::StreamStatusType::Leave if role.real_time => threads::end_real_time(),
        _ => {}
    }
}

fn enter(role: Role, status: &gst::message::StreamStatus, rtkit: &Rtkit) {
    // GStreamer names the thread like its task, as soon as this returns.
    let task = status.stream_status_object().and_then(|object| object.get::<gst::Task>().ok());
    if let Some(task) = task {
        task.set_property("name", role.name);
    }
    threads::raise(role.nice, rtkit);
    if role.real_time {
        threads::begin_real_time();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_only_sending_is_real_time() {
        for pipeline in ["video", "audio", "capture"] {
            for element in ["source", "pacer", "encoded", "packets", "queue0", "videotestsrc0"] {
                let role = role(pipeline, element);
                assert!(role.name.len() <= 15, "{role:?}");
                assert!((ENCODE..=SEND).contains(&role.nice), "{role:?}");
                assert_eq!(role.real_time, (pipeline, element) == ("video", "packets"), "{role:?}");
            }
        }
    }

    #[test]
    fn what_a_thread_does_is_told_by_its_element() {
        assert_eq!(
            role("video", "section-frames"),
            Role { name: "video-encode", nice: -10, real_time: false }
        );
        assert_eq!(role("video", "pacer").name, "video-pace");
        assert_eq!(role("video", "encoded"), Role { name: "video-packetize", nice: -5, real_time: false });
        assert_eq!(role("audio", "encoded").name, "audio-send");
        assert_eq!(role("capture", "encoded"), Role { name: "capture", nice: -10, real_time: false });
    }
}
