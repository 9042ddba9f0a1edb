//! A connection to PipeWire's daemon on which nothing flows but what is asked and told.

use crate::protocol::pipewire::{Event, Reader, Request};
use anyhow::Context;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::UnixStream;

/// A daemon that lives answers in a millisecond.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The daemon of this session answered once.
static SEEN: AtomicBool = AtomicBool::new(false);

pub(super) struct Connection {
    stream: UnixStream,
    reader: Reader,
    sent: u32,
}

impl Connection {
    /// On a descriptor of a remote that was opened for this alone.
    pub fn on(remote: OwnedFd) -> anyhow::Result<Connection> {
        let stream = std::os::unix::net::UnixStream::from(remote);
        stream.set_nonblocking(true)?;
        Ok(Self::of(UnixStream::from_std(stream)?))
    }

    /// To the daemon of this session.
    pub async fn connect() -> anyhow::Result<Connection> {
        let stream = connect().await?;
        SEEN.store(true, Ordering::Relaxed);
        Ok(Self::of(stream))
    }

    fn of(stream: UnixStream) -> Connection {
        Self { stream, reader: Reader::default(), sent: 0 }
    }

    /// Asks for all there is, and for all news of it.
    pub async fn greet(&mut self) -> std::io::Result<()> {
        self.send(Request::Hello).await?;
        self.send(Request::Name("moonpipe")).await?;
        self.send(Request::GetRegistry).await
    }

    pub async fn send(&mut self, request: Request<'_>) -> std::io::Result<()> {
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

    /// An error is its end, unless it is the answer to a wish for a node. Descriptors that come along are dropped by the
    /// system: nobody asks for them.
    pub async fn next(&mut self) -> std::io::Result<Event> {
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

/// Whether this process has ever reached the daemon of its session. Of one that it never saw, nothing is known: in a
/// sandbox, only the portal reaches it.
pub(super) fn was_seen() -> bool {
    SEEN.load(Ordering::Relaxed)
}

/// Why a connection that brought this error is of no use any more.
pub(super) fn explain(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "PipeWire ended".into(),
        _ => format!("PipeWire: {error}"),
    }
}

/// To the daemon of this session, for an element to speak on: whoever holds it can end the conversation.
pub(super) async fn remote() -> anyhow::Result<OwnedFd> {
    Ok(connect().await?.into_std()?.into())
}

async fn connect() -> anyhow::Result<UnixStream> {
    let path = socket_path(|name| std::env::var_os(name)).context("XDG_RUNTIME_DIR is not set")?;
    UnixStream::connect(&path).await.with_context(|| path.display().to_string())
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
}
