//! Connections of clients, each dispatched on its own, so that the one that floods is known.

use super::{monotonic_now, state::State};
use crate::CAT;
use rustix::net::{Shutdown, shutdown};
use smithay::reexports::calloop::{Interest, Mode, PostAction, generic::Generic};
use smithay::reexports::wayland_protocols::wp::linux_dmabuf::zv1::server::zwp_linux_buffer_params_v1::ZwpLinuxBufferParamsV1;
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_popup::XdgPopup;
use smithay::reexports::wayland_server::backend::{ClientData, ClientId, DisconnectReason};
use smithay::reexports::wayland_server::protocol::{
    wl_buffer::WlBuffer, wl_shm_pool::WlShmPool, wl_subsurface::WlSubsurface,
};
use smithay::reexports::wayland_server::{self, Display, DisplayHandle, Resource};
use smithay::wayland::compositor::CompositorClientState;
use std::cell::RefCell;
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// For so long a client may send without a pause before it is disconnected.
const PATIENCE: Duration = Duration::from_millis(500);

/// Clients of one display.
const MOST: usize = 256;

/// Pools and buffers of one client. Programs have a handful for each window.
const MOST_SHARED: usize = 300;
const COUNTED_EVERY: u32 = 32;

/// Descriptors of a buffer of a GPU that is not there yet.
const MOST_PLANES: usize = 4;

/// Surfaces of one client upon others. The library goes through them by recursion.
const MOST_NESTED: usize = 500;

/// Objects of one client, looked at so often.
const MOST_OBJECTS: usize = 50_000;
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What is known of a client. Its socket is shared with the protocol's library.
#[derive(Debug)]
pub struct Client {
    pub compositor: CompositorClientState,
    socket: Arc<UnixStream>,
    /// Requests to share memory since its objects were counted.
    uncounted: AtomicU32,
    /// Surfaces that were put upon others since they were counted.
    unnested: AtomicU32,
}

impl Client {
    /// Counts what it shares, every so often.
    pub fn shares_too_much(&self, display: &DisplayHandle, client: &wayland_server::Client) -> bool {
        if !is_due(&self.uncounted) {
            return false;
        }
        let shared = |name: &str| {
            if name == ZwpLinuxBufferParamsV1::interface().name {
                MOST_PLANES
            } else {
                usize::from(name == WlShmPool::interface().name || name == WlBuffer::interface().name)
            }
        };
        count_objects(display, client.id(), shared) > MOST_SHARED
    }

    /// Counts surfaces upon others, every so often.
    pub fn nests_too_much(&self, display: &DisplayHandle, client: &wayland_server::Client) -> bool {
        if !is_due(&self.unnested) {
            return false;
        }
        let nested = |name: &str| {
            usize::from(name == WlSubsurface::interface().name || name == XdgPopup::interface().name)
        };
        count_objects(display, client.id(), nested) > MOST_NESTED
    }
}

fn is_due(uncounted: &AtomicU32) -> bool {
    let due = uncounted.fetch_add(1, Ordering::Relaxed) >= COUNTED_EVERY;
    if due {
        uncounted.store(0, Ordering::Relaxed);
    }
    due
}

/// Objects of a client, by what each counts.
fn count_objects(display: &DisplayHandle, client: ClientId, weight: impl Fn(&str) -> usize) -> usize {
    let mut count = 0;
    // Who is gone has none.
    _ = display.backend_handle().with_all_objects_for(client, |object| {
        count += weight(object.interface().name);
    });
    count
}

impl ClientData for Client {
    fn disconnected(&self, id: ClientId, reason: DisconnectReason) {
        gst::debug!(CAT, "Client {id:?} is gone: {reason:?}");
        // Ours is a second descriptor of its connection, without which it would not notice.
        close(&self.socket);
    }
}

pub fn close(socket: &UnixStream) {
    // One that is closed already is closed.
    _ = shutdown(socket, Shutdown::Both);
}

