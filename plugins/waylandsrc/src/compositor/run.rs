//! The thread: events in, turns of the state, answers out.

use super::clients::{SharedDisplay, admit};
use super::renderer::Renderer;
use super::state::State;
use super::xwayland::OnX11;
use super::{Choice, Command, Shared, monotonic_now};
use crate::CAT;
use smithay::reexports::calloop::channel::{Channel, Event};
use smithay::reexports::calloop::generic::Generic;
use smithay::reexports::calloop::{EventLoop, Interest, LoopHandle, Mode, PostAction, RegistrationToken};
use smithay::reexports::wayland_server::{Display, ListeningSocket};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// A pause, so that a client that cannot be let in does not keep the thread busy.
const AFTER_REFUSAL: Duration = Duration::from_millis(5);

/// How long Xwayland may take to end.
const XWAYLAND_LIMIT: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);

/// Runs until it is told to stop. `ready` hears when clients can connect, or why they never can.
pub fn run(
    listener: ListeningSocket,
    commands: Channel<Command>,
    shared: Arc<Shared>,
    renderer: Choice,
    on_x11: Option<OnX11>,
    ready: &SyncSender<Result<(), String>>,
) {
    let exchange = Arc::clone(&shared);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let (mut events, mut state, display, _doors) = match prepare(listener, commands, shared, renderer) {
            Ok(prepared) => prepared,
            Err(why) => {
                _ = ready.send(Err(why));
                return Ok(());
            }
        };
        _ = ready.send(Ok(()));
        if let Some(on_x11) = on_x11 {
            state.start_xwayland(&display, on_x11);
        }
        let ended = turn_until_stopped(&mut events, &mut state);
        state.stop_xwayland(&display);
        let_xwayland_go(&mut events, &mut state);
        ended
    }));
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(why)) => exchange.exchange.fail(why),
        Err(_) => exchange.exchange.fail("The compositor's thread panicked".into()),
    }
}

fn turn_until_stopped(events: &mut EventLoop<'static, State>, state: &mut State) -> Result<(), String> {
    while !state.stopped {
        let timeout = state.poll_timeout().map(|at| at.saturating_sub(monotonic_now()));
        events.dispatch(timeout, state).map_err(|error| format!("The compositor cannot wait: {error}"))?;
        state.handle_turn(monotonic_now());
        if let Err(error) = state.display.flush_clients() {
            gst::debug!(CAT, "Not every client takes its events: {error}");
        }
    }
    Ok(())
}

/// Turns until the connection to Xwayland has ended.
fn let_xwayland_go(events: &mut EventLoop<'static, State>, state: &mut State) {
    let deadline = monotonic_now() + XWAYLAND_LIMIT;
    while state.speaks_x11() && monotonic_now() < deadline {
        if events.dispatch(Some(LOOK), state).is_err() {
            break;
        }
    }
    if state.speaks_x11() {
        gst::warning!(CAT, "Xwayland does not end; something of the display stays in memory");
    }
}

/// How others reach the compositor. Whatever becomes of the rest, the socket goes, and who sends commands hears of the end.
struct Doors {
    events: LoopHandle<'static, State>,
    sources: [RegistrationToken; 2],
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.sources.iter().for_each(|source| self.events.remove(*source));
    }
}

fn prepare(
    listener: ListeningSocket,
    commands: Channel<Command>,
    shared: Arc<Shared>,
    renderer: Choice,
) -> Result<(EventLoop<'static, State>, State, SharedDisplay, Doors), String> {
    let events = EventLoop::<State>::try_new().map_err(|error| error.to_string())?;
    let display = Display::<State>::new().map_err(|error| error.to_string())?;
    let handle = events.handle();
    let state = State::new(display.handle(), handle.clone(), shared, Renderer::open(renderer)?)?;
    let told = |event, _: &mut (), state: &mut State| match event {
        Event::Msg(command) => state.handle_command(command),
        Event::Closed => state.stopped = true,
    };
    let commands = handle.insert_source(commands, told).map_err(|error| error.to_string())?;
    let display: SharedDisplay = Rc::new(RefCell::new(display));
    let for_clients = Rc::clone(&display);
    let let_in = move |_, listener: &mut _, state: &mut State| {
        let listener: &ListeningSocket = AsRef::as_ref(listener);
        let let_in_one = |stream| admit(stream, state, &for_clients).map(|()| true);
        match listener.accept().and_then(|stream| stream.map_or(Ok(false), let_in_one)) {
            Ok(_) => {}
            Err(error) => {
                gst::warning!(CAT, "A client could not be let in: {error}");
                // Most likely there are no descriptors; they will not come back at once.
                std::thread::sleep(AFTER_REFUSAL);
            }
        }
        Ok(PostAction::Continue)
    };
    let listening = Generic::new(listener, Interest::READ, Mode::Level);
    let listener = handle.insert_source(listening, let_in).map_err(|error| error.to_string())?;
    Ok((events, state, display, Doors { events: handle, sources: [commands, listener] }))
}
