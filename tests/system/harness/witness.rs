//! What others take of this machine while a stream is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(2);
/// So late a thread is that has to wait for its turn on a busy core; later means that the core was away.
const WAITS_ITS_TURN: Duration = Duration::from_millis(6);

/// Threads that sleep on each core, and see how much later than they should they wake.
pub struct Witness {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Duration>>,
    begun: Instant,
}

impl Witness {
    pub fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let watch = |core| {
            let over = over.clone();
            std::thread::spawn(move || {
                stay_on(core);
                taken_until(&over)
            })
        };
        Self { threads: (0..cores).map(watch).collect(), over, begun: Instant::now() }
    }

    /// One that sees nothing.
    pub fn nobody() -> Self {
        Self { threads: Vec::new(), over: Arc::default(), begun: Instant::now() }
    }

    /// How much of the time a core was away, summed over the cores: 0.1 is a tenth of one core.
    pub fn taken(mut self) -> f64 {
        self.over.store(true, Ordering::Release);
        let threads = std::mem::take(&mut self.threads);
        let taken: Duration = threads.into_iter().map(|thread| thread.join().expect("it only sleeps")).sum();
        taken.as_secs_f64() / self.begun.elapsed().as_secs_f64()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

fn taken_until(over: &AtomicBool) -> Duration {
    let mut taken = Duration::ZERO;
    while !over.load(Ordering::Acquire) {
        let before = Instant::now();
        std::thread::sleep(TICK);
        let late = before.elapsed().saturating_sub(TICK);
        if late > WAITS_ITS_TURN {
            taken += late;
        }
    }
    taken
}

/// Where the machine does not allow that, the thread goes where the others go, and sees less.
fn stay_on(core: usize) {
    // SAFETY: a cpu_set_t is a plain array of bits for which zero is valid; both calls only read or write this one.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}
