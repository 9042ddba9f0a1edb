//! Packets to payloads: order, recovery, loss.

use super::{MAX_PAYLOAD, Packet};
use crate::wire::fec::{AUDIO_SHARDS, Code, Shape};
use crate::wire::sequence::{Arrival, Arrivals, extend};
use std::collections::VecDeque;

const DATA: usize = AUDIO_SHARDS.0;
const SHARDS: usize = AUDIO_SHARDS.0 + AUDIO_SHARDS.1;

/// Packets before and after the expected one that belong to the stream: five seconds of the shortest.
const PLAUSIBLE: u64 = 1000;

/// So many packets in a row from elsewhere are a stream that began anew.
const STRAYS: u32 = 16;

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets of the stream, each once, parity included.
    pub packets: u64,
    /// Data packets that should have come and have not.
    pub lost: u64,
    /// Data packets that came when they had been rebuilt or given up.
    pub late: u64,
    /// Data packets that came after a newer one.
    pub reordered: u64,
    /// Data packets that came again.
    pub repeated: u64,
    /// Datagrams that are no packets of this stream.
    pub invalid: u64,
    /// Data packets rebuilt from parity.
    pub recovered: u64,
    /// Payloads delivered.
    pub delivered: u64,
    /// Payloads given up.
    pub given_up: u64,
}

/// What the receiver has to say, in the order of sequence numbers.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<'a> {
    Payload {
        sequence: u16,
        /// Milliseconds since the sender's start.
        timestamp: u32,
        /// As it was sent; others may yet be rebuilt from it.
        payload: &'a [u8],
    },
    /// A payload that will not come.
    Lost { timestamp: u32 },
}

/// Four data packets and their parity, each at its place.
#[derive(Debug)]
struct Block {
    /// Number of the first data packet, a multiple of four.
    base: u64,
    base_timestamp: u32,
    /// Of all packets; 0 before the first one.
    len: usize,
    /// Two packets differ in length, so parity is of no use.
    unequal: bool,
    lengths: [usize; SHARDS],
    present: [bool; SHARDS],
    bytes: Box<[u8; SHARDS * MAX_PAYLOAD]>,
}

impl Block {
    fn new() -> Self {
        Self {
            base: 0,
            base_timestamp: 0,
            len: 0,
            unequal: false,
            lengths: [0; SHARDS],
            present: [false; SHARDS],
            bytes: Box::new([0; SHARDS * MAX_PAYLOAD]),
        }
    }

    fn restart(&mut self, base: u64) {
        self.base = base;
        (self.len, self.unequal) = (0, false);
        self.lengths = [0; SHARDS];
        self.present = [false; SHARDS];
    }

    /// Stores a packet; `false` if it is there already.
    fn add(&mut self, index: usize, payload: &[u8]) -> bool {
        if self.present[index] {
            return false;
        }
        self.present[index] = true;
        self.lengths[index] = payload.len();
        self.unequal |= self.len != 0 && self.len != payload.len();
        self.len = payload.len();
        self.bytes[index * MAX_PAYLOAD..][..payload.len()].copy_from_slice(payload);
        true
    }

    fn is_complete(&self) -> bool {
        self.present[..DATA].iter().all(|&present| present)
    }

    /// Rebuilds what is missing as soon as that is possible, and says how many packets that was.
    fn recover(&mut self, code: &Code) -> usize {
        let received = self.present.iter().filter(|&&present| present).count();
        if self.unequal || received < DATA || self.is_complete() {
            return 0;
        }
        let shape = Shape { stride: MAX_PAYLOAD, skip: 0, len: self.len };
        let rebuilt =
            code.recover(&mut self.bytes[..], shape, &self.present).expect("four packets are enough");
        self.present[..DATA].fill(true);
        self.lengths[..DATA].fill(self.len);
        rebuilt
    }
}

