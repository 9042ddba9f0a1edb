//! X11 programs: Xwayland as a client, and the window manager that X11 needs.

use super::clients::{self, SharedDisplay};
use super::placement::{asked_size, place};
use super::state::State;
use super::windows::role;
use crate::CAT;
use smithay::desktop::Window;
use smithay::reexports::calloop::generic::Generic;
use smithay::reexports::calloop::timer::{TimeoutAction, Timer};
use smithay::reexports::calloop::{Interest, Mode, PostAction, RegistrationToken};
use smithay::reexports::wayland_server::backend::DisconnectReason;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{Client, Resource};
use smithay::utils::{Logical, Rectangle, Size};
use smithay::wayland::seat::WaylandFocus;
use smithay::wayland::xwayland_shell::{XWaylandShellHandler, XWaylandShellState};
use smithay::xwayland::xwm::{Reorder, ResizeEdge, XwmId};
use smithay::xwayland::{X11Surface, X11Wm, XWayland, XWaylandEvent, XwmHandler};
use std::fs::Permissions;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A server that says nothing for so long never will.
const PATIENCE: Duration = Duration::from_secs(20);

/// Hears the number of the X11 display, or why there is none.
pub type OnX11 = Box<dyn FnOnce(Result<u32, String>) + Send>;

pub struct X11 {
    pub shell: XWaylandShellState,
    /// Still asked for by surfaces when its connection has ended.
    wm: Option<X11Wm>,
    gone: bool,
    /// Of the window manager; its requests may wait for an answer that a client holds up.
    connection: Option<Arc<UnixStream>>,
    on_ready: Option<OnX11>,
    pub server: Client,
    source: RegistrationToken,
}

impl State {
    /// Starts Xwayland; `on_ready` is called once.
    pub fn start_xwayland(&mut self, display: &SharedDisplay, on_ready: OnX11) {
        match self.spawn_xwayland(display) {
            Ok((server, source)) => {
                let shell = XWaylandShellState::new::<Self>(&self.display);
                self.x11 = Some(X11 {
                    shell,
                    wm: None,
                    gone: false,
                    connection: None,
                    on_ready: Some(on_ready),
                    server,
                    source,
                });
            }
            Err(error) => on_ready(Err(error)),
        }
    }

    fn spawn_xwayland(&mut self, display: &SharedDisplay) -> Result<(Client, RegistrationToken), String> {
        create_socket_folder();
        let no_variables = std::iter::empty::<(&str, &str)>();
        let (out, err) = (Stdio::null(), Stdio::null());
        let (xwayland, server) = XWayland::spawn(&self.display, None, no_variables, false, out, err, |_| ())
            .map_err(|error| format!("Xwayland did not start: {error}"))?;
        self.listen_to(&server, display)?;
        let announced = |event, _: &mut (), state: &mut Self| match event {
            XWaylandEvent::Ready { x11_socket, display_number } => state.manage(x11_socket, display_number),
            XWaylandEvent::Error => state.tell_x11(Err("Xwayland ended while it started".into())),
        };
        let source = self.events.insert_source(xwayland, announced).map_err(|error| error.to_string())?;
        let late = |_, _: &mut (), state: &mut Self| {
            state.tell_x11(Err("Xwayland is not ready after a long time".into()));
            TimeoutAction::Drop
        };
        self.events.insert_source(Timer::from_duration(PATIENCE), late).map_err(|error| error.to_string())?;
        Ok((server, source))
    }

