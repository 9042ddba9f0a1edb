//! The video plane: a frame becomes up to four blocks of data and parity packets.
//!
//! With P the agreed packet size, a packet is P + 16 bytes: 16 of RTP header, 16 of video header, P − 16 of payload.
//! Reed-Solomon covers all of it, so a packet is also a shard.

mod assembly;
mod layout;
mod packetize;
mod receive;

pub use layout::{Block, FrameTooLarge, Layout, MAX_BLOCKS, Redundancy, parity_shards};
pub use packetize::{Frame, FrameKind, Packetizer};
pub use receive::{Output, Received, Receiver, Stats};

/// Bytes of a packet beyond the agreed packet size.
pub const RTP_HEADER: usize = 16;

/// The largest packet size that anybody agrees on.
pub const MAX_PACKET_SIZE: usize = 9000;

/// Bytes of a packet before its payload.
pub const HEADER: usize = 32;

/// Bytes of a frame's first payload before its bitstream.
pub const FRAME_HEADER: usize = 8;

/// RTP version 2 with the extension bit, without which a client reads the video header from the wrong place.
const RTP_FIRST_BYTE: u8 = 0x90;

/// Marks a packet that belongs to one of several blocks.
const MULTI_FEC_FLAGS: u8 = 0x10;

/// On every data packet.
pub const PICTURE_DATA: u8 = 1;
/// On the last data packet of a block.
pub const END_OF_BLOCK: u8 = 2;
/// On the first data packet of a block.
pub const START_OF_BLOCK: u8 = 4;

/// What a packet says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Counts packets, parity included, over all frames; its low 24 bits travel in data packets.
    pub packet: u32,
    /// 90 kHz, the same for all packets of a frame.
    pub timestamp: u32,
    /// From 1.
    pub frame_index: u32,
    pub flags: u8,
    /// Number of the block in its frame, and of the frame's last one.
    pub block: u8,
    pub last_block: u8,
    /// Data packets of the block.
    pub data: u16,
    /// Number of the packet in its block, data first.
    pub index: u16,
    /// Share of parity from which the client computes the number of parity packets.
    pub percentage: u8,
}

/// Bytes that are no video packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotVideo;

impl Header {
    /// Writes all of it into the header of a data packet.
    pub fn write(&self, packet: &mut [u8]) {
        packet[1] = 0;
        packet[8..16].fill(0);
        packet[16..20].copy_from_slice(&(self.packet << 8).to_le_bytes());
        packet[24] = self.flags;
        // extraFlags: no frame is a long-term reference.
        packet[25] = 0;
        packet[26] = MULTI_FEC_FLAGS;
        self.write_over_parity(packet);
    }

    /// Writes only what a client restores by itself in a recovered packet. The other bytes are parity, and it takes the
    /// recovered packet's own values from them.
    pub fn write_over_parity(&self, packet: &mut [u8]) {
        packet[0] = RTP_FIRST_BYTE;
        packet[2..4].copy_from_slice(&(self.packet as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        packet[20..24].copy_from_slice(&self.frame_index.to_le_bytes());
        packet[27] = self.block << 4 | self.last_block << 6;
        let fec = u32::from(self.data) << 22 | u32::from(self.index) << 12 | u32::from(self.percentage) << 4;
        packet[28..32].copy_from_slice(&fec.to_le_bytes());
    }

    /// Reads a packet of any host. Of a parity packet, `packet` holds only the 16 bits of the RTP sequence number and
    /// `flags` mean nothing.
    pub fn parse(packet: &[u8]) -> Result<Self, NotVideo> {
        let plausible = HEADER + 1..=MAX_PACKET_SIZE + RTP_HEADER;
        if !plausible.contains(&packet.len()) || packet[0] != RTP_FIRST_BYTE {
            return Err(NotVideo);
        }
        let fec = le32(packet, 28);
        let header = Self {
            packet: u32::from(u16::from_be_bytes([packet[2], packet[3]])),
            timestamp: u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]),
            frame_index: le32(packet, 20),
            flags: packet[24],
            block: packet[27] >> 4 & 3,
            last_block: packet[27] >> 6,
            data: (fec >> 22) as u16,
            index: (fec >> 12 & 0x3ff) as u16,
            percentage: (fec >> 4) as u8,
        };
        let shards = usize::from(header.data) + header.parity();
        let codable = header.parity() == 0 || shards <= crate::wire::fec::MAX_SHARDS;
        let sound = header.data > 0
            && usize::from(header.index) < shards
            && header.block <= header.last_block
            && header.frame_index > 0;
        if codable && sound { Ok(header) } else { Err(NotVideo) }
    }

    /// Parity packets of the block.
    pub fn parity(&self) -> usize {
        parity_shards(self.data.into(), self.percentage)
    }
}

/// The flags of data packet `index` of a block with `data` of them.
fn data_flags(index: usize, data: usize) -> u8 {
    let start = if index == 0 { START_OF_BLOCK } else { 0 };
    let end = if index + 1 == data { END_OF_BLOCK } else { 0 };
    PICTURE_DATA | start | end
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_laid_out_as_clients_read_it() {
        let header = Header {
            packet: 0x0123_4567,
            timestamp: 0x89ab_cdef,
            frame_index: 0x1122_3344,
            flags: PICTURE_DATA | START_OF_BLOCK,
            block: 1,
            last_block: 3,
            data: 200,
            index: 5,
            percentage: 20,
        };
        let mut packet = [0xff; HEADER + 1];
        header.write(&mut packet);
        let fec = (200u32 << 22 | 5 << 12 | 20 << 4).to_le_bytes();
        assert_eq!(packet[..16], [0x90, 0, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(packet[16..28], [0, 0x67, 0x45, 0x23, 0x44, 0x33, 0x22, 0x11, 5, 0, 0x10, 0xd0]);
        assert_eq!(packet[28..32], fec);
        assert_eq!(Header::parse(&packet), Ok(Header { packet: 0x4567, ..header }));
    }

    #[test]
    fn what_is_longer_than_any_packet_is_refused() {
        let header = Header {
            packet: 0,
            timestamp: 0,
            frame_index: 1,
            flags: PICTURE_DATA,
            block: 0,
            last_block: 0,
            data: 1023,
            index: 5,
            percentage: 0,
        };
        let mut packet = vec![0; 65_507];
        header.write(&mut packet);
        assert_eq!(Header::parse(&packet), Err(NotVideo));
        assert_eq!(Header::parse(&packet[..9017]), Err(NotVideo));
        assert_eq!(Header::parse(&packet[..9016]), Ok(header));
    }

    #[test]
    fn parity_keeps_what_a_recovered_packet_is_rebuilt_from() {
        let header = Header {
            packet: 7,
            timestamp: 0,
            frame_index: 1,
            flags: 0,
            block: 0,
            last_block: 0,
            data: 1,
            index: 1,
            percentage: 100,
        };
        let mut packet = [0xa5; HEADER + 1];
        header.write_over_parity(&mut packet);
        for kept in [1..2, 8..20, 24..27] {
            assert!(packet[kept.clone()].iter().all(|&byte| byte == 0xa5), "{kept:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Header::parse(&bytes);
        }
    }
}
