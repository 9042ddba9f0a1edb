//! AES-128-GCM as RTSP and the control channel use it: layout, nonces, and what may not be accepted twice.
//!
//! Both sides and both channels share one key; the last two bytes of the nonce keep them apart.

use crate::protocol::params::SessionKey;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::consts::{U12, U16};
use aes_gcm::{AesGcm, Tag};

/// Bytes of an authentication tag.
pub const TAG_BYTES: usize = 16;

/// Who sealed a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Host,
}

impl Side {
    fn letter(self) -> u8 {
        match self {
            Self::Client => b'C',
            Self::Host => b'H',
        }
    }
}

/// Why a sealed message was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("not a sealed message")]
    NotSealed,
    #[error("length field and message disagree")]
    Length,
    #[error("sealed with another key, or damaged")]
    Forged,
}

/// LE32(sequence), six zeros, the side, the channel.
fn nonce(sequence: u32, side: Side, channel: u8) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&sequence.to_le_bytes());
    nonce[10] = side.letter();
    nonce[11] = channel;
    nonce
}

/// Seals and opens RTSP messages: header of 24 bytes (length with the top bit set, sequence, both big-endian, tag), then
/// the ciphertext. Nonce channel is `R`.
#[derive(Clone)]
pub struct RtspSeal {
    cipher: AesGcm<Aes128, U12>,
}

/// The first 24 bytes of a sealed RTSP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtspHeader {
    /// Bytes of ciphertext that follow.
    pub length: usize,
    pub sequence: u32,
    tag: [u8; TAG_BYTES],
}

impl RtspHeader {
    pub const BYTES: usize = 24;
    const SEALED: u32 = 0x8000_0000;

    /// A message starts with the length, whose top bit is set; no letter has it.
    pub fn starts(first_byte: u8) -> bool {
        first_byte & 0x80 != 0
    }

    pub fn parse(bytes: &[u8; Self::BYTES]) -> Result<Self, SealError> {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let length = word(0);
        if length & Self::SEALED == 0 {
            return Err(SealError::NotSealed);
        }
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&bytes[8..]);
        Ok(Self { length: (length & !Self::SEALED) as usize, sequence: word(4), tag })
    }
}

impl RtspSeal {
    pub fn new(key: &SessionKey) -> Self {
        Self { cipher: AesGcm::new(&key.0.into()) }
    }

    /// The whole message: header and ciphertext. `sequence` must never repeat for a key and side.
    pub fn seal(&self, side: Side, sequence: u32, plain: &[u8]) -> Vec<u8> {
        let mut message = vec![0; RtspHeader::BYTES];
        message.extend_from_slice(plain);
        let length = u32::try_from(plain.len()).expect("an RTSP message is far below 2 GiB");
        let tag = self
            .cipher
            .encrypt_inout_detached(
                &nonce(sequence, side, b'R').into(),
                &[],
                (&mut message[RtspHeader::BYTES..]).into(),
            )
            .expect("GCM seals up to 64 GiB");
        message[..4].copy_from_slice(&(RtspHeader::SEALED | length).to_be_bytes());
        message[4..8].copy_from_slice(&sequence.to_be_bytes());
        message[8..24].copy_from_slice(&tag);
        message
    }

    /// Decrypts `body` in place; it is left as it was if the tag does not fit.
    pub fn open(&self, side: Side, header: &RtspHeader, body: &mut [u8]) -> Result<(), SealError> {
        if body.len() != header.length {
            return Err(SealError::Length);
        }
        self.cipher
            .decrypt_inout_detached(
                &nonce(header.sequence, side, b'R').into(),
                &[],
                body.into(),
                &Tag::from(header.tag),
            )
            .map_err(|_| SealError::Forged)
    }
}

/// Seals and opens control messages: u16 LE 0x0001, u16 LE length of what follows, u32 LE sequence, tag, ciphertext.
#[derive(Clone)]
pub struct ControlSeal(ControlCipher);

#[derive(Clone)]
enum ControlCipher {
    /// 16-byte nonce: the low byte of the sequence, then zeros. The rest of the sequence is not authenticated.
    V1(AesGcm<Aes128, U16>),
    /// 12-byte nonce, channel `C`.
    V2(AesGcm<Aes128, U12>),
}

impl ControlSeal {
    /// Type field of a sealed message.
    const SEALED: u16 = 0x0001;
    const HEADER_BYTES: usize = 8 + TAG_BYTES;

    pub fn new(key: &SessionKey, v2: bool) -> Self {
        let key = key.0.into();
        Self(if v2 { ControlCipher::V2(AesGcm::new(&key)) } else { ControlCipher::V1(AesGcm::new(&key)) })
    }

