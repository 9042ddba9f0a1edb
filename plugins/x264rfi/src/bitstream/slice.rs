//! The beginning of a slice.

use super::Parameters;
use super::bits::{BitReader, Escaper};

/// `frame_num` of a slice, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    pub frame_num: u32,
    /// Bits before it, emulation prevention left out.
    pub at: usize,
}

impl Begin {
    pub fn read(nal: &[u8], parameters: &Parameters) -> Option<Self> {
        let mut reader = BitReader::new(nal);
        reader.bits(8)?;
        let _first_macroblock = reader.unsigned()?;
        let _slice_type = reader.unsigned()?;
        let _picture_parameters = reader.unsigned()?;
        let at = reader.at();
        Some(Self { frame_num: reader.bits(parameters.frame_num_bits)?, at })
    }
}

/// Appends `nal` with the byte `inserted` after its first `at` bits.
pub(super) fn insert(nal: &[u8], at: usize, inserted: u8, out: &mut Escaper<'_>) {
    let (byte_at, head) = (at / 8, at % 8);
    let mut unescaped = 0;
    let mut zeros = 0;
    for (index, &byte) in nal.iter().enumerate() {
        // Past the change, and a zero before is nowhere near: the rest is escaped as it stands.
        if unescaped > byte_at && zeros == 0 && out.is_between() {
            return out.append_escaped(&nal[index..]);
        }
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        if unescaped == byte_at {
            let before = !(0xff_u8.checked_shr(head as u32).unwrap_or(0));
            out.push(byte & before | inserted >> head);
            out.push(inserted.checked_shl(8 - head as u32).unwrap_or(0) | byte & !before);
        } else {
            out.push(byte);
        }
        unescaped += 1;
    }
}
