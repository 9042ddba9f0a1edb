use super::{
    cadence::Rate,
    caps::{any_rate, fixate},
    state::{Action, Frame, State, Timeline},
};
use crate::timing::{FrameMeta, FrameTimes};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("framepacer", gst::DebugColorFlags::empty(), Some("Steady rate for raw video"))
});

/// Pictures that are kept here besides the one on its way: the fresh one and the last one.
const KEPT: u32 = 2;

/// The sink pad's thread leaves pictures in `state`, a task of the source pad takes them at its ticks. Nothing is
/// pushed while `state` is held, and no other lock is taken but those of the task that pauses itself.
pub struct FramePacer {
    sink: gst::Pad,
    src: gst::Pad,
    state: Mutex<State>,
    changed: Condvar,
}

impl FramePacer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut state = self.state();
        if state.flushing {
            return Err(gst::FlowError::Flushing);
        }
        if state.eos {
            return Err(gst::FlowError::Eos);
        }
        state.flow?;
        let caps = state.caps.clone().ok_or(gst::FlowError::NotNegotiated)?;
        let replaced = state.handle_frame(Frame::arriving(buffer, caps));
        drop(state);
        self.changed.notify_all();
        drop(replaced);
        Ok(gst::FlowSuccess::Ok)
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        use gst::EventView;
        gst::log!(CAT, obj = pad, "{event:?}");
        match event.view() {
            EventView::FlushStart(_) => {
                self.set_flushing();
                let flushed = self.src.push_event(event);
                let _ = self.src.pause_task();
                return flushed;
            }
            EventView::FlushStop(_) => {
                let flushed = self.src.push_event(event);
                let mut state = self.state();
                state.flush();
                state.flushing = false;
                drop(state);
                self.start_task();
                return flushed;
            }
            EventView::Caps(caps) => self.state().caps = Some(caps.caps_owned()),
            EventView::StreamStart(_) => {
                let mut state = self.state();
                state.stream_start = Some(event);
                let ended = std::mem::take(&mut state.eos) || state.flow.is_err();
                state.flow = Ok(gst::FlowSuccess::Ok);
                let runs = !state.flushing;
                drop(state);
                if ended && runs {
                    self.start_task();
                }
            }
            EventView::Eos(_) => {
                let mut state = self.state();
                state.eos = true;
                state.wake();
            }
            // Our own times are running times.
            EventView::Segment(_) | EventView::Gap(_) => {}
            _ if event.is_serialized() => self.state().events.push(event),
            _ => return gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
        self.changed.notify_all();
        true
    }

    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        // Lateness of our times means nothing upstream.
        if event.type_() == gst::EventType::Qos {
            return true;
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Caps(query) => {
                answer_caps(query, &self.src, pad);
                true
            }
            gst::QueryViewMut::Allocation(_) => {
                if !self.src.peer_query(query) {
                    return false;
                }
                keep_more(query);
                true
            }
            // Buffers stay with the element as long as it repeats one.
            gst::QueryViewMut::Drain(_) => true,
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Caps(query) => {
                answer_caps(query, &self.sink, pad);
                true
            }
            gst::QueryViewMut::Latency(query) => self.answer_latency(query),
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    /// A picture waits up to an interval for its tick.
    fn answer_latency(&self, query: &mut gst::query::Latency) -> bool {
        let mut upstream = gst::query::Latency::new();
        if !self.sink.peer_query(&mut upstream) {
            return false;
        }
        let (live, min, max) = upstream.result();
        let own = interval(self.state().cadence.rate());
        let (min, max) = if live { (min + own, max.map(|max| max + own)) } else { (own, None) };
        gst::debug!(CAT, imp = self, "Latency {min} to {max:?}, of it {own} here");
        query.set(true, min, max);
        true
    }

    fn set_flushing(&self) {
        let mut state = self.state();
        state.flushing = true;
        state.wake();
        drop(state);
        self.changed.notify_all();
    }

    fn activate_src(&self, pad: &gst::Pad, active: bool) -> Result<(), gst::LoggableError> {
        if active {
            self.state().flushing = false;
            self.start_task();
            return Ok(());
        }
        self.set_flushing();
        pad.stop_task().map_err(|error| gst::loggable_error!(CAT, "Cannot stop the task: {error}"))
    }

    fn start_task(&self) {
        let pacer = self.obj().downgrade();
        let started = self.src.start_task(move || {
            if let Some(pacer) = pacer.upgrade() {
                pacer.imp().turn();
            }
        });
        if let Err(error) = started {
            gst::element_imp_error!(self, gst::CoreError::Failed, ["Cannot start a task: {error}"]);
        }
    }

    /// One turn of the output thread.
    fn turn(&self) {
        let mut state = self.state();
        let result = match state.act() {
            Action::Rest => {
                drop(self.changed.wait(state).unwrap());
                return;
            }
            Action::Sleep(id) => {
                drop(state);
                let _ = id.wait();
                return;
            }
            Action::End => {
                drop(state);
                let _ = self.src.pause_task();
                return;
            }
            Action::Eos => {
                // The start of the next stream, which may come any time now, is not to go before this end.
                self.push_events(state);
                self.src.push_event(gst::event::Eos::new());
                let state = self.state();
                // The next stream may have started meanwhile.
                if state.eos {
                    let _ = self.src.pause_task();
                }
                return;
            }
            Action::Negotiate(caps) => {
                drop(state);
                self.negotiate(&caps).map(|()| gst::FlowSuccess::Ok)
            }
            Action::Push { frame, pts, duration, times } => {
                drop(state);
                self.push(frame, pts, duration, times)
            }
        };
        self.handle_flow(result);
    }

    fn handle_flow(&self, result: Result<gst::FlowSuccess, gst::FlowError>) {
        let Err(error) = result else { return };
        gst::debug!(CAT, imp = self, "Pausing after {error:?}");
        let mut state = self.state();
        state.flow = result;
        let _ = self.src.pause_task();
        drop(state);
        if !matches!(error, gst::FlowError::Flushing | gst::FlowError::Eos) {
            gst::element_imp_error!(self, gst::StreamError::Failed, ["Streaming stopped, reason {error:?}"]);
            self.src.push_event(gst::event::Eos::new());
        }
    }

    fn push(
        &self,
        frame: Frame,
        pts: u64,
        duration: u64,
        times: FrameTimes,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let changed = self.state().negotiated.as_ref() != Some(&frame.caps);
        if changed || self.src.check_reconfigure() {
            self.negotiate(&frame.caps)?;
        }
        let first = self.push_events(self.state());
        let mut buffer = frame.buffer.clone();
        let writable = buffer.make_mut();
        // Whoever made the picture must not paint over it while it is on its way.
        gst::ParentBufferMeta::add(writable, &frame.buffer);
        writable.set_pts(gst::ClockTime::from_nseconds(pts));
        writable.set_dts(gst::ClockTime::NONE);
        writable.set_duration(gst::ClockTime::from_nseconds(duration));
        writable.set_offset(u64::MAX);
        writable.set_offset_end(u64::MAX);
        writable.unset_flags(gst::BufferFlags::DISCONT | gst::BufferFlags::RESYNC | gst::BufferFlags::GAP);
        if first {
            writable.set_flags(gst::BufferFlags::DISCONT);
        }
        drop(frame);
        FrameMeta::set(writable, FrameTimes { pace: Some(gst::get_timestamp()), ..times });
        gst::trace!(CAT, imp = self, "{buffer:?}");
        self.src.push(buffer)
    }

    /// Pushes what has to come before the next picture; whether that picture is the first of its segment.
    fn push_events(&self, mut state: MutexGuard<'_, State>) -> bool {
        let start = state.stream_start.take();
        let first = !std::mem::replace(&mut state.segment_sent, true);
        let events = std::mem::take(&mut state.events);
        drop(state);
        // Caps were pushed before by `negotiate`, which pushes the stream's start itself.
        if let Some(start) = start {
            self.src.push_event(start);
        }
        if first {
            self.src.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
        }
        for event in events {
            self.src.push_event(event);
        }
        first
    }

    /// Agrees with downstream on the rate for pictures of these caps.
    fn negotiate(&self, caps: &gst::Caps) -> Result<(), gst::FlowError> {
        let start = self.state().stream_start.take();
        if let Some(start) = start {
            self.src.push_event(start);
        }
        // Cleared first: a request to negotiate again that comes meanwhile is seen by the next picture.
        self.src.check_reconfigure();
        let downstream = self.src.peer_query_caps(Some(&any_rate(caps)));
        let Some((fixed, rate)) = fixate(downstream, caps) else {
            gst::warning!(CAT, imp = self, "Downstream takes {caps} at no frame rate");
            return Err(gst::FlowError::NotNegotiated);
        };
        gst::debug!(CAT, imp = self, "{caps} becomes {fixed}");
        if self.src.current_caps().as_ref() != Some(&fixed)
            && !self.src.push_event(gst::event::Caps::new(&fixed))
        {
            let flushing = self.state().flushing;
            return Err(if flushing { gst::FlowError::Flushing } else { gst::FlowError::NotNegotiated });
        }
        let mut state = self.state();
        state.negotiated = Some(caps.clone());
        let changed = state.cadence.rate() != rate;
        state.cadence.set_rate(rate);
        drop(state);
        if changed {
            let _ = self.obj().post_message(gst::message::Latency::builder().src(&*self.obj()).build());
        }
        Ok(())
    }
}

