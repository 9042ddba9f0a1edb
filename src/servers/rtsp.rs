//! The RTSP port: one request per TCP connection, plain or sealed.

use crate::protocol::params::{SessionKey, StreamParams};
use crate::protocol::rtsp::{RtspOffer, RtspRefusal, SessionId};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the RTSP port asks of the sessions.
pub trait RtspSessions: Send + Sync {
    /// Every session whose client seals its RTSP, with its key: the key that opens a request names the session.
    fn sealed(&self) -> Vec<(SessionId, SessionKey)>;
    /// The session of a client that speaks RTSP in the clear: the newest one launched from this address.
    fn plain(&self, peer: IpAddr) -> Option<SessionId>;
    /// What to tell the client of `session`; `None` once it is gone.
    fn offer(&self, session: SessionId) -> Option<RtspOffer>;
    /// The client settled the stream.
    fn announce(&self, session: SessionId, params: StreamParams) -> BoxFuture<'_, Result<(), RtspRefusal>>;
    /// The client starts to listen for media and connects the control channel next.
    fn play(&self, session: SessionId) -> BoxFuture<'_, Result<(), RtspRefusal>>;
}

/// Answers RTSP on `listener` until `stop`; returns when no connection is left.
pub async fn serve(
    listener: tokio::net::TcpListener,
    sessions: Arc<dyn RtspSessions>,
    stop: CancellationToken,
) {
    let _ = (listener, sessions);
    stop.cancelled().await;
}
