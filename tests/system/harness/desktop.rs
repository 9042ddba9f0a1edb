//! A real Wayland desktop, started by tests/desktop/desktop.

use super::host::MOONPIPE;
use super::lines::Lines;
use super::{kept, root, until};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Desktop {
    session: Child,
    /// Orders so far.
    orders: Cell<usize>,
    answers: Lines,
    noise: Lines,
    environment: PathBuf,
    folder: PathBuf,
    moonpipe: PathBuf,
    pub user: u32,
    pub group: u32,
}

/// A program of the desktop; it ends with this value.
pub struct Program(Child);

impl Desktop {
    pub fn start(width: u32, height: u32) -> Desktop {
        Self::of(&format!("{width}x{height}"))
    }

    /// Mutter without a monitor; each screencast gets a virtual one.
    pub fn mutter() -> Desktop {
        Self::of("mutter")
    }

    fn of(kind: &str) -> Desktop {
        let script = root().join("tests/desktop/desktop");
        let mut session = Command::new(&script)
            .arg(kind)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", script.display()));
        let stdout = Lines::collect(session.stdout.take().expect("piped"));
        let noise = Lines::collect(session.stderr.take().expect("piped"));
        let ready =
            stdout.wait_for(Duration::from_secs(60), |line| line.strip_prefix("desktop ").map(PathBuf::from));
        let Some(file) = ready else {
            let _ = session.kill();
            panic!("no desktop: {}", noise.tail(40));
        };
        let folder = file.parent().expect("the desktop's folder").to_owned();
        let owner = std::fs::metadata(&folder).expect("readable");
        // Copies, because the desktop's user may not look into the checkout.
        let moonpipe = folder.join("moonpipe");
        std::fs::copy(MOONPIPE, &moonpipe).expect("room for the binary");
        Desktop {
            session,
            orders: Cell::new(0),
            answers: stdout,
            noise,
            environment: file,
            folder,
            moonpipe,
            user: owner.uid(),
            group: owner.gid(),
        }
    }

    /// Has one of the orders done that tests/desktop/desktop takes, and waits for that.
    pub fn order(&self, order: &str) {
        self.orders.set(self.orders.get() + 1);
        let mut orders = self.session.stdin.as_ref().expect("piped");
        writeln!(orders, "{order}").expect("the desktop listens");
        until(&format!("the desktop does {order:?}"), Duration::from_secs(30), || {
            let done = self.answers.all().iter().filter(|line| line.starts_with("done ")).count();
            (done == self.orders.get()).then_some(())
        });
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn moonpipe(&self) -> &Path {
        &self.moonpipe
    }

    /// Address of its D-Bus.
    pub fn bus(&self) -> String {
        read_environment(&self.environment)["DBUS_SESSION_BUS_ADDRESS"].clone()
    }

    /// Makes `command` a program of this desktop: its user, its buses.
    pub fn enter(&self, command: &mut Command) {
        command.envs(read_environment(&self.environment)).current_dir(&self.folder);
        command.env("HOME", &self.folder).env("XDG_CACHE_HOME", self.folder.join("cache"));
        let registry = self.folder.join("registry.bin");
        // GStreamer looks through all plugins where it finds no registry; the kept one saves that second.
        if !registry.exists() && std::fs::copy(kept().join("registry.bin"), &registry).is_ok() {
            std::os::unix::fs::chown(&registry, Some(self.user), Some(self.group))
                .expect("root gives to anybody");
        }
        command.env("GST_REGISTRY", registry);
        if std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() != self.user) {
            command.uid(self.user).gid(self.group);
        }
    }

    /// Where its sockets lie.
    pub fn runtime_dir(&self) -> String {
        let environment = read_environment(&self.environment);
        environment.into_iter().find(|(name, _)| name == "XDG_RUNTIME_DIR").expect("a desktop has one").1
    }

