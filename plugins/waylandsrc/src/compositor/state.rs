//! Everything that the compositor's thread owns.

use super::drawing::{Scene, tell_cursor};
use super::renderer::{Failure, Renderer};
use super::typing::Typing;
use super::views::{send_frame, take_feedback};
use super::xwayland::X11;
use super::{Command, Layout, Shared, cursor::Cursor, painter::Painter, windows::Windows};
use crate::exchange::Picture;
use crate::mode::{Mode, Pace, Schedule, Tick};
use crate::{CAT, compositor::monotonic_now};
use smithay::desktop::PopupManager;
use smithay::desktop::layer_map_for_output;
use smithay::desktop::utils::OutputPresentationFeedback;
use smithay::input::keyboard::{KeyboardHandle, XkbConfig};
use smithay::input::pointer::PointerHandle;
use smithay::input::touch::TouchHandle;
use smithay::input::{Seat, SeatState};
use smithay::output::{self, Output, PhysicalProperties, Scale, Subpixel};
use smithay::reexports::calloop::LoopHandle;
use smithay::reexports::wayland_protocols::wp::presentation_time::server::wp_presentation_feedback::Kind;
use smithay::reexports::wayland_server::protocol::wl_surface::WlSurface;
use smithay::reexports::wayland_server::{DisplayHandle, backend::GlobalId};
use smithay::utils::{Logical, Monotonic, Size, Time, Transform};
use smithay::wayland::compositor::{CompositorState, SurfaceData};
#[cfg(feature = "gles")]
use smithay::wayland::dmabuf::DmabufState;
use smithay::wayland::fractional_scale::FractionalScaleManagerState;
use smithay::wayland::output::OutputManagerState;
use smithay::wayland::pointer_constraints::PointerConstraintsState;
use smithay::wayland::presentation::{PresentationState, Refresh};
use smithay::wayland::relative_pointer::RelativePointerManagerState;
use smithay::wayland::selection::data_device::DataDeviceState;
use smithay::wayland::selection::primary_selection::PrimarySelectionState;
use smithay::wayland::shell::wlr_layer::WlrLayerShellState;
use smithay::wayland::shell::xdg::{XdgShellState, decoration::XdgDecorationState};
use smithay::wayland::shm::ShmState;
use smithay::wayland::single_pixel_buffer::SinglePixelBufferState;
use smithay::wayland::viewporter::ViewporterState;
use std::sync::Arc;
use std::time::Duration;

/// While nobody looks, clients draw so often: they stay alive, and cost nothing.
const UNSEEN_INTERVAL: Duration = Duration::from_secs(1);

/// Keys repeat like on other desktops.
const REPEAT_DELAY_MS: i32 = 400;
const REPEAT_PER_SECOND: i32 = 30;

/// What clients are offered, by protocol.
pub struct Protocols {
    pub compositor: CompositorState,
    pub xdg_shell: XdgShellState,
    pub layer_shell: WlrLayerShellState,
    pub shm: ShmState,
    pub data_device: DataDeviceState,
    pub primary_selection: PrimarySelectionState,
    #[cfg(feature = "gles")]
    pub dmabuf: DmabufState,
    /// Of those that need no state of ours.
    _globals: Vec<GlobalId>,
}

impl Protocols {
    fn new(display: &DisplayHandle, renderer: &mut Renderer) -> Self {
        /// CLOCK_MONOTONIC.
        const CLOCK: u32 = 1;
        Self {
            compositor: CompositorState::new::<State>(display),
            xdg_shell: XdgShellState::new::<State>(display),
            layer_shell: WlrLayerShellState::new::<State>(display),
            shm: ShmState::new::<State>(display, renderer.shm_formats()),
            data_device: DataDeviceState::new::<State>(display),
            primary_selection: PrimarySelectionState::new::<State>(display),
            #[cfg(feature = "gles")]
            dmabuf: super::dmabuf::offer(display, renderer),
            _globals: vec![
                XdgDecorationState::new::<State>(display).global(),
                ViewporterState::new::<State>(display).global(),
                SinglePixelBufferState::new::<State>(display).global(),
                FractionalScaleManagerState::new::<State>(display).global(),
                PresentationState::new::<State>(display, CLOCK).global(),
                PointerConstraintsState::new::<State>(display).global(),
                RelativePointerManagerState::new::<State>(display).global(),
                OutputManagerState::new_with_xdg_output::<State>(display)
                    .xdg_output_manager_global()
                    .expect("asked for"),
            ],
        }
    }
}

