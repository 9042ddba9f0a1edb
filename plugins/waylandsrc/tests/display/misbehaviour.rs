//! Clients that do wrong hurt only themselves.

use super::client::Client;
use super::harness::{PATIENCE, Show, eventually, floods};
use super::shm;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use wayland_client::backend::WaylandError;
use wayland_client::protocol::wl_shm::Format;

const RED: u32 = 0xff0000;
const GREEN: u32 = 0x00ff00;

/// A display with a decent client, which goes on whatever another one does.
struct Neighbour {
    show: Show,
    client: Client,
    window: super::client::Window,
}

impl Neighbour {
    fn start() -> Self {
        let show = Show::start("only-damaged=true", "video/x-raw,width=64,height=48");
        let mut client = Client::connect(show.connect());
        let window = client.full_window(RED);
        show.picture_with("the neighbour", |shot| shot.is_all(RED));
        Self { show, client, window }
    }

    fn lives(mut self) {
        for color in [GREEN, RED, 0x123456] {
            self.window.surface.frame(&self.client.queue(), ());
            let frames = self.client.heard.frames;
            self.client.paint(&self.window.surface, (64, 48), color);
            self.client.until("a frame callback", |heard| heard.frames > frames);
        }
        // It may be below what the other one showed.
        let mut top = Client::connect(self.show.connect());
        top.full_window(GREEN);
        self.show.picture_with("a new window", |shot| shot.is_all(GREEN));
        assert_eq!(self.show.error(), None);
    }
}

/// A request without file descriptors.
fn request(object: u32, opcode: u16, arguments: &[u32]) -> Vec<u8> {
    let length = 8 + 4 * arguments.len() as u32;
    let words = [&[object, length << 16 | u32::from(opcode)], arguments].concat();
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Sends until it is disconnected.
fn send_until_cut(stream: &mut UnixStream, mut next: impl FnMut(u32) -> Vec<u8>) {
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut number = 0;
    loop {
        let bytes: Vec<u8> = (0..256).flat_map(|more| next(number + more)).collect();
        number += 256;
        if let Err(error) = stream.write_all(&bytes) {
            assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
            return;
        }
    }
}

const DISPLAY: u32 = 1;
const SYNC: u16 = 0;
const GET_REGISTRY: u16 = 1;

#[test]
fn who_sends_without_end_is_cut_off() {
    let _alone = floods();
    let neighbour = Neighbour::start();
    let mut client = Client::connect(neighbour.show.connect());
    let window = client.full_window(GREEN);
    client.roundtrip();
    let end = Instant::now() + PATIENCE;
    let error = loop {
        // Nothing answers this.
        for _ in 0..100 {
            window.surface.offset(0, 0);
        }
        match client.connection.flush() {
            Err(WaylandError::Io(error)) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => break error,
            Ok(()) => {}
        }
        assert!(Instant::now() < end, "it is heard forever");
    };
    assert!(error.to_string().contains("Broken pipe"), "{error}");
    drop((client, window));
    neighbour.lives();
}

#[test]
fn who_never_reads_is_cut_off() {
    let _alone = floods();
    let neighbour = Neighbour::start();
    let mut deaf = neighbour.show.connect();
    send_until_cut(&mut deaf, |number| request(DISPLAY, GET_REGISTRY, &[2 + number]));
    neighbour.lives();
}

#[test]
fn who_speaks_no_wayland_is_cut_off() {
    let neighbour = Neighbour::start();
    for bytes in
        [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0; 64], &[0xff; 4096], &request(77, 3, &[1])]
    {
        let mut stranger = neighbour.show.connect();
        stranger.write_all(bytes).unwrap();
        stranger.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // What it is told before the end does not matter.
        _ = stranger
            .read_to_end(&mut Vec::new())
            .map_err(|error| assert_ne!(error.kind(), ErrorKind::WouldBlock));
    }
    neighbour.lives();
}

#[test]
fn half_a_message_waits_and_hurts_nobody() {
    let neighbour = Neighbour::start();
    let mut slow = neighbour.show.connect();
    slow.write_all(&request(DISPLAY, SYNC, &[2])[..6]).unwrap();
    neighbour.lives();
}

#[test]
fn memory_that_is_taken_away_costs_its_owner_the_connection() {
    let neighbour = Neighbour::start();
    let mut client = Client::connect(neighbour.show.connect());
    let window = client.window(None);
    let (file, buffer) = shm::buffer(&client.shm, &client.queue(), (64, 48), GREEN);
    window.surface.attach(Some(&buffer), 0, 0);
    client.roundtrip();
    file.set_len(0).unwrap();
    window.surface.damage_buffer(0, 0, 64, 48);
    window.surface.commit();
    eventually("the end of the connection", || client.events.roundtrip(&mut client.heard).err());
    neighbour.lives();
}