    /// Starts a program of the desktop.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Program {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.enter(&mut command);
        Program(command.spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}")))
    }

    /// Shows what a GStreamer pipeline makes as a window, and waits until it is the `count`th one on the desktop.
    /// The plugin's own elements may stand in the pipeline.
    pub fn window(&self, pipeline: &str, count: usize) -> Program {
        let plugin = self.folder.join("plugins/libgstgamestream.so");
        if !plugin.exists() {
            std::fs::create_dir_all(plugin.parent().expect("a folder")).expect("writable");
            let built = root().join("target/release/libgstgamestream.so");
            std::fs::copy(&built, &plugin)
                .unwrap_or_else(|e| panic!("{}: {e}; run `make build`", built.display()));
        }
        let path = format!("GST_PLUGIN_PATH={}", plugin.parent().expect("a folder").display());
        let words: Vec<&str> = ["gst-launch-1.0", "-q"]
            .into_iter()
            .chain(pipeline.split_whitespace())
            .chain(["!", "waylandsink"])
            .collect();
        let start = || self.run("env", &[&[path.as_str()], words.as_slice()].concat());
        let mut program = start();
        until(&format!("window {count} appears"), Duration::from_secs(30), || {
            // A compositor that has just been started may refuse it.
            if let Ok(Some(how)) = program.0.try_wait() {
                eprintln!("the program of window {count} ended ({how}) and is started again");
                program = start();
            }
            (self.windows() >= count).then_some(())
        });
        program
    }

    /// A file with a tone, for the desktop's programs to play.
    pub fn tone(&self, hertz: f64, seconds: u32) -> PathBuf {
        let path = self.folder.join(format!("tone-{hertz}.wav"));
        write_tone(&path, hertz, seconds);
        path
    }

    fn windows(&self) -> usize {
        self.ask("swaymsg", &["-t", "get_tree", "-r"]).matches("\"pid\":").count()
    }

    /// Sinks that hosts have made.
    pub fn sinks(&self) -> Vec<String> {
        let nodes = self.ask("pw-cli", &["ls", "Node"]);
        let names = nodes.lines().filter_map(|line| line.trim().strip_prefix("node.name = "));
        let mut sinks: Vec<_> = names.map(|name| name.trim_matches('"').to_owned()).collect();
        sinks.retain(|name| name.starts_with("moonpipe-"));
        sinks.sort();
        sinks
    }

    /// How many nodes and clients PipeWire has.
    pub fn pipewire(&self) -> (usize, usize) {
        let count = |kind| self.ask("pw-cli", &["ls", kind]).matches("type PipeWire:").count();
        (count("Node"), count("Client"))
    }

    /// What a program of the desktop prints.
    pub fn ask(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).env_clear();
        self.enter(&mut command);
        String::from_utf8_lossy(&super::output(&mut command).stdout).into_owned()
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        drop(self.session.stdin.take());
        let ended = (0..250).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            matches!(self.session.try_wait(), Ok(Some(_)))
        });
        if !ended {
            let _ = self.session.kill();
        }
        if std::thread::panicking() {
            eprintln!("--- the desktop said\n{}\n---", self.noise.tail(30));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_environment(file: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(file).expect("the desktop's environment");
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A quiet stereo tone as a WAV file.
fn write_tone(path: &Path, hertz: f64, seconds: u32) {
    const RATE: u32 = 48_000;
    let samples = (0..RATE * seconds).flat_map(|n| {
        let value = (0.2 * (TAU * hertz * f64::from(n) / f64::from(RATE)).sin() * f64::from(i16::MAX)) as i16;
        [value, value].map(i16::to_le_bytes).concat()
    });
    let data: Vec<u8> = samples.collect();
    let size = data.len() as u32;
    let mut wav = Vec::with_capacity(data.len() + 44);
    for piece in [
        &b"RIFF"[..],
        &(size + 36).to_le_bytes(),
        b"WAVEfmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &2_u16.to_le_bytes(),
    ] {
        wav.extend_from_slice(piece);
    }
    for piece in [
        &RATE.to_le_bytes()[..],
        &(RATE * 4).to_le_bytes(),
        &4_u16.to_le_bytes(),
        &16_u16.to_le_bytes(),
        b"data",
        &size.to_le_bytes(),
    ] {
        wav.extend_from_slice(piece);
    }
    wav.extend_from_slice(&data);
    std::fs::write(path, wav).expect("writable");
}
