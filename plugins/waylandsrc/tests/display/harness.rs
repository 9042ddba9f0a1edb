//! Pipelines with a display, and what is seen on it.

use gst::prelude::*;
use gst_app::AppSink;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Long enough for a machine that stands still at times.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The folder of this process' sockets.
static RUNTIME_DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder for sockets");
    // SAFETY: every test comes through here before it does anything else, so no other thread looks at the environment yet.
    unsafe { std::env::set_var("XDG_RUNTIME_DIR", folder.path()) };
    gst::init().expect("GStreamer");
    gstwaylandsrc::plugin_register_static().expect("the plugin");
    folder
});

pub fn init() -> PathBuf {
    RUNTIME_DIR.path().to_owned()
}

/// Held by tests that flood a display: two at once would leave neither the processors that it takes.
pub fn floods() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `look` finds something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A playing pipeline: `waylandsrc name=src … ! appsink name=sink`.
pub struct Show {
    pub pipeline: gst::Pipeline,
    pub sink: AppSink,
    /// Of its socket.
    pub name: String,
}

impl Show {
    /// `properties` of the source, `caps` behind it.
    pub fn start(properties: &str, caps: &str) -> Self {
        let show = Self::prepare(properties, caps);
        show.pipeline.set_state(gst::State::Playing).expect("it plays");
        show.named()
    }

    pub fn prepare(properties: &str, caps: &str) -> Self {
        init();
        let launch = format!(
            "waylandsrc name=src {properties} ! capsfilter name=caps caps={caps} ! \
             appsink name=sink sync=false max-buffers=2 drop=true"
        );
        let pipeline = gst::parse::launch(&launch).expect(&launch).downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name("sink").unwrap().downcast::<AppSink>().unwrap();
        Self { pipeline, sink, name: String::new() }
    }

    /// Waits for the name of the socket.
    pub fn named(mut self) -> Self {
        self.name = display_name(&self.pipeline);
        self
    }

    pub fn source(&self) -> gst::Element {
        self.pipeline.by_name("src").unwrap()
    }

    pub fn socket(&self) -> PathBuf {
        init().join(&self.name)
    }

    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).expect("the socket of the display")
    }

    pub fn set_caps(&self, caps: &str) {
        let filter = self.pipeline.by_name("caps").unwrap();
        filter.set_property("caps", caps.parse::<gst::Caps>().unwrap());
    }

    /// A program that shows itself there.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Program {
        let child = Command::new(program)
            .args(arguments)
            .env("WAYLAND_DISPLAY", &self.name)
            .env_remove("DISPLAY")
            .env("HOME", init())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Program(
            child.unwrap_or_else(|error| panic!("{program}: {error}. scripts/install-dependencies --tests")),
        )
    }

    pub fn try_picture(&self, at_most: Duration) -> Option<Shot> {
        let sample = self.sink.try_pull_sample(gst::ClockTime::try_from(at_most).unwrap())?;
        Some(Shot::new(&sample))
    }

    pub fn picture(&self) -> Shot {
        self.try_picture(PATIENCE).expect("a picture")
    }

    /// Waits for a picture that looks so.
    pub fn picture_with(&self, what: &str, look: impl Fn(&Shot) -> bool) -> Shot {
        let end = Instant::now() + PATIENCE;
        loop {
            let shot = self.picture();
            if look(&shot) {
                return shot;
            }
            assert!(Instant::now() < end, "never seen: {what}; the last picture is {}", shot.describe());
        }
    }

    /// Sends an event upstream as a sink does.
    pub fn send(&self, event: impl Into<gst::Event>) -> bool {
        self.sink.static_pad("sink").unwrap().push_event(event.into())
    }

    /// What navigation lacks.
    pub fn send_input(&self, fields: &str) {
        let structure: gst::Structure = format!("GstWaylandSrcInput, {fields}").parse().expect(fields);
        assert!(self.send(gst::event::CustomUpstream::new(structure)), "{fields}");
    }

    pub fn error(&self) -> Option<String> {
        let bus = self.pipeline.bus().unwrap();
        bus.pop_filtered(&[gst::MessageType::Error]).map(|message| match message.view() {
            gst::MessageView::Error(error) => error.error().to_string(),
            _ => unreachable!("filtered"),
        })
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        _ = self.pipeline.set_state(gst::State::Null);
    }
}

