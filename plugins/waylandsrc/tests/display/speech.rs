//! What a client hears from its pointer and keyboard, and in the protocols around them.

use super::client::{Client, Heard};
use std::fs::File;
use std::io::Write;
use wayland_client::globals::GlobalList;
use wayland_client::protocol::{
    wl_data_device::{self, WlDataDevice},
    wl_data_device_manager::WlDataDeviceManager,
    wl_data_offer::WlDataOffer,
    wl_data_source::{self, WlDataSource},
    wl_keyboard::{self, WlKeyboard},
    wl_pointer::{self, WlPointer},
    wl_region::WlRegion,
    wl_seat::WlSeat,
};
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, delegate_noop, event_created_child};
use wayland_protocols::wp::fractional_scale::v1::client::{
    wp_fractional_scale_manager_v1::WpFractionalScaleManagerV1,
    wp_fractional_scale_v1::{self, WpFractionalScaleV1},
};
use wayland_protocols::wp::pointer_constraints::zv1::client::{
    zwp_confined_pointer_v1::{self, ZwpConfinedPointerV1},
    zwp_locked_pointer_v1::{self, ZwpLockedPointerV1},
    zwp_pointer_constraints_v1::ZwpPointerConstraintsV1,
};
use wayland_protocols::wp::primary_selection::zv1::client::{
    zwp_primary_selection_device_manager_v1::ZwpPrimarySelectionDeviceManagerV1,
    zwp_primary_selection_device_v1::{self, ZwpPrimarySelectionDeviceV1},
    zwp_primary_selection_offer_v1::ZwpPrimarySelectionOfferV1,
    zwp_primary_selection_source_v1::{self, ZwpPrimarySelectionSourceV1},
};
use wayland_protocols::wp::relative_pointer::zv1::client::{
    zwp_relative_pointer_manager_v1::ZwpRelativePointerManagerV1,
    zwp_relative_pointer_v1::{self, ZwpRelativePointerV1},
};
use wayland_protocols::wp::viewporter::client::{wp_viewport::WpViewport, wp_viewporter::WpViewporter};

#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Enter { x: f64, y: f64 },
    Leave,
    Motion { x: f64, y: f64 },
    Relative { dx: f64, dy: f64, raw_dx: f64, raw_dy: f64 },
    Held,
    Released,
    KeysEnter,
    KeysLeave,
    Key { code: u32, pressed: bool },
    PreferredScale(u32),
    Layer { width: u32, height: u32 },
}

#[derive(Default)]
pub struct Speech {
    /// In the order it came.
    pub said: Vec<Said>,
    /// Of the pointer's last entrance.
    pub serial: u32,
    pub clipboard: Option<WlDataOffer>,
    pub primary: Option<ZwpPrimarySelectionOfferV1>,
}

impl Speech {
    pub fn has(&self, said: &Said) -> bool {
        self.said.contains(said)
    }
}

/// What a client that takes input has.
pub struct Devices {
    pub pointer: WlPointer,
    pub _keyboard: WlKeyboard,
}

impl Client {
    pub fn bind<I>(&self) -> I
    where
        I: Proxy + 'static,
        Heard: Dispatch<I, ()>,
    {
        let globals: &GlobalList = &self.globals;
        globals
            .bind(&self.queue(), 1..=1, ())
            .unwrap_or_else(|error| panic!("{}: {error}", I::interface().name))
    }

    pub fn devices(&self) -> Devices {
        let (queue, seat) = (self.queue(), self.bind::<WlSeat>());
        Devices { pointer: seat.get_pointer(&queue, ()), _keyboard: seat.get_keyboard(&queue, ()) }
    }

    pub fn until_said(&mut self, said: &Said) {
        self.until(&format!("{said:?}"), |heard| heard.speech.has(said));
    }
}

/// What has only events that a line each is enough for.
macro_rules! says {
    ($interface:ty, $($event:pat => $said:expr),+ $(,)?) => {
        impl Dispatch<$interface, ()> for Heard {
            fn event(
                heard: &mut Self,
                _: &$interface,
                event: <$interface as Proxy>::Event,
                _: &(),
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                #[allow(unreachable_patterns, reason = "some interfaces have no other events")]
                match event {
                    $($event => heard.speech.said.push($said),)+
                    _ => {}
                }
            }
        }
    };
}

