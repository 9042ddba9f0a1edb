//! Frames to packets.

use super::layout::block;
use super::{FRAME_HEADER, HEADER, Header, Layout, Redundancy, data_flags};
use crate::wire::fec::{Codes, MAX_SHARDS, Shape};
use crate::wire::seal::VideoSealer;

/// What a decoder may do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// It refers to the frame before it.
    Delta = 1,
    /// It refers to nothing.
    Key = 2,
    /// It refers to no frame that the client has said to have lost: one that waits for a key frame goes on with it.
    Recovery = 5,
}

/// An encoded frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub kind: FrameKind,
    /// 90 kHz.
    pub timestamp: u32,
    /// From capture until now in tenths of a millisecond; 0 when it is not known.
    pub latency: u16,
    pub bitstream: &'a [u8],
}

/// Numbers frames and packets, and writes them.
#[derive(Debug)]
pub struct Packetizer {
    next_packet: u32,
    next_frame: u32,
    codes: Codes,
}

impl Default for Packetizer {
    /// Clients discard a frame 0, and sequence numbers that start far from 0.
    fn default() -> Self {
        Self { next_packet: 0, next_frame: 1, codes: Codes::default() }
    }
}

impl Packetizer {
    /// Computes the codes of all blocks that this redundancy leads to, so that no frame waits for its own.
    pub fn prepare(&mut self, redundancy: Redundancy) {
        for data in 1..=MAX_SHARDS {
            let block = block(data, redundancy);
            if block.parity > 0 && block.packets() <= MAX_SHARDS {
                self.codes.get(block.data, block.parity);
            }
        }
    }

    /// Index of the frame that is written next.
    pub fn next_frame(&self) -> u32 {
        self.next_frame
    }

    /// Leaves out frame indices, from which the client sees that frames are missing.
    pub fn skip_frames(&mut self, count: u32) {
        self.next_frame = self.next_frame.wrapping_add(count);
    }

    /// Writes the packets of `frame` back to back into `out`, which is exactly as long as they are.
    ///
    /// # Panics
    /// When `layout` was planned for another length.
    pub fn write(
        &mut self,
        layout: &Layout,
        frame: &Frame<'_>,
        mut sealer: Option<&mut VideoSealer>,
        out: &mut [u8],
    ) {
        let stride = layout.datagram(sealer.is_some());
        assert_eq!(frame.bitstream.len(), layout.frame_len(), "the frame that was planned");
        assert_eq!(out.len(), layout.packets() * stride, "room for the frame's packets");
        let shape = Shape { stride, skip: stride - layout.packet(), len: layout.packet() };
        let header = frame_header(layout, frame);
        let mut content = Content { header: &header, bitstream: frame.bitstream };
        let mut rest = out;
        // Block after block, so that each stays in the cache from its copy to its seal.
        for number in 0..layout.blocks().len() {
            let (block, following) =
                std::mem::take(&mut rest).split_at_mut(layout.blocks()[number].packets() * stride);
            self.write_block(layout, number, frame.timestamp, shape, &mut content, block);
            rest = following;
            if let Some(sealer) = sealer.as_deref_mut() {
                block.chunks_exact_mut(stride).for_each(|datagram| sealer.seal(self.next_frame, datagram));
            }
        }
        self.next_frame = self.next_frame.wrapping_add(1);
    }

    /// Writes the packets of a block, not sealed.
    fn write_block(
        &mut self,
        layout: &Layout,
        number: usize,
        timestamp: u32,
        shape: Shape,
        content: &mut Content<'_>,
        out: &mut [u8],
    ) {
        let block = layout.blocks()[number];
        let mut header = Header {
            packet: self.next_packet,
            timestamp,
            frame_index: self.next_frame,
            flags: 0,
            block: number as u8,
            last_block: (layout.blocks().len() - 1) as u8,
            data: block.data as u16,
            index: 0,
            percentage: block.percentage,
        };
        let (data, parity) = out.split_at_mut(block.data * shape.stride);
        for (index, datagram) in data.chunks_exact_mut(shape.stride).enumerate() {
            let packet = &mut datagram[shape.skip..];
            header.index = index as u16;
            header.flags = data_flags(index, block.data);
            header.write(packet);
            content.fill(&mut packet[HEADER..]);
            header.packet = header.packet.wrapping_add(1);
        }
        if parity.is_empty() {
            self.next_packet = header.packet;
            return;
        }
        self.codes.get(block.data, block.parity).encode(out, shape);
        for (j, datagram) in out[block.data * shape.stride..].chunks_exact_mut(shape.stride).enumerate() {
            header.index = (block.data + j) as u16;
            header.write_over_parity(&mut datagram[shape.skip..]);
            header.packet = header.packet.wrapping_add(1);
        }
        self.next_packet = header.packet;
    }
}

/// The bytes before a frame's bitstream.
fn frame_header(layout: &Layout, frame: &Frame<'_>) -> [u8; FRAME_HEADER] {
    let mut header = [0; FRAME_HEADER];
    header[0] = 1;
    header[1..3].copy_from_slice(&frame.latency.to_le_bytes());
    header[3] = frame.kind as u8;
    header[4..6].copy_from_slice(&(layout.last_payload() as u16).to_le_bytes());
    header
}

/// What of a frame has not gone into a payload yet.
struct Content<'a> {
    header: &'a [u8],
    bitstream: &'a [u8],
}

impl Content<'_> {
    /// Fills a payload, with zeros where nothing is left.
    fn fill(&mut self, payload: &mut [u8]) {
        let payload = fill_from(&mut self.header, payload);
        let payload = fill_from(&mut self.bitstream, payload);
        payload.fill(0);
    }
}

/// Moves as much as fits from the front of `source` to the front of `target`, and gives the rest of that.
fn fill_from<'a>(source: &mut &[u8], target: &'a mut [u8]) -> &'a mut [u8] {
    let (now, later) = source.split_at(source.len().min(target.len()));
    *source = later;
    let (filled, rest) = target.split_at_mut(now.len());
    filled.copy_from_slice(now);
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every size of frame, with and without a minimum.
    #[test]
    fn no_frame_needs_a_code_that_was_not_prepared() {
        const PACKET_SIZE: usize = 64;
        for redundancy in [(20, 2), (1, 8), (255, 0)].map(|(percentage, min)| Redundancy { percentage, min })
        {
            let mut packetizer = Packetizer::default();
            packetizer.prepare(redundancy);
            let prepared = packetizer.codes.len();
            assert!(prepared >= 71, "{redundancy:?}");
            for packets in 1..1100 {
                let bitstream = vec![7; packets * (PACKET_SIZE - 16) - FRAME_HEADER];
                let layout = Layout::plan(bitstream.len(), PACKET_SIZE, redundancy).unwrap();
                let mut out = vec![0; layout.packets() * layout.packet()];
                let frame = Frame { kind: FrameKind::Delta, timestamp: 0, latency: 0, bitstream: &bitstream };
                packetizer.write(&layout, &frame, None, &mut out);
            }
            assert_eq!(packetizer.codes.len(), prepared, "{redundancy:?}");
        }
    }
}
