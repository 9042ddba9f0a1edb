//! Packets to frames: order, recovery, loss.

use super::assembly::{Added, Assembly};
use super::{FrameKind, Header};
use crate::wire::fec::Codes;
use crate::wire::sequence::{Arrival, Arrivals};
use std::collections::VecDeque;

/// Frames that are assembled at a time.
const MAX_FRAMES: usize = 8;

/// Later frames that may be complete while an older one still is not.
const MAX_COMPLETE_BEHIND: usize = 2;

/// A stream that begins with one of these is taken to begin with frame 1, whose packets may come behind.
const FIRST_FRAMES: u32 = 4;

/// Frames before and after the expected one that belong to the stream.
const PLAUSIBLE: u32 = 256;

/// So many packets in a row from elsewhere are a stream that began anew.
const STRAYS: u32 = 64;

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets of the stream, each once.
    pub packets: u64,
    /// Packets that should have come and have not.
    pub lost: u64,
    /// Data packets that came when their frame had been delivered, rebuilt or given up.
    pub late: u64,
    /// Packets that came after a newer one.
    pub reordered: u64,
    /// Packets that came again.
    pub repeated: u64,
    /// Datagrams that are no packets of this stream.
    pub invalid: u64,
    /// Data packets rebuilt from parity.
    pub recovered: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Frame indices given up.
    pub frames_lost: u64,
}

/// What the receiver has to say.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "few are kept, and a box would be an allocation per frame")]
pub enum Output {
    Frame(Received),
    /// These frames will not come.
    Lost {
        first: u32,
        last: u32,
    },
}

/// A complete frame. Hand it back with [`Receiver::recycle`].
#[derive(Debug)]
pub struct Received {
    assembly: Assembly,
    len: usize,
    /// Frames before it are missing.
    pub after_loss: bool,
}

impl Received {
    /// Bytes of bitstream.
    pub fn bitstream_len(&self) -> usize {
        self.len
    }

    /// Copies the bitstream into `out`, which is as long as it is.
    pub fn copy_to(&self, out: &mut [u8]) {
        assert_eq!(out.len(), self.len);
        self.assembly.copy_to(out);
    }

    pub fn kind(&self) -> FrameKind {
        self.assembly.kind()
    }

    pub fn index(&self) -> u32 {
        self.assembly.index()
    }

    /// 90 kHz.
    pub fn timestamp(&self) -> u32 {
        self.assembly.timestamp()
    }

    /// When the first of its packets arrived, as the caller said.
    pub fn arrival(&self) -> Option<u64> {
        self.assembly.arrival()
    }
}

/// Puts packets in order, rebuilds lost ones, and delivers whole frames in order.
///
/// An incomplete frame is given up when `window` packets of later frames have arrived, or two later frames are complete.
#[derive(Debug)]
pub struct Receiver {
    window: usize,
    /// The frame that is delivered or given up next.
    next: Option<u32>,
    /// In the order of their indices, none below `next`.
    frames: VecDeque<Assembly>,
    spare: Vec<Assembly>,
    outputs: VecDeque<Output>,
    arrivals: Arrivals,
    codes: Codes,
    after_loss: bool,
    strays: u32,
    stats: Stats,
    /// Lost before the sequence began anew.
    lost_before: u64,
}

impl Receiver {
    /// `window` is how many packets of later frames an incomplete frame is waited for.
    pub fn new(window: usize) -> Self {
        Self {
            window,
            next: None,
            frames: VecDeque::new(),
            spare: Vec::new(),
            outputs: VecDeque::new(),
            arrivals: Arrivals::default(),
            codes: Codes::default(),
            after_loss: false,
            strays: 0,
            stats: Stats::default(),
            lost_before: 0,
        }
    }

    /// Takes what may be a packet, opened; `arrival` is the caller's time of it.
    pub fn handle_packet(&mut self, packet: &[u8], arrival: Option<u64>) {
        let Ok(header) = Header::parse(packet) else {
            self.stats.invalid += 1;
            return;
        };
        let Some(next) = self.expected(header.frame_index) else { return };
        match self.arrivals.handle(header.packet as u16) {
            Arrival::InOrder => {}
            Arrival::Reordered => self.stats.reordered += 1,
            Arrival::Repeated => {
                self.stats.repeated += 1;
                return;
            }
        }
        self.stats.packets += 1;
        let is_data = header.index < header.data;
        if header.frame_index < next {
            self.stats.late += u64::from(is_data);
            return;
        }
        let place = self.place(&header, arrival);
        match self.frames[place].add(&header, packet, &mut self.codes) {
            Added::Stored => {}
            Added::Completed { recovered } => self.stats.recovered += recovered as u64,
            Added::Surplus => self.stats.late += u64::from(is_data),
            Added::Contradiction => self.stats.invalid += 1,
        }
        self.advance();
    }

