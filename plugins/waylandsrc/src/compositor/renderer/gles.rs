//! A GPU draws, by OpenGL ES in a texture of its own, of which what changed is read back into the memory that goes
//! downstream. What clients drew with the GPU gets there without a copy.

use super::{BACKGROUND, BYTES_PER_PIXEL, Draw, Failure, Frame};
use crate::CAT;
use crate::compositor::drawing::Element;
use smithay::backend::allocator::dmabuf::Dmabuf;
use smithay::backend::allocator::{Buffer as _, Format, Fourcc};
use smithay::backend::egl::{EGLContext, EGLDevice, EGLDisplay};
use smithay::backend::renderer::damage::OutputDamageTracker;
use smithay::backend::renderer::gles::{Capability, GlesRenderer, GlesTexture, ffi};
use smithay::backend::renderer::{Bind, ExportMem, ImportDma, ImportMemWl, Offscreen, Renderer, Texture};
use smithay::reexports::wayland_server::protocol::wl_shm;
use smithay::utils::{Buffer, Physical, Rectangle, Size};
use std::ffi::CStr;
use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;

/// What Mesa calls itself where processors do a GPU's work; slower than pixman.
const SOFTWARE: [&str; 3] = ["llvmpipe", "softpipe", "Software Rasterizer"];

/// Displays of EGL, by the pointer that stands for their device. They live as long as the process: the library would end
/// one that is let go while another thread opens it again.
static DISPLAYS: Mutex<Vec<(usize, EGLDisplay)>> = Mutex::new(Vec::new());

/// Whether processors may pass for a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Software {
    Allowed,
    Refused,
}

#[derive(Debug)]
pub struct Gles {
    renderer: GlesRenderer,
    /// Of the GPU, as clients that draw with it open it.
    device: Option<u64>,
    /// Has the last picture.
    target: Option<GlesTexture>,
}

