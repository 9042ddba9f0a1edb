//! Which encoders to use: those that encoded ten frames on this machine, best rank first.

use super::cost::{self, Cost};
use super::description::{Describes, EncodeDescription};
use super::library::Library;
use super::probe::{self, Report};
use crate::protocol::params::Codec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What this machine can encode.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Encoders that work, best first. A codec that is not here must not be offered.
    pub encoders: BTreeMap<Codec, Vec<EncodeDescription>>,
    /// What pictures cost the best one of the first codec, if that could be measured.
    pub cost: Option<Cost>,
    /// One line of reason for every description, in the order of the choice.
    pub verdicts: Vec<Verdict>,
}

/// What became of one encode description.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub name: String,
    pub codec: Codec,
    pub rank: i32,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Works {
        report: Report,
        /// Remembered from an earlier start.
        cached: bool,
    },
    /// Something it needs is not installed.
    CannotWork(String),
    /// It was tried and did not encode.
    Failed(String),
}

impl Choice {
    /// Codecs that really encode here.
    pub fn codecs(&self) -> Vec<Codec> {
        self.encoders.keys().copied().collect()
    }

    /// The best encoder for `codec`.
    pub fn encoder(&self, codec: Codec) -> Option<&EncodeDescription> {
        self.encoders.get(&codec)?.first()
    }

    /// All that encode `codec` here, best first.
    pub fn all(&self, codec: Codec) -> &[EncodeDescription] {
        self.encoders.get(&codec).map_or(&[], Vec::as_slice)
    }

    /// Pixels that this machine encodes in a second, all players together; nothing if that could not be measured.
    pub fn pixels_per_second(&self) -> Option<u64> {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        Some(self.cost?.pixels_per_second(cores))
    }

    /// Of the encoders in use, one at least goes on without lost frames.
    pub fn answers_invalidation(&self) -> bool {
        self.encoders.values().filter_map(|all| all.first()).any(|encoder| encoder.answers_invalidation)
    }

    /// Says in the log which encoder each codec gets, and why not another.
    pub fn log(&self) {
        for verdict in &self.verdicts {
            let chosen = self.encoder(verdict.codec).is_some_and(|e| e.name() == verdict.name);
            match &verdict.outcome {
                Outcome::Works { .. } if chosen => tracing::info!("{} uses {verdict}", verdict.codec),
                Outcome::Failed(_) => tracing::warn!("{verdict}"),
                _ => tracing::debug!("{verdict}"),
            }
        }
        for codec in [Codec::H264, Codec::H265, Codec::Av1] {
            if !self.encoders.contains_key(&codec) {
                tracing::info!("{codec} is not offered: no encoder for it works here");
            }
        }
        if let Some(pixels) = self.pixels_per_second() {
            // What most play at.
            let players = pixels as f64 / f64::from(1920 * 1080 * 60);
            tracing::info!(
                "encodes {} million pixels in a second: {players:.1} times 1920x1080 at 60 fps",
                pixels / 1_000_000
            );
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (rank {}) ", self.name, self.rank)?;
        match &self.outcome {
            Outcome::Works { report, cached } => {
                write!(f, "encoded ten frames in {} ms", report.millis)?;
                if report.held > 0 {
                    write!(f, ", holding back {}", report.held)?;
                }
                if !report.obeys_key_requests {
                    f.write_str(", is opened anew for each key frame")?;
                }
                if report.answers_invalidation {
                    f.write_str(", goes on without lost frames")?;
                }
                f.write_str(if *cached { " (tried at an earlier start)" } else { "" })
            }
            Outcome::CannotWork(reason) => write!(f, "cannot work here because {reason}"),
            Outcome::Failed(reason) => write!(f, "does not encode here: {reason}"),
        }
    }
}

/// Probes every encoder of `library` that has what it needs, in child processes of this program. Blocks; results that
/// worked are remembered in `cache_dir`.
pub fn choose(library: &Library, cache_dir: &Path) -> Choice {
    choose_until(library, cache_dir, &AtomicBool::new(false)).unwrap_or_default()
}

/// As [`choose`], but gives up soon after `stop` is set, and says nothing then. No child stays behind.
pub fn choose_until(library: &Library, cache_dir: &Path, stop: &AtomicBool) -> Option<Choice> {
    match std::env::current_exe() {
        Ok(program) => choose_with(library, cache_dir, &program, stop),
        Err(error) => {
            tracing::warn!("encoders cannot be tried, this program's own file is unknown: {error}");
            Some(Choice::default())
        }
    }
}

/// As [`choose_until`], with `program` as the moonpipe binary that is started.
pub fn choose_with(library: &Library, cache_dir: &Path, program: &Path, stop: &AtomicBool) -> Option<Choice> {
    let mut candidates: Vec<&EncodeDescription> = library.encode.values().collect();
    candidates.sort_by(|a, b| (a.codec, -a.common.rank, a.name()).cmp(&(b.codec, -b.common.rank, b.name())));
    let cache = Cache::open(cache_dir);
    let outcomes = probe_all(&candidates, |description| judge(description, &cache, program, stop));
    if stop.load(Ordering::Acquire) {
        return None;
    }
    let mut choice = Choice::default();
    let (mut reports, mut costs) = (BTreeMap::new(), BTreeMap::new());
    for (description, outcome) in candidates.into_iter().zip(outcomes) {
        if let Outcome::Works { report, .. } = &outcome {
            reports.insert(report_key(description), report.clone());
            let mut description = description.clone();
            description.obeys_key_requests = report.obeys_key_requests;
            description.answers_invalidation = report.answers_invalidation;
            choice.encoders.entry(description.codec).or_default().push(description);
        }
        let (name, rank) = (description.name().to_owned(), description.common.rank);
        choice.verdicts.push(Verdict { name, codec: description.codec, rank, outcome });
    }
    // With nothing else to do. Where there are several codecs, the first one costs the least.
    if let Some(encoder) = choice.encoders.values().find_map(|all| all.first()) {
        let key = cache_key(encoder, &cost::launch_text(encoder));
        let known = cache.costs.get(&key).copied();
        choice.cost = known.or_else(|| measure(encoder, program, stop));
        costs.extend(choice.cost.map(|cost| (key, cost)));
    }
    if stop.load(Ordering::Acquire) {
        return None;
    }
    cache.replace(reports, costs);
    Some(choice)
}

/// As many at a time as there are cores.
fn probe_all(
    candidates: &[&EncodeDescription],
    judge: impl Fn(&EncodeDescription) -> Outcome + Sync,
) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes: Vec<Mutex<Option<Outcome>>> = candidates.iter().map(|_| Mutex::new(None)).collect();
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..cores.min(candidates.len()) {
            scope.spawn(|| {
                while let Some(index) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < candidates.len())
                {
                    let outcome = judge(candidates[index]);
                    *outcomes[index].lock().expect("no probe panics") = Some(outcome);
                }
            });
        }
    });
    outcomes
        .into_iter()
        .map(|o| o.into_inner().expect("no probe panics").expect("every one was judged"))
        .collect()
}

