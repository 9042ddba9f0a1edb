//! libx264 as far as [`crate::x264rfienc`] needs it; `libx264.c` is the other side.

use std::ffi::{CStr, c_char};
use std::ptr::NonNull;

/// What an encoder is opened with.
#[derive(Clone, Debug)]
pub struct Config {
    pub width: i32,
    pub height: i32,
    /// Frames per second.
    pub fps: (i32, i32),
    /// Width and height of a pixel.
    pub sample_aspect: (i32, i32),
    pub format: Format,
    pub rate: Rate,
    /// Pictures that the decoder keeps, 1 to 16.
    pub dpb_size: u32,
    /// Most frames from one key frame to the next, 0 = no end.
    pub key_int_max: u32,
    /// Slices of a picture, 0 = as many as threads.
    pub slices: u32,
    /// Threads that share a picture, 0 = as many as cores.
    pub threads: u32,
    pub intra_refresh: bool,
    pub colour: Colour,
    pub preset: &'static CStr,
    pub profile: &'static CStr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub kbps: u32,
    /// Milliseconds of the bitrate that the decoder's buffer holds, 0 = no such limit.
    pub vbv_ms: u32,
}

/// How the samples of a picture lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    I420,
    Nv12,
}

/// Codes of ISO/IEC 23091-2.
#[derive(Clone, Copy, Debug)]
pub struct Colour {
    pub full_range: bool,
    pub primaries: u32,
    pub transfer: u32,
    pub matrix: u32,
}

/// A plane of a picture: its bytes, and from one row to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plane<'a> {
    pub bytes: &'a [u8],
    pub stride: usize,
}

/// libx264 refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The NAL units of one frame, each with its start code.
pub struct Units<'a> {
    encoder: &'a Encoder,
    count: i32,
    pub is_idr: bool,
}

/// An open encoder.
#[derive(Debug)]
pub struct Encoder {
    raw: NonNull<Raw>,
    /// Rows and bytes of a row of each plane.
    planes: [(usize, usize); 3],
}

// SAFETY: libx264 keeps nothing to a thread; `&mut` keeps calls apart.
unsafe impl Send for Encoder {}

/// `rfi_encoder` of `libx264.c`.
enum Raw {}

#[repr(C)]
struct RawConfig {
    width: i32,
    height: i32,
    fps_num: i32,
    fps_den: i32,
    sar_width: i32,
    sar_height: i32,
    nv12: i32,
    kbps: i32,
    vbv_ms: i32,
    dpb_size: i32,
    keyint: i32,
    slices: i32,
    threads: i32,
    intra_refresh: i32,
    full_range: i32,
    primaries: i32,
    transfer: i32,
    matrix: i32,
    preset: *const c_char,
    profile: *const c_char,
    log: extern "C" fn(i32, *const c_char),
}

unsafe extern "C" {
    fn rfi_open(config: *const RawConfig) -> *mut Raw;
    fn rfi_close(encoder: *mut Raw);
    fn rfi_set_bitrate(encoder: *mut Raw, kbps: i32, vbv_ms: i32) -> i32;
    fn rfi_invalidate(encoder: *mut Raw, from: i64) -> i32;
    fn rfi_headers(encoder: *mut Raw) -> i32;
    fn rfi_encode(
        encoder: *mut Raw,
        planes: *const *const u8,
        strides: *const i32,
        number: i64,
        force_idr: i32,
        is_idr: *mut i32,
    ) -> i32;
    fn rfi_nal(encoder: *const Raw, index: i32, size: *mut i32) -> *const u8;
}

impl Encoder {
    pub fn open(config: &Config) -> Result<Self, Refused> {
        let raw = RawConfig::from(config);
        // SAFETY: `raw` and the texts that it points to outlive the call.
        let encoder = unsafe { rfi_open(&raw) };
        let (width, height) = (config.width as usize, config.height as usize);
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let planes = match config.format {
            Format::I420 => [(height, width), (half_height, half_width), (half_height, half_width)],
            Format::Nv12 => [(height, width), (half_height, 2 * half_width), (0, 0)],
        };
        Ok(Self { raw: NonNull::new(encoder).ok_or(Refused)?, planes })
    }

