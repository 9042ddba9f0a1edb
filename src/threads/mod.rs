//! Threads that go before what can wait, where the system allows it: by a nice value, or by real time.
//!
//! Where the system refuses a nice value, rtkit is asked for it, not for real time: there it wants RLIMIT_RTTIME set, and
//! the kernel then kills the whole process when one thread computes for too long.

mod rtkit;

pub use rtkit::Rtkit;

use rustix::process::setpriority_process;
use rustix::thread::gettid;
use std::sync::Once;

/// Control messages and input: microseconds of work, and a player feels each millisecond.
pub const INPUT: i32 = -12;

/// The lowest of SCHED_RR.
const LOWEST_REAL_TIME: i32 = 1;

/// Gives the calling thread this nice value.
pub fn raise(nice: i32, rtkit: &Rtkit) {
    let thread = gettid();
    // On Linux a thread has a priority of its own, set through its id.
    if let Err(error) = setpriority_process(Some(thread), nice) {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| tracing::debug!("the system refuses threads a higher priority: {error}"));
        rtkit.ask_for(thread.as_raw_nonzero().get() as u64, nice);
    }
}

/// Makes the calling thread a real-time thread, of the lowest priority.
pub fn begin_real_time() {
    if let Err(error) = schedule(libc::SCHED_RR, LOWEST_REAL_TIME) {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| tracing::debug!("packets are not sent in real time, the system refuses: {error}"));
    }
}

/// Makes the calling thread an ordinary one again.
pub fn end_real_time() {
    _ = schedule(libc::SCHED_OTHER, 0);
}

fn schedule(policy: libc::c_int, priority: libc::c_int) -> std::io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: 0 is the calling thread, and the parameters live until the call returns.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
