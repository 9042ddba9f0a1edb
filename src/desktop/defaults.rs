//! The default sink of PipeWire's session manager, and moving it for a while: who plays without choosing a sink plays there.
//!
//! The manager remembers which sinks it was told before, and goes back to them by itself when the one it is told now is
//! gone, as ours is with a host that was killed. What the owner had chosen is written down besides, so that the next host
//! gives it back.

use super::connection::{ANSWER_LIMIT, Connection};
use super::watch::Watched;
use crate::files;
use crate::protocol::pipewire::{Event, Request};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use tokio::time::timeout;

/// What the owner, or a program for them, has chosen; the manager takes it where it is there.
const CHOSEN: &str = "default.configured.audio.sink";
/// What is the default.
const IN_FORCE: &str = "default.audio.sink";

/// What the manager says, each as JSON with a `name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Defaults {
    chosen: Option<String>,
    in_force: Option<String>,
}

impl Defaults {
    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Metadata { key, value } if key == CHOSEN => self.chosen = value,
            Event::Metadata { key, value } if key == IN_FORCE => self.in_force = value,
            _ => {}
        }
    }
}

/// The default sink while it is another one than the owner's.
#[derive(Debug)]
pub struct Moved {
    /// The sink that takes its place.
    to: String,
    note: PathBuf,
    before: Defaults,
}

impl Moved {
    /// Makes `to` the default sink. A note in `state_dir` says what was before.
    pub async fn to(to: &str, state_dir: &Path) -> anyhow::Result<Moved> {
        let mut manager = Manager::connect().await?;
        let before = manager.defaults().await?;
        let note = note(state_dir);
        write_note(&note, to, before.chosen.as_deref())?;
        manager.choose(Some(&named(to))).await?;
        Ok(Self { to: to.to_owned(), note, before })
    }

    /// Once more, by another session manager.
    pub async fn again(&self) -> anyhow::Result<()> {
        Manager::connect().await?.choose(Some(&named(&self.to))).await
    }

    /// The name of the sink that was the default.
    pub fn from(&self) -> Option<String> {
        name(self.before.in_force.as_deref()?)
    }

    pub async fn back(&self) {
        if let Err(error) = restore(&self.note).await {
            tracing::warn!("the default sound sink stays {}: {error:#}", self.to);
        }
    }
}

/// Gives back what a host that was killed has left moved.
pub async fn restore_left(state_dir: &Path) {
    let note = note(state_dir);
    if note.exists()
        && let Err(error) = restore(&note).await
    {
        tracing::warn!("the default sound sink may be another one than you chose: {error:#}");
    }
}

/// What somebody has chosen meanwhile stays.
async fn restore(note: &Path) -> anyhow::Result<()> {
    let (ours, chosen) = read_note(note)?;
    let mut manager = Manager::connect().await?;
    if manager.defaults().await?.chosen.as_deref().and_then(name) == Some(ours) {
        manager.choose(chosen.as_deref()).await?;
    }
    std::fs::remove_file(note).with_context(|| note.display().to_string())
}

fn note(state_dir: &Path) -> PathBuf {
    state_dir.join("default-sink")
}

/// Our sink in the first line, what was chosen before in the second.
fn write_note(note: &Path, ours: &str, chosen: Option<&str>) -> anyhow::Result<()> {
    let text = format!("{ours}\n{}", chosen.unwrap_or_default());
    files::write_private(note, text.as_bytes()).with_context(|| note.display().to_string())
}

fn read_note(note: &Path) -> anyhow::Result<(String, Option<String>)> {
    let text = std::fs::read_to_string(note).with_context(|| note.display().to_string())?;
    let (ours, chosen) = text.split_once('\n').unwrap_or((&text, ""));
    Ok((ours.to_owned(), Some(chosen.to_owned()).filter(|chosen| !chosen.is_empty())))
}

fn named(sink: &str) -> String {
    serde_json::json!({ "name": sink }).to_string()
}

fn name(json: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    Some(value["name"].as_str()?.to_owned())
}

/// A connection to who keeps the defaults.
struct Manager(Connection);

impl Manager {
    async fn connect() -> anyhow::Result<Manager> {
        let mut manager = Self(Connection::connect().await?);
        manager.0.greet().await?;
        let mut found = None;
        manager
            .settle(|event| {
                if let Event::Global(global) = event
                    && Watched::SessionManager.is(&global)
                {
                    found = Some(global.id);
                }
            })
            .await?;
        let Some(id) = found else { bail!("PipeWire has no session manager") };
        manager.0.send(Request::GetMetadata { id }).await?;
        Ok(manager)
    }

    async fn defaults(&mut self) -> anyhow::Result<Defaults> {
        let mut defaults = Defaults::default();
        self.settle(|event| defaults.handle_event(event)).await?;
        Ok(defaults)
    }

    async fn choose(&mut self, sink: Option<&str>) -> anyhow::Result<()> {
        self.0.send(Request::SetMetadata { key: CHOSEN, value: sink }).await?;
        self.settle(|_| {}).await
    }

    /// Until all that was asked is answered.
    async fn settle(&mut self, mut hear: impl FnMut(Event)) -> anyhow::Result<()> {
        self.0.send(Request::Sync).await?;
        let answers = async {
            loop {
                match self.0.next().await? {
                    Event::Done => return anyhow::Ok(()),
                    event => hear(event),
                }
            }
        };
        timeout(ANSWER_LIMIT, answers).await.context("PipeWire does not answer")?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_holds_what_was_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let note = note(folder.path());
        for chosen in [None, Some(r#"{ "name": "alsa_output.pci \"x\"" }"#)] {
            write_note(&note, "moonpipe-1", chosen).unwrap();
            assert_eq!(read_note(&note).unwrap(), ("moonpipe-1".into(), chosen.map(str::to_owned)));
        }
        std::fs::remove_file(&note).unwrap();
        assert!(read_note(&note).is_err());
    }

    #[test]
    fn a_sink_is_known_by_its_name() {
        assert_eq!(name(&named("moonpipe-1")), Some("moonpipe-1".into()));
        assert_eq!(name(r#"{ "name": "loudspeaker" }"#), Some("loudspeaker".into()));
        assert_eq!((name("loudspeaker"), name("{}")), (None, None));
    }

    #[test]
    fn the_last_of_a_key_counts() {
        let mut defaults = Defaults::default();
        let said = |key: &str, value: Option<&str>| Event::Metadata {
            key: key.into(),
            value: value.map(str::to_owned),
        };
        defaults.handle_event(said(CHOSEN, Some("a")));
        defaults.handle_event(said(IN_FORCE, Some("b")));
        defaults.handle_event(said("default.audio.source", Some("c")));
        defaults.handle_event(said(CHOSEN, None));
        assert_eq!(defaults, Defaults { chosen: None, in_force: Some("b".into()) });
    }
}
