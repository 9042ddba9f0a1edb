//! Processors draw, straight into the memory that goes downstream.

use super::{BACKGROUND, Draw, Failure, Frame};
use crate::compositor::drawing::Element;
use smithay::backend::renderer::Bind;
use smithay::backend::renderer::damage::OutputDamageTracker;
use smithay::backend::renderer::pixman::{PixmanRenderer, PixmanTexture};
use smithay::reexports::pixman::{FormatCode, Image};

impl Draw for PixmanRenderer {
    type Texture = PixmanTexture;
    type Renderer = Self;

    fn renderer(&mut self) -> &mut Self {
        self
    }

    /// Fails when a client took its memory away. It is disconnected, and the next picture is without it.
    fn draw(
        &mut self,
        frame: &Frame,
        memory: &mut [u8],
        age: usize,
        repairs: &mut OutputDamageTracker,
        elements: &[Element<Self>],
    ) -> Result<(), Failure> {
        let (width, height) = (frame.mode.width as usize, frame.mode.height as usize);
        let format = FormatCode::try_from(frame.format).expect("pixman knows these formats");
        let pixels = memory.as_mut_ptr().cast::<u32>();
        if memory.len() < frame.bytes() || !pixels.is_aligned() {
            return Err(Failure::picture("memory is too short or not aligned"));
        }
        // SAFETY: `memory` is aligned for pixels, long enough for the rows of the image, and outlives it: the image is
        // gone when this function returns.
        let image = unsafe { Image::from_raw_mut(format, width, height, pixels, frame.stride(), false) };
        let mut image: Image<'static, 'static> = image.map_err(Failure::picture)?;
        let mut target = self.bind(&mut image).map_err(Failure::picture)?;
        repairs.render_output(self, &mut target, age, elements, BACKGROUND).map_err(Failure::picture)?;
        Ok(())
    }
}
