//! From a buffer to the datagrams in it.

use crate::packets::PacketsMeta;
use std::io::IoSlice;

/// Cuts a buffer as its meta says; without one it is a datagram.
pub fn cut<'a>(bytes: &'a [u8], buffer: &gst::BufferRef, datagrams: &mut Vec<IoSlice<'a>>) {
    match buffer.meta::<PacketsMeta>() {
        Some(meta) if meta.size() > 0 => {
            datagrams.extend(bytes.chunks_exact(meta.size()).take(meta.count()).map(IoSlice::new));
        }
        _ => datagrams.push(IoSlice::new(bytes)),
    }
}

/// An empty vector with the memory of `datagrams`, for the slices of another frame: collecting into a vector of the same
/// layout happens in place.
pub fn recycle<'a>(mut datagrams: Vec<IoSlice<'_>>) -> Vec<IoSlice<'a>> {
    datagrams.clear();
    datagrams.into_iter().map(|_| unreachable!("it was cleared")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_kept() {
        let bytes = vec![0; 4];
        let datagrams: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
        let (memory, capacity) = (datagrams.as_ptr().addr(), datagrams.capacity());
        let recycled: Vec<IoSlice<'static>> = recycle(datagrams);
        drop(bytes);
        assert!(recycled.is_empty());
        assert_eq!((recycled.as_ptr().addr(), recycled.capacity()), (memory, capacity));
    }
}
