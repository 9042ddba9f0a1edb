//! Whether the capture that runs is paused: while nobody looks, once so many frames came that nobody saw. Decides only:
//! [`super::source`] does it.
//!
//! What is still costs nothing, and its last frame is kept. What moves has more to show after the pause: that counts,
//! because xdg-desktop-portal-wlr 0.7 loses the first change of a pause, or the one that comes after it. Changes follow
//! one another; each may take as long as it likes.

/// So many frames that nobody sees make a capture one that moves: a second or two of it.
pub(super) const UNSEEN: u32 = 60;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Count frames from now on, and tell of the [`UNSEEN`]th.
    AwaitFrames,
    Pause,
    GoOn,
}

/// The capture that runs now, if there is one.
#[derive(Debug, Default)]
pub(super) struct Idle {
    is_watched: bool,
    /// Frames are counted.
    awaits: bool,
    /// So many came that nobody looked at.
    moves: bool,
    /// What it was last told.
    is_paused: bool,
    /// It has not answered yet.
    is_changing: bool,
}

impl Idle {
    /// Another capture runs from now on.
    pub fn handle_capture(&mut self) {
        let Self { is_watched, awaits, .. } = *self;
        *self = Self { is_watched, awaits, ..Self::default() };
    }

    pub fn handle_watched(&mut self, is_watched: bool) {
        if is_watched {
            // Counted anew when they have left.
            (self.awaits, self.moves) = (false, false);
        }
        self.is_watched = is_watched;
    }

    /// As many frames came as were to be counted.
    pub fn handle_frames(&mut self) {
        self.awaits = false;
        self.moves = !self.is_watched;
    }

    /// The capture pauses, or goes on, as it was told.
    pub fn handle_changed(&mut self) {
        self.is_changing = false;
    }

    pub fn poll(&mut self) -> Option<Order> {
        if !self.is_watched && !self.moves && !self.awaits {
            self.awaits = true;
            return Some(Order::AwaitFrames);
        }
        let pause = !self.is_watched && self.moves;
        if self.is_changing || pause == self.is_paused {
            return None;
        }
        (self.is_paused, self.is_changing) = (pause, true);
        Some(if pause { Order::Pause } else { Order::GoOn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A capture that somebody looked at.
    fn left() -> Idle {
        let mut idle = Idle::default();
        idle.handle_capture();
        idle.handle_watched(true);
        assert_eq!(idle.poll(), None);
        idle.handle_watched(false);
        idle
    }

    #[test]
    fn it_pauses_when_nobody_sees_it_move_and_goes_on_when_somebody_comes() {
        let mut idle = left();
        assert_eq!((idle.poll(), idle.poll()), (Some(Order::AwaitFrames), None));
        idle.handle_frames();
        assert_eq!((idle.poll(), idle.poll()), (Some(Order::Pause), None));
        idle.handle_changed();
        assert_eq!(idle.poll(), None);
        idle.handle_watched(true);
        assert_eq!((idle.poll(), idle.poll()), (Some(Order::GoOn), None));
    }

    #[test]
    fn frames_that_somebody_sees_pause_nothing() {
        let mut idle = left();
        assert_eq!(idle.poll(), Some(Order::AwaitFrames));
        idle.handle_watched(true);
        idle.handle_frames();
        idle.handle_watched(false);
        assert_eq!((idle.poll(), idle.poll()), (Some(Order::AwaitFrames), None));
    }

    #[test]
    fn each_capture_is_seen_to_move_before_it_pauses() {
        let mut idle = left();
        idle.poll();
        idle.handle_frames();
        assert_eq!(idle.poll(), Some(Order::Pause));
        idle.handle_capture();
        assert_eq!((idle.poll(), idle.poll()), (Some(Order::AwaitFrames), None));
        idle.handle_frames();
        assert_eq!(idle.poll(), Some(Order::Pause), "the answer of the one before is not waited for");
    }

    #[test]
    fn who_comes_while_it_pauses_is_not_forgotten() {
        let mut idle = left();
        idle.poll();
        idle.handle_frames();
        assert_eq!(idle.poll(), Some(Order::Pause));
        idle.handle_watched(true);
        assert_eq!(idle.poll(), None, "one after the other");
        idle.handle_changed();
        assert_eq!(idle.poll(), Some(Order::GoOn));
    }

    /// A capture as it is told to be, which shows something unless it is paused.
    #[derive(Default)]
    struct Told {
        awaits: bool,
        changes: Option<Order>,
        is_paused: bool,
    }

    impl Told {
        fn obey(&mut self, idle: &mut Idle) {
            while let Some(order) = idle.poll() {
                match order {
                    Order::AwaitFrames => self.awaits = true,
                    change => assert_eq!(self.changes.replace(change), None, "one after the other"),
                }
            }
        }

        fn answer(&mut self, idle: &mut Idle) {
            if let Some(change) = self.changes.take() {
                self.is_paused = change == Order::Pause;
                idle.handle_changed();
            }
        }

        fn show(&mut self, idle: &mut Idle) {
            if !self.is_paused && std::mem::take(&mut self.awaits) {
                idle.handle_frames();
            }
        }
    }

    proptest! {
        /// Whatever happens in between, it is as it should be once everything was answered.
        #[test]
        fn in_the_end_it_pauses_if_and_only_if_nobody_looks(events in proptest::collection::vec(0u8..6, 0..60)) {
            let (mut idle, mut told) = (left(), Told::default());
            for event in events {
                match event {
                    0 => idle.handle_watched(true),
                    1 => idle.handle_watched(false),
                    2 => told.show(&mut idle),
                    3 => told.answer(&mut idle),
                    4 => told.obey(&mut idle),
                    _ => {
                        idle.handle_capture();
                        told = Told { awaits: told.awaits, ..Told::default() };
                    }
                }
            }
            for _ in 0..4 {
                told.obey(&mut idle);
                told.answer(&mut idle);
                told.show(&mut idle);
            }
            prop_assert_eq!(told.is_paused, !idle.is_watched);
        }
    }
}
