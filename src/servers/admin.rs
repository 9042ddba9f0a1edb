//! The host's own command line talks to it here: a socket in the state folder, one JSON line each way.

use crate::servers::nvhttp::PairingDesk;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
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
}

/// What the host answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The client at `address` was told; it becomes `name` if the PIN is right.
    Told { name: String, address: String },
    /// No client waits for a PIN.
    NobodyWaits,
    /// The request made no sense.
    Refused { reason: String },
}

/// Requests and answers are shorter than this.
const LONGEST_LINE: u64 = 4096;
/// A command line that is there sends its line at once.
const PATIENCE: Duration = Duration::from_secs(5);

fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("host.sock")
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
        let listener = UnixListener::bind(&path).with_context(|| {
            format!("cannot listen on {}: a shorter --state-dir may help", path.display())
        })?;
        Ok(Self { listener, path })
    }

    /// Answers until `stop`.
    pub async fn serve(self, desk: PairingDesk, stop: CancellationToken) {
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

async fn answer(mut stream: UnixStream, desk: PairingDesk) {
    let reply = match tokio::time::timeout(PATIENCE, read_line(&mut stream)).await {
        Ok(Ok(line)) => decide(&line, &desk).await,
        Ok(Err(error)) => Reply::Refused { reason: error.to_string() },
        Err(_) => Reply::Refused { reason: "no request within 5 s".into() },
    };
    let line = serde_json::to_string(&reply).expect("replies are plain data") + "\n";
    if let Err(error) = stream.write_all(line.as_bytes()).await {
        tracing::debug!("a command line left before its answer: {error}");
    }
}

async fn decide(line: &str, desk: &PairingDesk) -> Reply {
    match serde_json::from_str(line) {
        Ok(Request::Pair { pin, name }) => match desk.tell_pin(&pin, name).await {
            Ok(told) => Reply::Told { name: told.name, address: told.address.to_string() },
            Err(_) => Reply::NobodyWaits,
        },
        Err(error) => Reply::Refused { reason: error.to_string() },
    }
}

async fn read_line(stream: &mut UnixStream) -> std::io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_LINE)).read_line(&mut line).await?;
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
    let answer = tokio::time::timeout(2 * PATIENCE, read_line(&mut stream))
        .await
        .context("the host does not answer: is it stopped?")??;
    if answer.is_empty() {
        bail!("the host ended before it answered");
    }
    Ok(serde_json::from_str(&answer)?)
}