/// Puts packets in order, rebuilds lost ones, and delivers payloads in order.
///
/// A missing payload is given up when a later block is complete, or when the block after the next one has begun.
#[derive(Debug)]
pub struct Receiver {
    /// The packet that is delivered or given up next.
    next: Option<u64>,
    /// In order, none before the one that holds `next`.
    blocks: VecDeque<Block>,
    spare: Vec<Block>,
    /// Milliseconds from one packet to the next.
    duration: u32,
    /// Number and timestamp of the data packet that came last.
    newest: Option<(u64, u32)>,
    arrivals: Arrivals,
    code: Code,
    strays: u32,
    /// Nothing more will come.
    ended: bool,
    stats: Stats,
    /// Lost before the sequence began anew.
    lost_before: u64,
}

impl Default for Receiver {
    fn default() -> Self {
        Self {
            next: None,
            blocks: VecDeque::new(),
            spare: Vec::new(),
            duration: 5,
            newest: None,
            arrivals: Arrivals::default(),
            code: Code::audio(),
            strays: 0,
            ended: false,
            stats: Stats::default(),
            lost_before: 0,
        }
    }
}

impl Receiver {
    /// Takes what may be a packet.
    pub fn handle_datagram(&mut self, datagram: &[u8]) {
        match Packet::parse(datagram) {
            Ok(Packet::Data { sequence, timestamp, payload }) => {
                self.handle_data(sequence, timestamp, payload)
            }
            Ok(Packet::Parity { index, base_sequence, base_timestamp, parity }) => {
                self.handle_parity(index.into(), base_sequence, base_timestamp, parity);
            }
            Err(_) => self.stats.invalid += 1,
        }
    }

    /// Counts a payload that was delivered and could not be opened.
    pub fn handle_unopened(&mut self) {
        self.stats.invalid += 1;
    }

    fn handle_data(&mut self, sequence: u16, timestamp: u32, payload: &[u8]) {
        let Some(number) = self.number(sequence) else { return };
        match self.arrivals.handle(sequence) {
            Arrival::InOrder => {}
            Arrival::Reordered => self.stats.reordered += 1,
            Arrival::Repeated => {
                self.stats.repeated += 1;
                return;
            }
        }
        self.stats.packets += 1;
        self.learn_duration(number, timestamp);
        let index = (number % DATA as u64) as usize;
        let base_timestamp = timestamp.wrapping_sub(index as u32 * self.duration);
        let stored = self.block(number, base_timestamp).is_some_and(|block| block.add(index, payload));
        let awaited = self.next.is_some_and(|next| number >= next);
        self.stats.late += u64::from(!stored || !awaited);
        self.recover(number);
    }

    /// Parity before any data says nothing about where the stream is.
    fn handle_parity(&mut self, index: usize, base: u16, base_timestamp: u32, parity: &[u8]) {
        if self.next.is_none() {
            return;
        }
        let Some(number) = self.number(base) else { return };
        let Some(block) = self.block(number, base_timestamp) else {
            self.stats.packets += 1;
            return;
        };
        if block.add(DATA + index, parity) {
            self.stats.packets += 1;
        }
        self.recover(number);
    }

