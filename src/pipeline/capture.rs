//! The pipeline that takes pictures, apart from the streams that show them: it can be lost and built again while they
//! go on with the last frame, which is kept here.

use super::description::{CaptureDescription, Mode};
use super::run::{self, Runner, StreamEvent};
use crate::desktop::portal::Screencast;
use anyhow::Context;
use gst::prelude::*;
use gstgamestream::timing;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};

/// What a [`Capture`] is started from.
#[derive(Clone, Debug)]
pub struct CaptureSpec {
    pub description: CaptureDescription,
    /// Only for a description that follows the client; others ignore it.
    pub mode: Mode,
    /// Where the portal's restore token is kept.
    pub state_dir: PathBuf,
}

/// What a capture reports.
#[derive(Clone, Debug, PartialEq)]
pub enum CaptureEvent {
    FirstFrame,
    /// Raw video caps, the first ones too.
    CapsChanged(gst::Caps),
    /// It is over, for this reason. Close it and start another.
    Lost(String),
}

/// A running capture. Dropping it stops it too; [`Capture::close`] waits for the end.
pub struct Capture {
    runner: Runner,
    frames: Arc<Mutex<Frames>>,
    lost: Arc<watch::Sender<Option<String>>>,
    screencast: Option<Screencast>,
    /// The descriptor that the launch text names, kept open as long as the pipeline.
    _remote: Option<OwnedFd>,
}

/// The last frame and who is shown it.
#[derive(Default)]
struct Frames {
    last: Option<gst::Sample>,
    viewers: Vec<(u64, gst_app::AppSrc)>,
    next_id: u64,
}

/// Keeps a viewer attached; dropping it detaches.
pub struct Attached {
    frames: Arc<Mutex<Frames>>,
    id: u64,
}

impl Capture {
    /// Asks the portal where the description needs it (the first time, a person has to agree), builds the pipeline and
    /// starts it. `events` hears of everything from then on.
    pub async fn start(
        spec: CaptureSpec,
        events: mpsc::UnboundedSender<CaptureEvent>,
    ) -> anyhow::Result<Capture> {
        let name = spec.description.common.name.clone();
        let mut capture = Self::build(spec, events).await?;
        match capture.runner.start().await {
            Ok(()) => Ok(capture),
            Err(error) => {
                capture.release().await;
                Err(error).with_context(|| format!("capture {name} does not start"))
            }
        }
    }

    /// Gives `viewer` the last frame at once and every later one.
    pub fn attach(&self, viewer: &gst_app::AppSrc) -> Attached {
        let mut frames = lock(&self.frames);
        frames.next_id += 1;
        let id = frames.next_id;
        // An appsrc only queues: pushing under the lock keeps frames in order and cannot come back here.
        if let Some(last) = &frames.last {
            push(viewer, last, None);
        }
        frames.viewers.push((id, viewer.clone()));
        Attached { frames: self.frames.clone(), id }
    }

    /// Gives `viewer` this picture if no frame was ever captured; none can come in between. True if it did.
    pub fn show_if_nothing(&self, viewer: &gst_app::AppSrc, sample: &gst::Sample) -> bool {
        let frames = lock(&self.frames);
        let nothing = frames.last.is_none();
        if nothing {
            push(viewer, sample, None);
        }
        nothing
    }

    /// Why the capture is over, once it is: for all who share it. The owner hears [`CaptureEvent::Lost`] too.
    pub fn lost(&self) -> watch::Receiver<Option<String>> {
        self.lost.subscribe()
    }

    /// Caps of the last frame.
    pub fn caps(&self) -> Option<gst::Caps> {
        lock(&self.frames).last.as_ref()?.caps_owned()
    }

    /// A second descriptor of the PipeWire remote, for a watcher; none for a capture without the portal.
    pub async fn second_remote(&self) -> anyhow::Result<Option<OwnedFd>> {
        match &self.screencast {
            Some(screencast) => screencast.remote().await.map(Some),
            None => Ok(None),
        }
    }

