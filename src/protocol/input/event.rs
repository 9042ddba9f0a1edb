//! The events, as the rest of the host sees them.

use super::keys::{Modifiers, VirtualKey};

/// One event of a client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// Whether the client takes rumble. Sent once, at the start.
    Haptics { enabled: bool },
    /// The mouse moved by so many counts. One message carries 16 bits; more come of coalescing.
    RelativeMotion { dx: i32, dy: i32 },
    /// The mouse went to a place.
    AbsoluteMotion(AbsoluteMotion),
    /// A button of the mouse.
    Button { button: MouseButton, pressed: bool },
    /// In 1/120 of a notch, up being positive.
    Wheel { amount: i16 },
    /// In 1/120 of a notch, right being positive.
    HorizontalWheel { amount: i16 },
    /// A key of the keyboard.
    Key(Key),
    /// A character that was typed without a key: by a touch keyboard, an input method, or from the clipboard.
    Text(char),
    /// A finger on the picture.
    Touch(Touch),
    /// A pen on the picture.
    Pen(Pen),
    /// All that a controller's buttons and axes say now.
    Controller(ControllerState),
    /// What a new controller is; its first state follows.
    ControllerArrival(ControllerArrival),
    /// A finger on a controller's touchpad.
    ControllerTouch(ControllerTouch),
    /// A sample of a controller's sensor.
    ControllerMotion(ControllerMotion),
    /// How full a controller is.
    ControllerBattery(ControllerBattery),
}

/// A place on a plane of the client's choice, which the picture fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsoluteMotion {
    /// 0 to `max_x`.
    pub x: u16,
    /// 0 to `max_y`.
    pub y: u16,
    /// The rightmost place, at least 1.
    pub max_x: u16,
    /// The lowest place, at least 1.
    pub max_y: u16,
}

impl AbsoluteMotion {
    /// 0 at the left and upper edge of the picture, 1 at the right and lower one.
    pub fn fraction(&self) -> (f64, f64) {
        let part = |at: u16, max: u16| f64::from(at) / f64::from(max);
        (part(self.x, self.max_x), part(self.y, self.max_y))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MouseButton {
    Left,
    Middle,
    Right,
    X1,
    X2,
}

impl MouseButton {
    /// `BTN_*` of linux/input-event-codes.h.
    pub fn evdev_code(self) -> u16 {
        match self {
            Self::Left => 0x110,
            Self::Right => 0x111,
            Self::Middle => 0x112,
            Self::X1 => 0x113,
            Self::X2 => 0x114,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub key: VirtualKey,
    pub pressed: bool,
    /// `key` names a place on a US keyboard, as it nearly always does. Otherwise the host's layout decides which key is
    /// meant: [`Key::target`].
    pub normalized: bool,
    /// What the client says is held. Touch keyboards say it here alone: [`super::Pressed::missing_modifiers`].
    pub modifiers: Modifiers,
}

/// What happens on a surface that feels fingers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Touch {
    /// One finger. `id` is the client's, unique among those that are on the surface.
    Pointer { id: u32, contact: Contact },
    /// No finger has been there: as [`Contact::Cancel`] for each.
    CancelAll,
}

/// What becomes of one finger or pen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Contact {
    /// Above the surface.
    Hover(TouchPoint),
    Down(TouchPoint),
    /// While down.
    Move(TouchPoint),
    Up(TouchPoint),
    /// Was above the surface, and is no longer.
    Leave,
    /// What it began is to be undone rather than done.
    Cancel,
}

/// Where a finger or pen is, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TouchPoint {
    /// 0 at the left edge of the surface, 1 at the right one.
    pub x: f32,
    /// 0 at the upper edge of the surface, 1 at the lower one.
    pub y: f32,
    /// Above 0, up to 1; `None` if unknown or hovering.
    pub pressure: Option<f32>,
    /// Above 0, up to 1, where the device's reach ends; `None` if unknown or not hovering.
    pub distance: Option<f32>,
    pub area: Option<Ellipse>,
    /// In the plane of the surface, from upright.
    pub rotation: Option<Degrees>,
    /// Of a pen, from upright on the surface: 0 to 90.
    pub tilt: Option<Degrees>,
}

/// The area of a contact. Axes are fractions of the surface, above 0, up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ellipse {
    pub major: f32,
    pub minor: f32,
}

