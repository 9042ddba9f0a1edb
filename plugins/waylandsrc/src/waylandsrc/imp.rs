use super::caps;
use super::clock::Offset;
use crate::CAT;
use crate::compositor::{Choice, Compositor, Layout, OnX11, Switches, monotonic_now};
use crate::exchange::{Outcome, Picture};
use crate::input;
use crate::mode::{Mode, Rate};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

const DEFAULT_SHOW_CURSOR: bool = true;
const DEFAULT_XWAYLAND: bool = false;
const DEFAULT_ONLY_DAMAGED: bool = false;

/// How often the waiting thread looks after the compositor.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Memory that SIMD code likes.
const ALIGNMENT_MASK: usize = 63;

#[derive(Debug)]
struct Settings {
    socket_name: Option<String>,
    xwayland: bool,
    renderer: Choice,
    switches: Arc<Switches>,
}

impl Default for Settings {
    fn default() -> Self {
        let switches = Switches::default();
        switches.show_cursor.store(DEFAULT_SHOW_CURSOR, Ordering::Relaxed);
        switches.only_damaged.store(DEFAULT_ONLY_DAMAGED, Ordering::Relaxed);
        let (socket_name, renderer, switches) = (None, Choice::default(), Arc::new(switches));
        Self { socket_name, xwayland: DEFAULT_XWAYLAND, renderer, switches }
    }
}

/// What came of Xwayland.
#[derive(Clone, Copy, Debug)]
enum X11 {
    None,
    /// The number of its display.
    Ready(u32),
}

/// From start to stop.
#[derive(Debug, Default)]
struct State {
    compositor: Option<Arc<Compositor>>,
    /// Nothing while Xwayland starts.
    x11: Option<X11>,
    /// The compositor knows the mode.
    configured: bool,
    announced: bool,
    rate: Option<Rate>,
    /// What caps say until it is known how memory has to be.
    negotiated: Option<(Mode, gst_video::VideoFormat)>,
    offset: Offset,
    /// When it last began to play. What was drawn before is shown then: time stands still in a pause.
    resumed: Duration,
}

/// No lock is held while anything outside is called; never both.
#[derive(Debug, Default)]
pub struct WaylandSrc {
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

impl WaylandSrc {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn compositor(&self) -> Option<Arc<Compositor>> {
        self.state().compositor.clone()
    }

    /// Says where clients can connect, once, when the display has its mode and Xwayland has started or never will.
    fn announce(&self) {
        let (name, x11) = {
            let mut state = self.state();
            let Some(compositor) = state.compositor.clone().filter(|_| !state.announced && state.configured)
            else {
                return;
            };
            let Some(x11) = state.x11 else { return };
            state.announced = true;
            (compositor.name().to_owned(), x11)
        };
        gst::info!(CAT, imp = self, "Clients can connect to {name}, X11: {x11:?}");
        let mut structure = gst::Structure::builder("wayland-display").field("name", name).build();
        if let X11::Ready(number) = x11 {
            structure.set("x-display", format!(":{number}"));
        }
        let obj = self.obj();
        // Without a bus nobody listens.
        _ = obj.post_message(gst::message::Element::builder(structure).src(&*obj).build());
    }

    /// Xwayland has started, or never will.
    fn handle_x11(&self, started: Result<u32, String>) {
        if let Err(why) = &started {
            gst::element_imp_warning!(self, gst::ResourceError::NotFound, ("No X11 programs: {why}"));
        }
        self.state().x11 = Some(started.map_or(X11::None, X11::Ready));
        self.announce();
    }

    /// The peer may want other caps, while this thread waits for a picture.
    fn renegotiate(&self) -> Result<(), gst::FlowError> {
        let obj = self.obj();
        let pad = obj.src_pad();
        if !pad.needs_reconfigure() || obj.negotiate() {
            return Ok(());
        }
        match pad.pad_flags().contains(gst::PadFlags::FLUSHING) {
            true => Err(gst::FlowError::Flushing),
            false => Err(gst::FlowError::NotNegotiated),
        }
    }

    fn finish(&self, picture: Picture) -> gst::Buffer {
        let Picture { mut buffer, tick, drawn, .. } = picture;
        let obj = self.obj();
        let clocks = read_together(|| obj.current_running_time());
        let mut state = self.state();
        let shown_at = tick.time.max(state.resumed);
        let pts = clocks.0.map(|running_now| state.offset.running_time(shown_at, clocks.1, running_now));
        let interval = state.rate.map(|rate| clock_time(rate.interval()));
        drop(state);
        let every_tick = !self.settings().switches.only_damaged.load(Ordering::Relaxed);
        let shown = buffer.get_mut().expect("each picture has a buffer of its own");
        shown.set_pts(pts);
        shown.set_duration(interval.filter(|_| every_tick));
        gst::ReferenceTimestampMeta::add(shown, &MONOTONIC, clock_time(drawn), gst::ClockTime::NONE);
        buffer
    }

