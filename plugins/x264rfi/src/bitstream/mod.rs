//! Makes decoders bear frames that never came.
//!
//! Two things in libx264's streams stop them (seen with libavcodec 5.1 and openh264 2.3). `frame_num` has 4 or 5 bits and
//! comes round within a quarter of a second: when that happens among lost frames, a decoder counts the pictures wrong.
//! And the sequence parameter set forbids gaps, so that a decoder may give up at one. So `frame_num` gets 8 more bits,
//! in the parameter set and in every slice, and gaps are allowed.
//!
//! Eight bits in front of `frame_num` leave what follows at its place within a byte: slice data, however it is coded,
//! moves by one byte as it is. Syntax: ITU-T H.264, 7.3.1, 7.3.2.1.1, 7.3.3.

mod bits;
mod parameters;
mod slice;

pub use parameters::{Parameters, Unsupported};

use bits::Escaper;

/// Bits that `frame_num` gets.
const MORE_BITS: u32 = 8;

const SLICE: u8 = 1;
const IDR_SLICE: u8 = 5;
const SEI: u8 = 6;
const PARAMETERS: u8 = 7;

/// Rewrites a stream, unit after unit.
#[derive(Debug, Default)]
pub struct Rewriter {
    parameters: Option<Parameters>,
    /// The new upper bits of `frame_num`, and the bits below in the last slice.
    upper: u8,
    lower: u32,
}

impl Rewriter {
    /// Appends one NAL unit of libx264, which begins with its start code, to `out`: rewritten where that is needed. SEI is
    /// left out, since clients look for the key picture at the beginning of a frame.
    pub fn write(&mut self, unit: &[u8], out: &mut Vec<u8>) -> Result<(), Unsupported> {
        let (code, nal) = split_start_code(unit).ok_or(Unsupported::StartCode)?;
        match nal.first().map(|header| header & 0x1f) {
            Some(SEI) => {}
            Some(PARAMETERS) => {
                out.extend_from_slice(code);
                self.parameters = Some(parameters::rewrite(nal, out)?);
            }
            Some(kind @ (SLICE | IDR_SLICE)) => {
                out.extend_from_slice(code);
                self.write_slice(nal, kind == IDR_SLICE, out)?;
            }
            _ => out.extend_from_slice(unit),
        }
        Ok(())
    }

    fn write_slice(&mut self, nal: &[u8], is_idr: bool, out: &mut Vec<u8>) -> Result<(), Unsupported> {
        let parameters = self.parameters.as_ref().ok_or(Unsupported::NoParameters)?;
        let begin = slice::Begin::read(nal, parameters).ok_or(Unsupported::Slice)?;
        if is_idr {
            self.upper = 0;
        } else if begin.frame_num < self.lower {
            self.upper = self.upper.wrapping_add(1);
        }
        self.lower = begin.frame_num;
        slice::insert(nal, begin.at, self.upper, &mut Escaper::new(out));
        Ok(())
    }
}

/// The start code and what follows it.
fn split_start_code(unit: &[u8]) -> Option<(&[u8], &[u8])> {
    let zeros = unit.iter().position(|byte| *byte != 0)?;
    (zeros >= 2 && unit[zeros] == 1 && zeros + 1 < unit.len()).then(|| unit.split_at(zeros + 1))
}

#[cfg(test)]
mod tests;
