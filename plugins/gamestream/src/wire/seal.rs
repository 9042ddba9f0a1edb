//! Sealing of media packets with the session's AES-128 key.
//!
//! A video packet is sealed with GCM behind a prefix that holds the nonce and the tag; an audio payload with CBC under
//! an initial vector that follows from its sequence number.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use std::fmt;

/// Bytes in front of a sealed video packet: nonce 12, frame index LE32, tag 16.
pub const VIDEO_PREFIX: usize = 32;

const NONCE: std::ops::Range<usize> = 0..12;
const FRAME_INDEX: std::ops::Range<usize> = 12..16;
const TAG: std::ops::Range<usize> = 16..32;

/// AES block.
const BLOCK: usize = 16;

/// The session's key (`rikey`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 16]);

/// Not a key: it takes 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKey;

/// A packet that the key does not open: damaged, or not from who has the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSealed;

impl Key {
    /// Reads 32 hex digits; an empty text is no key.
    pub fn parse(text: &str) -> Result<Option<Self>, NotAKey> {
        if text.is_empty() {
            return Ok(None);
        }
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAKey)?;
        Ok(Some(Self(bytes)))
    }

    fn gcm(&self) -> LessSafeKey {
        LessSafeKey::new(
            UnboundKey::new(&AES_128_GCM, &self.0).expect("the key is as long as AES-128 wants it"),
        )
    }

    fn cipher(&self) -> UnboundCipherKey {
        UnboundCipherKey::new(&AES_128, &self.0).expect("the key is as long as AES-128 wants it")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Seals video packets, each under a nonce of its own.
#[derive(Debug)]
pub struct VideoSealer {
    key: LessSafeKey,
    packets: u64,
}

impl VideoSealer {
    /// Counts packets from `packets` on, and each number makes a nonce: a key must never meet one of them again.
    pub fn new(key: &Key, packets: u64) -> Self {
        Self { key: key.gcm(), packets }
    }

    /// The number of the next packet.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Seals what follows the prefix of `datagram` and writes the prefix.
    pub fn seal(&mut self, frame_index: u32, datagram: &mut [u8]) {
        let (prefix, packet) = datagram.split_at_mut(VIDEO_PREFIX);
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.packets.to_le_bytes());
        nonce[11] = b'V';
        self.packets += 1;
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), packet)
            .expect("a packet is short enough for GCM");
        prefix[NONCE].copy_from_slice(&nonce);
        prefix[FRAME_INDEX].copy_from_slice(&frame_index.to_le_bytes());
        prefix[TAG].copy_from_slice(tag.as_ref());
    }
}

/// Opens video packets.
#[derive(Debug)]
pub struct VideoOpener(LessSafeKey);

impl VideoOpener {
    pub fn new(key: &Key) -> Self {
        Self(key.gcm())
    }

    /// The packet in `datagram`, opened into `scratch`.
    pub fn open<'a>(&self, datagram: &[u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], NotSealed> {
        let (prefix, sealed) = datagram.split_at_checked(VIDEO_PREFIX).ok_or(NotSealed)?;
        scratch.resize(sealed.len(), 0);
        let nonce = Nonce::try_assume_unique_for_key(&prefix[NONCE]).expect("twelve bytes");
        self.0
            .open_separate_gather(nonce, Aad::empty(), sealed, &prefix[TAG], scratch)
            .map_err(|_| NotSealed)?;
        Ok(scratch)
    }
}

/// Bytes of a sealed audio payload: padding is at least one byte and fills the last block.
pub fn sealed_audio_len(len: usize) -> usize {
    (len / BLOCK + 1) * BLOCK
}

/// Seals audio payloads.
#[derive(Debug)]
pub struct AudioSealer {
    key: EncryptingKey,
    key_id: u32,
}

impl AudioSealer {
    /// `key_id` is the `rikeyid` of the session.
    pub fn new(key: &Key, key_id: u32) -> Self {
        Self { key: EncryptingKey::cbc(key.cipher()).expect("AES has CBC"), key_id }
    }

    /// Seals the first `len` bytes of `payload`, which is [`sealed_audio_len`] long, padding included.
    pub fn seal(&self, sequence: u16, payload: &mut [u8], len: usize) {
        assert_eq!(payload.len(), sealed_audio_len(len));
        let padding = payload.len() - len;
        payload[len..].fill(padding as u8);
        let context = EncryptionContext::Iv128(audio_iv(self.key_id, sequence).into());
        self.key.less_safe_encrypt(payload, context).expect("the payload is whole blocks");
    }
}

