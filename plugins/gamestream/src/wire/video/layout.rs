//! How many packets a frame becomes, and how they are grouped into blocks.

use super::{FRAME_HEADER, HEADER, RTP_HEADER};
use crate::wire::fec::MAX_SHARDS;
use crate::wire::seal::VIDEO_PREFIX;

/// Blocks that a packet's two bits can number.
pub const MAX_BLOCKS: usize = 4;

/// Packets of a block that a packet's ten bits can number.
const MAX_PACKETS: usize = 1023;

/// How much parity a block gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redundancy {
    /// Parity packets in per cent of data packets; 0 is none at all.
    pub percentage: u8,
    /// Parity packets that a block gets at least, as far as 255 % and 255 packets allow.
    pub min: usize,
}

/// The frame does not fit into four blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLarge;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    pub data: usize,
    pub parity: usize,
    /// What its packets say, and what a client computes `parity` from.
    pub percentage: u8,
}

impl Block {
    pub fn packets(&self) -> usize {
        self.data + self.parity
    }

    /// Has the parity that was asked for, as far as a percentage says it.
    fn honours(&self, redundancy: Redundancy) -> bool {
        redundancy.percentage == 0 || self.parity >= redundancy.min.min(parity_shards(self.data, u8::MAX))
    }
}

/// The packets of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    packet_size: usize,
    frame_len: usize,
    blocks: [Block; MAX_BLOCKS],
    count: usize,
}

/// Parity packets of a block with `data` data packets, as clients compute them.
pub fn parity_shards(data: usize, percentage: u8) -> usize {
    (data * usize::from(percentage)).div_ceil(100)
}

impl Layout {
    /// Lays out a frame of `frame_len` bytes of bitstream for packets of the agreed size.
    ///
    /// As few blocks as leave room for their parity among 255 packets each; four that cannot hold the minimum go with
    /// what the percentage makes, and a frame that needs more than four goes without parity.
    pub fn plan(frame_len: usize, packet_size: usize, redundancy: Redundancy) -> Result<Self, FrameTooLarge> {
        let packets = (FRAME_HEADER + frame_len).div_ceil(packet_size - RTP_HEADER);
        let least = packets.div_ceil(100 * MAX_SHARDS / (100 + usize::from(redundancy.percentage)));
        let split = |count, redundancy| {
            let blocks = blocks(packets, count, redundancy);
            Self { packet_size, frame_len, blocks, count }
        };
        let whole = (least..=MAX_BLOCKS).map(|count| split(count, redundancy));
        let whole = whole.into_iter().find(|layout| layout.blocks().iter().all(|b| b.honours(redundancy)));
        match whole {
            Some(layout) => Ok(layout),
            None if least <= MAX_BLOCKS => Ok(split(least, redundancy)),
            None if packets <= MAX_BLOCKS * MAX_PACKETS => {
                Ok(split(MAX_BLOCKS, Redundancy { percentage: 0, min: 0 }))
            }
            None => Err(FrameTooLarge),
        }
    }

    pub fn blocks(&self) -> &[Block] {
        &self.blocks[..self.count]
    }

    /// Packets of the frame, parity included.
    pub fn packets(&self) -> usize {
        self.blocks().iter().map(Block::packets).sum()
    }

    /// Bytes of bitstream this was planned for.
    pub fn frame_len(&self) -> usize {
        self.frame_len
    }

    /// Bytes of a packet before sealing.
    pub fn packet(&self) -> usize {
        self.packet_size + RTP_HEADER
    }

    /// Bytes of payload in a packet.
    pub fn payload(&self) -> usize {
        self.packet() - HEADER
    }

    /// Bytes of a packet on the wire.
    pub fn datagram(&self, sealed: bool) -> usize {
        self.packet() + if sealed { VIDEO_PREFIX } else { 0 }
    }

    /// Bytes of payload in the frame's last data packet.
    pub fn last_payload(&self) -> usize {
        (FRAME_HEADER + self.frame_len - 1) % self.payload() + 1
    }
}

