use super::*;
use proptest::prelude::*;

const BT709_FULL: Colors = Colors { primaries: 1, transfer: 1, matrix: 1, full_range: true };

/// What a header says, as far as it moves where the colours are.
#[derive(Clone, Debug)]
struct Header {
    profile: u32,
    is_reduced: bool,
    /// With a decoder model, whose delays have so many bits.
    delay_bits: Option<u32>,
    levels: Vec<u32>,
    has_frame_ids: bool,
    order_hint: bool,
    chooses_screen_content: bool,
    /// Primaries, transfer and matrix.
    described: Option<[u32; 3]>,
}

fn headers() -> impl Strategy<Value = Header> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let codes = proptest::option::of([1..10u32, 1..18, 1..15]);
    (0..3u32, flags, proptest::option::of(1..32u32), proptest::collection::vec(0..24u32, 1..4), codes)
        .prop_map(
            |(
                profile,
                (is_reduced, has_frame_ids, order_hint, chooses_screen_content),
                delay_bits,
                levels,
                described,
            )| {
                Header {
                    profile,
                    is_reduced,
                    delay_bits,
                    levels,
                    has_frame_ids,
                    order_hint,
                    chooses_screen_content,
                    described,
                }
            },
        )
}

impl Header {
    /// The payload, with this range.
    fn write(&self, described: Option<[u32; 3]>, full_range: bool) -> Vec<u8> {
        let mut bits = Copy::of(&[]);
        bits.put(3, self.profile);
        bits.put(1, self.is_reduced.into());
        bits.put(1, self.is_reduced.into());
        if self.is_reduced {
            bits.put(5, 8);
        } else {
            self.write_points(&mut bits);
        }
        for (width, value) in [(4, 10), (4, 9), (11, 1919), (10, 1007)] {
            bits.put(width, value);
        }
        if !self.is_reduced {
            bits.put(1, self.has_frame_ids.into());
            bits.put(if self.has_frame_ids { 7 } else { 0 }, 0x55);
        }
        bits.put(3, 0b101);
        if !self.is_reduced {
            bits.put(4, 0b1011);
            bits.put(1, self.order_hint.into());
            bits.put(if self.order_hint { 2 } else { 0 }, 0b10);
            bits.put(1, self.chooses_screen_content.into());
            // No tools of screen content, or those that each frame says, and whole motion vectors as the header says.
            bits.put(if self.chooses_screen_content { 2 } else { 1 }, 0b00);
            bits.put(if self.order_hint { 3 } else { 0 }, 6);
        }
        bits.put(3, 0b110);
        // color_config: 10 bit where the profile has it, and not monochrome.
        bits.put(1, u32::from(self.profile == 2));
        bits.put(if self.profile == 2 { 1 } else { 0 }, 0);
        bits.put(if self.profile == 1 { 0 } else { 1 }, 0);
        bits.put(1, described.is_some().into());
        described.iter().flatten().for_each(|code| bits.put(8, *code));
        bits.put(1, full_range.into());
        // What comes after it, and the end.
        bits.put(5, 0b10110);
        bits.put(1, 1);
        bits.written()
    }

    fn write_points(&self, bits: &mut Copy) {
        bits.put(1, self.delay_bits.is_some().into());
        if let Some(delay) = self.delay_bits {
            bits.put(32, 1001);
            bits.put(32, 60_000);
            // Pictures are equally far apart: by 4 ticks.
            bits.put(1, 1);
            bits.put(5, 0b00100);
            bits.put(1, 1);
            bits.put(5, delay - 1);
            bits.put(32, 90_000);
            bits.put(10, 0x155);
        }
        bits.put(1, 0);
        bits.put(5, self.levels.len() as u32 - 1);
        for level in &self.levels {
            bits.put(12, 0xabc);
            bits.put(5, *level);
            bits.put(if *level > 7 { 1 } else { 0 }, 1);
            if let Some(delay) = self.delay_bits {
                bits.put(1, 1);
                bits.put(delay as usize, 1);
                bits.put(delay as usize, 0);
                bits.put(1, 0);
            }
        }
    }
}

/// A temporal unit: delimiter, sequence header, and a frame that is not looked into.
fn unit(header: &[u8]) -> Vec<u8> {
    let sequence = [&[0x0a, header.len() as u8][..], header].concat();
    [&[0x12, 0][..], &sequence, &[0x32, 3, 1, 2, 3]].concat()
}

proptest! {
    #[test]
    fn the_description_alone_is_another(header in headers()) {
        let unit_before = unit(&header.write(header.described, false));
        let unit_after = unit(&header.write(Some([1, 1, 1]), true));
        prop_assert_eq!(describe(&unit_before, BT709_FULL), Ok(Some(unit_after.clone())));
        prop_assert_eq!(describe(&unit_after, BT709_FULL), Ok(None));
    }

    #[test]
    fn nothing_makes_it_panic(unit in proptest::collection::vec(any::<u8>(), 0..80)) {
        _ = describe(&unit, BT709_FULL);
        _ = describe(&[&[0x0a, 60][..], &unit].concat(), BT709_FULL);
    }
}

#[test]
fn pictures_in_red_green_and_blue_stay_such() {
    let header = Header {
        profile: 1,
        is_reduced: true,
        delay_bits: None,
        levels: vec![0],
        has_frame_ids: false,
        order_hint: false,
        chooses_screen_content: false,
        described: None,
    };
    let srgb = unit(&header.write(Some([1, 13, 0]), true));
    assert_eq!(describe(&srgb, BT709_FULL), Ok(None));
}

#[test]
fn a_header_that_ends_early_is_malformed() {
    assert_eq!(describe(&[0x0a, 9, 0], BT709_FULL), Err(Malformed));
    assert_eq!(describe(&[0x0a, 1, 0], BT709_FULL), Err(Malformed));
}
