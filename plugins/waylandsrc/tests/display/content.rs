//! The right pixels at the right place.

use super::client::Client;
use super::harness::{Shot, Show};
use gst::prelude::*;

const RED: u32 = 0xff0000;
const GREEN: u32 = 0x00ff00;
const BLUE: u32 = 0x0000ff;
const BLACK: u32 = 0x000000;

fn is_all(color: u32) -> impl Fn(&Shot) -> bool {
    move |shot| shot.is_all(color)
}

#[test]
fn an_empty_display_is_black_and_shows_itself_at_once() {
    let show = Show::start("", "video/x-raw,width=321,height=123");
    let shot = show.picture();
    assert_eq!((shot.width, shot.height), (321, 123));
    assert!(shot.is_all(BLACK), "{}", shot.describe());
}

#[test]
fn a_window_is_told_the_size_and_covers_everything() {
    let show = Show::start("", "video/x-raw,width=1366,height=768,framerate=30/1");
    let mut client = Client::connect(show.connect());
    let window = client.full_window(RED);
    assert_eq!(client.asked(&window), (1366, 768));
    assert!(client.is_fullscreen(&window));
    show.picture_with("red alone", is_all(RED));
}

#[test]
fn every_format_has_the_colors_in_place() {
    for format in ["BGRx", "BGRA", "RGBx", "RGBA"] {
        let show = Show::start("", &format!("video/x-raw,format={format},width=33,height=17"));
        let mut client = Client::connect(show.connect());
        client.full_window(0x12_34_56);
        show.picture_with(format, is_all(0x12_34_56));
    }
}

#[test]
fn the_newest_window_is_on_top_and_the_one_below_comes_back() {
    let show = Show::start("only-damaged=true", "video/x-raw,width=64,height=48");
    let mut first = Client::connect(show.connect());
    first.full_window(RED);
    show.picture_with("the first", is_all(RED));
    let mut second = Client::connect(show.connect());
    let window = second.full_window(GREEN);
    show.picture_with("the second", is_all(GREEN));
    window.toplevel.destroy();
    window.shell_surface.destroy();
    window.surface.destroy();
    second.roundtrip();
    show.picture_with("the first again", is_all(RED));
}

#[test]
fn dialogs_keep_their_size_in_the_middle() {
    let show = Show::start("", "video/x-raw,width=100,height=60");
    let mut client = Client::connect(show.connect());
    let window = client.full_window(RED);
    let dialog = client.window(Some(&window));
    assert_eq!(client.asked(&dialog), (0, 0), "its own size");
    assert!(!client.is_fullscreen(&dialog));
    client.paint(&dialog.surface, (40, 20), BLUE);
    let shot = show.picture_with("a dialog", |shot| shot.count(BLUE) == 40 * 20);
    assert_eq!(shot.area(BLUE), Some((30, 20, 70, 40)), "{}", shot.describe());
    assert_eq!(shot.count(RED), 100 * 60 - 40 * 20);
}

#[test]
fn a_window_that_is_smaller_than_asked_stands_in_the_middle() {
    let show = Show::start("", "video/x-raw,width=100,height=60");
    let mut client = Client::connect(show.connect());
    let window = client.window(None);
    client.paint(&window.surface, (10, 10), GREEN);
    let shot = show.picture_with("a small window", |shot| shot.count(GREEN) > 0);
    assert_eq!(shot.area(GREEN), Some((45, 25, 55, 35)));
}

#[test]
fn parts_of_windows_are_where_they_were_put() {
    let show = Show::start("", "video/x-raw,width=100,height=60");
    let mut client = Client::connect(show.connect());
    let window = client.full_window(RED);
    client.part(&window.surface, (7, 9), (20, 10), GREEN);
    // Being a part counts from the next commit of the whole.
    client.paint(&window.surface, (100, 60), RED);
    let shot = show.picture_with("a part", |shot| shot.count(GREEN) > 0);
    assert_eq!(shot.area(GREEN), Some((7, 9, 27, 19)), "{}", shot.describe());
}

#[test]
fn menus_stay_on_the_display() {
    let show = Show::start("", "video/x-raw,width=100,height=60");
    let mut client = Client::connect(show.connect());
    let window = client.full_window(RED);
    let (_menu, popup) = client.menu(&window, (90, 5), (30, 20), BLUE);
    let shot = show.picture_with("a menu", |shot| shot.count(BLUE) > 0);
    assert_eq!(shot.area(BLUE), Some((70, 5, 100, 25)), "{}", shot.describe());
    popup.destroy();
    client.roundtrip();
    show.picture_with("no menu", is_all(RED));
}

#[test]
fn other_caps_resize_the_display_while_it_plays() {
    let show = Show::start("only-damaged=true", "video/x-raw,width=64,height=48");
    let mut client = Client::connect(show.connect());
    let window = client.full_window(RED);
    show.picture_with("red", is_all(RED));
    for (width, height, color) in [(200, 100, GREEN), (33, 77, BLUE), (640, 360, RED)] {
        show.set_caps(&format!("video/x-raw,width={width},height={height}"));
        client.until("the new size", |heard| heard.sizes[0] == (width, height));
        client.paint(&window.surface, (width, height), color);
        let shot = show.picture_with("the new picture", is_all(color));
        assert_eq!((shot.width, shot.height), (width as usize, height as usize));
    }
}

/// Each picture is drawn upon an older one; what is wrong in one of them would stay.
#[test]
fn pictures_that_are_drawn_in_parts_are_whole() {
    let show = Show::start("only-damaged=true", "video/x-raw,width=96,height=64,framerate=240/1");
    let mut client = Client::connect(show.connect());
    let window = client.full_window(RED);
    let part = client.part(&window.surface, (10, 10), (8, 8), GREEN);
    client.paint(&window.surface, (96, 64), RED);
    show.picture_with("the part", |shot| shot.count(GREEN) == 64);
    // Pictures are held meanwhile, so that buffers of several ages are drawn upon.
    let mut held = Vec::new();
    for number in 0..60u32 {
        let color = 0x10_00_00 + number;
        client.paint(&part, (8, 8), color);
        let shot = show.picture_with("the part in its new color", |shot| shot.count(color) == 64);
        assert_eq!(shot.area(color), Some((10, 10, 18, 18)));
        assert_eq!(shot.count(RED), 96 * 64 - 64, "{}", shot.describe());
        held.push(show.sink.property::<Option<gst::Sample>>("last-sample"));
        if number % 7 == 0 {
            held.clear();
        }
    }
}

#[test]
fn real_clients_are_seen() {
    let show = Show::start("", "video/x-raw,width=640,height=360");
    let sink = "videotestsrc pattern=solid-color foreground-color=0xff2040c0 ! video/x-raw,format=BGRx ! waylandsink";
    let _window = show.run("gst-launch-1.0", &sink.split(' ').collect::<Vec<_>>());
    let blue = |pixel: u32| pixel == 0x20_40_c0;
    show.picture_with("the test picture of waylandsink", |shot| blue(shot.at(320, 180)));
    let _terminal = show.run("foot", &["-o", "colors.background=405060", "sleep", "60"]);
    show.picture_with("a terminal upon it", |shot| shot.count(0x40_50_60) > 640 * 300);
}
