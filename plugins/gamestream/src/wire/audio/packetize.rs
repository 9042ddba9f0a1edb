//! Opus to packets.

use super::{DATA_HEADER, DATA_TYPE, MAX_PAYLOAD, PARITY_HEADER, PARITY_TYPE, RTP_FIRST_BYTE};
use crate::wire::fec::{AUDIO_SHARDS, Code, Shape};
use crate::wire::seal::{AudioSealer, sealed_audio_len};

const DATA: usize = AUDIO_SHARDS.0;
const SHARDS: usize = AUDIO_SHARDS.0 + AUDIO_SHARDS.1;

/// The payload does not fit into a packet that clients take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadTooLong;

/// Numbers packets, writes them, and keeps the payloads of the current block for their parity.
#[derive(Debug)]
pub struct Packetizer {
    sequence: u16,
    timestamp: u32,
    code: Code,
    block: Box<[u8; SHARDS * MAX_PAYLOAD]>,
    lengths: [usize; DATA],
}

/// What follows the fourth packet of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    /// Two packets of this many bytes each, see [`Packetizer::write_parity`].
    Packets(usize),
    /// The payloads differ in length, and nothing can protect them.
    Impossible,
}

impl Default for Packetizer {
    fn default() -> Self {
        Self {
            sequence: 0,
            timestamp: 0,
            code: Code::audio(),
            block: Box::new([0; SHARDS * MAX_PAYLOAD]),
            lengths: [0; DATA],
        }
    }
}

impl Packetizer {
    /// Bytes of the packet that carries `payload` bytes of Opus.
    pub fn packet_len(payload: usize, sealed: bool) -> Result<usize, PayloadTooLong> {
        let payload = if sealed { sealed_audio_len(payload) } else { payload };
        if payload <= MAX_PAYLOAD { Ok(DATA_HEADER + payload) } else { Err(PayloadTooLong) }
    }

    /// Writes a packet of `duration_ms` of sound into `packet`, which is [`Self::packet_len`] long, and says what
    /// follows it.
    pub fn write(
        &mut self,
        opus: &[u8],
        duration_ms: u32,
        sealer: Option<&AudioSealer>,
        packet: &mut [u8],
    ) -> Option<Parity> {
        let (header, payload) = packet.split_at_mut(DATA_HEADER);
        write_rtp(header, DATA_TYPE, self.sequence, self.timestamp);
        payload[..opus.len()].copy_from_slice(opus);
        if let Some(sealer) = sealer {
            sealer.seal(self.sequence, payload, opus.len());
        }
        let index = usize::from(self.sequence) % DATA;
        self.block[index * MAX_PAYLOAD..][..payload.len()].copy_from_slice(payload);
        self.lengths[index] = payload.len();
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(duration_ms);
        let [first, ..] = self.lengths;
        (index + 1 == DATA).then(|| {
            let equal = self.lengths.iter().all(|&len| len == first);
            if equal { Parity::Packets(PARITY_HEADER + first) } else { Parity::Impossible }
        })
    }

    /// Writes the two parity packets of the block that is complete, `duration_ms` per packet, back to back.
    pub fn write_parity(&mut self, duration_ms: u32, packets: &mut [u8]) {
        let len = self.lengths[0];
        self.code.encode(&mut self.block[..], Shape { stride: MAX_PAYLOAD, skip: 0, len });
        let base_sequence = self.sequence.wrapping_sub(DATA as u16);
        let base_timestamp = self.timestamp.wrapping_sub(DATA as u32 * duration_ms);
        for (j, packet) in packets.chunks_exact_mut(PARITY_HEADER + len).enumerate() {
            write_rtp(packet, PARITY_TYPE, self.sequence.wrapping_add(j as u16), 0);
            packet[12..14].copy_from_slice(&[j as u8, DATA_TYPE]);
            packet[14..16].copy_from_slice(&base_sequence.to_be_bytes());
            packet[16..20].copy_from_slice(&base_timestamp.to_be_bytes());
            packet[20..24].fill(0);
            packet[PARITY_HEADER..].copy_from_slice(&self.block[(DATA + j) * MAX_PAYLOAD..][..len]);
        }
    }
}

fn write_rtp(header: &mut [u8], kind: u8, sequence: u16, timestamp: u32) {
    header[..2].copy_from_slice(&[RTP_FIRST_BYTE, kind]);
    header[2..4].copy_from_slice(&sequence.to_be_bytes());
    header[4..8].copy_from_slice(&timestamp.to_be_bytes());
    header[8..12].fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_payload_fits_and_a_longer_one_is_refused() {
        assert_eq!(Packetizer::packet_len(1388, false), Ok(1400));
        assert_eq!(Packetizer::packet_len(1389, false), Err(PayloadTooLong));
        assert_eq!(Packetizer::packet_len(1375, true), Ok(12 + 1376));
        assert_eq!(Packetizer::packet_len(1376, true), Err(PayloadTooLong));
    }

    #[test]
    fn a_sequence_number_goes_round_at_a_block_border() {
        let mut packetizer = Packetizer { sequence: 65532, ..Packetizer::default() };
        let mut packet = [0; 22];
        for _ in 0..3 {
            assert_eq!(packetizer.write(&[1; 10], 5, None, &mut packet), None);
        }
        assert_eq!(packetizer.write(&[1; 10], 5, None, &mut packet), Some(Parity::Packets(34)));
        let mut parity = [0; 68];
        packetizer.write_parity(5, &mut parity);
        assert_eq!(parity[..4], [0x80, 127, 0, 0]);
        assert_eq!(parity[12..24], [0, 97, 0xff, 0xfc, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parity[34..38], [0x80, 127, 0, 1]);
        assert_eq!(parity[46..48], [1, 97]);
        assert_eq!(packetizer.sequence, 0);
    }
}
