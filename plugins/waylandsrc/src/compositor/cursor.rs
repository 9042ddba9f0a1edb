//! The pointer's picture.

use smithay::backend::allocator::Fourcc;
use smithay::backend::renderer::element::memory::MemoryRenderBuffer;
use smithay::input::pointer::CursorImageStatus;
use smithay::utils::{Logical, Point, Transform};

/// An arrow whose tip is the top-left pixel: black, with a white edge.
const ARROW: [&str; 19] = [
    "#           ",
    "##          ",
    "#.#         ",
    "#..#        ",
    "#...#       ",
    "#....#      ",
    "#.....#     ",
    "#......#    ",
    "#.......#   ",
    "#........#  ",
    "#.........# ",
    "#......#####",
    "#...#..#    ",
    "#..##..#    ",
    "#.#  #..#   ",
    "##   #..#   ",
    "#     #..#  ",
    "      #..#  ",
    "       ##   ",
];

#[derive(Debug)]
pub struct Cursor {
    /// What the client under the pointer wishes.
    pub image: CursorImageStatus,
    /// Nobody has pointed at anything before this is set.
    pub used: bool,
    /// The place that was pointed at last, also while a client holds the pointer.
    pub pointed: Point<f64, Logical>,
    /// Buttons that are down.
    pub held: Vec<u32>,
    /// Fingers that are down.
    pub fingers: Vec<u32>,
    pub arrow: MemoryRenderBuffer,
}

impl Default for Cursor {
    fn default() -> Self {
        Self {
            image: CursorImageStatus::default_named(),
            used: false,
            pointed: Point::default(),
            held: Vec::new(),
            fingers: Vec::new(),
            arrow: arrow(),
        }
    }
}

fn arrow() -> MemoryRenderBuffer {
    let size = (ARROW[0].len() as i32, ARROW.len() as i32);
    MemoryRenderBuffer::from_slice(&arrow_pixels(), Fourcc::Argb8888, size, 1, Transform::Normal, None)
}

fn arrow_pixels() -> Vec<u8> {
    let pixel = |shape| match shape {
        b'#' => [255, 255, 255, 255],
        b'.' => [0, 0, 0, 255],
        _ => [0; 4],
    };
    ARROW.iter().flat_map(|row| row.bytes()).flat_map(pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arrow_is_a_rectangle_that_points_with_its_corner() {
        assert!(ARROW.iter().all(|row| row.len() == ARROW[0].len()));
        let pixels = arrow_pixels();
        assert_eq!(pixels.len(), ARROW[0].len() * ARROW.len() * 4);
        assert_eq!(pixels[..8], [255, 255, 255, 255, 0, 0, 0, 0]);
    }
}
