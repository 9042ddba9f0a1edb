//! A small client whose windows have one color each.

use super::shm;
use super::speech::Speech;
use std::os::unix::net::UnixStream;
use std::time::Instant;
use wayland_client::globals::{GlobalList, GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_registry::WlRegistry;
use wayland_client::protocol::{
    wl_buffer::WlBuffer, wl_callback, wl_callback::WlCallback, wl_compositor::WlCompositor, wl_shm::WlShm,
    wl_shm_pool::WlShmPool, wl_subcompositor::WlSubcompositor, wl_subsurface::WlSubsurface,
    wl_surface::WlSurface,
};
use wayland_client::{Connection, Dispatch, EventQueue, Proxy, QueueHandle, delegate_noop};
use wayland_protocols::wp::presentation_time::client::{
    wp_presentation::{self, WpPresentation},
    wp_presentation_feedback::{self, WpPresentationFeedback},
};
use wayland_protocols::xdg::shell::client::{
    xdg_popup::XdgPopup,
    xdg_positioner::{Anchor, Gravity, XdgPositioner},
    xdg_surface::{self, XdgSurface},
    xdg_toplevel::{self, XdgToplevel},
    xdg_wm_base::{self, XdgWmBase},
};

use super::harness::PATIENCE;

/// What the compositor said about a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    Presented { nanos: u64, refresh: u32, number: u64 },
    Discarded,
}

#[derive(Default)]
pub struct Heard {
    /// The size that each toplevel was asked to take, in the order of creation.
    pub sizes: Vec<(i32, i32)>,
    states: Vec<Vec<u8>>,
    configured: Vec<XdgSurface>,
    pub frames: usize,
    pub feedback: Vec<Feedback>,
    pub clock: Option<u32>,
    pub popup_done: usize,
    /// What is said in the protocols that few tests speak.
    pub speech: Speech,
}

pub struct Client {
    pub connection: Connection,
    pub events: EventQueue<Heard>,
    pub globals: GlobalList,
    pub heard: Heard,
    pub compositor: WlCompositor,
    pub subcompositor: WlSubcompositor,
    pub shm: WlShm,
    pub shell: XdgWmBase,
    pub presentation: WpPresentation,
    toplevels: usize,
}

pub struct Window {
    pub surface: WlSurface,
    pub shell_surface: XdgSurface,
    pub toplevel: XdgToplevel,
    number: usize,
}

impl Client {
    pub fn connect(stream: UnixStream) -> Self {
        let connection = Connection::from_socket(stream).expect("a connection");
        let (globals, events) = registry_queue_init::<Heard>(&connection).expect("globals");
        let queue = events.handle();
        Self {
            compositor: globals.bind(&queue, 5..=5, ()).expect("wl_compositor"),
            subcompositor: globals.bind(&queue, 1..=1, ()).expect("wl_subcompositor"),
            shm: globals.bind(&queue, 1..=1, ()).expect("wl_shm"),
            shell: globals.bind(&queue, 3..=3, ()).expect("xdg_wm_base"),
            presentation: globals.bind(&queue, 1..=1, ()).expect("wp_presentation"),
            connection,
            events,
            globals,
            heard: Heard::default(),
            toplevels: 0,
        }
    }

    pub fn queue(&self) -> QueueHandle<Heard> {
        self.events.handle()
    }

    pub fn roundtrip(&mut self) {
        self.events.roundtrip(&mut self.heard).expect("the compositor answers");
    }

