//! A host under test: `moonpipe serve` with folders and ports of its own.

use super::desktop::Desktop;
use super::lines::Lines;
use super::{kept, output, send_signal, until};
use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

pub const MOONPIPE: &str = env!("CARGO_BIN_EXE_moonpipe");
const APPS: &str = "apps.toml";
/// The first start probes every encoder.
const START: Duration = Duration::from_secs(60);
const TCP_OFFSETS: [i32; 3] = [-5, 0, 21];
const UDP_OFFSETS: [i32; 3] = [9, 10, 11];

/// What a host is started with.
#[derive(Default)]
pub struct Setup<'a> {
    /// Text of the configuration file.
    pub config: &'a str,
    /// Text of the list of apps; none without it.
    pub apps: Option<&'a str>,
    /// After `serve --port N`.
    pub arguments: &'a [&'a str],
    /// `("capture/name.toml", text)`: descriptions of the user's own, beside the configuration file.
    pub pipelines: &'a [(&'a str, &'a str)],
    /// Run inside this desktop instead of outside any.
    pub desktop: Option<&'a Desktop>,
    /// Outside of any desktop, the one whose PipeWire is used.
    pub pipewire: Option<&'a Desktop>,
    /// XDG_RUNTIME_DIR outside of any desktop.
    pub runtime_dir: Option<&'a Path>,
}

pub struct Host {
    child: Child,
    folder: tempfile::TempDir,
    stdout: Lines,
    pub log: Lines,
    pub ports: BTreeMap<String, u16>,
    ended: Option<ExitStatus>,
    in_desktop: bool,
}

/// What a process holds, from /proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub threads: usize,
    pub descriptors: usize,
    pub resident_kib: u64,
}

impl Host {
    pub fn start() -> Host {
        Host::with(&Setup::default())
    }

    pub fn with(setup: &Setup) -> Host {
        Host::in_folder(new_folder(setup), free_base(), setup)
    }

    /// Started once more with the same folders and ports; the one before has ended.
    pub fn again(mut self, setup: &Setup) -> Host {
        assert!(self.ended.is_some(), "stop or kill the host first");
        let base = self.ports["http"];
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a temporary folder"));
        Host::in_folder(folder, base, setup)
    }

    fn in_folder(folder: tempfile::TempDir, base: u16, setup: &Setup) -> Host {
        let mut command = serve(folder.path(), base, setup);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdout = Lines::collect(child.stdout.take().expect("piped"));
        let log = Lines::collect(child.stderr.take().expect("piped"));
        let mut host = Host {
            child,
            folder,
            stdout,
            log,
            ports: BTreeMap::new(),
            ended: None,
            in_desktop: setup.desktop.or(setup.pipewire).is_some(),
        };
        let ready = host.stdout.wait_for(START, |line| line.strip_prefix("ready ").map(str::to_owned));
        host.ports = parse_ready(&ready.unwrap_or_else(|| panic!("the host is not ready within {START:?}")));
        assert_eq!(host.ports["http"], base, "the host listens where it was told to");
        host
    }

    pub fn port(&self, name: &str) -> u16 {
        self.ports[name]
    }

    pub fn state(&self) -> PathBuf {
        state(self.folder.path())
    }

    /// Writes the list of apps anew.
    pub fn write_apps(&self, text: &str) {
        self.write_config(APPS, text.as_bytes());
    }

    /// Writes a file beside the configuration.
    pub fn write_config(&self, name: &str, content: &[u8]) {
        std::fs::write(self.folder.path().join("config").join(name), content).expect("writable");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the client that was paired last may do from the next second on.
    pub fn permit_latest(&self, may: &str) {
        let listed = self.command(&["clients"]).stdout;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let name = listed.lines().last().and_then(|line| line.split_whitespace().next());
        let permitted = self.command(&["clients", "permit", name.expect("one is paired"), may]);
        assert!(permitted.status.success(), "{permitted:?}");
    }

    /// `moonpipe ARGUMENTS` with this host's folders.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = moonpipe(Path::new(MOONPIPE), self.folder.path(), arguments);
        output(&mut command)
    }

    /// Tells the PIN to the oldest waiting client, as soon as one waits.
    pub fn tell_pin(&self, pin: &str, name: Option<&str>) {
        let mut arguments = vec!["pair"];
        if let Some(name) = name {
            arguments.extend(["--name", name]);
        }
        arguments.push(pin);
        until("a client waits for its PIN", Duration::from_secs(15), || {
            let told = self.command(&arguments);
            match told.status.code() {
                Some(0) => Some(()),
                Some(1) => None,
                _ => panic!("moonpipe {arguments:?}: {told:?}"),
            }
        });
    }