/// `packets` data packets in `count` blocks as equal as can be.
fn blocks(packets: usize, count: usize, redundancy: Redundancy) -> [Block; MAX_BLOCKS] {
    let data = packets.div_ceil(count);
    let mut blocks = [Block::default(); MAX_BLOCKS];
    for (n, slot) in blocks[..count].iter_mut().enumerate() {
        *slot = block(data.min(packets - n * data), redundancy);
    }
    blocks
}

/// A block of `data` packets. The percentage that its packets carry is what counts: parity follows from it.
pub(super) fn block(data: usize, redundancy: Redundancy) -> Block {
    let block = sufficient(data, redundancy);
    if block.parity != data || data == 1 {
        return block;
    }
    // With as much parity as data, clients with a decoder (nanors) from before May 2026 write beyond their own memory when all
    // data packets of the block are lost. One packet more or less, and none does.
    let other = |percentage| Block { data, parity: parity_shards(data, percentage), percentage };
    let more = other(101);
    if more.packets() <= MAX_SHARDS { more } else { other(99) }
}

fn sufficient(data: usize, redundancy: Redundancy) -> Block {
    let Redundancy { percentage, min } = redundancy;
    let plain = Block { data, parity: parity_shards(data, percentage), percentage };
    if percentage == 0 || plain.parity >= min {
        return plain;
    }
    let mut percentage = (100 * min / data).min(255) as u8;
    while parity_shards(data, percentage) < min && percentage < 255 {
        percentage += 1;
    }
    let raised = Block { data, parity: parity_shards(data, percentage), percentage };
    if raised.packets() <= MAX_SHARDS { raised } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: usize = 1392;

    fn plan(packets: usize, percentage: u8, min: usize) -> Layout {
        Layout::plan(packets * (P - 16) - 8, P, Redundancy { percentage, min }).unwrap()
    }

    /// As moonlight-common-c computes it from a packet (`RtpVideoQueue.c`): with its own numbers, since what the client
    /// makes of a percentage is what must agree.
    fn parity_of_client(block: &Block) -> usize {
        (block.data * usize::from(block.percentage)).div_ceil(100)
    }

    /// Whether some loss of this block makes nanors as of 2022 write beyond its memory: it scales the last row of a matrix
    /// for the lost data packets by as many bytes as a whole row has, and has room for data times parity of them.
    fn overruns_old_decoders(block: &Block) -> bool {
        let most_lost = block.data.min(block.parity);
        (1..=most_lost).any(|lost| lost * lost + lost - 2 >= block.data * block.parity)
    }

    #[test]
    fn as_much_parity_as_data_overruns_old_decoders() {
        let block = |data, parity| Block { data, parity, percentage: 0 };
        assert!((2..=127).all(|data| overruns_old_decoders(&block(data, data))));
        let others = (1..=127).flat_map(|data| (1..=127).map(move |parity| block(data, parity)));
        assert!(others.filter(|b| b.data != b.parity || b.data == 1).all(|b| !overruns_old_decoders(&b)));
    }

    /// That clients accept the layout of this many packets, and that it holds as much parity as can be.
    fn check(packets: usize, percentage: u8, min: usize) {
        let layout = plan(packets, percentage, min);
        let blocks = layout.blocks();
        let said = format!("{packets} packets, {percentage} %, at least {min}: {blocks:?}");
        assert_eq!(blocks.iter().map(|block| block.data).sum::<usize>(), packets, "{said}");
        assert!((1..=4).contains(&blocks.len()), "{said}");
        assert!(blocks.windows(2).all(|pair| pair[0].data >= pair[1].data), "{said}");
        for block in blocks {
            assert!(block.data > 0 && block.data <= 1023, "{said}");
            assert_eq!(block.parity, parity_of_client(block), "{said}");
            assert!(block.parity == 0 || block.data + block.parity <= 255, "{said}");
            assert!(!overruns_old_decoders(block), "{said}");
        }
        // How many packets four blocks of this percentage take.
        let largest = (1..=255).rev().find(|k| k + parity_shards(*k, percentage) <= 255).unwrap();
        // One less where as much parity as data must not be, and more has no room.
        let share = |block: &Block| {
            block.parity + usize::from(block.percentage == 99) >= parity_shards(block.data, percentage)
        };
        assert_eq!(blocks.iter().all(share), percentage == 0 || packets <= 4 * largest, "{said}");
        assert!(
            blocks.iter().all(|block| block.parity > 0 || percentage == 0 || packets > 4 * largest),
            "{said}"
        );
        // The minimum costs at most twice itself, in steps of one per cent; so much is left in four blocks.
        let honoured = |block: &Block| block.parity >= min.min(parity_shards(block.data, 255));
        let spare = packets + 4 * (min + 3) <= 4 * largest;
        assert!(percentage == 0 || !spare || blocks.iter().all(honoured), "{said}");
    }

    #[test]
    fn every_layout_is_one_that_clients_accept() {
        for packets in 1..=4092 {
            for percentage in [0, 1, 10, 20, 50, 255] {
                (0..=8).for_each(|min| check(packets, percentage, min));
            }
        }
    }

    #[test]
    fn every_percentage_gives_a_layout_that_clients_accept() {
        for percentage in 0..=255 {
            for packets in (1..1100).step_by(7).chain([2000, 3000, 4091, 4092]) {
                [0, 2, 3].into_iter().for_each(|min| check(packets, percentage, min));
            }
        }
    }

    #[test]
    fn a_minimum_that_one_block_cannot_hold_takes_two() {
        let data = |packets, min| {
            plan(packets, 1, min).blocks().iter().map(|b| (b.data, b.parity)).collect::<Vec<_>>()
        };
        assert_eq!(data(252, 0), [(252, 3)]);
        assert_eq!(data(252, 8), [(126, 8), (126, 8)]);
        assert_eq!(data(1008, 8), [(252, 3); 4], "four blocks cannot hold more");
    }

    #[test]
    fn twenty_per_cent_is_computed_as_the_client_does() {
        for data in 1..=212 {
            let block = plan(data, 20, 0).blocks()[0];
            assert_eq!((block.parity, block.percentage), ((data * 20).div_ceil(100), 20));
            let block = plan(data, 20, 2).blocks()[0];
            let parity = if data == 2 { 3 } else { (data * 20).div_ceil(100).max(2) };
            assert_eq!(block.parity, parity, "as much parity as data is none");
        }
    }

    #[test]
    fn the_minimum_raises_the_percentage() {
        let block = |data, min| plan(data, 20, min).blocks()[0];
        assert_eq!(block(1, 2), Block { data: 1, parity: 2, percentage: 200 });
        assert_eq!(block(3, 2), Block { data: 3, parity: 2, percentage: 66 });
        assert_eq!(block(5, 2), Block { data: 5, parity: 2, percentage: 40 });
        assert_eq!(block(1, 3), Block { data: 1, parity: 3, percentage: 255 });
        assert_eq!(block(1, 8).parity, 3, "what 255 % make of one packet");
        assert_eq!(block(2, 8).parity, 6);
        assert_eq!(plan(7, 0, 2).blocks()[0], Block { data: 7, parity: 0, percentage: 0 });
    }

    #[test]
    fn large_frames_are_split_evenly_and_then_go_without_parity() {
        let data = |packets| plan(packets, 20, 2).blocks().iter().map(|block| block.data).collect::<Vec<_>>();
        assert_eq!(data(212), [212]);
        assert_eq!(data(213), [107, 106]);
        assert_eq!(data(848), [212; 4]);
        assert_eq!(data(849), [213, 213, 213, 210]);
        assert!(plan(849, 20, 2).blocks().iter().all(|block| block.parity == 0 && block.percentage == 0));
        let too_large = 4093 * (P - 16) - 8;
        assert_eq!(Layout::plan(too_large, P, Redundancy { percentage: 20, min: 0 }), Err(FrameTooLarge));
    }

    #[test]
    fn the_last_payload_counts_the_frame_header() {
        let last = |len| {
            let layout = Layout::plan(len, P, Redundancy { percentage: 20, min: 0 }).unwrap();
            (layout.blocks()[0].data, layout.last_payload())
        };
        assert_eq!(last(1), (1, 9));
        assert_eq!(last(1368), (1, 1376));
        assert_eq!(last(1369), (2, 1));
        assert_eq!(last(1368 + 1376), (2, 1376));
    }
}
