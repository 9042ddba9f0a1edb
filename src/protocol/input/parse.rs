//! Reads what a client says in a message 0x0206: a big-endian size, which counts all that follows it, a little-endian
//! kind, and a body. Kinds up to 0x17 are NVIDIA's and put most of their numbers in big-endian order; those from
//! 0x55000001 on are extensions, in little-endian order. Layouts are those of clients for hosts of version 7.

use super::event::*;
use super::keys::{Modifiers, VirtualKey};

/// Why an event of a client is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    #[error("input of {0} bytes, too few for a size and a kind")]
    Header(usize),
    #[error("input that claims {claimed} bytes and has {given}")]
    Size { claimed: u32, given: usize },
    /// Newer clients have more kinds.
    #[error("input of the unknown kind {0:#010x}")]
    Unknown(u32),
    #[error("{kind} needs {needed} bytes and has {given}")]
    Short { kind: &'static str, needed: usize, given: usize },
    #[error("{kind} with {value} as its {field}")]
    Value { kind: &'static str, field: &'static str, value: u32 },
    #[error("{kind} whose {field} is not a finite number")]
    NotFinite { kind: &'static str, field: &'static str },
    #[error("text that is not one character of UTF-8")]
    Text,
}

impl Input {
    /// Reads one event. Bytes beyond what its kind needs are let be: that is how kinds grow.
    pub fn parse(packet: &[u8]) -> Result<Self, InputError> {
        let (size, given) = packet.split_first_chunk::<4>().ok_or(InputError::Header(packet.len()))?;
        let claimed = u32::from_be_bytes(*size);
        let oversized = InputError::Size { claimed, given: given.len() };
        let event = usize::try_from(claimed).ok().and_then(|size| given.get(..size)).ok_or(oversized)?;
        let (kind, body) =
            event.split_first_chunk::<4>().ok_or(InputError::Header(size.len() + event.len()))?;
        parse_body(u32::from_le_bytes(*kind), body)
    }
}

fn parse_body(kind: u32, body: &[u8]) -> Result<Input, InputError> {
    match kind {
        0x03 => key(true, Fields::new("key down", body)?),
        0x04 => key(false, Fields::new("key up", body)?),
        0x05 => absolute_motion(Fields::new("absolute motion", body)?),
        0x07 => Ok(relative_motion(Fields::new("relative motion", body)?)),
        0x08 => button(true, Fields::new("button down", body)?),
        0x09 => button(false, Fields::new("button up", body)?),
        0x0a => Ok(wheel(Fields::new("wheel", body)?)),
        0x0c => controller(Fields::new("controller state", body)?),
        0x0d => Ok(haptics(Fields::new("haptics", body)?)),
        0x17 => text(body),
        0x5500_0001 => Ok(horizontal_wheel(Fields::new("horizontal wheel", body)?)),
        0x5500_0002 => touch(Fields::new("touch", body)?),
        0x5500_0003 => pen(Fields::new("pen", body)?),
        0x5500_0004 => arrival(Fields::new("controller arrival", body)?),
        0x5500_0005 => controller_touch(Fields::new("controller touch", body)?),
        0x5500_0006 => controller_motion(Fields::new("controller motion", body)?),
        0x5500_0007 => battery(Fields::new("controller battery", body)?),
        unknown => Err(InputError::Unknown(unknown)),
    }
}

/// The `N` bytes that a kind needs.
struct Fields<'a, const N: usize> {
    kind: &'static str,
    bytes: &'a [u8; N],
}

impl<'a, const N: usize> Fields<'a, N> {
    fn new(kind: &'static str, body: &'a [u8]) -> Result<Self, InputError> {
        let short = InputError::Short { kind, needed: N, given: body.len() };
        Ok(Self { kind, bytes: body.first_chunk().ok_or(short)? })
    }

    fn bytes<const M: usize>(&self, at: usize) -> [u8; M] {
        *self.bytes[at..].first_chunk().expect("offsets are of the layout, which has N bytes")
    }

    fn u8(&self, at: usize) -> u8 {
        self.bytes[at]
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.bytes(at))
    }

    fn big_endian_i16(&self, at: usize) -> i16 {
        i16::from_be_bytes(self.bytes(at))
    }

    fn float(&self, field: &'static str, at: usize) -> Result<f32, InputError> {
        let value = f32::from_le_bytes(self.bytes(at));
        value.is_finite().then_some(value).ok_or(InputError::NotFinite { kind: self.kind, field })
    }

    /// A float that is meant to be in 0 to 1.
    fn fraction(&self, field: &'static str, at: usize) -> Result<f32, InputError> {
        self.float(field, at).map(|value| value.clamp(0.0, 1.0))
    }

    /// The same where 0 says that it is not known.
    fn known_fraction(&self, field: &'static str, at: usize) -> Result<Option<f32>, InputError> {
        self.fraction(field, at).map(|value| (value > 0.0).then_some(value))
    }

    fn refuse(&self, field: &'static str, value: impl Into<u32>) -> InputError {
        InputError::Value { kind: self.kind, field, value: value.into() }
    }

    fn pad(&self, number: u16) -> Result<PadNumber, InputError> {
        PadNumber::new(number).ok_or_else(|| self.refuse("controller number", number))
    }
}

