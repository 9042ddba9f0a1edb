//! Windows and menus of Wayland's desktop shell. Every window covers the output, but for dialogs.

use super::focus::Focus;
use super::placement::room;
use super::state::State;
use smithay::desktop::{
    PopupKeyboardGrab, PopupKind, PopupPointerGrab, PopupUngrabStrategy, Window, WindowSurfaceType,
    find_popup_root_surface, get_popup_toplevel_coords, layer_map_for_output,
};
use smithay::input::Seat;
use smithay::input::pointer::Focus as GrabFocus;
use smithay::reexports::wayland_protocols::xdg::decoration::zv1::server::zxdg_toplevel_decoration_v1::Mode;
use smithay::reexports::wayland_server::protocol::{
    wl_output::WlOutput, wl_seat::WlSeat, wl_surface::WlSurface,
};
use smithay::utils::{Logical, Rectangle, Serial};
use smithay::wayland::shell::xdg::decoration::XdgDecorationHandler;
use smithay::wayland::shell::xdg::{
    PopupSurface, PositionerState, ToplevelSurface, XdgShellHandler, XdgShellState,
};

impl XdgShellHandler for State {
    fn xdg_shell_state(&mut self) -> &mut XdgShellState {
        &mut self.protocols.xdg_shell
    }

    /// Its first commit is answered with a size: only then is it known whether it is a dialog.
    fn new_toplevel(&mut self, surface: ToplevelSurface) {
        self.windows.add(Window::new_wayland_window(surface));
    }

    fn toplevel_destroyed(&mut self, surface: ToplevelSurface) {
        self.windows.remove(|window| window.toplevel() == Some(&surface));
        self.refocus();
        self.handle_change();
    }

    fn parent_changed(&mut self, surface: ToplevelSurface) {
        if let Some(window) = self.windows.find(surface.wl_surface()) {
            self.configure_window(&window, false);
        }
        self.handle_change();
    }

    fn maximize_request(&mut self, surface: ToplevelSurface) {
        self.answer(&surface);
    }

    fn unmaximize_request(&mut self, surface: ToplevelSurface) {
        self.answer(&surface);
    }

    fn fullscreen_request(&mut self, surface: ToplevelSurface, _: Option<WlOutput>) {
        self.answer(&surface);
    }

    fn unfullscreen_request(&mut self, surface: ToplevelSurface) {
        self.answer(&surface);
    }

    fn new_popup(&mut self, surface: PopupSurface, positioner: PositionerState) {
        self.bound_nesting(surface.wl_surface());
        self.place_popup(&surface, positioner);
        // Without a parent it belongs to a layer, which says so.
        _ = self.popups.track_popup(PopupKind::Xdg(surface));
    }

    fn reposition_request(&mut self, surface: PopupSurface, positioner: PositionerState, token: u32) {
        self.place_popup(&surface, positioner);
        surface.send_repositioned(token);
    }

    fn popup_destroyed(&mut self, _: PopupSurface) {
        self.refocus();
        self.handle_change();
    }

    fn grab(&mut self, surface: PopupSurface, seat: WlSeat, serial: Serial) {
        let popup = PopupKind::Xdg(surface);
        let (Some(seat), Ok(root)) = (Seat::<Self>::from_resource(&seat), find_popup_root_surface(&popup))
        else {
            return;
        };
        let Ok(mut grab) = self.popups.grab_popup(Focus::Surface(root), popup, &seat, serial) else { return };
        let (keyboard, pointer) = (self.keyboard.clone(), self.pointer.clone());
        let before = grab.previous_serial().unwrap_or(serial);
        let others = (keyboard.is_grabbed() && !(keyboard.has_grab(serial) || keyboard.has_grab(before)))
            || (pointer.is_grabbed()
                && !(pointer.has_grab(serial) || pointer.has_grab(before))
                && pointer.grab_start_data().is_none_or(|start| start.focus.is_none()));
        if others {
            grab.ungrab(PopupUngrabStrategy::All);
            return;
        }
        keyboard.set_focus(self, grab.current_grab(), serial);
        keyboard.set_grab(self, PopupKeyboardGrab::new(&grab), serial);
        pointer.set_grab(self, PopupPointerGrab::new(&grab), serial, GrabFocus::Keep);
    }
}

impl State {
    /// Requests to look different are answered with how it is.
    fn answer(&mut self, surface: &ToplevelSurface) {
        if let Some(window) = self.windows.find(surface.wl_surface())
            && surface.is_initial_configure_sent()
        {
            self.configure_window(&window, true);
        }
    }

    /// Keeps a menu on the output.
    pub fn place_popup(&self, popup: &PopupSurface, positioner: PositionerState) {
        let kind = PopupKind::Xdg(popup.clone());
        let place = match find_popup_root_surface(&kind).ok().and_then(|root| self.room_at(&root)) {
            Some(mut room) => {
                room.loc -= get_popup_toplevel_coords(&kind);
                positioner.get_unconstrained_geometry(room)
            }
            None => positioner.get_geometry(),
        };
        popup.with_pending_state(|state| {
            state.positioner = positioner;
            state.geometry = place;
        });
    }

    /// The output as the frame of the window or layer sees it whose surface is `root`.
    fn room_at(&self, root: &WlSurface) -> Option<Rectangle<i32, Logical>> {
        if let Some(window) = self.windows.find(root) {
            let origin = self.windows.origin(&window, self.size()) + window.geometry().loc;
            return Some(room(origin, self.size()));
        }
        let map = layer_map_for_output(&self.output);
        let layer = map.layer_for_surface(root, WindowSurfaceType::TOPLEVEL)?;
        Some(room(map.layer_geometry(layer)?.loc, self.size()))
    }
}

/// Windows that cover everything have no frame.
impl XdgDecorationHandler for State {
    fn new_decoration(&mut self, toplevel: ToplevelSurface) {
        self.request_mode(toplevel, Mode::ServerSide);
    }

    fn request_mode(&mut self, toplevel: ToplevelSurface, _: Mode) {
        toplevel.with_pending_state(|state| state.decoration_mode = Some(Mode::ServerSide));
        if toplevel.is_initial_configure_sent() {
            toplevel.send_pending_configure();
        }
    }

    fn unset_mode(&mut self, toplevel: ToplevelSurface) {
        self.request_mode(toplevel, Mode::ServerSide);
    }
}

smithay::delegate_xdg_shell!(State);
smithay::delegate_xdg_decoration!(State);
