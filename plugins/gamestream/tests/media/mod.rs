//! What the tests of payloaders and depayloaders share.
#![allow(dead_code, reason = "each test binary takes what it needs")]

pub mod video;

use gst::prelude::*;
use gstgamestream::packets::PacketsMeta;
use std::sync::Once;

pub const KEY: &str = "000102030405060708090a0b0c0d0e0f";

pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstgamestream::plugin_register_static().unwrap();
    });
}

/// The datagrams of a payloader's buffer.
pub fn datagrams(buffer: &gst::BufferRef) -> Vec<Vec<u8>> {
    let meta = buffer.meta::<PacketsMeta>().expect("a payloader's buffer says how to cut it");
    let bytes = buffer.map_readable().unwrap();
    assert_eq!(bytes.len(), meta.size() * meta.count());
    bytes.chunks_exact(meta.size()).map(<[u8]>::to_vec).collect()
}

/// A field of an element's `stats`.
pub fn stat(element: &gst::Element, name: &str) -> u64 {
    element.property::<gst::Structure>("stats").get(name).unwrap()
}

/// Random numbers that are the same in every run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2) + 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