    /// The library made its connection: the descriptor for all clients says when there is something to read.
    fn listen_to(&self, server: &Client, display: &SharedDisplay) -> Result<(), String> {
        let readable = display.borrow_mut().backend().poll_fd().as_fd().try_clone_to_owned();
        let readable =
            Generic::new(readable.map_err(|error| error.to_string())?, Interest::READ, Mode::Level);
        let (id, display) = (server.id(), Rc::clone(display));
        let listen = move |_, _: &mut _, state: &mut Self| match display
            .borrow_mut()
            .backend()
            .dispatch_single_client(state, id.clone())
        {
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                state.handle_departure();
                Ok(PostAction::Remove)
            }
            _ => Ok(PostAction::Continue),
        };
        self.events.insert_source(readable, listen).map(drop).map_err(|error| error.to_string())
    }

    fn manage(&mut self, socket: UnixStream, number: u32) {
        let Some(x11) = &mut self.x11 else { return };
        let managed = socket.try_clone().map_err(Into::into).and_then(|connection| {
            let connection = Arc::new(connection);
            self.shared.connections.add_own(&connection);
            x11.connection = Some(connection);
            X11Wm::start_wm(self.events.clone(), socket, x11.server.clone())
        });
        match managed {
            Ok(wm) => {
                x11.wm = Some(wm);
                self.tell_x11(Ok(number));
            }
            Err(error) => {
                // Its surfaces would ask for the window manager.
                let server = x11.server.id();
                self.display.backend_handle().kill_client(server, DisconnectReason::ConnectionClosed);
                self.tell_x11(Err(format!("Xwayland takes no window manager: {error}")));
            }
        }
    }

    fn tell_x11(&mut self, result: Result<u32, String>) {
        let tell = self.x11.as_mut().and_then(|x11| x11.on_ready.take());
        // At the end nobody asks any more.
        if let Some(tell) = tell.filter(|_| !self.shared.connections.are_closed()) {
            tell(result);
        }
    }

    /// Ends Xwayland, and sees to it that its process is waited for.
    pub fn stop_xwayland(&mut self, display: &SharedDisplay) {
        if let Some(X11 { server, source, connection, .. }) = &self.x11 {
            if let Some(connection) = connection {
                clients::close(connection);
            }
            let id = server.id();
            self.events.remove(*source);
            // Who was removed is forgotten at the next dispatch; that of somebody who is gone does nothing else.
            _ = display.borrow_mut().backend().dispatch_single_client(self, id);
        }
    }

    /// There is a connection to Xwayland. Its source holds the event loop, and with it everything, until that has ended.
    pub fn speaks_x11(&self) -> bool {
        self.x11.as_ref().is_some_and(|x11| x11.wm.is_some() && !x11.gone)
    }

    /// Where a window has to be, in its own size if that is left to it.
    fn x11_place(&self, window: &Window, own: Size<i32, Logical>) -> Rectangle<i32, Logical> {
        let role = role(window);
        let size = asked_size(role, self.size()).unwrap_or(own);
        Rectangle::new(place(role, size, self.size()), size)
    }

    /// X11 knows where its windows are, since menus are put relative to them.
    pub fn configure_x11(&self, window: &Window, own: Option<Size<i32, Logical>>) {
        let Some(surface) = window.x11_surface().filter(|surface| !surface.is_override_redirect()) else {
            return;
        };
        let place = self.x11_place(window, own.unwrap_or_else(|| surface.geometry().size));
        if let Err(error) = surface.configure(place) {
            gst::debug!(CAT, "An X11 window is gone: {error}");
        }
    }

    /// The X server has its own idea of what is on top.
    pub fn raise_x11(&mut self, window: &Window) {
        let wm = self.x11.as_mut().and_then(|x11| x11.wm.as_mut());
        if let (Some(wm), Some(surface)) = (wm, window.x11_surface())
            && let Err(error) = wm.raise_window(surface)
        {
            gst::debug!(CAT, "An X11 window is gone: {error}");
        }
    }

    fn find_x11(&self, surface: &X11Surface) -> Option<Window> {
        self.windows.iter().find(|window| window.x11_surface() == Some(surface)).cloned()
    }

    fn forget_x11(&mut self, surface: &X11Surface) {
        self.windows.remove(|window| window.x11_surface() == Some(surface));
        self.refocus();
        self.handle_change();
    }

    fn answer_x11(&self, surface: &X11Surface, own: Option<Size<i32, Logical>>) {
        if let Some(window) = self.find_x11(surface) {
            self.configure_x11(&window, own);
        }
    }
}

/// Where X11 sockets are, by a convention older than folders of one's own: for everybody, with sticky names. It is missing
/// where nothing started an X server since the machine did.
fn create_socket_folder() {
    const FOLDER: &str = "/tmp/.X11-unix";
    const EVERYBODY_STICKY: u32 = 0o1777;
    // One that is there is as its owner wants it, and without one the search for a free display says so.
    if std::fs::create_dir(FOLDER).is_ok() {
        _ = std::fs::set_permissions(FOLDER, Permissions::from_mode(EVERYBODY_STICKY));
    }
}

