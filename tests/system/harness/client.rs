//! A Moonlight client: tests/client/client.py, which drives the real client library.

use super::host::Host;
use super::lines::Lines;
use super::witness::Witness;
use super::{at_best, root, until, within};
use serde::Deserialize;
use serde_json::Value;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Starting, decoding and leaving take this long at most, besides the seconds of a stream.
const OVERHEAD: Duration = Duration::from_secs(90);

/// One client device: its certificate and the host it talks to.
pub struct Client {
    identity: tempfile::TempDir,
    host: String,
    port: u16,
}

/// A client that is at it.
pub struct Running {
    child: Child,
    events: Lines,
    noise: Lines,
    doing: String,
    orders: u32,
    witness: Witness,
}

/// What a stream was like; client.py and library.py say what the fields mean.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Report {
    pub error: i64,
    pub refused: Option<String>,
    pub stage_failed: Option<String>,
    pub terminated: Option<i64>,
    pub codec: String,
    pub encryption: u32,
    pub packet_size: u32,
    pub launch_ms: f64,
    pub first_frame_ms: f64,
    pub first_decoded_ms: f64,
    pub frames: u64,
    pub idr: u64,
    pub lost: i64,
    /// Of them, those after the first three seconds.
    pub lost_late: i64,
    pub fps: f64,
    pub mbps: f64,
    pub seconds: f64,
    pub max_gap_ms: f64,
    pub gap_p99_ms: f64,
    pub host_latency_p50_ms: f64,
    pub fec_blocks: u64,
    pub fec_recovered: u64,
    pub unrecoverable: u64,
    pub corrupt_recoveries: u64,
    pub idr_requests: u64,
    /// Requests to do without lost frames; with `--rfi`.
    pub invalidations: u64,
    pub audio: u64,
    pub audio_lost: u64,
    pub audio_fec_recovered: u64,
    pub decoded: u64,
    pub decode_errors: u64,
    pub sizes: Vec<(u32, u32)>,
    pub counter: Counter,
    pub colours: std::collections::BTreeMap<String, [f64; 3]>,
    /// With `--brightness`: monotonic seconds and mean luma, whenever that changed.
    pub brightness: std::collections::BTreeMap<String, Vec<(f64, f64)>>,
    /// With `--slices`: how many slices the frames have, each number once.
    pub slices: Vec<u32>,
    pub tone_hz: Option<f64>,
    pub rms: f64,
    /// With `--hear`: by frequency, its share of the sound's energy.
    pub heard: Shares,
    /// The same of each channel, FL FR C LFE RL RR SL SR.
    pub speakers: Vec<Speaker>,
    /// How the sound was to be decoded.
    pub opus: Option<Opus>,
    /// Lengths of its packets, each once.
    pub opus_bytes: Vec<u32>,
    /// With `--units-sha256`: of each different access unit.
    pub units_sha256: Vec<String>,
    /// Measured beside: how much of the cores was away, see [`Witness::taken`].
    pub taken: f64,
}

/// By frequency, its share of the energy.
pub type Shares = std::collections::BTreeMap<String, f64>;

/// What came out of one.
#[derive(Debug, Deserialize)]
pub struct Speaker {
    pub rms: f64,
    pub heard: Shares,
}

/// What the client library tells those who decode.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Opus {
    pub channels: u32,
    /// Of a packet, for each channel.
    pub samples: u32,
    pub streams: u32,
    pub coupled: u32,
    pub mapping: Vec<u8>,
}

/// The frame counter as it was read back from the pictures.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Counter {
    pub read: u64,
    pub unreadable: u64,
    pub first: Option<u64>,
    pub last: Option<u64>,
    pub back: u64,
    pub repeated: u64,
    pub skipped: u64,
    pub by_one: f64,
}

impl Client {
    /// A device that the host does not know yet.
    pub fn new(host: &Host) -> Client {
        Client {
            identity: tempfile::tempdir().expect("a temporary folder"),
            host: "127.0.0.1".into(),
            port: host.port("http"),
        }
    }

    pub fn paired(host: &Host) -> Client {
        let client = Client::new(host);
        let result = client.pair(host, "1234", "1234", None);
        assert_eq!(result["paired"], true, "{result}");
        client
    }

    /// The same device, reaching the host under another address.
    pub fn at(mut self, address: &str) -> Client {
        self.host = address.into();
        self
    }

    /// Pairs with `pin` while the owner types `told`.
    pub fn pair(&self, host: &Host, pin: &str, told: &str, name: Option<&str>) -> Value {
        let pairing = self.start(&["pair", "--pin", pin]);
        host.tell_pin(told, name);
        pairing.result(Duration::from_secs(20))
    }

    pub fn run(&self, arguments: &[&str]) -> Value {
        self.start(arguments).result(OVERHEAD)
    }

    pub fn get(&self, path: &str) -> Value {
        self.run(&["get", path])
    }

