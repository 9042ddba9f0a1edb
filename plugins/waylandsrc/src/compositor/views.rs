//! Windows of Wayland and of X11 alike.
//!
//! What an X11 window shows is a surface of Xwayland's. Newer ones say which by a protocol that the library follows;
//! those before 23.1 say it in a message that it only keeps: then it is found here.

use super::drawing::Element;
use super::renderer::SceneRenderer;
use super::state::State;
use smithay::backend::renderer::element::surface::render_elements_from_surface_tree;
use smithay::backend::renderer::element::{AsRenderElements, Kind};
use smithay::backend::renderer::utils::with_renderer_surface_state;
use smithay::desktop::utils::{
    OutputPresentationFeedback, send_frames_surface_tree, take_presentation_feedback_surface_tree,
    under_from_surface_tree,
};
use smithay::desktop::{Window, WindowSurfaceType};
use smithay::output::Output;
use smithay::reexports::wayland_protocols::wp::presentation_time::server::wp_presentation_feedback::Kind as How;
use smithay::reexports::wayland_server::Client;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{IsAlive, Logical, Physical, Point, Scale};
use smithay::wayland::seat::WaylandFocus;
use std::sync::Mutex;
use std::time::Duration;

/// The surface that an older Xwayland said for a window.
#[derive(Default)]
struct Said(Mutex<Option<WlSurface>>);

fn said(window: &Window) -> &Said {
    window.user_data().get_or_insert_threadsafe(Said::default)
}

/// What the window shows.
pub fn surface_of(window: &Window) -> Option<WlSurface> {
    let own = window.wl_surface().map(|surface| surface.into_owned());
    own.or_else(|| said(window).0.lock().unwrap().clone()).filter(|surface| surface.alive())
}

pub fn is_shown(window: &Window) -> bool {
    let has_picture = |surface: WlSurface| {
        with_renderer_surface_state(&surface, |state| state.buffer().is_some()).unwrap_or(false)
    };
    window.alive() && surface_of(window).is_some_and(has_picture)
}

pub fn elements<R: SceneRenderer>(
    window: &Window,
    renderer: &mut R,
    at: Point<i32, Physical>,
) -> Vec<Element<R>> {
    if window.is_wayland() {
        return window.render_elements(renderer, at, Scale::from(1.0), 1.0);
    }
    let Some(surface) = surface_of(window) else { return Vec::new() };
    render_elements_from_surface_tree(renderer, &surface, at, 1.0, 1.0, Kind::Unspecified)
}

/// The surface at a point of the window, and where it begins.
pub fn surface_under(
    window: &Window,
    point: Point<f64, Logical>,
) -> Option<(WlSurface, Point<i32, Logical>)> {
    if window.is_wayland() {
        return window.surface_under(point, WindowSurfaceType::ALL);
    }
    under_from_surface_tree(&surface_of(window)?, point, (0, 0), WindowSurfaceType::ALL)
}

pub fn send_frame(window: &Window, output: &Output, now: Duration) {
    if window.is_wayland() {
        window.send_frame(output, now, None, |_, _| Some(output.clone()));
    } else if let Some(surface) = surface_of(window) {
        send_frames_surface_tree(&surface, output, now, None, |_, _| Some(output.clone()));
    }
}

pub fn take_feedback(window: &Window, feedback: &mut OutputPresentationFeedback, output: &Output) {
    if window.is_wayland() {
        window.take_presentation_feedback(feedback, |_, _| Some(output.clone()), |_, _| How::Vsync);
    } else if let Some(surface) = surface_of(window) {
        let here = |_: &WlSurface, _: &_| Some(output.clone());
        take_presentation_feedback_surface_tree(&surface, feedback, here, |_, _| How::Vsync);
    }
}

impl State {
    /// Finds the surfaces of X11 windows that were mentioned since.
    pub fn find_x11_surfaces(&mut self, xwayland: &Client) {
        let without: Vec<Window> = self
            .windows
            .iter()
            .filter(|window| window.is_x11() && surface_of(window).is_none())
            .cloned()
            .collect();
        for window in without {
            #[expect(deprecated, reason = "an older Xwayland knows nothing else")]
            let id = window.x11_surface().and_then(|surface| surface.wl_surface_id());
            let found = id.and_then(|id| xwayland.object_from_protocol_id(&self.display, id).ok());
            let Some(surface) = found else { continue };
            *said(&window).0.lock().unwrap() = Some(surface);
            if self.windows.look(&window) {
                self.refocus();
            }
            self.handle_change();
        }
    }
}
