//! The pipeline that takes pictures, apart from the streams that show them: it can be lost and built again while they
//! go on with the last frame ([`super::source`] does that).

use super::description::{CaptureDescription, Mode};
use super::display::Display;
use super::frames::Frames;
use super::launch;
use super::run::{self, Runner, START_LIMIT, StreamEvent};
use super::upstream::End;
use crate::desktop::portal::{Desktop, Screencast};
use crate::desktop::watch::{self, Watch, Watched};
use crate::protocol::params::Fps;
use anyhow::{Context, bail};
use gst::prelude::*;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// PipeWire's session manager connects a stream in a tenth of a second; one that it passed over waits for ever.
const LINK_LIMIT: Duration = Duration::from_secs(4);

/// Which pictures are captured.
#[derive(Clone, Debug)]
pub struct CaptureSpec {
    pub description: CaptureDescription,
    /// Only for a description that follows the client; others ignore it.
    pub mode: Mode,
    /// Where the portal's restore tokens are kept, one for each description.
    pub state_dir: PathBuf,
}

/// What a capture is started from.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Whose pipeline it is, for messages and thread names: `capture` or `audio`.
    pub(super) what: &'static str,
    /// Name of the description.
    pub(super) name: String,
    /// Filled, but for what only the portal knows.
    pub(super) launch: String,
    /// Caps of what it ends in.
    pub(super) delivers: &'static str,
    /// Whose portal, for one that needs it.
    pub(super) portal: Option<Desktop>,
}

impl From<CaptureSpec> for Recipe {
    fn from(spec: CaptureSpec) -> Recipe {
        let CaptureSpec { description, mode, state_dir } = spec;
        let name = description.common.name.clone();
        let token_file = state_dir.join(format!("portal-token-{name}"));
        Recipe {
            what: "capture",
            launch: description.fill(mode, None),
            delivers: "video/x-raw",
            portal: description.uses_portal().then_some(Desktop { bus: description.bus, token_file }),
            name,
        }
    }
}

impl Recipe {
    /// From the daemon of the session that this process runs in.
    fn reads_own_pipewire(&self) -> bool {
        let is_elsewhere = self.portal.as_ref().is_some_and(|desktop| desktop.bus.is_some());
        !is_elsewhere && self.reads_pipewire()
    }

    fn reads_pipewire(&self) -> bool {
        launch::elements(&self.launch).iter().any(|element| element.factory == PIPEWIRESRC)
    }

    /// What the text says of the nodes to read from; the portal watches its own.
    fn targets(&self) -> Vec<Watched> {
        if self.portal.is_some() {
            return Vec::new();
        }
        let elements = launch::elements(&self.launch);
        let sources = elements.iter().filter(|element| element.factory == PIPEWIRESRC);
        let target = |(key, value): &(&str, &str)| {
            let value = value.trim_matches('"');
            match *key {
                "target-object" => Some(Watched::Target(value.to_owned())),
                "path" => value.parse().ok().map(Watched::Node),
                _ => None,
            }
        };
        sources.filter_map(|source| source.properties.iter().find_map(target)).collect()
    }
}

const PIPEWIRESRC: &str = "pipewiresrc";

/// What a capture reports.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum CaptureEvent {
    FirstFrame,
    /// As many frames as [`Frames::await_frames`] was told.
    Frames,
    /// The first ones too.
    CapsChanged(gst::Caps),
    /// Apps can show themselves there.
    Display(Display),
    /// It is over, for this reason, and says nothing more. Close it and start another.
    Lost(String),
}

/// Where a capture's frames and reports go.
#[derive(Clone)]
pub(super) struct Feed {
    pub frames: Frames,
    /// Of two captures the later one has the higher number: its first frame ends what the earlier one shows.
    pub number: u64,
    pub events: mpsc::UnboundedSender<(u64, CaptureEvent)>,
    lost: Arc<AtomicBool>,
}

/// A running capture. Dropping it stops it too; [`Capture::close`] waits for the end.
pub(super) struct Capture {
    runner: Runner,
    reads_pipewire: bool,
    screencast: Option<Screencast>,
    watching: Vec<AbortOnDropHandle<()>>,
}

impl Capture {
    /// Asks the portal where the recipe needs it (the first time, a person has to agree), builds the pipeline and
    /// starts it. `feed` hears of everything from then on.
    pub async fn start(recipe: Recipe, feed: Feed) -> anyhow::Result<Capture> {
        let Recipe { what, name, .. } = recipe.clone();
        let mut capture = Self::build(recipe, feed).await?;
        let started = match capture.reads_pipewire {
            // Its elements may open slowly; what is linked is so at once.
            true => match capture.runner.open().await {
                Ok(()) => capture.runner.start_within(LINK_LIMIT).await,
                failed => failed,
            },
            false => capture.runner.start().await,
        };
        match started {
            Ok(()) => Ok(capture),
            Err(error) => {
                // What is stuck ends in its own time.
                if !capture.runner.is_stuck() {
                    capture.release().await;
                }
                Err(error).with_context(|| format!("{what} {name} does not start"))
            }
        }
    }

