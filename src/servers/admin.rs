//! The host's own command line talks to it here: a socket in the state folder, one JSON line each way.

use crate::servers::nvhttp::{NotTold, PairingDesk};
use crate::servers::status::SessionStatus;
use anyhow::{Context, bail};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// What the command line asks of a running host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Tell the oldest waiting client this PIN, and let it play under this name.
    Pair { pin: String, name: Option<String> },
    /// Tell of every session, and of those that ended lately.
    Sessions,
    /// Show the source of this name from now on.
    Switch { source: String },
}

impl Request {
    /// Longest that the command line waits for its answer.
    fn patience(&self) -> Duration {
        match self {
            Self::Switch { .. } => SWITCH_LIMIT + PATIENCE,
            Self::Pair { .. } | Self::Sessions => 2 * PATIENCE,
        }
    }
}

/// What the host answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The client at `address` was told; it becomes `name` if the PIN is right. So many others wait too.
    Told { name: String, address: String, others: usize },
    /// No client waits for a PIN.
    NobodyWaits,
    /// In the order of their launch.
    Sessions(Vec<SessionStatus>),
    /// So many players see the source now, and all who come later.
    Switched { players: usize },
    /// The source that was named is on.
    ShownAlready,
    /// The host does not do it: `reason` says why, and what to do.
    Refused { reason: String },
}

/// Command lines that wait to be heard.
const BACKLOG: i32 = 16;
/// Requests are shorter than this.
const LONGEST_REQUEST: u64 = 4096;
/// And answers, in which every session has its part, than this.
const LONGEST_REPLY: u64 = 1 << 20;
/// A command line that is there sends its line at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest that a switch may take: a person may have to agree to it.
pub const SWITCH_LIMIT: Duration = Duration::from_secs(30);

fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("host.sock")
}

/// Nobody but the owner can connect, not even for a moment.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // The file of a socket gets the mode that the socket has when it is bound.
    File::from(OwnedFd::from(socket.try_clone()?)).set_permissions(Permissions::from_mode(0o600))?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    UnixListener::from_std(OwnedFd::from(socket).into())
}

/// What a command line can be told of.
#[derive(Clone)]
pub struct Desk {
    pub pairing: PairingDesk,
    pub sessions: Arc<dyn Overview>,
    pub sources: Arc<dyn Sources>,
}

/// Who plays.
pub trait Overview: Send + Sync {
    /// Every session, and those that ended lately, in the order of their launch.
    fn sessions(&self) -> Vec<SessionStatus>;
}

/// What players see.
pub trait Sources: Send + Sync {
    /// Shows the source of this name to all from now on. On an error nothing has changed.
    fn switch<'a>(&'a self, source: &'a str) -> BoxFuture<'a, anyhow::Result<Switched>>;
}

/// What became of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switched {
    /// So many players see the new source.
    Done { players: usize },
    /// It was on before.
    ShownAlready,
}

/// The listening socket; its file goes with it.
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Listens in `state_dir`, which this process must have [locked](crate::host::StateLock): what a killed host left
    /// behind is replaced.
    pub fn bind(state_dir: &Path) -> anyhow::Result<Self> {
        let path = socket_path(state_dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot replace {}", path.display()));
            }
            _ => {}
        }
        let listener = listen(&path).with_context(|| {
            format!("cannot listen on {}: a shorter --state-dir may help", path.display())
        })?;
        Ok(Self { listener, path })
    }

    /// Answers until `stop`.
    pub async fn serve(self, desk: Desk, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(answer(stream, desk.clone()));
                    }
                    Err(error) => {
                        tracing::warn!("the command line cannot reach this host: {error}");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                },
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!("{} stays: {error}", self.path.display());
        }
    }
}

async fn answer(mut stream: UnixStream, desk: Desk) {
    let reply = match tokio::time::timeout(PATIENCE, read_line(&mut stream, LONGEST_REQUEST)).await {
        Ok(Ok(line)) => decide(&line, &desk).await,
        Ok(Err(error)) => Reply::Refused { reason: error.to_string() },
        Err(_) => Reply::Refused { reason: "no request within 5 s".into() },
    };
    let line = serde_json::to_string(&reply).expect("replies are plain data") + "\n";
    if let Err(error) = stream.write_all(line.as_bytes()).await {
        tracing::debug!("a command line left before its answer: {error}");
    }
}

async fn decide(line: &str, desk: &Desk) -> Reply {
    match serde_json::from_str(line) {
        Ok(Request::Sessions) => Reply::Sessions(desk.sessions.sessions()),
        Ok(Request::Switch { source }) => match desk.sources.switch(&source).await {
            Ok(Switched::Done { players }) => Reply::Switched { players },
            Ok(Switched::ShownAlready) => Reply::ShownAlready,
            Err(error) => Reply::Refused { reason: format!("{error:#}") },
        },
        Ok(Request::Pair { pin, name }) => match desk.pairing.tell_pin(&pin, name).await {
            Ok(told) => {
                Reply::Told { name: told.name, address: told.address.to_string(), others: told.others }
            }
            Err(NotTold::NobodyWaits) => Reply::NobodyWaits,
            Err(used @ NotTold::PinUsed { .. }) => Reply::Refused { reason: used.to_string() },
        },
        Err(error) => Reply::Refused { reason: error.to_string() },
    }
}

async fn read_line(stream: &mut UnixStream, longest: u64) -> std::io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream.take(longest)).read_line(&mut line).await?;
    Ok(line)
}

/// Asks the host that uses `state_dir`.
pub async fn ask(state_dir: &Path, request: &Request) -> anyhow::Result<Reply> {
    let path = socket_path(state_dir);
    let mut stream = UnixStream::connect(&path).await.with_context(|| {
        format!(
            "no host runs with the state folder {} (start one with `moonpipe serve`, or name its folder with --state-dir)",
            state_dir.display()
        )
    })?;
    let line = serde_json::to_string(request)? + "\n";
    stream.write_all(line.as_bytes()).await?;
    let answer = tokio::time::timeout(request.patience(), read_line(&mut stream, LONGEST_REPLY))
        .await
        .context("the host does not answer: is it stopped?")??;
    if answer.is_empty() {
        bail!("the host ended before it answered");
    }
    Ok(serde_json::from_str(&answer)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let socket = AdminSocket::bind(folder.path()).unwrap();
            let mode = std::fs::metadata(&socket.path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            UnixStream::connect(&socket.path).await.unwrap();
        }
    }
}