pub fn display_name(pipeline: &gst::Pipeline) -> String {
    announcement(pipeline).get("name").expect("the message has it")
}

/// What the message says that clients can connect.
pub fn announcement(pipeline: &gst::Pipeline) -> gst::Structure {
    let bus = pipeline.bus().unwrap();
    eventually("a message with the name of the display", || {
        let message = bus.pop_filtered(&[gst::MessageType::Element, gst::MessageType::Error])?;
        let structure = message.structure().filter(|structure| structure.name() == "wayland-display");
        assert!(structure.is_some(), "{message:?}");
        structure.map(ToOwned::to_owned)
    })
}

/// Ends with the test.
pub struct Program(pub Child);

/// What a program says, line by line.
pub struct Lines {
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Lines {
    pub fn of(program: &mut Program) -> Self {
        let out = BufReader::new(program.0.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { lines, said: Vec::new() }
    }

    /// Waits for a line with all of these words.
    pub fn says(&mut self, words: &[&str]) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("it never said {words:?}, but:\n{}", self.said.join("\n"));
            };
            let found = words.iter().all(|word| line.contains(word));
            self.said.push(line.clone());
            if found {
                return line;
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A picture of the display.
pub struct Shot {
    pub width: usize,
    pub height: usize,
    pub pts: Option<gst::ClockTime>,
    /// When it was drawn, in nanoseconds of the monotonic clock.
    pub drawn: Option<u64>,
    /// Red, green, blue from high to low.
    pixels: Vec<u32>,
}

impl Shot {
    fn new(sample: &gst::Sample) -> Self {
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let buffer = sample.buffer().unwrap();
        let bytes = buffer.map_readable().unwrap();
        let swapped = matches!(info.format(), gst_video::VideoFormat::Rgbx | gst_video::VideoFormat::Rgba);
        let pixel = |p: &[u8]| {
            let (r, b) = if swapped { (p[0], p[2]) } else { (p[2], p[0]) };
            u32::from_be_bytes([0, r, p[1], b])
        };
        let drawn = buffer.meta::<gst::ReferenceTimestampMeta>().map(|meta| meta.timestamp().nseconds());
        let (width, height) = (info.width() as usize, info.height() as usize);
        assert_eq!(bytes.len(), width * height * 4, "rows without gaps");
        let pixels = bytes.chunks_exact(4).map(pixel).collect();
        Self { width, height, pts: buffer.pts(), drawn, pixels }
    }

    pub fn at(&self, x: usize, y: usize) -> u32 {
        self.pixels[y * self.width + x]
    }

    pub fn is_all(&self, color: u32) -> bool {
        self.pixels.iter().all(|pixel| *pixel == color)
    }

    pub fn count(&self, color: u32) -> usize {
        self.pixels.iter().filter(|pixel| **pixel == color).count()
    }

    /// Left, top, right, bottom of what has this color, the last two outside.
    pub fn area(&self, color: u32) -> Option<(usize, usize, usize, usize)> {
        let mut found = (0..self.pixels.len()).filter(|at| self.pixels[*at] == color);
        let first = found.next()?;
        let mut area = (first % self.width, first / self.width, 0, 0);
        for at in std::iter::once(first).chain(found) {
            let (x, y) = (at % self.width, at / self.width);
            area = (area.0.min(x), area.1.min(y), area.2.max(x + 1), area.3.max(y + 1));
        }
        Some(area)
    }

    pub fn describe(&self) -> String {
        let mut colors: Vec<u32> = self.pixels.clone();
        colors.sort_unstable();
        colors.dedup();
        let areas: Vec<_> = colors
            .iter()
            .take(8)
            .map(|color| format!("{color:06x} in {:?}", self.area(*color).unwrap()))
            .collect();
        format!("{}×{}: {}", self.width, self.height, areas.join(", "))
    }
}
