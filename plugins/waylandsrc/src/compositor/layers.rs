//! Panels, overlays and backgrounds: the layer shell.

use super::state::State;
use smithay::desktop::{LayerSurface, PopupKind, layer_map_for_output};
use smithay::reexports::wayland_server::protocol::wl_output::WlOutput;
use smithay::wayland::compositor::with_states;
use smithay::wayland::shell::wlr_layer::{
    Layer, LayerSurface as Surface, LayerSurfaceData, WlrLayerShellHandler, WlrLayerShellState,
};
use smithay::wayland::shell::xdg::PopupSurface;

impl WlrLayerShellHandler for State {
    fn shell_state(&mut self) -> &mut WlrLayerShellState {
        &mut self.protocols.layer_shell
    }

    fn new_layer_surface(&mut self, surface: Surface, _: Option<WlOutput>, _: Layer, namespace: String) {
        // A surface that has a place already keeps it.
        _ = layer_map_for_output(&self.output).map_layer(&LayerSurface::new(surface, namespace));
    }

    fn new_popup(&mut self, _: Surface, popup: PopupSurface) {
        let positioner = popup.with_pending_state(|state| state.positioner);
        self.place_popup(&popup, positioner);
        _ = self.popups.track_popup(PopupKind::Xdg(popup));
    }

    fn layer_destroyed(&mut self, surface: Surface) {
        let mut map = layer_map_for_output(&self.output);
        let gone = map.layers().find(|layer| layer.layer_surface() == &surface).cloned();
        if let Some(layer) = gone {
            map.unmap_layer(&layer);
        }
        drop(map);
        self.refocus();
        self.handle_change();
    }
}

pub fn is_configured(layer: &LayerSurface) -> bool {
    with_states(layer.wl_surface(), |states| {
        let data = states.data_map.get::<LayerSurfaceData>();
        data.is_some_and(|data| data.lock().unwrap().initial_configure_sent)
    })
}

smithay::delegate_layer_shell!(State);