fn judge(description: &EncodeDescription, cache: &Cache, program: &Path, stop: &AtomicBool) -> Outcome {
    if let Some(reason) = &description.common.obstacle {
        return Outcome::CannotWork(reason.clone());
    }
    if let Some(report) = cache.reports.get(&report_key(description)) {
        return Outcome::Works { report: report.clone(), cached: true };
    }
    if stop.load(Ordering::Acquire) {
        return Outcome::Failed("interrupted".into());
    }
    match probe::probe_until(description, program, stop) {
        Ok(report) => Outcome::Works { report, cached: false },
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

fn report_key(description: &EncodeDescription) -> String {
    cache_key(description, &probe::launch_text(description))
}

/// What is known by this launch text holds for no other.
fn cache_key(description: &EncodeDescription, launch: &str) -> String {
    format!("{}: {launch}", description.codec)
}

fn measure(encoder: &EncodeDescription, program: &Path, stop: &AtomicBool) -> Option<Cost> {
    let unknown = |error| tracing::info!("what {} bears is not known: {error:#}", encoder.name());
    cost::ask(encoder, program, stop).map_err(unknown).ok()
}

/// Probes that worked, and what was measured. Failures are tried again at every start: a driver may have been busy or
/// missing.
struct Cache {
    file: PathBuf,
    reports: BTreeMap<String, Report>,
    costs: BTreeMap<String, Cost>,
}

#[derive(Default, Serialize, Deserialize)]
struct CacheFile {
    gstreamer: String,
    encoders: BTreeMap<String, Report>,
    #[serde(default)]
    costs: BTreeMap<String, Cost>,
}

impl Cache {
    fn open(cache_dir: &Path) -> Cache {
        let file = cache_dir.join("encoders.json");
        let text = std::fs::read(&file).unwrap_or_default();
        let read: CacheFile = serde_json::from_slice(&text).unwrap_or_default();
        let is_ours = read.gstreamer == gst::version_string();
        let (reports, costs) = if is_ours { (read.encoders, read.costs) } else { Default::default() };
        Cache { file, reports, costs }
    }

    fn replace(self, reports: BTreeMap<String, Report>, costs: BTreeMap<String, Cost>) {
        if reports == self.reports && costs == self.costs {
            return;
        }
        let content = CacheFile { gstreamer: gst::version_string().to_string(), encoders: reports, costs };
        let json = serde_json::to_vec_pretty(&content).expect("plain strings and numbers");
        if let Err(error) = crate::files::write_private(&self.file, &json) {
            tracing::debug!(
                "{} cannot be written, encoders are tried again next time: {error}",
                self.file.display()
            );
        }
    }
}
