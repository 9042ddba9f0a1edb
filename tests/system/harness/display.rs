//! Displays that a host makes itself, and apps that fill them with a colour.

use super::client::{Client, Report};
use super::desktop::Desktop;
use super::host::{Host, Setup};
use std::path::Path;
use tempfile::TempDir;

/// As programs are told, and as it is seen.
pub type Colour = (&'static str, [f64; 3]);

pub const RED: Colour = ("c83214", [200.0, 50.0, 20.0]);
pub const BLUE: Colour = ("1432c8", [20.0, 50.0, 200.0]);
pub const GREEN: Colour = ("1ea03c", [30.0, 160.0, 60.0]);
pub const YELLOW: Colour = ("dcc81e", [220.0, 200.0, 30.0]);

/// Begins a stream of the app of a [`House`].
pub const SMALL: [&str; 9] =
    ["--app", "game", "--decode", "--width", "640", "--height", "360", "--fps", "30"];
pub const LARGE: [&str; 9] =
    ["--app", "game", "--decode", "--width", "1280", "--height", "720", "--fps", "60"];

pub fn is_near(seen: [f64; 3], meant: [f64; 3]) -> bool {
    seen.iter().zip(meant).all(|(seen, meant)| (seen - meant).abs() <= 8.0)
}

/// All places that were looked at have this colour.
#[track_caller]
pub fn assert_colour(report: &Report, meant: Colour) {
    assert!(
        !report.colours.is_empty() && report.colours.values().all(|seen| is_near(*seen, meant.1)),
        "{:?}",
        report.colours
    );
}

/// A command whose window has this colour.
pub fn terminal(colour: Colour) -> String {
    format!("foot -c /dev/null -o colors.background={} sleep 600", colour.0)
}

/// Above left and right, and below left and right, of what [`quadrants`] shows.
pub const QUADRANTS: [Colour; 4] = [RED, BLUE, GREEN, YELLOW];

/// A command that fills its display, of an even width and height, with four colours. The sink has an assertion fail when
/// it is to be full-screen before it has a window, and is full-screen all the same; nobody needs to read that.
pub fn quadrants() -> String {
    let of_each = QUADRANTS.map(|(colour, _)| {
        format!(
            "videotestsrc pattern=solid-color foreground-color=0xff{colour} \
             ! video/x-raw,format=BGRx,width=$w,height=$h,framerate=5/1 ! all."
        )
    });
    format!(
        "sh -c 'w=$((MOONPIPE_WIDTH / 2)) h=$((MOONPIPE_HEIGHT / 2)); exec 2>/dev/null; \
         exec gst-launch-1.0 -q compositor name=all sink_1::xpos=$w sink_2::ypos=$h \
         sink_3::xpos=$w sink_3::ypos=$h ! waylandsink fullscreen=true {}'",
        of_each.join(" ")
    )
}

/// Where in the quadrant of each number one looks: at its ends away from and close to the middle of the picture.
pub fn look_at_quadrants(width: u32, height: u32) -> Vec<String> {
    const SIDE: u32 = 16;
    const MARGIN: u32 = 6;
    let outer = |middle: u32, second: bool| if second { 2 * middle - MARGIN - SIDE } else { MARGIN };
    let inner = |middle: u32, second: bool| if second { middle + MARGIN } else { middle - MARGIN - SIDE };
    let places = (0..QUADRANTS.len()).flat_map(|number| {
        let (right, below) = (number % 2 == 1, number / 2 == 1);
        let place = |end: &str, x: u32, y: u32| format!("--colour={number}-{end}={x},{y},{SIDE},{SIDE}");
        [
            place("outer", outer(width / 2, right), outer(height / 2, below)),
            place("inner", inner(width / 2, right), inner(height / 2, below)),
        ]
    });
    places.collect()
}

/// What [`quadrants`] shows is where it is to be.
#[track_caller]
pub fn assert_quadrants(report: &Report) {
    for (number, (_, colour)) in QUADRANTS.iter().enumerate() {
        for end in ["outer", "inner"] {
            let place = format!("{number}-{end}");
            assert!(is_near(report.colours[&place], *colour), "{place}: {:?}", report.colours);
        }
    }
}

/// A table of apps.toml.
pub fn app(title: &str, cmd: &str, more: &str) -> String {
    format!("[[app]]\ntitle = \"{title}\"\ncmd = \"{cmd}\"\n{more}\n")
}

/// Sockets of displays.
pub fn sockets(runtime_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(runtime_dir).expect("a folder").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("wayland-")).collect()
}