/// What the `other` side can do, at any rate.
fn answer_caps(query: &mut gst::query::Caps, other: &gst::Pad, pad: &gst::Pad) {
    let template = pad.pad_template_caps();
    let filter = query.filter_owned();
    let asked = filter.as_ref().map_or_else(|| template.clone(), |filter| any_rate(filter));
    let mut caps = any_rate(&other.peer_query_caps(Some(&asked))).intersect(&template);
    if let Some(filter) = filter {
        caps = filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First);
    }
    query.set_result(&caps);
}

/// Asks for pools that have enough buffers for the pictures that are kept here.
fn keep_more(query: &mut gst::QueryRef) {
    let gst::QueryViewMut::Allocation(query) = query.view_mut() else { return };
    let pools: Vec<_> = query.allocation_pools().collect();
    for (index, (pool, size, min, max)) in pools.into_iter().enumerate() {
        let max = if max == 0 { 0 } else { max + KEPT };
        query.set_nth_allocation_pool(index as u32, pool.as_ref(), size, min + KEPT, max);
    }
}

fn interval(rate: Rate) -> gst::ClockTime {
    gst::ClockTime::SECOND
        .mul_div_ceil(u64::from(rate.denominator), u64::from(rate.numerator))
        .expect("a frame interval is far below the limits")
}

