//! The desktop portal's screencast: a person agrees once, PipeWire delivers the pictures.

use anyhow::{Context, bail};
use ashpd::desktop::screencast::{
    CursorMode, Screencast as Portal, SelectSourcesOptions, SourceType, Streams,
};
use ashpd::desktop::{PersistMode, Session};
use futures_util::StreamExt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// An open screencast session. Dropping it ends the session too, in its own time.
pub struct Screencast {
    portal: Portal,
    session: Arc<Session<Portal>>,
    node: u32,
    stopped: CancellationToken,
}

impl Screencast {
    /// Opens a session with one monitor. The answer of a person is remembered in `state_dir`, until they revoke it.
    /// `on_closed` is called when the desktop ends the session.
    pub async fn open(
        state_dir: &Path,
        on_closed: impl FnOnce() + Send + 'static,
    ) -> anyhow::Result<Screencast> {
        let portal = Portal::new().await.context(
            "no desktop portal answers: is this a graphical session, with xdg-desktop-portal and a backend running?",
        )?;
        let session =
            portal.create_session(Default::default()).await.context("the portal opens no session")?;
        let session = Arc::new(session);
        let streams = match select(&portal, &session, state_dir).await {
            Ok(streams) => streams,
            Err(error) => {
                let _ = session.close().await;
                return Err(error);
            }
        };
        let Some(stream) = streams.streams().first() else {
            let _ = session.close().await;
            bail!("the portal answered without a stream");
        };
        let stopped = CancellationToken::new();
        tokio::spawn(watch_closed(session.clone(), stopped.clone(), on_closed));
        Ok(Self { portal, session, node: stream.pipe_wire_node_id(), stopped })
    }

    /// PipeWire id of the stream's node.
    pub fn node(&self) -> u32 {
        self.node
    }

    /// A descriptor of the PipeWire remote that shows this stream only. Each call opens another.
    pub async fn remote(&self) -> anyhow::Result<OwnedFd> {
        let remote = self.portal.open_pipe_wire_remote(&self.session, Default::default()).await;
        remote.context("the portal gives no PipeWire remote")
    }

    /// Ends the session and waits for it.
    pub async fn close(self) {
        if !self.stopped.is_cancelled() {
            self.stopped.cancel();
            close(&self.session).await;
        }
    }
}

impl Drop for Screencast {
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

async fn close(session: &Session<Portal>) {
    if let Err(error) = session.close().await {
        tracing::debug!("the screencast session was gone already: {error}");
    }
}

async fn select(portal: &Portal, session: &Session<Portal>, state_dir: &Path) -> anyhow::Result<Streams> {
    let token_file = TokenFile(state_dir.join("portal-token"));
    let token = token_file.read();
    let cursor = portal.available_cursor_modes().await.unwrap_or_default();
    let mut options = SelectSourcesOptions::default()
        .set_sources(SourceType::Monitor | SourceType::Virtual)
        .set_multiple(false)
        .set_persist_mode(PersistMode::ExplicitlyRevoked)
        .set_restore_token(token.as_deref());
    if let Ok(available) = portal.available_source_types().await {
        let wanted = (SourceType::Monitor | SourceType::Virtual) & available;
        options = options.set_sources(wanted);
    }
    if cursor.contains(CursorMode::Embedded) {
        options = options.set_cursor_mode(CursorMode::Embedded);
    }
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
    if let Some(token) = streams.restore_token() {
        token_file.write(token);
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
