//! Pictures of the output, drawn straight into the memory that goes downstream; only what changed.

use super::state::State;
use super::swapchain::{Canvas, Swapchain};
use super::{Layout, cursor::Cursor, views};
use crate::mode::Mode;
use smithay::backend::allocator::Fourcc;
use smithay::backend::renderer::damage::OutputDamageTracker;
use smithay::backend::renderer::element::memory::MemoryRenderBufferRenderElement;
use smithay::backend::renderer::element::surface::{
    WaylandSurfaceRenderElement, render_elements_from_surface_tree,
};
use smithay::backend::renderer::element::{AsRenderElements, Kind};
use smithay::backend::renderer::pixman::PixmanRenderer;
use smithay::backend::renderer::{Bind, ImportMemWl};
use smithay::desktop::layer_map_for_output;
use smithay::desktop::utils::send_frames_surface_tree;
use smithay::input::pointer::{CursorImageStatus, CursorImageSurfaceData};
use smithay::output::Output;
use smithay::reexports::pixman::{FormatCode, Image};
use smithay::reexports::wayland_server::protocol::wl_shm;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::utils::{IsAlive, Logical, Physical, Point, Scale, Transform};
use smithay::wayland::compositor::with_states;
use smithay::wayland::shell::wlr_layer::Layer;
use std::fmt::Display;
use std::time::Duration;

/// What is behind all windows, and opaque.
const BACKGROUND: [f32; 4] = [0.0, 0.0, 0.0, 1.0];
const BYTES_PER_PIXEL: usize = 4;

smithay::backend::renderer::element::render_elements! {
    pub Element<=PixmanRenderer>;
    Surface=WaylandSurfaceRenderElement<PixmanRenderer>,
    Memory=MemoryRenderBufferRenderElement<PixmanRenderer>,
}

/// What clients may draw in besides the two formats that everybody knows.
pub fn shm_formats() -> Vec<wl_shm::Format> {
    PixmanRenderer::new().expect("creating it cannot fail").shm_formats().collect()
}

#[derive(Debug)]
pub struct Painter {
    renderer: PixmanRenderer,
    /// Whether anything changed since the last picture.
    changes: OutputDamageTracker,
    /// What changed since the picture that a buffer holds.
    repairs: OutputDamageTracker,
    buffers: Swapchain,
    last: Option<gst::Buffer>,
    format: FormatCode,
    mode: Mode,
}

impl Painter {
    pub fn new(mode: Mode, layout: Layout) -> Self {
        Self {
            renderer: PixmanRenderer::new().expect("creating it cannot fail"),
            changes: tracker(mode),
            repairs: tracker(mode),
            buffers: Swapchain::new(stride(mode) * mode.height as usize, layout.params),
            last: None,
            format: FormatCode::try_from(fourcc(layout.format)).expect("pixman knows these formats"),
            mode,
        }
    }

    pub fn renderer(&mut self) -> &mut PixmanRenderer {
        &mut self.renderer
    }

    /// The picture drawn last.
    pub fn last(&self) -> Option<gst::Buffer> {
        self.last.as_ref().map(|buffer| buffer.copy())
    }

    /// Draws, unless nothing has changed.
    pub fn paint(&mut self, elements: &[Element]) -> Result<Option<gst::Buffer>, String> {
        let (changed, _) = self.changes.damage_output(1, elements).map_err(text)?;
        if changed.is_none() && self.last.is_some() {
            return Ok(None);
        }
        // The last picture is of no more use, and its memory may be.
        self.last = None;
        let Canvas { buffer, age } = self.buffers.acquire().map_err(text)?;
        let (buffer, drawn) = self.draw(buffer, age, elements);
        let canvas = Canvas { buffer, age };
        if let Err(error) = drawn {
            self.buffers.discard(canvas);
            // What was drawn before the fault is not known: without a history all is drawn again.
            (self.changes, self.repairs) = (tracker(self.mode), tracker(self.mode));
            return Err(error);
        }
        let buffer = self.buffers.present(canvas);
        self.last = Some(buffer.copy());
        Ok(Some(buffer))
    }