says!(ZwpRelativePointerV1, zwp_relative_pointer_v1::Event::RelativeMotion { dx, dy, dx_unaccel, dy_unaccel, .. } =>
    Said::Relative { dx, dy, raw_dx: dx_unaccel, raw_dy: dy_unaccel });
says!(ZwpLockedPointerV1,
    zwp_locked_pointer_v1::Event::Locked => Said::Held,
    zwp_locked_pointer_v1::Event::Unlocked => Said::Released);
says!(ZwpConfinedPointerV1,
    zwp_confined_pointer_v1::Event::Confined => Said::Held,
    zwp_confined_pointer_v1::Event::Unconfined => Said::Released);
says!(WpFractionalScaleV1, wp_fractional_scale_v1::Event::PreferredScale { scale } => Said::PreferredScale(scale));
says!(WlKeyboard,
    wl_keyboard::Event::Enter { .. } => Said::KeysEnter,
    wl_keyboard::Event::Leave { .. } => Said::KeysLeave,
    wl_keyboard::Event::Key { key, state, .. } =>
        Said::Key { code: key, pressed: matches!(state.into_result(), Ok(wl_keyboard::KeyState::Pressed)) });

impl Dispatch<WlPointer, ()> for Heard {
    fn event(
        heard: &mut Self,
        _: &WlPointer,
        event: wl_pointer::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use wl_pointer::Event;
        let speech = &mut heard.speech;
        match event {
            Event::Enter { serial, surface_x: x, surface_y: y, .. } => {
                speech.serial = serial;
                speech.said.push(Said::Enter { x, y });
            }
            Event::Motion { surface_x: x, surface_y: y, .. } => speech.said.push(Said::Motion { x, y }),
            Event::Leave { .. } => speech.said.push(Said::Leave),
            _ => {}
        }
    }
}

/// Gives who pastes the text that the source was made with.
fn hand_over(text: &str, to: std::os::fd::OwnedFd) {
    File::from(to).write_all(text.as_bytes()).expect("who asked reads");
}

impl Dispatch<WlDataSource, String> for Heard {
    fn event(
        _: &mut Self,
        _: &WlDataSource,
        event: wl_data_source::Event,
        text: &String,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_data_source::Event::Send { fd, .. } = event {
            hand_over(text, fd);
        }
    }
}

impl Dispatch<ZwpPrimarySelectionSourceV1, String> for Heard {
    fn event(
        _: &mut Self,
        _: &ZwpPrimarySelectionSourceV1,
        event: zwp_primary_selection_source_v1::Event,
        text: &String,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let zwp_primary_selection_source_v1::Event::Send { fd, .. } = event {
            hand_over(text, fd);
        }
    }
}

impl Dispatch<WlDataDevice, ()> for Heard {
    fn event(
        heard: &mut Self,
        _: &WlDataDevice,
        event: wl_data_device::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_data_device::Event::Selection { id } = event {
            heard.speech.clipboard = id;
        }
    }

    event_created_child!(Heard, WlDataDevice, [wl_data_device::EVT_DATA_OFFER_OPCODE => (WlDataOffer, ())]);
}

impl Dispatch<ZwpPrimarySelectionDeviceV1, ()> for Heard {
    fn event(
        heard: &mut Self,
        _: &ZwpPrimarySelectionDeviceV1,
        event: zwp_primary_selection_device_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let zwp_primary_selection_device_v1::Event::Selection { id } = event {
            heard.speech.primary = id;
        }
    }

    event_created_child!(Heard, ZwpPrimarySelectionDeviceV1, [
        zwp_primary_selection_device_v1::EVT_DATA_OFFER_OPCODE => (ZwpPrimarySelectionOfferV1, ())
    ]);
}

delegate_noop!(Heard: ignore WlSeat);
delegate_noop!(Heard: ignore WlDataOffer);
delegate_noop!(Heard: ignore ZwpPrimarySelectionOfferV1);
delegate_noop!(Heard: WlRegion);
delegate_noop!(Heard: WlDataDeviceManager);
delegate_noop!(Heard: ZwpPrimarySelectionDeviceManagerV1);
delegate_noop!(Heard: ZwpRelativePointerManagerV1);
delegate_noop!(Heard: ZwpPointerConstraintsV1);
delegate_noop!(Heard: WpFractionalScaleManagerV1);
delegate_noop!(Heard: WpViewporter);
delegate_noop!(Heard: WpViewport);
