//! A client as Moonlight is: it rebuilds blocks, tells of those that needed parity, eight in a tenth of a second at
//! most, gives up on a block when a later one comes, and asks for a key frame when a frame is lost.

use crate::protocol::control::FecStatus;
use gstgamestream::wire::video::Block;

/// Reports that wait for the next ping.
const QUEUE: usize = 8;

/// One packet as it arrives.
pub struct Packet {
    pub frame: u32,
    pub key: bool,
    pub sequence: u16,
    pub block: usize,
    pub last_block: usize,
    pub index: usize,
    pub layout: Block,
}

/// The block that is being put together.
#[derive(Default)]
struct Pending {
    frame: u32,
    block: usize,
    layout: Block,
    blocks: usize,
    highest: u16,
    contiguous: u16,
    data: usize,
    parity: usize,
    missing: usize,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Complete, at the time of its last packet.
    Complete { frame: u32, key: bool },
}

#[derive(Default)]
pub struct Client {
    pending: Option<Pending>,
    /// The frame and block that comes next.
    next: (u32, usize),
    reports: Vec<FecStatus>,
}

impl Client {
    pub fn handle_packet(&mut self, packet: &Packet) -> Option<Event> {
        let at = (packet.frame, packet.block);
        if at < self.next {
            return None;
        }
        if self.pending.as_ref().is_some_and(|pending| (pending.frame, pending.block) != at) {
            let pending = self.pending.take().expect("checked");
            let same_frame = pending.frame == packet.frame;
            self.report(&pending);
            if same_frame {
                self.next = (packet.frame + 1, 0);
                return None;
            }
        }
        if self.pending.is_none() {
            let expected = if self.next.0 == packet.frame { self.next.1 } else { 0 };
            if packet.block != expected {
                self.next = (packet.frame + 1, 0);
                return None;
            }
            self.next = at;
            self.pending = Some(Pending::new(packet));
        }
        let pending = self.pending.as_mut().expect("there is one now");
        pending.add(packet);
        if pending.data + pending.parity < pending.layout.data {
            return None;
        }
        let pending = self.pending.take().expect("it is complete");
        if pending.data < pending.layout.data {
            self.report(&pending);
        }
        if packet.block < packet.last_block {
            self.next = (packet.frame, packet.block + 1);
            return None;
        }
        self.next = (packet.frame + 1, 0);
        Some(Event::Complete { frame: packet.frame, key: packet.key })
    }

    /// What goes out with a ping.
    pub fn take_reports(&mut self) -> Vec<FecStatus> {
        std::mem::take(&mut self.reports)
    }

    fn report(&mut self, pending: &Pending) {
        if self.reports.len() < QUEUE {
            self.reports.push(pending.status());
        }
    }
}

impl Pending {
    fn new(packet: &Packet) -> Self {
        let begin = packet.sequence.wrapping_sub(packet.index as u16);
        Self {
            frame: packet.frame,
            block: packet.block,
            layout: packet.layout,
            blocks: packet.last_block + 1,
            highest: begin.wrapping_sub(1),
            contiguous: begin,
            ..Self::default()
        }
    }

    fn add(&mut self, packet: &Packet) {
        self.missing += usize::from(packet.sequence.wrapping_sub(self.highest).wrapping_sub(1));
        self.highest = packet.sequence;
        if packet.sequence == self.contiguous {
            self.contiguous = packet.sequence.wrapping_add(1);
        }
        if packet.index < packet.layout.data {
            self.data += 1;
        } else {
            self.parity += 1;
        }
    }

    fn status(&self) -> FecStatus {
        FecStatus {
            frame: self.frame,
            highest_sequence: self.highest,
            next_contiguous_sequence: self.contiguous,
            missing_before_highest: self.missing as u16,
            data_packets: self.layout.data as u16,
            parity_packets: self.layout.parity as u16,
            received_data: self.data as u16,
            received_parity: self.parity as u16,
            fec_percentage: self.layout.percentage,
            block: self.block as u8,
            blocks: self.blocks as u8,
        }
    }
}
