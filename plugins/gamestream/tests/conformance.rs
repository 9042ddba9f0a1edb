//! What every element of the plugin owes to those who find it with `gst-inspect-1.0`.

mod media;

use gst::glib;
use gst::prelude::*;
use media::init;

/// All elements; a new one is added here.
const ELEMENTS: [&str; 10] = [
    "audiopacer",
    "colorsignal",
    "framepacer",
    "framestamp",
    "gamestreamaudiodepay",
    "gamestreamaudiopay",
    "gamestreamvideodepay",
    "gamestreamvideopay",
    "pacedudpsink",
    "rgbtoyuv",
];

/// Those that count nothing.
const WITHOUT_STATS: [&str; 3] = ["colorsignal", "framestamp", "rgbtoyuv"];

/// Words of a class, from GStreamer's design document "klass".
const CLASS_WORDS: [&str; 12] = [
    "Source",
    "Sink",
    "Filter",
    "Codec",
    "Effect",
    "Payloader",
    "Depayloader",
    "Network",
    "RTP",
    "Audio",
    "Video",
    "Converter",
];

fn factories() -> Vec<gst::ElementFactory> {
    init();
    let mut factories: Vec<_> = gst::Registry::get()
        .features_by_plugin("gamestream")
        .into_iter()
        .map(|feature| feature.downcast::<gst::ElementFactory>().expect("the plugin holds only elements"))
        .collect();
    factories.sort_by_key(|factory| factory.name());
    factories
}

fn make(factory: &gst::ElementFactory) -> gst::Element {
    factory.create().build().unwrap()
}

/// The properties that the element itself brings.
fn own_properties(element: &gst::Element) -> Vec<glib::ParamSpec> {
    element.list_properties().iter().filter(|p| p.owner_type() == element.type_()).cloned().collect()
}

#[test]
fn all_elements_are_there_under_plain_names_and_only_on_demand() {
    let names: Vec<_> = factories().iter().map(|factory| factory.name().to_string()).collect();
    assert_eq!(names, ELEMENTS);
    for factory in factories() {
        let name = factory.name();
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{name}");
        let type_name = make(&factory).type_().name();
        assert_eq!(type_name.strip_prefix("Gst").map(str::to_lowercase).as_deref(), Some(name.as_str()));
        assert_eq!(factory.rank(), gst::Rank::NONE, "{name} is nothing that autoplugging should find");
    }
}

#[test]
fn what_they_say_of_themselves_is_worth_reading() {
    for factory in factories() {
        let name = factory.name();
        let said = |key| factory.metadata(key).unwrap_or_default().to_string();
        assert!(said("long-name").len() > 5 && said("long-name") != name, "{name}: long name");
        assert!(said("description").split(' ').count() > 4, "{name}: description {:?}", said("description"));
        assert_eq!(said("author"), "The moonpipe developers", "{name}");
    }
}

#[test]
fn classes_agree_with_pads() {
    for factory in factories() {
        let name = factory.name();
        let class = factory.metadata("klass").unwrap().to_string();
        let words: Vec<_> = class.split('/').collect();
        assert!(words.iter().all(|word| CLASS_WORDS.contains(word)), "{name}: {class}");
        let has = |direction| {
            factory.static_pad_templates().iter().any(|template| template.direction() == direction)
        };
        let (sinks, sources) = (has(gst::PadDirection::Sink), has(gst::PadDirection::Src));
        assert_eq!(words.contains(&"Sink"), sinks && !sources, "{name}: {class}");
        assert_eq!(words.contains(&"Source"), sources && !sinks, "{name}: {class}");
        assert_eq!(
            words.contains(&"Payloader"),
            name.ends_with("pay") && !name.ends_with("depay"),
            "{name}: {class}"
        );
        assert_eq!(words.contains(&"Depayloader"), name.ends_with("depay"), "{name}: {class}");
        assert_eq!(name.ends_with("sink"), sinks && !sources, "{name} ends in its role");
    }
}

#[test]
fn pad_templates_are_as_exact_as_can_be() {
    for factory in factories() {
        for template in factory.static_pad_templates() {
            // Datagrams of any element can be sent.
            let anything =
                (factory.name().as_str(), template.direction()) == ("pacedudpsink", gst::PadDirection::Sink);
            assert_eq!(
                template.caps().is_any(),
                anything,
                "{}: {}",
                factory.name(),
                template.name_template()
            );
            assert!(!template.caps().is_empty());
        }
    }
}

