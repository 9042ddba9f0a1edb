//! Many datagrams in one buffer: what travels from a payloader to `pacedudpsink`.
//!
//! A frame becomes one buffer with all its datagrams back to back, and [`PacketsMeta`] says how to cut it:
//! a buffer per datagram would cost more than filling it.

use crate::meta::{Plain, Registration, Value};
use gst::prelude::*;
use std::{ffi::CStr, sync::OnceLock};

/// Caps name of such buffers. Field `media` is `video` or `audio`.
pub const CAPS_NAME: &str = "application/x-gamestream-packets";

/// Caps name of a buffer that is one datagram, as it comes from the network. Field `media` as above.
pub const DATAGRAM_CAPS_NAME: &str = "application/x-gamestream";

/// How a payloader's datagrams leave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// One buffer that says how to cut it: for `pacedudpsink`, which sends slices of it.
    #[default]
    Together,
    /// A buffer each, in lists: for stock sinks.
    Apart,
}

impl Form {
    /// The one that whoever is behind `srcpad` names first.
    ///
    /// What takes anything names them in the order in which it is asked, which puts [`Self::Apart`] first.
    pub fn agree(srcpad: &gst::Pad) -> Self {
        let caps = srcpad.peer_query_caps(Some(&srcpad.pad_template_caps()));
        match caps.structure(0) {
            Some(first) if first.name() == DATAGRAM_CAPS_NAME => Self::Apart,
            _ => Self::Together,
        }
    }

    /// Caps of a payloader's source pad, in the order of [`Self::agree`].
    pub fn template(media: &str) -> gst::Caps {
        let mut caps = Self::Apart.caps().field("media", media).build();
        caps.merge(Self::Together.caps().field("media", media).build());
        caps
    }

    /// Begins the caps of this form.
    pub fn caps(self) -> gst::caps::Builder<gst::caps::NoFeature> {
        gst::Caps::builder(match self {
            Self::Together => CAPS_NAME,
            Self::Apart => DATAGRAM_CAPS_NAME,
        })
    }

    /// Pushes the datagrams of `packets`.
    pub fn push(self, srcpad: &gst::Pad, packets: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        match self {
            Self::Together => srcpad.push(packets),
            Self::Apart => srcpad.push_list(apart(&packets).ok_or(gst::FlowError::Error)?),
        }
    }
}

/// A buffer for each datagram of `packets`; the bytes are shared.
fn apart(packets: &gst::Buffer) -> Option<gst::BufferList> {
    let meta = packets.meta::<PacketsMeta>()?;
    let flags = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::MEMORY;
    let mut list = gst::BufferList::new_sized(meta.count());
    for n in 0..meta.count() {
        let mut datagram = packets.copy_region(flags, n * meta.size()..(n + 1) * meta.size()).ok()?;
        if n > 0 {
            // Only the beginning of a copy keeps them, and all of a frame's datagrams have its time.
            let datagram = datagram.get_mut()?;
            datagram.set_pts(packets.pts());
            datagram.set_dts(packets.dts());
        }
        list.get_mut()?.add(datagram);
    }
    Some(list)
}

/// How a buffer is cut into datagrams.
pub type PacketsMeta = Plain<Cut>;

/// `count` datagrams of `size` bytes each, without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    size: usize,
    count: usize,
}

impl PacketsMeta {
    /// Describes `buffer` as `count` datagrams of `size` bytes; the meta stays with a buffer that belongs to a pool.
    pub fn add(buffer: &mut gst::BufferRef, size: usize, count: usize) {
        debug_assert_eq!(buffer.size(), size * count);
        Self::set_pooled(buffer, Cut { size, count });
    }

    /// Bytes of each datagram.
    pub fn size(&self) -> usize {
        self.value().size
    }

    /// Datagrams in the buffer.
    pub fn count(&self) -> usize {
        self.value().count
    }
}

impl Value for Cut {
    const API: &'static CStr = c"GstGameStreamPacketsMetaAPI";
    const NAME: &'static CStr = c"GstGameStreamPacketsMeta";

    fn registration() -> &'static OnceLock<Registration> {
        static REGISTRATION: OnceLock<Registration> = OnceLock::new();
        &REGISTRATION
    }

    /// Only a copy of the whole buffer keeps the cut: one that is as long as the datagrams are.
    fn follows(&self, into: &gst::BufferRef, whole: bool) -> bool {
        whole && self.size.checked_mul(self.count) == Some(into.size())
    }
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
