//! The desktop portal's screencast: a person agrees once, PipeWire delivers the pictures.

use super::wake;
use anyhow::{Context, bail};
use ashpd::desktop::screencast::{
    CursorMode, Screencast as Portal, SelectSourcesOptions, SourceType, Streams,
};
use ashpd::desktop::{PersistMode, Session};
use futures_util::StreamExt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use zbus::address::Transport;
use zbus::address::transport::UnixSocket;

/// The portal answers so soon where it asks nobody.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Which portal is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desktop {
    /// Address of its D-Bus, as [`check_bus`] allows it; nothing for the session that this process runs in.
    pub bus: Option<String>,
    /// The answer of a person is remembered here, until they revoke it.
    pub token_file: PathBuf,
}

impl Desktop {
    async fn portal(&self) -> anyhow::Result<Portal> {
        let Some(bus) = &self.bus else {
            return soon(Portal::new()).await.context(
                "no desktop portal answers: is this a graphical session, with xdg-desktop-portal and a backend running?",
            );
        };
        let portal = async {
            let connection = zbus::connection::Builder::address(bus.as_str())?.build().await?;
            Portal::with_connection(connection).await
        };
        soon(portal).await.with_context(|| {
            format!("no desktop portal answers on {bus}: is that the bus of a graphical session, with xdg-desktop-portal and a backend running?")
        })
    }
}

/// Why this is no address of a bus on this machine.
pub fn check_bus(address: &str) -> Result<(), String> {
    let allowed = "allowed are unix:path=/absolute/path and unix:abstract=name";
    let parsed: zbus::Address = address.parse().map_err(|_| allowed)?;
    let Transport::Unix(unix) = parsed.transport() else { return Err(allowed.into()) };
    match unix.path() {
        // Of several addresses in one, none is taken.
        UnixSocket::File(path) if path.is_absolute() && !address.contains(';') => Ok(()),
        UnixSocket::Abstract(_) if !address.contains(';') => Ok(()),
        _ => Err(allowed.into()),
    }
}

/// A part of the desktop, in its compositor's own units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
}

/// An open screencast session. Dropping it ends the session too, in its own time.
pub struct Screencast {
    portal: Arc<Portal>,
    session: Open,
    node: u32,
    region: Option<Region>,
}

impl Screencast {
    /// Opens a session with one monitor. No limit is set to the time of the person who is asked. Dropping the future ends
    /// what it opened. `on_closed` is called when the desktop ends the session.
    pub async fn open(
        desktop: &Desktop,
        on_closed: impl FnOnce() + Send + 'static,
    ) -> anyhow::Result<Screencast> {
        wake::while_asking(desktop.bus.as_deref(), Self::ask(desktop, on_closed)).await
    }

    async fn ask(desktop: &Desktop, on_closed: impl FnOnce() + Send + 'static) -> anyhow::Result<Screencast> {
        let portal = Arc::new(desktop.portal().await?);
        let session = Open::new(&portal).await.context("the portal opens no session")?;
        let token_file = TokenFile(desktop.token_file.clone());
        let streams = match select(&portal, &session.session, token_file).await {
            Ok(streams) => streams,
            Err(error) => {
                session.close().await;
                return Err(error);
            }
        };
        let Some(stream) = streams.streams().first() else {
            session.close().await;
            bail!("the portal answered without a stream");
        };
        tokio::spawn(watch_closed(session.session.clone(), session.stopped.clone(), on_closed));
        let region = stream.position().zip(stream.size());
        let region = region.map(|((x, y), (width, height))| Region { x, y, width, height });
        Ok(Self { portal, session, node: stream.pipe_wire_node_id(), region })
    }

    /// PipeWire id of the stream's node.
    pub fn node(&self) -> u32 {
        self.node
    }

    /// What it shows, where the portal says so.
    pub fn region(&self) -> Option<Region> {
        self.region
    }

    /// A descriptor of the PipeWire remote that shows this stream only. Each call opens another.
    pub async fn remote(&self) -> anyhow::Result<OwnedFd> {
        let remote = soon(self.portal.open_pipe_wire_remote(&self.session.session, Default::default())).await;
        remote.context("the portal gives no PipeWire remote")
    }

    /// Ends the session and waits for it.
    pub async fn close(self) {
        self.session.close().await;
    }
}

/// A session on the bus that ends with its owner.
struct Open {
    session: Arc<Session<Portal>>,
    stopped: CancellationToken,
}

