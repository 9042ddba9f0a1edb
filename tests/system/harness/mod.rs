//! Real hosts, real clients, a real desktop: what the scenarios are made of.

pub mod client;
pub mod desktop;
pub mod display;
mod handshake;
pub mod host;
pub mod lines;
pub mod link;
pub mod network;
pub mod recording;
pub mod relay;
pub mod source;
pub mod trigger;
pub mod witness;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// One scenario at a time: streams measure, and two cores do not carry two measurements.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A failed scenario has poisoned it, which says nothing about the next one.
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The top of the checkout.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder that all runs share: GStreamer's registry and the host's encoder probes are kept there.
pub fn kept() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// Asks again and again until there is an answer; panics with `what` when there is none in time.
pub fn until<T>(what: &str, limit: Duration, ask: impl FnMut() -> Option<T>) -> T {
    within(limit, ask).unwrap_or_else(|| panic!("waited {limit:?} in vain: {what}"))
}

/// As [`until`], for what need not happen.
pub fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() >= end {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The first of three tries that is `whole`, or the last. For streams that fill what lies between their two ends: a
/// machine that others use stands still at times for longer than its buffers bear, but not each time.
pub fn at_best<T>(mut attempt: impl FnMut() -> T, whole: impl Fn(&T) -> bool) -> T {
    for _ in 0..2 {
        let result = attempt();
        if whole(&result) {
            return result;
        }
        println!("something was lost; once more");
    }
    attempt()
}

/// Seconds of a stream: `short`, or what MOONPIPE_SOAK_SECONDS says.
pub fn soak_seconds(short: u32) -> u32 {
    let told = std::env::var("MOONPIPE_SOAK_SECONDS").ok();
    told.map_or(short, |seconds| seconds.parse().expect("MOONPIPE_SOAK_SECONDS is a number"))
}

/// The same of a soak that gets a `part` of what MOONPIPE_SOAK_SECONDS says.
pub fn soak_part(short: u32, part: f64) -> Duration {
    let all = soak_seconds((f64::from(short) / part) as u32);
    Duration::from_secs_f64(f64::from(all) * part)
}

/// What scripts of faults are made from: MOONPIPE_SEED, or always the same.
pub fn seed() -> u64 {
    let told = std::env::var_os("MOONPIPE_SEED");
    let number = |seed: OsString| seed.to_str()?.parse().ok();
    told.map_or(1, |seed| number(seed).expect("MOONPIPE_SEED is a number"))
}

/// Runs a command that ends by itself, with nothing on its standard input.
pub fn output(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))
}

/// The clock that all processes of this machine share, and Python calls monotonic.
pub fn monotonic_seconds() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the one timespec it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

pub fn send_signal(pid: u32, signal: libc::c_int) {
    // SAFETY: kill takes plain numbers; the process is a child of ours that was not waited for yet, so its number is not reused.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// Numbers that look random and are the same in every run (splitmix64).
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