    /// Something else than its frames says when it is gone: one that shows nothing new is still.
    pub fn tells_loss(&self) -> bool {
        !self.watching.is_empty()
    }

    /// Has it take no pictures, at no cost, or take them again. A display stays with its apps, a portal session open.
    pub fn pause(&self, pause: bool) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let (paused, limit) = match self.reads_pipewire {
            // pipewiresrc 0.3.65 forgets to go on when it plays before its paused stream does. A new stream is begun as
            // the first one was.
            true => (gst::State::Ready, LINK_LIMIT),
            false => (gst::State::Paused, START_LIMIT),
        };
        self.runner.change(if pause { paused } else { gst::State::Playing }, limit)
    }

    /// What those who look at it have to do with.
    pub fn end(&self) -> Option<End> {
        let sink = self.runner.pipeline.by_name("joint")?.static_pad("sink")?;
        Some(End { sink, region: self.screencast.as_ref().and_then(Screencast::region) })
    }

    /// Caps filters that ask for pictures of `before` ask for those of `after`.
    pub fn resize(&self, before: Mode, after: Mode) {
        let fraction = |fps: Fps| gst::Fraction::new(fps.num as i32, fps.den as i32);
        let filters = self.runner.pipeline.iterate_all_by_element_factory_name("capsfilter");
        for filter in filters.into_iter().flatten() {
            let mut caps = filter.property::<gst::Caps>("caps");
            for structure in caps.make_mut().iter_mut() {
                let is = |name, length: u32| structure.get(name) == Ok(length as i32);
                if is("width", before.width) && is("height", before.height) {
                    structure.set("width", after.width as i32);
                    structure.set("height", after.height as i32);
                    if structure.get("framerate") == Ok(fraction(before.fps)) {
                        structure.set("framerate", fraction(after.fps));
                    }
                }
            }
            filter.set_property("caps", caps);
        }
    }

    /// Stops the pipeline, waits for its threads, and ends the portal session.
    pub async fn close(mut self) {
        self.release().await;
    }

    async fn build(recipe: Recipe, feed: Feed) -> anyhow::Result<Capture> {
        let (mut screencast, mut remote, mut watching) = (None, None, Vec::new());
        let reads_own_pipewire = recipe.reads_own_pipewire();
        let reads_pipewire = recipe.reads_pipewire();
        if reads_own_pipewire {
            let targets = recipe.targets();
            if let Some(missing) = watch::missing(&targets).await {
                // Before a portal is asked: one that has not noticed yet waits for the daemon and answers no more.
                // And what nobody connects keeps the state change waiting.
                bail!("{missing}");
            }
            for watched in targets.into_iter().chain([Watched::SessionManager]) {
                watching.extend(watch_daemon(watched, feed.clone()).await);
            }
        }
        let mut text = recipe.launch;
        if let Some(desktop) = &recipe.portal {
            let closed = feed.clone();
            let session = Screencast::open(desktop, move || {
                closed.lose("the desktop ended the screencast".into());
            })
            .await?;
            let fd = session.remote().await?;
            let values = [("node", session.node().to_string()), ("fd", fd.as_raw_fd().to_string())];
            text = launch::fill(&text, &values);
            watching.extend(watch_node(&session, feed.clone()).await);
            (remote, screencast) = (Some(fd), Some(session));
        } else if reads_own_pipewire {
            remote = watch::remote().await.ok();
        }
        text += " ! appsink name=joint sync=false async=false max-buffers=1 drop=true enable-last-sample=false qos=false";
        let runner = Runner::new(recipe.what, run::parse(&text)?, remote);
        if let Some(remote) = runner.descriptor() {
            give_remote(&runner.pipeline, remote);
        }
        let joint = run::element(runner.pipeline.upcast_ref(), "joint")?;
        let joint = joint.downcast::<gst_app::AppSink>().expect("the text makes it an appsink");
        joint.set_caps(Some(&gst::Caps::new_empty_simple(recipe.delivers)));
        take_frames(&joint, feed.clone());
        runner.watch(move |event| match event {
            StreamEvent::Failed(reason) => feed.lose(reason),
            StreamEvent::Display(display) => feed.report(CaptureEvent::Display(display)),
            _ => {}
        });
        Ok(Self { runner, reads_pipewire, screencast, watching })
    }

    async fn release(&mut self) {
        self.watching.clear();
        self.runner.stop().await;
        if let Some(screencast) = self.screencast.take() {
            screencast.close().await;
        }
    }
}

impl Drop for Capture {
    /// A stream that waits to be connected holds PipeWire's session manager up, the next try with it: its connection
    /// ends at once, the wait of its element after half a minute.
    fn drop(&mut self) {
        if let Some(remote) = self.runner.descriptor().filter(|_| self.runner.is_stuck()) {
            let _ = rustix::net::shutdown(remote, rustix::net::Shutdown::Both);
        }
    }
}