fn haptics(fields: Fields<2>) -> Input {
    Input::Haptics { enabled: fields.u16(0) != 0 }
}

fn relative_motion(fields: Fields<4>) -> Input {
    Input::RelativeMotion { dx: fields.big_endian_i16(0).into(), dy: fields.big_endian_i16(2).into() }
}

/// Clients send the size of their plane less one, and places up to its size.
fn absolute_motion(fields: Fields<10>) -> Result<Input, InputError> {
    let axis = |at, field, max_at| -> Result<(u16, u16), InputError> {
        let max = fields.big_endian_i16(max_at);
        let refused = fields.refuse(field, max as u16);
        let max = u16::try_from(max).ok().filter(|max| *max > 0).ok_or(refused)?;
        Ok((u16::try_from(fields.big_endian_i16(at)).unwrap_or(0).min(max), max))
    };
    let (x, max_x) = axis(0, "width", 6)?;
    let (y, max_y) = axis(2, "height", 8)?;
    Ok(Input::AbsoluteMotion(AbsoluteMotion { x, y, max_x, max_y }))
}

fn button(pressed: bool, fields: Fields<1>) -> Result<Input, InputError> {
    let button = match fields.u8(0) {
        1 => MouseButton::Left,
        2 => MouseButton::Middle,
        3 => MouseButton::Right,
        4 => MouseButton::X1,
        5 => MouseButton::X2,
        other => return Err(fields.refuse("button", other)),
    };
    Ok(Input::Button { button, pressed })
}

/// The amount comes twice.
fn wheel(fields: Fields<6>) -> Input {
    Input::Wheel { amount: fields.big_endian_i16(0) }
}

fn horizontal_wheel(fields: Fields<2>) -> Input {
    Input::HorizontalWheel { amount: fields.big_endian_i16(0) }
}

/// The key is 16 bits wide; clients set the uppermost, and the eight lower ones are the virtual key.
fn key(pressed: bool, fields: Fields<6>) -> Result<Input, InputError> {
    const NOT_NORMALIZED: u8 = 1;
    Ok(Input::Key(Key {
        key: VirtualKey(fields.u16(1) as u8),
        pressed,
        normalized: fields.u8(0) & NOT_NORMALIZED == 0,
        modifiers: Modifiers::from_byte(fields.u8(3)),
    }))
}

fn text(body: &[u8]) -> Result<Input, InputError> {
    let mut characters = std::str::from_utf8(body).map_err(|_| InputError::Text)?.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => Ok(Input::Text(character)),
        _ => Err(InputError::Text),
    }
}

fn touch(fields: Fields<28>) -> Result<Input, InputError> {
    let point = |hovers| {
        let (area, rotation) = (area(&fields, 20)?, rotation(fields.u16(2)));
        Ok(TouchPoint { area, rotation, ..point(&fields, 8, hovers)? })
    };
    Ok(Input::Touch(match phase(&fields, 0)? {
        Phase::CancelAll => Touch::CancelAll,
        phase => Touch::Pointer { id: fields.u32(4), contact: contact(&fields, phase, point)? },
    }))
}

fn pen(fields: Fields<28>) -> Result<Input, InputError> {
    let tool = match fields.u8(1) {
        1 => PenTool::Pen,
        2 => PenTool::Eraser,
        _ => PenTool::Unknown,
    };
    let point = |hovers| {
        let (area, rotation, tilt) = (area(&fields, 20)?, rotation(fields.u16(16)), tilt(fields.u8(18)));
        Ok(TouchPoint { area, rotation, tilt, ..point(&fields, 4, hovers)? })
    };
    let contact = match phase(&fields, 0)? {
        Phase::ButtonsOnly => None,
        phase => Some(contact(&fields, phase, point)?),
    };
    Ok(Input::Pen(Pen { tool, buttons: PenButtons(fields.u8(2) & PenButtons::ALL.0), contact }))
}

fn controller_touch(fields: Fields<20>) -> Result<Input, InputError> {
    let pad = fields.pad(fields.u8(0).into())?;
    let touchpad = fields.u8(3);
    if usize::from(touchpad) >= TOUCHPADS {
        return Err(fields.refuse("touchpad", touchpad));
    }
    let touch = match phase(&fields, 1)? {
        Phase::CancelAll => Touch::CancelAll,
        phase => {
            let contact = contact(&fields, phase, |hovers| point(&fields, 8, hovers))?;
            Touch::Pointer { id: fields.u32(4), contact }
        }
    };
    Ok(Input::ControllerTouch(ControllerTouch { pad, touchpad, touch }))
}

/// What a message about a finger or pen is about.
#[derive(Clone, Copy)]
enum Phase {
    Hover,
    Down,
    Up,
    Move,
    Cancel,
    ButtonsOnly,
    Leave,
    CancelAll,
}

