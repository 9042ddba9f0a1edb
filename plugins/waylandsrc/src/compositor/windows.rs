//! The windows, one upon the other.

use super::focus::Focus;
use super::placement::{Role, asked_size, place};
use super::state::State;
use super::views::{is_shown, surface_of, surface_under};
use smithay::desktop::{LayerSurface, Window, WindowSurface, WindowSurfaceType, layer_map_for_output};
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_toplevel;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{IsAlive, Logical, Point, SERIAL_COUNTER, Size};
use smithay::wayland::shell::wlr_layer::Layer;

#[derive(Debug)]
struct Entry {
    window: Window,
    /// As of the last look.
    shown: bool,
}

#[derive(Debug, Default)]
pub struct Windows {
    /// From the lowest to the topmost; also those that show nothing yet.
    stack: Vec<Entry>,
}

impl Windows {
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Window> {
        self.stack.iter().map(|entry| &entry.window)
    }

    pub fn add(&mut self, window: Window) {
        self.stack.push(Entry { window, shown: false });
    }

    pub fn remove(&mut self, gone: impl Fn(&Window) -> bool) {
        self.stack.retain(|entry| !gone(&entry.window));
    }

    /// Looks whether a window shows something now; one that begins to comes on top. Says whether that has changed.
    pub fn look(&mut self, window: &Window) -> bool {
        let Some(at) = self.stack.iter().position(|entry| entry.window == *window) else { return false };
        let shown = is_shown(window);
        let changed = std::mem::replace(&mut self.stack[at].shown, shown) != shown;
        if changed && shown {
            self.stack[at..].rotate_left(1);
        }
        changed
    }

    pub fn find(&self, surface: &WlSurface) -> Option<Window> {
        self.iter().find(|window| surface_of(window).as_ref() == Some(surface)).cloned()
    }

    /// The topmost that shows something and takes keys. Menus of X11 let their program have them.
    fn top(&self) -> Option<&Window> {
        let takes_keys = |window: &&Window| !matches!(role(window), Role::Positioned(_));
        self.iter().rev().filter(takes_keys).find(|window| is_shown(window))
    }

    /// Where the window's main surface begins; its frame begins at its place.
    pub fn origin(&self, window: &Window, output: Size<i32, Logical>) -> Point<i32, Logical> {
        let frame = window.geometry();
        place(role(window), frame.size, output) - frame.loc
    }
}

pub fn role(window: &Window) -> Role {
    match window.underlying_surface() {
        WindowSurface::Wayland(toplevel) if toplevel.parent().is_some() => Role::Dialog,
        WindowSurface::Wayland(_) => Role::Main,
        WindowSurface::X11(surface) if surface.is_override_redirect() => {
            Role::Positioned(surface.geometry().loc)
        }
        WindowSurface::X11(surface) if surface.is_transient_for().is_some() => Role::Dialog,
        WindowSurface::X11(_) => Role::Main,
    }
}

impl State {
    /// Tells all windows their size.
    pub fn configure_windows(&mut self) {
        for window in self.windows.iter() {
            self.configure_window(window, false);
        }
    }

    /// Tells a window its size, once more if it asked for an answer.
    pub fn configure_window(&self, window: &Window, always: bool) {
        let Some(toplevel) = window.toplevel() else { return self.configure_x11(window, None) };
        let size = asked_size(role(window), self.size());
        toplevel.with_pending_state(|state| {
            state.size = size;
            state.bounds = Some(self.size());
            match size {
                Some(_) => state.states.set(xdg_toplevel::State::Fullscreen),
                None => state.states.unset(xdg_toplevel::State::Fullscreen),
            };
        });
        if always {
            toplevel.send_configure();
        } else if toplevel.is_initial_configure_sent() {
            toplevel.send_pending_configure();
        }
    }

    /// Gives the keyboard to what is on top, and the pointer to what is under it.
    pub fn refocus(&mut self) {
        let top = self.windows.top().cloned();
        for window in self.windows.iter() {
            if window.set_activated(Some(window) == top.as_ref())
                && let Some(toplevel) =
                    window.toplevel().filter(|toplevel| toplevel.is_initial_configure_sent())
            {
                toplevel.send_pending_configure();
            }
        }
        if let Some(window) = &top {
            self.raise_x11(window);
        }
        let focus = self.greedy_layer().or_else(|| top.as_ref().and_then(Focus::of_window));
        let keyboard = self.keyboard.clone();
        if keyboard.current_focus() != focus && !keyboard.is_grabbed() {
            keyboard.set_focus(self, focus, SERIAL_COUNTER.next_serial());
        }
        self.refocus_pointer();
    }

    /// A layer that wants all keys.
    fn greedy_layer(&self) -> Option<Focus> {
        let map = layer_map_for_output(&self.output);
        let mut above = map.layers_on(Layer::Overlay).rev().chain(map.layers_on(Layer::Top).rev());
        above.find(|layer| wants_keys(layer)).map(|layer| Focus::Surface(layer.wl_surface().clone()))
    }

    /// The surface at a point, and where it begins.
    pub fn surface_at(&self, point: Point<f64, Logical>) -> Option<(WlSurface, Point<f64, Logical>)> {
        self.layer_at(&[Layer::Overlay, Layer::Top], point)
            .or_else(|| self.window_at(point))
            .or_else(|| self.layer_at(&[Layer::Bottom, Layer::Background], point))
    }

    fn window_at(&self, point: Point<f64, Logical>) -> Option<(WlSurface, Point<f64, Logical>)> {
        self.windows.iter().rev().find_map(|window| {
            let origin = self.windows.origin(window, self.size());
            let (surface, at) = surface_under(window, point - origin.to_f64())?;
            Some((surface, (at + origin).to_f64()))
        })
    }

    fn layer_at(
        &self,
        layers: &[Layer],
        point: Point<f64, Logical>,
    ) -> Option<(WlSurface, Point<f64, Logical>)> {
        let map = layer_map_for_output(&self.output);
        layers.iter().flat_map(|layer| map.layers_on(*layer).rev()).find_map(|layer| {
            let origin = map.layer_geometry(layer)?.loc;
            let (surface, at) = layer.surface_under(point - origin.to_f64(), WindowSurfaceType::ALL)?;
            Some((surface, (at + origin).to_f64()))
        })
    }
}

fn wants_keys(layer: &LayerSurface) -> bool {
    use smithay::wayland::shell::wlr_layer::KeyboardInteractivity::Exclusive;
    layer.alive() && layer.cached_state().keyboard_interactivity == Exclusive
}
