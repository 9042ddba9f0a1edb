//! Bodies of the messages with which a host moves, lights and asks a client's controllers and its screen. Numbers are
//! little-endian.

use super::input::Sensor;

/// Effect of an adaptive trigger, as a DualSense takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriggerEffect {
    pub mode: u8,
    pub parameters: [u8; 10],
}

/// How the host's picture was mastered; 0: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HdrMetadata {
    pub red: Chromaticity,
    pub green: Chromaticity,
    pub blue: Chromaticity,
    pub white: Chromaticity,
    /// In cd/m².
    pub max_luminance: u16,
    /// In 1/10000 cd/m².
    pub min_luminance: u16,
    /// MaxCLL, in cd/m².
    pub max_content_light: u16,
    /// MaxFALL, in cd/m².
    pub max_frame_average_light: u16,
    /// What the display reaches on all of its area, in cd/m².
    pub max_full_frame_luminance: u16,
}

/// In 1/50000, on the CIE 1931 diagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chromaticity {
    pub x: u16,
    pub y: u16,
}

/// The first four bytes mean nothing to any client.
pub(super) fn rumble(pad: u16, low: u16, high: u16) -> Vec<u8> {
    [vec![0; 4], le16s(&[pad, low, high])].concat()
}

pub(super) fn trigger_rumble(pad: u16, left: u16, right: u16) -> Vec<u8> {
    le16s(&[pad, left, right])
}

pub(super) fn motion(pad: u16, hertz: u16, sensor: Sensor) -> Vec<u8> {
    let sensor = match sensor {
        Sensor::Accelerometer => 1,
        Sensor::Gyroscope => 2,
    };
    [le16s(&[pad, hertz]), vec![sensor]].concat()
}

pub(super) fn led(pad: u16, red: u8, green: u8, blue: u8) -> Vec<u8> {
    [le16s(&[pad]), vec![red, green, blue]].concat()
}

/// A flag says which triggers are meant; the others keep their effect.
pub(super) fn adaptive_triggers(
    pad: u16,
    left: Option<TriggerEffect>,
    right: Option<TriggerEffect>,
) -> Vec<u8> {
    const RIGHT: u8 = 4;
    const LEFT: u8 = 8;
    let flags = if left.is_some() { LEFT } else { 0 } | if right.is_some() { RIGHT } else { 0 };
    let none = TriggerEffect { mode: 0, parameters: [0; 10] };
    let (left, right) = (left.unwrap_or(none), right.unwrap_or(none));
    let head = [le16s(&[pad]), vec![flags, left.mode, right.mode]].concat();
    [&head[..], &left.parameters, &right.parameters].concat()
}

pub(super) fn hdr(metadata: Option<HdrMetadata>) -> Vec<u8> {
    let on = u8::from(metadata.is_some());
    let said = metadata.unwrap_or_default();
    let HdrMetadata { red, green, blue, white, .. } = said;
    let colors = [red, green, blue, white].map(|color| le16s(&[color.x, color.y])).concat();
    let light = le16s(&[
        said.max_luminance,
        said.min_luminance,
        said.max_content_light,
        said.max_frame_average_light,
        said.max_full_frame_luminance,
    ]);
    [vec![on], colors, light].concat()
}

pub(super) fn le16s(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
