//! The devices themselves, made through `/dev/uinput`.

use super::stylus::BTN_STYLUS3;
use super::{Device, EDGE, Report, fingers};
use anyhow::Context;
use evdev::uinput::{VirtualDevice, VirtualDeviceBuilder};
use evdev::{
    AbsInfo, AbsoluteAxisCode, AttributeSet, BusType, InputEvent, InputId, KeyCode, PropType,
    RelativeAxisCode, UinputAbsSetup,
};
use std::io;

/// A surface of that many steps is said to be a third of a metre long: tablets have to say something.
const STEPS_PER_MILLIMETRE: i32 = 200;
/// What a pen's tip feels, and how far it is away.
pub const PRESSURE: i32 = 1024;
/// In degrees, and what one is of a radian.
const TILT: i32 = 90;
const DEGREES_PER_RADIAN: i32 = 57;
/// A keyboard's keys: buttons of mice, pads and pens lie between.
const KEYS: [std::ops::Range<u16>; 2] = [1..249, 0x160..0x180];
const BUTTONS: [KeyCode; 5] =
    [KeyCode::BTN_LEFT, KeyCode::BTN_RIGHT, KeyCode::BTN_MIDDLE, KeyCode::BTN_SIDE, KeyCode::BTN_EXTRA];

pub struct Devices {
    mouse: VirtualDevice,
    pointer: VirtualDevice,
    keyboard: VirtualDevice,
    touchscreen: VirtualDevice,
    tablet: VirtualDevice,
}

impl Devices {
    pub fn create() -> anyhow::Result<Self> {
        Self::make().context("no input devices: may this user write to /dev/uinput?")
    }

    fn make() -> io::Result<Self> {
        Ok(Self {
            mouse: mouse()?,
            pointer: pointer()?,
            keyboard: keyboard()?,
            touchscreen: touchscreen()?,
            tablet: tablet()?,
        })
    }
}

impl Report for Devices {
    fn report(&mut self, device: Device, events: &[InputEvent]) -> io::Result<()> {
        let device = match device {
            Device::Mouse => &mut self.mouse,
            Device::Pointer => &mut self.pointer,
            Device::Keyboard => &mut self.keyboard,
            Device::Touchscreen => &mut self.touchscreen,
            Device::Tablet => &mut self.tablet,
        };
        device.emit(events)
    }
}

/// The product numbers are ours alone, from 1 on.
fn builder(name: &'static str, product: u16) -> io::Result<VirtualDeviceBuilder<'static>> {
    Ok(VirtualDevice::builder()?.name(name).input_id(InputId::new(BusType::BUS_VIRTUAL, 0, product, 1)))
}

fn mouse() -> io::Result<VirtualDevice> {
    let axes = AttributeSet::from_iter([
        RelativeAxisCode::REL_X,
        RelativeAxisCode::REL_Y,
        RelativeAxisCode::REL_WHEEL,
        RelativeAxisCode::REL_WHEEL_HI_RES,
        RelativeAxisCode::REL_HWHEEL,
        RelativeAxisCode::REL_HWHEEL_HI_RES,
    ]);
    let buttons = AttributeSet::from_iter(BUTTONS);
    builder("moonpipe mouse", 1)?.with_keys(&buttons)?.with_relative_axes(&axes)?.build()
}

/// Without a button nobody takes it for a pointer.
fn pointer() -> io::Result<VirtualDevice> {
    let buttons = AttributeSet::from_iter([KeyCode::BTN_LEFT]);
    let plain = builder("moonpipe pointer", 2)?.with_keys(&buttons)?;
    with_places(plain, &[AbsoluteAxisCode::ABS_X, AbsoluteAxisCode::ABS_Y])?.build()
}

fn keyboard() -> io::Result<VirtualDevice> {
    let keys: AttributeSet<KeyCode> = KEYS.into_iter().flatten().map(KeyCode).collect();
    builder("moonpipe keyboard", 3)?.with_keys(&keys)?.build()
}

fn touchscreen() -> io::Result<VirtualDevice> {
    use AbsoluteAxisCode as Axis;
    let plain = builder("moonpipe touchscreen", 4)?
        .with_keys(&AttributeSet::from_iter([KeyCode::BTN_TOUCH]))?
        .with_properties(&AttributeSet::from_iter([PropType::DIRECT]))?;
    let places = [Axis::ABS_X, Axis::ABS_Y, Axis::ABS_MT_POSITION_X, Axis::ABS_MT_POSITION_Y];
    let placed = with_places(plain, &places)?;
    let slots = with_axes(placed, &[Axis::ABS_MT_SLOT], fingers::SLOTS as i32 - 1)?;
    with_axes(slots, &[Axis::ABS_MT_TRACKING_ID], fingers::LAST_ID)?.build()
}

fn tablet() -> io::Result<VirtualDevice> {
    use AbsoluteAxisCode as Axis;
    let buttons = [
        KeyCode::BTN_TOUCH,
        KeyCode::BTN_TOOL_PEN,
        KeyCode::BTN_TOOL_RUBBER,
        KeyCode::BTN_STYLUS,
        KeyCode::BTN_STYLUS2,
        BTN_STYLUS3,
    ];
    let plain = builder("moonpipe tablet", 5)?
        .with_keys(&AttributeSet::from_iter(buttons))?
        .with_properties(&AttributeSet::from_iter([PropType::DIRECT]))?;
    let placed = with_places(plain, &[Axis::ABS_X, Axis::ABS_Y])?;
    let pressed = with_axes(placed, &[Axis::ABS_PRESSURE, Axis::ABS_DISTANCE], PRESSURE)?;
    let tilted = |builder: VirtualDeviceBuilder<'static>, axis| {
        builder.with_absolute_axis(&UinputAbsSetup::new(
            axis,
            AbsInfo::new(0, -TILT, TILT, 0, 0, DEGREES_PER_RADIAN),
        ))
    };
    tilted(tilted(pressed, Axis::ABS_TILT_X)?, Axis::ABS_TILT_Y)?.build()
}

/// Of a surface.
fn with_places(
    builder: VirtualDeviceBuilder<'static>,
    axes: &[AbsoluteAxisCode],
) -> io::Result<VirtualDeviceBuilder<'static>> {
    axes.iter().try_fold(builder, |builder, axis| {
        let range = AbsInfo::new(0, 0, EDGE, 0, 0, STEPS_PER_MILLIMETRE);
        builder.with_absolute_axis(&UinputAbsSetup::new(*axis, range))
    })
}

/// From 0 to `last`.
fn with_axes(
    builder: VirtualDeviceBuilder<'static>,
    axes: &[AbsoluteAxisCode],
    last: i32,
) -> io::Result<VirtualDeviceBuilder<'static>> {
    axes.iter().try_fold(builder, |builder, axis| {
        builder.with_absolute_axis(&UinputAbsSetup::new(*axis, AbsInfo::new(0, 0, last, 0, 0, 0)))
    })
}
