//! The compositor, on a thread of its own.

mod clients;
mod cursor;
#[cfg(feature = "gles")]
mod dmabuf;
mod drawing;
mod focus;
mod handlers;
mod input;
mod layers;
mod painter;
mod placement;
mod renderer;
mod run;
mod shell;
mod state;
mod surfaces;
mod swapchain;
mod typing;
mod views;
mod windows;
mod xwayland;

use crate::exchange::Exchange;
use crate::input::Input;
use crate::mode::Mode;
use clients::Connections;
pub use renderer::Choice;
use smithay::reexports::calloop::channel::{SyncSender, sync_channel};
use smithay::reexports::wayland_server::{BindError, ListeningSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;
pub use xwayland::OnX11;

/// Sockets that are tried when no name is asked for.
const NUMBERS: std::ops::Range<usize> = 1..1000;

/// Commands that may wait; more of them than a player gives in a second.
const WAITING: usize = 1024;
const UNTIL_NEXT_TRY: Duration = Duration::from_millis(1);

/// The library goes through the surfaces of a window by recursion, and clients say how deep.
const STACK: usize = 16 << 20;

/// How a picture lies in memory.
#[derive(Clone, Debug)]
pub struct Layout {
    pub format: gst_video::VideoFormat,
    pub params: gst::AllocationParams,
}

#[derive(Debug)]
pub enum Command {
    /// A picture is wanted.
    Wake,
    /// How pictures are shown has changed.
    Refresh,
    /// Pictures are wanted again after a pause.
    Resume,
    Configure {
        mode: Mode,
        layout: Layout,
        generation: u64,
    },
    Input(Input),
    Stop,
}

/// What may change while it runs.
#[derive(Debug, Default)]
pub struct Switches {
    pub show_cursor: AtomicBool,
    pub only_damaged: AtomicBool,
}

impl Switches {
    fn shows_cursor(&self) -> bool {
        self.show_cursor.load(Ordering::Relaxed)
    }

    fn only_damaged(&self) -> bool {
        self.only_damaged.load(Ordering::Relaxed)
    }
}

/// What both sides of the thread hold.
#[derive(Debug, Default)]
pub struct Shared {
    pub exchange: Exchange,
    pub connections: Connections,
    pub switches: Arc<Switches>,
}

/// A running compositor. Dropping it ends it, with all of its clients.
#[derive(Debug)]
pub struct Compositor {
    name: String,
    commands: SyncSender<Command>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Compositor {
    /// Returns when clients can connect.
    /// With `on_x11` X11 programs can connect as well, to a display that is ready when it is called.
    pub fn start(
        socket: Option<&str>,
        switches: Arc<Switches>,
        renderer: Choice,
        on_x11: Option<OnX11>,
    ) -> Result<Self, gst::ErrorMessage> {
        let listener = listen(socket)?;
        let name = listener.socket_name().expect("it was bound by a name").to_string_lossy().into_owned();
        let (commands, receiver) = sync_channel(WAITING);
        let shared = Arc::new(Shared { switches, ..Shared::default() });
        let (ready, started) = mpsc::sync_channel(1);
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("wl {name}"))
            .stack_size(STACK)
            .spawn(move || run::run(listener, receiver, theirs, renderer, on_x11, &ready))
            .map_err(|error| gst::error_msg!(gst::ResourceError::Failed, ("No thread: {error}")))?;
        let compositor = Self { name, commands, shared, thread: Some(thread) };
        match started.recv() {
            Ok(Ok(())) => Ok(compositor),
            Ok(Err(why)) => Err(gst::error_msg!(gst::ResourceError::Failed, ("No compositor: {why}"))),
            Err(_) => Err(gst::error_msg!(gst::ResourceError::Failed, ("The compositor ended at once"))),
        }
    }

    /// Of the socket, as clients expect it in WAYLAND_DISPLAY.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn exchange(&self) -> &Exchange {
        &self.shared.exchange
    }

    /// From now on pictures are such.
    pub fn configure(&self, mode: Mode, layout: Layout) {
        let generation = self.exchange().start_generation();
        // Waits while the compositor has much to do: a mode must not get lost.
        self.send(Command::Configure { mode, layout, generation });
    }

    /// Waits until there is room, and for nobody who keeps the compositor from making it.
    fn send(&self, mut command: Command) {
        while let Err(TrySendError::Full(again)) = self.commands.try_send(command) {
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                break;
            }
            command = again;
            self.watch(monotonic_now());
            std::thread::sleep(UNTIL_NEXT_TRY);
        }
    }

    /// Whether the compositor had room for it.
    pub fn input(&self, input: Input) -> bool {
        self.commands.try_send(Command::Input(input)).is_ok()
    }

    /// A picture is wanted.
    pub fn wake(&self) {
        self.notify(Command::Wake);
    }

    /// Switches were turned.
    pub fn refresh(&self) {
        self.notify(Command::Refresh);
    }

    pub fn set_flushing(&self, flushing: bool) {
        if !flushing {
            self.notify(Command::Resume);
        }
        self.exchange().set_flushing(flushing);
    }

    /// In a pause nothing is drawn.
    pub fn set_paused(&self, paused: bool) {
        self.exchange().set_paused(paused);
        if !paused {
            // After it: what wakes before would find that nothing is wanted, and sleep on.
            self.notify(Command::Resume);
        }
    }

    fn notify(&self, command: Command) {
        // A full queue wakes it as well.
        if let Err(TrySendError::Disconnected(_)) = self.commands.try_send(command) {
            self.exchange().fail("The compositor has ended".into());
        }
    }

    /// Disconnects a client that keeps the compositor from everything else.
    pub fn watch(&self, now: Duration) {
        self.shared.connections.watch(now);
    }
}

impl Drop for Compositor {
    fn drop(&mut self) {
        // Who floods the compositor would keep it from reading the command.
        self.shared.connections.close();
        self.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

fn listen(socket: Option<&str>) -> Result<ListeningSocket, gst::ErrorMessage> {
    let bound = match socket {
        Some(name) => ListeningSocket::bind(name),
        None => ListeningSocket::bind_auto("wayland", NUMBERS),
    };
    bound.map_err(|error| match (error, socket) {
        (BindError::RuntimeDirNotSet, _) => gst::error_msg!(
            gst::ResourceError::NotFound,
            ("XDG_RUNTIME_DIR is not set to an absolute path; it says where Wayland sockets are")
        ),
        (BindError::PermissionDenied, _) => gst::error_msg!(
            gst::ResourceError::OpenWrite,
            ("Cannot create a socket in XDG_RUNTIME_DIR: the folder is missing or not writable")
        ),
        (BindError::AlreadyInUse, Some(name)) => {
            gst::error_msg!(gst::ResourceError::Busy, ("Somebody else uses the Wayland socket {name}"))
        }
        (BindError::AlreadyInUse, None) => {
            gst::error_msg!(gst::ResourceError::Busy, ("All names of Wayland sockets are in use"))
        }
        (BindError::Io(error), _) => {
            gst::error_msg!(gst::ResourceError::OpenReadWrite, ("Cannot create a Wayland socket: {error}"))
        }
    })
}

/// Time of the monotonic clock, which is that of GStreamer's system clock too.
pub fn monotonic_now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
