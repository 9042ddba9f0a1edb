//! One protocol after the other, beyond windows and plain input.

use super::client::{Client, Window};
use super::harness::Show;
use super::shm;
use super::speech::{Devices, Said};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use wayland_client::protocol::{
    wl_data_device_manager::WlDataDeviceManager, wl_seat::WlSeat, wl_shm::Format, wl_surface::WlSurface,
};
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_manager_v1::WpFractionalScaleManagerV1;
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_pointer_constraints_v1::{
    Lifetime, ZwpPointerConstraintsV1,
};
use wayland_protocols::wp::primary_selection::zv1::client::zwp_primary_selection_device_manager_v1::ZwpPrimarySelectionDeviceManagerV1;
use wayland_protocols::wp::relative_pointer::zv1::client::zwp_relative_pointer_manager_v1::ZwpRelativePointerManagerV1;
use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;

const RED: u32 = 0xff0000;
const GREEN: u32 = 0x00ff00;
const BLUE: u32 = 0x0000ff;

const CAPS: &str = "video/x-raw,width=100,height=60";

/// A red window that covers the display.
fn start() -> (Show, Client, Window) {
    let show = Show::start("only-damaged=true", CAPS);
    let mut client = Client::connect(show.connect());
    let window = client.full_window(RED);
    show.picture_with("the window", |shot| shot.is_all(RED));
    (show, client, window)
}

/// The same with the pointer in the window, and a client that reads how far the mouse goes.
fn start_pointing(at: (f64, f64)) -> (Show, Client, Window, Devices) {
    let (show, mut client, window) = start();
    let devices = client.devices();
    let relative: ZwpRelativePointerManagerV1 = client.bind();
    relative.get_relative_pointer(&devices.pointer, &client.queue(), ());
    client.roundtrip();
    show.send_input(&format!("event=motion, x={:.1}, y={:.1}", at.0, at.1));
    client.until_said(&Said::Enter { x: at.0, y: at.1 });
    (show, client, window, devices)
}

/// Where the pointer was said to go, since the last time.
fn motions(client: &mut Client) -> Vec<(f64, f64)> {
    let place = |said| match said {
        Said::Motion { x, y } => Some((x, y)),
        _ => None,
    };
    client.heard.speech.said.drain(..).filter_map(place).collect()
}

/// Moves the mouse until the client has read it.
fn push(show: &Show, client: &mut Client, dx: f64, dy: f64) {
    show.send_input(&format!("event=relative-motion, dx={dx:.1}, dy={dy:.1}"));
    client.until_said(&Said::Relative { dx, dy, raw_dx: dx, raw_dy: dy });
    // What belongs to it came with it.
    client.roundtrip();
}

#[test]
fn a_client_reads_how_far_the_mouse_went() {
    let (show, mut client, ..) = start_pointing((50.0, 30.0));
    show.send_input("event=relative-motion, dx=3.0, dy=-2.0, raw-dx=6.0, raw-dy=-4.5");
    client.until_said(&Said::Relative { dx: 3.0, dy: -2.0, raw_dx: 6.0, raw_dy: -4.5 });
    client.until_said(&Said::Motion { x: 53.0, y: 28.0 });
    show.send_input("event=motion, x=60.0, y=20.0");
    client.until_said(&Said::Relative { dx: 7.0, dy: -8.0, raw_dx: 7.0, raw_dy: -8.0 });
    client.until_said(&Said::Motion { x: 60.0, y: 20.0 });
}

#[test]
fn a_locked_pointer_stands_while_the_mouse_moves() {
    let (show, mut client, window, devices) = start_pointing((50.0, 30.0));
    let constraints: ZwpPointerConstraintsV1 = client.bind();
    let queue = client.queue();
    let lock =
        constraints.lock_pointer(&window.surface, &devices.pointer, None, Lifetime::Persistent, &queue, ());
    client.until_said(&Said::Held);
    client.heard.speech.said.clear();
    push(&show, &mut client, 5.0, 6.0);
    push(&show, &mut client, 500.0, 0.0);
    show.send_input("event=motion, x=10.0, y=10.0");
    push(&show, &mut client, -1.0, 1.0);
    assert_eq!(motions(&mut client), [], "it is locked");

    lock.set_cursor_position_hint(20.0, 15.0);
    window.surface.commit();
    lock.destroy();
    client.roundtrip();
    push(&show, &mut client, 1.0, 2.0);
    assert_eq!(motions(&mut client), [(21.0, 17.0)], "from where the client had drawn it");
}