    fn answer_latency(&self, query: &mut gst::query::Latency) -> bool {
        // A picture may be drawn up to an interval after its tick.
        let Some(rate) = self.state().rate else { return false };
        query.set(true, clock_time(rate.interval()), gst::ClockTime::NONE);
        true
    }
}

/// What `other` shows, and the monotonic clock with it: of a few readings the one that took the least, since a thread that
/// is put aside in between reads a difference that is none.
fn read_together<T>(other: impl Fn() -> T) -> (T, Duration) {
    const READINGS: usize = 4;
    let read = |_| {
        let before = monotonic_now();
        let other = other();
        let after = monotonic_now();
        (after.saturating_sub(before), (other, after))
    };
    let readings = (0..READINGS).map(read);
    readings.min_by_key(|(took, _)| *took).expect("there are some").1
}

/// What the time on a picture counts.
static MONOTONIC: LazyLock<gst::Caps> =
    LazyLock::new(|| gst::Caps::new_empty_simple("timestamp/x-monotonic"));

fn clock_time(duration: Duration) -> gst::ClockTime {
    gst::ClockTime::try_from(duration).unwrap_or(gst::ClockTime::MAX)
}

#[glib::object_subclass]
impl ObjectSubclass for WaylandSrc {
    const NAME: &'static str = "GstWaylandSrc";
    type Type = super::WaylandSrc;
    type ParentType = gst_base::PushSrc;
}

impl ObjectImpl for WaylandSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecString::builder("socket-name")
                    .nick("Socket name")
                    .blurb("Name of the Wayland socket in XDG_RUNTIME_DIR (NULL = the first free of wayland-1, wayland-2…)")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("xwayland")
                    .nick("Xwayland")
                    .blurb("Start Xwayland, for X11 programs; the message wayland-display waits for it")
                    .default_value(DEFAULT_XWAYLAND)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("renderer", Choice::default())
                    .nick("Renderer")
                    .blurb("What the picture is drawn with, and whether clients may hand over what they drew with a GPU")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("show-cursor")
                    .nick("Show cursor")
                    .blurb("Draw the pointer into the picture")
                    .default_value(DEFAULT_SHOW_CURSOR)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoolean::builder("only-damaged")
                    .nick("Only damaged")
                    .blurb("Push a buffer only when something changed, not one for every tick of the frame rate")
                    .default_value(DEFAULT_ONLY_DAMAGED)
                    .mutable_playing()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = self.settings();
        let flag = || value.get::<bool>().expect("type checked upstream");
        match pspec.name() {
            "socket-name" => settings.socket_name = value.get().expect("type checked upstream"),
            "xwayland" => settings.xwayland = flag(),
            "renderer" => settings.renderer = value.get().expect("type checked upstream"),
            "show-cursor" => settings.switches.show_cursor.store(flag(), Ordering::Relaxed),
            "only-damaged" => settings.switches.only_damaged.store(flag(), Ordering::Relaxed),
            _ => unimplemented!(),
        }
        drop(settings);
        if let Some(compositor) = self.compositor() {
            compositor.refresh();
        }
    }

    fn property(&self, _: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings();
        match pspec.name() {
            "socket-name" => settings.socket_name.to_value(),
            "xwayland" => settings.xwayland.to_value(),
            "renderer" => settings.renderer.to_value(),
            "show-cursor" => settings.switches.show_cursor.load(Ordering::Relaxed).to_value(),
            "only-damaged" => settings.switches.only_damaged.load(Ordering::Relaxed).to_value(),
            _ => unimplemented!(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        obj.set_live(true);
        obj.set_format(gst::Format::Time);
    }
}

impl GstObjectImpl for WaylandSrc {}

impl ElementImpl for WaylandSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Wayland compositor source",
                "Source/Video",
                "A display for Wayland clients, of any size and rate, that needs no monitor, GPU or desktop",
                crate::AUTHOR,
            )
        });
        Some(&METADATA)
    }

    /// The base class lets the streaming thread wait on in a pause.
    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let paused = match transition {
            gst::StateChange::PlayingToPaused => Some(true),
            gst::StateChange::PausedToPlaying => Some(false),
            _ => None,
        };
        if let (Some(paused), Some(compositor)) = (paused, self.compositor()) {
            if !paused {
                self.state().resumed = monotonic_now();
            }
            compositor.set_paused(paused);
        }
        self.parent_change_state(transition)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let template = gst::PadTemplate::new(
                "src",
                gst::PadDirection::Src,
                gst::PadPresence::Always,
                &caps::template(),
            );
            vec![template.expect("the name of the pad is all that can be wrong")]
        });
        &TEMPLATES
    }
}

