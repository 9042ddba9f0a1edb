use super::*;
use proptest::prelude::*;

const BT2020: Colors = Colors { primaries: 9, transfer: 14, matrix: 9, full_range: false };

/// A set of 640×360 without a scaling list, and then `usability`, all but its end.
fn set(profile: u32, usability: &[(usize, u32)]) -> Vec<u8> {
    let mut bits = Copy::of(&[]);
    bits.put(8, profile);
    bits.put(16, 0xc01e);
    bits.put(1, 1);
    if WITH_CHROMA.contains(&profile) {
        // 4:2:0, 8 bit, no scaling matrix.
        for (width, value) in [(3, 0b010), (1, 1), (1, 1), (1, 0), (1, 0)] {
            bits.put(width, value);
        }
    }
    // frame_num of 4 bits, order type 2, 1 reference frame, no gaps, 40 macroblocks wide and 23 high.
    for (width, value) in [(1, 1), (3, 0b011), (3, 0b010), (1, 0), (11, 40), (9, 23)] {
        bits.put(width, value);
    }
    // Frames only, direct 8×8, cropped by 8 lines.
    for (width, value) in [(1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (5, 5)] {
        bits.put(width, value);
    }
    usability.iter().for_each(|(width, value)| bits.put(*width, *value));
    bits.put(1, 1);
    bits.written()
}

/// Parameter sets and a slice.
fn unit(set: &[u8]) -> Vec<u8> {
    let slice = [0, 0, 1, 0x65, 0x88, 0x84, 0, 0, 3, 1, 7];
    [&[0, 0, 0, 1][..], &escape(0x67, set), &[0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80], &slice].concat()
}

/// An aspect ratio in numbers, and overscan.
const BEFORE: [(usize, u32); 6] = [(1, 1), (8, 255), (16, 4), (16, 3), (1, 1), (1, 0)];
/// Place of chroma, timing at 60 fps, no HRD, no picture structure, and a restriction of the bitstream.
const AFTER: [(usize, u32); 11] =
    [(1, 0), (1, 1), (32, 1), (32, 120), (1, 1), (1, 0), (1, 0), (1, 0), (1, 1), (1, 1), (8, 0xff)];
const COLORS: [(usize, u32); 7] = [(1, 1), (3, 5), (1, 0), (1, 1), (8, 9), (8, 14), (8, 9)];

#[test]
fn a_set_that_says_nothing_says_colours_and_no_more() {
    for profile in [66, 77, 100] {
        let silent = unit(&set(profile, &[(1, 0)]));
        let said = unit(&set(profile, &[&[(1, 1), (2, 0)][..], &COLORS, &[(6, 0)]].concat()));
        assert_eq!(describe(&silent, BT2020), Ok(Some(said.clone())), "{profile}");
        assert_eq!(describe(&said, BT2020), Ok(None), "{profile}");
    }
}

#[test]
fn what_else_a_set_says_stays() {
    let said = |colors: &[(usize, u32)]| unit(&set(77, &[&[(1, 1)][..], &BEFORE, colors, &AFTER].concat()));
    let none = said(&[(1, 0)]);
    assert_eq!(describe(&none, BT2020), Ok(Some(said(&COLORS))));
    // PAL, full range, no colours: a format stays.
    let range_alone = said(&[(1, 1), (3, 1), (1, 1), (1, 0)]);
    let with_format = [&[(1, 1), (3, 1)][..], &COLORS[2..]].concat();
    assert_eq!(describe(&range_alone, BT2020), Ok(Some(said(&with_format))));
    let others = said(&[(1, 1), (3, 5), (1, 1), (1, 1), (8, 1), (8, 1), (8, 1)]);
    assert_eq!(describe(&others, BT2020), Ok(Some(said(&COLORS))));
}

#[test]
fn units_without_a_set_stay_and_broken_sets_are_malformed() {
    assert_eq!(describe(&[0, 0, 1, 0x41, 0x9a, 0, 0, 0], BT2020), Ok(None));
    assert_eq!(describe(&[0, 0, 1, 0x67, 66, 0xc0], BT2020), Err(Malformed));
    assert_eq!(describe(&[0, 0, 1, 0x67], BT2020), Err(Malformed));
}

proptest! {
    #[test]
    fn escapes_come_off_again(clear in proptest::collection::vec(0..5u8, 1..60)) {
        let nal = escape(0x67, &clear);
        prop_assert!(!nal.windows(3).any(|three| three[..2] == [0, 0] && three[2] < 3), "{:?}", nal);
        prop_assert_eq!(unescape(&nal[1..]), clear);
    }

    #[test]
    fn nothing_makes_it_panic(unit in proptest::collection::vec(any::<u8>(), 0..80)) {
        _ = describe(&unit, BT2020);
        _ = describe(&[&[0, 0, 1, 0x67, 100][..], &unit].concat(), BT2020);
    }
}
