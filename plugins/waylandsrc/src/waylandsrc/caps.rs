//! What can be negotiated, and what it means.

use crate::mode::{Mode, Rate};
use gst_video::VideoFormat;

/// What is drawn in. The first needs no conversion for most clients.
const FORMATS: [VideoFormat; 4] =
    [VideoFormat::Bgrx, VideoFormat::Bgra, VideoFormat::Rgbx, VideoFormat::Rgba];

/// A thousand pictures a second is more than any display shows.
const FASTEST: i32 = 1000;

pub fn template() -> gst::Caps {
    gst_video::VideoCapsBuilder::new()
        .format_list(FORMATS)
        .width_range(1..=Mode::LARGEST)
        .height_range(1..=Mode::LARGEST)
        .framerate_range(gst::Fraction::new(1, 1)..=gst::Fraction::new(FASTEST, 1))
        .build()
}

/// Near the default mode where there is a choice.
pub fn fixate(mut caps: gst::Caps) -> gst::Caps {
    caps.truncate();
    let Mode { width, height, .. } = Mode::DEFAULT;
    let structure = caps.make_mut().structure_mut(0).expect("one is left");
    structure.fixate_field_nearest_int("width", width);
    structure.fixate_field_nearest_int("height", height);
    structure.fixate_field_nearest_fraction("framerate", gst::Fraction::new(60, 1));
    if structure.has_field("pixel-aspect-ratio") {
        structure.fixate_field_nearest_fraction("pixel-aspect-ratio", gst::Fraction::new(1, 1));
    } else {
        structure.set("pixel-aspect-ratio", gst::Fraction::new(1, 1));
    }
    caps.fixate();
    caps
}

/// The mode and the format that fixed caps say.
pub fn parse(caps: &gst::CapsRef) -> Option<(Mode, VideoFormat)> {
    let info = gst_video::VideoInfo::from_caps(caps).ok()?;
    let rate = Rate::new(info.fps().numer(), info.fps().denom())?;
    let (width, height) = (i32::try_from(info.width()).ok()?, i32::try_from(info.height()).ok()?);
    Some((Mode { width, height, rate }, info.format()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixated(wished: &str) -> gst::Caps {
        gst::init().unwrap();
        let wished: gst::Caps = wished.parse().unwrap();
        fixate(template().intersect(&wished))
    }

    #[test]
    fn who_wishes_nothing_gets_the_default() {
        let (mode, format) = parse(&fixated("video/x-raw")).unwrap();
        assert_eq!((mode, format), (Mode::DEFAULT, VideoFormat::Bgrx));
    }

    #[test]
    fn exact_modes_are_kept_even_odd_ones() {
        for (width, height, numer, denom) in
            [(1366, 768, 30, 1), (2560, 1440, 120, 1), (641, 359, 60_000, 1001), (1, 1, 1000, 1)]
        {
            let wished =
                format!("video/x-raw,width={width},height={height},framerate={numer}/{denom},format=RGBA");
            let (mode, format) = parse(&fixated(&wished)).unwrap();
            let rate = Rate::new(numer, denom).unwrap();
            assert_eq!((mode, format), (Mode { width, height, rate }, VideoFormat::Rgba));
        }
    }

    #[test]
    fn what_cannot_be_is_not_offered() {
        gst::init().unwrap();
        for wished in ["width=0", "width=20000", "framerate=0/1", "framerate=2000/1", "format=I420"] {
            let wished: gst::Caps = format!("video/x-raw,{wished}").parse().unwrap();
            assert!(template().intersect(&wished).is_empty(), "{wished}");
        }
    }
}
