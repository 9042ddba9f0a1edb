//! Frames to packets.

use super::{FRAME_HEADER, HEADER, Header, Layout, data_flags};
use crate::wire::fec::{Codes, Shape};
use crate::wire::seal::VideoSealer;

/// What a decoder may do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// It refers to the frame before it.
    Delta = 1,
    /// It refers to nothing.
    Key = 2,
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
        write_payload(layout, frame, shape, out);
        let mut rest = out;
        for number in 0..layout.blocks().len() {
            let (block, following) =
                std::mem::take(&mut rest).split_at_mut(layout.blocks()[number].packets() * stride);
            self.write_block(layout, number, frame.timestamp, shape, block);
            rest = following;
            if let Some(sealer) = sealer.as_deref_mut() {
                block.chunks_exact_mut(stride).for_each(|datagram| sealer.seal(self.next_frame, datagram));
            }
        }
        self.next_frame = self.next_frame.wrapping_add(1);
    }

    /// Headers and parity of a block whose payload is in place.
    fn write_block(&mut self, layout: &Layout, number: usize, timestamp: u32, shape: Shape, out: &mut [u8]) {
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
            header.index = index as u16;
            header.flags = data_flags(index, block.data);
            header.write(&mut datagram[shape.skip..]);
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

/// Frame header, bitstream and zeros into the payloads of all data packets.
fn write_payload(layout: &Layout, frame: &Frame<'_>, shape: Shape, out: &mut [u8]) {
    let mut header = [0; FRAME_HEADER];
    header[0] = 1;
    header[1..3].copy_from_slice(&frame.latency.to_le_bytes());
    header[3] = frame.kind as u8;
    header[4..6].copy_from_slice(&(layout.last_payload() as u16).to_le_bytes());
    let mut rest = frame.bitstream;
    let mut at = 0;
    for block in layout.blocks() {
        for index in 0..block.data {
            let payload = &mut out[(at + index) * shape.stride..][shape.skip + HEADER..][..layout.payload()];
            let payload = if at + index == 0 {
                payload[..FRAME_HEADER].copy_from_slice(&header);
                &mut payload[FRAME_HEADER..]
            } else {
                payload
            };
            let (now, later) = rest.split_at(rest.len().min(payload.len()));
            payload[..now.len()].copy_from_slice(now);
            payload[now.len()..].fill(0);
            rest = later;
        }
        at += block.packets();
    }
}
