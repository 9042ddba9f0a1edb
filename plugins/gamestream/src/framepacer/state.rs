//! What the thread that brings pictures and the one that takes them share.

use super::{
    cadence::{Cadence, Picture, Step},
    caps::DEFAULT_RATE,
};
use crate::timing::{CAPTURE_TIME, FrameTimes};
use gst::prelude::*;

/// A picture and what it is.
#[derive(Clone, Debug)]
pub struct Frame {
    pub buffer: gst::Buffer,
    pub caps: gst::Caps,
    /// On the monotonic clock.
    captured: gst::ClockTime,
}

impl Frame {
    /// A picture that arrives now, and was captured now unless it says when.
    pub fn arriving(buffer: gst::Buffer, caps: gst::Caps) -> Self {
        let said = buffer.iter_meta::<gst::ReferenceTimestampMeta>().find_map(|meta| {
            let monotonic = meta.reference().structure(0)?.name() == CAPTURE_TIME;
            monotonic.then(|| meta.timestamp())
        });
        Self { buffer, caps, captured: said.unwrap_or_else(gst::get_timestamp) }
    }
}

/// The pipeline's clock while it plays.
#[derive(Clone, Debug)]
pub struct Timeline {
    pub clock: gst::Clock,
    pub base: gst::ClockTime,
}

impl Timeline {
    /// The running time, in nanoseconds.
    pub fn now(&self) -> u64 {
        self.clock.time().saturating_sub(self.base).nseconds()
    }
}

/// The output thread's sleep.
#[derive(Debug)]
pub struct Sleep {
    id: gst::ClockId,
    or_frame: bool,
}

#[derive(Debug)]
pub struct State {
    pub cadence: Cadence,
    pub timeline: Option<Timeline>,
    /// Caps of the pictures that arrive now.
    pub caps: Option<gst::Caps>,
    pub fresh: Option<Frame>,
    pub last: Option<Frame>,
    /// The fresh picture came while the pipeline was paused, when there is no time.
    arrived_in_pause: bool,
    sleep: Option<Sleep>,
    pub flushing: bool,
    pub eos: bool,
    /// How the last push went: what upstream is told.
    pub flow: Result<gst::FlowSuccess, gst::FlowError>,
    pub stream_start: Option<gst::Event>,
    /// Serialized events that wait for the next picture.
    pub events: Vec<gst::Event>,
    /// Caps of the pictures that went out last, as upstream named them.
    pub negotiated: Option<gst::Caps>,
    pub segment_sent: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            cadence: Cadence::new(DEFAULT_RATE),
            timeline: None,
            caps: None,
            fresh: None,
            last: None,
            arrived_in_pause: false,
            sleep: None,
            flushing: true,
            eos: false,
            flow: Ok(gst::FlowSuccess::Ok),
            stream_start: None,
            events: Vec::new(),
            negotiated: None,
            segment_sent: false,
        }
    }
}

/// What the output thread does next.
pub enum Action {
    /// Ends: the pad is flushing or stopped.
    End,
    /// Waits for the condition variable.
    Rest,
    Sleep(gst::SingleShotClockId),
    /// Agrees with downstream on caps before the first tick.
    Negotiate(gst::Caps),
    Push {
        frame: Frame,
        pts: u64,
        duration: u64,
        times: FrameTimes,
    },
    Eos,
}

impl State {
    /// A picture arrived. Returns the one it replaces, to be freed outside the lock.
    pub fn handle_frame(&mut self, frame: Frame) -> Option<Frame> {
        match &self.timeline {
            Some(timeline) => self.cadence.handle_frame(timeline.now()),
            None => self.arrived_in_pause = true,
        }
        let replaced = self.fresh.replace(frame);
        if let Some(sleep) = self.sleep.as_ref().filter(|sleep| sleep.or_frame) {
            sleep.id.unschedule();
        }
        replaced
    }

    /// Plays from now on, or pauses.
    pub fn set_timeline(&mut self, timeline: Option<Timeline>) {
        self.timeline = timeline;
        if let Some(timeline) = &self.timeline
            && std::mem::take(&mut self.arrived_in_pause)
        {
            self.cadence.handle_frame(timeline.now());
        }
        self.wake();
    }

    /// Ends the output thread's sleep.
    pub fn wake(&mut self) {
        if let Some(sleep) = self.sleep.take() {
            sleep.id.unschedule();
        }
    }

    /// Forgets pictures and the place in the stream.
    pub fn flush(&mut self) {
        self.cadence.flush();
        (self.fresh, self.last) = (None, None);
        self.arrived_in_pause = false;
        self.events.clear();
        self.segment_sent = false;
        self.eos = false;
        self.flow = Ok(gst::FlowSuccess::Ok);
    }

    /// What to do now.
    pub fn act(&mut self) -> Action {
        self.sleep = None;
        if self.flushing {
            return Action::End;
        }
        let Some(timeline) = &self.timeline else {
            return Action::Rest;
        };
        match &self.fresh {
            None if self.eos => return Action::Eos,
            Some(fresh) if self.negotiated.is_none() => return Action::Negotiate(fresh.caps.clone()),
            _ => {}
        }
        match self.cadence.poll(timeline.now()) {
            Step::Idle => Action::Rest,
            Step::Wait { until, or_frame } => {
                let id =
                    timeline.clock.new_single_shot_id(timeline.base + gst::ClockTime::from_nseconds(until));
                self.sleep = Some(Sleep { id: id.clone().into(), or_frame });
                Action::Sleep(id)
            }
            Step::Show { picture, pts, duration } => {
                // The cadence asks for a new picture only after `handle_frame`, and for the last one only after a
                // new one; both keep it here.
                if let Some(fresh) = self.fresh.take() {
                    self.last = Some(fresh);
                }
                let frame = self.last.clone().expect("a picture was shown before it is repeated");
                let counts = self.cadence.counts();
                let times = FrameTimes {
                    number: counts.new + counts.repeated - 1,
                    repeated: picture == Picture::Last,
                    capture: Some(frame.captured),
                    ..FrameTimes::default()
                };
                Action::Push { frame, pts, duration, times }
            }
        }
    }
}
