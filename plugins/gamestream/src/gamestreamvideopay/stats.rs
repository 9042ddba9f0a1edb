//! What was sent, in numbers.

use crate::wire::video::{FrameKind, Layout};

/// Counters since the start.
#[derive(Clone, Copy, Default)]
pub struct Stats {
    pub frames: u64,
    pub key_frames: u64,
    /// Index of the last one on the wire, 0 before the first.
    pub last_key_frame: u32,
    pub packets: u64,
    pub parity_packets: u64,
    pub bytes: u64,
    pub dropped: u64,
    pub skipped: u64,
    pub key_unit_requests: u64,
    pub recovery_frames: u64,
    pub invalidations: u64,
}

impl Stats {
    /// Counts indices left out; whether their number reached a power of two.
    pub fn skip(&mut self, count: u32) -> bool {
        let before = self.skipped.checked_ilog2();
        self.skipped += u64::from(count);
        self.skipped.checked_ilog2() > before
    }

    /// Frame `index` was written into datagrams of `size` bytes.
    pub fn count(&mut self, index: u32, layout: &Layout, kind: FrameKind, size: usize) {
        let parity: usize = layout.blocks().iter().map(|block| block.parity).sum();
        self.frames += 1;
        if kind == FrameKind::Key {
            self.key_frames += 1;
            self.last_key_frame = index;
        }
        self.recovery_frames += u64::from(kind == FrameKind::Recovery);
        self.packets += layout.packets() as u64;
        self.parity_packets += parity as u64;
        self.bytes += (layout.packets() * size) as u64;
    }

    pub fn structure(&self) -> gst::Structure {
        gst::Structure::builder("application/x-gamestreamvideopay-stats")
            .field("frames", self.frames)
            .field("key-frames", self.key_frames)
            .field("last-key-frame", self.last_key_frame)
            .field("packets", self.packets)
            .field("parity-packets", self.parity_packets)
            .field("bytes", self.bytes)
            .field("frames-dropped", self.dropped)
            .field("frames-skipped", self.skipped)
            .field("key-unit-requests", self.key_unit_requests)
            .field("recovery-frames", self.recovery_frames)
            .field("invalidations", self.invalidations)
            .build()
    }
}