    /// The whole message. `sequence` must never repeat for a key and side.
    pub fn seal(&self, side: Side, sequence: u32, plain: &[u8]) -> Vec<u8> {
        let mut message = vec![0; Self::HEADER_BYTES];
        message.extend_from_slice(plain);
        let body = (&mut message[Self::HEADER_BYTES..]).into();
        let tag = match &self.0 {
            ControlCipher::V1(gcm) => gcm.encrypt_inout_detached(&v1_nonce(sequence).into(), &[], body),
            ControlCipher::V2(gcm) => {
                gcm.encrypt_inout_detached(&nonce(sequence, side, b'C').into(), &[], body)
            }
        }
        .expect("GCM seals up to 64 GiB");
        let length = u16::try_from(message.len() - 4).expect("a control message is below 64 KiB");
        message[..2].copy_from_slice(&Self::SEALED.to_le_bytes());
        message[2..4].copy_from_slice(&length.to_le_bytes());
        message[4..8].copy_from_slice(&sequence.to_le_bytes());
        message[8..24].copy_from_slice(&tag);
        message
    }

    /// Sequence and plaintext of `message`.
    pub fn open(&self, side: Side, message: &[u8]) -> Result<(u32, Vec<u8>), SealError> {
        let Some((header, body)) = message.split_first_chunk::<{ Self::HEADER_BYTES }>() else {
            return Err(SealError::NotSealed);
        };
        if u16::from_le_bytes([header[0], header[1]]) != Self::SEALED {
            return Err(SealError::NotSealed);
        }
        if usize::from(u16::from_le_bytes([header[2], header[3]])) != message.len() - 4 {
            return Err(SealError::Length);
        }
        let sequence = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let tag = Tag::try_from(&header[8..]).expect("the header ends with a tag");
        let mut plain = body.to_vec();
        let buffer = plain.as_mut_slice().into();
        match &self.0 {
            ControlCipher::V1(gcm) => {
                gcm.decrypt_inout_detached(&v1_nonce(sequence).into(), &[], buffer, &tag)
            }
            ControlCipher::V2(gcm) => {
                gcm.decrypt_inout_detached(&nonce(sequence, side, b'C').into(), &[], buffer, &tag)
            }
        }
        .map_err(|_| SealError::Forged)?;
        Ok((sequence, plain))
    }
}

fn v1_nonce(sequence: u32) -> [u8; 16] {
    let mut nonce = [0; 16];
    nonce[0] = sequence.to_le_bytes()[0];
    nonce
}

/// Remembers which sequence numbers came, so that none counts twice.
///
/// Messages of different ENet channels overtake each other when datagrams are lost. The window spans 16 s of a
/// thousand messages a second, more than the 10 s after which a silent connection is given up.
#[derive(Clone)]
pub struct ReplayWindow {
    /// One more than the highest sequence seen; 0 before the first.
    end: u64,
    seen: Box<[u64; Self::WORDS]>,
}

impl ReplayWindow {
    const BITS: u64 = 16384;
    const WORDS: usize = (Self::BITS / 64) as usize;

    pub fn new() -> Self {
        Self { end: 0, seen: Box::new([0; Self::WORDS]) }
    }

    /// `sequence` was not seen and is not too old to know.
    pub fn is_new(&self, sequence: u32) -> bool {
        let sequence = u64::from(sequence);
        if sequence >= self.end {
            return true;
        }
        let (word, bit) = Self::place(sequence);
        self.end - sequence <= Self::BITS && self.seen[word] & bit == 0
    }

    /// Remembers `sequence`; `false` if it had been seen or is too old.
    pub fn accept(&mut self, sequence: u32) -> bool {
        if !self.is_new(sequence) {
            return false;
        }
        let sequence = u64::from(sequence);
        if sequence >= self.end {
            self.forget(self.end.max(sequence.saturating_sub(Self::BITS))..sequence);
            self.end = sequence + 1;
        }
        let (word, bit) = Self::place(sequence);
        self.seen[word] |= bit;
        true
    }

    /// Sequences that were skipped take over the bits of old ones.
    fn forget(&mut self, skipped: std::ops::Range<u64>) {
        for sequence in skipped {
            let (word, bit) = Self::place(sequence);
            self.seen[word] &= !bit;
        }
    }

