//! What comes in and goes out: from caps to what libx264 is opened with, and back.

use super::settings::Settings;
use crate::bitstream::Parameters;
use crate::libx264::{Colour, Config, Format};
use std::ffi::CStr;

/// Macroblocks that the decoder of level 5.2 keeps (ITU-T H.264, table A-1, MaxDpbMbs): hardware decodes no more.
const DPB_MACROBLOCKS: u32 = 184_320;

/// Profiles, and those whose streams a decoder of them takes, from the least on.
const PROFILES: [(&str, &CStr); 4] =
    [("high", c"high"), ("main", c"main"), ("constrained-baseline", c"baseline"), ("baseline", c"baseline")];

/// As caps name it, and as libx264 does: the first of ours that downstream takes.
pub fn profile(allowed: Option<&gst::CapsRef>) -> (&'static str, &'static CStr) {
    let takes = |name: &str| {
        let caps = gst::Caps::builder("video/x-h264").field("profile", name).build();
        allowed.is_none_or(|allowed| allowed.can_intersect(&caps))
    };
    PROFILES.into_iter().find(|(name, _)| takes(name)).unwrap_or(PROFILES[0])
}

/// Nothing for a format that is not in the pad's template.
pub fn config(settings: &Settings, info: &gst_video::VideoInfo, profile: &'static CStr) -> Option<Config> {
    let format = match info.format() {
        gst_video::VideoFormat::I420 => Format::I420,
        gst_video::VideoFormat::Nv12 => Format::Nv12,
        _ => return None,
    };
    // Without a rate, rate control needs some idea of it.
    let fps = if info.fps().numer() > 0 { info.fps() } else { gst::Fraction::new(30, 1) };
    Some(Config {
        width: info.width() as i32,
        height: info.height() as i32,
        fps: (fps.numer(), fps.denom()),
        sample_aspect: (info.par().numer(), info.par().denom()),
        format,
        rate: settings.rate,
        dpb_size: dpb_size(settings.dpb_size, info),
        key_int_max: settings.key_int_max,
        slices: settings.slices,
        threads: settings.threads,
        intra_refresh: settings.intra_refresh,
        colour: colour(&info.colorimetry()),
        preset: settings.preset.name(),
        profile,
    })
}

fn dpb_size(wished: u32, info: &gst_video::VideoInfo) -> u32 {
    let macroblocks = info.width().div_ceil(16) * info.height().div_ceil(16);
    wished.min(DPB_MACROBLOCKS / macroblocks.max(1)).max(1)
}

fn colour(colorimetry: &gst_video::VideoColorimetry) -> Colour {
    Colour {
        full_range: colorimetry.range() == gst_video::VideoColorRange::Range0_255,
        primaries: colorimetry.primaries().to_iso(),
        transfer: colorimetry.transfer().to_iso(),
        matrix: colorimetry.matrix().to_iso(),
    }
}

/// Caps of the stream: the profile that was agreed on is said where the stream has a lesser one, as every decoder of it
/// takes that.
pub fn output_caps(agreed: Option<&str>, parameters: &Parameters) -> gst::Caps {
    let own = match (parameters.profile_idc, parameters.constraints & 0x40) {
        (66, 0) => "baseline",
        (66, _) => "constrained-baseline",
        (77, _) => "main",
        _ => "high",
    };
    let level = match (parameters.level_idc / 10, parameters.level_idc % 10) {
        (0, _) => "1b".to_owned(),
        (major, 0) => major.to_string(),
        (major, minor) => format!("{major}.{minor}"),
    };
    gst::Caps::builder("video/x-h264")
        .field("stream-format", "byte-stream")
        .field("alignment", "au")
        .field("profile", agreed.unwrap_or(own))
        .field("level", level)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(width: u32, height: u32) -> gst_video::VideoInfo {
        gst::init().unwrap();
        gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width, height).build().unwrap()
    }

    #[test]
    fn large_pictures_are_kept_as_far_as_decoders_go() {
        let sizes = [(640, 360), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160), (7680, 4320)];
        assert_eq!(sizes.map(|(width, height)| dpb_size(16, &info(width, height))), [16, 16, 16, 12, 5, 1]);
        assert_eq!(dpb_size(1, &info(640, 360)), 1);
    }

    #[test]
    fn the_best_profile_that_downstream_takes() {
        gst::init().unwrap();
        let of = |text: &str| profile(Some(&text.parse::<gst::Caps>().unwrap())).0;
        assert_eq!(profile(None).0, "high");
        assert_eq!(of("ANY"), "high");
        assert_eq!(of("video/x-h264"), "high");
        assert_eq!(of("video/x-h264,profile={main,constrained-baseline}"), "main");
        assert_eq!(of("video/x-h264,profile=constrained-baseline"), "constrained-baseline");
    }

    #[test]
    fn caps_name_profile_and_level() {
        gst::init().unwrap();
        let caps = |agreed, profile_idc, constraints, level_idc| {
            let caps =
                output_caps(agreed, &Parameters { profile_idc, constraints, level_idc, frame_num_bits: 4 });
            let structure = caps.structure(0).unwrap();
            ["profile", "level"].map(|field| structure.get::<String>(field).unwrap())
        };
        assert_eq!(caps(None, 66, 0xc0, 42), ["constrained-baseline", "4.2"]);
        assert_eq!(caps(Some("high"), 66, 0xc0, 40), ["high", "4"]);
        assert_eq!(caps(None, 77, 0, 9), ["main", "1b"]);
    }
}
