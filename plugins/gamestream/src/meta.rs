//! Metas that hold a plain value: what they share besides the value.

use gst::glib;
use gst::prelude::*;
use std::{ffi::CStr, fmt, ptr, sync::OnceLock};

/// What a meta holds.
pub trait Value: Copy + Default + fmt::Debug + Send + Sync + 'static {
    const API: &'static CStr;
    const NAME: &'static CStr;

    /// A static of its own for each kind of value.
    fn registration() -> &'static OnceLock<Registration>;

    /// Whether a copy of the buffer, which is now `into`, keeps the value; `whole` unless it is of a part.
    fn follows(&self, into: &gst::BufferRef, whole: bool) -> bool;
}

/// What GStreamer knows a meta by.
#[derive(Clone, Copy)]
pub struct Registration {
    api: glib::Type,
    info: ptr::NonNull<gst::ffi::GstMetaInfo>,
}

// SAFETY: a registered info is never freed nor changed.
unsafe impl Send for Registration {}
// SAFETY: as above.
unsafe impl Sync for Registration {}

/// A meta with a value: an API of its own without tags, so that encoders and filters pass it on.
#[repr(transparent)]
pub struct Plain<T: Value>(RawPlain<T>);

#[repr(C)]
pub struct RawPlain<T> {
    parent: gst::ffi::GstMeta,
    value: T,
}

// SAFETY: values are, and they are only changed through `&mut`.
unsafe impl<T: Value> Send for Plain<T> {}
// SAFETY: as above.
unsafe impl<T: Value> Sync for Plain<T> {}

impl<T: Value> Plain<T> {
    /// Gives `buffer` the value, in place of one that it has.
    pub fn set(buffer: &mut gst::BufferRef, value: T) {
        if let Some(mut meta) = buffer.meta_mut::<Self>() {
            meta.0.value = value;
            return;
        }
        // SAFETY: the info is that of `RawPlain<T>`, which `init` made valid, and the buffer is ours to change.
        unsafe {
            let info = registered::<T>().info.as_ptr();
            let meta = gst::ffi::gst_buffer_add_meta(buffer.as_mut_ptr(), info, ptr::null_mut());
            (*meta.cast::<RawPlain<T>>()).value = value;
        }
    }

    /// As [`Self::set`], and the meta stays with the buffer when it goes back to its pool: nothing is allocated for
    /// the next one.
    pub fn set_pooled(buffer: &mut gst::BufferRef, value: T) {
        Self::set(buffer, value);
        let mut meta = buffer.meta_mut::<Self>().expect("it was just set");
        meta.0.parent.flags |= gst::ffi::GST_META_FLAG_POOLED;
    }

    pub fn value(&self) -> &T {
        &self.0.value
    }
}

// SAFETY: `RawPlain` starts with a `GstMeta`, and `meta_api` returns the API it was registered with.
unsafe impl<T: Value> MetaAPI for Plain<T> {
    type GstType = RawPlain<T>;

    fn meta_api() -> glib::Type {
        registered::<T>().api
    }
}

impl<T: Value> fmt::Debug for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}

fn registered<T: Value>() -> Registration {
    *T::registration().get_or_init(|| {
        // SAFETY: registered once, with a list of tags that ends in null; size and functions belong to `RawPlain<T>`.
        unsafe {
            let api = gst::ffi::gst_meta_api_type_register(
                T::API.as_ptr(),
                [ptr::null::<std::ffi::c_char>()].as_ptr() as *mut *const _,
            );
            let info = gst::ffi::gst_meta_register(
                api,
                T::NAME.as_ptr(),
                size_of::<RawPlain<T>>(),
                Some(init::<T>),
                None,
                Some(transform::<T>),
            );
            Registration {
                api: glib::translate::from_glib(api),
                info: ptr::NonNull::new(info.cast_mut()).expect("GStreamer registers the meta"),
            }
        }
    })
}

unsafe extern "C" fn init<T: Value>(
    meta: *mut gst::ffi::GstMeta,
    _params: glib::ffi::gpointer,
    _buffer: *mut gst::ffi::GstBuffer,
) -> glib::ffi::gboolean {
    // SAFETY: GStreamer allocated `meta` with the size given at registration.
    unsafe { ptr::addr_of_mut!((*meta.cast::<RawPlain<T>>()).value).write(T::default()) };
    glib::ffi::GTRUE
}

unsafe extern "C" fn transform<T: Value>(
    into: *mut gst::ffi::GstBuffer,
    meta: *mut gst::ffi::GstMeta,
    _from: *mut gst::ffi::GstBuffer,
    kind: glib::ffi::GQuark,
    data: glib::ffi::gpointer,
) -> glib::ffi::gboolean {
    // SAFETY: GStreamer passes a meta of ours, a buffer that may be changed, and for a copy a `GstMetaTransformCopy`.
    unsafe {
        if kind != glib::ffi::g_quark_from_static_string(c"gst-copy".as_ptr()) {
            return glib::ffi::GFALSE;
        }
        let whole = (*data.cast::<gst::ffi::GstMetaTransformCopy>()).region == glib::ffi::GFALSE;
        let value = (*meta.cast::<RawPlain<T>>()).value;
        let into = gst::BufferRef::from_mut_ptr(into);
        if !value.follows(into, whole) {
            return glib::ffi::GFALSE;
        }
        Plain::set(into, value);
    }
    glib::ffi::GTRUE
}
