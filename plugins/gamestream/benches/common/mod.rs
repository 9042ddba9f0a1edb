//! What all benchmarks measure and print with.
//!
//! Everything that is compared runs in turns, a round of each after a round of the others: what else the machine does
//! then hits all alike, and ratios hold even where absolute times do not.

// Every benchmark is a program of its own and uses a part of this.
#![allow(dead_code)]

use rustix::time::{ClockId, clock_gettime};
use std::fmt::Display;
use std::time::{Duration, Instant};

/// The least that one sample takes, so that reading the clock costs nothing of it.
const SAMPLE: Duration = Duration::from_millis(1);

/// Rounds of which medians are taken, ordinarily and with `--quick`.
const ROUNDS: (usize, usize) = (51, 5);

/// How thoroughly to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub rounds: usize,
    pub quick: bool,
}

impl Options {
    /// From the command line: `--quick` takes fewer rounds. Whatever else is there is for somebody else, as the
    /// `--bench` that cargo adds.
    pub fn from_args() -> Self {
        let quick = std::env::args().any(|arg| arg == "--quick");
        Self { rounds: if quick { ROUNDS.1 } else { ROUNDS.0 }, quick }
    }
}

/// Where time is read. Work that never waits is measured in the processor time of its thread, which others on the
/// machine hardly touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Wall,
    ThreadCpu,
    ProcessCpu,
}

impl Clock {
    /// Time since some fixed moment.
    pub fn now(self) -> Duration {
        let id = match self {
            Self::Wall => ClockId::Monotonic,
            Self::ThreadCpu => ClockId::ThreadCPUTime,
            Self::ProcessCpu => ClockId::ProcessCPUTime,
        };
        clock_gettime(id).try_into().expect("these clocks start at zero")
    }

    /// What `work` takes.
    pub fn time(self, work: impl FnOnce()) -> Duration {
        let start = self.now();
        work();
        self.now() - start
    }
}

/// Things to compare.
pub struct Contest<'a> {
    clock: Clock,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    name: String,
    work: Box<dyn FnMut() + 'a>,
    /// Runs per sample.
    repeat: u32,
    samples: Vec<Duration>,
}

impl<'a> Contest<'a> {
    pub fn new(clock: Clock) -> Self {
        Self { clock, entries: Vec::new() }
    }

    pub fn add(&mut self, name: impl Into<String>, work: impl FnMut() + 'a) {
        let (work, samples) = (Box::new(work), Vec::new());
        self.entries.push(Entry { name: name.into(), work, repeat: 1, samples });
    }

    /// Measures everything in turns.
    pub fn run(mut self, options: Options) -> Results {
        for entry in &mut self.entries {
            entry.warm_up();
        }
        for _ in 0..options.rounds {
            self.entries.iter_mut().for_each(|entry| entry.sample(self.clock));
        }
        Results(self.entries.into_iter().map(|entry| (entry.name, entry.samples)).collect())
    }
}

impl Entry<'_> {
    /// Runs until a sample is long enough, which also fills caches and pools.
    fn warm_up(&mut self) {
        let start = Instant::now();
        (self.work)();
        let mut runs = 1;
        while start.elapsed() < SAMPLE {
            (self.work)();
            runs += 1;
        }
        self.repeat = runs;
    }

    fn sample(&mut self, clock: Clock) {
        let Self { work, repeat, .. } = self;
        let taken = clock.time(|| (0..*repeat).for_each(|_| work()));
        self.samples.push(taken / *repeat);
    }
}

/// The samples of a contest.
pub struct Results(Vec<(String, Vec<Duration>)>);

impl Results {
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The median of what was measured under this name.
    ///
    /// # Panics
    /// When nothing was.
    pub fn median(&self, name: &str) -> Duration {
        quantile(self.samples(name), 0.5)
    }

    /// How many times longer `slower` took: the median of the ratios of the rounds.
    pub fn ratio(&self, slower: &str, faster: &str) -> f64 {
        let rounds = self.samples(slower).iter().zip(self.samples(faster));
        let mut ratios: Vec<f64> =
            rounds.map(|(slow, fast)| slow.as_secs_f64() / fast.as_secs_f64()).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    }

    fn samples(&self, name: &str) -> &[Duration] {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, samples)| &samples[..]).unwrap_or_else(|| panic!("{name} was not measured"))
    }
}

/// The sample below which a share of them lies: 0.5 is the median.
pub fn quantile(samples: &[Duration], share: f64) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted[(((sorted.len() - 1) as f64) * share).round() as usize]
}

/// A table of text; all columns but the first are set to the right.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(columns: &[&str]) -> Self {
        Self { rows: vec![columns.iter().map(ToString::to_string).collect()] }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it as Markdown under a heading.
    pub fn print(&self, heading: &str) {
        let columns = self.rows[0].len();
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().expect("a heading");
        let widths: Vec<usize> = (0..columns).map(width).collect();
        println!("\n### {heading}\n");
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
            if number == 0 {
                let rules = widths.iter().enumerate().map(|(column, &width)| match column {
                    0 => "-".repeat(width),
                    _ => format!("{}:", "-".repeat(width - 1)),
                });
                println!("| {} |", rules.collect::<Vec<_>>().join(" | "));
            }
        }
    }
}

/// As "12.3".
pub fn micros(time: Duration) -> String {
    number(time.as_secs_f64() * 1e6)
}

/// As "2.4 ×".
pub fn times(ratio: f64) -> String {
    format!("{} ×", number(ratio))
}

/// Three digits, more only where whole numbers have them.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Prints what was measured on which machine.
pub fn print_machine(title: &str, about: impl Display) {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
        line.and_then(|line| line.split(':').nth(1)).unwrap_or("?").trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, |count| count.get());
    println!("\n## {title}\n");
    println!(
        "{}, family {} model {}, {cores} cores. {about}",
        field("model name"),
        field("cpu family"),
        field("model")
    );
}
