//! What pictures are drawn with: a GPU where this build can use one and there is one, else processors.

#[cfg(feature = "gles")]
mod gles;
mod pixman;

use super::drawing::{Element, Scene};
use super::painter::Painter;
use crate::CAT;
use crate::mode::Mode;
use gst::glib;
use smithay::backend::allocator::Fourcc;
use smithay::backend::renderer::damage::OutputDamageTracker;
use smithay::backend::renderer::pixman::PixmanRenderer;
use smithay::backend::renderer::{self, ImportAll, ImportMem, ImportMemWl, RendererSuper};
use smithay::reexports::wayland_server::protocol::wl_shm;
use std::fmt::Display;

/// What is behind all windows, and opaque.
const BACKGROUND: [f32; 4] = [0.0, 0.0, 0.0, 1.0];
const BYTES_PER_PIXEL: usize = 4;

/// What the user of the element wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstWaylandSrcRenderer")]
#[repr(i32)]
pub enum Choice {
    #[default]
    #[enum_value(name = "A GPU, if this build can use one and there is one, else processors", nick = "auto")]
    Auto,
    #[enum_value(name = "Processors (pixman)", nick = "pixman")]
    Pixman,
    #[enum_value(name = "OpenGL ES, by a GPU or what passes for one; in builds with it", nick = "gles")]
    Gles,
}

impl Choice {
    /// Whether this build can do so.
    pub fn is_built(self) -> bool {
        cfg!(feature = "gles") || self != Self::Gles
    }
}

/// A renderer of the library that a [`Scene`]'s elements are made for: it takes pictures from clients.
pub trait SceneRenderer:
    renderer::Renderer<TextureId: Clone + Send + 'static> + ImportAll + ImportMem
{
}

impl<R: renderer::Renderer<TextureId: Clone + Send + 'static> + ImportAll + ImportMem> SceneRenderer for R {}

/// How pictures of a mode lie in memory: rows without gaps.
#[derive(Debug)]
pub struct Frame {
    pub mode: Mode,
    format: Fourcc,
}

impl Frame {
    pub fn new(mode: Mode, format: gst_video::VideoFormat) -> Self {
        Self { mode, format: fourcc(format) }
    }

    pub fn bytes(&self) -> usize {
        self.stride() * self.mode.height as usize
    }

    fn stride(&self) -> usize {
        self.mode.width as usize * BYTES_PER_PIXEL
    }
}

/// Why there is no picture.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// This time. The next may be drawn.
    Picture(String),
    /// Nor will there ever be one.
    Renderer(String),
}

impl Failure {
    pub fn picture(why: impl Display) -> Self {
        Self::Picture(why.to_string())
    }
}

/// Draws into memory.
pub trait Draw {
    type Texture: renderer::Texture + Clone + Send + 'static;
    type Renderer: SceneRenderer + RendererSuper<TextureId = Self::Texture>;

    fn renderer(&mut self) -> &mut Self::Renderer;

    /// Makes the picture in `memory`, which was the newest `age` pictures ago, the newest again. 0 is no picture at all.
    fn draw(
        &mut self,
        frame: &Frame,
        memory: &mut [u8],
        age: usize,
        repairs: &mut OutputDamageTracker,
        elements: &[Element<Self::Renderer>],
    ) -> Result<(), Failure>;
}

#[derive(Debug)]
pub enum Renderer {
    Pixman(PixmanRenderer),
    #[cfg(feature = "gles")]
    Gles(Box<gles::Gles>),
}

impl Renderer {
    /// Looks for a GPU if that may be used. The thread that calls it is the one that draws.
    pub fn open(choice: Choice) -> Result<Self, String> {
        #[cfg(feature = "gles")]
        match choice {
            Choice::Auto => match gles::Gles::open(gles::Software::Refused) {
                Ok(gles) => return Ok(Self::Gles(Box::new(gles))),
                Err(why) => gst::info!(CAT, "Processors draw, since no GPU does: {why}"),
            },
            Choice::Gles => {
                let gles = gles::Gles::open(gles::Software::Allowed);
                return gles.map(Box::new).map(Self::Gles).map_err(|why| format!("no OpenGL ES: {why}"));
            }
            Choice::Pixman => {}
        }
        gst::debug!(CAT, "{choice:?}: processors draw");
        PixmanRenderer::new().map(Self::Pixman).map_err(|error| error.to_string())
    }

    pub fn paint(&mut self, painter: &mut Painter, scene: &Scene) -> Result<Option<gst::Buffer>, Failure> {
        match self {
            Self::Pixman(pixman) => painter.paint(pixman, scene),
            #[cfg(feature = "gles")]
            Self::Gles(gles) => painter.paint(&mut **gles, scene),
        }
    }

    /// What clients may draw in besides the two formats that everybody knows.
    pub fn shm_formats(&self) -> Vec<wl_shm::Format> {
        match self {
            Self::Pixman(pixman) => pixman.shm_formats().collect(),
            #[cfg(feature = "gles")]
            Self::Gles(gles) => gles.shm_formats(),
        }
    }

    #[cfg(feature = "gles")]
    pub fn gles(&mut self) -> Option<&mut gles::Gles> {
        match self {
            Self::Pixman(_) => None,
            Self::Gles(gles) => Some(gles),
        }
    }
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
