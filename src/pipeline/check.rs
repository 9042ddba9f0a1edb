//! Descriptions held against the GStreamer of this machine.

use super::description::{
    AudioDescription, CaptureDescription, Common, Describes, EncodeDescription, Media, Mode, SendDescription,
};
use super::launch;
use crate::protocol::params::{AudioParams, Fps};
use gst::glib;
use gst::prelude::*;

/// What is wrong with a text that this machine has all elements for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The word of the file to point at.
    pub word: String,
    pub reason: String,
}

/// A description as a whole pipeline, with its placeholders filled for a trial.
pub trait Sample: Describes {
    fn sample(&self) -> String;

    /// Properties that are set later: name of the element in the launch text, property.
    fn set_later(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }
}

const SAMPLE_MODE: Mode = Mode { width: 640, height: 360, fps: Fps { num: 30, den: 1 } };

impl Sample for CaptureDescription {
    fn sample(&self) -> String {
        format!("{} ! fakesink", self.fill(SAMPLE_MODE, Some((0, -1))))
    }
}

impl Sample for EncodeDescription {
    fn sample(&self) -> String {
        format!("fakesrc ! {} ! fakesink", self.fill(SAMPLE_MODE, 2000, 1))
    }

    fn set_later(&self) -> Vec<(&str, &str)> {
        vec![("encoder", &self.bitrate.property)]
    }
}

impl Sample for AudioDescription {
    fn sample(&self) -> String {
        let params = AudioParams { channels: 2, packet_ms: 5, high_quality: false, encrypt: false };
        format!("{} ! fakesink", self.fill(&params, 96, Some("sink")))
    }
}

impl Sample for SendDescription {
    fn sample(&self) -> String {
        format!("fakesrc ! {}", self.common().launch)
    }

    fn set_later(&self) -> Vec<(&str, &str)> {
        let packetizer: &'static [&str] = match self.media {
            Media::Video => &["packet-size", "fec-percentage", "min-fec-packets", "encryption-key"],
            Media::Audio => &["packet-duration", "encryption-key", "encryption-iv"],
        };
        let sender: &'static [&str] = match self.media {
            Media::Video => {
                &["fd", "host", "port", "source-address", "dscp", "pacing", "link-rate", "bitrate"]
            }
            Media::Audio => &["fd", "host", "port", "source-address", "dscp"],
        };
        let of = |name, properties: &'static [&str]| properties.iter().map(move |property| (name, *property));
        of("packetizer", packetizer).chain(of("sender", sender)).collect()
    }
}

/// Elements that end the whole process when what they talk to goes away: Xlib calls exit.
const DEADLY: [&str; 2] = ["ximagesrc", "ximagesink"];

/// The first thing in `needs` that is not installed, or an element that must not run here, in words that follow "because".
pub fn obstacle(common: &Common) -> Option<String> {
    let elements = launch::elements(&common.launch);
    if let Some(deadly) = elements.iter().find(|element| DEADLY.contains(&element.factory)) {
        return Some(format!(
            "{} ends the process that it runs in, and all sessions with it, when its X server goes away: run it in one of its own",
            deadly.factory
        ));
    }
    common.needs.iter().find_map(|need| {
        let Some(class) = class_of(&need.element) else {
            return Some(format!("there is no element {}", need.element));
        };
        let property = need.property.as_deref()?;
        class
            .find_property(property)
            .is_none()
            .then(|| format!("{} has no property {property} in this version of GStreamer", need.element))
    })
}

/// What is wrong with the launch text. Ask only where there is no [`obstacle`].
pub fn fault<D: Sample>(description: &D) -> Option<Fault> {
    let text = &description.common().launch;
    let elements = launch::elements(text);
    elements.iter().find_map(element_fault).or_else(|| later_fault(description, &elements)).or_else(|| {
        let flags = gst::ParseFlags::FATAL_ERRORS;
        let error = gst::parse::launch_full(&description.sample(), None, flags).err()?;
        Some(Fault { word: "launch".into(), reason: error.message().to_owned() })
    })
}

fn element_fault(element: &launch::Element<'_>) -> Option<Fault> {
    let factory = element.factory;
    let Some(class) = class_of(factory) else {
        let reason = format!("unknown element {factory} (list it in needs if only some machines have it)");
        return Some(Fault { word: factory.to_owned(), reason });
    };
    let (property, _) = element
        .properties
        .iter()
        .find(|(property, _)| !property.contains("::") && class.find_property(property).is_none())?;
    let reason = format!("element {factory} has no property {property}");
    Some(Fault { word: format!("{property}="), reason })
}

fn later_fault<D: Sample>(description: &D, elements: &[launch::Element<'_>]) -> Option<Fault> {
    description.set_later().into_iter().find_map(|(name, property)| {
        let factory = elements.iter().find(|e| e.name() == Some(name))?.factory;
        let class = class_of(factory)?;
        class.find_property(property).is_none().then(|| Fault {
            word: format!("\"{property}\""),
            reason: format!("element {factory}, named {name}, has no property {property}"),
        })
    })
}

/// The class of a factory's elements; none where the factory or its plugin is missing.
pub(super) fn class_of(factory: &str) -> Option<glib::object::ClassRef<'static, glib::Object>> {
    let factory = gst::ElementFactory::find(factory)?.load().ok()?;
    let factory = factory.downcast::<gst::ElementFactory>().ok()?;
    glib::Class::<glib::Object>::from_type(factory.element_type())
}