    /// Node id of the portal's stream.
    pub fn node(&self) -> Option<u32> {
        self.screencast.as_ref().map(Screencast::node)
    }

    /// Stops the pipeline, waits for its threads, and ends the portal session.
    pub async fn close(mut self) {
        self.release().await;
    }

    async fn build(
        spec: CaptureSpec,
        events: mpsc::UnboundedSender<CaptureEvent>,
    ) -> anyhow::Result<Capture> {
        let frames = Arc::new(Mutex::new(Frames::default()));
        let lost = Lost { reason: Arc::default(), events: events.clone() };
        let reason = lost.reason.clone();
        let (mut screencast, mut remote) = (None, None);
        if spec.description.uses_portal() {
            let closed = lost.clone();
            let session = Screencast::open(&spec.state_dir, move || {
                closed.report("the desktop ended the screencast".into());
            })
            .await?;
            remote = Some(session.remote().await?);
            screencast = Some(session);
        }
        let portal = screencast.as_ref().zip(remote.as_ref()).map(|(s, fd)| (s.node(), fd.as_raw_fd()));
        let text = format!(
            "{} ! appsink name=joint sync=false async=false max-buffers=1 drop=true enable-last-sample=false qos=false",
            spec.description.fill(spec.mode, portal)
        );
        let runner = Runner::new("capture", run::parse(&text)?);
        let joint = run::element(runner.pipeline.upcast_ref(), "joint")?;
        let joint = joint.downcast::<gst_app::AppSink>().expect("the text makes it an appsink");
        joint.set_caps(Some(&gst::Caps::new_empty_simple("video/x-raw")));
        take_frames(&joint, frames.clone(), events, lost.clone());
        runner.watch(move |event| {
            if let StreamEvent::Failed(reason) = event {
                lost.report(reason);
            }
        });
        Ok(Self { runner, frames, lost: reason, screencast, _remote: remote })
    }

    async fn release(&mut self) {
        self.runner.stop().await;
        let viewers = std::mem::take(&mut lock(&self.frames).viewers);
        drop(viewers);
        if let Some(screencast) = self.screencast.take() {
            screencast.close().await;
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        lock(&self.frames).viewers.retain(|(id, _)| *id != self.id);
    }
}

/// Reports a loss once.
#[derive(Clone)]
struct Lost {
    reason: Arc<watch::Sender<Option<String>>>,
    events: mpsc::UnboundedSender<CaptureEvent>,
}

impl Lost {
    fn report(&self, reason: String) {
        let first = self.reason.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert_with(|| reason.clone());
            first
        });
        if first {
            let _ = self.events.send(CaptureEvent::Lost(reason));
        }
    }
}

fn take_frames(
    joint: &gst_app::AppSink,
    frames: Arc<Mutex<Frames>>,
    events: mpsc::UnboundedSender<CaptureEvent>,
    lost: Lost,
) {
    let on_sample = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if let Some(reason) = size_fault(&sample) {
            lost.report(reason);
            return Err(gst::FlowError::Eos);
        }
        let captured = captured(sink, &sample);
        for event in keep(&frames, sample, captured) {
            let _ = events.send(event);
        }
        Ok(gst::FlowSuccess::Ok)
    };
    joint.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build());
}

/// Keeps `sample` as the last frame and shows it to all; returns what is new about it.
fn keep(frames: &Mutex<Frames>, sample: gst::Sample, captured: Option<gst::ClockTime>) -> Vec<CaptureEvent> {
    let mut frames = lock(frames);
    let mut news = Vec::new();
    let caps = sample.caps_owned();
    if frames.last.is_none() {
        news.push(CaptureEvent::FirstFrame);
    }
    if let Some(caps) =
        caps.filter(|caps| frames.last.as_ref().and_then(|l| l.caps_owned()).as_ref() != Some(caps))
    {
        news.push(CaptureEvent::CapsChanged(caps));
    }
    for (_, viewer) in &frames.viewers {
        push(viewer, &sample, captured);
    }
    frames.last = Some(sample);
    news
}

