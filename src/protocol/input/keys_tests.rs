use super::*;
use std::collections::BTreeMap;

fn place(key: u8) -> u16 {
    VirtualKey(key).place().unwrap_or_else(|| panic!("{key:#04x} is no key"))
}

fn places_of(keys: impl IntoIterator<Item = u8>) -> Vec<u16> {
    keys.into_iter().map(place).collect()
}

fn key(key: u8, normalized: bool) -> Key {
    Key { key: VirtualKey(key), pressed: true, normalized, modifiers: Modifiers::NONE }
}

/// Linux counts the keys of an AT keyboard along its rows, as their scan codes go.
#[test]
fn rows_of_a_us_keyboard_are_in_order() {
    let punctuation = |text: &[u8]| -> Vec<u8> {
        let named = |c: &u8| match c {
            b'-' => 0xbd,
            b'=' => 0xbb,
            b'[' => 0xdb,
            b']' => 0xdd,
            b';' => 0xba,
            b'\'' => 0xde,
            b'`' => 0xc0,
            b'\\' => 0xdc,
            b',' => 0xbc,
            b'.' => 0xbe,
            b'/' => 0xbf,
            // Letters and digits are their own keys; control characters those that type them; \x0e is left Shift.
            b'\x0e' => 0xa0,
            b'\x0f' => 0xa2,
            other => *other,
        };
        text.iter().map(named).collect()
    };
    let rows = b"\x1b1234567890-=\x08\tQWERTYUIOP[]\r\x0fASDFGHJKL;'`\x0e\\ZXCVBNM,./";
    assert_eq!(places_of(punctuation(rows)), (1..=53).collect::<Vec<u16>>());
}

#[test]
fn other_blocks_are_in_order() {
    assert_eq!(places_of(0x70..=0x79), (59..=68).collect::<Vec<u16>>(), "F1 to F10");
    assert_eq!(places_of([0x7a, 0x7b]), [87, 88], "F11 and F12");
    assert_eq!(places_of(0x7c..=0x87), (183..=194).collect::<Vec<u16>>(), "F13 to F24");
    // Num Lock, Scroll Lock, 7 8 9 - 4 5 6 + 1 2 3 0 .
    let keypad = [0x90, 0x91, 0x67, 0x68, 0x69, 0x6d, 0x64, 0x65, 0x66, 0x6b, 0x61, 0x62, 0x63, 0x60, 0x6e];
    assert_eq!(places_of(keypad), (69..=83).collect::<Vec<u16>>());
    // Home, Up, Page Up, Left, Right, End, Down, Page Down, Insert, Delete.
    let navigation = [0x24, 0x26, 0x21, 0x25, 0x27, 0x23, 0x28, 0x22, 0x2d, 0x2e];
    assert_eq!(places_of(navigation), (102..=111).collect::<Vec<u16>>());
}

/// Against linux/input-event-codes.h, by name.
#[test]
fn keys_are_named_as_linux_names_them() {
    let named = [
        ("KEY_RIGHTSHIFT", 0xa1, 54),
        ("KEY_KPASTERISK", 0x6a, 55),
        ("KEY_LEFTALT", 0xa4, 56),
        ("KEY_SPACE", 0x20, 57),
        ("KEY_CAPSLOCK", 0x14, 58),
        ("KEY_102ND", 0xe2, 86),
        ("KEY_RO", 0xc1, 89),
        ("KEY_HENKAN", 0x1c, 92),
        ("KEY_MUHENKAN", 0x1d, 94),
        ("KEY_RIGHTCTRL", 0xa3, 97),
        ("KEY_KPSLASH", 0x6f, 98),
        ("KEY_SYSRQ", 0x2c, 99),
        ("KEY_RIGHTALT", 0xa5, 100),
        ("KEY_MUTE", 0xad, 113),
        ("KEY_VOLUMEDOWN", 0xae, 114),
        ("KEY_VOLUMEUP", 0xaf, 115),
        ("KEY_PAUSE", 0x13, 119),
        ("KEY_KPCOMMA", 0x6c, 121),
        ("KEY_HANGEUL", 0x15, 122),
        ("KEY_HANJA", 0x19, 123),
        ("KEY_LEFTMETA", 0x5b, 125),
        ("KEY_RIGHTMETA", 0x5c, 126),
        ("KEY_COMPOSE", 0x5d, 127),
        ("KEY_STOP", 0xa9, 128),
        ("KEY_HELP", 0x2f, 138),
        ("KEY_BOOKMARKS", 0xab, 156),
        ("KEY_BACK", 0xa6, 158),
        ("KEY_FORWARD", 0xa7, 159),
        ("KEY_NEXTSONG", 0xb0, 163),
        ("KEY_PLAYPAUSE", 0xb3, 164),
        ("KEY_PREVIOUSSONG", 0xb1, 165),
        ("KEY_STOPCD", 0xb2, 166),
        ("KEY_HOMEPAGE", 0xac, 172),
        ("KEY_REFRESH", 0xa8, 173),
        ("KEY_SEARCH", 0xaa, 217),
        ("KEY_SELECT", 0x29, 0x161),
        ("KEY_CLEAR", 0x0c, 0x163),
    ];
    for (name, key, code) in named {
        assert_eq!(place(key), code, "{name}");
    }
}