    /// From the next frame on.
    pub fn set_rate(&mut self, rate: Rate) -> Result<(), Refused> {
        // SAFETY: the encoder is open, and nobody else uses it.
        let result = unsafe { rfi_set_bitrate(self.raw.as_ptr(), signed(rate.kbps), signed(rate.vbv_ms)) };
        if result < 0 { Err(Refused) } else { Ok(()) }
    }

    /// Frames from number `from` on serve as references no more. Does nothing where an IDR frame came after `from`.
    pub fn invalidate(&mut self, from: i64) -> Result<(), Refused> {
        // SAFETY: as above.
        let result = unsafe { rfi_invalidate(self.raw.as_ptr(), from) };
        if result < 0 { Err(Refused) } else { Ok(()) }
    }

    /// The parameter sets.
    pub fn headers(&mut self) -> Result<Units<'_>, Refused> {
        // SAFETY: as above.
        let count = unsafe { rfi_headers(self.raw.as_ptr()) };
        if count < 0 { Err(Refused) } else { Ok(Units { encoder: self, count, is_idr: false }) }
    }

    /// Encodes a picture; `number` is above those before.
    pub fn encode(
        &mut self,
        planes: &[Plane<'_>; 3],
        number: i64,
        force_idr: bool,
    ) -> Result<Units<'_>, Refused> {
        for (plane, (rows, row)) in planes.iter().zip(self.planes) {
            let bytes = rows.saturating_sub(1) * plane.stride + row;
            if rows > 0 && (plane.stride < row || plane.bytes.len() < bytes) {
                return Err(Refused);
            }
        }
        let pointers = planes.map(|plane| plane.bytes.as_ptr());
        let strides = planes.map(|plane| plane.stride as i32);
        let mut is_idr = 0;
        // SAFETY: the planes hold what is read of them, as checked above, and libx264 copies it during the call.
        let count = unsafe {
            let force = i32::from(force_idr);
            rfi_encode(self.raw.as_ptr(), pointers.as_ptr(), strides.as_ptr(), number, force, &mut is_idr)
        };
        if count < 0 { Err(Refused) } else { Ok(Units { encoder: self, count, is_idr: is_idr != 0 }) }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: it was opened, and is used no more.
        unsafe { rfi_close(self.raw.as_ptr()) };
    }
}

impl<'a> Units<'a> {
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let encoder = self.encoder;
        (0..self.count).map(move |index| {
            let mut size = 0;
            // SAFETY: the index is below the count of the last call; the bytes stay until the next one, which needs
            // the encoder to itself.
            unsafe {
                let bytes = rfi_nal(encoder.raw.as_ptr(), index, &mut size);
                std::slice::from_raw_parts(bytes, size as usize)
            }
        })
    }
}

impl From<&Config> for RawConfig {
    fn from(config: &Config) -> Self {
        Self {
            width: config.width,
            height: config.height,
            fps_num: config.fps.0,
            fps_den: config.fps.1,
            sar_width: config.sample_aspect.0,
            sar_height: config.sample_aspect.1,
            nv12: i32::from(config.format == Format::Nv12),
            kbps: signed(config.rate.kbps),
            vbv_ms: signed(config.rate.vbv_ms),
            dpb_size: signed(config.dpb_size),
            keyint: signed(config.key_int_max),
            slices: signed(config.slices),
            threads: signed(config.threads),
            intra_refresh: i32::from(config.intra_refresh),
            full_range: i32::from(config.colour.full_range),
            primaries: signed(config.colour.primaries),
            transfer: signed(config.colour.transfer),
            matrix: signed(config.colour.matrix),
            preset: config.preset.as_ptr(),
            profile: config.profile.as_ptr(),
            log,
        }
    }
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

extern "C" fn log(level: i32, text: *const c_char) {
    // SAFETY: `libx264.c` passes a text that ends in 0.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let level = match level {
        // What it refuses is told by whoever asked for it.
        0 | 1 => gst::DebugLevel::Warning,
        2 => gst::DebugLevel::Debug,
        _ => gst::DebugLevel::Trace,
    };
    gst::log_with_level!(crate::x264rfienc::CAT, level, "{}", text.trim_end());
}