fn phase<const N: usize>(fields: &Fields<N>, at: usize) -> Result<Phase, InputError> {
    match fields.u8(at) {
        0 => Ok(Phase::Hover),
        1 => Ok(Phase::Down),
        2 => Ok(Phase::Up),
        3 => Ok(Phase::Move),
        4 => Ok(Phase::Cancel),
        5 => Ok(Phase::ButtonsOnly),
        6 => Ok(Phase::Leave),
        7 => Ok(Phase::CancelAll),
        other => Err(fields.refuse("event", other)),
    }
}

/// Reads the point only where it says something. There is one pen: all of it is cancelled when it is.
fn contact<const N: usize>(
    fields: &Fields<N>,
    phase: Phase,
    point: impl Fn(bool) -> Result<TouchPoint, InputError>,
) -> Result<Contact, InputError> {
    match phase {
        Phase::Hover => point(true).map(Contact::Hover),
        Phase::Down => point(false).map(Contact::Down),
        Phase::Move => point(false).map(Contact::Move),
        Phase::Up => point(false).map(Contact::Up),
        Phase::Leave => Ok(Contact::Leave),
        Phase::Cancel | Phase::CancelAll => Ok(Contact::Cancel),
        Phase::ButtonsOnly => Err(fields.refuse("event", 5u32)),
    }
}

/// x, y, and what is the pressure of what touches and the distance of what hovers.
fn point<const N: usize>(fields: &Fields<N>, at: usize, hovers: bool) -> Result<TouchPoint, InputError> {
    let (x, y) = (fields.fraction("x", at)?, fields.fraction("y", at + 4)?);
    let third = fields.known_fraction(if hovers { "distance" } else { "pressure" }, at + 8)?;
    let (pressure, distance) = if hovers { (None, third) } else { (third, None) };
    Ok(TouchPoint { x, y, pressure, distance, area: None, rotation: None, tilt: None })
}

/// Unknown without a major axis; a circle without a minor one.
fn area<const N: usize>(fields: &Fields<N>, at: usize) -> Result<Option<Ellipse>, InputError> {
    let major = fields.known_fraction("major axis", at)?;
    let minor = fields.known_fraction("minor axis", at + 4)?;
    Ok(major.map(|major| Ellipse { major, minor: minor.unwrap_or(major) }))
}

fn rotation(degrees: u16) -> Option<Degrees> {
    (degrees != u16::MAX).then_some(Degrees(degrees % 360))
}

fn tilt(degrees: u8) -> Option<Degrees> {
    (degrees != u8::MAX).then_some(Degrees(degrees.min(90).into()))
}

/// Between the fields are constants of old hosts, which say nothing.
fn controller(fields: Fields<26>) -> Result<Input, InputError> {
    let stick = |at| Stick { x: fields.i16(at), y: fields.i16(at + 2) };
    Ok(Input::Controller(ControllerState {
        pad: fields.pad(fields.u16(2))?,
        plugged: fields.u16(4),
        buttons: PadButtons(u32::from(fields.u16(8)) | u32::from(fields.u16(22)) << 16),
        left_trigger: fields.u8(10),
        right_trigger: fields.u8(11),
        left_stick: stick(12),
        right_stick: stick(16),
    }))
}

fn arrival(fields: Fields<8>) -> Result<Input, InputError> {
    let kind = match fields.u8(1) {
        1 => PadKind::Xbox,
        2 => PadKind::PlayStation,
        3 => PadKind::Nintendo,
        4 => PadKind::Steam,
        _ => PadKind::Unknown,
    };
    Ok(Input::ControllerArrival(ControllerArrival {
        pad: fields.pad(fields.u8(0).into())?,
        kind,
        capabilities: PadCapabilities(fields.u16(2)),
        buttons: PadButtons(fields.u32(4)),
    }))
}

fn controller_motion(fields: Fields<16>) -> Result<Input, InputError> {
    let sensor = match fields.u8(1) {
        1 => Sensor::Accelerometer,
        2 => Sensor::Gyroscope,
        other => return Err(fields.refuse("sensor", other)),
    };
    Ok(Input::ControllerMotion(ControllerMotion {
        pad: fields.pad(fields.u8(0).into())?,
        sensor,
        x: fields.float("x", 4)?,
        y: fields.float("y", 8)?,
        z: fields.float("z", 12)?,
    }))
}

fn battery(fields: Fields<4>) -> Result<Input, InputError> {
    let state = match fields.u8(1) {
        1 => BatteryState::Absent,
        2 => BatteryState::Discharging,
        3 => BatteryState::Charging,
        4 => BatteryState::NotCharging,
        5 => BatteryState::Full,
        _ => BatteryState::Unknown,
    };
    let percent = fields.u8(2);
    Ok(Input::ControllerBattery(ControllerBattery {
        pad: fields.pad(fields.u8(0).into())?,
        state,
        percent: (percent != u8::MAX).then_some(percent.min(100)),
    }))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