    /// What is next to be delivered.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        let next = self.next?;
        while self.blocks.front().is_some_and(|block| block.base + DATA as u64 <= next) {
            self.spare.extend(self.blocks.pop_front());
        }
        let index = (next % DATA as u64) as usize;
        let front = self.blocks.front()?;
        let here = front.base == next - index as u64;
        if here && front.present[index] {
            return Some(self.deliver(index));
        }
        if !self.gives_up(next) {
            return None;
        }
        self.next = Some(next + 1);
        self.stats.given_up += 1;
        let front = self.blocks.front()?;
        let behind = front.base.wrapping_sub(next) as u32;
        Some(Output::Lost {
            timestamp: front.base_timestamp.wrapping_sub(behind.wrapping_mul(self.duration)),
        })
    }

    /// Delivers packet `index` of the first block.
    fn deliver(&mut self, index: usize) -> Output<'_> {
        self.next = self.next.map(|next| next + 1);
        self.stats.delivered += 1;
        let block = &self.blocks[0];
        Output::Payload {
            sequence: (block.base + index as u64) as u16,
            timestamp: block.base_timestamp.wrapping_add(index as u32 * self.duration),
            payload: &block.bytes[index * MAX_PAYLOAD..][..block.lengths[index]],
        }
    }

    /// Whether packet `next` has been waited for long enough.
    fn gives_up(&self, next: u64) -> bool {
        let base = next - next % DATA as u64;
        let later = |block: &&Block| block.base > base;
        let end = |block: &Block| {
            self.ended && (0..DATA).any(|index| block.present[index] && block.base + index as u64 > next)
        };
        self.blocks.iter().any(end)
            || self
                .blocks
                .iter()
                .filter(later)
                .any(|block| block.is_complete() || block.base > base + DATA as u64)
    }

    /// Waits for nothing any more: what is there is delivered.
    pub fn handle_end(&mut self) {
        self.ended = true;
    }

    /// Forgets the stream but not the counts: the next packet may be of any other.
    pub fn restart(&mut self) {
        self.lost_before += self.arrivals.lost();
        self.arrivals = Arrivals::default();
        self.next = None;
        self.newest = None;
        self.strays = 0;
        self.ended = false;
        self.spare.extend(self.blocks.drain(..));
    }

    /// Milliseconds from one packet to the next.
    pub fn packet_duration(&self) -> u32 {
        self.duration
    }

    /// Milliseconds from one block to the next.
    pub fn block_duration(&self) -> u32 {
        self.duration * DATA as u32
    }

    pub fn stats(&self) -> Stats {
        Stats { lost: self.lost_before + self.arrivals.lost(), ..self.stats }
    }

    /// The full number of a packet that can belong to the stream; the first one starts it at its block's beginning.
    fn number(&mut self, sequence: u16) -> Option<u64> {
        let first = 0x1_0000 + u64::from(sequence);
        let next = *self.next.get_or_insert(first - first % DATA as u64);
        let number = extend(next, sequence);
        if number.abs_diff(next) < PLAUSIBLE {
            self.strays = 0;
            return Some(number);
        }
        self.stats.invalid += 1;
        self.strays += 1;
        if self.strays < STRAYS {
            return None;
        }
        self.restart();
        self.next = Some(first - first % DATA as u64);
        Some(first)
    }

    /// From two packets not far apart.
    fn learn_duration(&mut self, number: u64, timestamp: u32) {
        let Some((before, since)) = self.newest.replace((number, timestamp)) else { return };
        let (packets, time) = (number.wrapping_sub(before), timestamp.wrapping_sub(since));
        if (1..=2 * DATA as u64).contains(&packets) && time % packets as u32 == 0 {
            let duration = time / packets as u32;
            self.duration = if (1..=120).contains(&duration) { duration } else { self.duration };
        }
    }

    /// The block of packet `number`, unless it has been delivered; the newest word on its timestamp counts.
    fn block(&mut self, number: u64, base_timestamp: u32) -> Option<&mut Block> {
        let base = number - number % DATA as u64;
        if base + (DATA as u64) <= self.next? {
            return None;
        }
        let place = self.blocks.partition_point(|block| block.base < base);
        if self.blocks.get(place).is_none_or(|block| block.base != base) {
            let mut block = self.spare.pop().unwrap_or_else(Block::new);
            block.restart(base);
            self.blocks.insert(place, block);
        }
        let block = &mut self.blocks[place];
        block.base_timestamp = base_timestamp;
        Some(block)
    }

    fn recover(&mut self, number: u64) {
        let base = number - number % DATA as u64;
        if let Some(block) = self.blocks.iter_mut().find(|block| block.base == base) {
            self.stats.recovered += block.recover(&self.code) as u64;
        }
    }
}

#[cfg(test)]
mod tests;
