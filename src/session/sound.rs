//! Where the sound of a session is taken from, and whether the host plays it too: it does only for clients that ask.
//!
//! A display of its own has a sink of its own. The sound of what everybody sees comes from the default sink, which is a
//! silent one of ours meanwhile; all such sessions share it.

use super::Equipment;
use super::view::View;
use crate::desktop::defaults::Moved;
use crate::desktop::echo::Echo;
use crate::desktop::sink::Sink;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// Between tries to tell a session manager that is not back yet; doubles.
const AGAIN: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What a client wants of the sound.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    pub channels: u32,
    /// The host plays it too.
    pub local: bool,
}

/// The sound of one session.
#[derive(Default)]
pub(super) struct Sound {
    /// The name of the sink that is listened to, instead of the default one.
    sink: Option<String>,
    _echo: Option<Echo>,
    part: Option<Part>,
}

impl Sound {
    pub async fn open(equipment: &Equipment, view: &View, wish: Wish) -> Sound {
        if let Some(own) = view.sink() {
            let echo = wish.local.then(|| Echo::open(own, None));
            return Self { sink: Some(own.to_owned()), _echo: echo, part: None };
        }
        if !equipment.audio_description.uses_sink() || view.display().is_some() {
            return Self::default();
        }
        equipment.hush.enter(wish).await
    }

    pub fn sink(&self) -> Option<&str> {
        self.sink.as_deref()
    }

    pub async fn close(self, equipment: &Equipment) {
        if let Some(part) = self.part {
            equipment.hush.leave(part).await;
        }
    }
}

/// How a session takes part in the sound of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It is heard on the owner's sink.
    Aloud,
    /// It is taken from the silent one.
    Hushed,
}

/// Who listens to the sound of all.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listeners {
    aloud: usize,
    hushed: usize,
}

impl Listeners {
    /// Who asks for sound on the host does not lose it to who comes later; who comes to a silent host leaves it to those
    /// who do not ask.
    fn part(&self, local: bool) -> Part {
        if self.hushed > 0 || !local && self.aloud == 0 { Part::Hushed } else { Part::Aloud }
    }

    fn of(&mut self, part: Part) -> &mut usize {
        match part {
            Part::Aloud => &mut self.aloud,
            Part::Hushed => &mut self.hushed,
        }
    }
}

/// The silent default sink, while somebody listens to it.
pub struct Hush {
    state_dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listeners: Listeners,
    silent: Option<Silent>,
}

struct Silent {
    sink: Sink,
    moved: Arc<Moved>,
    keeping: AbortOnDropHandle<()>,
}

impl Hush {
    /// What was the default sink is written down in `state_dir`.
    pub fn new(state_dir: PathBuf) -> Hush {
        Self { state_dir, state: Mutex::default() }
    }

    async fn enter(&self, wish: Wish) -> Sound {
        let mut state = self.state.lock().await;
        let mut part = state.listeners.part(wish.local);
        if part == Part::Hushed && state.silent.is_none() {
            state.silent = self.silence(wish.channels).await;
        }
        if state.silent.is_none() {
            part = Part::Aloud;
        }
        *state.listeners.of(part) += 1;
        let Some(silent) = state.silent.as_ref().filter(|_| part == Part::Hushed) else {
            return Sound { part: Some(part), ..Sound::default() };
        };
        // The default sink is the one that is listened to.
        let from = silent.moved.from();
        if wish.local && from.is_none() {
            tracing::warn!("what the player hears is not heard here as well: there was no default sink");
        }
        let from = from.filter(|_| wish.local);
        let echo = from.map(|from| Echo::open(silent.sink.name(), Some(&from)));
        Sound { sink: Some(silent.sink.name().to_owned()), _echo: echo, part: Some(part) }
    }

    async fn silence(&self, channels: u32) -> Option<Silent> {
        let sink = Sink::open("Moonlight", channels).await?;
        match Moved::to(sink.name(), &self.state_dir).await {
            Ok(moved) => {
                let moved = Arc::new(moved);
                let keeping = tokio::spawn(keep(moved.clone(), sink.made_again()));
                Some(Silent { sink, moved, keeping: AbortOnDropHandle::new(keeping) })
            }
            Err(error) => {
                tracing::warn!("the host plays what its players hear: {error:#}");
                None
            }
        }
    }

    async fn leave(&self, part: Part) {
        let mut state = self.state.lock().await;
        *state.listeners.of(part) -= 1;
        if state.listeners.hushed == 0 {
            end(state.silent.take()).await;
        }
    }

    /// The host ends, whoever listens still.
    pub async fn close(&self) {
        end(self.state.lock().await.silent.take()).await;
    }
}

/// The owner's sink is there before ours is gone.
async fn end(silent: Option<Silent>) {
    if let Some(Silent { sink, moved, keeping }) = silent {
        drop(keeping);
        moved.back().await;
        drop(sink);
    }
}

/// A session manager that was started again is told again.
async fn keep(moved: Arc<Moved>, mut made_again: watch::Receiver<u32>) {
    while made_again.changed().await.is_ok() {
        let mut pause = AGAIN;
        while let Err(error) = moved.again().await {
            tracing::debug!("the silent sink is not the default yet: {error:#}");
            sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_silent_unless_somebody_asked_for_it_first() {
        let listeners = |aloud, hushed| Listeners { aloud, hushed };
        assert_eq!(listeners(0, 0).part(false), Part::Hushed);
        assert_eq!(listeners(0, 0).part(true), Part::Aloud);
        assert_eq!(listeners(1, 0).part(false), Part::Aloud);
        assert_eq!(listeners(0, 1).part(true), Part::Hushed, "it gets an echo");
    }
}