impl Open {
    async fn new(portal: &Arc<Portal>) -> anyhow::Result<Open> {
        let portal = portal.clone();
        // On a task of its own: a session that comes when nobody waits any more is dropped there, and so ended.
        let opening = tokio::spawn(async move {
            let session = Arc::new(portal.create_session(Default::default()).await?);
            Ok::<_, ashpd::Error>(Open { session, stopped: CancellationToken::new() })
        });
        let answer = tokio::time::timeout(ANSWER_LIMIT, opening).await;
        let answer = answer.with_context(|| format!("no answer within {} s", ANSWER_LIMIT.as_secs()))?;
        Ok(answer??)
    }

    async fn close(self) {
        if !self.stopped.is_cancelled() {
            self.stopped.cancel();
            close(&self.session).await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.stopped.is_cancelled() {
            return;
        }
        self.stopped.cancel();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let session = self.session.clone();
            runtime.spawn(async move { close(&session).await });
        }
    }
}

/// An answer for which nobody is asked.
async fn soon<T>(answer: impl Future<Output = Result<T, ashpd::Error>>) -> anyhow::Result<T> {
    match tokio::time::timeout(ANSWER_LIMIT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => bail!("no answer within {} s", ANSWER_LIMIT.as_secs()),
    }
}

async fn close(session: &Session<Portal>) {
    if let Err(error) = soon(session.close()).await {
        tracing::debug!("the screencast session was gone already: {error:#}");
    }
}

async fn select(
    portal: &Portal,
    session: &Session<Portal>,
    token_file: TokenFile,
) -> anyhow::Result<Streams> {
    let token = token_file.read();
    let cursor = soon(portal.available_cursor_modes()).await.unwrap_or_default();
    let mut options = SelectSourcesOptions::default()
        .set_sources(SourceType::Monitor | SourceType::Virtual)
        .set_multiple(false)
        .set_persist_mode(PersistMode::ExplicitlyRevoked)
        .set_restore_token(token.as_deref());
    if let Ok(available) = soon(portal.available_source_types()).await {
        let wanted = (SourceType::Monitor | SourceType::Virtual) & available;
        options = options.set_sources(wanted);
    }
    if cursor.contains(CursorMode::Embedded) {
        options = options.set_cursor_mode(CursorMode::Embedded);
    }
    // Some desktops ask the person here already, others at the start.
    portal
        .select_sources(session, options)
        .await
        .and_then(|request| request.response())
        .context("the portal refuses to choose a screen")?;
    let streams = portal
        .start(session, None, Default::default())
        .await
        .and_then(|request| request.response())
        .context("the screencast was not allowed")?;
    if let Some(token) = streams.restore_token().map(str::to_owned) {
        // Begun before the first await, so that it is written even if nobody waits any more.
        let _ = tokio::task::spawn_blocking(move || token_file.write(&token)).await;
    }
    Ok(streams)
}

async fn watch_closed(
    session: Arc<Session<Portal>>,
    stopped: CancellationToken,
    on_closed: impl FnOnce() + Send + 'static,
) {
    let Ok(closed) = session.receive_closed().await else { return };
    let mut closed = std::pin::pin!(closed);
    tokio::select! {
        _ = stopped.cancelled() => {}
        _ = closed.next() => on_closed(),
    }
}

/// The portal's proof that a person agreed; it is used up by each session and replaced by a new one.
struct TokenFile(PathBuf);

impl TokenFile {
    fn read(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.0).ok()?;
        Some(text.trim().to_owned()).filter(|token| !token.is_empty())
    }

    fn write(&self, token: &str) {
        if let Err(error) = crate::files::write_private(&self.0, token.as_bytes()) {
            tracing::warn!(
                "{} cannot be written, the desktop will ask again next time: {error}",
                self.0.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_a_socket_of_this_machine() {
        for good in [
            "unix:path=/run/user/1000/bus",
            "unix:path=/tmp/dbus-x,guid=0123456789abcdef0123456789abcdef",
            "unix:abstract=/tmp/dbus-x",
        ] {
            assert_eq!(check_bus(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/run/user/1000/bus",
            "unix:path=bus",
            "unix:dir=/tmp",
            "unix:runtime=yes",
            "tcp:host=example.org,port=1",
            "unixexec:path=/bin/sh",
            "autolaunch:",
            "unix:path=/a;unix:path=/b",
        ] {
            let refused = check_bus(bad).unwrap_err();
            assert!(refused.contains("unix:path="), "{bad}: {refused}");
        }
    }
}