    /// Handles events until something was heard.
    pub fn until(&mut self, what: &str, heard: impl Fn(&Heard) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !heard(&self.heard) {
            assert!(Instant::now() < end, "never heard: {what}");
            self.roundtrip();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// A toplevel that shows nothing yet; configured.
    pub fn window(&mut self, parent: Option<&Window>) -> Window {
        let queue = self.queue();
        let surface = self.compositor.create_surface(&queue, ());
        let shell_surface = self.shell.get_xdg_surface(&surface, &queue, ());
        let number = self.toplevels;
        self.toplevels += 1;
        let toplevel = shell_surface.get_toplevel(&queue, number);
        toplevel.set_parent(parent.map(|parent| &parent.toplevel));
        surface.commit();
        let known = shell_surface.clone();
        self.until("a configure", |heard| heard.configured.contains(&known));
        Window { surface, shell_surface, toplevel, number }
    }

    /// A window of the size that it is asked to have.
    pub fn full_window(&mut self, color: u32) -> Window {
        let window = self.window(None);
        let size = self.asked(&window);
        self.paint(&window.surface, size, color);
        window
    }

    pub fn asked(&self, window: &Window) -> (i32, i32) {
        self.heard.sizes[window.number]
    }

    pub fn is_fullscreen(&self, window: &Window) -> bool {
        let states = self.heard.states[window.number].chunks_exact(4);
        let fullscreen = xdg_toplevel::State::Fullscreen as u32;
        states.map(|state| u32::from_ne_bytes(state.try_into().unwrap())).any(|state| state == fullscreen)
    }

    pub fn paint(&mut self, surface: &WlSurface, size: (i32, i32), color: u32) {
        let (_, buffer) = shm::buffer(&self.shm, &self.queue(), size, color);
        surface.attach(Some(&buffer), 0, 0);
        surface.damage_buffer(0, 0, size.0, size.1);
        surface.commit();
        self.connection.flush().expect("the compositor reads");
    }

    /// A part of a window.
    pub fn part(&mut self, parent: &WlSurface, at: (i32, i32), size: (i32, i32), color: u32) -> WlSurface {
        let queue = self.queue();
        let surface = self.compositor.create_surface(&queue, ());
        let part = self.subcompositor.get_subsurface(&surface, parent, &queue, ());
        part.set_position(at.0, at.1);
        part.set_desync();
        self.paint(&surface, size, color);
        surface
    }

    /// A menu at a place of the window; not larger than the output and moved to be on it.
    pub fn menu(
        &mut self,
        window: &Window,
        at: (i32, i32),
        size: (i32, i32),
        color: u32,
    ) -> (WlSurface, XdgPopup) {
        let queue = self.queue();
        let positioner = self.shell.create_positioner(&queue, ());
        positioner.set_size(size.0, size.1);
        positioner.set_anchor_rect(at.0, at.1, 1, 1);
        positioner.set_anchor(Anchor::TopLeft);
        positioner.set_gravity(Gravity::BottomRight);
        positioner.set_constraint_adjustment(
            wayland_protocols::xdg::shell::client::xdg_positioner::ConstraintAdjustment::SlideX
                | wayland_protocols::xdg::shell::client::xdg_positioner::ConstraintAdjustment::SlideY,
        );
        let surface = self.compositor.create_surface(&queue, ());
        let shell_surface = self.shell.get_xdg_surface(&surface, &queue, ());
        let popup = shell_surface.get_popup(Some(&window.shell_surface), &positioner, &queue, ());
        surface.commit();
        let known = shell_surface.clone();
        self.until("a configure of the menu", |heard| heard.configured.contains(&known));
        self.paint(&surface, size, color);
        (surface, popup)
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for Heard {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: <WlRegistry as Proxy>::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

impl Dispatch<XdgWmBase, ()> for Heard {
    fn event(
        _: &mut Self,
        shell: &XdgWmBase,
        event: xdg_wm_base::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_wm_base::Event::Ping { serial } = event {
            shell.pong(serial);
        }
    }
}

impl Dispatch<XdgSurface, ()> for Heard {
    fn event(
        heard: &mut Self,
        surface: &XdgSurface,
        event: xdg_surface::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_surface::Event::Configure { serial } = event {
            surface.ack_configure(serial);
            heard.configured.push(surface.clone());
        }
    }
}

impl Dispatch<XdgToplevel, usize> for Heard {
    fn event(
        heard: &mut Self,
        _: &XdgToplevel,
        event: xdg_toplevel::Event,
        number: &usize,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_toplevel::Event::Configure { width, height, states } = event {
            let count = heard.sizes.len().max(number + 1);
            heard.sizes.resize(count, (0, 0));
            heard.states.resize(count, Vec::new());
            heard.sizes[*number] = (width, height);
            heard.states[*number] = states;
        }
    }
}

impl Dispatch<WlCallback, ()> for Heard {
    fn event(
        heard: &mut Self,
        _: &WlCallback,
        event: wl_callback::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_callback::Event::Done { .. } = event {
            heard.frames += 1;
        }
    }
}

impl Dispatch<WpPresentation, ()> for Heard {
    fn event(
        heard: &mut Self,
        _: &WpPresentation,
        event: wp_presentation::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wp_presentation::Event::ClockId { clk_id } = event {
            heard.clock = Some(clk_id);
        }
    }
}

impl Dispatch<WpPresentationFeedback, ()> for Heard {
    fn event(
        heard: &mut Self,
        _: &WpPresentationFeedback,
        event: wp_presentation_feedback::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use wp_presentation_feedback::Event;
        match event {
            Event::Presented { tv_sec_hi, tv_sec_lo, tv_nsec, refresh, seq_hi, seq_lo, .. } => {
                let seconds = u64::from(tv_sec_hi) << 32 | u64::from(tv_sec_lo);
                let nanos = seconds * 1_000_000_000 + u64::from(tv_nsec);
                let number = u64::from(seq_hi) << 32 | u64::from(seq_lo);
                heard.feedback.push(Feedback::Presented { nanos, refresh, number });
            }
            Event::Discarded => heard.feedback.push(Feedback::Discarded),
            _ => {}
        }
    }
}

impl Dispatch<XdgPopup, ()> for Heard {
    fn event(
        heard: &mut Self,
        _: &XdgPopup,
        event: wayland_protocols::xdg::shell::client::xdg_popup::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wayland_protocols::xdg::shell::client::xdg_popup::Event::PopupDone = event {
            heard.popup_done += 1;
        }
    }
}

delegate_noop!(Heard: WlCompositor);
delegate_noop!(Heard: WlSubcompositor);
delegate_noop!(Heard: WlSubsurface);
delegate_noop!(Heard: WlShmPool);
delegate_noop!(Heard: XdgPositioner);
delegate_noop!(Heard: ignore WlShm);
delegate_noop!(Heard: ignore WlBuffer);
delegate_noop!(Heard: ignore WlSurface);