/// A host with one app, which fills its display with a colour and writes down that it was started.
pub struct House {
    pub host: Host,
    pub client: Client,
    /// Whose PipeWire has its sinks.
    pub desktop: Option<Desktop>,
    runtime_dir: TempDir,
    config: String,
    apps: String,
    sound: Option<String>,
}

impl House {
    pub fn new(config: &str) -> House {
        Self::build(config, None, None)
    }

    /// With this description of sound.
    pub fn with_sound(config: &str, sound: &str) -> House {
        Self::build(config, None, Some(sound.to_owned()))
    }

    /// With a sound sink for each display.
    pub fn with_sinks(config: &str) -> House {
        Self::build(config, Some(Desktop::start(640, 360)), None)
    }

    fn build(config: &str, desktop: Option<Desktop>, sound: Option<String>) -> House {
        let runtime_dir = tempfile::tempdir().expect("a folder");
        let starts = runtime_dir.path().join("starts");
        let cmd = format!("sh -c 'echo $$ >> {} && exec {}'", starts.display(), terminal(RED));
        let apps = app("game", &cmd, "");
        let own = own_sound(sound.as_ref());
        let setup = setup(config, &apps, runtime_dir.path(), desktop.as_ref());
        let host = Host::with(&Setup { pipelines: &own, ..setup });
        let client = Client::paired(&host);
        House { host, client, desktop, runtime_dir, config: config.to_owned(), apps, sound }
    }

    /// The same after its host was killed.
    pub fn again(mut self) -> House {
        let own = own_sound(self.sound.as_ref());
        let setup = setup(&self.config, &self.apps, self.runtime_dir.path(), self.desktop.as_ref());
        self.host = self.host.again(&Setup { pipelines: &own, ..setup });
        self
    }

    /// How often the app was started.
    pub fn starts(&self) -> usize {
        let starts = std::fs::read_to_string(self.runtime_dir.path().join("starts"));
        starts.map_or(0, |text| text.lines().count())
    }

    /// The process of the app.
    pub fn app(&self) -> Option<u32> {
        let starts = std::fs::read_to_string(self.runtime_dir.path().join("starts")).ok()?;
        starts.lines().last()?.parse().ok()
    }

    pub fn runtime_dir(&self) -> &Path {
        self.runtime_dir.path()
    }

    /// Sockets of displays.
    pub fn displays(&self) -> Vec<String> {
        sockets(self.runtime_dir.path())
    }

    /// Processes that serve displays' X11 programs, of this host and of those before it.
    pub fn xwaylands(&self) -> Vec<u32> {
        let folder = format!("XDG_RUNTIME_DIR={}", self.runtime_dir.path().display());
        let pids = std::fs::read_dir("/proc").expect("readable").flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_ours = |pid: &u32| {
            let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let environment = read("environ");
            read("comm").trim_ascii_end() == b"Xwayland"
                && environment.split(|byte| *byte == 0).any(|variable| variable == folder.as_bytes())
        };
        pids.filter(is_ours).collect()
    }

    /// Plays for eight seconds, sees the app in the last corner of the picture, and leaves in that way.
    #[track_caller]
    pub fn play(&self, client: &Client, mode: &[&str], how: &[&str]) {
        let report = client.stream(8, &[mode, &[corner(mode)], how].concat());
        assert_eq!((report.error, report.terminated), (0, None), "{report:#?}");
        assert_colour(&report, RED);
    }
}

/// The host plays its test tone where nothing else is said; a description of the user's own takes its place.
fn own_sound(text: Option<&String>) -> Vec<(&str, &str)> {
    text.map(|text| ("audio/test.toml", text.as_str())).into_iter().collect()
}

fn setup<'a>(
    config: &'a str,
    apps: &'a str,
    runtime_dir: &'a Path,
    pipewire: Option<&'a Desktop>,
) -> Setup<'a> {
    let arguments: &[&str] = match pipewire {
        Some(_) => &["--source", "virtual", "--log", "debug", "--audio", "pipewire"],
        None => &["--source", "virtual", "--log", "debug"],
    };
    Setup {
        apps: Some(apps),
        arguments,
        runtime_dir: Some(runtime_dir),
        pipewire,
        config,
        ..Setup::default()
    }
}

/// Looks at the last corner of the picture.
pub fn corner(mode: &[&str]) -> &'static str {
    match mode[4] {
        "640" => "--colour=corner=580,300,40,40",
        _ => "--colour=corner=1200,640,60,60",
    }
}
