//! The sequence parameter set.

use super::MORE_BITS;
use super::bits::{BitReader, BitWriter, Escaper};

/// What a stream says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    pub profile_idc: u8,
    /// The byte of constraint flags.
    pub constraints: u8,
    pub level_idc: u8,
    /// Bits of `frame_num` as the encoder writes it.
    pub frame_num_bits: u32,
}

/// What libx264 is not known to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    StartCode,
    /// The parameter set cannot be read, or has what is not expected.
    Parameters,
    /// `frame_num` cannot have 8 more bits.
    FrameNum,
    /// A slice came before the parameter sets.
    NoParameters,
    /// A slice header cannot be read.
    Slice,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::StartCode => "a unit has no start code",
            Self::Parameters => "a sequence parameter set is not as expected",
            Self::FrameNum => "frame_num is too long to be made longer",
            Self::NoParameters => "a slice comes before its parameter sets",
            Self::Slice => "a slice header is not as expected",
        })
    }
}

/// Bits of `frame_num`, at most (log2_max_frame_num_minus4 up to 12).
const MOST_BITS: u32 = 16;

/// Profiles whose parameter sets say more of the samples (7.3.2.1.1).
const HIGH_PROFILES: [u8; 4] = [100, 110, 122, 244];

impl Parameters {
    /// Reads an SPS NAL unit, from its header byte on.
    pub fn read(nal: &[u8]) -> Option<Self> {
        Some(before_frame_num(&mut BitReader::new(nal))?.0)
    }
}

/// Reads up to `log2_max_frame_num_minus4`; how many bits are before it.
fn before_frame_num(reader: &mut BitReader<'_>) -> Option<(Parameters, usize)> {
    let [_, profile_idc, constraints, level_idc] = [(); 4].map(|()| reader.bits(8));
    let (profile_idc, constraints, level_idc) = (profile_idc? as u8, constraints? as u8, level_idc? as u8);
    reader.unsigned()?;
    if HIGH_PROFILES.contains(&profile_idc) {
        let chroma = reader.unsigned()?;
        let _depths = (reader.unsigned()?, reader.unsigned()?);
        let _bypass = reader.bit()?;
        let has_scaling_lists = reader.bit()?;
        // Planes coded apart would stand in the slice header too.
        if chroma == 3 || has_scaling_lists {
            return None;
        }
    }
    let at = reader.at();
    let frame_num_bits = reader.unsigned()?.checked_add(4)?;
    Some((Parameters { profile_idc, constraints, level_idc, frame_num_bits }, at))
}

/// Appends `nal` with a longer `frame_num` that may have gaps.
pub(super) fn rewrite(nal: &[u8], out: &mut Vec<u8>) -> Result<Parameters, Unsupported> {
    let mut reader = BitReader::new(nal);
    let (parameters, before) = before_frame_num(&mut reader).ok_or(Unsupported::Parameters)?;
    if parameters.frame_num_bits + MORE_BITS > MOST_BITS {
        return Err(Unsupported::FrameNum);
    }
    let mut writer = BitWriter::default();
    copy_bits(&mut BitReader::new(nal), before, &mut writer);
    writer.unsigned(parameters.frame_num_bits + MORE_BITS - 4);
    copy_to_gaps(&mut reader, &mut writer).ok_or(Unsupported::Parameters)?;
    // Up to the stop bit, which is the last one.
    let rest: Vec<bool> = std::iter::from_fn(|| reader.bit()).collect();
    let stop = rest.iter().rposition(|bit| *bit).ok_or(Unsupported::Parameters)?;
    rest[..=stop].iter().for_each(|bit| writer.bit(*bit));
    let mut escaper = Escaper::new(out);
    writer.into_bytes().into_iter().for_each(|byte| escaper.push(byte));
    Ok(parameters)
}

/// The order of pictures, the number of references, and the flag that is set.
fn copy_to_gaps(reader: &mut BitReader<'_>, writer: &mut BitWriter) -> Option<()> {
    let order = reader.unsigned()?;
    writer.unsigned(order);
    match order {
        0 => writer.unsigned(reader.unsigned()?),
        2 => {}
        _ => return None,
    }
    writer.unsigned(reader.unsigned()?);
    reader.bit()?;
    writer.bit(true);
    Some(())
}

fn copy_bits(reader: &mut BitReader<'_>, count: usize, writer: &mut BitWriter) {
    (0..count).filter_map(|_| reader.bit()).for_each(|bit| writer.bit(bit));
}
