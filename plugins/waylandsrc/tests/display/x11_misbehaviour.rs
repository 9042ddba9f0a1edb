//! X11 programs that do wrong hurt themselves, and the other X11 programs of their display at most: they have one server.

use super::client::Client;
use super::harness::{PATIENCE, Show, eventually, floods};
use super::x11::start;
use gst::prelude::*;
use smithay::reexports::x11rb;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;
use x11rb::connection::Connection;
use x11rb::errors::ReplyOrIdError;
use x11rb::protocol::xproto::{
    ClientMessageEvent, ConnectionExt, CreateWindowAux, EventMask, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;

const GREEN: u32 = 0x00ff00;

/// A program that does the same over and over until the test has seen enough or its server ends it.
struct Flood {
    enough: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

struct Program {
    connection: RustConnection,
    root: Window,
    window: Window,
}

impl Program {
    fn connect(display: &str) -> Self {
        let (connection, screen) = RustConnection::connect(Some(display)).expect("Xwayland answers");
        let root = connection.setup().roots[screen].root;
        let program = Self { connection, root, window: 0 };
        let window = program.window(WindowAttributes::Managed).expect("a window");
        Self { window, ..program }
    }

    fn window(&self, kind: WindowAttributes) -> Result<Window, ReplyOrIdError> {
        let id = self.connection.generate_id()?;
        let own_place = u32::from(kind == WindowAttributes::OverrideRedirect);
        let aux = CreateWindowAux::new().override_redirect(own_place).background_pixel(0xff00ff);
        let class = WindowClass::INPUT_OUTPUT;
        self.connection.create_window(24, id, self.root, 1, 1, 8, 8, 0, class, 0, &aux)?;
        Ok(id)
    }

    fn message(&self, name: &str) -> Result<ClientMessageEvent, ReplyOrIdError> {
        let atom = self.connection.intern_atom(false, name.as_bytes())?.reply()?.atom;
        Ok(ClientMessageEvent::new(32, self.window, atom, [1, 0, 0, 0, 0]))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum WindowAttributes {
    Managed,
    OverrideRedirect,
}

impl Flood {
    fn start(
        display: &str,
        mut once: impl FnMut(&Program) -> Result<(), ReplyOrIdError> + Send + 'static,
    ) -> Self {
        let (enough, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stop, count) = (enough.clone(), done.clone());
        let program = Program::connect(display);
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) && once(&program).is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { enough, done, thread: Some(thread) }
    }

    fn until(&self, times: u64) {
        eventually("the flood", || {
            let over = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
            (over || self.done.load(Ordering::Relaxed) >= times).then_some(())
        });
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("nobody else takes it");
        assert!(thread.join().is_ok() || std::thread::panicking());
    }
}

/// A display with a decent client, which goes on whatever an X11 program does.
fn beside(flood: impl FnOnce(&str) -> Flood, times: u64) {
    let _alone = floods();
    let (show, display) = start("video/x-raw,width=64,height=48");
    let mut client = Client::connect(show.connect());
    let window = client.full_window(0xff0000);
    show.picture_with("the client", |shot| shot.is_all(0xff0000));
    let flood = flood(&display);
    flood.until(times);
    goes_on(&show, &mut client, &window);
    flood.until(2 * times);
    goes_on(&show, &mut client, &window);
    let begun = Instant::now();
    show.pipeline.set_state(gst::State::Null).unwrap();
    assert!(begun.elapsed() < PATIENCE / 3, "it stops only after {:?}", begun.elapsed());
    assert!(!show.socket().exists());
}

fn goes_on(show: &Show, client: &mut Client, window: &super::client::Window) {
    for color in [GREEN, 0x123456] {
        window.surface.frame(&client.queue(), ());
        let frames = client.heard.frames;
        client.paint(&window.surface, (64, 48), color);
        client.until("a frame callback", |heard| heard.frames > frames);
    }
    let mut top = Client::connect(show.connect());
    top.full_window(GREEN);
    show.picture_with("a new window", |shot| shot.count(GREEN) > 64 * 48 / 2);
    assert_eq!(show.error(), None);
}

#[test]
fn who_tells_the_window_manager_without_end_hurts_nobody_else() {
    let flood = |display: &str| {
        let mut message = None;
        Flood::start(display, move |program| {
            if message.is_none() {
                message = Some(program.message("_NET_WM_STATE")?);
            }
            let to_managers = EventMask::SUBSTRUCTURE_REDIRECT | EventMask::SUBSTRUCTURE_NOTIFY;
            program.connection.send_event(false, program.root, to_managers, message.unwrap())?;
            Ok(())
        })
    };
    beside(flood, 100_000);
}

#[test]
fn who_shows_and_hides_a_window_without_end_hurts_nobody_else() {
    let flood = |display: &str| {
        let mut window = None;
        Flood::start(display, move |program| {
            if window.is_none() {
                window = Some(program.window(WindowAttributes::OverrideRedirect)?);
            }
            program.connection.map_window(window.unwrap())?;
            program.connection.unmap_window(window.unwrap())?;
            Ok(())
        })
    };
    beside(flood, 20_000);
}

#[test]
fn who_asks_for_a_place_without_end_hurts_nobody_else() {
    let flood = |display: &str| {
        Flood::start(display, |program| {
            program.connection.map_window(program.window)?;
            program.connection.unmap_window(program.window)?;
            Ok(())
        })
    };
    beside(flood, 20_000);
}

#[test]
fn who_opens_windows_without_end_hurts_nobody_else() {
    for kind in [WindowAttributes::OverrideRedirect, WindowAttributes::Managed] {
        let flood = move |display: &str| {
            Flood::start(display, move |program| {
                let window = program.window(kind)?;
                program.connection.map_window(window)?;
                program.connection.flush()?;
                Ok(())
            })
        };
        beside(flood, 2000);
    }
}