/// Has elements that would connect by themselves use this connection.
fn give_remote(pipeline: &gst::Pipeline, remote: BorrowedFd<'_>) {
    for element in pipeline.iterate_recurse().into_iter().flatten() {
        let is_source = element.factory().is_some_and(|factory| factory.name() == PIPEWIRESRC);
        if is_source && element.property::<i32>("fd") == -1 {
            element.set_property("fd", remote.as_raw_fd());
        }
    }
}

/// Watches the screencast's node on a remote of its own: the pipeline does not notice when it goes.
async fn watch_node(screencast: &Screencast, feed: Feed) -> Option<AbortOnDropHandle<()>> {
    let node = screencast.node();
    match screencast.remote().await.and_then(Watch::on) {
        Ok(watch) => Some(watch_in_background(watch, Watched::Node(node), feed)),
        Err(error) => {
            tracing::warn!("nobody will tell when the screencast dies: {error:#}");
            None
        }
    }
}

/// Watches the daemon and something of its own, which a portal's remote does not show.
async fn watch_daemon(watched: Watched, feed: Feed) -> Option<AbortOnDropHandle<()>> {
    match Watch::connect().await {
        Ok(watch) => Some(watch_in_background(watch, watched, feed)),
        Err(error) => {
            tracing::debug!("PipeWire's daemon is out of reach: {error:#}");
            None
        }
    }
}

fn watch_in_background(watch: Watch, watched: Watched, feed: Feed) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move { feed.lose(watch.lost(watched).await) }))
}

impl Feed {
    pub fn new(frames: Frames, number: u64, events: mpsc::UnboundedSender<(u64, CaptureEvent)>) -> Self {
        Self { frames, number, events, lost: Arc::default() }
    }

    fn report(&self, event: CaptureEvent) {
        // The source may have ended.
        let _ = self.events.send((self.number, event));
    }

    /// Reports a loss once.
    fn lose(&self, reason: String) {
        if !self.lost.swap(true, Ordering::AcqRel) {
            self.report(CaptureEvent::Lost(reason));
        }
    }
}

fn take_frames(joint: &gst_app::AppSink, feed: Feed) {
    let on_sample = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if let Some(reason) = size_fault(&sample) {
            feed.lose(reason);
            return Err(gst::FlowError::Eos);
        }
        let captured = captured(sink, &sample);
        let Some(news) = feed.frames.keep(feed.number, sample, captured) else {
            return Ok(gst::FlowSuccess::Ok);
        };
        if news.first {
            feed.report(CaptureEvent::FirstFrame);
        }
        if news.awaited {
            feed.report(CaptureEvent::Frames);
        }
        if let Some(caps) = news.caps {
            feed.report(CaptureEvent::CapsChanged(caps));
        }
        Ok(gst::FlowSuccess::Ok)
    };
    joint.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build());
}

/// When the source took the picture, on the monotonic clock: sources stamp their buffers with it.
fn captured(sink: &gst_app::AppSink, sample: &gst::Sample) -> Option<gst::ClockTime> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let taken = segment.to_running_time(sample.buffer()?.pts()?)?;
    let age = sink.current_running_time()?.checked_sub(taken)?;
    // A source with times of its own, a file for example, says nothing of when.
    (age <= gst::ClockTime::SECOND).then(|| gst::get_timestamp() - age)
}

/// PipeWire changes a node's size without new caps; such a buffer must not be shown.
fn size_fault(sample: &gst::Sample) -> Option<String> {
    let (buffer, caps) = (sample.buffer()?, sample.caps()?);
    if !caps.structure(0)?.has_name("video/x-raw") {
        return None;
    }
    let info = gst_video::VideoInfo::from_caps(caps).ok()?;
    let (width, height) = (info.width(), info.height());
    let fault = |came: String| format!("the source changed its size without saying so: {came}");
    if let Some(meta) = buffer.meta::<gst_video::VideoMeta>() {
        let (its_width, its_height) = (meta.width(), meta.height());
        let fits = (its_width, its_height) == (width, height);
        return (!fits).then(|| fault(format!("{its_width}x{its_height} came for {width}x{height}")));
    }
    let (is, should) = (buffer.size(), info.size());
    (is != should).then(|| fault(format!("{is} bytes came for {width}x{height}, which has {should}")))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Lines may be longer than their pixels then, and the size of the buffer says nothing.
    #[test]
    fn a_buffer_that_says_its_size_is_held_to_that() {
        gst::init().unwrap();
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Bgrx, 64, 64).build().unwrap();
        let sample = |width, height| {
            let mut buffer = gst::Buffer::with_size(128 * 64 * 4).unwrap();
            let flags = gst_video::VideoFrameFlags::empty();
            gst_video::VideoMeta::add_full(
                buffer.get_mut().unwrap(),
                flags,
                gst_video::VideoFormat::Bgrx,
                width,
                height,
                &[0],
                &[128 * 4],
            )
            .unwrap();
            gst::Sample::builder().buffer(&buffer).caps(&info.to_caps().unwrap()).build()
        };
        assert_eq!(size_fault(&sample(64, 64)), None);
        let reason = size_fault(&sample(32, 64)).unwrap();
        assert!(reason.contains("32x64 came for 64x64"), "{reason}");
    }
}
