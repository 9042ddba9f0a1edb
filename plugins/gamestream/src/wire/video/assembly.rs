//! A frame on its way: packets in, bitstream out.

use super::{FRAME_HEADER, FrameKind, HEADER, Header, MAX_BLOCKS, data_flags};
use crate::wire::fec::{Codes, Shape};

/// What a packet did to its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    Stored,
    /// Stored; the block was complete with it, and so many data packets were rebuilt from parity.
    Completed {
        recovered: usize,
    },
    /// Its block is complete: it comes too late if it is data, and was not needed if it is parity.
    Surplus,
    /// It says other things about its block than an earlier packet, or has been here before.
    Contradiction,
}

/// The packets of one block, each at its place.
#[derive(Debug, Default)]
struct Block {
    data: usize,
    percentage: u8,
    /// Bytes of a packet: of the longest so far, since some hosts send the last one short.
    len: usize,
    bytes: Vec<u8>,
    present: Vec<bool>,
    received: usize,
    complete: bool,
}

/// The packets of one frame.
#[derive(Debug, Default)]
pub struct Assembly {
    index: u32,
    timestamp: u32,
    /// When the first packet arrived, in the caller's unit.
    arrival: Option<u64>,
    last_block: u8,
    blocks: [Block; MAX_BLOCKS],
    received: usize,
    corrupt: bool,
}

impl Assembly {
    /// Starts a new frame in place of the old one and keeps its memory.
    pub fn restart(&mut self, header: &Header, arrival: Option<u64>) {
        self.index = header.frame_index;
        self.timestamp = header.timestamp;
        self.arrival = arrival;
        self.last_block = header.last_block;
        self.blocks.iter_mut().for_each(Block::clear);
        self.received = 0;
        self.corrupt = false;
    }

    pub fn index(&self) -> u32 {
        self.index
    }

    /// 90 kHz.
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    pub fn arrival(&self) -> Option<u64> {
        self.arrival
    }

    /// Packets that were stored.
    pub fn received(&self) -> usize {
        self.received
    }

    /// All packets are there, whether or not they make sense.
    pub fn is_complete(&self) -> bool {
        self.blocks().iter().all(|block| block.complete)
    }

    pub fn add(&mut self, header: &Header, packet: &[u8], codes: &mut Codes) -> Added {
        if header.last_block != self.last_block {
            return Added::Contradiction;
        }
        let block = &mut self.blocks[usize::from(header.block)];
        let added = block.add(header, packet);
        if added != Added::Stored {
            return added;
        }
        self.received += 1;
        if block.received < block.data {
            return Added::Stored;
        }
        let recovered = block.finish(codes);
        self.corrupt |= !block.makes_sense();
        Added::Completed { recovered }
    }

    /// The bitstream's length; `None` when the packets do not make a frame.
    pub fn frame_len(&self) -> Option<usize> {
        if self.corrupt || !self.is_complete() {
            return None;
        }
        let header = self.blocks[0].payload(0).get(..FRAME_HEADER)?;
        if header[0] != 1 {
            return None;
        }
        let all: usize = self.blocks().iter().map(|block| block.data * (block.len - HEADER)).sum();
        let last_block = self.blocks().last()?;
        let per_packet = last_block.len - HEADER;
        let last = usize::from(u16::from_le_bytes([header[4], header[5]]));
        let padding = if (1..=per_packet).contains(&last) { per_packet - last } else { 0 };
        all.checked_sub(padding + FRAME_HEADER).filter(|&len| len > 0)
    }

    pub fn kind(&self) -> FrameKind {
        match self.blocks[0].payload(0).get(3) {
            Some(2) => FrameKind::Key,
            Some(5) => FrameKind::Recovery,
            _ => FrameKind::Delta,
        }
    }

    /// Copies the bitstream into `out`, which is [`Self::frame_len`] long.
    pub fn copy_to(&self, out: &mut [u8]) {
        let payloads = self.blocks().iter().flat_map(|block| (0..block.data).map(|n| block.payload(n)));
        let mut done = 0;
        for (n, payload) in payloads.enumerate() {
            let payload = if n == 0 { &payload[FRAME_HEADER..] } else { payload };
            // The last payload is padded.
            let len = payload.len().min(out.len() - done);
            out[done..done + len].copy_from_slice(&payload[..len]);
            done += len;
        }
    }

    fn blocks(&self) -> &[Block] {
        &self.blocks[..=usize::from(self.last_block)]
    }
}

impl Block {
    fn clear(&mut self) {
        self.data = 0;
        self.len = 0;
        self.bytes.clear();
        self.present.clear();
        self.received = 0;
        self.complete = false;
    }

    fn add(&mut self, header: &Header, packet: &[u8]) -> Added {
        let data = usize::from(header.data);
        if self.data == 0 {
            self.data = data;
            self.percentage = header.percentage;
            self.present.resize(data + header.parity(), false);
        } else if (self.data, self.percentage) != (data, header.percentage) {
            return Added::Contradiction;
        }
        let index = usize::from(header.index);
        if self.complete {
            return Added::Surplus;
        }
        if self.present[index] {
            return Added::Contradiction;
        }
        if packet.len() > self.len {
            self.lengthen(packet.len());
        }
        let place = &mut self.bytes[index * self.len..][..self.len];
        place[..packet.len()].copy_from_slice(packet);
        place[packet.len()..].fill(0);
        self.present[index] = true;
        self.received += 1;
        Added::Stored
    }

    /// Moves the packets apart; only a packet that is longer than the ones before it asks for that.
    fn lengthen(&mut self, len: usize) {
        self.bytes.resize(self.present.len() * len, 0);
        for n in (1..if self.len > 0 { self.present.len() } else { 0 }).rev() {
            self.bytes.copy_within(n * self.len..(n + 1) * self.len, n * len);
        }
        for packet in self.bytes.chunks_exact_mut(len) {
            packet[self.len..].fill(0);
        }
        self.len = len;
    }

    /// Rebuilds what is missing, and says how many packets that was.
    fn finish(&mut self, codes: &mut Codes) -> usize {
        self.complete = true;
        let parity = self.present.len() - self.data;
        if parity == 0 || self.present[..self.data].iter().all(|&present| present) {
            return 0;
        }
        codes
            .get(self.data, parity)
            .recover(&mut self.bytes, Shape::packed(self.len), &self.present)
            .expect("as many packets as data packets arrived")
    }

    /// Whether the flags of the data packets, rebuilt ones above all, are those of a block.
    fn makes_sense(&self) -> bool {
        let mut packets = self.bytes[..self.data * self.len].chunks_exact(self.len).enumerate();
        packets.all(|(n, packet)| packet[24] == data_flags(n, self.data))
    }

    fn payload(&self, n: usize) -> &[u8] {
        self.bytes.get(n * self.len + HEADER..(n + 1) * self.len).unwrap_or_default()
    }
}
