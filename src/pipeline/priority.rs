//! Streaming threads go before everything that can wait.

use rustix::process::setpriority_process;
use rustix::thread::gettid;
use std::sync::Once;

/// Capture, pacing and encoding: the most work, and all the rest waits for it.
const ENCODE: i32 = -10;
/// Behind a queue: packetizing and sending.
const SEND: i32 = -5;

/// Raises the calling thread, which runs what is behind the pad of `element`.
pub(super) fn raise(element: &str) {
    let behind_queue = element.starts_with("encoded") || element.starts_with("packets");
    let nice = if behind_queue { SEND } else { ENCODE };
    // On Linux a thread has a priority of its own, set through its id.
    if let Err(error) = setpriority_process(Some(gettid()), nice) {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            tracing::debug!("streaming threads keep their priority, the system refuses more: {error}")
        });
    }
}