/// Opens audio payloads.
#[derive(Debug)]
pub struct AudioOpener {
    key: DecryptingKey,
    key_id: u32,
}

impl AudioOpener {
    /// `key_id` is the `rikeyid` of the session.
    pub fn new(key: &Key, key_id: u32) -> Self {
        Self { key: DecryptingKey::cbc(key.cipher()).expect("AES has CBC"), key_id }
    }

    /// Opens `payload` where it is and gives what it holds, without padding.
    pub fn open<'a>(&self, sequence: u16, payload: &'a mut [u8]) -> Result<&'a [u8], NotSealed> {
        if payload.is_empty() || !payload.len().is_multiple_of(BLOCK) {
            return Err(NotSealed);
        }
        let context = DecryptionContext::Iv128(audio_iv(self.key_id, sequence).into());
        let opened = self.key.decrypt(payload, context).map_err(|_| NotSealed)?;
        let padding = usize::from(opened[opened.len() - 1]);
        if padding == 0 || padding > BLOCK {
            return Err(NotSealed);
        }
        let (plain, filling) = opened.split_at(opened.len() - padding);
        filling.iter().all(|&byte| usize::from(byte) == padding).then_some(plain).ok_or(NotSealed)
    }
}

/// BE32 of `key_id` plus the sequence number, and zeros.
fn audio_iv(key_id: u32, sequence: u16) -> [u8; BLOCK] {
    let mut iv = [0; BLOCK];
    iv[..4].copy_from_slice(&key_id.wrapping_add(u32::from(sequence)).to_be_bytes());
    iv
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> Key {
        Key::parse("000102030405060708090a0b0c0d0e0f").unwrap().unwrap()
    }

    #[test]
    fn a_key_is_32_hex_digits_or_nothing() {
        assert_eq!(Key::parse(""), Ok(None));
        assert_eq!(key(), Key(std::array::from_fn(|n| n as u8)));
        for text in ["00", "000102030405060708090a0b0c0d0e0", "g00102030405060708090a0b0c0d0e0f"] {
            assert_eq!(Key::parse(text), Err(NotAKey));
        }
        assert_eq!(format!("{:?}", key()), "Key(…)");
    }

    #[test]
    fn a_video_packet_opens_and_a_changed_one_does_not() {
        let mut sealer = VideoSealer::new(&key(), 0);
        let opener = VideoOpener::new(&key());
        let mut scratch = Vec::new();
        let mut nonces = std::collections::HashSet::new();
        for frame in 1..40u32 {
            let mut datagram = vec![frame as u8; VIDEO_PREFIX + 100];
            sealer.seal(frame, &mut datagram);
            assert_eq!(datagram[FRAME_INDEX], frame.to_le_bytes());
            assert_eq!(datagram[8..12], [0, 0, 0, b'V']);
            assert!(nonces.insert(datagram[NONCE].to_vec()));
            assert_eq!(opener.open(&datagram, &mut scratch), Ok(&[frame as u8; 100][..]));
            datagram[40] ^= 1;
            assert_eq!(opener.open(&datagram, &mut scratch), Err(NotSealed));
        }
        assert_eq!(opener.open(&[0; VIDEO_PREFIX - 1], &mut scratch), Err(NotSealed));
        assert_eq!(opener.open(&[0; VIDEO_PREFIX], &mut scratch), Err(NotSealed));
    }

    #[test]
    fn the_audio_vector_counts_over_the_end() {
        assert_eq!(audio_iv(0xffff_fffe, 3)[..5], [0, 0, 0, 1, 0]);
        assert_eq!(audio_iv(0x0102_0304, 1)[..5], [1, 2, 3, 5, 0]);
    }

    proptest! {
        #[test]
        fn an_audio_payload_opens(plain: Vec<u8>, key_id: u32, sequence: u16) {
            let mut sealed = plain.clone();
            sealed.resize(sealed_audio_len(plain.len()), 0xaa);
            AudioSealer::new(&key(), key_id).seal(sequence, &mut sealed, plain.len());
            let opened = AudioOpener::new(&key(), key_id).open(sequence, &mut sealed);
            prop_assert_eq!(opened, Ok(&plain[..]));
        }

        #[test]
        fn any_audio_payload_is_opened_or_refused(mut payload: Vec<u8>) {
            let _ = AudioOpener::new(&key(), 7).open(9, &mut payload);
        }
    }
}
