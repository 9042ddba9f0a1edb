use super::*;
use crate::protocol::input::KeyTarget;
use crate::protocol::input::vectors::vectors;

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex.replace(' ', "")).expect("hexadecimal")
}

fn parse(hex: &str) -> Result<Input, InputError> {
    Input::parse(&bytes(hex))
}

/// The packet with the size that it has.
fn resized(mut packet: Vec<u8>) -> Vec<u8> {
    let size = packet.len() as u32 - 4;
    packet[..4].copy_from_slice(&size.to_be_bytes());
    packet
}

#[test]
fn every_kind_is_read() {
    for (hex, input) in vectors() {
        assert_eq!(parse(hex), Ok(input), "{hex}");
    }
}

#[test]
fn what_follows_is_let_be() {
    for (hex, input) in vectors() {
        let mut packet = bytes(hex);
        packet.extend([0xaa; 3]);
        assert_eq!(Input::parse(&packet), Ok(input), "{hex}: behind what the size counts");
        if !matches!(input, Input::Text(_)) {
            assert_eq!(Input::parse(&resized(packet)), Ok(input), "{hex}: fields of newer clients");
        }
    }
}

#[test]
fn a_size_is_held_against_the_bytes() {
    for (hex, _) in vectors() {
        let packet = bytes(hex);
        let claimed = packet.len() as u32 - 4;
        for length in 0..packet.len() {
            let error = if length < 4 {
                InputError::Header(length)
            } else {
                InputError::Size { claimed, given: length - 4 }
            };
            assert_eq!(Input::parse(&packet[..length]), Err(error), "{hex} cut to {length}");
        }
    }
    assert_eq!(parse("ffffffff 07000000"), Err(InputError::Size { claimed: u32::MAX, given: 4 }));
}

#[test]
fn a_short_body_names_its_kind() {
    for (hex, input) in vectors() {
        let packet = bytes(hex);
        for length in 4..packet.len() {
            let short = resized(packet[..length].to_vec());
            let error = Input::parse(&short).expect_err(hex);
            match (length, input) {
                (..8, _) => assert_eq!(error, InputError::Header(length)),
                (_, Input::Text(_)) => assert_eq!(error, InputError::Text),
                _ => {
                    let InputError::Short { needed, given, .. } = error else { panic!("{hex}: {error}") };
                    assert_eq!((needed, given), (packet.len() - 8, length - 8), "{hex}");
                }
            }
        }
    }
    let error = parse("00000006 07000000 0001").expect_err("two bytes lack");
    assert_eq!(error.to_string(), "relative motion needs 4 bytes and has 2");
}

#[test]
fn an_unknown_kind_says_which() {
    assert_eq!(parse("00000004 08000055"), Err(InputError::Unknown(0x5500_0008)));
    assert_eq!(
        parse("00000008 06000000 0001 0001"),
        Err(InputError::Unknown(6)),
        "of hosts before version 5"
    );
}

#[test]
fn numbers_without_a_meaning_are_refused() {
    let refused = |kind, field, value| Err(InputError::Value { kind, field, value });
    assert_eq!(parse("00000005 08000000 00"), refused("button down", "button", 0));
    assert_eq!(parse("00000005 09000000 06"), refused("button up", "button", 6));
    let state = "0000001e 0c000000 1a00 1000 0500 1400 0110 00 00 0000 0000 0000 0000 9c00 0000 5500";
    assert_eq!(parse(state), refused("controller state", "controller number", 16));
    let arrival = "0000000c 04000055 10 02 fb01 fff73f00";
    assert_eq!(parse(arrival), refused("controller arrival", "controller number", 16));
    let motion = "00000014 06000055 ff 01 0000 00000000 00000000 00000000";
    assert_eq!(parse(motion), refused("controller motion", "controller number", 255));
    assert_eq!(
        parse(&motion.replace("ff 01", "00 03")),
        refused("controller motion", "sensor", 3),
        "a sensor that nobody asked for"
    );
    assert_eq!(
        parse("00000008 07000055 10 03 37 00"),
        refused("controller battery", "controller number", 16)
    );
    let pad_touch = "00000018 05000055 01 01 00 02 07000000 00000000 00000000 00000000";
    assert_eq!(parse(pad_touch), refused("controller touch", "touchpad", 2));
    let touch = "00000020 02000055 08 00 ffff 01000000 00000000 00000000 00000000 00000000 00000000";
    assert_eq!(parse(touch), refused("touch", "event", 8));
    assert_eq!(
        parse(&touch.replace("55 08", "55 05")),
        refused("touch", "event", 5),
        "a finger has no buttons"
    );
}

