//! A source that is a display: what apps need to know to show themselves there.

use std::fmt;

/// Element that opens a display.
pub(super) const WAYLANDSRC: &str = "waylandsrc";

/// How apps reach a display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Display {
    /// For WAYLAND_DISPLAY.
    pub wayland: String,
    /// For DISPLAY, where X11 programs are welcome.
    pub x11: Option<String>,
}

impl Display {
    /// From the element message `wayland-display`.
    pub(super) fn of(message: &gst::StructureRef) -> Option<Display> {
        let text = |name| message.get::<Option<String>>(name).ok().flatten();
        let wayland = (message.name() == "wayland-display").then(|| text("name"))??;
        Some(Display { wayland, x11: text("x-display") })
    }
}

impl fmt::Display for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WAYLAND_DISPLAY={}", self.wayland)?;
        self.x11.as_ref().map_or(Ok(()), |x11| write!(f, " DISPLAY={x11}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_is_what_its_message_says() {
        gst::init().unwrap();
        let message = |name| gst::Structure::builder(name);
        let both = message("wayland-display").field("name", "wayland-3").field("x-display", ":7").build();
        assert_eq!(Display::of(&both).unwrap().to_string(), "WAYLAND_DISPLAY=wayland-3 DISPLAY=:7");
        let one = message("wayland-display").field("name", "wayland-3").build();
        assert_eq!(Display::of(&one).unwrap().to_string(), "WAYLAND_DISPLAY=wayland-3");
        assert_eq!(Display::of(&message("wayland-display").build()), None);
        assert_eq!(Display::of(&message("else").field("name", "wayland-3").build()), None);
    }
}