    fn draw(
        &mut self,
        buffer: gst::Buffer,
        age: usize,
        elements: &[Element],
    ) -> (gst::Buffer, Result<(), String>) {
        let mut memory = match buffer.into_mapped_buffer_writable() {
            Ok(memory) => memory,
            Err(buffer) => return (buffer, Err("memory cannot be written".into())),
        };
        let drawn = self.draw_into(memory.as_mut_slice(), age, elements);
        (memory.into_buffer(), drawn)
    }

    fn draw_into(&mut self, memory: &mut [u8], age: usize, elements: &[Element]) -> Result<(), String> {
        let (width, height) = (self.mode.width as usize, self.mode.height as usize);
        let pixels = memory.as_mut_ptr().cast::<u32>();
        if memory.len() < stride(self.mode) * height || !pixels.is_aligned() {
            return Err("memory is too short or not aligned".into());
        }
        // SAFETY: `memory` is aligned for pixels, long enough for the rows of the image, and outlives it: the image is
        // gone when this function returns.
        let image =
            unsafe { Image::from_raw_mut(self.format, width, height, pixels, stride(self.mode), false) };
        let mut image: Image<'static, 'static> = image.map_err(text)?;
        let mut target = self.renderer.bind(&mut image).map_err(text)?;
        self.repairs
            .render_output(&mut self.renderer, &mut target, age, elements, BACKGROUND)
            .map_err(text)?;
        Ok(())
    }
}

fn tracker(mode: Mode) -> OutputDamageTracker {
    OutputDamageTracker::new((mode.width, mode.height), 1.0, Transform::Normal)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

fn stride(mode: Mode) -> usize {
    mode.width as usize * BYTES_PER_PIXEL
}

/// GStreamer names bytes in the order of memory, the others in that of a little-endian word.
fn fourcc(format: gst_video::VideoFormat) -> Fourcc {
    match format {
        gst_video::VideoFormat::Bgra => Fourcc::Argb8888,
        gst_video::VideoFormat::Rgbx => Fourcc::Xbgr8888,
        gst_video::VideoFormat::Rgba => Fourcc::Abgr8888,
        _ => Fourcc::Xrgb8888,
    }
}

impl State {
    /// Everything that is seen, from front to back.
    pub fn elements(&self, renderer: &mut PixmanRenderer) -> Vec<Element> {
        let mut elements = Vec::new();
        if self.shared.switches.shows_cursor() && self.cursor.used {
            draw_cursor(&self.cursor, self.pointer.current_location(), renderer, &mut elements);
        }
        self.draw_layers(&[Layer::Overlay, Layer::Top], renderer, &mut elements);
        for window in self.windows.iter().rev() {
            let location = physical(self.windows.origin(window, self.size()));
            elements.extend(views::elements(window, renderer, location));
        }
        self.draw_layers(&[Layer::Bottom, Layer::Background], renderer, &mut elements);
        elements
    }

    fn draw_layers(&self, layers: &[Layer], renderer: &mut PixmanRenderer, elements: &mut Vec<Element>) {
        let map = layer_map_for_output(&self.output);
        for layer in layers.iter().flat_map(|layer| map.layers_on(*layer).rev()) {
            let Some(place) = map.layer_geometry(layer) else { continue };
            elements.extend(layer.render_elements::<Element>(
                renderer,
                physical(place.loc),
                Scale::from(1.0),
                1.0,
            ));
        }
    }

    /// Clients that draw the pointer's picture animate it too.
    pub fn tell_cursor(&self, output: &Output, now: Duration) {
        if let CursorImageStatus::Surface(surface) = &self.cursor.image {
            send_frames_surface_tree(surface, output, now, None, |_, _| Some(output.clone()));
        }
    }
}

fn physical(point: Point<i32, Logical>) -> Point<i32, Physical> {
    point.to_physical(1)
}

fn draw_cursor(
    cursor: &Cursor,
    at: Point<f64, Logical>,
    renderer: &mut PixmanRenderer,
    elements: &mut Vec<Element>,
) {
    match &cursor.image {
        CursorImageStatus::Hidden => {}
        CursorImageStatus::Surface(surface) if surface.alive() => {
            let at = physical(at.to_i32_round() - hotspot(surface));
            let image: Vec<Element> =
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
