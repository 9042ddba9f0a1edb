//! What an encoder says it can take: asked before anything is built for a client.

use super::description::{EncodeDescription, Mode};
use super::launch;
use gst::prelude::*;

/// Nothing if the encoder of `description` takes pictures of `mode`, otherwise why not.
pub fn refusal(description: &EncodeDescription, mode: Mode) -> Option<String> {
    let elements = launch::elements(&description.common.launch);
    let factory = elements.iter().find(|element| element.name() == Some("encoder"))?.factory;
    let factory = gst::ElementFactory::find(factory)?;
    let (width, height) = (mode.width as i32, mode.height as i32);
    let fits = factory
        .static_pad_templates()
        .iter()
        .filter(|template| template.direction() == gst::PadDirection::Sink)
        .any(|template| takes(&template.caps(), width, height));
    (!fits).then(|| format!("{} does not encode pictures of {width}x{height}", factory.name()))
}

/// Whatever the format and memory.
fn takes(caps: &gst::Caps, width: i32, height: i32) -> bool {
    let wish = gst::Caps::builder("video/x-raw").any_features().field("width", width).field("height", height);
    wish.build().can_intersect(caps)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
