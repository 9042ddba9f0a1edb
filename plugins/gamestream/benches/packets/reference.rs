//! The layout of the reference: a `Vec` for each packet, and parity one pair of shards after another over the
//! arithmetic of `reed-solomon-erasure`. Code and cipher are ours, so that layout and arithmetic alone are compared.

use super::SHARD;
use gstgamestream::wire::fec::Codes;
use gstgamestream::wire::seal::{VIDEO_PREFIX, VideoSealer};
use gstgamestream::wire::video::{HEADER, Layout};

/// What `reed-solomon-erasure` does with a shard: overwrite another with its product, or add it.
#[derive(Clone, Copy)]
pub struct Arithmetic {
    overwrite: fn(u8, &[u8], &mut [u8]),
    add: fn(u8, &[u8], &mut [u8]),
}

pub const SCALAR: Arithmetic = Arithmetic {
    overwrite: reed_solomon_erasure::galois_8::mul_slice,
    add: reed_solomon_erasure::galois_8::mul_slice_xor,
};

pub const SIMD: Arithmetic = Arithmetic {
    overwrite: reed_solomon_erasure_simd::galois_8::mul_slice,
    add: reed_solomon_erasure_simd::galois_8::mul_slice_xor,
};

impl Arithmetic {
    /// In the order of that crate: every data shard is read once, every parity shard as often as there is data.
    pub fn encode(self, rows: &[u8], data: &[Vec<u8>], parity: &mut [Vec<u8>]) {
        for (i, input) in data.iter().enumerate() {
            for (row, output) in rows.chunks_exact(data.len()).zip(&mut *parity) {
                match i {
                    0 => (self.overwrite)(row[i], input, output),
                    _ => (self.add)(row[i], input, output),
                }
            }
        }
    }
}

pub struct Reference {
    arithmetic: Arithmetic,
    sealer: Option<VideoSealer>,
    codes: Codes,
}

impl Reference {
    pub fn new(arithmetic: Arithmetic, sealer: Option<VideoSealer>) -> Self {
        Self { arithmetic, sealer, codes: Codes::default() }
    }

    /// The datagrams of a frame. Headers hold anything: they cost the same for all.
    pub fn packets(&mut self, layout: &Layout, bitstream: &[u8]) -> Vec<Vec<u8>> {
        let mut payloads = bitstream.chunks(SHARD - HEADER);
        let mut datagrams = Vec::new();
        for block in layout.blocks() {
            let mut shards: Vec<Vec<u8>> = payloads.by_ref().take(block.data).map(packet).collect();
            if block.parity > 0 {
                let mut parity = vec![vec![0; SHARD]; block.parity];
                let rows = self.codes.get(block.data, block.parity).rows();
                self.arithmetic.encode(rows, &shards, &mut parity);
                shards.append(&mut parity);
            }
            datagrams.extend(shards.into_iter().map(|shard| self.sealed(shard)));
        }
        datagrams
    }

    fn sealed(&mut self, packet: Vec<u8>) -> Vec<u8> {
        let Some(sealer) = &mut self.sealer else { return packet };
        let mut datagram = Vec::with_capacity(VIDEO_PREFIX + packet.len());
        datagram.resize(VIDEO_PREFIX, 0);
        datagram.extend_from_slice(&packet);
        sealer.seal(1, &mut datagram);
        datagram
    }
}

fn packet(payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(SHARD);
    packet.resize(HEADER, 1);
    packet.extend_from_slice(payload);
    packet.resize(SHARD, 0);
    packet
}
