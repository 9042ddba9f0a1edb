//! The sequence header of AV1. Names are those of the specification, section 5.

use super::bits::Copy;
use super::{Colors, Malformed};

const OBU_SEQUENCE_HEADER: u8 = 1;
/// The value of seq_choose_screen_content_tools' other side.
const SELECT_SCREEN_CONTENT_TOOLS: u32 = 2;
/// Color primaries and transfer of sRGB with the identity matrix: such pictures are RGB.
const IDENTITY: u8 = 0;

/// A temporal unit, with these colours in its sequence headers; nothing where it says so already, or has none. Units have sizes
/// (low-overhead format).
pub fn describe(unit: &[u8], colors: Colors) -> Result<Option<Vec<u8>>, Malformed> {
    let (mut written, mut has_changed, mut rest) = (Vec::new(), false, unit);
    while let Some((obu, after)) = next(rest)? {
        let before = &rest[..rest.len() - after.len()];
        let changed = match obu.kind {
            OBU_SEQUENCE_HEADER => sequence_header(obu.payload, colors)?.filter(|new| new != obu.payload),
            _ => None,
        };
        match changed {
            Some(payload) => {
                written.extend_from_slice(obu.header);
                put_leb128(&mut written, payload.len());
                written.extend_from_slice(&payload);
                has_changed = true;
            }
            None => written.extend_from_slice(before),
        }
        rest = after;
    }
    Ok(has_changed.then_some(written))
}

struct Obu<'a> {
    kind: u8,
    /// Without its size.
    header: &'a [u8],
    payload: &'a [u8],
}

/// The first one, and what comes after it.
fn next(unit: &[u8]) -> Result<Option<(Obu<'_>, &[u8])>, Malformed> {
    let Some(first) = unit.first() else { return Ok(None) };
    let (has_extension, has_size) = (first & 4 != 0, first & 2 != 0);
    let (header, rest) = unit.split_at_checked(if has_extension { 2 } else { 1 }).ok_or(Malformed)?;
    let (size, rest) = if has_size { leb128(rest)? } else { (rest.len(), rest) };
    let (payload, after) = rest.split_at_checked(size).ok_or(Malformed)?;
    // One without a size is the last; with a changed length it still is.
    if !has_size && first >> 3 & 15 == OBU_SEQUENCE_HEADER {
        return Err(Malformed);
    }
    Ok(Some((Obu { kind: first >> 3 & 15, header, payload }, after)))
}

fn leb128(bytes: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[at + 1..]));
        }
    }
    Err(Malformed)
}

fn put_leb128(to: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Nothing where colours have no place.
fn sequence_header(payload: &[u8], colors: Colors) -> Result<Option<Vec<u8>>, Malformed> {
    let mut copy = Copy::of(payload);
    let profile = copy.bits(3)?;
    copy.bits(1)?;
    let is_reduced = copy.flag()?;
    if is_reduced {
        copy.bits(5)?;
    } else {
        timing_and_operating_points(&mut copy)?;
    }
    let (width_bits, height_bits) = (copy.bits(4)? as usize + 1, copy.bits(4)? as usize + 1);
    copy.bits(width_bits)?;
    copy.bits(height_bits)?;
    if !is_reduced && copy.flag()? {
        copy.bits(4 + 3)?;
    }
    // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter.
    copy.bits(3)?;
    if !is_reduced {
        tools(&mut copy)?;
    }
    // enable_superres, enable_cdef, enable_restoration.
    copy.bits(3)?;
    color_config(copy, profile, colors, payload.len() * 8)
}

fn timing_and_operating_points(copy: &mut Copy) -> Result<(), Malformed> {
    let mut delay_bits = None;
    // timing_info_present_flag, equal_picture_interval and decoder_model_info_present_flag.
    if copy.flag()? {
        copy.bits(32)?;
        copy.bits(32)?;
        if copy.flag()? {
            copy.unsigned()?;
        }
        if copy.flag()? {
            delay_bits = Some(copy.bits(5)? as usize + 1);
            copy.bits(32)?;
            copy.bits(5 + 5)?;
        }
    }
    let has_initial_delay = copy.flag()?;
    for _ in 0..=copy.bits(5)? {
        copy.bits(12)?;
        if copy.bits(5)? > 7 {
            copy.bits(1)?;
        }
        if let Some(bits) = delay_bits
            && copy.flag()?
        {
            copy.bits(bits)?;
            copy.bits(bits)?;
            copy.bits(1)?;
        }
        if has_initial_delay && copy.flag()? {
            copy.bits(4)?;
        }
    }
    Ok(())
}

fn tools(copy: &mut Copy) -> Result<(), Malformed> {
    // enable_interintra_compound, enable_masked_compound, enable_warped_motion, enable_dual_filter.
    copy.bits(4)?;
    let has_order_hint = copy.flag()?;
    if has_order_hint {
        copy.bits(2)?;
    }
    let screen_content = if copy.flag()? { SELECT_SCREEN_CONTENT_TOOLS } else { copy.bits(1)? };
    if screen_content > 0 && !copy.flag()? {
        copy.bits(1)?;
    }
    if has_order_hint {
        copy.bits(3)?;
    }
    Ok(())
}

fn color_config(
    mut copy: Copy,
    profile: u32,
    colors: Colors,
    end: usize,
) -> Result<Option<Vec<u8>>, Malformed> {
    let has_high_bitdepth = copy.flag()?;
    if profile == 2 && has_high_bitdepth {
        copy.bits(1)?;
    }
    if profile != 1 {
        // mono_chrome.
        copy.bits(1)?;
    }
    if copy.skip(1)? == 1 && copy.skip(24)? & 0xff == u32::from(IDENTITY) {
        return Ok(None);
    }
    if colors.matrix == IDENTITY {
        return Ok(None);
    }
    copy.put(1, 1);
    colors.codes().into_iter().for_each(|code| copy.put(8, code.into()));
    // color_range.
    copy.skip(1)?;
    copy.put(1, colors.full_range.into());
    // 24 bits more are whole bytes: what ends the header lies as it did.
    Ok(Some(copy.rest(end)?.written()))
}

#[cfg(test)]
#[path = "av1_tests.rs"]
mod tests;
