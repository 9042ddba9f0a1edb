//! Waiting until a point in time, to some microseconds, unless somebody rings.

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::{Errno, read, write},
    time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, clock_gettime, timerfd_create,
        timerfd_settime,
    },
};
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

/// The end of a wait that is spun for: a timer wakes a thread 20 to 40 µs late on an idle machine.
pub const SPIN: Duration = Duration::from_micros(80);

/// What waiting cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Times the thread slept.
    pub sleeps: u64,
    /// Spent spinning.
    pub spin: Duration,
}

/// A timer of one thread and a bell that others ring.
#[derive(Debug)]
pub struct Alarm {
    timer: OwnedFd,
    bell: OwnedFd,
}

/// The time of the clock that waits go by.
pub fn now() -> Duration {
    clock_gettime(ClockId::Monotonic)
        .try_into()
        .expect("a monotonic clock counts from the start of the machine")
}

impl Alarm {
    /// Fails only where there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self {
            timer: timerfd_create(TimerfdClockId::Monotonic, flags)?,
            bell: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        })
    }

    /// Ends every wait, also those to come.
    pub fn ring(&self) {
        // A bell that rings already may be full, which is as good.
        let _ = write(&self.bell, &1u64.to_ne_bytes());
    }

    /// Lets waits take their time again.
    pub fn hush(&self) {
        // Nothing to read: it did not ring.
        let _ = read(&self.bell, &mut [0u8; 8]);
    }

    /// Waits until `due` (true) or until the bell rings (false). Spins at most [`SPIN`].
    pub fn wait_until(&self, due: Duration, cost: &mut Cost) -> bool {
        let early = due.saturating_sub(SPIN);
        if now() < early {
            cost.sleeps += 1;
            if !self.sleep_until(early) {
                return false;
            }
        }
        let begin = now();
        let mut time = begin;
        while time < due {
            std::hint::spin_loop();
            time = now();
        }
        // More than that was taken by other threads.
        cost.spin += (time - begin).min(SPIN);
        true
    }

    /// Waits until `socket` takes something, or `limit`; false when the bell rings.
    pub fn wait_writable(&self, socket: BorrowedFd<'_>, limit: Duration) -> bool {
        self.arm(limit);
        self.poll(&mut [
            PollFd::new(&self.bell, PollFlags::IN),
            PollFd::new(&self.timer, PollFlags::IN),
            PollFd::from_borrowed_fd(socket, PollFlags::OUT),
        ])
    }

    fn sleep_until(&self, due: Duration) -> bool {
        self.arm(due);
        self.poll(&mut [PollFd::new(&self.bell, PollFlags::IN), PollFd::new(&self.timer, PollFlags::IN)])
    }

    /// Whether one of `fds` is ready and the first of them, the bell, is not.
    fn poll(&self, fds: &mut [PollFd<'_>]) -> bool {
        while poll(fds, None) == Err(Errno::INTR) {}
        fds[0].revents().is_empty()
    }

    fn arm(&self, due: Duration) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Zero would disarm the timer.
        let due =
            due.max(Duration::from_nanos(1)).try_into().unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        let once = Itimerspec { it_interval: zero, it_value: due };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)
            .expect("a valid time for a timer of ours");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write,
        os::{fd::AsFd, unix::net::UnixStream},
    };

    const FOREVER: Duration = Duration::MAX;

    #[test]
    fn a_wait_ends_when_it_is_due_and_not_sooner() {
        let alarm = Alarm::new().unwrap();
        let mut cost = Cost::default();
        for micros in [0, 1, 50, 79, 81, 300, 5_000] {
            let due = now() + Duration::from_micros(micros);
            assert!(alarm.wait_until(due, &mut cost));
            assert!(now() >= due);
        }
        assert!((1..=3).contains(&cost.sleeps), "{cost:?}");
    }

    #[test]
    fn what_is_past_costs_nothing() {
        let alarm = Alarm::new().unwrap();
        let mut cost = Cost::default();
        for due in [Duration::ZERO, now()] {
            assert!(alarm.wait_until(due, &mut cost));
        }
        assert_eq!(cost, Cost::default());
    }

    #[test]
    fn a_bell_ends_waits_until_it_is_hushed() {
        let alarm = Alarm::new().unwrap();
        let mut cost = Cost::default();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| alarm.wait_until(FOREVER, &mut Cost::default()));
            alarm.ring();
            assert!(!waiter.join().unwrap());
        });
        assert!(!alarm.wait_until(FOREVER, &mut cost));
        alarm.ring();
        alarm.hush();
        assert!(alarm.wait_until(now() + Duration::from_millis(1), &mut cost));
        alarm.hush();
    }

    #[test]
    fn a_socket_is_waited_for_until_it_takes_something() {
        let alarm = Alarm::new().unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(alarm.wait_writable(socket.as_fd(), FOREVER));
        let (mut full, _reader) = UnixStream::pair().unwrap();
        full.set_nonblocking(true).unwrap();
        while full.write(&[0; 4096]).is_ok() {}
        let limit = now() + Duration::from_millis(2);
        assert!(alarm.wait_writable(full.as_fd(), limit));
        assert!(now() >= limit);
        alarm.ring();
        assert!(!alarm.wait_writable(full.as_fd(), FOREVER));
    }
}
