//! What the element owes to those who find it with `gst-inspect-1.0`.

#[cfg(not(feature = "gles"))]
use super::harness::Show;
use super::harness::init;
use gst::glib;
use gst::prelude::*;

fn element() -> gst::Element {
    init();
    gst::ElementFactory::make("waylandsrc").build().unwrap()
}

/// The properties that the element itself brings.
fn own_properties(element: &gst::Element) -> Vec<glib::ParamSpec> {
    element.list_properties().iter().filter(|p| p.owner_type() == element.type_()).cloned().collect()
}

#[test]
fn it_is_a_video_source_that_is_found_by_name_alone() {
    let factory = element().factory().unwrap();
    assert_eq!(factory.rank(), gst::Rank::NONE);
    assert_eq!(factory.metadata("klass"), Some("Source/Video"));
    assert_eq!(factory.static_pad_templates().len(), 1);
}

#[test]
fn properties_say_what_they_do_and_when_they_may_change() {
    let properties = own_properties(&element());
    assert_eq!(properties.len(), 5);
    for property in properties {
        let (name, blurb) = (property.name(), property.blurb().unwrap_or_default());
        assert!(blurb.len() > 20 && !blurb.ends_with('.'), "{name}: {blurb}");
        let flags = property.flags();
        let mutable = gst::PARAM_FLAG_MUTABLE_READY | gst::PARAM_FLAG_MUTABLE_PLAYING;
        assert!(flags.intersects(mutable), "{name}: {flags:?}");
    }
}

#[test]
fn defaults_are_what_is_declared() {
    let element = element();
    for property in own_properties(&element) {
        let (declared, real) = (property.default_value(), element.property_value(property.name()));
        assert_eq!(format!("{declared:?}"), format!("{real:?}"), "{}", property.name());
    }
}

#[test]
#[cfg(not(feature = "gles"))]
fn a_build_without_opengl_es_says_so() {
    let show = Show::prepare("renderer=gles", "video/x-raw");
    assert!(show.pipeline.set_state(gst::State::Playing).is_err(), "nothing draws");
    let bus = show.pipeline.bus().unwrap();
    let message = bus.pop_filtered(&[gst::MessageType::Error]).expect("an error");
    let gst::MessageView::Error(error) = message.view() else { unreachable!("filtered") };
    assert!(error.error().matches(gst::ResourceError::Settings), "{error:?}");
    assert!(error.error().message().contains("without its feature gles"), "{error:?}");
}
