//! What the sink counts.

use super::alarm::Cost;
use super::sender::{Call, Sender};
use std::io::IoSlice;

#[derive(Clone, Copy, Default)]
pub struct Stats {
    pub frames: u64,
    pub packets: u64,
    pub bytes: u64,
    pub dropped: u64,
    pub lost: u64,
    pub send_calls: u64,
    pub waits: u64,
    pub cost: Cost,
    pub errors: u64,
    pub call: Call,
}

impl Stats {
    /// Counts datagrams that were sent.
    pub fn count(&mut self, datagrams: &[IoSlice<'_>]) {
        self.packets += datagrams.len() as u64;
        self.bytes += datagrams.iter().map(|datagram| datagram.len() as u64).sum::<u64>();
    }

    /// Adds what one frame did.
    pub fn add(&mut self, frame: &Stats, sender: &Sender) {
        self.frames += 1;
        self.packets += frame.packets;
        self.bytes += frame.bytes;
        self.dropped += frame.dropped;
        self.lost += frame.lost;
        self.waits += frame.waits;
        self.cost.sleeps += frame.cost.sleeps;
        self.cost.spin += frame.cost.spin;
        self.errors += frame.errors;
        self.send_calls = sender.calls();
        self.call = sender.call();
    }

    pub fn structure(&self) -> gst::Structure {
        gst::Structure::builder("application/x-pacedudpsink-stats")
            .field("frames", self.frames)
            .field("packets", self.packets)
            .field("bytes", self.bytes)
            .field("dropped", self.dropped)
            .field("lost", self.lost)
            .field("send-calls", self.send_calls)
            .field("waits", self.waits)
            .field("sleeps", self.cost.sleeps)
            .field("spin-time", u64::try_from(self.cost.spin.as_nanos()).unwrap_or(u64::MAX))
            .field("errors", self.errors)
            .field("call", self.call.name())
            .build()
    }
}