    /// Id of the client's app, 0 if nothing runs.
    pub fn running_app(&self) -> String {
        self.get("/serverinfo")["root"]["currentgame"].as_str().expect("a number").to_owned()
    }

    /// A whole stream of so many seconds, from launch to quit.
    pub fn stream(&self, seconds: u32, arguments: &[&str]) -> Report {
        self.start_stream(seconds, arguments).report(seconds)
    }

    /// As [`stream`](Self::stream), for what fills the time between its two ends: the best of three.
    pub fn best_stream(
        &self,
        seconds: u32,
        arguments: &[&str],
        is_fluent: impl Fn(&Report) -> bool,
    ) -> Report {
        at_best(|| self.stream(seconds, arguments), is_fluent)
    }

    pub fn start_stream(&self, seconds: u32, arguments: &[&str]) -> Running {
        self.start(&[&["stream", "--seconds", &seconds.to_string()], arguments].concat())
    }

    pub fn start(&self, arguments: &[&str]) -> Running {
        self.start_with(Witness::start(), arguments)
    }

    /// A whole stream with nothing beside it that watches the cores: for the one who measures those.
    #[allow(dead_code, reason = "benches/players needs it")]
    pub fn start_unwatched_stream(&self, seconds: u32, arguments: &[&str]) -> Running {
        self.start_with(
            Witness::nobody(),
            &[&["stream", "--seconds", &seconds.to_string()], arguments].concat(),
        )
    }