impl BaseSrcImpl for WaylandSrc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let (name, xwayland, renderer, switches) = {
            let settings = self.settings();
            let switches = Arc::clone(&settings.switches);
            (settings.socket_name.clone(), settings.xwayland, settings.renderer, switches)
        };
        if !renderer.is_built() {
            return Err(gst::error_msg!(
                gst::ResourceError::Settings,
                ("The renderer gles is not in this build: gst-plugin-waylandsrc was built without its feature gles")
            ));
        }
        *self.state() = State { x11: (!xwayland).then_some(X11::None), ..State::default() };
        let element = self.obj().downgrade();
        let on_x11 = move |started| {
            if let Some(element) = element.upgrade() {
                element.imp().handle_x11(started);
            }
        };
        let on_x11 = xwayland.then(|| Box::new(on_x11) as OnX11);
        let compositor = Compositor::start(name.as_deref(), switches, renderer, on_x11)?;
        self.state().compositor = Some(Arc::new(compositor));
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let state = std::mem::take(&mut *self.state());
        // Ends the thread, which takes the socket with it.
        drop(state);
        Ok(())
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(compositor) = self.compositor() {
            compositor.set_flushing(true);
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(compositor) = self.compositor() {
            compositor.set_flushing(false);
        }
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn fixate(&self, caps: gst::Caps) -> gst::Caps {
        self.parent_fixate(caps::fixate(caps))
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let (mode, format) =
            caps::parse(caps).ok_or_else(|| gst::loggable_error!(CAT, "No mode in {caps}"))?;
        let mut state = self.state();
        let same_rate = state.rate.replace(mode.rate).is_none_or(|rate| rate == mode.rate);
        state.negotiated = Some((mode, format));
        drop(state);
        if !same_rate {
            let obj = self.obj();
            // Without a bus nobody listens.
            _ = obj.post_message(gst::message::Latency::builder().src(&*obj).build());
        }
        Ok(())
    }

    /// Pictures are drawn upon those before, so the buffers are our own.
    fn decide_allocation(&self, query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
        let wished = query.allocation_params().next().map(|(_, params)| params);
        let (compositor, negotiated) = {
            let mut state = self.state();
            (state.compositor.clone(), state.negotiated.take())
        };
        if let (Some(compositor), Some((mode, format))) = (compositor, negotiated) {
            compositor.configure(mode, Layout { format, params: own_params(wished) });
            self.state().configured = true;
            self.announce();
        }
        Ok(())
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(query) => self.answer_latency(query),
            _ => BaseSrcImplExt::parent_query(self, query),
        }
    }

    fn event(&self, event: &gst::Event) -> bool {
        let Some(compositor) = self.compositor() else { return self.parent_event(event) };
        if let Some(inputs) = input::parse(event) {
            gst::trace!(CAT, imp = self, "{inputs:?}");
            if inputs.is_empty() && event.type_() == gst::EventType::CustomUpstream {
                gst::warning!(CAT, imp = self, "Input that is not understood: {:?}", event.structure());
                return false;
            }
            return inputs.into_iter().all(|input| compositor.input(input));
        }
        if event.type_() == gst::EventType::Reconfigure {
            compositor.exchange().ask_to_reconfigure();
        }
        self.parent_event(event)
    }
}

impl PushSrcImpl for WaylandSrc {
    fn create(&self, _: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, gst::FlowError> {
        let compositor = self.compositor().ok_or(gst::FlowError::Flushing)?;
        compositor.exchange().want();
        compositor.wake();
        loop {
            match compositor.exchange().wait(WATCH_INTERVAL) {
                Outcome::Picture(picture) => return Ok(CreateSuccess::NewBuffer(self.finish(picture))),
                Outcome::Nothing => compositor.watch(monotonic_now()),
                Outcome::Reconfigure => self.renegotiate()?,
                Outcome::Flushing => return Err(gst::FlowError::Flushing),
                Outcome::Failed(why) => {
                    gst::element_imp_error!(self, gst::ResourceError::Failed, ["{why}"]);
                    return Err(gst::FlowError::Error);
                }
            }
        }
    }
}

fn own_params(wished: Option<gst::AllocationParams>) -> gst::AllocationParams {
    let wished = wished.unwrap_or_default();
    let align = wished.align() | ALIGNMENT_MASK;
    gst::AllocationParams::new(wished.flags(), align, wished.prefix(), wished.padding())
}
