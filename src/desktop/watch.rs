//! Tells when something of PipeWire is gone. The element that reads from it does not: it falls silent, as it does on a
//! desktop that is merely still, whether its compositor, the portal's backend or the daemon died.

use crate::protocol::pipewire::{Event, Reader, Request};
use anyhow::Context;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use tokio::net::UnixStream;

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
        let path = socket_path(|name| std::env::var_os(name)).context("XDG_RUNTIME_DIR is not set")?;
        let stream = UnixStream::connect(&path).await.with_context(|| path.display().to_string())?;
        Ok(Self { stream, reader: Reader::default(), sent: 0 })
    }

    /// Why `node`, or the daemon itself, is not there any more, once that is so.
    pub async fn lost(mut self, node: Option<u32>) -> String {
        match self.watch(node).await {
            Ok(reason) => reason,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => "PipeWire ended".into(),
            Err(error) => format!("PipeWire does not answer: {error}"),
        }
    }

    async fn watch(&mut self, node: Option<u32>) -> std::io::Result<String> {
        self.send(Request::Hello).await?;
        self.send(Request::Name("moonpipe")).await?;
        self.send(Request::GetRegistry).await?;
        loop {
            match self.next().await? {
                Event::Ping { id, seq } => self.send(Request::Pong { id, seq }).await?,
                Event::Error(error) => return Ok(format!("PipeWire: {error}")),
                Event::GlobalRemoved { id } if Some(id) == node => {
                    return Ok(format!("PipeWire's node {id} is gone"));
                }
                Event::Global { id } if Some(id) == node => {
                    tracing::debug!("PipeWire's node {id} is watched");
                }
                Event::Global { .. } | Event::GlobalRemoved { .. } | Event::Other => {}
            }
        }
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
        let mut buffer = [0; 4096];
        loop {
            if let Some(event) = self.reader.poll() {
                return Ok(event);
            }
            self.stream.readable().await?;
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.reader.handle_bytes(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
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

    /// A daemon that hears the greeting, says `words`, and ends.
    async fn lost_after(words: &[&[u32]]) -> String {
        let (ours, mut daemon) = Blocking::pair().unwrap();
        let words: Vec<u8> = words.iter().flat_map(|w| w.iter().flat_map(|w| w.to_ne_bytes())).collect();
        let daemon = std::thread::spawn(move || {
            let mut greeting = [0; 40];
            daemon.read_exact(&mut greeting).unwrap();
            daemon.write_all(&words).unwrap();
        });
        let reason = Watch::on(ours.into()).unwrap().lost(Some(47)).await;
        daemon.join().unwrap();
        reason
    }

    #[tokio::test]
    async fn the_end_of_the_node_and_of_the_daemon_are_told() {
        // Header, struct, int: the registry takes a node away.
        let removed = |id| [2, 1 << 24 | 24, 0, 0, 16, 14, 4, 4, id, 0];
        assert_eq!(lost_after(&[&removed(48), &removed(47)]).await, "PipeWire's node 47 is gone");
        let reason = lost_after(&[&removed(48)]).await;
        assert!(reason.starts_with("PipeWire "), "{reason}");
    }
}
