//! What the allocator keeps.
//!
//! Every session has threads of its own, and glibc gives new threads heaps of their own, in which the next session can
//! use little of what the last one freed: the process would grow with every player, up to some hundred megabytes.

/// One heap for all threads. Little is allocated on the way of a frame, so that they seldom meet there; and only of its
/// first heap glibc gives back the free end.
pub fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets a number in the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives freed pages back to the system. Takes some milliseconds: not for a thread of the runtime.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
