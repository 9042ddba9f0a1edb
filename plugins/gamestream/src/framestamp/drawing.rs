//! What is drawn where, as rectangles of black and white.

/// Pixels of a cell's side.
pub const CELL: u32 = 16;
/// Bits of the frame number.
const CELLS: u32 = u32::BITS;
const GLYPH_WIDTH: u32 = 5;
const GLYPH_HEIGHT: u32 = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
    pub white: bool,
}

/// Draws the cells of a frame number, from the top-left corner on.
pub fn cells(number: u32, mut fill: impl FnMut(Rectangle)) {
    for cell in 0..CELLS {
        let white = number >> (CELLS - 1 - cell) & 1 == 1;
        fill(Rectangle { x: cell * CELL, y: 0, width: CELL, height: CELL, white });
    }
}

/// Draws lines of text on black, below the cells, sized for a picture of this height. All edges are even, as
/// subsampled chroma needs them.
pub fn text(lines: &[&str], picture_height: u32, mut fill: impl FnMut(Rectangle)) {
    let dot = (picture_height / 180 * 2).clamp(2, 24);
    let (left, top) = (CELL, 2 * CELL);
    let line_height = (GLYPH_HEIGHT + 2) * dot;
    for (line, text) in lines.iter().enumerate() {
        let y = top + line as u32 * line_height;
        let width = (text.len() as u32 * (GLYPH_WIDTH + 1) + 1) * dot;
        fill(Rectangle { x: left, y, width, height: line_height, white: false });
        for (column, character) in text.chars().enumerate() {
            let x = left + (column as u32 * (GLYPH_WIDTH + 1) + 1) * dot;
            glyph(character, x, y + dot, dot, &mut fill);
        }
    }
}

fn glyph(character: char, left: u32, top: u32, dot: u32, fill: &mut impl FnMut(Rectangle)) {
    for (row, bits) in bitmap(character).into_iter().enumerate() {
        for column in (0..GLYPH_WIDTH).filter(|column| bits >> (GLYPH_WIDTH - 1 - column) & 1 == 1) {
            let (x, y) = (left + column * dot, top + row as u32 * dot);
            fill(Rectangle { x, y, width: dot, height: dot, white: true });
        }
    }
}

/// Rows from the top, the leftmost dot in bit 4.
fn bitmap(character: char) -> [u8; GLYPH_HEIGHT as usize] {
    match character {
        '0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        '2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        '3' => [0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
        '6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
        ':' => [0b00000, 0b00100, 0b00100, 0b00000, 0b00100, 0b00100, 0b00000],
        '.' => [0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b01100, 0b01100],
        _ => [0; GLYPH_HEIGHT as usize],
    }
}

/// Minutes, seconds and milliseconds.
pub fn clock(milliseconds: u64) -> String {
    let (minutes, seconds) = (milliseconds / 60_000, milliseconds / 1000 % 60);
    format!("{minutes:02}:{seconds:02}.{:03}", milliseconds % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_significant_bit_is_the_leftmost_cell() {
        let mut drawn = Vec::new();
        cells(0x8000_0005, |rectangle| drawn.push(rectangle));
        let white: Vec<_> = drawn.iter().filter(|r| r.white).map(|r| r.x / CELL).collect();
        assert_eq!(white, [0, 29, 31]);
        assert_eq!(drawn.len(), 32);
        assert_eq!(drawn[31], Rectangle { x: 496, y: 0, width: 16, height: 16, white: true });
    }

    #[test]
    fn text_is_below_the_cells_and_on_even_edges() {
        for height in [64, 240, 720, 1080, 2160, 4320] {
            text(&["01:23.456", "7890"], height, |r| {
                assert!(r.y >= CELL, "{r:?}");
                assert!([r.x, r.y, r.width, r.height].iter().all(|edge| edge % 2 == 0), "{r:?}");
            });
        }
    }

    #[test]
    fn every_character_of_a_clock_looks_different() {
        let all: std::collections::BTreeSet<_> = "0123456789:.".chars().map(bitmap).collect();
        assert_eq!(all.len(), 12);
        assert!(!all.contains(&bitmap(' ')));
    }

    #[test]
    fn the_clock_counts_minutes() {
        assert_eq!(clock(0), "00:00.000");
        assert_eq!(clock(61_007), "01:01.007");
        assert_eq!(clock(6_000_000), "100:00.000");
    }
}
