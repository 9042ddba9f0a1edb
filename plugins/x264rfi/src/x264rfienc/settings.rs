//! The properties.

use crate::libx264::Rate;
use gst::glib;
use gst::prelude::*;
use std::ffi::CStr;
use std::sync::LazyLock;

/// Names and order of libx264's presets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstX264RfiEncPreset")]
#[repr(i32)]
pub enum Preset {
    #[enum_value(name = "ultrafast", nick = "ultrafast")]
    Ultrafast = 1,
    #[enum_value(name = "superfast", nick = "superfast")]
    Superfast,
    #[default]
    #[enum_value(name = "veryfast", nick = "veryfast")]
    Veryfast,
    #[enum_value(name = "faster", nick = "faster")]
    Faster,
    #[enum_value(name = "fast", nick = "fast")]
    Fast,
    #[enum_value(name = "medium", nick = "medium")]
    Medium,
    #[enum_value(name = "slow", nick = "slow")]
    Slow,
    #[enum_value(name = "slower", nick = "slower")]
    Slower,
    #[enum_value(name = "veryslow", nick = "veryslow")]
    Veryslow,
    #[enum_value(name = "placebo", nick = "placebo")]
    Placebo,
}

impl Preset {
    pub fn name(self) -> &'static CStr {
        match self {
            Self::Ultrafast => c"ultrafast",
            Self::Superfast => c"superfast",
            Self::Veryfast => c"veryfast",
            Self::Faster => c"faster",
            Self::Fast => c"fast",
            Self::Medium => c"medium",
            Self::Slow => c"slow",
            Self::Slower => c"slower",
            Self::Veryslow => c"veryslow",
            Self::Placebo => c"placebo",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub rate: Rate,
    pub preset: Preset,
    pub dpb_size: u32,
    pub slices: u32,
    pub threads: u32,
    pub key_int_max: u32,
    pub intra_refresh: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rate: Rate { kbps: 10_000, vbv_ms: 34 },
            preset: Preset::default(),
            dpb_size: 16,
            slices: 0,
            threads: 1,
            key_int_max: 0,
            intra_refresh: false,
        }
    }
}

impl Settings {
    pub fn set(&mut self, property: &str, value: &glib::Value) {
        fn number<T: for<'a> glib::value::FromValue<'a> + 'static>(value: &glib::Value) -> T {
            value.get_owned().expect("type checked upstream")
        }
        match property {
            "bitrate" => self.rate.kbps = number(value),
            "vbv-buf-capacity" => self.rate.vbv_ms = number(value),
            "speed-preset" => self.preset = number(value),
            "dpb-size" => self.dpb_size = number(value),
            "slices" => self.slices = number(value),
            "threads" => self.threads = number(value),
            "key-int-max" => self.key_int_max = number(value),
            "intra-refresh" => self.intra_refresh = number(value),
            _ => unimplemented!(),
        }
    }

    pub fn value(&self, property: &str) -> glib::Value {
        match property {
            "bitrate" => self.rate.kbps.to_value(),
            "vbv-buf-capacity" => self.rate.vbv_ms.to_value(),
            "speed-preset" => self.preset.to_value(),
            "dpb-size" => self.dpb_size.to_value(),
            "slices" => self.slices.to_value(),
            "threads" => self.threads.to_value(),
            "key-int-max" => self.key_int_max.to_value(),
            "intra-refresh" => self.intra_refresh.to_value(),
            _ => unimplemented!(),
        }
    }
}

pub static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
    let default = Settings::default();
    let number = |name, nick, blurb, least, most, default| {
        glib::ParamSpecUInt::builder(name)
            .nick(nick)
            .blurb(blurb)
            .minimum(least)
            .maximum(most)
            .default_value(default)
    };
    vec![
        number("bitrate", "Bitrate", "Bitrate in kbit/s", 1, 2_000_000, default.rate.kbps)
            .mutable_playing()
            .build(),
        number(
            "vbv-buf-capacity",
            "VBV buffer capacity",
            "Milliseconds of the bitrate that the decoder's buffer holds, a frame at least: what no frame exceeds by much. 0 \
             sets no such limit",
            0,
            10_000,
            default.rate.vbv_ms,
        )
        .mutable_playing()
        .build(),
        glib::ParamSpecEnum::builder_with_default("speed-preset", default.preset)
            .nick("Speed preset")
            .blurb("Preset of libx264, from fast to thorough")
            .mutable_ready()
            .build(),
        number(
            "dpb-size",
            "Size of the decoded picture buffer",
            "Pictures that the decoder keeps, fewer where the picture is large. With as many frames between a loss and the \
             event that tells of it, the next frame is a key frame",
            1,
            16,
            default.dpb_size,
        )
        .mutable_ready()
        .build(),
        number("slices", "Slices", "Slices of a picture. 0 makes one for each thread", 0, 64, default.slices)
            .mutable_ready()
            .build(),
        number(
            "threads",
            "Threads",
            "Threads that share a picture, each with slices of its own. 0 takes what libx264 finds fit",
            0,
            64,
            default.threads,
        )
        .mutable_ready()
        .build(),
        number(
            "key-int-max",
            "Largest key interval",
            "Most frames from one key frame to the next; with intra-refresh, frames of a whole refresh. 0 makes key frames \
             only when they are asked for",
            0,
            1 << 29,
            default.key_int_max,
        )
        .mutable_ready()
        .build(),
        glib::ParamSpecBoolean::builder("intra-refresh")
            .nick("Intra refresh")
            .blurb(
                "Renew the picture column by column in key-int-max frames. Frames cannot be invalidated then: the event is \
                 not answered",
            )
            .default_value(default.intra_refresh)
            .mutable_ready()
            .build(),
    ]
});
