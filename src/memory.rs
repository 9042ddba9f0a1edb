//! What the allocator keeps.
//!
//! Every session has threads of its own, and glibc gives each new thread one of many heaps, in which little of what a
//! session frees can be used by the next: the process would grow with every player, up to some hundred megabytes.

/// Two heaps for all threads: one a core would do no better at some hundred allocations a second.
pub fn share_heaps() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets a number in the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
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