#[test]
fn a_plane_without_extent_is_refused() {
    let motion = |size: &str| parse(&format!("0000000e 05000000 0000 0000 0000 {size}"));
    let refused = |field, value| Err(InputError::Value { kind: "absolute motion", field, value });
    assert_eq!(motion("0000 02cf"), refused("width", 0), "one pixel");
    assert_eq!(motion("ffff 02cf"), refused("width", 0xffff), "none: the client takes one off");
    assert_eq!(motion("04ff 8000"), refused("height", 0x8000));
}

#[test]
fn places_are_brought_into_the_plane() {
    let place = |hex: &str| match parse(&format!("0000000e 05000000 {hex} 0000 04ff 02cf")) {
        Ok(Input::AbsoluteMotion(motion)) => (motion.x, motion.y, motion.fraction()),
        other => panic!("{other:?}"),
    };
    assert_eq!(place("0000 02cf"), (0, 719, (0.0, 1.0)));
    assert_eq!(place("0500 7fff"), (1279, 719, (1.0, 1.0)), "clients go up to the size itself");
    assert_eq!(place("ffff 8000"), (0, 0, (0.0, 0.0)));
}

#[test]
fn points_are_brought_into_the_surface() {
    let point = |hex: &str| match parse(&format!("00000020 02000055 03 00 {hex}")) {
        Ok(Input::Touch(Touch::Pointer { contact: Contact::Move(point), .. })) => point,
        other => panic!("{other:?}"),
    };
    let outside = point("6801 01000000 000000c0 00000040 00000040 00000040 00000040");
    assert_eq!((outside.x, outside.y, outside.pressure), (0.0, 1.0, Some(1.0)));
    assert_eq!(outside.area, Some(Ellipse { major: 1.0, minor: 1.0 }));
    assert_eq!(outside.rotation, Some(Degrees(0)), "360 degrees");
    assert_eq!(point("ffff 01000000 00000000 00000000 000080bf 000080bf 00000000").pressure, None);
}

#[test]
fn what_is_not_a_number_is_refused() {
    let touch = |floats: &str| parse(&format!("00000020 02000055 01 00 ffff 01000000 {floats}"));
    let refused = |field| Err(InputError::NotFinite { kind: "touch", field });
    assert_eq!(touch("0000c07f 00000000 00000000 00000000 00000000"), refused("x"));
    assert_eq!(touch("00000000 0000807f 00000000 00000000 00000000"), refused("y"));
    assert_eq!(touch("00000000 00000000 000080ff 00000000 00000000"), refused("pressure"));
    assert_eq!(touch("00000000 00000000 00000000 0000c0ff 00000000"), refused("major axis"));
    assert_eq!(touch("00000000 00000000 00000000 00000000 0100807f"), refused("minor axis"));
    let motion = parse("00000014 06000055 01 02 0000 00000000 00000000 0000c07f");
    assert_eq!(motion, Err(InputError::NotFinite { kind: "controller motion", field: "z" }));
}

#[test]
fn a_pen_tilts_by_a_right_angle_at_most() {
    let tilt = |hex: &str| match parse(&format!(
        "00000020 03000055 01 01 00 00 00000000 00000000 00000000 ffff {hex} 00 00000000 00000000"
    )) {
        Ok(Input::Pen(Pen { contact: Some(Contact::Down(point)), .. })) => point.tilt,
        other => panic!("{other:?}"),
    };
    assert_eq!((tilt("5a"), tilt("5b"), tilt("ff")), (Some(Degrees(90)), Some(Degrees(90)), None));
}

#[test]
fn newer_things_are_unknown_rather_than_refused() {
    let arrival = parse("0000000c 04000055 00 05 ffff ffffffff");
    let Ok(Input::ControllerArrival(arrival)) = arrival else { panic!("{arrival:?}") };
    assert_eq!(arrival.kind, PadKind::Unknown);
    assert!(arrival.capabilities.contains(PadCapabilities::TWO_TOUCHPADS));
    let battery = parse("00000008 07000055 00 06 65 00");
    let Ok(Input::ControllerBattery(battery)) = battery else { panic!("{battery:?}") };
    assert_eq!((battery.state, battery.percent), (BatteryState::Unknown, Some(100)));
    let pen = "00000020 03000055 05 03 ff 00 00000000 00000000 00000000 ffff ff 00 00000000 00000000";
    let Ok(Input::Pen(pen)) = parse(pen) else { panic!() };
    assert_eq!((pen.tool, pen.buttons), (PenTool::Unknown, PenButtons::ALL));
}

