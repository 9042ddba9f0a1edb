//! The two ports where a client asks who this host is, pairs, and launches: HTTP for strangers, HTTPS for paired clients.

mod card;
mod connection;
mod contract;
mod desk;
mod guests;
mod herald;
mod noise;
mod pins;
mod routes;
#[cfg(test)]
mod tests;

pub use contract::{App, HostOffer, LaunchRequest, Launched, PlayerSessions, Refusal};
pub use desk::{NotTold, PairingDesk, Told, Waiting};

use crate::identity::{Clients, Identity};
use crate::servers::tls;
use connection::Place;
use guests::Guests;
use noise::Noise;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// After an error of `accept` (no descriptor left, mostly) it is tried again this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer that is under way may take once the host is told to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

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

/// What all connections share.
struct House {
    nvhttp: NvHttp,
    guests: Mutex<Guests<CancellationToken>>,
    noise: Noise,
    stop: CancellationToken,
    /// How long handshake and request may take together, and how long the client may take to read its answer.
    patience: Duration,
}

impl House {
    fn guests(&self) -> MutexGuard<'_, Guests<CancellationToken>> {
        self.guests.lock().expect("no panic while it is held")
    }
}

/// Answers on both ports until `stop`; returns when no connection is left.
pub async fn serve(listeners: Listeners, nvhttp: NvHttp, stop: CancellationToken) {
    serve_with(listeners, nvhttp, stop, PATIENCE).await;
}

async fn serve_with(listeners: Listeners, nvhttp: NvHttp, stop: CancellationToken, patience: Duration) {
    let tls = TlsAcceptor::from(tls::server_config(&nvhttp.identity));
    let noise = Noise::default();
    let house = Arc::new(House { nvhttp, guests: Mutex::default(), noise, stop: stop.clone(), patience });
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer, tls) = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            (stream, peer) = accept(&listeners.http) => (stream, peer, None),
            (stream, peer) = accept(&listeners.https) => (stream, peer, Some(tls.clone())),
        };
        if let Some(place) = Place::take(&house, peer) {
            connections.spawn(place.serve(stream, tls));
            // A request that is here already is read before the next connection can push this one out.
            tokio::task::yield_now().await;
        }
    }
    drop(listeners);
    house.guests().silent().for_each(CancellationToken::cancel);
    let last_answers = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_ANSWERS, last_answers).await;
    connections.shutdown().await;
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The one that hung up before it was accepted, or no descriptor left: the next one may fare better.
            Err(e) => {
                tracing::debug!("cannot accept a connection: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