    fn start_with(&self, witness: Witness, arguments: &[&str]) -> Running {
        let python = root().join("target/test-client/bin/python");
        assert!(python.exists(), "no {}: run scripts/install-dependencies --tests", python.display());
        let mut child = Command::new(python)
            .arg("-W")
            .arg("ignore")
            .arg(root().join("tests/client/client.py"))
            .args(["--host", &self.host, "--port", &self.port.to_string(), "--identity"])
            .arg(self.identity.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python starts");
        let events = Lines::collect(child.stdout.take().expect("piped"));
        let noise = Lines::collect(child.stderr.take().expect("piped"));
        Running { child, events, noise, doing: arguments.join(" "), orders: 0, witness }
    }
}

impl Running {
    /// The facts of an event that has come or comes within `limit`.
    pub fn event(&self, name: &str, limit: Duration) -> Value {
        let found = self.events.wait_for(limit, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == name).then_some(event)
        });
        found.unwrap_or_else(|| {
            panic!("client `{}`: no {name:?} within {limit:?}\n{}", self.doing, self.story())
        })
    }

    /// Waits until the first picture was decoded.
    pub fn picture(&self) -> &Self {
        self.event("first-picture", Duration::from_secs(30));
        self
    }

    /// What has arrived (`frames`, or packets of `audio`), as it last said. For streams with `--beat`.
    fn arrived(&self, what: &str) -> u64 {
        let beat = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == "beat").then(|| event[what].as_u64())?
        };
        self.events.all().iter().rev().find_map(|line| beat(line)).unwrap_or(0)
    }

    /// Waits until `more` frames have arrived than now.
    pub fn plays_on(&self, more: u64, limit: Duration) {
        self.await_more("frames", more, limit);
    }

    /// Waits until `more` packets of sound have arrived than now.
    pub fn sounds_on(&self, more: u64, limit: Duration) {
        self.await_more("audio", more, limit);
    }

    fn await_more(&self, what: &str, more: u64, limit: Duration) {
        let before = self.arrived(what);
        if within(limit, || (self.arrived(what) >= before + more).then_some(())).is_none() {
            panic!(
                "client `{}`: no {more} {what} within {limit:?} after {before}\n{}",
                self.doing,
                self.story()
            );
        }
    }

    pub fn result(self, limit: Duration) -> Value {
        self.outcome(limit).0
    }

    /// The result, and what was away of the cores meanwhile.
    fn outcome(mut self, limit: Duration) -> (Value, f64) {
        let result = self.event("result", limit);
        until("the client ends", Duration::from_secs(10), || {
            self.child.try_wait().expect("waiting for a child")
        });
        let taken = std::mem::replace(&mut self.witness, Witness::nobody()).taken();
        (result, taken)
    }

    pub fn report(self, seconds: u32) -> Report {
        let story = self.events.clone();
        let (value, taken) = self.outcome(OVERHEAD + Duration::from_secs(seconds.into()));
        let report: Report = serde_json::from_value(value).expect("client.py and Report agree");
        let report = Report { taken, ..report };
        assert!(
            report.error == 0 && report.stage_failed.is_none(),
            "no stream: {report:#?}\n{}",
            story.tail(30)
        );
        report
    }

    /// What it answers to a line, while it plays on. For streams with `--until-told`.
    #[track_caller]
    fn order(&mut self, line: &str, limit: Duration) -> Value {
        self.orders += 1;
        writeln!(self.child.stdin.as_mut().expect("piped"), "{line}").expect("the client listens");
        self.event(&format!("answer-{}", self.orders), limit)
    }

    /// What it has seen and heard until now.
    pub fn look(&mut self, limit: Duration) -> Report {
        serde_json::from_value(self.order("look", limit)).expect("client.py and Report agree")
    }

    /// Does what a player does: of each list the name of a `LiSend…` and what it is called with.
    #[track_caller]
    pub fn act(&mut self, what: Value) {
        let answers = self.order(&format!("act {what}"), Duration::from_secs(10))["answers"].take();
        let all_sent = answers.as_array().is_some_and(|all| all.iter().all(|answer| answer == 0));
        assert!(all_sent, "{what}: {answers}");
    }

    /// Sends so many packets of nonsense a second as input. How many were sent.
    pub fn flood(&mut self, seed: u64, a_second: u64, seconds: u64) -> u64 {
        let limit = Duration::from_secs(2 * seconds + 20);
        let flooded = self.order(&format!("flood [{seed}, {a_second}, {seconds}]"), limit);
        flooded["sent"].as_u64().expect("a number")
    }

    /// Ends a stream that was started with `--until-told`.
    pub fn tell_to_end(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Ends it as a crash or a dead battery would.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    #[allow(dead_code, reason = "benches/players needs it")]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("waiting for a child").is_some()
    }

    fn story(&self) -> String {
        format!("{}\n{}", self.events.tail(30), self.noise.tail(30))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Report {
    /// Every frame arrived and was decoded into a picture of the right size.
    pub fn assert_whole(&self, width: u32, height: u32) {
        assert_eq!(self.lost, 0, "gaps in the frame index: {self:#?}");
        assert_eq!((self.unrecoverable, self.corrupt_recoveries), (0, 0), "{self:#?}");
        assert_eq!(self.decode_errors, 0, "{self:#?}");
        assert_eq!(self.decoded, self.frames, "{self:#?}");
        assert_eq!(self.sizes, [(width, height)], "{self:#?}");
        assert_eq!(self.terminated, None, "{self:#?}");
    }

    /// The counter drawn by the host is in every picture and never goes back.
    pub fn assert_forward(&self) {
        assert_eq!(self.counter.unreadable, 0, "{self:#?}");
        assert_eq!(self.counter.back, 0, "{self:#?}");
    }

    /// It is one more on at least 95 % of the pictures besides, and on two less for each that fell into a time in which
    /// a core was away. For streams of ten seconds and more: in a short one a machine that stands still for three
    /// pictures has spent its share.
    pub fn is_steady(&self) -> bool {
        self.counter.by_one >= 0.95 - 2.0 * self.excuse()
    }

    /// The share of frames that nobody could make in time. Not much is excused, whatever was taken.
    fn excuse(&self) -> f64 {
        self.taken.min(0.15)
    }

    /// Nothing is missing, and there are so many frames a second within one percent, two frames for the ends of a short
    /// stream, and those that nobody could make in time.
    pub fn is_fluent(&self, fps: f64) -> bool {
        self.is_complete() && self.has_rate(fps)
    }

    /// No frame and no sound is missing.
    pub fn is_complete(&self) -> bool {
        self.lost == 0 && self.audio_lost == 0
    }

    fn has_rate(&self, fps: f64) -> bool {
        let off = (self.fps - fps).abs() * self.seconds;
        off <= fps * self.seconds * (0.01 + self.excuse()) + 2.0
    }

    pub fn assert_steady(&self) {
        self.assert_forward();
        assert!(self.is_steady(), "{self:#?}");
    }

    pub fn assert_rate(&self, fps: f64) {
        assert!(self.has_rate(fps), "not {fps} frames a second: {self:#?}");
    }

    pub fn has_tone(&self, hertz: f64) -> bool {
        (self.tone_hz.unwrap_or(0.0) - hertz).abs() <= 2.0 && self.rms > 0.001
    }

    /// Almost all of the sound is this tone, which was asked for with `--hear`.
    pub fn hears_only(&self, hertz: &str) -> bool {
        self.rms > 0.001 && is_only(&self.heard, hertz)
    }

    /// Almost all that comes out of each speaker is its own tone.
    pub fn hears_each(&self, tones: &[&str]) -> bool {
        self.speakers.len() == tones.len()
            && self
                .speakers
                .iter()
                .zip(tones)
                .all(|(speaker, tone)| speaker.rms > 0.01 && is_only(&speaker.heard, tone))
    }

    pub fn assert_tone(&self, hertz: f64) {
        assert!(self.has_tone(hertz), "not a tone of {hertz} Hz: {self:#?}");
        assert_eq!(self.audio_lost, 0, "{self:#?}");
    }
}

fn is_only(heard: &Shares, hertz: &str) -> bool {
    heard.iter().all(|(tone, share)| if tone == hertz { *share > 0.8 } else { *share < 0.01 })
}
