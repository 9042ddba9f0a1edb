//! What keys go to.

use super::state::State;
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
    /// Has to be told by X11's means too.
    X11(X11Surface),
}

impl Focus {
    pub fn of_window(window: &Window) -> Option<Self> {
        match window.underlying_surface() {
            WindowSurface::Wayland(toplevel) => Some(Self::Surface(toplevel.wl_surface().clone())),
            WindowSurface::X11(surface) => Some(Self::X11(surface.clone())),
        }
    }

    fn target(&self) -> &dyn Target {
        match self {
            Self::Surface(surface) => surface,
            Self::X11(surface) => surface,
        }
    }
}

/// The part of `KeyboardTarget` that is called through a reference.
trait Target {
    fn enter(&self, seat: &Seat<State>, state: &mut State, keys: Vec<KeysymHandle<'_>>, serial: Serial);
    fn leave(&self, seat: &Seat<State>, state: &mut State, serial: Serial);
    fn key(
        &self,
        seat: &Seat<State>,
        state: &mut State,
        key: KeysymHandle<'_>,
        to: KeyState,
        serial: Serial,
        time: u32,
    );
    fn modifiers(&self, seat: &Seat<State>, state: &mut State, modifiers: ModifiersState, serial: Serial);
}

impl<T: KeyboardTarget<State>> Target for T {
    fn enter(&self, seat: &Seat<State>, state: &mut State, keys: Vec<KeysymHandle<'_>>, serial: Serial) {
        KeyboardTarget::enter(self, seat, state, keys, serial);
    }

    fn leave(&self, seat: &Seat<State>, state: &mut State, serial: Serial) {
        KeyboardTarget::leave(self, seat, state, serial);
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
        KeyboardTarget::key(self, seat, state, key, to, serial, time);
    }

    fn modifiers(&self, seat: &Seat<State>, state: &mut State, modifiers: ModifiersState, serial: Serial) {
        KeyboardTarget::modifiers(self, seat, state, modifiers, serial);
    }
}

impl KeyboardTarget<State> for Focus {
    fn enter(&self, seat: &Seat<State>, state: &mut State, keys: Vec<KeysymHandle<'_>>, serial: Serial) {
        self.target().enter(seat, state, keys, serial);
    }

    fn leave(&self, seat: &Seat<State>, state: &mut State, serial: Serial) {
        self.target().leave(seat, state, serial);
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
        self.target().key(seat, state, key, to, serial, time);
    }

    fn modifiers(&self, seat: &Seat<State>, state: &mut State, modifiers: ModifiersState, serial: Serial) {
        self.target().modifiers(seat, state, modifiers, serial);
    }
}

impl IsAlive for Focus {
    fn alive(&self) -> bool {
        match self {
            Self::Surface(surface) => surface.alive(),
            Self::X11(surface) => surface.alive(),
        }
    }
}

impl WaylandFocus for Focus {
    fn wl_surface(&self) -> Option<Cow<'_, WlSurface>> {
        match self {
            Self::Surface(surface) => Some(Cow::Borrowed(surface)),
            Self::X11(surface) => surface.wl_surface().map(Cow::Owned),
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
            Focus::X11(surface) => surface.wl_surface().expect("a window that has the keys has a surface"),
        }
    }
}
