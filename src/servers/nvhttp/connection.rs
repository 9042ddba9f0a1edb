//! One connection, from the handshake to the end of its one answer.

use super::House;
use super::guests::{Admitted, GuestId};
use super::noise::Kind;
use super::routes::{self, Door, Guest};
use crate::identity::Fingerprint;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Request line and headers. The longest request carries a certificate: 3 kB of hex for an RSA key of 2048 bits.
const REQUEST_BYTES: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;

/// A connection's entry in the book of guests; leaves it when dropped.
pub(super) struct Place {
    house: Arc<House>,
    id: GuestId,
    peer: SocketAddr,
    sent_away: CancellationToken,
    /// When the client has been too slow; `None` while the host is the one to act.
    until: watch::Sender<Option<Instant>>,
}

impl Place {
    /// `None` if there is no room. Sends another connection away if that makes room.
    pub fn take(house: &Arc<House>, peer: SocketAddr) -> Option<Arc<Self>> {
        let sent_away = CancellationToken::new();
        let Some(Admitted { id, instead_of }) = house.guests().enter(peer.ip(), sent_away.clone()) else {
            house.noise.heard(Kind::Crowd, peer, "turned away");
            return None;
        };
        if let Some(other) = instead_of {
            house.noise.heard(Kind::Crowd, peer, "one that asked nothing yet makes room");
            other.cancel();
        }
        let until = watch::Sender::new(Some(Instant::now() + house.patience));
        Some(Arc::new(Self { house: house.clone(), id, peer, sent_away, until }))
    }

    /// Serves the connection to its end, however it ends.
    pub async fn serve(self: Arc<Self>, stream: TcpStream, tls: Option<TlsAcceptor>) {
        tokio::select! {
            () = self.sent_away.cancelled() => (),
            () = self.overdue() => self.house.noise.heard(Kind::Slow, self.peer, "closed"),
            result = self.talk(stream, tls) => if let Err(e) = result {
                tracing::debug!(peer = %self.peer, "connection lost: {e}");
            },
        }
    }

    async fn overdue(&self) {
        let mut until = self.until.subscribe();
        loop {
            let instant = *until.borrow_and_update();
            let late = async {
                match instant {
                    Some(instant) => tokio::time::sleep_until(instant).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = late => return,
                changed = until.changed() => changed.expect("the sender is ours"),
            }
        }
    }

    async fn talk(self: &Arc<Self>, stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let Some(tls) = tls else {
            self.converse(stream, Guest { peer: self.peer, local, door: Door::Http }).await;
            return Ok(());
        };
        match tls.accept(stream).await {
            Ok(stream) => {
                let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let door = Door::Https(shown.map(|der| Fingerprint::of(der)));
                self.converse(stream, Guest { peer: self.peer, local, door }).await;
            }
            Err(e) => self.house.noise.heard(Kind::Tls, self.peer, e),
        }
        Ok(())
    }

    async fn converse(self: &Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, guest: Guest) {
        let service = service_fn(|request| self.clone().answer(guest, request));
        let result = http1::Builder::new()
            // As GeForce Experience does, and clients expect: one request per connection.
            .keep_alive(false)
            .max_buf_size(REQUEST_BYTES)
            .max_headers(MOST_HEADERS)
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        match result {
            Err(e) if e.is_parse() => self.house.noise.heard(Kind::Http, self.peer, e),
            Err(e) => tracing::debug!(peer = %self.peer, "connection lost: {e}"),
            Ok(()) => (),
        }
    }

    async fn answer(
        self: Arc<Self>,
        guest: Guest,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        self.house.guests().has_asked(self.id);
        self.until.send_replace(None);
        let response = routes::answer(&self.house, guest, request.method(), request.uri()).await;
        self.until.send_replace(Some(Instant::now() + self.house.patience));
        Ok(response)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.house.guests().leave(self.id);
    }
}