impl Gles {
    /// On the first GPU that can do it.
    pub fn open(software: Software) -> Result<Self, String> {
        load_egl()?;
        let mut devices: Vec<EGLDevice> = EGLDevice::enumerate().map_err(text)?.collect();
        devices.retain(|device| software == Software::Allowed || is_hardware(device));
        devices.sort_by_key(|device| !is_hardware(device));
        let mut failure = "EGL knows of none".to_owned();
        for device in devices {
            match Self::on(&device, software) {
                Ok(gles) => return Ok(gles),
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }

    fn on(device: &EGLDevice, software: Software) -> Result<Self, String> {
        let display = display_on(device)?;
        let context = EGLContext::new(&display).map_err(text)?;
        // SAFETY: the context is new, so no other thread has it.
        let mut capabilities = unsafe { GlesRenderer::supported_capabilities(&context) }.map_err(text)?;
        if !capabilities.contains(&Capability::Blit) {
            return Err("it has no OpenGL ES 3.0, by which pictures are read back".into());
        }
        // What clients do wrong is no error of ours, and looking for it makes drawing slow.
        capabilities.retain(|capability| *capability != Capability::Debug);
        // SAFETY: this thread alone has the context, and the renderer cannot be sent to another.
        let mut renderer = unsafe { GlesRenderer::with_capabilities(context, capabilities) }.map_err(text)?;
        let name = name(&mut renderer)?;
        if software == Software::Refused && SOFTWARE.iter().any(|software| name.contains(software)) {
            return Err(format!("{name} draws with processors"));
        }
        let node = device.render_device_path().ok();
        gst::info!(
            CAT,
            "{name} draws ({})",
            node.as_ref().map_or("no device".into(), |node| node.display().to_string())
        );
        Ok(Self { renderer, device: node.and_then(|node| number(&node)), target: None })
    }

    pub fn shm_formats(&self) -> Vec<wl_shm::Format> {
        self.renderer.shm_formats().collect()
    }

    /// Formats of buffers that clients draw in with the GPU, and the GPU's number, if it has one.
    pub fn dmabuf_formats(&self) -> (Vec<Format>, Option<u64>) {
        (self.renderer.dmabuf_formats().iter().copied().collect(), self.device)
    }

    /// Makes what a client drew with the GPU one that can be shown, or says why it cannot.
    pub fn import(&mut self, buffer: &Dmabuf) -> Result<(), String> {
        let Size { w, h, .. } = buffer.size();
        if w <= 0 || h <= 0 {
            return Err(format!("it is {w}x{h}"));
        }
        let imported = self.renderer.import_dmabuf(buffer, None);
        // While nobody looks, nothing else throws away what clients did with theirs.
        _ = self.renderer.cleanup_texture_cache();
        imported.map(drop).map_err(text)
    }

    /// The texture for pictures of such a kind, and whether it is new.
    fn target(&mut self, frame: &Frame) -> Result<(GlesTexture, bool), Failure> {
        // Without alpha the library knows no format to draw in; then it is opaque by what is behind all windows.
        let (size, format) = ((frame.mode.width, frame.mode.height).into(), with_alpha(frame.format));
        let fits = |target: &GlesTexture| target.size() == size && target.format() == Some(format);
        if let Some(target) = self.target.take_if(|target| fits(target)) {
            return Ok((target, false));
        }
        let target: GlesTexture = self.renderer.create_buffer(format, size).map_err(lost)?;
        Ok((target, true))
    }
}

impl Draw for Gles {
    type Texture = GlesTexture;
    type Renderer = GlesRenderer;

    fn renderer(&mut self) -> &mut GlesRenderer {
        &mut self.renderer
    }

    /// Fails when the GPU does: what is wrong with clients' buffers shows when they are imported.
    fn draw(
        &mut self,
        frame: &Frame,
        memory: &mut [u8],
        age: usize,
        repairs: &mut OutputDamageTracker,
        elements: &[Element<GlesRenderer>],
    ) -> Result<(), Failure> {
        let (mut target, is_new) = self.target(frame)?;
        let age = if is_new { 0 } else { age };
        let mut bound = self.renderer.bind(&mut target).map_err(lost)?;
        // The texture is as old as the picture before, the memory may be older: drawing what changed in both is enough.
        let drawn =
            repairs.render_output(&mut self.renderer, &mut bound, age, elements, BACKGROUND).map_err(lost)?;
        let changed = drawn.damage.and_then(|damage| damage.iter().copied().reduce(Rectangle::merge));
        let changed = changed.and_then(|changed| changed.intersection(whole(frame)));
        if let Some(changed) = changed.filter(|changed| !changed.is_empty()) {
            let region = Rectangle::<i32, Buffer>::new(
                (changed.loc.x, changed.loc.y).into(),
                (changed.size.w, changed.size.h).into(),
            );
            let pixels =
                self.renderer.copy_framebuffer(&bound, region, with_alpha(frame.format)).map_err(lost)?;
            let pixels = self.renderer.map_texture(&pixels).map_err(lost)?;
            copy(pixels, changed, memory, frame.stride());
        }
        drop(bound);
        self.target = Some(target);
        Ok(())
    }
}

fn whole(frame: &Frame) -> Rectangle<i32, Physical> {
    Rectangle::from_size((frame.mode.width, frame.mode.height).into())
}

/// Copies the rows of a rectangle to its place in a picture.
fn copy(pixels: &[u8], area: Rectangle<i32, Physical>, picture: &mut [u8], stride: usize) {
    let left = area.loc.x as usize * BYTES_PER_PIXEL;
    let width = area.size.w as usize * BYTES_PER_PIXEL;
    let rows = picture.chunks_exact_mut(stride).skip(area.loc.y as usize);
    for (row, pixels) in rows.zip(pixels.chunks_exact(width)) {
        row[left..left + width].copy_from_slice(pixels);
    }
}

fn with_alpha(format: Fourcc) -> Fourcc {
    match format {
        Fourcc::Xrgb8888 => Fourcc::Argb8888,
        Fourcc::Xbgr8888 => Fourcc::Abgr8888,
        other => other,
    }
}

/// Of a device, as its clients know it. They guess which one is meant where this fails.
fn number(node: &Path) -> Option<u64> {
    let found = std::fs::metadata(node);
    let failed = |error: &_| gst::info!(CAT, "{} has no number: {error}", node.display());
    found.inspect_err(failed).ok().map(|found| found.rdev())
}

fn is_hardware(device: &EGLDevice) -> bool {
    !device.is_software() && device.render_device_path().is_ok()
}

fn display_on(device: &EGLDevice) -> Result<EGLDisplay, String> {
    let mut displays = DISPLAYS.lock().unwrap();
    let key = device.get_device_handle() as usize;
    if let Some((_, display)) = displays.iter().find(|(known, _)| *known == key) {
        return Ok(display.clone());
    }
    // SAFETY: the device is one that EGL told, and the display is never ended from here. Somebody else in this process who
    // ended it would make later calls fail, no more.
    let display = unsafe { EGLDisplay::new(device.clone()) }.map_err(text)?;
    displays.push((key, display.clone()));
    Ok(display)
}

/// What draws, in its own words.
fn name(renderer: &mut GlesRenderer) -> Result<String, String> {
    let read = |gl: &ffi::Gles2| {
        // SAFETY: the context is current here. What it answers ends with a zero and lives as long as the context.
        unsafe {
            let name = gl.GetString(ffi::RENDERER);
            (!name.is_null()).then(|| CStr::from_ptr(name.cast()).to_string_lossy().into_owned())
        }
    };
    renderer.with_context(read).map_err(text)?.ok_or_else(|| "it has no name".into())
}

/// The library would panic where EGL is missing.
fn load_egl() -> Result<(), String> {
    // SAFETY: what it does when it is loaded is made for any thread of any program.
    let loaded = unsafe { libloading::Library::new("libEGL.so.1") };
    // It stays: drivers do not like to be unloaded.
    loaded.map(std::mem::forget).map_err(text)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

fn lost(error: impl Display) -> Failure {
    Failure::Renderer(error.to_string())
}
