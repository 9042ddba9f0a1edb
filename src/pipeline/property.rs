//! Properties that a session sets: whatever the element and the value, nothing here panics.

use anyhow::Context;
use gst::glib;
use gst::prelude::*;
use std::ops::RangeInclusive;

/// Sets a number; one out of the property's range becomes the nearest in it.
pub(super) fn set_number(
    element: &gst::Element,
    property: &str,
    number: impl Into<i128>,
) -> anyhow::Result<()> {
    let number = number.into();
    let value = nearest(&find(element, property)?, number);
    let value =
        value.with_context(|| format!("{}: {property}={number} is not a number there", named(element)))?;
    element.set_property_from_value(property, &value);
    Ok(())
}

/// Lowers a number to `most`, where there is such a property; 0 is no limit.
pub(super) fn lower(element: &gst::Element, property: &str, most: u32) {
    let is_above = |value: glib::Value| value.get::<u32>().is_ok_and(|value| value > most);
    let found = element.find_property(property).map(|_| element.property_value(property));
    if most > 0 && found.is_some_and(is_above) {
        element.set_property(property, most);
    }
}

/// Sets a text, a switch, or a fraction; one out of the property's range becomes the nearest in it.
pub(super) fn set(
    element: &gst::Element,
    property: &str,
    value: impl Into<glib::Value>,
) -> anyhow::Result<()> {
    let (spec, mut value) = (find(element, property)?, value.into());
    if let (Some(range), Ok(number)) = (spec.downcast_ref::<glib::ParamSpecDouble>(), value.get::<f64>()) {
        value = number.max(range.minimum()).min(range.maximum()).to_value();
    }
    // The value may be a key: only its type is told.
    anyhow::ensure!(
        value.type_() == spec.value_type(),
        "{}: {property} takes no {}, but {}",
        named(element),
        value.type_().name(),
        spec.value_type().name(),
    );
    element.set_property_from_value(property, &value);
    Ok(())
}

/// What `element` publishes in `stats`; nothing where it has none.
pub(super) fn stats(element: &gst::Element) -> gst::Structure {
    let has_stats = element.find_property("stats").is_some_and(|spec| {
        spec.value_type() == gst::Structure::static_type()
            && spec.flags().contains(glib::ParamFlags::READABLE)
    });
    let stats = has_stats.then(|| element.property::<Option<gst::Structure>>("stats")).flatten();
    stats.unwrap_or_else(|| gst::Structure::new_empty("none"))
}

/// The numbers that a property takes; none where it takes no whole numbers.
pub(super) fn range(spec: &glib::ParamSpec) -> Option<RangeInclusive<i128>> {
    macro_rules! range_of {
        ($($kind:ty),*) => {
            $(if let Some(spec) = spec.downcast_ref::<$kind>() {
                return Some(spec.minimum().into()..=spec.maximum().into());
            })*
        };
    }
    range_of!(glib::ParamSpecInt, glib::ParamSpecUInt, glib::ParamSpecInt64, glib::ParamSpecUInt64);
    None
}

/// `number`, or what is nearest to it in the range of `spec`, in its type.
fn nearest(spec: &glib::ParamSpec, number: i128) -> Option<glib::Value> {
    let range = range(spec)?;
    let number = number.clamp(*range.start(), *range.end());
    let values = [
        i32::try_from(number).map(|n| n.to_value()),
        u32::try_from(number).map(|n| n.to_value()),
        i64::try_from(number).map(|n| n.to_value()),
        u64::try_from(number).map(|n| n.to_value()),
    ];
    values.into_iter().flatten().find(|value| value.type_() == spec.value_type())
}

fn find(element: &gst::Element, property: &str) -> anyhow::Result<glib::ParamSpec> {
    let spec = element.find_property(property).filter(|spec| {
        let flags = spec.flags();
        flags.contains(glib::ParamFlags::WRITABLE) && !flags.contains(glib::ParamFlags::CONSTRUCT_ONLY)
    });
    spec.with_context(|| format!("{}, has no property {property} to set", named(element)))
}

/// As the launch text calls it, and what it is.
fn named(element: &gst::Element) -> String {
    let factory = element.factory().map(|factory| factory.name().to_string()).unwrap_or_default();
    format!("element {factory}, named {}", element.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> gst::Element {
        gst::init().unwrap();
        gst::ElementFactory::make("identity").name("example").build().unwrap()
    }

    #[test]
    fn numbers_move_into_their_range() {
        let element = identity();
        set_number(&element, "sleep-time", i64::MAX).unwrap();
        assert_eq!(element.property::<u32>("sleep-time"), u32::MAX);
        set_number(&element, "sleep-time", -1).unwrap();
        assert_eq!(element.property::<u32>("sleep-time"), 0);
        set_number(&element, "error-after", -7).unwrap();
        assert_eq!(element.property::<i32>("error-after"), -1);
        set_number(&element, "ts-offset", i128::MAX).unwrap();
        assert_eq!(element.property::<i64>("ts-offset"), i64::MAX);
    }

    #[test]
    fn numbers_are_lowered_where_they_are_above() {
        let element = identity();
        let after = |most| {
            set_number(&element, "sleep-time", 16).unwrap();
            lower(&element, "sleep-time", most);
            element.property::<u32>("sleep-time")
        };
        assert_eq!([0, 1, 4, 16, 20].map(after), [16, 1, 4, 16, 16]);
        lower(&element, "no-such-property", 4);
    }

    #[test]
    fn what_cannot_be_set_is_an_error_that_names_it() {
        let element = identity();
        let error = set_number(&element, "bitrate", 1).unwrap_err().to_string();
        assert_eq!(error, "element identity, named example, has no property bitrate to set");
        let error = set_number(&element, "sync", 1).unwrap_err().to_string();
        assert_eq!(error, "element identity, named example: sync=1 is not a number there");
        assert!(set_number(&element, "stats", 1).is_err());
        let error = set(&element, "sync", "yes").unwrap_err().to_string();
        assert_eq!(error, "element identity, named example: sync takes no gchararray, but gboolean");
        set(&element, "sync", true).unwrap();
        assert!(element.property::<bool>("sync"));
        assert_eq!(stats(&gst::ElementFactory::make("queue").build().unwrap()).n_fields(), 0);
    }
}
