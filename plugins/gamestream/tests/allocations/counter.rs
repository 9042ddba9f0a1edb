//! Counts what a thread asks of the C library's allocator: what Rust does, and GLib and GStreamer, which find these
//! functions before those of the library. Made for glibc, whose own functions have second names.

use std::{
    cell::Cell,
    ffi::{c_int, c_void},
};

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(memory: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(alignment: usize, size: usize) -> *mut c_void;
}

thread_local! {
    /// Without destructor, so that it is there from a thread's first allocation to its last.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Allocations of the calling thread so far.
pub fn allocations() -> u64 {
    COUNT.get()
}

fn count() {
    COUNT.set(COUNT.get() + 1);
}

#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    count();
    // SAFETY: the caller keeps malloc's contract, which is that of this function.
    unsafe { __libc_malloc(size) }
}

#[unsafe(no_mangle)]
extern "C" fn calloc(elements: usize, size: usize) -> *mut c_void {
    count();
    // SAFETY: as for malloc.
    unsafe { __libc_calloc(elements, size) }
}

#[unsafe(no_mangle)]
extern "C" fn realloc(memory: *mut c_void, size: usize) -> *mut c_void {
    count();
    // SAFETY: as for malloc.
    unsafe { __libc_realloc(memory, size) }
}

#[unsafe(no_mangle)]
extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    count();
    // SAFETY: as for malloc.
    unsafe { __libc_memalign(alignment, size) }
}

#[unsafe(no_mangle)]
extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    count();
    // SAFETY: as for malloc.
    unsafe { __libc_memalign(alignment, size) }
}

#[unsafe(no_mangle)]
extern "C" fn posix_memalign(memory: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    count();
    // SAFETY: as for malloc; the caller passes where the result goes.
    unsafe {
        let allocated = __libc_memalign(alignment, size);
        if allocated.is_null() {
            return libc::ENOMEM;
        }
        memory.write(allocated);
    }
    0
}
