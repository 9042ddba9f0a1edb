//! Where on what is captured a place in the client's picture is.

/// In pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

/// The place of `at`, fractions of a picture of the size `picture`, on what is shown in it as large as it fits, in the
/// middle, with borders. What is beside it is on its edge.
pub fn on_content(at: (f64, f64), picture: Size, content: Size) -> (f64, f64) {
    let [picture_w, picture_h, content_w, content_h] =
        [picture.width, picture.height, content.width, content.height].map(f64::from);
    let scale = (picture_w / content_w).min(picture_h / content_h);
    let along = |at: f64, picture: f64, content: f64| {
        let border = (picture - content * scale) / 2.0;
        ((at * picture - border) / scale).clamp(0.0, content)
    };
    (along(at.0, picture_w, content_w), along(at.1, picture_h, content_h))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    #[test]
    fn places_are_where_they_are_seen() {
        let hd = size(1920, 1080);
        for (at, content, expected) in [
            ((0.5, 0.25), hd, (960.0, 270.0)),
            ((0.5, 0.25), size(3840, 2160), (1920.0, 540.0)),
            // 4:3 in 16:9: 240 pixels at each side are border.
            ((0.5, 0.5), size(1440, 1080), (720.0, 540.0)),
            ((0.125, 0.0), size(1440, 1080), (0.0, 0.0)),
            ((0.05, 0.5), size(1440, 1080), (0.0, 540.0)),
            ((1.0, 1.0), size(720, 540), (720.0, 540.0)),
            // Wider than the picture: borders above and below.
            ((0.5, 0.0), size(1920, 540), (960.0, 0.0)),
            ((0.5, 0.5), size(1920, 540), (960.0, 270.0)),
            ((0.5, 0.75), size(1920, 540), (960.0, 540.0)),
        ] {
            let (x, y) = on_content(at, hd, content);
            assert!(
                (x - expected.0).abs() < 1e-6 && (y - expected.1).abs() < 1e-6,
                "{at:?} {content:?}: {x} {y}"
            );
        }
    }
}