impl XWaylandShellHandler for State {
    fn xwayland_shell_state(&mut self) -> &mut XWaylandShellState {
        &mut self.x11.as_mut().expect("its clients come through it").shell
    }

    /// The picture may have been there before it was known whose it is.
    fn surface_associated(&mut self, _: XwmId, surface: WlSurface, _: X11Surface) {
        if self.windows.find(&surface).is_some_and(|window| self.windows.look(&window)) {
            self.refocus();
        }
        self.handle_change();
    }
}

impl XwmHandler for State {
    fn xwm_state(&mut self, _: XwmId) -> &mut X11Wm {
        self.x11.as_mut().and_then(|x11| x11.wm.as_mut()).expect("it asks for itself")
    }

    fn new_window(&mut self, _: XwmId, _: X11Surface) {}

    fn new_override_redirect_window(&mut self, _: XwmId, _: X11Surface) {}

    fn map_window_request(&mut self, _: XwmId, surface: X11Surface) {
        let own = surface.geometry().size;
        if surface.set_mapped(true).is_err() {
            return;
        }
        let window = Window::new_x11_window(surface.clone());
        if asked_size(role(&window), self.size()).is_some() {
            // Without this, programs draw a frame around themselves.
            _ = surface.set_fullscreen(true);
        }
        self.windows.add(window);
        self.answer_x11(&surface, Some(own));
    }

    fn mapped_override_redirect_window(&mut self, _: XwmId, surface: X11Surface) {
        self.windows.add(Window::new_x11_window(surface));
        self.handle_change();
    }

    fn unmapped_window(&mut self, _: XwmId, surface: X11Surface) {
        self.forget_x11(&surface);
        if !surface.is_override_redirect() {
            // It may be gone.
            _ = surface.set_mapped(false);
        }
    }

    fn destroyed_window(&mut self, _: XwmId, surface: X11Surface) {
        self.forget_x11(&surface);
    }

    fn configure_request(
        &mut self,
        _: XwmId,
        surface: X11Surface,
        _: Option<i32>,
        _: Option<i32>,
        width: Option<u32>,
        height: Option<u32>,
        _: Option<Reorder>,
    ) {
        let mut own = surface.geometry();
        let wished = |wish: Option<u32>, now| wish.and_then(|wish| i32::try_from(wish).ok()).unwrap_or(now);
        own.size = Size::from((wished(width, own.size.w), wished(height, own.size.h)));
        match self.find_x11(&surface) {
            Some(window) => self.configure_x11(&window, Some(own.size)),
            // It is not shown yet, so it may be as it likes.
            None => _ = surface.configure(own),
        }
    }

    fn configure_notify(
        &mut self,
        _: XwmId,
        _: X11Surface,
        _: Rectangle<i32, Logical>,
        _: Option<smithay::reexports::x11rb::protocol::xproto::Window>,
    ) {
        self.handle_change();
    }

    fn fullscreen_request(&mut self, _: XwmId, surface: X11Surface) {
        _ = surface.set_fullscreen(true);
        self.answer_x11(&surface, None);
    }

    fn unfullscreen_request(&mut self, _: XwmId, surface: X11Surface) {
        self.answer_x11(&surface, None);
    }

    fn resize_request(&mut self, _: XwmId, _: X11Surface, _: u32, _: ResizeEdge) {}

    fn move_request(&mut self, _: XwmId, _: X11Surface, _: u32) {}

    fn disconnected(&mut self, _: XwmId) {
        if !self.stopped && !self.shared.connections.are_closed() {
            gst::warning!(CAT, "Xwayland has ended");
        }
        self.windows.remove(|window| window.is_x11() || window.wl_surface().is_some_and(|s| !s.is_alive()));
        self.tell_x11(Err("Xwayland has ended".into()));
        self.refocus();
        self.handle_change();
        if let Some(x11) = &mut self.x11 {
            x11.gone = true;
            self.shared.connections.remove_own(x11.connection.take());
        }
    }
}

smithay::delegate_xwayland_shell!(State);
