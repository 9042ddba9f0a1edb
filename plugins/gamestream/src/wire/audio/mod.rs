//! The audio plane: a packet of Opus at a time, and two of parity after every fourth.
//!
//! Parity covers the payloads as they are sent, sealed ones included, so the four of a block must be equally long.

mod packetize;
mod receive;
mod timeline;

pub use packetize::{Packetizer, Parity, PayloadTooLong};
pub use receive::{Output, Receiver, Stats};
pub use timeline::Timeline;

/// Bytes of a data packet before its payload.
pub const DATA_HEADER: usize = 12;

/// Bytes of a parity packet before its parity.
pub const PARITY_HEADER: usize = 24;

/// Longest payload that clients take.
pub const MAX_PAYLOAD: usize = 1388;

/// RTP version 2.
const RTP_FIRST_BYTE: u8 = 0x80;

const DATA_TYPE: u8 = 97;
const PARITY_TYPE: u8 = 127;

/// A packet, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    Data {
        sequence: u16,
        /// Milliseconds.
        timestamp: u32,
        payload: &'a [u8],
    },
    Parity {
        /// Number of the parity packet in its block.
        index: u8,
        /// Sequence number and timestamp of the block's first data packet.
        base_sequence: u16,
        base_timestamp: u32,
        parity: &'a [u8],
    },
}

/// Bytes that are no audio packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAudio;

impl<'a> Packet<'a> {
    pub fn parse(datagram: &'a [u8]) -> Result<Self, NotAudio> {
        let (header, payload) = datagram.split_at_checked(DATA_HEADER).ok_or(NotAudio)?;
        match (header[0], header[1]) {
            (RTP_FIRST_BYTE, DATA_TYPE) if (1..=MAX_PAYLOAD).contains(&payload.len()) => {
                Ok(Self::Data { sequence: be16(header, 2), timestamp: be32(header, 4), payload })
            }
            (RTP_FIRST_BYTE, PARITY_TYPE) => Self::parse_parity(payload),
            _ => Err(NotAudio),
        }
    }

    fn parse_parity(bytes: &'a [u8]) -> Result<Self, NotAudio> {
        let (header, parity) = bytes.split_at_checked(PARITY_HEADER - DATA_HEADER).ok_or(NotAudio)?;
        let (index, base_sequence) = (header[0], be16(header, 2));
        let sound = index < 2 && header[1] == DATA_TYPE && base_sequence % 4 == 0;
        if sound && (1..=MAX_PAYLOAD).contains(&parity.len()) {
            Ok(Self::Parity { index, base_sequence, base_timestamp: be32(header, 4), parity })
        } else {
            Err(NotAudio)
        }
    }
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, kind in prop::sample::select(vec![97u8, 127])) {
            let _ = Packet::parse(&bytes);
            if bytes.len() > 1 {
                bytes[..2].copy_from_slice(&[0x80, kind]);
                let _ = Packet::parse(&bytes);
            }
        }
    }
}
