//! Which conversion two formats need, and doing it.

use gst_video::{VideoColorMatrix, VideoColorRange, VideoFormat, VideoFrameRef, VideoInfo, prelude::*};
use yuv::{
    BufferStoreMut, YuvBiPlanarImageMut, YuvConversionMode, YuvError, YuvPlanarImageMut, YuvRange,
    YuvStandardMatrix,
};

pub const RGB: [VideoFormat; 4] =
    [VideoFormat::Bgrx, VideoFormat::Bgra, VideoFormat::Rgbx, VideoFormat::Rgba];
pub const YUV: [VideoFormat; 2] = [VideoFormat::Nv12, VideoFormat::I420];

/// The one of the library's that is exact.
const MODE: YuvConversionMode = YuvConversionMode::Professional;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversion {
    is_blue_first: bool,
    is_planar: bool,
    range: YuvRange,
    matrix: YuvStandardMatrix,
}

impl Conversion {
    /// Nothing where there is none.
    pub fn new(from: &VideoInfo, to: &VideoInfo) -> Option<Self> {
        if !RGB.contains(&from.format()) || !YUV.contains(&to.format()) {
            return None;
        }
        let matrix = match to.colorimetry().matrix() {
            VideoColorMatrix::Bt601 => YuvStandardMatrix::Bt601,
            VideoColorMatrix::Bt709 => YuvStandardMatrix::Bt709,
            VideoColorMatrix::Bt2020 => YuvStandardMatrix::Bt2020,
            VideoColorMatrix::Smpte240m => YuvStandardMatrix::Smpte240,
            VideoColorMatrix::Fcc => YuvStandardMatrix::Fcc,
            _ => return None,
        };
        let range = match to.colorimetry().range() {
            VideoColorRange::Range0_255 => YuvRange::Full,
            VideoColorRange::Range16_235 => YuvRange::Limited,
            _ => return None,
        };
        let is_blue_first = matches!(from.format(), VideoFormat::Bgrx | VideoFormat::Bgra);
        Some(Self { is_blue_first, is_planar: to.format() == VideoFormat::I420, range, matrix })
    }

    /// Both frames have the same size.
    pub fn convert(
        &self,
        from: &VideoFrameRef<&gst::BufferRef>,
        to: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<(), YuvError> {
        let Self { range, matrix, .. } = *self;
        let (width, height) = (to.width(), to.height());
        let pixels = from.plane_data(0).expect("RGB has one plane");
        let stride = from.plane_stride()[0] as u32;
        // NV12 has two planes.
        let strides: [u32; 3] =
            std::array::from_fn(|plane| to.plane_stride().get(plane).map_or(0, |stride| *stride as u32));
        let [y, u, v, _] = to.planes_data_mut();
        let [y_plane, u_plane, v_plane] = [y, u, v].map(BufferStoreMut::Borrowed);
        let [y_stride, u_stride, v_stride] = strides;
        if self.is_planar {
            let mut image =
                YuvPlanarImageMut { y_plane, y_stride, u_plane, u_stride, v_plane, v_stride, width, height };
            let convert = if self.is_blue_first { yuv::bgra_to_yuv420 } else { yuv::rgba_to_yuv420 };
            return convert(&mut image, pixels, stride, range, matrix, MODE);
        }
        let mut image =
            YuvBiPlanarImageMut { y_plane, y_stride, uv_plane: u_plane, uv_stride: u_stride, width, height };
        let convert = if self.is_blue_first { yuv::bgra_to_yuv_nv12 } else { yuv::rgba_to_yuv_nv12 };
        convert(&mut image, pixels, stride, range, matrix, MODE)
    }
}