    fn place(sequence: u64) -> (usize, u64) {
        let bit = sequence % Self::BITS;
        ((bit / 64) as usize, 1 << (bit % 64))
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const KEY: SessionKey = SessionKey(*b"0123456789abcdef");

    #[test]
    fn rtsp_message_opens_for_the_other_side_only() {
        let seal = RtspSeal::new(&KEY);
        let message = seal.seal(Side::Client, 7, b"OPTIONS");
        assert_eq!(message.len(), 24 + 7);
        assert_eq!(&message[..8], &[0x80, 0, 0, 7, 0, 0, 0, 7]);
        let header = RtspHeader::parse(message[..24].try_into().unwrap()).unwrap();
        let mut body = message[24..].to_vec();
        assert_eq!(seal.open(Side::Host, &header, &mut body), Err(SealError::Forged));
        assert_eq!(body, &message[24..], "left as it was");
        seal.open(Side::Client, &header, &mut body).unwrap();
        assert_eq!(body, b"OPTIONS");
        assert_eq!(seal.open(Side::Client, &header, &mut body[1..]), Err(SealError::Length));
    }

    #[test]
    fn rtsp_nonce_is_little_endian_sequence_and_letters() {
        assert_eq!(nonce(0x0102_0304, Side::Client, b'R'), *b"\x04\x03\x02\x01\0\0\0\0\0\0CR");
        assert_eq!(nonce(1, Side::Host, b'C'), *b"\x01\0\0\0\0\0\0\0\0\0HC");
    }

    /// Computed with another implementation (Python `cryptography`, AES-128-GCM, key 30…39 61…66, plaintext 02 03 02 00 00 00).
    #[test]
    fn control_messages_equal_those_of_another_implementation() {
        let plain = [2, 3, 2, 0, 0, 0];
        let v1 = ControlSeal::new(&KEY, false).seal(Side::Client, 0x101, &plain);
        let v2 = ControlSeal::new(&KEY, true).seal(Side::Client, 0x101, &plain);
        assert_eq!(hex::encode(v1), "01001a000101000000e492b66bb3a5b56088e221860910d02e6ca5bf58d4");
        assert_eq!(hex::encode(v2), "01001a0001010000f28527c90f797224455afcdad1219b65dad4561fd1a5");
    }

    #[test]
    fn control_v1_nonce_has_no_side() {
        let seal = ControlSeal::new(&KEY, false);
        let message = seal.seal(Side::Host, 300, b"rumble");
        assert_eq!(seal.open(Side::Client, &message), Ok((300, b"rumble".to_vec())));
    }

    #[test]
    fn changed_control_messages_stay_closed() {
        for v2 in [false, true] {
            let seal = ControlSeal::new(&KEY, v2);
            let message = seal.seal(Side::Client, 5, b"hello");
            assert_eq!(seal.open(Side::Client, &message), Ok((5, b"hello".to_vec())));
            for at in 0..message.len() {
                let mut changed = message.clone();
                changed[at] ^= 1;
                // The upper bytes of the sequence are not covered in version 1.
                let covered = v2 || !(5..8).contains(&at);
                assert_eq!(seal.open(Side::Client, &changed).is_err(), covered, "byte {at}, v2 {v2}");
            }
            assert_eq!(seal.open(Side::Client, &message[..23]), Err(SealError::NotSealed));
        }
    }

    proptest! {
        #[test]
        fn random_bytes_stay_closed(bytes in proptest::collection::vec(any::<u8>(), 0..200), v2: bool) {
            prop_assert!(ControlSeal::new(&KEY, v2).open(Side::Client, &bytes).is_err());
            if let Some(header) = bytes.first_chunk().and_then(|h| RtspHeader::parse(h).ok()) {
                let mut body = bytes[24..].to_vec();
                prop_assert!(RtspSeal::new(&KEY).open(Side::Client, &header, &mut body).is_err());
            }
        }

        #[test]
        fn every_sequence_counts_once(steps in proptest::collection::vec(0u32..40_000, 1..400)) {
            let mut window = ReplayWindow::new();
            let mut seen = HashSet::new();
            let mut highest = 0;
            for sequence in steps {
                highest = highest.max(sequence);
                let young = u64::from(highest - sequence) < ReplayWindow::BITS;
                prop_assert_eq!(window.accept(sequence), young && seen.insert(sequence));
            }
        }
    }

    #[test]
    fn a_jump_forgets_what_lay_before() {
        let mut window = ReplayWindow::new();
        assert!(window.accept(0) && window.accept(u32::MAX) && !window.accept(u32::MAX) && !window.accept(0));
        assert!(window.accept(u32::MAX - 16383) && !window.accept(u32::MAX - 16384));
    }
}
