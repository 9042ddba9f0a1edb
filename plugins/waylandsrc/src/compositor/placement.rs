//! Where windows go. Positions and sizes are pixels of the output.

use smithay::utils::{Logical, Point, Rectangle, Size};

/// What a window is to the display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Covers the output.
    Main,
    /// Belongs to another window: keeps its own size, in the middle.
    Dialog,
    /// Says itself where it is: menus and tooltips of X11.
    Positioned(Point<i32, Logical>),
}

/// The top-left corner of a window. One that does not cover the output, whatever it was asked, is in the middle; of
/// one that is too large the top-left corner is seen, where windows have what matters.
pub fn place(role: Role, window: Size<i32, Logical>, output: Size<i32, Logical>) -> Point<i32, Logical> {
    match role {
        Role::Positioned(position) => position,
        Role::Main | Role::Dialog => {
            Point::from((((output.w - window.w) / 2).max(0), ((output.h - window.h) / 2).max(0)))
        }
    }
}

/// The size that a window is asked to take; nothing leaves it the choice.
pub fn asked_size(role: Role, output: Size<i32, Logical>) -> Option<Size<i32, Logical>> {
    (role == Role::Main).then_some(output)
}

/// The nearest point on the output.
pub fn clamp(point: Point<f64, Logical>, output: Size<i32, Logical>) -> Point<f64, Logical> {
    // The last pixel reaches up to the edge, which itself is outside.
    let within = |at: f64, length: i32| at.clamp(0.0, f64::from(length) - 1.0 / 256.0);
    Point::from((within(point.x, output.w), within(point.y, output.h)))
}

/// As near to a place as one comes without leaving where one may be, along edges too. Who is outside already goes freely.
pub fn reach(
    from: Point<f64, Logical>,
    to: Point<f64, Logical>,
    may_be: impl Fn(Point<f64, Logical>) -> bool,
) -> Point<f64, Logical> {
    if may_be(to) || !may_be(from) {
        return to;
    }
    let aside = go(from, Point::from((to.x, from.y)), &may_be);
    go(aside, Point::from((aside.x, to.y)), &may_be)
}

/// Straight up to the edge.
fn go(
    from: Point<f64, Logical>,
    to: Point<f64, Logical>,
    may_be: impl Fn(Point<f64, Logical>) -> bool,
) -> Point<f64, Logical> {
    /// Less than a 256th of a pixel, for any display: what clients are told has no more digits.
    const HALVINGS: u32 = 22;
    if may_be(to) {
        return to;
    }
    let (mut inside, mut outside) = (from, to);
    for _ in 0..HALVINGS {
        let middle = (inside + outside).downscale(2.0);
        *(if may_be(middle) { &mut inside } else { &mut outside }) = middle;
    }
    inside
}

/// The output as a window at `origin` sees it, which is where its menus have room.
pub fn room(origin: Point<i32, Logical>, output: Size<i32, Logical>) -> Rectangle<i32, Logical> {
    Rectangle::new(Point::from((-origin.x, -origin.y)), output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(w: i32, h: i32) -> Size<i32, Logical> {
        Size::from((w, h))
    }

    #[test]
    fn windows_cover_the_output_or_stand_in_its_middle() {
        let output = size(1366, 768);
        for (role, window, expected) in [
            (Role::Main, size(1366, 768), (0, 0)),
            (Role::Main, size(1000, 500), (183, 134)),
            (Role::Dialog, size(201, 101), (582, 333)),
            (Role::Dialog, size(2000, 100), (0, 334)),
            (Role::Main, size(5000, 5000), (0, 0)),
            (Role::Positioned(Point::from((-5, 700))), size(50, 500), (-5, 700)),
        ] {
            assert_eq!(place(role, window, output), Point::from(expected), "{role:?} {window:?}");
        }
    }

    #[test]
    fn only_main_windows_are_told_a_size() {
        assert_eq!(asked_size(Role::Main, size(640, 360)), Some(size(640, 360)));
        assert_eq!(asked_size(Role::Dialog, size(640, 360)), None);
        assert_eq!(asked_size(Role::Positioned(Point::from((1, 1))), size(640, 360)), None);
    }

    #[test]
    fn the_pointer_stays_on_the_output() {
        let output = size(100, 50);
        for (point, expected) in [
            ((-1.0, 20.0), (0.0, 20.0)),
            ((1e9, 49.5), (100.0 - 1.0 / 256.0, 49.5)),
            ((7.25, 60.0), (7.25, 50.0 - 1.0 / 256.0)),
        ] {
            assert_eq!(clamp(Point::from(point), output), Point::from(expected));
        }
    }

    #[test]
    fn menus_have_the_whole_output_wherever_their_window_is() {
        let room = room(Point::from((30, 10)), size(100, 50));
        assert_eq!((room.loc, room.size), (Point::from((-30, -10)), size(100, 50)));
    }

    #[test]
    fn a_confined_way_ends_at_the_edge_and_goes_along_it() {
        let point = |x, y| Point::<f64, Logical>::from((x, y));
        let room = |at: Point<f64, Logical>| (20.0..60.0).contains(&at.x) && (10.0..40.0).contains(&at.y);
        let near = |from, to, expected: (f64, f64)| {
            let at = reach(from, to, room);
            let off = at - Point::from(expected);
            assert!(off.x.abs() < 1.0 / 256.0 && off.y.abs() < 1.0 / 256.0, "{at:?} for {expected:?}");
        };
        near(point(30.0, 20.0), point(50.0, 30.0), (50.0, 30.0));
        near(point(30.0, 20.0), point(4000.0, 30.0), (60.0, 30.0));
        near(point(59.9, 20.0), point(100.0, 35.0), (60.0, 35.0));
        near(point(30.0, 20.0), point(-100.0, -100.0), (20.0, 10.0));
        near(point(5.0, 5.0), point(15.0, 5.0), (15.0, 5.0));
        assert!(room(reach(point(30.0, 20.0), point(100.0, 100.0), room)), "the edge is outside");
    }
}