    /// What `moonpipe sessions --json` tells.
    pub fn sessions(&self) -> Vec<serde_json::Value> {
        let told = self.command(&["sessions", "--json"]);
        serde_json::from_slice(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"))
    }

    /// The line of the log that contains `text`, now or within `limit`.
    pub fn wait_log(&self, text: &str, limit: Duration) -> String {
        let found = self.log.wait_for(limit, |line| line.contains(text).then(|| line.to_owned()));
        found.unwrap_or_else(|| panic!("the host's log does not say {text:?} within {limit:?}"))
    }

    pub fn usage(&self) -> Usage {
        let proc = PathBuf::from(format!("/proc/{}", self.pid()));
        let entries = |name: &str| std::fs::read_dir(proc.join(name)).map_or(0, Iterator::count);
        let status = std::fs::read_to_string(proc.join("status")).expect("the host runs");
        let resident =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS in /proc/PID/status");
        Usage {
            threads: entries("task"),
            descriptors: entries("fd"),
            resident_kib: resident.trim().trim_end_matches(" kB").parse().expect("a number of kB"),
        }
    }

    /// Processor time that it took so far, in the kernel's ticks.
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("the host runs");
        // utime and stime, behind the name in brackets, which is field 2.
        let fields = stat.rsplit(')').next().into_iter().flat_map(str::split_whitespace);
        fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    /// What it holds once two looks in a row show the same, freed memory given back included.
    pub fn settled(&self) -> Usage {
        let mut before = self.usage();
        until("the host settles", Duration::from_secs(20), || {
            std::thread::sleep(Duration::from_millis(300));
            let now = self.usage();
            let same = (now.threads, now.descriptors) == (before.threads, before.descriptors)
                && now.resident_kib.abs_diff(before.resident_kib) * 100 <= before.resident_kib;
            before = now;
            same.then_some(now)
        })
    }

    /// Names of all threads and targets of all descriptors, to tell what was left behind.
    pub fn inventory(&self) -> String {
        let proc = PathBuf::from(format!("/proc/{}", self.pid()));
        let entries =
            |name: &str| std::fs::read_dir(proc.join(name)).into_iter().flatten().flatten().map(|e| e.path());
        let mut names: Vec<String> = entries("task")
            .map(|task| std::fs::read_to_string(task.join("comm")).unwrap_or_default().trim().to_owned())
            .chain(entries("fd").map(|fd| std::fs::read_link(fd).unwrap_or_default().display().to_string()))
            .collect();
        names.sort();
        names.join("\n")
    }

    /// Waits until threads and descriptors are down to those of `before`.
    pub fn wait_settled(&self, before: Usage, limit: Duration) {
        let end = std::time::Instant::now() + limit;
        loop {
            let now = self.usage();
            if now.threads <= before.threads && now.descriptors <= before.descriptors {
                return;
            }
            if std::time::Instant::now() > end {
                panic!(
                    "the host keeps {now:?} within {limit:?}, before it had {before:?}:\n{}",
                    self.inventory()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn signal(&self, signal: libc::c_int) {
        send_signal(self.pid(), signal);
    }

    pub fn wait_end(&mut self, limit: Duration) -> ExitStatus {
        let status = until("the host ends", limit, || self.child.try_wait().expect("waiting for a child"));
        self.ended = Some(status);
        status
    }

    /// SIGTERM; exit code 0 within ten seconds.
    pub fn stop(&mut self) {
        self.signal(libc::SIGTERM);
        let status = self.wait_end(Duration::from_secs(10));
        assert_eq!(status.code(), Some(0), "SIGTERM ends the host cleanly");
    }

    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        self.wait_end(Duration::from_secs(5));
    }

    pub fn errors(&self) -> Vec<String> {
        self.log.all().into_iter().filter(|line| is_error(line, self.in_desktop)).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if self.ended.is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
            // Streams are measured: a machine with other work explains much.
            let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
            let (port, log) = (self.ports.get("http"), self.log.tail(80));
            eprintln!("--- load {load}--- the host's log, port {port:?}\n{log}\n---");
            return;
        }
        if self.ended.is_none() {
            self.stop();
        }
        let errors = self.errors();
        assert!(errors.is_empty(), "ERROR in the log means a bug of the host: {errors:#?}");
    }
}

/// `in_desktop`, a host reads from PipeWire.
fn is_error(line: &str, in_desktop: bool) -> bool {
    let of_ours = line.split_whitespace().take(3).any(|word| word == "ERROR");
    // pipewiresrc takes a buffer apart that it reads, when its stream is disconnected at that moment; no picture comes of it.
    let of_pipewiresrc = in_desktop && line.contains("gst_buffer_peek_memory: assertion 'idx <");
    // GLib's assertions are bugs too, at whatever level they are told.
    of_ours
        || !of_pipewiresrc
            && (line.contains("panicked at") || line.contains("assertion '") || line.contains("CRITICAL"))
}

/// A folder with config/ and state/, owned by the user that the host runs as.
pub fn new_folder(setup: &Setup) -> tempfile::TempDir {
    let folder = match setup.desktop {
        Some(desktop) => tempfile::tempdir_in(desktop.folder()),
        None => tempfile::tempdir(),
    }
    .expect("a temporary folder");
    let config = folder.path().join("config");
    for (name, text) in setup.pipelines {
        let path = config.join("pipelines").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }
    std::fs::create_dir_all(&config).expect("writable");
    std::fs::write(config.join("config.toml"), setup.config).expect("writable");
    if let Some(apps) = setup.apps {
        std::fs::write(config.join(APPS), apps).expect("writable");
    }
    std::fs::create_dir(state(folder.path())).expect("writable");
    if let Some(desktop) = setup.desktop {
        for path in [folder.path().to_owned(), config, state(folder.path())] {
            chown(path, Some(desktop.user), Some(desktop.group)).expect("root gives to anybody");
        }
    }
    folder
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

fn serve(folder: &Path, base: u16, setup: &Setup) -> Command {
    let port = base.to_string();
    let mut arguments = vec!["serve", "--port", &port];
    arguments.extend(setup.arguments);
    match setup.desktop {
        None => {
            let mut command = moonpipe(Path::new(MOONPIPE), folder, &arguments);
            command.envs(setup.runtime_dir.map(|runtime_dir| ("XDG_RUNTIME_DIR", runtime_dir)));
            command.envs(setup.pipewire.map(|desktop| ("PIPEWIRE_RUNTIME_DIR", desktop.runtime_dir())));
            command
        }
        Some(desktop) => {
            let mut command = moonpipe(desktop.moonpipe(), folder, &arguments);
            desktop.enter(&mut command);
            command
        }
    }
}

/// Nothing of the person who runs the tests reaches the command: no home, no configuration, no desktop.
pub fn moonpipe(binary: &Path, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command
        .args(arguments)
        .args(["--config".as_ref(), folder.join("config/config.toml").as_os_str()])
        .args(["--state-dir".as_ref(), state(folder).as_os_str()])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", folder)
        .env("XDG_CACHE_HOME", kept())
        .env("GST_REGISTRY", kept().join("registry.bin"))
        .env("G_DEBUG", std::env::var_os("G_DEBUG").unwrap_or_default());
    for name in ["RUST_LOG", "RUST_BACKTRACE", "GST_DEBUG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

fn parse_ready(facts: &str) -> BTreeMap<String, u16> {
    let ports: BTreeMap<String, u16> = facts
        .split_whitespace()
        .map(|fact| fact.split_once('=').unwrap_or_else(|| panic!("{fact:?} in the ready line")))
        .map(|(name, port)| (name.to_owned(), port.parse().expect("a port")))
        .collect();
    let names: Vec<&str> = ports.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["audio", "control", "http", "https", "rtsp", "video"],
        "the ready line names every port"
    );
    ports
}

/// A base port all of whose relatives are free, below the range that the kernel gives away by itself.
pub fn free_base() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let offset = (std::process::id() % 250) as u16;
    loop {
        let step = TRIED.fetch_add(1, Ordering::Relaxed);
        assert!(step < 250, "no free ports between 20000 and 30000");
        let base = 20_005 + (offset + step) % 250 * 40;
        let port = |offset: &i32| (i32::from(base) + offset) as u16;
        let tcp = TCP_OFFSETS.iter().all(|o| TcpListener::bind(("::", port(o))).is_ok());
        if tcp && UDP_OFFSETS.iter().all(|o| UdpSocket::bind(("::", port(o))).is_ok()) {
            return base;
        }
    }
}
