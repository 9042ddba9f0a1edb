//! The picture that a client shows for an app: the owner's, or a crescent on a dark card, drawn here, as PNG.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

const WIDTH: usize = 300;
const HEIGHT: usize = 400;
/// Colours as red, green, blue: the card and the moon.
const PALETTE: [u8; 6] = [0x14, 0x17, 0x22, 0xe8, 0xe6, 0xd9];
/// Longest block that deflate stores as it is.
const STORED: usize = 0xffff;

/// Largest picture of an owner; clients keep all of them in memory.
const LARGEST: u64 = 8 << 20;

/// A picture as it is sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    /// Media type.
    pub kind: &'static str,
    pub bytes: Cow<'static, [u8]>,
}

/// The picture in `file`, or the card if there is none or it cannot be shown; the log says why then.
pub fn picture(file: Option<&Path>) -> Picture {
    if let Some(file) = file {
        match read(file) {
            Ok(picture) => return picture,
            Err(reason) => tracing::warn!("{}: {reason}; clients see a card instead", file.display()),
        }
    }
    Picture { kind: "image/png", bytes: png().into() }
}

fn read(file: &Path) -> Result<Picture, String> {
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(|e| e.to_string())?;
    opened.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("larger than {} MiB", LARGEST >> 20));
    }
    let kind = match bytes.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        _ => return Err("neither PNG nor JPEG".into()),
    };
    Ok(Picture { kind, bytes: bytes.into() })
}

/// The card, the same for every app. The client writes the title on it.
fn png() -> &'static [u8] {
    static PNG: LazyLock<Vec<u8>> = LazyLock::new(|| encode(&crescent()));
    &PNG
}

/// One bit per pixel; each row starts with a byte that says: not filtered.
fn crescent() -> Vec<u8> {
    let mut rows = Vec::with_capacity(HEIGHT * (1 + WIDTH.div_ceil(8)));
    for y in 0..HEIGHT {
        rows.push(0);
        for x in (0..WIDTH).step_by(8) {
            rows.push((x..x + 8).fold(0, |byte, x| byte << 1 | u8::from(in_crescent(x, y))));
        }
    }
    rows
}

/// In the full moon, and not in the shadow that lies over its right.
fn in_crescent(x: usize, y: usize) -> bool {
    let within = |centre_x: i64, centre_y: i64, radius: i64| {
        let (dx, dy) = (x as i64 - centre_x, y as i64 - centre_y);
        dx * dx + dy * dy <= radius * radius
    };
    within(140, 170, 80) && !within(175, 150, 70)
}

fn encode(rows: &[u8]) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend((WIDTH as u32).to_be_bytes());
    header.extend((HEIGHT as u32).to_be_bytes());
    // One bit, indexed colour, deflate, no filter method but the first, not interlaced.
    header.extend([1, 3, 0, 0, 0]);
    chunk(&mut png, b"IHDR", &header);
    chunk(&mut png, b"PLTE", &PALETTE);
    chunk(&mut png, b"IDAT", &zlib_stored(rows));
    chunk(&mut png, b"IEND", &[]);
    png
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    let start = png.len();
    png.extend(kind);
    png.extend(data);
    let sum = crc32(&png[start..]);
    png.extend(sum.to_be_bytes());
}

fn zlib_stored(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = data.chunks(STORED).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(adler32(data).to_be_bytes());
    out
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn adler32(data: &[u8]) -> u32 {
    let (a, b) = data.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    b << 16 | a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_as_published() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn a_picture_that_cannot_be_shown_is_replaced_by_the_card() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let shown = |path: &Path| picture(Some(path));
        let jpeg = file("a.jpg", &[0xff, 0xd8, 0xff, 0xe0, 1, 2]);
        assert_eq!(shown(&jpeg).kind, "image/jpeg");
        let mut large = png()[..8].to_vec();
        large.resize(LARGEST as usize + 1, 0);
        for bad in [
            file("a.txt", b"hello"),
            file("large.png", &large),
            folder.path().join("none"),
            folder.path().into(),
        ] {
            assert_eq!(shown(&bad), picture(None), "{}", bad.display());
        }
        large.pop();
        assert_eq!(shown(&file("whole.png", &large)).bytes, large);
    }

    #[test]
    fn a_moon_on_a_card() {
        let png = png();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR") && png.len() < 20_000);
        assert!(png.ends_with(&[0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82]));
        assert!(in_crescent(80, 190) && !in_crescent(175, 150) && !in_crescent(0, 0));
    }
}
