use super::super::capture::CaptureSpec;
use super::super::description::{CaptureDescription, Describes, Mode};
use super::super::run;
use super::*;
use crate::protocol::params::Fps;
use gst::prelude::*;
use gstgamestream::timing;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

const MODE: Mode = Mode { width: 64, height: 48, fps: Fps { num: 30, den: 1 } };
const LIMIT: Duration = Duration::from_secs(20);
/// A budget that is spent while one waits for it.
const SOON: Limits = Limits {
    rebuilds: 3,
    time: Duration::from_millis(1500),
    between: Duration::from_millis(50),
    first_patience: LIMIT,
    patience: LIMIT,
};

fn spec(launch: &str) -> CaptureSpec {
    crate::pipeline::init().unwrap();
    let toml = format!("launch = \"\"\"{launch}\"\"\"");
    let description = CaptureDescription::read("example", "example.toml", &toml).unwrap();
    CaptureSpec { description, mode: MODE, state_dir: PathBuf::new() }
}

async fn start(launch: &str, limits: Limits) -> Source {
    Source::start(spec(launch), limits).await.unwrap()
}

/// Waits until the source fares so.
async fn until(source: &Source, fares: impl FnMut(&Health) -> bool) -> Health {
    let mut health = source.health();
    let health = tokio::time::timeout(LIMIT, health.wait_for(fares)).await;
    health.expect("it comes in time").expect("the source is there").clone()
}