#[test]
fn text_is_one_character() {
    assert_eq!(parse("00000004 17000000"), Err(InputError::Text));
    assert_eq!(parse("00000006 17000000 6162"), Err(InputError::Text));
    assert_eq!(parse("00000005 17000000 e2"), Err(InputError::Text));
    assert_eq!(parse("00000007 17000000 eda080"), Err(InputError::Text), "half a surrogate pair");
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A vector of the list with up to four bytes of its body changed.
    fn mutated(&mut self, packets: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = packets[self.below(packets.len())].clone();
        for _ in 0..self.below(5) {
            let at = 8 + self.below(packet.len() - 8);
            packet[at] = self.next() as u8;
        }
        packet
    }

    /// A size that fits, a kind of the list, and anything.
    fn of_a_kind(&mut self, packets: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = packets[self.below(packets.len())][..8].to_vec();
        packet.extend((0..self.below(40)).map(|_| self.next() as u8).collect::<Vec<_>>());
        resized(packet)
    }

    fn anything(&mut self) -> Vec<u8> {
        (0..self.below(48)).map(|_| self.next() as u8).collect()
    }
}

fn assert_fraction(value: f32) {
    assert!((0.0..=1.0).contains(&value), "{value}");
}

fn assert_contact_bounds(contact: Contact) {
    let (Contact::Hover(point) | Contact::Down(point) | Contact::Move(point) | Contact::Up(point)) = contact
    else {
        return;
    };
    assert_fraction(point.x);
    assert_fraction(point.y);
    let axes = point.area.map(|area| [area.major, area.minor]).into_iter().flatten();
    for known in point.pressure.into_iter().chain(point.distance).chain(axes) {
        assert_fraction(known);
        assert!(known > 0.0);
    }
    assert!(point.rotation.is_none_or(|Degrees(degrees)| degrees < 360));
    assert!(point.tilt.is_none_or(|Degrees(degrees)| degrees <= 90));
    let hovers = matches!(contact, Contact::Hover(_));
    assert!(if hovers { point.pressure.is_none() } else { point.distance.is_none() });
}

fn assert_touch_bounds(touch: Touch) {
    if let Touch::Pointer { contact, .. } = touch {
        assert_contact_bounds(contact);
    }
}

fn assert_bounds(input: Input) {
    match input {
        Input::RelativeMotion { dx, dy } => {
            assert!(i16::try_from(dx).is_ok() && i16::try_from(dy).is_ok());
        }
        Input::AbsoluteMotion(motion) => {
            assert!(motion.x <= motion.max_x && motion.y <= motion.max_y);
            assert!((1..0x8000).contains(&motion.max_x) && (1..0x8000).contains(&motion.max_y));
        }
        Input::Key(key) => {
            let all = [Modifiers::SHIFT, Modifiers::CONTROL, Modifiers::ALT, Modifiers::META];
            let all = all.into_iter().fold(Modifiers::NONE, Modifiers::union);
            assert!(all.contains(key.modifiers));
            assert!(!key.normalized || !matches!(key.target(), Some(KeyTarget::Symbol { .. })));
        }
        Input::Touch(touch) => assert_touch_bounds(touch),
        Input::Pen(pen) => {
            assert!(PenButtons::ALL.contains(pen.buttons));
            pen.contact.into_iter().for_each(assert_contact_bounds);
        }
        Input::Controller(state) => assert!(state.pad.index() < PadNumber::COUNT),
        Input::ControllerArrival(arrival) => assert!(arrival.pad.index() < PadNumber::COUNT),
        Input::ControllerTouch(touch) => {
            assert!(touch.pad.index() < PadNumber::COUNT && usize::from(touch.touchpad) < TOUCHPADS);
            assert_touch_bounds(touch.touch);
        }
        Input::ControllerMotion(motion) => {
            assert!(motion.pad.index() < PadNumber::COUNT);
            assert!([motion.x, motion.y, motion.z].into_iter().all(f32::is_finite));
        }
        Input::ControllerBattery(battery) => {
            assert!(battery.pad.index() < PadNumber::COUNT && battery.percent.is_none_or(|p| p <= 100));
        }
        Input::Haptics { .. }
        | Input::Button { .. }
        | Input::Wheel { .. }
        | Input::HorizontalWheel { .. }
        | Input::Text(_) => {}
    }
}

#[test]
fn whatever_is_accepted_respects_its_bounds() {
    const PACKETS: usize = 300_000;
    let packets: Vec<Vec<u8>> = vectors().iter().map(|(hex, _)| bytes(hex)).collect();
    let mut random = Random(20);
    let mut accepted = 0;
    for turn in 0..PACKETS {
        let packet = match turn % 3 {
            0 => random.mutated(&packets),
            1 => random.of_a_kind(&packets),
            _ => random.anything(),
        };
        if let Ok(input) = Input::parse(&packet) {
            accepted += 1;
            assert_bounds(input);
        }
    }
    assert!(accepted > PACKETS / 4, "only {accepted} of {PACKETS} were worth a look");
}
