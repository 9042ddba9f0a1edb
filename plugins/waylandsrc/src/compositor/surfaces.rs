//! What clients draw, and the small protocols around it.

use super::clients::Client;
use super::state::State;
use crate::CAT;
use smithay::backend::renderer::utils::on_commit_buffer_handler;
use smithay::desktop::{PopupKind, WindowSurfaceType, layer_map_for_output};
use smithay::reexports::wayland_server::backend::DisconnectReason;
use smithay::reexports::wayland_server::protocol::wl_shm::{self, WlShm};
use smithay::reexports::wayland_server::protocol::{
    wl_buffer::WlBuffer,
    wl_shm_pool::{self, WlShmPool},
    wl_surface::WlSurface,
};
use smithay::reexports::wayland_server::{self, DataInit, Dispatch, DisplayHandle, Resource};
use smithay::wayland::buffer::BufferHandler;
use smithay::wayland::compositor::{
    CompositorClientState, CompositorHandler, CompositorState, get_parent, is_sync_subsurface, with_states,
};
use smithay::wayland::fractional_scale::{FractionalScaleHandler, with_fractional_scale};
use smithay::wayland::output::OutputHandler;
use smithay::wayland::shm::{ShmBufferUserData, ShmHandler, ShmPoolUserData, ShmState};
use smithay::xwayland::XWaylandClientData;

impl CompositorHandler for State {
    fn compositor_state(&mut self) -> &mut CompositorState {
        &mut self.protocols.compositor
    }

    fn client_compositor_state<'a>(&self, client: &'a wayland_server::Client) -> &'a CompositorClientState {
        match client.get_data::<Client>() {
            Some(data) => &data.compositor,
            None => {
                let data = client.get_data::<XWaylandClientData>();
                &data.expect("every client was let in here or is Xwayland").compositor_state
            }
        }
    }

    #[cfg(feature = "gles")]
    fn new_surface(&mut self, surface: &WlSurface) {
        super::dmabuf::wait_for_drawing(surface);
    }

    fn new_subsurface(&mut self, surface: &WlSurface, _: &WlSurface) {
        self.bound_nesting(surface);
    }

    fn commit(&mut self, surface: &WlSurface) {
        on_commit_buffer_handler::<Self>(surface);
        self.handle_change();
        self.output.enter(surface);
        if !is_sync_subsurface(surface) {
            self.handle_root_commit(&root_of(surface));
        }
        self.popups.commit(surface);
        if let Some(PopupKind::Xdg(popup)) = self.popups.find_popup(surface)
            && !popup.is_initial_configure_sent()
        {
            // The first one is always allowed.
            _ = popup.send_configure();
        }
    }

    fn destroyed(&mut self, _: &WlSurface) {
        self.handle_change();
    }
}

impl State {
    fn handle_root_commit(&mut self, root: &WlSurface) {
        let Some(window) = self.windows.find(root) else { return self.handle_layer_commit(root) };
        let before = window.geometry();
        window.on_commit();
        if window.toplevel().is_some_and(|toplevel| !toplevel.is_initial_configure_sent()) {
            self.configure_window(&window, true);
        }
        if self.windows.look(&window) {
            self.refocus();
        } else if window.geometry() != before {
            self.refocus_pointer();
        }
    }

    fn handle_layer_commit(&mut self, root: &WlSurface) {
        let mut map = layer_map_for_output(&self.output);
        let Some(layer) = map.layer_for_surface(root, WindowSurfaceType::TOPLEVEL).cloned() else { return };
        // The first commit has no picture; it asks for a size, which arranging tells.
        map.arrange();
        drop(map);
        if !super::layers::is_configured(&layer) {
            layer.layer_surface().send_configure();
        }
        self.refocus();
    }

    /// Disconnects who puts too many surfaces upon others.
    pub fn bound_nesting(&self, surface: &WlSurface) {
        let Some(client) = surface.client() else { return };
        if client.get_data::<Client>().is_some_and(|data| data.nests_too_much(&self.display, &client)) {
            gst::warning!(CAT, "A client puts too many surfaces upon others and is disconnected");
            self.display.backend_handle().kill_client(client.id(), DisconnectReason::ConnectionClosed);
        }
    }

    /// A client went away, and its windows with it.
    pub fn handle_departure(&mut self) {
        use smithay::utils::IsAlive;
        self.windows.remove(|window| !window.alive());
        layer_map_for_output(&self.output).cleanup();
        self.refocus();
        self.handle_change();
    }
}

fn root_of(surface: &WlSurface) -> WlSurface {
    let mut root = surface.clone();
    while let Some(parent) = get_parent(&root) {
        root = parent;
    }
    root
}

impl BufferHandler for State {
    fn buffer_destroyed(&mut self, _: &WlBuffer) {}
}

impl ShmHandler for State {
    fn shm_state(&self) -> &ShmState {
        &self.protocols.shm
    }
}

/// Memory that a client shares is a descriptor of this process each, and those are few.
impl Dispatch<WlShm, ()> for State {
    fn request(
        state: &mut Self,
        client: &wayland_server::Client,
        shm: &WlShm,
        request: wl_shm::Request,
        data: &(),
        display: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        <ShmState as Dispatch<WlShm, (), Self>>::request(state, client, shm, request, data, display, init);
        if client.get_data::<Client>().is_some_and(|data| data.shares_too_much(display, client)) {
            gst::warning!(CAT, "A client shares too much memory and is disconnected");
            shm.post_error(wl_shm::Error::InvalidFd, "too many pools and buffers");
        }
    }
}

/// The library panics at a pool without a size.
impl Dispatch<WlShmPool, ShmPoolUserData> for State {
    fn request(
        state: &mut Self,
        client: &wayland_server::Client,
        pool: &WlShmPool,
        request: wl_shm_pool::Request,
        data: &ShmPoolUserData,
        display: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        if matches!(request, wl_shm_pool::Request::Resize { size } if size <= 0) {
            pool.post_error(wl_shm::Error::InvalidFd, "a pool has a size");
            return;
        }
        <ShmState as Dispatch<WlShmPool, ShmPoolUserData, Self>>::request(
            state, client, pool, request, data, display, init,
        );
    }
}

impl OutputHandler for State {}

impl FractionalScaleHandler for State {
    fn new_fractional_scale(&mut self, surface: WlSurface) {
        if surface.is_alive() {
            // A pixel of a client is one of the stream.
            with_states(&surface, |states| {
                with_fractional_scale(states, |scale| scale.set_preferred_scale(1.0));
            });
        }
    }
}

smithay::delegate_compositor!(State);
smithay::reexports::wayland_server::delegate_global_dispatch!(State: [WlShm: ()] => ShmState);
smithay::reexports::wayland_server::delegate_dispatch!(State: [WlBuffer: ShmBufferUserData] => ShmState);
smithay::delegate_output!(State);
smithay::delegate_viewporter!(State);
smithay::delegate_single_pixel_buffer!(State);
smithay::delegate_fractional_scale!(State);
smithay::delegate_presentation!(State);