    /// Counts a datagram that could not be opened.
    pub fn handle_unopened(&mut self) {
        self.stats.invalid += 1;
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes the memory of a frame back.
    pub fn recycle(&mut self, frame: Received) {
        self.spare.push(frame.assembly);
    }

    /// Gives up what is incomplete: nothing more will come.
    pub fn handle_end(&mut self) {
        while let Some(last) = self.frames.back().map(Assembly::index) {
            let next = self.next.unwrap_or(last);
            self.take(next);
            self.advance();
        }
    }

    /// Forgets the stream but not the counts: the next packet may be of any other.
    pub fn restart(&mut self) {
        self.forget();
        self.outputs.clear();
    }

    /// Forgets the stream but neither the counts nor what was not polled yet.
    fn forget(&mut self) {
        self.lost_before += self.arrivals.lost();
        self.arrivals = Arrivals::default();
        self.next = None;
        self.strays = 0;
        self.after_loss = true;
        self.spare.extend(self.frames.drain(..));
    }

    pub fn stats(&self) -> Stats {
        Stats { lost: self.lost_before + self.arrivals.lost(), ..self.stats }
    }

    /// The index that is next, if a frame of `index` can belong to the stream.
    fn expected(&mut self, index: u32) -> Option<u32> {
        if let Some(next) = self.next
            && index.abs_diff(next) >= PLAUSIBLE
        {
            self.stats.invalid += 1;
            self.strays += 1;
            if self.strays < STRAYS {
                return None;
            }
            self.forget();
            // Of a stream whose indices fell, what was awaited will not come: it needs a key frame as well.
            self.lose(next, index.saturating_sub(1).max(next));
            self.next = Some(index);
        }
        self.strays = 0;
        let first = if index <= FIRST_FRAMES { 1 } else { index };
        Some(*self.next.get_or_insert(first))
    }

    /// Where the frame of this packet is assembled.
    fn place(&mut self, header: &Header, arrival: Option<u64>) -> usize {
        let place = self.frames.partition_point(|frame| frame.index() < header.frame_index);
        if self.frames.get(place).is_none_or(|frame| frame.index() != header.frame_index) {
            let mut frame = self.spare.pop().unwrap_or_default();
            frame.restart(header, arrival);
            self.frames.insert(place, frame);
        }
        place
    }

    /// Delivers and gives up what can be.
    fn advance(&mut self) {
        while let Some(next) = self.next {
            let front = self.frames.front();
            let complete = front.is_some_and(|frame| frame.index() == next && frame.is_complete());
            if !complete && !self.gives_up(next) {
                return;
            }
            self.take(next);
        }
    }

    /// Whether an incomplete frame `next` has been waited for long enough.
    fn gives_up(&self, next: u32) -> bool {
        let later = || self.frames.iter().filter(|frame| frame.index() > next);
        later().map(Assembly::received).sum::<usize>() >= self.window
            || later().filter(|frame| frame.is_complete()).count() >= MAX_COMPLETE_BEHIND
            || self.frames.len() > MAX_FRAMES
    }

    /// Delivers frame `next` if it is whole, and gives it up otherwise.
    fn take(&mut self, next: u32) {
        self.next = Some(next.wrapping_add(1));
        let frame = match self.frames.front() {
            Some(front) if front.index() == next => self.frames.pop_front(),
            _ => None,
        };
        let Some(assembly) = frame else { return self.lose(next, next) };
        let Some(len) = assembly.frame_len() else {
            self.spare.push(assembly);
            return self.lose(next, next);
        };
        self.stats.frames += 1;
        let after_loss = std::mem::take(&mut self.after_loss);
        self.outputs.push_back(Output::Frame(Received { assembly, len, after_loss }));
    }

    fn lose(&mut self, first: u32, last: u32) {
        self.stats.frames_lost += u64::from(last - first) + 1;
        self.after_loss = true;
        match self.outputs.back_mut() {
            Some(Output::Lost { last: before, .. }) if before.wrapping_add(1) == first => *before = last,
            _ => self.outputs.push_back(Output::Lost { first, last }),
        }
    }
}

#[cfg(test)]
mod tests;