/// When the source took the picture, on the monotonic clock: sources stamp their buffers with it.
fn captured(sink: &gst_app::AppSink, sample: &gst::Sample) -> Option<gst::ClockTime> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let taken = segment.to_running_time(sample.buffer()?.pts()?)?;
    let age = sink.current_running_time()?.checked_sub(taken)?;
    // A source with times of its own, a file for example, says nothing of when.
    (age <= gst::ClockTime::SECOND).then(|| gst::get_timestamp() - age)
}

/// The frame without timestamps: the viewer's own clock gives it one on arrival. The pixels are shared. A frame that
/// is shown again on its viewer's arrival is not said to be `captured` long ago.
fn push(viewer: &gst_app::AppSrc, sample: &gst::Sample, captured: Option<gst::ClockTime>) {
    let (Some(mut buffer), Some(caps)) = (sample.buffer_owned(), sample.caps_owned()) else { return };
    {
        let buffer = buffer.make_mut();
        buffer.set_pts(None);
        buffer.set_dts(None);
        buffer.set_duration(None);
        buffer.unset_flags(gst::BufferFlags::all() - gst::BufferFlags::TAG_MEMORY);
        if let Some(captured) = captured {
            let clock = gst::Caps::new_empty_simple(timing::CAPTURE_TIME);
            gst::ReferenceTimestampMeta::add(buffer, &clock, captured, gst::ClockTime::NONE);
        }
    }
    // A viewer that is stopping refuses; it detaches in a moment.
    let _ = viewer.push_sample(&gst::Sample::builder().buffer(&buffer).caps(&caps).build());
}

/// PipeWire changes a node's size without new caps; such a buffer must not be shown.
fn size_fault(sample: &gst::Sample) -> Option<String> {
    let (buffer, caps) = (sample.buffer()?, sample.caps()?);
    let info = gst_video::VideoInfo::from_caps(caps).ok()?;
    if buffer.meta::<gst_video::VideoMeta>().is_some() || buffer.size() == info.size() {
        return None;
    }
    let (width, height) = (info.width(), info.height());
    let (is, should) = (buffer.size(), info.size());
    Some(format!(
        "the source changed its size without saying so: {is} bytes came for {width}x{height}, which has {should}"
    ))
}