#[test]
fn a_confined_pointer_stays_in_its_region() {
    let (show, mut client, window, devices) = start_pointing((5.0, 5.0));
    let constraints: ZwpPointerConstraintsV1 = client.bind();
    let queue = client.queue();
    let region = client.compositor.create_region(&queue, ());
    region.add(20, 10, 40, 30);
    let confined = constraints.confine_pointer(
        &window.surface,
        &devices.pointer,
        Some(&region),
        Lifetime::Persistent,
        &queue,
        (),
    );
    client.roundtrip();
    assert!(!client.heard.speech.has(&Said::Held), "it is not there yet");
    show.send_input("event=motion, x=50.0, y=30.0");
    client.until_said(&Said::Held);
    client.heard.speech.said.clear();

    for (dx, dy, edge) in
        [(45.0, 0.0, (60.0, 30.0)), (0.0, 300.0, (60.0, 40.0)), (-200.0, -300.0, (20.0, 10.0))]
    {
        push(&show, &mut client, dx, dy);
        for (x, y) in motions(&mut client) {
            assert!((20.0..60.0).contains(&x) && (10.0..40.0).contains(&y), "{x}, {y}");
            assert!(
                (x - edge.0).abs() < 1.0 && (y - edge.1).abs() < 1.0,
                "{x}, {y}: it goes as far as {edge:?}"
            );
        }
    }
    show.send_input("event=motion, x=30.0, y=20.0");
    client.until_said(&Said::Motion { x: 30.0, y: 20.0 });
    confined.destroy();
    client.roundtrip();
    show.send_input("event=motion, x=90.0, y=50.0");
    client.until_said(&Said::Motion { x: 90.0, y: 50.0 });
}

#[test]
fn a_viewport_scales_what_it_crops() {
    let (show, mut client, window) = start();
    let viewporter: WpViewporter = client.bind();
    let queue = client.queue();
    let part = client.part(&window.surface, (20, 10), (8, 4), BLUE);
    show.picture_with("a small part", |shot| shot.area(BLUE) == Some((20, 10, 28, 14)));
    let viewport = viewporter.get_viewport(&part, &queue, ());
    viewport.set_destination(40, 30);
    part.commit();
    client.roundtrip();
    show.picture_with("it larger", |shot| {
        let off = |at: usize, from: usize, to: usize| at.saturating_sub(to - 1).max(from.saturating_sub(at));
        (0..100).flat_map(|x| (0..60).map(move |y| (x, y))).all(|(x, y)| {
            let inside = off(x, 20, 60) + off(y, 10, 40) == 0;
            // Within half a pixel of the client's, of 5 × 7.5 here, it may fade into what is below.
            let edge = inside && !((23..57).contains(&x) && (14..36).contains(&y));
            match shot.at(x, y) {
                RED => !inside,
                BLUE => inside,
                _ => edge,
            }
        })
    });

    let halves = |x: i32, _| if x < 10 { GREEN } else { BLUE };
    let (_, buffer) = shm::painted(&client.shm, &queue, (20, 6), Format::Xrgb8888, halves);
    let show_source = |at: (f64, f64, f64, f64)| {
        viewport.set_source(at.0, at.1, at.2, at.3);
        part.attach(Some(&buffer), 0, 0);
        part.damage_buffer(0, 0, 20, 6);
        part.commit();
    };
    show_source((0.0, 0.0, 20.0, 6.0));
    client.roundtrip();
    show.picture_with("both halves", |shot| shot.at(25, 20) == GREEN && shot.at(55, 20) == BLUE);
    show_source((12.0, 1.0, 6.0, 4.0));
    client.roundtrip();
    show.picture_with("one half", |shot| shot.count(GREEN) == 0 && shot.count(BLUE) == 40 * 30);
}

#[test]
fn a_pixel_of_a_client_is_one_of_the_picture() {
    let (_show, mut client, window) = start();
    let scales: WpFractionalScaleManagerV1 = client.bind();
    scales.get_fractional_scale(&window.surface, &client.queue(), ());
    client.until_said(&Said::PreferredScale(120));
}

#[test]
fn the_pointer_looks_as_the_client_wishes() {
    let (show, mut client, _window, devices) = start_pointing((40.0, 20.0));
    show.picture_with("an arrow", |shot| shot.count(0xffffff) > 0);
    let image: WlSurface = client.compositor.create_surface(&client.queue(), ());
    devices.pointer.set_cursor(client.heard.speech.serial, Some(&image), 2, 1);
    client.paint(&image, (8, 6), GREEN);
    let shot = show.picture_with("the client's", |shot| shot.area(GREEN) == Some((38, 19, 46, 25)));
    assert_eq!((shot.count(GREEN), shot.count(RED)), (48, 6000 - 48), "and nothing else");
    show.send_input("event=motion, x=60.0, y=30.0");
    show.picture_with("it moved", |shot| shot.area(GREEN) == Some((58, 29, 66, 35)));
    devices.pointer.set_cursor(client.heard.speech.serial, None, 0, 0);
    client.roundtrip();
    show.picture_with("no pointer", |shot| shot.is_all(RED));
}