async fn over(source: &Source) -> String {
    match until(source, |health| matches!(health, Health::Over(_))).await {
        Health::Over(reason) => reason,
        other => panic!("{other:?}"),
    }
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

    /// Waits until nothing comes for a second and a half.
    fn see_nothing(&self) {
        let end = Instant::now() + LIMIT;
        while self.sink.try_pull_sample(gst::ClockTime::from_mseconds(1500)).is_some() {
            assert!(Instant::now() < end, "it goes on");
        }
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

/// It neither ends nor fails, and its description says that it is never still.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_falls_silent_is_built_again_where_its_description_says_so() {
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let launch = format!(
        "udpsrc address=127.0.0.1 port={port} ! rawvideoparse format=gray8 width=64 height=48 \
         ! video/x-raw,framerate=25/1 ! watchdog timeout=500"
    );
    let source = start(&launch, Limits::default()).await;
    let _looking = source.look();
    let speaks = async |fares: &dyn Fn(&Health) -> bool| {
        while !fares(&source.health().borrow()) {
            sender.send_to(&[0; 64 * 48], ("127.0.0.1", port)).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let shown = |_: &Health| source.caps().is_some();
    tokio::time::timeout(LIMIT, speaks(&shown)).await.expect("it shows something");
    let lost = until(&source, |health| matches!(health, Health::Stands(_))).await;
    assert!(
        matches!(&lost, Health::Stands(reason) if reason.to_lowercase().contains("watchdog")),
        "{lost:?}"
    );
    let back = |health: &Health| matches!(health, Health::Rebuilt(1));
    tokio::time::timeout(LIMIT, speaks(&back)).await.expect("it comes back");
    source.close().await;
}

/// Writes down what is asked of it.
struct Noted(Arc<std::sync::Mutex<Vec<String>>>);

impl VirtualOutput for Noted {
    fn resize(&mut self, mode: Mode) -> futures_util::future::BoxFuture<'_, anyhow::Result<()>> {
        self.0.lock().unwrap().push(format!("resized to {}x{}", mode.width, mode.height));
        Box::pin(std::future::ready(Ok(())))
    }

    fn release(self: Box<Self>) -> futures_util::future::BoxFuture<'static, ()> {
        self.0.lock().unwrap().push("released".into());
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_is_resized_before_its_capture_and_goes_after_it_and_with_an_error() {
    let notes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let launch = "videotestsrc is-live=true ! video/x-raw,width={width},height={height},framerate={fps}";
    let output = || Box::new(Noted(notes.clone()));
    let source = Source::start_on(output(), spec(launch), SOON).await.unwrap();
    let _looking = source.look();
    let viewer = Viewer::new();
    let _attached = source.attach(&viewer.source);
    let width = || viewer.see().caps().unwrap().structure(0).unwrap().get::<i32>("width").unwrap();
    let becomes = |wish| {
        let end = Instant::now() + LIMIT;
        while width() != wish {
            assert!(Instant::now() < end, "it becomes {wish} pixels wide");
        }
    };
    becomes(64);
    let after = Mode { width: 128, height: 96, ..MODE };
    source.resize(spec(launch), MODE, after);
    becomes(128);
    assert_eq!(*notes.lock().unwrap(), ["resized to 128x96"]);
    source.close().await;
    assert_eq!(notes.lock().unwrap().last().unwrap(), "released");
    let failed = Source::start_on(output(), spec("filesrc location=/nowhere ! rawvideoparse"), SOON).await;
    assert!(failed.is_err());
    assert_eq!(notes.lock().unwrap()[1..], ["released", "released"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_viewer_gets_the_only_frame_there_ever_was() {
    // Nobody looks at it, so it is not built again.
    let source = start("videotestsrc num-buffers=1 ! video/x-raw,width=64,height=48", SOON).await;
    over(&source).await;
    for _ in 0..2 {
        let viewer = Viewer::new();
        let _attached = source.attach(&viewer.source);
        let seen = viewer.see();
        assert_eq!(seen.caps_owned(), source.caps());
        assert!(seen.buffer().unwrap().pts().is_some(), "the viewer's clock stamps it");
    }
    source.close().await;
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
    let silent = start("appsrc is-live=true ! video/x-raw", SOON).await;
    let viewer = Viewer::new();
    assert!(silent.show_if_nothing(&viewer.source, &stand_in));
    assert_eq!(viewer.see().caps_owned(), stand_in.caps_owned());
    assert_eq!(*silent.health().borrow(), Health::Runs);
    silent.close().await;
    let source = start("videotestsrc is-live=true ! video/x-raw,width=64", SOON).await;
    let other = Viewer::new();
    let _attached = source.attach(&other.source);
    other.see();
    assert!(!source.show_if_nothing(&viewer.source, &stand_in));
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_frames_until_it_detaches() {
    let text = "videotestsrc is-live=true ! video/x-raw,width={width},height={height},framerate={fps}";
    let source = start(text, SOON).await;
    let (left, stays) = (Viewer::new(), Viewer::new());
    let attached = source.attach(&left.source);
    let _stays = source.attach(&stays.source);
    for _ in 0..5 {
        left.see();
    }
    drop(attached);
    while left.sink.try_pull_sample(gst::ClockTime::from_mseconds(200)).is_some() {}
    for _ in 0..5 {
        stays.see();
    }
    assert!(
        left.sink.try_pull_sample(gst::ClockTime::ZERO).is_none(),
        "nothing came while the other saw five"
    );
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_start_is_an_error() {
    let Err(error) = Source::start(spec("filesrc location=/nonexistent ! rawvideoparse"), SOON).await else {
        panic!("it started")
    };
    assert!(format!("{error:#}").contains("capture example does not start"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_begins_without_a_capture_comes_later_or_is_over_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("picture");
    let begin = || {
        let limits = Limits { rebuilds: 1000, ..SOON };
        Source::lost(spec(&picture(&file)), limits, "not there yet".into())
    };
    let (source, looking) = begin();
    assert_eq!(*source.health().borrow(), Health::Stands("not there yet".into()));
    std::fs::write(&file, [7; 64 * 48]).unwrap();
    until(&source, |health| *health == Health::Rebuilt(1)).await;
    source.close().await;
    drop(looking);
    let (source, _looking) =
        Source::lost(spec("filesrc location=/nonexistent ! rawvideoparse"), SOON, "not there yet".into());
    assert!(over(&source).await.contains("does not start"));
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_ends_or_fails_again_and_again_is_built_as_often_while_it_shows_something() {
    for fault in ["num-buffers=3 ! identity", "! identity error-after=3"] {
        let (begin, end) = ("videotestsrc is-live=true", "! video/x-raw,width=64,height=48,framerate=30/1");
        let source = start(&format!("{begin} {fault} {end}"), SOON).await;
        let _looking = source.look();
        let viewer = Viewer::new();
        let _attached = source.attach(&viewer.source);
        let enough = u64::from(SOON.rebuilds) + 2;
        until(&source, |health| matches!(health, Health::Rebuilt(count) if *count >= enough)).await;
        viewer.see();
        source.close().await;
    }
}

/// Shows the picture in a file over and over, for as long as the file is there. It always starts.
fn picture(file: &Path) -> String {
    format!(
        "multifilesrc location={} loop=true ! rawvideoparse format=gray8 width=64 height=48 framerate=30/1 ! identity sync=true",
        file.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_comes_back_shows_to_those_who_stayed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("picture");
    std::fs::write(&file, [7; 64 * 48]).unwrap();
    let source = start(&picture(&file), Limits { rebuilds: 1000, ..SOON }).await;
    let _looking = source.look();
    let viewer = Viewer::new();
    let _attached = source.attach(&viewer.source);
    let seen = || viewer.see().buffer().unwrap().map_readable().unwrap()[0];
    assert_eq!(seen(), 7);
    std::fs::remove_file(&file).unwrap();
    until(&source, |health| matches!(health, Health::Stands(_))).await;
    std::fs::write(&file, [9; 64 * 48]).unwrap();
    until(&source, |health| *health == Health::Rebuilt(1)).await;
    while seen() != 9 {}
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_comes_back_is_over_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("two seconds");
    std::fs::write(&file, [7; 20 * 64 * 48]).unwrap();
    let text = format!(
        "filesrc location=\"{}\" ! rawvideoparse format=gray8 width=64 height=48 framerate=10/1 ! identity sync=true",
        file.display()
    );
    let source = start(&text, SOON).await;
    let _looking = source.look();
    std::fs::remove_file(&file).unwrap();
    let reason = over(&source).await;
    assert!(reason.contains("Resource not found") && reason.contains("within 1.5 s"), "{reason}");
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_before_it_shows_anything_is_over_after_so_many_rebuilds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("picture");
    std::fs::write(&file, [7; 64 * 48]).unwrap();
    let source = start(&picture(&file), SOON).await;
    let _looking = source.look();
    std::fs::remove_file(&file).unwrap();
    let reason = over(&source).await;
    assert!(reason.contains("3 times in a row"), "{reason}");
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_built_for_nobody() {
    let source =
        start("videotestsrc is-live=true num-buffers=2 ! video/x-raw,width=64,framerate=30/1", SOON).await;
    let looking = source.look();
    until(&source, |health| matches!(health, Health::Rebuilt(_))).await;
    drop(looking);
    assert!(over(&source).await.contains("nobody looked"));
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_when_it_shows_or_why_it_does_not() {
    let shows = start("videotestsrc is-live=true ! video/x-raw,width=64", SOON).await;
    tokio::time::timeout(LIMIT, shows.shows()).await.expect("in time").unwrap();
    let dies = start("videotestsrc ! identity error-after=1 ! video/x-raw,width=64", SOON).await;
    let _looking = dies.look();
    let reason = tokio::time::timeout(LIMIT, dies.shows()).await.expect("in time").unwrap_err();
    assert!(reason.contains("identity"), "{reason}");
    let silent = start("appsrc is-live=true ! video/x-raw", SOON).await;
    let (reason, ()) = tokio::join!(silent.shows(), silent.close());
    reason.unwrap_err();
    shows.close().await;
    assert_eq!(shows.shows().await, Ok(()), "it did");
    dies.close().await;
}

const MOVES: &str =
    "videotestsrc is-live=true ! video/x-raw,width={width},height={height},framerate={fps} ! identity";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_captured_while_nobody_looks() {
    let source = start(MOVES, SOON).await;
    let viewer = Viewer::new();
    let _attached = source.attach(&viewer.source);
    viewer.see();
    viewer.see();
    for _ in 0..2 {
        let looking = source.look();
        viewer.see();
        drop(looking);
        viewer.see_nothing();
        let back = gst::get_timestamp();
        let looking = source.look();
        for _ in 0..5 {
            let seen = viewer.see();
            let meta = seen.buffer().unwrap().meta::<gst::ReferenceTimestampMeta>();
            let meta = meta.expect("it says when it was captured, and the pause does not count");
            assert!(meta.reference().structure(0).is_some_and(|clock| clock.name() == timing::CAPTURE_TIME));
            assert!(
                meta.timestamp() + gst::ClockTime::SECOND > back && meta.timestamp() <= gst::get_timestamp()
            );
        }
        drop(looking);
    }
    assert_eq!(*source.health().borrow(), Health::Runs);
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_frame_comes_whoever_looks() {
    let source = start(&format!("{MOVES} sleep-time=1000000"), SOON).await;
    drop(source.look());
    tokio::time::timeout(LIMIT, source.shows()).await.expect("in time").unwrap();
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_resized_in_a_pause_comes_in_the_other_size() {
    let source = start(MOVES, SOON).await;
    let viewer = Viewer::new();
    let _attached = source.attach(&viewer.source);
    drop(source.look());
    viewer.see_nothing();
    let after = Mode { width: 128, height: 96, ..MODE };
    source.resize(CaptureSpec { mode: after, ..spec(MOVES) }, MODE, after);
    let _looking = source.look();
    let wide = || viewer.see().caps().unwrap().structure(0).unwrap().get::<i32>("width") == Ok(128);
    let end = Instant::now() + LIMIT;
    while !wide() {
        assert!(Instant::now() < end, "it keeps its size");
    }
    source.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_of_its_pause_is_built_again_for_who_comes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("picture");
    std::fs::write(&file, [7; 64 * 48]).unwrap();
    let source = start(&picture(&file), Limits { rebuilds: 1000, ..SOON }).await;
    let viewer = Viewer::new();
    let _attached = source.attach(&viewer.source);
    drop(source.look());
    viewer.see_nothing();
    std::fs::remove_file(&file).unwrap();
    let _looking = source.look();
    until(&source, |health| matches!(health, Health::Stands(_))).await;
    std::fs::write(&file, [9; 64 * 48]).unwrap();
    while viewer.see().buffer().unwrap().map_readable().unwrap()[0] != 9 {}
    source.close().await;
}