pub struct State {
    pub display: DisplayHandle,
    /// Where sources come and go. Held here alone: a source that held it would keep the loop, and itself, forever.
    pub events: LoopHandle<'static, State>,
    pub shared: Arc<Shared>,
    pub protocols: Protocols,
    pub seat_state: SeatState<State>,
    pub seat: Seat<State>,
    pub keyboard: KeyboardHandle<State>,
    pub pointer: PointerHandle<State>,
    pub touch: TouchHandle<State>,
    pub output: Output,
    pub windows: Windows,
    pub popups: PopupManager,
    pub cursor: Cursor,
    pub typing: Typing,
    pub x11: Option<X11>,
    pub mode: Mode,
    pub stopped: bool,
    pub renderer: Renderer,
    schedule: Schedule,
    generation: u64,
    /// Draws since pictures were asked for.
    painter: Option<Painter>,
    /// Something may look different, or a client waits to be told that it was shown.
    dirty: bool,
    /// The same since clients were told to go on unseen.
    unseen: bool,
    told: Duration,
}

impl State {
    pub fn new(
        display: DisplayHandle,
        events: LoopHandle<'static, Self>,
        shared: Arc<Shared>,
        mut renderer: Renderer,
    ) -> Result<Self, String> {
        let mut seat_state = SeatState::new();
        let mut seat = seat_state.new_wl_seat(&display, "seat0");
        let keyboard = seat
            .add_keyboard(XkbConfig::default(), REPEAT_DELAY_MS, REPEAT_PER_SECOND)
            .map_err(|error| format!("no keyboard layout: {error}. Is xkb-data installed?"))?;
        let (pointer, touch) = (seat.add_pointer(), seat.add_touch());
        let mode = Mode::DEFAULT;
        let output = new_output(&display);
        let state = Self {
            protocols: Protocols::new(&display, &mut renderer),
            display,
            events,
            shared,
            seat_state,
            seat,
            keyboard,
            pointer,
            touch,
            output,
            windows: Windows::default(),
            popups: PopupManager::default(),
            cursor: Cursor::default(),
            typing: Typing::default(),
            x11: None,
            mode,
            stopped: false,
            renderer,
            schedule: Schedule::new(mode.rate, monotonic_now()),
            generation: 0,
            painter: None,
            dirty: true,
            unseen: true,
            told: Duration::ZERO,
        };
        state.announce_mode();
        Ok(state)
    }

    /// In pixels, which are what clients count in too.
    pub fn size(&self) -> Size<i32, Logical> {
        Size::from((self.mode.width, self.mode.height))
    }

    pub fn handle_change(&mut self) {
        (self.dirty, self.unseen) = (true, true);
    }

    pub fn handle_command(&mut self, command: Command) {
        match command {
            Command::Wake => {}
            Command::Refresh => self.dirty = true,
            Command::Resume => self.schedule.handle_pause(monotonic_now()),
            Command::Configure { mode, layout, generation } => self.configure(mode, layout, generation),
            Command::Input(input) => self.handle_input(input),
            Command::Stop => self.stopped = true,
        }
    }

    fn configure(&mut self, mode: Mode, layout: Layout, generation: u64) {
        gst::debug!(CAT, "Mode is {mode:?}, {:?}", layout.format);
        self.generation = generation;
        self.painter = Some(Painter::new(mode, layout));
        if mode != self.mode {
            let old = std::mem::replace(&mut self.mode, mode);
            self.schedule = Schedule::new(mode.rate, monotonic_now());
            self.announce_mode();
            // Rates may differ by less than what clients are told of them.
            if output_mode(old) != output_mode(mode) {
                self.output.delete_mode(output_mode(old));
            }
            layer_map_for_output(&self.output).arrange();
            self.configure_windows();
        }
        self.dirty = true;
    }

    fn announce_mode(&self) {
        let mode = output_mode(self.mode);
        let (transform, scale) = (Transform::Normal, Scale::Integer(1));
        self.output.change_current_state(Some(mode), Some(transform), Some(scale), Some((0, 0).into()));
        self.output.set_preferred(mode);
    }

