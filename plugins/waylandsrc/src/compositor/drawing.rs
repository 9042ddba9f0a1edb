//! What is seen, as elements for whatever renderer draws it.

use super::cursor::Cursor;
use super::renderer::SceneRenderer;
use super::views;
use super::windows::Windows;
use smithay::backend::renderer::element::memory::MemoryRenderBufferRenderElement;
use smithay::backend::renderer::element::surface::{
    WaylandSurfaceRenderElement, render_elements_from_surface_tree,
};
use smithay::backend::renderer::element::{AsRenderElements, Kind};
use smithay::backend::renderer::{ImportAll, ImportMem};
use smithay::desktop::layer_map_for_output;
use smithay::desktop::utils::send_frames_surface_tree;
use smithay::input::pointer::{CursorImageStatus, CursorImageSurfaceData};
use smithay::output::Output;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{IsAlive, Logical, Physical, Point, Scale, Size};
use smithay::wayland::compositor::with_states;
use smithay::wayland::shell::wlr_layer::Layer;
use std::time::Duration;

smithay::backend::renderer::element::render_elements! {
    pub Element<R> where R: ImportAll + ImportMem;
    Surface=WaylandSurfaceRenderElement<R>,
    Memory=MemoryRenderBufferRenderElement<R>,
}

/// Everything that may be seen.
pub struct Scene<'a> {
    pub windows: &'a Windows,
    /// With the layers upon it.
    pub output: &'a Output,
    pub size: Size<i32, Logical>,
    /// The pointer and its place, if it is drawn.
    pub cursor: Option<(&'a Cursor, Point<f64, Logical>)>,
}

impl Scene<'_> {
    /// What is seen, from front to back. What cannot be imported is left out.
    pub fn elements<R: SceneRenderer>(&self, renderer: &mut R) -> Vec<Element<R>> {
        let mut elements = Vec::new();
        if let Some((cursor, at)) = self.cursor {
            draw_cursor(cursor, at, renderer, &mut elements);
        }
        self.draw_layers(&[Layer::Overlay, Layer::Top], renderer, &mut elements);
        for window in self.windows.iter().rev() {
            let location = physical(self.windows.origin(window, self.size));
            elements.extend(views::elements(window, renderer, location));
        }
        self.draw_layers(&[Layer::Bottom, Layer::Background], renderer, &mut elements);
        elements
    }

    fn draw_layers<R: SceneRenderer>(
        &self,
        layers: &[Layer],
        renderer: &mut R,
        elements: &mut Vec<Element<R>>,
    ) {
        let map = layer_map_for_output(self.output);
        for layer in layers.iter().flat_map(|layer| map.layers_on(*layer).rev()) {
            let Some(place) = map.layer_geometry(layer) else { continue };
            elements.extend(layer.render_elements::<Element<R>>(
                renderer,
                physical(place.loc),
                Scale::from(1.0),
                1.0,
            ));
        }
    }
}

/// Clients that draw the pointer's picture animate it too.
pub fn tell_cursor(cursor: &Cursor, output: &Output, now: Duration) {
    if let CursorImageStatus::Surface(surface) = &cursor.image {
        send_frames_surface_tree(surface, output, now, None, |_, _| Some(output.clone()));
    }
}

fn physical(point: Point<i32, Logical>) -> Point<i32, Physical> {
    point.to_physical(1)
}

fn draw_cursor<R: SceneRenderer>(
    cursor: &Cursor,
    at: Point<f64, Logical>,
    renderer: &mut R,
    elements: &mut Vec<Element<R>>,
) {
    match &cursor.image {
        CursorImageStatus::Hidden => {}
        CursorImageStatus::Surface(surface) if surface.alive() => {
            let at = physical(at.to_i32_round() - hotspot(surface));
            let image: Vec<Element<R>> =
                render_elements_from_surface_tree(renderer, surface, at, 1.0, 1.0, Kind::Cursor);
            elements.extend(image);
        }
        CursorImageStatus::Surface(_) | CursorImageStatus::Named(_) => {
            let at = at.to_physical(1.0).to_i32_round::<i32>().to_f64();
            let (arrow, kind) = (&cursor.arrow, Kind::Cursor);
            let arrow =
                MemoryRenderBufferRenderElement::from_buffer(renderer, at, arrow, None, None, None, kind);
            elements.extend(arrow.ok().map(Element::from));
        }
    }
}

/// Where in its picture the pointer is.
fn hotspot(surface: &WlSurface) -> Point<i32, Logical> {
    with_states(surface, |states| {
        let data = states.data_map.get::<CursorImageSurfaceData>();
        data.map(|data| data.lock().unwrap().hotspot).unwrap_or_default()
    })
}
