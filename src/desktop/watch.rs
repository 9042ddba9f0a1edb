//! Tells when something of PipeWire is gone. The element that reads from it does not: it falls silent, as it does on a
//! desktop that is merely still, whether its compositor, the portal's backend or the daemon died.

use super::connection::{self, ANSWER_LIMIT, Connection};
use crate::protocol::pipewire::{Event, Global, METADATA_KIND, NODE_KIND, Request};
use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::timeout;

/// What of PipeWire is watched, besides the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// The source of a stream.
    Node(u32),
    /// The same, by its name or its serial number.
    Target(String),
    /// Who connects nodes with each other, WirePlumber for example; its object of defaults goes when it does.
    SessionManager,
}

impl Watched {
    pub(super) fn is(&self, global: &Global) -> bool {
        let said = |property: &Option<String>, text: &str| property.as_deref() == Some(text);
        match self {
            Self::Node(id) => global.id == *id,
            Self::Target(target) => {
                global.kind == NODE_KIND && (said(&global.node_name, target) || said(&global.serial, target))
            }
            Self::SessionManager => global.kind == METADATA_KIND && said(&global.metadata_name, "default"),
        }
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(f, "the node {id}"),
            Self::Target(target) => write!(f, "the node {target:?}"),
            Self::SessionManager => f.write_str("its session manager"),
        }
    }
}

/// A connection of its own, which nothing flows through.
pub struct Watch(Connection);

impl Watch {
    /// On a descriptor of a remote that was opened for this alone.
    pub fn on(remote: OwnedFd) -> anyhow::Result<Watch> {
        Connection::on(remote).map(Watch)
    }

    /// On the daemon of this session.
    pub async fn connect() -> anyhow::Result<Watch> {
        Connection::connect().await.map(Watch)
    }

    /// Why this, or the daemon itself, is not there any more, once that is so.
    pub async fn lost(mut self, watched: Watched) -> String {
        match self.watch(&watched).await {
            Ok(reason) => reason,
            Err(error) => connection::explain(&error),
        }
    }

    /// Whether this is there now.
    pub async fn finds(mut self, watched: &Watched) -> std::io::Result<bool> {
        self.greet().await?;
        loop {
            match self.0.next().await? {
                Event::Global(global) if watched.is(&global) => return Ok(true),
                Event::Done => return Ok(false),
                _ => {}
            }
        }
    }

    async fn watch(&mut self, watched: &Watched) -> std::io::Result<String> {
        let mut known = BTreeSet::new();
        self.greet().await?;
        loop {
            match self.0.next().await? {
                Event::Global(global) if watched.is(&global) => _ = known.insert(global.id),
                Event::GlobalRemoved { id } if known.remove(&id) && known.is_empty() => {
                    return Ok(format!("PipeWire lost {watched}"));
                }
                // It died before anybody looked.
                Event::Done if known.is_empty() && !matches!(watched, Watched::SessionManager) => {
                    return Ok(format!("PipeWire has lost {watched}"));
                }
                _ => {}
            }
        }
    }

    /// Asks for all there is, and to be told when that was all.
    async fn greet(&mut self) -> std::io::Result<()> {
        self.0.greet().await?;
        self.0.send(Request::Sync).await
    }
}

/// A connection to the daemon of this session, for an element to speak on: whoever holds it can end the conversation.
pub async fn remote() -> anyhow::Result<OwnedFd> {
    connection::remote().await
}

/// What is missing of PipeWire that this process has seen before, or of the targets. Of what it never saw, nothing is
/// known: in a sandbox, only the portal reaches it.
pub async fn missing(targets: &[Watched]) -> Option<String> {
    static MANAGER_SEEN: AtomicBool = AtomicBool::new(false);
    let daemon = Watch::connect().await;
    if daemon.is_err() && connection::was_seen() {
        return Some("PipeWire does not run".into());
    }
    let manager = timeout(ANSWER_LIMIT, daemon.ok()?.finds(&Watched::SessionManager)).await;
    let is_there = matches!(manager, Ok(Ok(true)));
    if !is_there && MANAGER_SEEN.load(Ordering::Relaxed) {
        return Some("PipeWire's session manager does not run".into());
    }
    MANAGER_SEEN.fetch_or(is_there, Ordering::Relaxed);
    for target in targets {
        let found = timeout(ANSWER_LIMIT, Watch::connect().await.ok()?.finds(target)).await;
        if !matches!(found, Ok(Ok(true))) {
            return Some(format!("PipeWire does not have {target}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as Blocking;

    /// What is left unread would make the end an error.
    const GREETING: usize = 40 + 88 + 56 + 56;

    /// A daemon that hears the greeting, says `words`, and ends.
    async fn lost_after(words: &[&[u32]]) -> String {
        let (ours, mut daemon) = Blocking::pair().unwrap();
        let words: Vec<u8> = words.iter().flat_map(|w| w.iter().flat_map(|w| w.to_ne_bytes())).collect();
        let daemon = std::thread::spawn(move || {
            let mut greeting = [0; GREETING];
            daemon.read_exact(&mut greeting).unwrap();
            daemon.write_all(&words).unwrap();
        });
        let reason = Watch::on(ours.into()).unwrap().lost(Watched::Node(47)).await;
        daemon.join().unwrap();
        reason
    }

    #[tokio::test]
    async fn the_end_of_the_node_and_of_the_daemon_are_told() {
        // Header, struct, int: the registry shows an object, of which no more is told, or takes it away.
        let shown = |id| [2, 24, 0, 0, 16, 14, 4, 4, id, 0];
        let removed = |id| [2, 1 << 24 | 24, 0, 0, 16, 14, 4, 4, id, 0];
        let all = [shown(47), shown(48), removed(48), removed(47)];
        assert_eq!(lost_after(&all.each_ref().map(|w| &w[..])).await, "PipeWire lost the node 47");
        let reason = lost_after(&[&shown(47), &removed(48)]).await;
        assert!(reason.starts_with("PipeWire") && !reason.contains("node"), "{reason}");
    }
}
