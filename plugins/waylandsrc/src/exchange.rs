//! Where the compositor's thread hands pictures to the streaming thread.
//!
//! Pictures are drawn on demand: the streaming thread says that it wants one and waits, the compositor draws the freshest
//! at its next tick, or at once if that has passed. Nothing is drawn while nobody waits.

use crate::mode::Tick;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// A picture of the output.
#[derive(Debug)]
pub struct Picture {
    pub buffer: gst::Buffer,
    pub tick: Tick,
    /// When, on the monotonic clock. Not before its tick.
    pub drawn: Duration,
    /// Of the mode in which it was drawn.
    pub generation: u64,
}

/// What waiting for a picture came to.
#[derive(Debug)]
pub enum Outcome {
    Picture(Picture),
    /// Nothing for as long as was asked.
    Nothing,
    /// The peer may want other caps.
    Reconfigure,
    Flushing,
    /// The compositor is gone.
    Failed(String),
}

#[derive(Debug, Default)]
struct Content {
    wanted: bool,
    picture: Option<Picture>,
    /// Pictures of an older one are of no use.
    generation: u64,
    flushing: bool,
    paused: bool,
    reconfigure: bool,
    failure: Option<String>,
}

/// The mutex is held for moments; nothing is called under it.
#[derive(Debug, Default)]
pub struct Exchange {
    content: Mutex<Content>,
    changed: Condvar,
}

impl Exchange {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut Content)) {
        change(&mut self.content());
        self.changed.notify_all();
    }

    /// Says that a picture is wanted. The compositor has to be woken then.
    pub fn want(&self) {
        self.content().wanted = true;
    }

    /// Waits for what was wanted.
    pub fn wait(&self, at_most: Duration) -> Outcome {
        let quiet = |content: &mut Content| {
            let current = content.picture.as_ref().is_some_and(|p| p.generation == content.generation);
            let usable = current && !content.paused;
            !(content.flushing || content.reconfigure || content.failure.is_some() || usable)
        };
        let (mut content, _) = self.changed.wait_timeout_while(self.content(), at_most, quiet).unwrap();
        if content.flushing {
            return Outcome::Flushing;
        }
        if let Some(failure) = content.failure.take() {
            return Outcome::Failed(failure);
        }
        if std::mem::take(&mut content.reconfigure) {
            return Outcome::Reconfigure;
        }
        if content.paused {
            return Outcome::Nothing;
        }
        let generation = content.generation;
        match content.picture.take() {
            Some(picture) if picture.generation == generation => Outcome::Picture(picture),
            _ => Outcome::Nothing,
        }
    }

    /// Whether the streaming thread waits for a picture.
    pub fn is_wanted(&self) -> bool {
        let content = self.content();
        content.wanted && !content.flushing && !content.paused
    }

    pub fn give(&self, picture: Picture) {
        self.change(|content| {
            // One of an older mode leaves the wish for one of the newer.
            content.wanted = content.wanted && picture.generation != content.generation;
            content.picture = Some(picture);
        });
    }

    /// A new mode: its generation.
    pub fn start_generation(&self) -> u64 {
        let mut content = self.content();
        content.generation += 1;
        // Who waits for one that is thrown away waits for one of the new mode.
        content.wanted |= content.picture.take().is_some();
        content.generation
    }

    pub fn set_flushing(&self, flushing: bool) {
        self.change(|content| content.flushing = flushing);
    }

    /// In a pause nothing is drawn or taken; what was wanted before is still wanted after it.
    pub fn set_paused(&self, paused: bool) {
        self.change(|content| content.paused = paused);
    }

    pub fn ask_to_reconfigure(&self) {
        self.change(|content| content.reconfigure = true);
    }

    pub fn fail(&self, failure: String) {
        self.change(|content| content.failure = Some(failure));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    fn picture(number: u64, generation: u64) -> Picture {
        gst::init().unwrap();
        let tick = Tick { number, time: Duration::ZERO };
        Picture { buffer: gst::Buffer::new(), tick, drawn: tick.time, generation }
    }

    #[test]
    fn a_picture_ends_the_wish_for_it() {
        let exchange = Exchange::default();
        assert!(!exchange.is_wanted());
        exchange.want();
        assert!(exchange.is_wanted());
        exchange.give(picture(7, 0));
        assert!(!exchange.is_wanted());
        assert!(matches!(exchange.wait(AT_ONCE), Outcome::Picture(picture) if picture.tick.number == 7));
        assert!(matches!(exchange.wait(AT_ONCE), Outcome::Nothing));
    }

    #[test]
    fn pictures_of_an_older_mode_are_never_seen() {
        let exchange = Exchange::default();
        exchange.want();
        exchange.give(picture(0, 0));
        let generation = exchange.start_generation();
        assert!(matches!(exchange.wait(AT_ONCE), Outcome::Nothing));
        exchange.want();
        exchange.give(picture(1, generation - 1));
        assert!(exchange.is_wanted(), "one of the new mode is still owed");
        assert!(matches!(exchange.wait(AT_ONCE), Outcome::Nothing));
        exchange.give(picture(2, generation));
        assert!(matches!(exchange.wait(AT_ONCE), Outcome::Picture(picture) if picture.tick.number == 2));
    }

    #[test]
    fn a_picture_that_a_new_mode_throws_away_is_still_owed() {
        let exchange = Exchange::default();
        exchange.want();
        exchange.give(picture(0, 0));
        exchange.start_generation();
        assert!(exchange.is_wanted());
    }

    #[test]
    fn in_a_pause_nothing_is_wanted_or_taken() {
        let exchange = Exchange::default();
        exchange.want();
        exchange.set_paused(true);
        assert!(!exchange.is_wanted());
        exchange.set_paused(false);
        assert!(exchange.is_wanted());
        exchange.give(picture(3, 0));
        exchange.set_paused(true);
        assert!(matches!(exchange.wait(AT_ONCE), Outcome::Nothing));
        exchange.set_paused(false);
        assert!(matches!(exchange.wait(AT_ONCE), Outcome::Picture(picture) if picture.tick.number == 3));
    }

    #[test]
    fn flushing_goes_before_everything_and_nothing_is_wanted_then() {
        let exchange = Exchange::default();
        exchange.want();
        exchange.give(picture(0, 0));
        exchange.want();
        exchange.set_flushing(true);
        assert!(!exchange.is_wanted());
        assert!(matches!(exchange.wait(Duration::from_secs(60)), Outcome::Flushing));
        exchange.set_flushing(false);
        assert!(matches!(exchange.wait(AT_ONCE), Outcome::Picture(_)));
    }

    #[test]
    fn other_caps_and_failures_are_told_once() {
        let exchange = Exchange::default();
        exchange.ask_to_reconfigure();
        assert!(matches!(exchange.wait(Duration::from_secs(60)), Outcome::Reconfigure));
        exchange.fail("gone".into());
        assert!(matches!(exchange.wait(Duration::from_secs(60)), Outcome::Failed(why) if why == "gone"));
        assert!(matches!(exchange.wait(AT_ONCE), Outcome::Nothing));
    }
}
