//! The sequence parameter set of H.264. Names are those of ITU-T H.264, 7.3.2.1 and E.1.1.

use super::bits::Copy;
use super::{Colors, Malformed};

const SEQUENCE_PARAMETER_SET: u8 = 7;
/// Profiles whose sets say how chroma is sampled.
const WITH_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
const EXTENDED_SAR: u32 = 255;
/// video_format: unspecified.
const UNSPECIFIED: u32 = 5;

/// An access unit (byte stream) with these colours in its sequence parameter sets; nothing where it says so already, or has none.
pub fn describe(unit: &[u8], colors: Colors) -> Result<Option<Vec<u8>>, Malformed> {
    let (mut written, mut has_changed, mut rest) = (Vec::new(), false, unit);
    while let Some(begin) = start_code(rest) {
        let (before, nal) = rest.split_at(begin);
        let end = start_code(nal).map_or(nal.len(), |next| next - 3);
        let (nal, after) = nal.split_at(end);
        written.extend_from_slice(before);
        // A longer start code of the next, or zeros after the last.
        let zeros = nal.iter().rev().take_while(|byte| **byte == 0).count();
        let (nal, zeros) = nal.split_at(nal.len() - zeros);
        match nal.first() {
            Some(header) if header & 31 == SEQUENCE_PARAMETER_SET => {
                let new = escape(*header, &parameter_set(&unescape(&nal[1..]), colors)?);
                has_changed |= new != nal;
                written.extend(new);
            }
            _ => written.extend_from_slice(nal),
        }
        written.extend_from_slice(zeros);
        rest = after;
    }
    written.extend_from_slice(rest);
    Ok(has_changed.then_some(written))
}

/// Where what follows the first start code begins.
fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|window| window == [0, 0, 1]).map(|at| at + 3)
}

fn unescape(payload: &[u8]) -> Vec<u8> {
    let mut clear: Vec<u8> = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for byte in payload {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        clear.push(*byte);
    }
    clear
}

fn escape(header: u8, clear: &[u8]) -> Vec<u8> {
    let mut nal = Vec::with_capacity(clear.len() + 8);
    nal.push(header);
    let mut zeros = 0;
    for byte in clear {
        if zeros >= 2 && *byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        nal.push(*byte);
    }
    nal
}

fn parameter_set(clear: &[u8], colors: Colors) -> Result<Vec<u8>, Malformed> {
    let last = clear.iter().rposition(|byte| *byte != 0).ok_or(Malformed)?;
    // rbsp_stop_one_bit.
    let end = last * 8 + 7 - clear[last].trailing_zeros() as usize;
    let mut copy = Copy::of(clear);
    let profile = copy.bits(8)?;
    copy.bits(8 + 8)?;
    copy.unsigned()?;
    if WITH_CHROMA.contains(&profile) {
        chroma(&mut copy)?;
    }
    copy.unsigned()?;
    picture_order(&mut copy)?;
    // max_num_ref_frames, gaps_in_frame_num_value_allowed_flag, width and height.
    copy.unsigned()?;
    copy.bits(1)?;
    copy.unsigned()?;
    copy.unsigned()?;
    // frame_mbs_only_flag, mb_adaptive_frame_field_flag, direct_8x8_inference_flag.
    if !copy.flag()? {
        copy.bits(1)?;
    }
    copy.bits(1)?;
    if copy.flag()? {
        for _ in 0..4 {
            copy.unsigned()?;
        }
    }
    let has_vui = copy.skip(1)? == 1;
    copy.put(1, 1);
    let mut copy = if has_vui { usability(copy, colors)?.rest(end)? } else { new_usability(copy, colors) };
    copy.put(1, 1);
    Ok(copy.written())
}

fn chroma(copy: &mut Copy) -> Result<(), Malformed> {
    let format = copy.unsigned()?;
    if format == 3 {
        copy.bits(1)?;
    }
    // Bit depths, and qpprime_y_zero_transform_bypass_flag.
    copy.unsigned()?;
    copy.unsigned()?;
    copy.bits(1)?;
    if copy.flag()? {
        let lists = if format == 3 { 12 } else { 8 };
        for list in 0..lists {
            if copy.flag()? {
                scaling_list(copy, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Ok(())
}

fn scaling_list(copy: &mut Copy, size: usize) -> Result<(), Malformed> {
    let mut last = 8;
    for _ in 0..size {
        last = (last + copy.signed()?).rem_euclid(256);
        if last == 0 {
            break;
        }
    }
    Ok(())
}

fn picture_order(copy: &mut Copy) -> Result<(), Malformed> {
    match copy.unsigned()? {
        0 => _ = copy.unsigned()?,
        1 => {
            copy.bits(1)?;
            copy.signed()?;
            copy.signed()?;
            for _ in 0..copy.unsigned()?.min(255) {
                copy.signed()?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Up to the end of what says colours.
fn usability<'a>(mut copy: Copy<'a>, colors: Colors) -> Result<Copy<'a>, Malformed> {
    if copy.flag()? && copy.bits(8)? == EXTENDED_SAR {
        copy.bits(32)?;
    }
    // overscan_info_present_flag.
    if copy.flag()? {
        copy.bits(1)?;
    }
    let mut format = UNSPECIFIED;
    // video_signal_type_present_flag; then the format, the range, and whether colours are described.
    if copy.skip(1)? == 1 {
        format = copy.skip(3)?;
        copy.skip(1)?;
        if copy.skip(1)? == 1 {
            copy.skip(24)?;
        }
    }
    signal_type(&mut copy, format, colors);
    Ok(copy)
}

fn signal_type(copy: &mut Copy, format: u32, colors: Colors) {
    copy.put(1, 1);
    copy.put(3, format);
    copy.put(1, colors.full_range.into());
    copy.put(1, 1);
    colors.codes().into_iter().for_each(|code| copy.put(8, code.into()));
}

/// Which says nothing but colours.
fn new_usability<'a>(mut copy: Copy<'a>, colors: Colors) -> Copy<'a> {
    // No aspect ratio, no overscan.
    copy.put(2, 0);
    signal_type(&mut copy, UNSPECIFIED, colors);
    // No place of chroma, timing, NAL HRD, VCL HRD, picture structure, nor restriction of the bitstream.
    copy.put(6, 0);
    copy
}

#[cfg(test)]
#[path = "h264_tests.rs"]
mod tests;
