//! What an encoder says it can take: asked before anything is built for a client.

use super::choose::Choice;
use super::description::{BitrateUnit, EncodeDescription, Mode};
use super::{check, launch, property};
use crate::protocol::params::Fps;
use gst::prelude::*;

/// Nothing if the encoder of `description` takes pictures of `mode`, otherwise why not.
pub fn refusal(description: &EncodeDescription, mode: Mode) -> Option<String> {
    let factory = gst::ElementFactory::find(encoder(description)?)?;
    let (width, height) = (mode.width as i32, mode.height as i32);
    let fits = factory
        .static_pad_templates()
        .iter()
        .filter(|template| template.direction() == gst::PadDirection::Sink)
        .any(|template| takes(&template.caps(), width, height));
    (!fits).then(|| format!("{} does not encode pictures of {width}x{height}", factory.name()))
}

/// Why no encoder in use takes this width, height and frames per second, as a client asks for them.
pub fn launch_refusal(choice: &Choice, (width, height, fps): (u32, u32, u32)) -> Option<String> {
    if !(1..=240).contains(&fps) {
        return Some(format!("{fps} frames per second: this host sends 1 to 240."));
    }
    if width % 2 != 0 || height % 2 != 0 {
        return Some(format!("{width}x{height}: width and height must be even."));
    }
    let mode = Mode { width, height, fps: Fps { num: fps, den: 1 } };
    let mut reasons = Vec::new();
    for encode in choice.codecs().into_iter().filter_map(|codec| choice.encoder(codec)) {
        reasons.push(refusal(encode, mode)?);
    }
    Some(reasons.join(", "))
}

/// `kbps`, or what is nearest to it of what the encoder of `description` takes: a launch text with more would leave it
/// at its default.
pub fn kbps(description: &EncodeDescription, kbps: u32) -> u32 {
    let bitrate = &description.bitrate;
    let class = encoder(description).and_then(check::class_of);
    let spec = class.and_then(|class| class.find_property(&bitrate.property));
    let Some(range) = spec.as_ref().and_then(property::range) else { return kbps };
    let unit = match bitrate.unit {
        BitrateUnit::KbitPerSecond => 1,
        BitrateUnit::BitPerSecond => 1000,
    };
    let (least, most) = ((range.start() + unit - 1) / unit, range.end() / unit);
    let fitting = i128::from(kbps).min(most).max(least);
    let fitting = u32::try_from(fitting).unwrap_or(kbps);
    if fitting != kbps {
        tracing::debug!(
            "{}: {kbps} kbit/s are too many or too few, it gets {fitting}",
            description.common.name
        );
    }
    fitting
}

/// Factory of the element that encodes.
fn encoder(description: &EncodeDescription) -> Option<&str> {
    let elements = launch::elements(&description.common.launch);
    elements.into_iter().find(|element| element.name() == Some("encoder")).map(|element| element.factory)
}

/// Whatever the format and memory.
fn takes(caps: &gst::Caps, width: i32, height: i32) -> bool {
    let wish = gst::Caps::builder("video/x-raw").any_features().field("width", width).field("height", height);
    wish.build().can_intersect(caps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::description::Describes;

    fn described(launch: &str, unit: &str) -> EncodeDescription {
        let toml = format!(
            "codec = \"h265\"\nbitrate = {{ property = \"bitrate\", unit = \"{unit}\", live = true }}\nlaunch = \"{launch} name=encoder bitrate={{kbps}}\"\n"
        );
        EncodeDescription::read("example", "example.toml", &toml).unwrap()
    }

    #[test]
    fn ranges_lists_and_single_values_admit_what_they_hold() {
        gst::init().unwrap();
        let caps = |text: &str| text.parse::<gst::Caps>().unwrap();
        let range = caps(
            "video/x-raw,width=[16,4096],height=[16,4096]; video/x-raw(ANY),width=8192,height={720,1080}",
        );
        assert!(takes(&range, 4096, 16));
        assert!(takes(&range, 8192, 1080));
        assert!(!takes(&range, 8192, 1000));
        assert!(!takes(&range, 4098, 720));
    }

    #[test]
    fn even_sizes_that_an_encoder_takes_can_be_launched() {
        gst::init().unwrap();
        let x265 = described("x265enc", "kbit/s");
        let mut choice = Choice::default();
        choice.encoders.insert(x265.codec, vec![x265]);
        for mode in [(1280, 720, 60), (1366, 768, 30), (3840, 2160, 240), (1280, 720, 1)] {
            assert_eq!(launch_refusal(&choice, mode), None, "{mode:?}");
        }
        for (mode, reason) in [
            ((1367, 768, 30), "even"),
            ((1366, 767, 30), "even"),
            ((1280, 720, 0), "1 to 240"),
            ((1280, 720, 241), "1 to 240"),
            ((8, 8, 30), "x265enc does not encode pictures of 8x8"),
        ] {
            let said = launch_refusal(&choice, mode).unwrap();
            assert!(said.contains(reason), "{said}");
        }
    }

    #[test]
    fn bitrates_stay_in_the_range_of_the_encoder() {
        gst::init().unwrap();
        let x265 = described("x265enc", "kbit/s");
        assert_eq!([0, 1, 20_000, 500_000].map(|n| kbps(&x265, n)), [1, 1, 20_000, 102_400]);
        let opus = described("opusenc", "bit/s");
        assert_eq!([1, 100, 5000].map(|n| kbps(&opus, n)), [4, 100, 650]);
        assert_eq!(kbps(&described("nosuchenc", "bit/s"), 5000), 5000);
    }
}