#[glib::object_subclass]
impl ObjectSubclass for FramePacer {
    const NAME: &'static str = "GstFramePacer";
    type Type = super::FramePacer;
    type ParentType = gst::Element;

    fn with_class(klass: &Self::Class) -> Self {
        let template = |name| klass.pad_template(name).expect("the class has this template");
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_query(pad, query))
            })
            .build();
        let src = gst::Pad::builder_from_template(&template("src"))
            .activatemode_function(|pad, parent, _, active| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::loggable_error!(CAT, "Panic activating the source pad")),
                    |this| this.activate_src(pad, active),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_query(pad, query))
            })
            .build();
        Self { sink, src, state: Mutex::default(), changed: Condvar::new() }
    }
}

impl ObjectImpl for FramePacer {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb(
                    "Counts since the start (application/x-framepacer-stats): new (pictures shown), repeated (shown \
                     again), replaced (never shown, since a fresher one came), resyncs (ticks that came too late) and \
                     skipped (ticks left out by that)",
                )
                .read_only()
                .build();
            vec![stats]
        });
        &PROPERTIES
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => {
                let counts = self.state().cadence.counts();
                gst::Structure::builder("application/x-framepacer-stats")
                    .field("new", counts.new)
                    .field("repeated", counts.repeated)
                    .field("replaced", counts.replaced)
                    .field("resyncs", counts.resyncs)
                    .field("skipped", counts.skipped)
                    .build()
                    .to_value()
            }
            _ => unimplemented!(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        obj.add_pad(&self.sink).expect("a new element has no pads");
        obj.add_pad(&self.src).expect("a new element has no source pad");
        obj.set_element_flags(gst::ElementFlags::REQUIRE_CLOCK);
    }
}

impl GstObjectImpl for FramePacer {}

impl ElementImpl for FramePacer {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Frame pacer",
                "Filter/Video",
                "Pushes one picture per tick of the frame rate: the freshest, or the last one again",
                crate::AUTHOR,
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst::Caps::builder("video/x-raw").any_features().build();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .map(|(name, direction)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                        .expect("a valid template")
                })
                .to_vec()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        use gst::StateChange::*;
        match transition {
            ReadyToPaused => *self.state() = State::default(),
            PlayingToPaused => {
                self.state().set_timeline(None);
                self.changed.notify_all();
            }
            _ => {}
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            ReadyToPaused | PlayingToPaused => return Ok(gst::StateChangeSuccess::NoPreroll),
            PausedToPlaying => {
                let obj = self.obj();
                let timeline = obj.clock().zip(obj.base_time()).map(|(clock, base)| Timeline { clock, base });
                self.state().set_timeline(timeline);
                self.changed.notify_all();
            }
            PausedToReady => {
                let counts = self.state().cadence.counts();
                gst::info!(CAT, imp = self, "{counts:?}");
                // The pictures go, the statistics stay until the next start.
                self.state().flush();
            }
            _ => {}
        }
        Ok(success)
    }
}