#[test]
fn memory_that_shrinks_to_nothing_costs_its_owner_the_connection() {
    let neighbour = Neighbour::start();
    for size in [0, -1, i32::MIN] {
        let mut client = Client::connect(neighbour.show.connect());
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let pool = client.shm.create_pool(file.as_fd(), 4096, &client.queue(), ());
        pool.resize(size);
        eventually("the end of the connection", || client.events.roundtrip(&mut client.heard).err());
    }
    neighbour.lives();
}

#[test]
fn huge_windows_are_shown_as_far_as_there_is_room() {
    let neighbour = Neighbour::start();
    let mut client = Client::connect(neighbour.show.connect());
    let window = client.window(None);
    let (width, height) = (20_000, 20_000);
    let file = tempfile::tempfile().unwrap();
    file.set_len(width as u64 * height as u64 * 4).unwrap();
    let pool = client.shm.create_pool(file.as_fd(), width * height * 4, &client.queue(), ());
    let buffer = pool.create_buffer(0, width, height, width * 4, Format::Xrgb8888, &client.queue(), ());
    window.surface.attach(Some(&buffer), 0, 0);
    window.surface.damage_buffer(0, 0, i32::MAX, i32::MAX);
    window.surface.commit();
    client.roundtrip();
    neighbour.show.picture_with("the black corner of it", |shot| shot.is_all(0));
    neighbour.lives();
}

#[test]
fn who_hoards_descriptors_is_cut_off_before_there_are_none() {
    let neighbour = Neighbour::start();
    let mut client = Client::connect(neighbour.show.connect());
    let file = tempfile::tempfile().unwrap();
    file.set_len(4096).unwrap();
    let mut pools = Vec::new();
    let end = eventually("the end of the connection", || {
        for _ in 0..16 {
            pools.push(client.shm.create_pool(file.as_fd(), 4096, &client.queue(), ()));
        }
        client.events.roundtrip(&mut client.heard).err()
    });
    assert!(pools.len() < 500, "{} pools, {end}", pools.len());
    neighbour.lives();
}

#[test]
fn who_puts_surfaces_upon_each_other_without_end_is_cut_off() {
    let neighbour = Neighbour::start();
    let mut client = Client::connect(neighbour.show.connect());
    let mut surfaces = vec![client.compositor.create_surface(&client.queue(), ())];
    let end = eventually("the end of the connection", || {
        for _ in 0..16 {
            let queue = client.queue();
            let surface = client.compositor.create_surface(&queue, ());
            client.subcompositor.get_subsurface(&surface, surfaces.last().unwrap(), &queue, ());
            surfaces.push(surface);
        }
        client.events.roundtrip(&mut client.heard).err()
    });
    assert!(surfaces.len() < 700, "{} surfaces, {end}", surfaces.len());
    neighbour.lives();
}

#[test]
fn a_client_that_dies_at_any_moment_is_forgotten() {
    let mut neighbour = Neighbour::start();
    for step in 0..12 {
        let mut client = Client::connect(neighbour.show.connect());
        let window = client.window(None);
        for number in 0..step {
            client.paint(&window.surface, (64, 48), number);
        }
        // Every other one is gone in the middle of a picture that it would have shown next.
        if step % 2 == 1 {
            let (_, buffer) = shm::buffer(&client.shm, &client.queue(), (64, 48), GREEN);
            window.surface.attach(Some(&buffer), 0, 0);
            window.surface.damage_buffer(0, 0, 64, 48);
            client.connection.flush().expect("the compositor reads");
        }
        // Gone without a word, with pictures that nobody has looked at yet.
        drop((client, window));
    }
    neighbour.client.paint(&neighbour.window.surface, (64, 48), 0x778899);
    neighbour.show.picture_with("the neighbour alone", |shot| shot.is_all(0x778899));
    neighbour.lives();
}

#[test]
fn a_flood_does_not_keep_the_display_from_stopping() {
    let _alone = floods();
    let neighbour = Neighbour::start();
    let mut flood = neighbour.show.connect();
    let mut answers = flood.try_clone().unwrap();
    std::thread::spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
    let flooding =
        std::thread::spawn(move || send_until_cut(&mut flood, |n| request(DISPLAY, SYNC, &[2 + n % 2])));
    gst::prelude::ElementExt::set_state(&neighbour.show.pipeline, gst::State::Null).unwrap();
    flooding.join().unwrap();
    assert!(!neighbour.show.socket().exists());
}