#[test]
fn properties_explain_themselves() {
    for factory in factories() {
        for property in own_properties(&make(&factory)) {
            let name = format!("{}:{}", factory.name(), property.name());
            assert!(
                property.name().chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{name}"
            );
            assert!(!property.nick().is_empty() && property.nick() != property.name(), "{name}: nick");
            let blurb = property.blurb().unwrap_or_default();
            assert!(
                blurb.split(' ').count() > 2 && blurb.starts_with(char::is_uppercase),
                "{name}: blurb {blurb:?}"
            );
        }
    }
}

#[test]
fn properties_say_when_they_may_change() {
    let when = gst::PARAM_FLAG_MUTABLE_READY
        | gst::PARAM_FLAG_MUTABLE_PAUSED
        | gst::PARAM_FLAG_MUTABLE_PLAYING
        | glib::ParamFlags::CONSTRUCT_ONLY;
    for factory in factories() {
        for property in own_properties(&make(&factory)) {
            let writable = property.flags().contains(glib::ParamFlags::WRITABLE);
            assert_eq!(property.flags().intersects(when), writable, "{}:{}", factory.name(), property.name());
        }
    }
}

#[test]
fn declared_defaults_are_real() {
    for factory in factories() {
        let element = make(&factory);
        for property in own_properties(&element) {
            let name = format!("{}:{}", factory.name(), property.name());
            let flags = property.flags();
            if !flags.contains(glib::ParamFlags::READABLE) || !flags.contains(glib::ParamFlags::WRITABLE) {
                continue;
            }
            let real = element.property_value(property.name());
            let declared = property.default_value();
            let text = |value: &glib::Value| format!("{value:?}");
            assert_eq!(text(&real), text(declared), "{name}");
        }
    }
}

#[test]
fn numbers_take_their_limits() {
    for factory in factories() {
        let element = make(&factory);
        for property in own_properties(&element) {
            if !property.flags().contains(glib::ParamFlags::WRITABLE) {
                continue;
            }
            let mut limits = Vec::new();
            if let Some(p) = property.downcast_ref::<glib::ParamSpecUInt>() {
                limits = vec![p.minimum().to_value(), p.maximum().to_value()];
            } else if let Some(p) = property.downcast_ref::<glib::ParamSpecInt>() {
                limits = vec![p.minimum().to_value(), p.maximum().to_value()];
            } else if let Some(p) = property.downcast_ref::<glib::ParamSpecDouble>() {
                limits = vec![p.minimum().to_value(), p.maximum().to_value()];
            }
            for limit in limits {
                element.set_property_from_value(property.name(), &limit);
                if property.flags().contains(glib::ParamFlags::READABLE) {
                    let kept = element.property_value(property.name());
                    assert_eq!(
                        format!("{kept:?}"),
                        format!("{limit:?}"),
                        "{}:{}",
                        factory.name(),
                        property.name()
                    );
                }
            }
        }
    }
}

#[test]
fn secrets_cannot_be_read() {
    let mut secrets = 0;
    for factory in factories() {
        for property in own_properties(&make(&factory)) {
            let name = property.name();
            if ["key", "iv", "secret", "password"]
                .iter()
                .any(|word| name.split('-').any(|part| part == *word))
            {
                secrets += 1;
                assert!(!property.flags().contains(glib::ParamFlags::READABLE), "{}:{name}", factory.name());
            }
        }
    }
    assert!(secrets >= 3, "payloaders have keys");
}

#[test]
fn statistics_are_named_after_their_element() {
    for factory in factories() {
        let element = make(&factory);
        let name = factory.name();
        let stats = own_properties(&element).into_iter().find(|property| property.name() == "stats");
        assert_eq!(stats.is_none(), WITHOUT_STATS.contains(&name.as_str()), "{name}");
        let Some(stats) = stats else { continue };
        assert!(!stats.flags().contains(glib::ParamFlags::WRITABLE), "{name}");
        let structure = element.property::<gst::Structure>("stats");
        assert_eq!(structure.name(), format!("application/x-{name}-stats").as_str());
        assert!(structure.n_fields() > 0, "{name}");
    }
}

#[test]
fn every_element_goes_to_paused_and_back_twice() {
    for factory in factories() {
        let element = make(&factory);
        for _ in 0..2 {
            let reached = element.set_state(gst::State::Paused);
            assert!(reached.is_ok_and(|how| how != gst::StateChangeSuccess::Async), "{}", factory.name());
            element.set_state(gst::State::Null).unwrap();
        }
    }
}

#[test]
fn an_element_that_is_dropped_leaves_nothing_behind() {
    for factory in factories() {
        let element = make(&factory);
        element.set_state(gst::State::Paused).unwrap();
        element.set_state(gst::State::Null).unwrap();
        let weak = element.downgrade();
        drop(element);
        assert!(weak.upgrade().is_none(), "{} holds itself", factory.name());
    }
}
