//! A real Wayland desktop, started by tests/desktop/desktop.

use super::host::MOONPIPE;
use super::lines::Lines;
use super::{kept, root, until};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Desktop {
    session: Child,
    noise: Lines,
    environment: BTreeMap<String, String>,
    folder: PathBuf,
    moonpipe: PathBuf,
    pub user: u32,
    pub group: u32,
}

/// A program of the desktop; it ends with this value.
pub struct Program(Child);

impl Desktop {
    pub fn start(width: u32, height: u32) -> Desktop {
        let script = root().join("tests/desktop/desktop");
        let mut session = Command::new(&script)
            .arg(format!("{width}x{height}"))
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
        let environment = read_environment(&file);
        Desktop { session, noise, environment, folder, moonpipe, user: owner.uid(), group: owner.gid() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn moonpipe(&self) -> &Path {
        &self.moonpipe
    }

    /// Makes `command` a program of this desktop: its user, its buses.
    pub fn enter(&self, command: &mut Command) {
        command.envs(&self.environment).current_dir(&self.folder);
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
        let program = self.run("env", &[&[path.as_str()], words.as_slice()].concat());
        until(&format!("window {count} appears"), Duration::from_secs(15), || {
            (self.windows() >= count).then_some(())
        });
        program
    }

    fn windows(&self) -> usize {
        let mut command = Command::new("swaymsg");
        command.args(["-t", "get_tree", "-r"]).env_clear();
        self.enter(&mut command);
        let tree = super::output(&mut command);
        String::from_utf8_lossy(&tree.stdout).matches("\"pid\":").count()
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