fn lock(frames: &Mutex<Frames>) -> std::sync::MutexGuard<'_, Frames> {
    frames.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::description::Describes;
    use crate::protocol::params::Fps;
    use std::time::Duration;

    const MODE: Mode = Mode { width: 64, height: 48, fps: Fps { num: 30, den: 1 } };
    const LIMIT: Duration = Duration::from_secs(10);

    async fn start(launch: &str) -> (Capture, mpsc::UnboundedReceiver<CaptureEvent>) {
        crate::pipeline::init().unwrap();
        let toml = format!("launch = \"{launch}\"");
        let description = CaptureDescription::read("example", "example.toml", &toml).unwrap();
        let (report, events) = mpsc::unbounded_channel();
        let spec = CaptureSpec { description, mode: MODE, state_dir: PathBuf::new() };
        (Capture::start(spec, report).await.unwrap(), events)
    }

    async fn next(events: &mut mpsc::UnboundedReceiver<CaptureEvent>) -> CaptureEvent {
        tokio::time::timeout(LIMIT, events.recv()).await.expect("an event comes").expect("the capture lives")
    }

    /// A stream as far as its appsrc: what comes out is what a viewer sees.
    struct Viewer {
        pipeline: gst::Pipeline,
        source: gst_app::AppSrc,
        sink: gst_app::AppSink,
    }

    impl Viewer {
        fn new() -> Self {
            let text = "appsrc name=source is-live=true format=time do-timestamp=true max-buffers=1 leaky-type=downstream ! appsink name=sink sync=false";
            let pipeline = run::parse(text).unwrap();
            let source = run::element(pipeline.upcast_ref(), "source").unwrap().downcast().unwrap();
            let sink = run::element(pipeline.upcast_ref(), "sink").unwrap().downcast().unwrap();
            pipeline.set_state(gst::State::Playing).unwrap();
            Self { pipeline, source, sink }
        }

        fn see(&self) -> gst::Sample {
            self.sink.try_pull_sample(gst::ClockTime::from_seconds(10)).expect("a frame comes")
        }
    }

    impl Drop for Viewer {
        fn drop(&mut self) {
            self.pipeline.set_state(gst::State::Null).unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_viewer_gets_the_only_frame_there_ever_was() {
        let (capture, mut events) =
            start("videotestsrc num-buffers=1 ! video/x-raw,width=64,height=48").await;
        assert_eq!(next(&mut events).await, CaptureEvent::FirstFrame);
        assert!(matches!(next(&mut events).await, CaptureEvent::CapsChanged(_)));
        let CaptureEvent::Lost(reason) = next(&mut events).await else { panic!("it goes on") };
        for _ in 0..2 {
            assert_eq!(*capture.lost().borrow(), Some(reason.clone()), "all who share it hear it");
            let viewer = Viewer::new();
            let _attached = capture.attach(&viewer.source);
            let seen = viewer.see();
            assert_eq!(seen.caps_owned(), capture.caps());
            assert!(seen.buffer().unwrap().pts().is_some(), "the viewer's clock stamps it");
        }
        capture.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_picture_stands_in_until_the_first_frame() {
        let stand_in = {
            gst::init().unwrap();
            let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Gray8, 8, 8).build().unwrap();
            let buffer = gst::Buffer::with_size(info.size()).unwrap();
            gst::Sample::builder().buffer(&buffer).caps(&info.to_caps().unwrap()).build()
        };
        // Nothing ever comes.
        let (silent, _events) = start("appsrc is-live=true ! video/x-raw").await;
        let viewer = Viewer::new();
        assert!(silent.show_if_nothing(&viewer.source, &stand_in));
        assert_eq!(viewer.see().caps_owned(), stand_in.caps_owned());
        assert_eq!(*silent.lost().borrow(), None);
        silent.close().await;
        let (capture, mut events) = start("videotestsrc is-live=true ! video/x-raw,width=64").await;
        assert_eq!(next(&mut events).await, CaptureEvent::FirstFrame);
        assert!(!capture.show_if_nothing(&viewer.source, &stand_in));
        capture.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_viewer_sees_frames_until_it_detaches() {
        let text = "videotestsrc is-live=true ! video/x-raw,width={width},height={height},framerate={fps}";
        let (capture, _events) = start(text).await;
        let viewer = Viewer::new();
        let attached = capture.attach(&viewer.source);
        for _ in 0..5 {
            viewer.see();
        }
        drop(attached);
        assert!(lock(&capture.frames).viewers.is_empty());
        capture.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_source_that_does_not_start_is_an_error() {
        crate::pipeline::init().unwrap();
        let toml = "launch = \"filesrc location=/nonexistent ! rawvideoparse\"";
        let description = CaptureDescription::read("bad", "bad.toml", toml).unwrap();
        let (report, _events) = mpsc::unbounded_channel();
        let spec = CaptureSpec { description, mode: MODE, state_dir: PathBuf::new() };
        let Err(error) = Capture::start(spec, report).await else { panic!("it started") };
        assert!(format!("{error:#}").contains("capture bad does not start"), "{error:#}");
    }

    #[test]
    fn a_buffer_that_does_not_fit_its_caps_is_a_loss() {
        gst::init().unwrap();
        let sample = |size| {
            let caps =
                gst_video::VideoInfo::builder(gst_video::VideoFormat::Bgrx, 1280, 720).build().unwrap();
            let buffer = gst::Buffer::with_size(size).unwrap();
            gst::Sample::builder().buffer(&buffer).caps(&caps.to_caps().unwrap()).build()
        };
        assert_eq!(size_fault(&sample(1280 * 720 * 4)), None);
        let reason = size_fault(&sample(1920 * 1080 * 4)).unwrap();
        assert!(reason.contains("8294400 bytes came for 1280x720"), "{reason}");
    }
}
