//! One player's input on its way: a queue that the control thread fills, and the thread that injects.

use super::{Injector, Nowhere};
use crate::protocol::input::{Coalescing, Input, Key, Modifiers, Pressed, VirtualKey};
use crate::threads::{self, Rtkit};
use gst::ClockTime;
use gstgamestream::timing::Histogram;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Mouse, keyboard, text, touch and pen.
    pub input: bool,
    pub controllers: bool,
}

impl Allowed {
    fn allows(self, input: &Input) -> bool {
        match input {
            Input::Haptics { .. } => true,
            Input::Controller(_)
            | Input::ControllerArrival(_)
            | Input::ControllerTouch(_)
            | Input::ControllerMotion(_)
            | Input::ControllerBattery(_) => self.controllers,
            Input::RelativeMotion { .. }
            | Input::AbsoluteMotion(_)
            | Input::Button { .. }
            | Input::Wheel { .. }
            | Input::HorizontalWheel { .. }
            | Input::Key(_)
            | Input::Text(_)
            | Input::Touch(_)
            | Input::Pen(_) => self.input,
        }
    }
}

/// The hands of one session's player. When they are dropped, everything that is down goes up.
pub struct Hands {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// What is to be done. One thread puts it down, one does it, others say how.
struct Desk {
    work: Mutex<Work>,
    changed: Condvar,
}

struct Work {
    events: Coalescing,
    /// Since when the oldest of them waits.
    since: Option<Instant>,
    allowed: Allowed,
    next: Option<Make>,
    /// Everything goes up once no event waits any more.
    lift: bool,
    over: bool,
}

/// Makes an injector on the thread that tells it.
type Make = Box<dyn FnOnce() -> Box<dyn Injector> + Send>;

/// What the thread does next.
enum Step {
    Move(Make),
    Inject(Input, Option<Instant>),
    Lift,
    End,
}

impl Hands {
    /// Injects nowhere until [`Hands::direct`] says where. `whose` names the session in the log.
    pub fn start(whose: String, allowed: Allowed) -> io::Result<Self> {
        let work = Work {
            events: Coalescing::default(),
            since: None,
            allowed,
            next: None,
            lift: false,
            over: false,
        };
        let desk = Arc::new(Desk { work: Mutex::new(work), changed: Condvar::new() });
        let theirs = desk.clone();
        let rtkit = Rtkit::here();
        let thread = std::thread::Builder::new().name("input".into()).spawn(move || {
            threads::raise(threads::INPUT, &rtkit);
            run(&theirs, &whose);
        })?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// Puts events down, from any thread and without waiting. Does nothing once the hands are gone.
    pub fn taker(&self) -> impl Fn(Input) + Send + 'static {
        let desk = self.desk.clone();
        move |input| desk.put(input)
    }

    /// From now on what is made here is told; events wait meanwhile. What is down goes up where it went down.
    pub fn direct(&self, make: impl FnOnce() -> Box<dyn Injector> + Send + 'static) {
        self.desk.change(|work| work.next = Some(Box::new(make)));
    }

    /// What is down goes up if less is allowed than before.
    pub fn allow(&self, allowed: Allowed) {
        self.desk.change(|work| {
            work.lift |=
                (work.allowed.input && !allowed.input) || (work.allowed.controllers && !allowed.controllers);
            work.allowed = allowed;
        });
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.desk.change(|work| work.over = true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the input thread panicked: something may be held down");
        }
    }
}

impl Desk {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Work)) {
        change(&mut self.work());
        self.changed.notify_one();
    }

    fn put(&self, input: Input) {
        let mut work = self.work();
        if work.over || !work.allowed.allows(&input) {
            return;
        }
        if work.events.push(input).is_err() {
            if !work.lift {
                tracing::warn!("input is lost: nothing takes it, and more waits than is kept");
            }
            // The release of something may be among what is lost.
            work.lift = true;
        }
        work.since.get_or_insert_with(Instant::now);
        drop(work);
        self.changed.notify_one();
    }

    /// Waits for something to do.
    fn step(&self) -> Step {
        let mut work = self.work();
        loop {
            if work.over {
                return Step::End;
            }
            if let Some(next) = work.next.take() {
                return Step::Move(next);
            }
            if let Some(input) = work.events.pop() {
                let since = work.since;
                if work.events.is_empty() {
                    work.since = None;
                }
                return Step::Inject(input, since);
            }
            if std::mem::take(&mut work.lift) {
                return Step::Lift;
            }
            work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What the thread owns.
struct Doing {
    injector: Box<dyn Injector>,
    pressed: Pressed,
    /// From the control channel to the end of the injector's work; of what waited, the oldest counts for all.
    delays: Histogram,
}

fn run(desk: &Desk, whose: &str) {
    let mut doing =
        Doing { injector: Box::new(Nowhere), pressed: Pressed::default(), delays: Histogram::default() };
    loop {
        match desk.step() {
            Step::Inject(input, since) => doing.inject(input, since),
            Step::Lift => doing.lift(),
            Step::Move(make) => {
                doing.lift();
                let next = make();
                tracing::info!(session = %whose, "input goes to: {}", next.name());
                doing.injector = next;
            }
            Step::End => break,
        }
    }
    doing.lift();
    doing.tell(whose);
}

impl Doing {
    fn inject(&mut self, input: Input, since: Option<Instant>) {
        let missing = match &input {
            Input::Key(key) => self.pressed.missing_modifiers(key),
            _ => Modifiers::NONE,
        };
        for input in self.pressed.handle(input) {
            self.inject_with(missing, &input);
        }
        if let Some(since) = since {
            let delay = since.elapsed().as_nanos();
            self.delays.record(ClockTime::from_nseconds(delay.try_into().unwrap_or(u64::MAX / 2)));
        }
    }

    /// A key whose modifiers are held by nobody but the client's word.
    fn inject_with(&mut self, missing: Modifiers, input: &Input) {
        let keys = missing.keys();
        for key in keys.clone() {
            self.injector.inject(&modifier(key, true));
        }
        self.injector.inject(input);
        for key in keys.rev() {
            self.injector.inject(&modifier(key, false));
        }
    }

    fn lift(&mut self) {
        for input in self.pressed.release_all() {
            self.injector.inject(&input);
        }
    }

    fn tell(&self, whose: &str) {
        let milliseconds = |time: Option<ClockTime>| time.map_or(0.0, |time| time.useconds() as f64 / 1000.0);
        let (half, most) = (self.delays.quantile(500), self.delays.quantile(990));
        if self.delays.count() > 0 {
            tracing::info!(
                session = %whose,
                "input: {} events, half of them injected within {:.3} ms, 99 % within {:.3} ms, all within {:.3} ms",
                self.delays.count(),
                milliseconds(half),
                milliseconds(most),
                milliseconds(self.delays.max()),
            );
        }
    }
}

fn modifier(key: VirtualKey, pressed: bool) -> Input {
    Input::Key(Key { key, pressed, normalized: true, modifiers: Modifiers::NONE })
}

#[cfg(test)]
#[path = "hands_tests.rs"]
mod tests;