#[test]
fn only_what_is_damaged_is_drawn() {
    let (show, mut client, window) = start();
    let (width, height) = (100, 60);
    let (file, buffer) = shm::buffer(&client.shm, &client.queue(), (width, height), RED);
    let paint_all = |color: u32| {
        let pixels: Vec<u8> = (0..width * height).flat_map(|_| (color | 0xff00_0000).to_le_bytes()).collect();
        std::os::unix::fs::FileExt::write_all_at(&file, &pixels, 0).unwrap();
    };
    // Memory that was not drawn into lately gets a whole picture; after some it has been.
    for color in (0..60).map(|number| 0x10_20_40 + number * 3) {
        paint_all(color);
        window.surface.attach(Some(&buffer), 0, 0);
        window.surface.damage_buffer(10, 20, 30, 10);
        window.surface.commit();
        client.roundtrip();
        let shot = show.picture_with("the change", |shot| shot.at(15, 25) == color);
        if shot.area(color) == Some((10, 20, 40, 30)) {
            return;
        }
    }
    panic!("the whole picture is drawn for each small change");
}

const TEXT: &str = "text/plain;charset=utf-8";

#[derive(Clone, Copy, Debug)]
enum Board {
    Clipboard,
    Primary,
}

/// Listens to what may be pasted.
fn listen(client: &mut Client, board: Board) {
    let (seat, queue) = (client.bind::<WlSeat>(), client.queue());
    match board {
        Board::Clipboard => {
            client.bind::<WlDataDeviceManager>().get_data_device(&seat, &queue, ());
        }
        Board::Primary => {
            client.bind::<ZwpPrimarySelectionDeviceManagerV1>().get_device(&seat, &queue, ());
        }
    }
    client.roundtrip();
}

fn copy(client: &mut Client, board: Board, text: &str) {
    let (seat, queue) = (client.bind::<WlSeat>(), client.queue());
    match board {
        Board::Clipboard => {
            let manager: WlDataDeviceManager = client.bind();
            let source = manager.create_data_source(&queue, text.to_owned());
            source.offer(TEXT.into());
            manager.get_data_device(&seat, &queue, ()).set_selection(Some(&source), 0);
        }
        Board::Primary => {
            let manager: ZwpPrimarySelectionDeviceManagerV1 = client.bind();
            let source = manager.create_source(&queue, text.to_owned());
            source.offer(TEXT.into());
            manager.get_device(&seat, &queue, ()).set_selection(Some(&source), 0);
        }
    }
    client.roundtrip();
}

fn may_paste(client: &mut Client, board: Board) {
    client.until("what may be pasted", |heard| match board {
        Board::Clipboard => heard.speech.clipboard.is_some(),
        Board::Primary => heard.speech.primary.is_some(),
    });
}

/// What `client` gets, which `owner` has copied.
fn paste(client: &mut Client, owner: &mut Client, board: Board) -> String {
    may_paste(client, board);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    match board {
        Board::Clipboard => {
            client.heard.speech.clipboard.as_ref().unwrap().receive(TEXT.into(), theirs.as_fd())
        }
        Board::Primary => client.heard.speech.primary.as_ref().unwrap().receive(TEXT.into(), theirs.as_fd()),
    }
    client.roundtrip();
    drop(theirs);
    owner.roundtrip();
    ours.set_read_timeout(Some(super::harness::PATIENCE)).unwrap();
    let mut text = String::new();
    ours.read_to_string(&mut text).expect("the text and its end");
    text
}

#[test]
fn who_has_the_keys_copies_and_pastes() {
    for board in [Board::Clipboard, Board::Primary] {
        let (show, mut first, _window) = start();
        listen(&mut first, board);
        copy(&mut first, board, "from the first");

        let mut second = Client::connect(show.connect());
        listen(&mut second, board);
        let window = second.full_window(GREEN);
        assert_eq!(paste(&mut second, &mut first, board), "from the first", "{board:?}");
        copy(&mut first, board, "without the keys");
        assert_eq!(paste(&mut second, &mut first, board), "from the first", "{board:?}: it has no keys");

        let before = (first.heard.speech.clipboard.clone(), first.heard.speech.primary.clone());
        copy(&mut second, board, "from the second");
        first.roundtrip();
        let after = (first.heard.speech.clipboard.clone(), first.heard.speech.primary.clone());
        assert_eq!(before, after, "{board:?}: who has no keys hears nothing of it");
        (first.heard.speech.clipboard, first.heard.speech.primary) = (None, None);
        window.toplevel.destroy();
        window.shell_surface.destroy();
        second.roundtrip();
        assert_eq!(paste(&mut first, &mut second, board), "from the second", "{board:?}");
    }
}
