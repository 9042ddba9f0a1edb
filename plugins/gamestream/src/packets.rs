//! Many datagrams in one buffer: what travels from a payloader to `pacedudpsink`.
//!
//! A frame becomes one buffer with all its datagrams back to back, and [`PacketsMeta`] says how to cut it:
//! a buffer per datagram would cost more than filling it.

use gst::glib;
use gst::prelude::*;
use std::{fmt, ptr};

/// Caps name of such buffers. Field `media` is `video` or `audio`.
pub const CAPS_NAME: &str = "application/x-gamestream-packets";

/// Caps name of a buffer that is one datagram, as it comes from the network. Field `media` as above.
pub const DATAGRAM_CAPS_NAME: &str = "application/x-gamestream";

/// How a buffer is cut into datagrams: `count` of them, each `size` bytes, without gaps.
#[repr(transparent)]
pub struct PacketsMeta(RawPacketsMeta);

// SAFETY: the meta holds plain numbers and is only changed through `&mut`.
unsafe impl Send for PacketsMeta {}
// SAFETY: as above.
unsafe impl Sync for PacketsMeta {}

impl PacketsMeta {
    /// Describes `buffer` as `count` datagrams of `size` bytes.
    pub fn add(
        buffer: &mut gst::BufferRef,
        size: usize,
        count: usize,
    ) -> gst::MetaRefMut<'_, Self, gst::meta::Standalone> {
        debug_assert_eq!(buffer.size(), size * count);
        // SAFETY: `register` describes the type that is cast to here, `init` made it valid, and the buffer is ours
        // to change.
        unsafe {
            let meta = gst::ffi::gst_buffer_add_meta(buffer.as_mut_ptr(), info(), ptr::null_mut());
            let meta = &mut *meta.cast::<Self>();
            meta.0.size = size;
            meta.0.count = count;
            Self::from_mut_ptr(buffer, &mut meta.0)
        }
    }

    /// Bytes of each datagram.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Datagrams in the buffer.
    pub fn count(&self) -> usize {
        self.0.count
    }
}

// SAFETY: `RawPacketsMeta` starts with a `GstMeta` and `meta_api` returns the API it was registered with.
unsafe impl MetaAPI for PacketsMeta {
    type GstType = RawPacketsMeta;

    fn meta_api() -> glib::Type {
        api()
    }
}

impl fmt::Debug for PacketsMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketsMeta").field("size", &self.size()).field("count", &self.count()).finish()
    }
}

#[repr(C)]
pub struct RawPacketsMeta {
    parent: gst::ffi::GstMeta,
    size: usize,
    count: usize,
}

fn api() -> glib::Type {
    static API: std::sync::LazyLock<glib::Type> = std::sync::LazyLock::new(|| {
        // SAFETY: registered once, with a list of tags that ends in null.
        unsafe {
            let api = gst::ffi::gst_meta_api_type_register(
                c"GstGameStreamPacketsMetaAPI".as_ptr(),
                [ptr::null::<std::ffi::c_char>()].as_ptr() as *mut *const _,
            );
            glib::translate::from_glib(api)
        }
    });
    *API
}

fn info() -> *const gst::ffi::GstMetaInfo {
    struct Info(ptr::NonNull<gst::ffi::GstMetaInfo>);
    // SAFETY: a registered info is never freed nor changed.
    unsafe impl Send for Info {}
    // SAFETY: as above.
    unsafe impl Sync for Info {}
    static INFO: std::sync::LazyLock<Info> = std::sync::LazyLock::new(|| {
        // SAFETY: size and functions belong to `RawPacketsMeta`, and the name is registered once.
        let info = unsafe {
            gst::ffi::gst_meta_register(
                glib::translate::IntoGlib::into_glib(api()),
                c"GstGameStreamPacketsMeta".as_ptr(),
                size_of::<RawPacketsMeta>(),
                Some(init),
                None,
                Some(transform),
            )
        };
        Info(ptr::NonNull::new(info.cast_mut()).expect("GStreamer registers the meta"))
    });
    INFO.0.as_ptr()
}

unsafe extern "C" fn init(
    meta: *mut gst::ffi::GstMeta,
    _params: glib::ffi::gpointer,
    _buffer: *mut gst::ffi::GstBuffer,
) -> glib::ffi::gboolean {
    // SAFETY: GStreamer allocated `meta` with the size given at registration.
    unsafe {
        let meta = meta.cast::<RawPacketsMeta>();
        ptr::addr_of_mut!((*meta).size).write(0);
        ptr::addr_of_mut!((*meta).count).write(0);
    }
    glib::ffi::GTRUE
}

/// Only a copy of the whole buffer keeps the cut: one that is as long as the datagrams are.
unsafe extern "C" fn transform(
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
        let copy = &*data.cast::<gst::ffi::GstMetaTransformCopy>();
        if copy.region != glib::ffi::GFALSE {
            return glib::ffi::GFALSE;
        }
        let meta = &*meta.cast::<RawPacketsMeta>();
        let into = gst::BufferRef::from_mut_ptr(into);
        if meta.size.checked_mul(meta.count) != Some(into.size()) {
            return glib::ffi::GFALSE;
        }
        PacketsMeta::add(into, meta.size, meta.count);
    }
    glib::ffi::GTRUE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_the_cut_and_a_part_does_not() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::with_size(300).unwrap();
        PacketsMeta::add(buffer.get_mut().unwrap(), 100, 3);
        let whole = buffer.copy();
        let meta = whole.meta::<PacketsMeta>().unwrap();
        assert_eq!((meta.size(), meta.count()), (100, 3));
        let part = buffer.copy_region(gst::BufferCopyFlags::all(), 0..100).unwrap();
        assert!(part.meta::<PacketsMeta>().is_none());
        let mut other = gst::Buffer::with_size(200).unwrap();
        buffer.copy_into(other.get_mut().unwrap(), gst::BufferCopyFlags::META, ..).unwrap();
        assert!(other.meta::<PacketsMeta>().is_none(), "of another length");
    }
}
