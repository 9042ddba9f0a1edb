//! What keys go to.

use super::state::State;
use super::views::surface_of;
use smithay::backend::input::KeyState;
use smithay::desktop::{PopupKind, Window, WindowSurface};
use smithay::input::Seat;
use smithay::input::keyboard::{KeyboardTarget, KeysymHandle, ModifiersState};
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{IsAlive, Serial};
use smithay::wayland::seat::WaylandFocus;
use smithay::xwayland::X11Surface;
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq)]
pub enum Focus {
    Surface(WlSurface),
    /// Has to be told by X11's means too. The second is what the library does not know: of an older Xwayland.
    X11(Box<X11Surface>, Option<WlSurface>),
}

impl Focus {
    pub fn of_window(window: &Window) -> Option<Self> {
        match window.underlying_surface() {
            WindowSurface::Wayland(toplevel) => Some(Self::Surface(toplevel.wl_surface().clone())),
            WindowSurface::X11(x11) => {
                let unknown = surface_of(window).filter(|_| x11.wl_surface().is_none());
                Some(Self::X11(Box::new(x11.clone()), unknown))
            }
        }
    }
}

/// The library tells the surface that it knows of an X11 window; another one is told here.
impl KeyboardTarget<State> for Focus {
    fn enter(&self, seat: &Seat<State>, state: &mut State, keys: Vec<KeysymHandle<'_>>, serial: Serial) {
        match self {
            Self::Surface(surface) => KeyboardTarget::enter(surface, seat, state, keys, serial),
            Self::X11(x11, None) => KeyboardTarget::enter(&**x11, seat, state, keys, serial),
            Self::X11(x11, Some(surface)) => {
                KeyboardTarget::enter(&**x11, seat, state, Vec::new(), serial);
                KeyboardTarget::enter(surface, seat, state, keys, serial);
            }
        }
    }

    fn leave(&self, seat: &Seat<State>, state: &mut State, serial: Serial) {
        match self {
            Self::Surface(surface) => KeyboardTarget::leave(surface, seat, state, serial),
            Self::X11(x11, surface) => {
                KeyboardTarget::leave(&**x11, seat, state, serial);
                if let Some(surface) = surface {
                    KeyboardTarget::leave(surface, seat, state, serial);
                }
            }
        }
    }

    fn key(
        &self,
        seat: &Seat<State>,
        state: &mut State,
        key: KeysymHandle<'_>,
        to: KeyState,
        serial: Serial,
        time: u32,
    ) {
        match self {
            Self::Surface(surface) | Self::X11(_, Some(surface)) => {
                KeyboardTarget::key(surface, seat, state, key, to, serial, time);
            }
            Self::X11(x11, None) => KeyboardTarget::key(&**x11, seat, state, key, to, serial, time),
        }
    }

    fn modifiers(&self, seat: &Seat<State>, state: &mut State, modifiers: ModifiersState, serial: Serial) {
        match self {
            Self::Surface(surface) | Self::X11(_, Some(surface)) => {
                KeyboardTarget::modifiers(surface, seat, state, modifiers, serial);
            }
            Self::X11(x11, None) => KeyboardTarget::modifiers(&**x11, seat, state, modifiers, serial),
        }
    }
}

impl IsAlive for Focus {
    fn alive(&self) -> bool {
        match self {
            Self::Surface(surface) => surface.alive(),
            Self::X11(x11, _) => x11.alive(),
        }
    }
}

impl WaylandFocus for Focus {
    fn wl_surface(&self) -> Option<Cow<'_, WlSurface>> {
        match self {
            Self::Surface(surface) => Some(Cow::Borrowed(surface)),
            Self::X11(x11, surface) => x11.wl_surface().or_else(|| surface.clone()).map(Cow::Owned),
        }
    }
}

impl From<PopupKind> for Focus {
    fn from(popup: PopupKind) -> Self {
        Self::Surface(popup.wl_surface().clone())
    }
}

/// The pointer under a grab of a menu goes to the surface that has the keys; only Wayland's have menus of that kind.
impl From<Focus> for WlSurface {
    fn from(focus: Focus) -> Self {
        match focus {
            Focus::Surface(surface) => surface,
            Focus::X11(x11, surface) => {
                x11.wl_surface().or(surface).expect("a window that has the keys has a surface")
            }
        }
    }
}
