//! What a player does, as GStreamer events say it.

use gst_video::NavigationEvent;

/// Name of the structure of the upstream event for what GstNavigation lacks.
pub const INPUT_EVENT: &str = "GstWaylandSrcInput";

/// Linux' codes of the first buttons; the others follow the first.
pub const BTN_LEFT: u32 = 0x110;
const BTN_RIGHT: u32 = 0x111;
const BTN_MIDDLE: u32 = 0x112;
const BTN_SIDE: u32 = 0x113;

/// One click of a wheel in the unit of high-resolution wheels.
pub const CLICK: i32 = 120;

/// Positions are pixels of the output.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Motion {
        x: f64,
        y: f64,
    },
    /// `raw_*` is what the mouse said before acceleration.
    RelativeMotion {
        dx: f64,
        dy: f64,
        raw_dx: f64,
        raw_dy: f64,
    },
    /// Code of linux/input-event-codes.h.
    Button {
        code: u32,
        pressed: bool,
    },
    /// In 1/120 of a click, to the right and down.
    Scroll {
        x: i32,
        y: i32,
    },
    /// Code of linux/input-event-codes.h.
    Key {
        code: u32,
        pressed: bool,
    },
    /// Name of a key symbol, as in xkbcommon-keysyms.h without the prefix.
    NamedKey {
        name: String,
        pressed: bool,
    },
    /// The key that gives one of these by itself, the first that any key gives; else the one with this code.
    Symbol {
        symbols: String,
        otherwise: u32,
        pressed: bool,
    },
    /// Typed whatever the layout is, and whatever keys are held.
    Text {
        text: String,
    },
    TouchDown {
        id: u32,
        x: f64,
        y: f64,
    },
    TouchMotion {
        id: u32,
        x: f64,
        y: f64,
    },
    TouchUp {
        id: u32,
    },
    /// What was said about fingers since the last one belongs together.
    TouchFrame,
    TouchCancel,
    /// Keys, buttons and fingers that are down go up.
    ReleaseAll,
}

/// What an upstream event means, in order. Nothing: the event is not about input.
pub fn parse(event: &gst::EventRef) -> Option<Vec<Input>> {
    match event.view() {
        gst::EventView::Navigation(_) => Some(parse_navigation(event)),
        gst::EventView::CustomUpstream(_) => {
            let structure = event.structure().filter(|structure| structure.name() == INPUT_EVENT)?;
            Some(Vec::from_iter(parse_structure(structure)))
        }
        _ => None,
    }
}

fn parse_navigation(event: &gst::EventRef) -> Vec<Input> {
    use NavigationEvent::*;
    let at = |x, y, what| vec![Input::Motion { x, y }, what];
    match NavigationEvent::parse(event) {
        Ok(KeyPress { key, .. }) => vec![Input::NamedKey { name: key, pressed: true }],
        Ok(KeyRelease { key, .. }) => vec![Input::NamedKey { name: key, pressed: false }],
        Ok(MouseMove { x, y, .. }) => vec![Input::Motion { x, y }],
        Ok(MouseButtonPress { button, x, y, .. }) => {
            press(button, true).map_or(vec![], |what| at(x, y, what))
        }
        Ok(MouseButtonRelease { button, x, y, .. }) => {
            press(button, false).map_or(vec![], |what| at(x, y, what))
        }
        Ok(MouseScroll { x, y, delta_x, delta_y, .. }) => {
            // Sinks disagree on the unit; those for Windows and Qt count like a high-resolution wheel, up being positive.
            at(x, y, Input::Scroll { x: delta_x.round() as i32, y: -delta_y.round() as i32 })
        }
        Ok(TouchDown { identifier: id, x, y, .. }) => vec![Input::TouchDown { id, x, y }],
        Ok(TouchMotion { identifier: id, x, y, .. }) => vec![Input::TouchMotion { id, x, y }],
        Ok(TouchUp { identifier: id, .. }) => vec![Input::TouchUp { id }],
        Ok(TouchFrame { .. }) => vec![Input::TouchFrame],
        Ok(TouchCancel { .. }) => vec![Input::TouchCancel],
        _ => vec![],
    }
}

/// A button as X11 counts them, where four of them are a wheel.
fn press(button: i32, pressed: bool) -> Option<Input> {
    let scroll = |x, y| pressed.then_some(Input::Scroll { x, y });
    match button {
        1 => Some(Input::Button { code: BTN_LEFT, pressed }),
        2 => Some(Input::Button { code: BTN_MIDDLE, pressed }),
        3 => Some(Input::Button { code: BTN_RIGHT, pressed }),
        4 => scroll(0, -CLICK),
        5 => scroll(0, CLICK),
        6 => scroll(-CLICK, 0),
        7 => scroll(CLICK, 0),
        8..=12 => Some(Input::Button { code: BTN_SIDE + button as u32 - 8, pressed }),
        _ => None,
    }
}