    /// When `handle_turn` wants to be called if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.painter.is_some() && self.shared.exchange.is_wanted() {
            let due = self.dirty || !self.shared.switches.only_damaged();
            return due.then(|| self.schedule.poll_timeout());
        }
        self.unseen.then(|| self.told + UNSEEN_INTERVAL)
    }

    pub fn handle_turn(&mut self, now: Duration) {
        self.popups.cleanup();
        if let Some(x11) = &self.x11 {
            self.find_x11_surfaces(&x11.server.clone());
        }
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        if self.painter.is_some() && self.shared.exchange.is_wanted() {
            // Who gets every tick waits for it in a sink's queue at times.
            let pace = if self.shared.switches.only_damaged() { Pace::Newest } else { Pace::Every };
            if let Some(tick) = self.schedule.poll_tick(now, pace) {
                self.schedule.handle_used(tick);
                self.show(tick);
            }
        } else {
            self.tell_clients(now, None);
        }
    }

    fn show(&mut self, tick: Tick) {
        let drawn_at = monotonic_now();
        let painted = self.paint();
        // What clients drew is on no picture yet when there is none, and is tried again with the next.
        let shown = painted.is_ok().then_some(tick);
        match painted {
            Ok(Some(buffer)) => self.give(buffer, tick, drawn_at),
            Ok(None) if self.shared.switches.only_damaged() => {}
            Ok(None) => {
                if let Some(buffer) = self.painter.as_ref().and_then(Painter::last) {
                    self.give(buffer, tick, drawn_at);
                }
            }
            Err(Failure::Picture(why)) => gst::info!(CAT, "A picture could not be drawn: {why}"),
            Err(Failure::Renderer(why)) => {
                self.painter = None;
                self.shared.exchange.fail(format!("Nothing can be drawn any more: {why}"));
            }
        }
        self.tell_clients(monotonic_now(), shown);
    }

    fn paint(&mut self) -> Result<Option<gst::Buffer>, Failure> {
        let shows_cursor = self.shared.switches.shows_cursor() && self.cursor.used;
        let cursor = shows_cursor.then(|| (&self.cursor, self.pointer.current_location()));
        let scene = Scene { windows: &self.windows, output: &self.output, size: self.size(), cursor };
        let painter = self.painter.as_mut().expect("asked before");
        self.renderer.paint(painter, &scene)
    }

    fn give(&self, buffer: gst::Buffer, tick: Tick, drawn: Duration) {
        self.shared.exchange.give(Picture { buffer, tick, drawn, generation: self.generation });
    }

    /// Tells clients that what they drew was shown, and that now is the time for the next.
    fn tell_clients(&mut self, now: Duration, shown: Option<Tick>) {
        (self.dirty, self.unseen, self.told) = (self.dirty && shown.is_none(), false, now);
        let output = self.output.clone();
        let here = |_: &WlSurface, _: &SurfaceData| Some(output.clone());
        if let Some(tick) = shown {
            let mut feedback = OutputPresentationFeedback::new(&output);
            let how = |_: &WlSurface, _: &SurfaceData| Kind::Vsync;
            for window in self.windows.iter() {
                take_feedback(window, &mut feedback, &output);
            }
            for layer in layer_map_for_output(&output).layers() {
                layer.take_presentation_feedback(&mut feedback, here, how);
            }
            let refresh = Refresh::fixed(self.mode.rate.interval());
            feedback.presented(Time::<Monotonic>::from(now), refresh, tick.number, Kind::Vsync);
        }
        for window in self.windows.iter() {
            send_frame(window, &output, now);
        }
        for layer in layer_map_for_output(&output).layers() {
            layer.send_frame(&output, now, None, here);
        }
        tell_cursor(&self.cursor, &output, now);
    }
}

fn new_output(display: &DisplayHandle) -> Output {
    let physical = PhysicalProperties {
        // Unknown: clients then do without a resolution in dots per inch.
        size: (0, 0).into(),
        subpixel: Subpixel::None,
        make: "moonpipe".into(),
        model: "waylandsrc".into(),
    };
    let output = Output::new("WAYLANDSRC-1".into(), physical);
    output.create_global::<State>(display);
    output
}

fn output_mode(mode: Mode) -> output::Mode {
    output::Mode { size: (mode.width, mode.height).into(), refresh: mode.rate.millihertz() }
}