/// The sockets of all clients, for other threads than the compositor's.
#[derive(Debug, Default)]
pub struct Connections {
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    closed: bool,
    sockets: Vec<Arc<UnixStream>>,
    own: Vec<Arc<UnixStream>>,
    /// Who is listened to, and since when.
    speaking: Option<(Arc<UnixStream>, Duration)>,
}

impl Connections {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }

    /// Disconnects who has spoken for too long.
    pub fn watch(&self, now: Duration) {
        let mut content = self.content();
        if let Some((socket, _)) =
            content.speaking.take_if(|(_, since)| now.saturating_sub(*since) > PATIENCE)
        {
            gst::warning!(CAT, "A client sends without end and is disconnected");
            close(&socket);
        }
    }

    /// Disconnects everybody, now and later.
    pub fn close(&self) {
        let mut content = self.content();
        content.closed = true;
        content.sockets.iter().chain(&content.own).for_each(|socket| close(socket));
    }

    pub fn are_closed(&self) -> bool {
        self.content().closed
    }

    /// One that no client made, which ends with theirs.
    pub fn add_own(&self, socket: &Arc<UnixStream>) {
        let mut content = self.content();
        content.own.push(Arc::clone(socket));
        if content.closed {
            close(socket);
        }
    }

    pub fn remove_own(&self, socket: Option<Arc<UnixStream>>) {
        self.content().own.retain(|other| !socket.as_ref().is_some_and(|socket| Arc::ptr_eq(other, socket)));
    }

    fn add(&self, socket: &Arc<UnixStream>) -> bool {
        let mut content = self.content();
        let taken = !content.closed && content.sockets.len() < MOST;
        if taken {
            content.sockets.push(Arc::clone(socket));
        }
        taken
    }

    fn remove(&self, socket: &Arc<UnixStream>) {
        self.content().sockets.retain(|other| !Arc::ptr_eq(other, socket));
    }

    fn set_speaking(&self, speaking: Option<(Arc<UnixStream>, Duration)>) {
        self.content().speaking = speaking;
    }
}

pub type SharedDisplay = Rc<RefCell<Display<State>>>;

/// Lets a client in.
pub fn admit(stream: UnixStream, state: &mut State, display: &SharedDisplay) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let socket = Arc::new(stream.try_clone()?);
    let shared = Arc::clone(&state.shared);
    if !shared.connections.add(&socket) {
        gst::warning!(CAT, "A client is refused: {MOST} are there");
        return Ok(());
    }
    let data = Arc::new(Client {
        compositor: CompositorClientState::default(),
        socket: Arc::clone(&socket),
        uncounted: AtomicU32::new(0),
        unnested: AtomicU32::new(0),
    });
    let client = state.display.insert_client(stream, data)?;
    let (id, display) = (client.id(), Rc::clone(display));
    let readable = Generic::new(Arc::clone(&socket), Interest::READ, Mode::Level);
    let mut looked = monotonic_now();
    let listen = move |_, _: &mut _, state: &mut State| {
        shared.connections.set_speaking(Some((Arc::clone(&socket), monotonic_now())));
        let heard = display.borrow_mut().backend().dispatch_single_client(state, id.clone());
        shared.connections.set_speaking(None);
        let now = monotonic_now();
        if now.saturating_sub(looked) > LOOK_INTERVAL {
            looked = now;
            if count_objects(&state.display, id.clone(), |_| 1) > MOST_OBJECTS {
                gst::warning!(CAT, "A client has too many objects and is disconnected");
                close(&socket);
            }
        }
        match heard {
            Ok(_) => Ok(PostAction::Continue),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(PostAction::Continue),
            Err(_) => {
                shared.connections.remove(&socket);
                state.handle_departure();
                Ok(PostAction::Remove)
            }
        }
    };
    state.events.insert_source(readable, listen).map_err(|error| io::Error::other(error.error))?;
    Ok(())
}