fn parse_structure(structure: &gst::StructureRef) -> Option<Input> {
    let float = |field| structure.get::<f64>(field).ok().filter(|value| value.is_finite());
    let int = |field| structure.get::<i32>(field).ok();
    let code =
        |field| structure.get::<u32>(field).ok().or_else(|| int(field).and_then(|i| i.try_into().ok()));
    let pressed = || structure.get::<bool>("pressed").ok();
    Some(match structure.get::<&str>("event").ok()? {
        "motion" => Input::Motion { x: float("x")?, y: float("y")? },
        "relative-motion" => {
            let (dx, dy) = (float("dx")?, float("dy")?);
            let (raw_dx, raw_dy) = (float("raw-dx").unwrap_or(dx), float("raw-dy").unwrap_or(dy));
            Input::RelativeMotion { dx, dy, raw_dx, raw_dy }
        }
        "button" => Input::Button { code: code("code")?, pressed: pressed()? },
        "scroll" => Input::Scroll { x: int("x").unwrap_or(0), y: int("y").unwrap_or(0) },
        "key" => Input::Key { code: code("code")?, pressed: pressed()? },
        "touch-down" => Input::TouchDown { id: code("id")?, x: float("x")?, y: float("y")? },
        "touch-motion" => Input::TouchMotion { id: code("id")?, x: float("x")?, y: float("y")? },
        "touch-up" => Input::TouchUp { id: code("id")? },
        "symbol" => Input::Symbol {
            symbols: structure.get("symbols").ok()?,
            otherwise: code("otherwise")?,
            pressed: pressed()?,
        },
        "text" => Input::Text { text: structure.get("text").ok()? },
        "touch-frame" => Input::TouchFrame,
        "touch-cancel" => Input::TouchCancel,
        "release-all" => Input::ReleaseAll,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(structure: &str) -> Option<Vec<Input>> {
        gst::init().unwrap();
        parse(&gst::event::CustomUpstream::new(structure.parse::<gst::Structure>().unwrap()))
    }

    fn navigation(event: NavigationEvent) -> Vec<Input> {
        gst::init().unwrap();
        parse(&gst::event::Navigation::new(event.structure())).unwrap()
    }

    fn button(button: i32, press: bool) -> Vec<Input> {
        let (x, y, modifier_state) = (3.0, 4.0, gst_video::NavigationModifierType::empty());
        navigation(match press {
            true => NavigationEvent::MouseButtonPress { button, x, y, modifier_state },
            false => NavigationEvent::MouseButtonRelease { button, x, y, modifier_state },
        })
    }

    #[test]
    fn what_navigation_lacks_is_read_from_a_structure() {
        for (text, expected) in [
            ("event=motion, x=1.5, y=2.0", Input::Motion { x: 1.5, y: 2.0 }),
            (
                "event=relative-motion, dx=-3.0, dy=4.0, raw-dx=-1.0, raw-dy=2.0",
                Input::RelativeMotion { dx: -3.0, dy: 4.0, raw_dx: -1.0, raw_dy: 2.0 },
            ),
            (
                "event=relative-motion, dx=1.0, dy=2.0",
                Input::RelativeMotion { dx: 1.0, dy: 2.0, raw_dx: 1.0, raw_dy: 2.0 },
            ),
            ("event=button, code=(uint)273, pressed=true", Input::Button { code: 273, pressed: true }),
            ("event=key, code=30, pressed=false", Input::Key { code: 30, pressed: false }),
            ("event=scroll, y=-40", Input::Scroll { x: 0, y: -40 }),
            ("event=touch-down, id=7, x=1.0, y=2.0", Input::TouchDown { id: 7, x: 1.0, y: 2.0 }),
            (
                "event=symbol, symbols=(string)\"¥\\\\\", otherwise=(uint)43, pressed=true",
                Input::Symbol { symbols: "¥\\".into(), otherwise: 43, pressed: true },
            ),
            ("event=text, text=(string)\"ß\"", Input::Text { text: "ß".into() }),
            ("event=touch-up, id=7", Input::TouchUp { id: 7 }),
            ("event=release-all", Input::ReleaseAll),
        ] {
            assert_eq!(custom(&format!("{INPUT_EVENT}, {text}")), Some(vec![expected]), "{text}");
        }
    }

    #[test]
    fn half_an_event_is_none() {
        for text in [
            "event=text",
            "event=key, code=30",
            "event=key, pressed=true",
            "event=motion, x=1.0",
            "event=fly",
            "x=1.0",
        ] {
            assert_eq!(custom(&format!("{INPUT_EVENT}, {text}")), Some(vec![]), "{text}");
        }
        assert_eq!(custom("SomethingElse, event=release-all"), None);
    }

    #[test]
    fn buttons_are_counted_as_x11_does() {
        let at = |what| vec![Input::Motion { x: 3.0, y: 4.0 }, what];
        for (x11, linux) in [(1, 0x110), (2, 0x112), (3, 0x111), (8, 0x113), (9, 0x114)] {
            for pressed in [true, false] {
                assert_eq!(button(x11, pressed), at(Input::Button { code: linux, pressed }));
            }
        }
        assert_eq!(button(4, true), at(Input::Scroll { x: 0, y: -CLICK }));
        assert_eq!(button(4, false), [], "a wheel is not released");
        assert_eq!(button(0, true), []);
    }

    #[test]
    fn navigation_scrolls_up_by_positive_numbers() {
        let modifier_state = gst_video::NavigationModifierType::empty();
        let scroll =
            NavigationEvent::MouseScroll { x: 1.0, y: 2.0, delta_x: 60.0, delta_y: 120.0, modifier_state };
        assert_eq!(
            navigation(scroll),
            [Input::Motion { x: 1.0, y: 2.0 }, Input::Scroll { x: CLICK / 2, y: -CLICK }]
        );
    }
}