/// Below 360.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degrees(pub u16);

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pen {
    pub tool: PenTool,
    pub buttons: PenButtons,
    /// `None`: only the buttons changed.
    pub contact: Option<Contact>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PenTool {
    Unknown,
    Pen,
    Eraser,
}

/// Those of a pen that are pressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PenButtons(pub(super) u8);

impl PenButtons {
    pub const NONE: Self = Self(0);
    pub const PRIMARY: Self = Self(1);
    pub const SECONDARY: Self = Self(2);
    pub const TERTIARY: Self = Self(4);
    pub(super) const ALL: Self = Self(7);

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Which of a client's controllers, below [`PadNumber::COUNT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PadNumber(u8);

impl PadNumber {
    /// As many as the mask of plugged ones has bits.
    pub const COUNT: usize = 16;

    pub fn new(number: u16) -> Option<Self> {
        (usize::from(number) < Self::COUNT).then_some(Self(number as u8))
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Its bit in a mask of plugged controllers.
    pub fn bit(self) -> u16 {
        1 << self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllerState {
    pub pad: PadNumber,
    /// A bit for each controller of the client that is plugged in.
    pub plugged: u16,
    pub buttons: PadButtons,
    /// 255: pulled all the way.
    pub left_trigger: u8,
    pub right_trigger: u8,
    pub left_stick: Stick,
    pub right_stick: Stick,
}

impl ControllerState {
    /// Nothing pressed, nothing deflected.
    pub fn neutral(pad: PadNumber, plugged: u16) -> Self {
        let (buttons, stick) = (PadButtons::default(), Stick::default());
        Self {
            pad,
            plugged,
            buttons,
            left_trigger: 0,
            right_trigger: 0,
            left_stick: stick,
            right_stick: stick,
        }
    }

    /// Otherwise it was unplugged, and the rest says nothing.
    pub fn is_plugged(&self) -> bool {
        self.plugged & self.pad.bit() != 0
    }
}

/// Full deflection to the right and up is 32767.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stick {
    pub x: i16,
    pub y: i16,
}

/// Buttons of a controller, named by their place on an Xbox controller. Bits without a name are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PadButtons(pub u32);

impl PadButtons {
    pub const UP: Self = Self(0x1);
    pub const DOWN: Self = Self(0x2);
    pub const LEFT: Self = Self(0x4);
    pub const RIGHT: Self = Self(0x8);
    pub const START: Self = Self(0x10);
    pub const BACK: Self = Self(0x20);
    pub const LEFT_STICK: Self = Self(0x40);
    pub const RIGHT_STICK: Self = Self(0x80);
    pub const LEFT_SHOULDER: Self = Self(0x100);
    pub const RIGHT_SHOULDER: Self = Self(0x200);
    pub const GUIDE: Self = Self(0x400);
    pub const A: Self = Self(0x1000);
    pub const B: Self = Self(0x2000);
    pub const X: Self = Self(0x4000);
    pub const Y: Self = Self(0x8000);
    pub const PADDLE1: Self = Self(0x1_0000);
    pub const PADDLE2: Self = Self(0x2_0000);
    pub const PADDLE3: Self = Self(0x4_0000);
    pub const PADDLE4: Self = Self(0x8_0000);
    /// The touchpad, pressed down.
    pub const TOUCHPAD: Self = Self(0x10_0000);
    /// Share, capture, microphone: what there is.
    pub const MISC: Self = Self(0x20_0000);

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllerArrival {
    pub pad: PadNumber,
    pub kind: PadKind,
    pub capabilities: PadCapabilities,
    /// Those that it has.
    pub buttons: PadButtons,
}

/// Whose layout a controller has. A kind that is not known here is `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadKind {
    Unknown,
    Xbox,
    PlayStation,
    Nintendo,
    /// An Xbox layout with two touchpads, sensors and grip buttons.
    Steam,
}

/// What a controller can do. Bits without a name are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PadCapabilities(pub u16);

impl PadCapabilities {
    pub const ANALOG_TRIGGERS: Self = Self(0x1);
    pub const RUMBLE: Self = Self(0x2);
    pub const TRIGGER_RUMBLE: Self = Self(0x4);
    pub const TOUCHPAD: Self = Self(0x8);
    pub const ACCELEROMETER: Self = Self(0x10);
    pub const GYROSCOPE: Self = Self(0x20);
    pub const BATTERY: Self = Self(0x40);
    pub const LED: Self = Self(0x80);
    pub const TWO_TOUCHPADS: Self = Self(0x100);

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Touchpads that a controller may have.
pub const TOUCHPADS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ControllerTouch {
    pub pad: PadNumber,
    /// Below [`TOUCHPADS`]; of two, 0 is the left one.
    pub touchpad: u8,
    pub touch: Touch,
}

/// A sensor of a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sensor {
    /// In m/s², gravity included.
    Accelerometer,
    /// In degrees per second.
    Gyroscope,
}

/// In the sensor's unit, on SDL's axes: x to the right, y up, z towards the player.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ControllerMotion {
    pub pad: PadNumber,
    pub sensor: Sensor,
    pub x: f32,
    pub y: f32,
    pub z: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllerBattery {
    pub pad: PadNumber,
    pub state: BatteryState,
    /// 0 to 100.
    pub percent: Option<u8>,
}

/// A state that is not known here is `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatteryState {
    Unknown,
    Absent,
    Discharging,
    Charging,
    /// On external power, without charging.
    NotCharging,
    Full,
}
