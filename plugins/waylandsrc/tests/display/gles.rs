//! The same with OpenGL ES, by a GPU or by Mesa's processors.

use super::client;
use super::harness::Shot;
use super::shm;
use client::Client;
use wayland_client::protocol::wl_shm::Format;

#[path = "content.rs"]
mod content;
#[path = "misbehaviour.rs"]
mod misbehaviour;

/// What tests of the other renderer use, for this one.
mod harness {
    pub use crate::harness::{PATIENCE, Shot, eventually, floods};
    use std::ops::Deref;

    pub struct Show(crate::harness::Show);

    impl Show {
        pub fn start(properties: &str, caps: &str) -> Self {
            Self(crate::harness::Show::start(&format!("renderer=gles {properties}"), caps))
        }
    }

    impl Deref for Show {
        type Target = crate::harness::Show;

        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }
}

const WIDTH: i32 = 96;
const HEIGHT: i32 = 64;
const MARK: u32 = 0x40_c0_20;

/// Something else in every place, but for a mark in the corner that both renderers draw alike.
fn pattern(scale: i32) -> impl Fn(i32, i32) -> u32 {
    move |x, y| {
        let (x, y) = (x / scale, y / scale);
        if x < 4 && y < 4 {
            return 0xff00_0000 | MARK;
        }
        let gray = (x * 255 / WIDTH).max(y * 255 / HEIGHT) as u32;
        0xff00_0000 | (x as u32 * 2) << 16 | (y as u32 * 3) << 8 | gray
    }
}

/// Of a display whose window shows the pattern, drawn `scale` times as large, with a shade on its right half.
fn shot(renderer: &str, scale: i32) -> Shot {
    let caps = format!("video/x-raw,width={WIDTH},height={HEIGHT}");
    let show = super::harness::Show::start(&format!("renderer={renderer}"), &caps);
    let mut client = Client::connect(show.connect());
    let window = client.window(None);
    let shade = client.part(&window.surface, (WIDTH / 2, 0), (WIDTH / 2, HEIGHT), 0);
    let size = (WIDTH / 2, HEIGHT);
    let (_, half) = shm::painted(&client.shm, &client.queue(), size, Format::Argb8888, |_, _| 0x8000_0040);
    shade.attach(Some(&half), 0, 0);
    shade.damage_buffer(0, 0, WIDTH, HEIGHT);
    shade.commit();
    let size = (WIDTH * scale, HEIGHT * scale);
    let (_, whole) = shm::painted(&client.shm, &client.queue(), size, Format::Xrgb8888, pattern(scale));
    window.surface.set_buffer_scale(scale);
    window.surface.attach(Some(&whole), 0, 0);
    window.surface.damage_buffer(0, 0, size.0, size.1);
    window.surface.commit();
    client.roundtrip();
    show.picture_with("the mark", |shot| shot.at(1, 1) == MARK)
}

/// The greatest difference of a channel in these columns.
fn difference(one: &Shot, other: &Shot, columns: std::ops::Range<usize>) -> u8 {
    let places = columns.flat_map(|x| (0..HEIGHT as usize).map(move |y| (x, y)));
    let differences = places.flat_map(|(x, y)| {
        let pair = one.at(x, y).to_be_bytes().into_iter().zip(other.at(x, y).to_be_bytes());
        pair.map(|(one, other)| one.abs_diff(other))
    });
    differences.max().expect("there are pixels")
}

#[test]
fn it_draws_what_pixman_draws() {
    let (pixman, gles) = (shot("pixman", 1), shot("gles", 1));
    let (left, right) = (0..WIDTH as usize / 2, WIDTH as usize / 2..WIDTH as usize);
    assert_eq!(difference(&pixman, &gles, left), 0, "opaque");
    let shaded = difference(&pixman, &gles, right.clone());
    assert!(shaded <= 2, "translucent: {shaded}");
    assert_ne!(pixman.at(right.start, 20), pattern(1)(right.start as i32, 20) & 0xff_ffff, "it is shaded");
}

#[test]
fn it_scales_as_pixman_does() {
    let (pixman, gles) = (shot("pixman", 2), shot("gles", 2));
    let scaled = difference(&pixman, &gles, 0..WIDTH as usize);
    assert!(scaled <= 8, "{scaled}");
}
