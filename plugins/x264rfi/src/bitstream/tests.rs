use super::bits::{BitReader, BitWriter, Escaper};
use super::*;
use proptest::prelude::*;

fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut reader = BitReader::new(nal);
    std::iter::from_fn(|| reader.bits(8).map(|byte| byte as u8)).collect()
}

fn escape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut escaper = Escaper::new(&mut out);
    bytes.iter().for_each(|byte| escaper.push(*byte));
    out
}

/// What a test writes into a parameter set.
#[derive(Clone, Copy, Debug)]
struct Written {
    profile: u8,
    frame_num_bits: u32,
    order: u32,
    references: u32,
    /// What follows the flag, of which nothing is read.
    rest: u32,
}

fn parameter_set(written: Written, gaps: bool) -> Vec<u8> {
    let mut writer = BitWriter::default();
    [0x67, written.profile, 0xc0, 31].iter().for_each(|byte| writer.bits(u32::from(*byte), 8));
    writer.unsigned(0);
    if written.profile == 100 {
        [1, 0, 0].iter().for_each(|value| writer.unsigned(*value));
        writer.bits(0, 2);
    }
    writer.unsigned(written.frame_num_bits - 4);
    writer.unsigned(written.order);
    if written.order == 0 {
        writer.unsigned(2);
    }
    writer.unsigned(written.references);
    writer.bit(gaps);
    writer.bits(written.rest, 32);
    writer.bit(true);
    [&[0, 0, 0, 1][..], &escape(&writer.into_bytes())].concat()
}

/// A slice with this `frame_num` in so many bits, and data behind it.
fn slice(header: u8, first: u32, frame_num: u32, bits: u32, data: &[u8]) -> Vec<u8> {
    let mut writer = BitWriter::default();
    writer.bits(u32::from(header), 8);
    [first, 5, 0].iter().for_each(|value| writer.unsigned(*value));
    writer.bits(frame_num, bits);
    data.iter().for_each(|byte| writer.bits(u32::from(*byte), 8));
    writer.bit(true);
    [&[0, 0, 1][..], &escape(&writer.into_bytes())].concat()
}

fn rewritten(rewriter: &mut Rewriter, unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    rewriter.write(unit, &mut out).unwrap();
    out
}

const PLAIN: Written = Written { profile: 66, frame_num_bits: 4, order: 2, references: 8, rest: 0 };

#[test]
fn frame_num_goes_on_where_it_came_round_and_starts_anew_at_a_key_frame() {
    let mut rewriter = Rewriter::default();
    rewritten(&mut rewriter, &parameter_set(PLAIN, false));
    let mut check = |number: u32, expected: u32, header: u8| {
        for first in [0, 1800] {
            let unit = slice(header, first, number % 16, 4, &[1, 2, 3]);
            let expected = slice(header, first, expected, 12, &[1, 2, 3]);
            assert_eq!(rewritten(&mut rewriter, &unit), expected, "{number}");
        }
    };
    check(0, 0, 0x65);
    (1..5000).for_each(|number| check(number, number % 4096, 0x41));
    check(0, 0, 0x65);
    check(1, 1, 0x41);
}

#[test]
fn sei_is_left_out_and_other_units_stay() {
    let mut rewriter = Rewriter::default();
    assert_eq!(rewritten(&mut rewriter, &[0, 0, 1, 6, 5, 4, 3]), [0u8; 0]);
    for kept in [[0, 0, 0, 1, 0x68, 0xee], [0, 0, 0, 1, 9, 0xf0]] {
        assert_eq!(rewritten(&mut rewriter, &kept), kept);
    }
}

