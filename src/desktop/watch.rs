//! Tells when something of PipeWire is gone. The element that reads from it does not: it falls silent, as it does on a
//! desktop that is merely still, whether its compositor, the portal's backend or the daemon died.

use crate::protocol::pipewire::{Event, Global, Reader, Request};
use anyhow::Context;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A daemon that lives answers in a millisecond.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

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
    fn is(&self, global: &Global) -> bool {
        let said = |property: &Option<String>, text: &str| property.as_deref() == Some(text);
        match self {
            Self::Node(id) => global.id == *id,
            Self::Target(target) => {
                global.kind == "PipeWire:Interface:Node"
                    && (said(&global.node_name, target) || said(&global.serial, target))
            }
            Self::SessionManager => {
                global.kind == "PipeWire:Interface:Metadata" && said(&global.metadata_name, "default")
            }
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
pub struct Watch {
    stream: UnixStream,
    reader: Reader,
    sent: u32,
}

impl Watch {
    /// On a descriptor of a remote that was opened for this alone.
    pub fn on(remote: OwnedFd) -> anyhow::Result<Watch> {
        let stream = std::os::unix::net::UnixStream::from(remote);
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        Ok(Self { stream, reader: Reader::default(), sent: 0 })
    }

    /// On the daemon of this session.
    pub async fn connect() -> anyhow::Result<Watch> {
        Ok(Self { stream: connect().await?, reader: Reader::default(), sent: 0 })
    }

    /// Why this, or the daemon itself, is not there any more, once that is so.
    pub async fn lost(mut self, watched: Watched) -> String {
        match self.watch(&watched).await {
            Ok(reason) => reason,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => "PipeWire ended".into(),
            Err(error) => format!("PipeWire: {error}"),
        }
    }

    /// Whether this is there now.
    pub async fn finds(mut self, watched: &Watched) -> std::io::Result<bool> {
        self.greet().await?;
        loop {
            match self.next().await? {
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
            match self.next().await? {
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

    /// Asks for all there is.
    async fn greet(&mut self) -> std::io::Result<()> {
        self.send(Request::Hello).await?;
        self.send(Request::Name("moonpipe")).await?;
        self.send(Request::GetRegistry).await?;
        self.send(Request::Sync).await
    }

    async fn send(&mut self, request: Request<'_>) -> std::io::Result<()> {
        let message = request.message(self.sent);
        self.sent += 1;
        let mut rest = &message[..];
        while !rest.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Descriptors that come along are dropped by the system: nobody asks for them.
    async fn next(&mut self) -> std::io::Result<Event> {
        loop {
            match self.reader.poll() {
                Some(Event::Ping { id, seq }) => self.send(Request::Pong { id, seq }).await?,
                Some(Event::Error(error)) => return Err(std::io::Error::other(error)),
                Some(event) => return Ok(event),
                None => self.fill().await?,
            }
        }
    }

    async fn fill(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.reader.handle_bytes(&buffer[..read]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A connection to the daemon of this session, for an element to speak on: whoever holds it can end the conversation.
pub async fn remote() -> anyhow::Result<OwnedFd> {
    Ok(connect().await?.into_std()?.into())
}

async fn connect() -> anyhow::Result<UnixStream> {
    let path = socket_path(|name| std::env::var_os(name)).context("XDG_RUNTIME_DIR is not set")?;
    UnixStream::connect(&path).await.with_context(|| path.display().to_string())
}

/// What is missing of PipeWire that this process has seen before, or of the targets. Of what it never saw, nothing is
/// known: in a sandbox, only the portal reaches it.
pub async fn missing(targets: &[Watched]) -> Option<String> {
    static DAEMON_SEEN: AtomicBool = AtomicBool::new(false);
    static MANAGER_SEEN: AtomicBool = AtomicBool::new(false);
    let is_missing = |is_there: bool, seen: &AtomicBool| {
        seen.fetch_or(is_there, Ordering::Relaxed);
        !is_there && seen.load(Ordering::Relaxed)
    };
    let daemon = Watch::connect().await;
    if is_missing(daemon.is_ok(), &DAEMON_SEEN) {
        return Some("PipeWire does not run".into());
    }
    let manager = timeout(ANSWER_LIMIT, daemon.ok()?.finds(&Watched::SessionManager)).await;
    let is_there = matches!(manager, Ok(Ok(true)));
    if is_missing(is_there, &MANAGER_SEEN) {
        return Some("PipeWire's session manager does not run".into());
    }
    for target in targets {
        let found = timeout(ANSWER_LIMIT, Watch::connect().await.ok()?.finds(target)).await;
        if !matches!(found, Ok(Ok(true))) {
            return Some(format!("PipeWire does not have {target}"));
        }
    }
    None
}

/// Where the daemon listens, by the rules of its own clients.
fn socket_path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let remote = variable("PIPEWIRE_REMOTE").unwrap_or_else(|| "pipewire-0".into());
    let folder = variable("PIPEWIRE_RUNTIME_DIR").or_else(|| variable("XDG_RUNTIME_DIR"));
    // A remote that is a path of its own takes the place of the folder.
    Some(PathBuf::from(folder.unwrap_or_default()).join(remote)).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as Blocking;

    #[test]
    fn the_daemon_is_where_its_clients_look_for_it() {
        let path = |variables: &[(&str, &str)]| {
            let variables: HashMap<_, _> = variables.iter().copied().collect();
            socket_path(|name| variables.get(name).map(OsString::from))
        };
        assert_eq!(path(&[]), None);
        assert_eq!(path(&[("XDG_RUNTIME_DIR", "/run/user/1")]), Some("/run/user/1/pipewire-0".into()));
        let special = [("XDG_RUNTIME_DIR", "/run/user/1"), ("PIPEWIRE_RUNTIME_DIR", "/run/pipewire")];
        assert_eq!(path(&special), Some("/run/pipewire/pipewire-0".into()));
        let remote = [("XDG_RUNTIME_DIR", "/run/user/1"), ("PIPEWIRE_REMOTE", "/tmp/socket")];
        assert_eq!(path(&remote), Some("/tmp/socket".into()));
    }

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