/// What Moonlight for computers makes of SDL's scan codes, and what those for Android, iOS and embedded ones add.
#[test]
fn whatever_clients_send_is_a_key() {
    let ranges = [0x21..=0x29, 0x2c..=0x39, 0x41..=0x5d, 0x60..=0x87, 0x90..=0x91, 0xa0..=0xac, 0xba..=0xc0];
    let single = [
        0x03, 0x08, 0x09, 0x0c, 0x0d, 0x13, 0x14, 0x1b, 0x1c, 0x1d, 0x20, 0x2a, 0x2b, 0xdb, 0xdc, 0xdd, 0xde,
        0xe2, 0xf1, 0xf2,
    ];
    let sent = ranges.into_iter().flatten().chain(single);
    let missing: Vec<u8> = sent.filter(|key| VirtualKey(*key).place().is_none()).collect();
    assert_eq!(missing, [0u8; 0]);
}

#[test]
fn two_keys_share_a_place_only_where_they_are_one() {
    let mut keys: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    for key in 0..=u8::MAX {
        if let Some(code) = VirtualKey(key).place() {
            keys.entry(code).or_default().push(key);
        }
    }
    let shared: Vec<Vec<u8>> = keys.into_values().filter(|keys| keys.len() > 1).collect();
    let aliases = [
        // Modifiers of no side are the left ones.
        vec![0x11, 0xa2],
        vec![0xc0, 0xdf],
        vec![0x10, 0xa0],
        vec![0x12, 0xa4],
        vec![0xf3, 0xf4],
        vec![0x2a, 0x2c],
        // The keypad's comma and Brazil's second key.
        vec![0x6c, 0xc2],
    ];
    assert_eq!(shared, aliases);
}

#[test]
fn mouse_buttons_are_no_keys() {
    for button in [0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x07, 0xff] {
        assert_eq!(VirtualKey(button).place(), None, "{button:#04x}");
        assert_eq!(key(button, false).target(), None);
    }
}

#[test]
fn a_normalized_key_is_a_place_whatever_it_types() {
    for code in 0..=u8::MAX {
        assert_eq!(key(code, true).target(), VirtualKey(code).place().map(KeyTarget::Place));
    }
}

#[test]
fn the_layout_decides_where_the_client_could_not() {
    assert_eq!(key(b'A', false).target(), Some(KeyTarget::Symbol { symbols: &['a'], otherwise: 30 }));
    assert_eq!(key(b'Z', false).target(), Some(KeyTarget::Symbol { symbols: &['z'], otherwise: 44 }));
    assert_eq!(key(0xdc, false).target(), Some(KeyTarget::Symbol { symbols: &['¥', '\\'], otherwise: 43 }));
    assert_eq!(key(0xe2, false).target(), Some(KeyTarget::Symbol { symbols: &['\\'], otherwise: 86 }));
    assert_eq!(key(b'1', false).target(), Some(KeyTarget::Place(2)), "digits are where they are");
    assert_eq!(key(0x0d, false).target(), Some(KeyTarget::Place(28)));
}

#[test]
fn modifiers_are_a_set() {
    let both = Modifiers::SHIFT.union(Modifiers::ALT);
    assert_eq!(Modifiers::from_byte(0xf5), both);
    assert!(both.contains(Modifiers::SHIFT) && !both.contains(Modifiers::CONTROL));
    assert_eq!(both.without(Modifiers::SHIFT), Modifiers::ALT);
    assert_eq!(Modifiers::from_byte(2), Modifiers::CONTROL);
    assert_eq!(Modifiers::from_byte(8), Modifiers::META);
}

#[test]
fn keys_of_modifiers_are_known() {
    let keys = |modifier: Modifiers| -> Vec<u8> {
        (0..=u8::MAX).filter(|key| VirtualKey(*key).modifier() == modifier).collect()
    };
    assert_eq!(keys(Modifiers::SHIFT), [0x10, 0xa0, 0xa1]);
    assert_eq!(keys(Modifiers::CONTROL), [0x11, 0xa2, 0xa3]);
    assert_eq!(keys(Modifiers::ALT), [0x12, 0xa4, 0xa5]);
    assert_eq!(keys(Modifiers::META), [0x5b, 0x5c]);
}