#[test]
fn what_cannot_be_rewritten_is_refused() {
    let write = |units: &[&[u8]]| {
        let mut rewriter = Rewriter::default();
        units.iter().try_for_each(|unit| rewriter.write(unit, &mut Vec::new()))
    };
    assert_eq!(write(&[&[1, 2, 3]]), Err(Unsupported::StartCode));
    assert_eq!(write(&[&slice(0x41, 0, 1, 4, &[])]), Err(Unsupported::NoParameters));
    assert_eq!(write(&[&[0, 0, 1, 0x67, 66]]), Err(Unsupported::Parameters));
    let odd = parameter_set(Written { order: 1, ..PLAIN }, false);
    assert_eq!(write(&[&odd]), Err(Unsupported::Parameters));
    let long = parameter_set(Written { frame_num_bits: 9, ..PLAIN }, false);
    assert_eq!(write(&[&long]), Err(Unsupported::FrameNum));
    assert_eq!(write(&[&parameter_set(PLAIN, false), &[0, 0, 1, 0x41, 0]]), Err(Unsupported::Slice));
}

/// Bytes rich in those that have to be escaped.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![3 => Just(0u8), 2 => 0u8..5, 1 => any::<u8>()], 0..most)
}

proptest! {
    #[test]
    fn bits_are_read_as_they_were_written(values in proptest::collection::vec((any::<u32>(), 1u32..=32), 0..50)) {
        let mut writer = BitWriter::default();
        for (value, count) in &values {
            writer.bits(*value, *count);
            writer.unsigned(value >> 1);
        }
        let escaped = escape(&writer.into_bytes());
        prop_assert!(escaped.windows(3).all(|w| w[..2] != [0, 0] || w[2] >= 3), "no start code");
        let mut reader = BitReader::new(&escaped);
        for (value, count) in values {
            prop_assert_eq!(reader.bits(count), Some(value & (u32::MAX >> (32 - count))));
            prop_assert_eq!(reader.unsigned(), Some(value >> 1));
        }
    }

    #[test]
    fn escaping_is_undone_by_reading(bytes in bytes(100)) {
        prop_assert_eq!(unescape(&escape(&bytes)), bytes);
    }

    #[test]
    fn a_parameter_set_changes_in_two_places(
        profile in prop_oneof![Just(66u8), Just(77), Just(100)], frame_num_bits in 4u32..=8,
        order in prop_oneof![Just(0u32), Just(2)], references in 1u32..=16, rest in any::<u32>(), gaps: bool,
    ) {
        let written = Written { profile, frame_num_bits, order, references, rest };
        let expected = parameter_set(Written { frame_num_bits: frame_num_bits + 8, ..written }, true);
        let mut rewriter = Rewriter::default();
        prop_assert_eq!(rewritten(&mut rewriter, &parameter_set(written, gaps)), expected);
        let read = Parameters { profile_idc: profile, constraints: 0xc0, level_idc: 31, frame_num_bits };
        prop_assert_eq!(rewriter.parameters, Some(read));
    }

    /// The way through that copies most of it as it stands gives what escaping all of it anew gives.
    #[test]
    fn a_slice_gets_eight_bits_and_keeps_the_others(
        data in bytes(300), first in 0u32..9000, bits in 4u32..=8, number in any::<u32>(), upper in any::<u8>(),
    ) {
        let number = number & ((1 << bits) - 1);
        let unit = slice(0x41, first, number, bits, &data);
        let wide = u32::from(upper) << bits | number;
        let expected = slice(0x41, first, wide, bits + 8, &data);
        let mut rewriter = Rewriter { upper, lower: number, ..Rewriter::default() };
        rewritten(&mut rewriter, &parameter_set(Written { frame_num_bits: bits, ..PLAIN }, false));
        prop_assert_eq!(rewritten(&mut rewriter, &unit), expected);
    }

    #[test]
    fn random_units_never_panic(units in proptest::collection::vec(bytes(40), 0..8)) {
        let mut rewriter = Rewriter::default();
        rewritten(&mut rewriter, &parameter_set(PLAIN, false));
        for unit in units {
            let mut out = Vec::new();
            let refused = rewriter.write(&[&[0, 0, 1][..], &unit].concat(), &mut out);
            prop_assert!(out.is_empty() || out.starts_with(&[0, 0, 1]), "{refused:?}: {out:?}");
        }
    }
}
