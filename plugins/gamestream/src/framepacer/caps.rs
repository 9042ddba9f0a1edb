//! The same picture at another rate: what caps become on the way through.

use super::cadence::Rate;

/// When neither side names one.
pub const DEFAULT_RATE: Rate = Rate { numerator: 60, denominator: 1 };

/// The same caps at any frame rate.
pub fn any_rate(caps: &gst::CapsRef) -> gst::Caps {
    let mut caps = caps.to_owned();
    for structure in caps.make_mut().iter_mut() {
        structure.remove_fields(["framerate", "max-framerate"]);
    }
    caps
}

/// One of the caps that `downstream` takes, at the rate nearest to that of `upstream`, and that rate.
pub fn fixate(mut downstream: gst::Caps, upstream: &gst::CapsRef) -> Option<(gst::Caps, Rate)> {
    if downstream.is_empty() || downstream.is_any() {
        return None;
    }
    downstream.truncate();
    let wish = upstream.structure(0).and_then(rate).unwrap_or(DEFAULT_RATE);
    let wish = gst::Fraction::new(wish.numerator as i32, wish.denominator as i32);
    let structure = downstream.make_mut().structure_mut(0)?;
    if structure.has_field("framerate") {
        structure.fixate_field_nearest_fraction("framerate", wish);
    } else {
        structure.set("framerate", wish);
    }
    downstream.fixate();
    let rate = downstream.structure(0).and_then(rate)?;
    Some((downstream, rate))
}

/// The frame rate, or the highest one of a variable rate.
fn rate(structure: &gst::StructureRef) -> Option<Rate> {
    ["framerate", "max-framerate"].into_iter().find_map(|field| {
        let rate = structure.get::<gst::Fraction>(field).ok()?;
        (rate.numer() > 0).then(|| Rate { numerator: rate.numer() as u32, denominator: rate.denom() as u32 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(text: &str) -> gst::Caps {
        gst::init().unwrap();
        text.parse().unwrap()
    }

    #[test]
    fn downstream_decides_the_rate_and_upstream_where_it_leaves_a_choice() {
        for (downstream, upstream, numerator, denominator) in [
            ("video/x-raw,framerate=60000/1001", "video/x-raw,framerate=30/1", 60_000, 1001),
            ("video/x-raw,framerate=[0/1,240/1]", "video/x-raw,framerate=30/1", 30, 1),
            ("video/x-raw,framerate=[1/1,50/1]", "video/x-raw,framerate=60/1", 50, 1),
            ("video/x-raw", "video/x-raw,framerate=25/1", 25, 1),
            ("video/x-raw", "video/x-raw,framerate=0/1,max-framerate=144/1", 144, 1),
            ("video/x-raw", "video/x-raw,framerate=0/1", 60, 1),
            (
                "video/x-raw(memory:DMABuf),framerate={30/1,60/1}",
                "video/x-raw(memory:DMABuf),framerate=0/1",
                60,
                1,
            ),
        ] {
            let (fixed, rate) = fixate(caps(downstream), &caps(upstream)).unwrap();
            assert_eq!(rate, Rate { numerator, denominator }, "{downstream} after {upstream}");
            assert!(fixed.is_fixed());
            let features = |caps: &gst::Caps| caps.features(0).map(|features| features.to_string());
            assert_eq!(features(&fixed), features(&caps(downstream)));
        }
    }

    #[test]
    fn a_picture_without_rate_cannot_be_paced() {
        assert!(fixate(caps("video/x-raw,framerate=0/1"), &caps("video/x-raw,framerate=60/1")).is_none());
        assert!(fixate(gst::Caps::new_empty(), &caps("video/x-raw")).is_none());
    }

    #[test]
    fn everything_but_the_rate_goes_through() {
        let through = any_rate(&caps("video/x-raw(memory:DMABuf),width=64,framerate=0/1,max-framerate=60/1"));
        assert_eq!(through, caps("video/x-raw(memory:DMABuf),width=64"));
    }
}
