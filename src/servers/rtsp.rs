//! The RTSP port: one request per TCP connection, plain or sealed. The host closes after its answer, for a client reads
//! until then.

use crate::protocol::params::{SessionKey, StreamParams};
use crate::protocol::rtsp::conversation::{self, Step};
use crate::protocol::rtsp::message::{self, MAX_REQUEST_BYTES, Request, Response};
use crate::protocol::rtsp::{RtspOffer, RtspRefusal, SessionId};
use crate::protocol::seal::{RtspHeader, RtspSeal, Side};
use crate::servers::noise::Noise;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A client sends its request in one go.
const READ_TIME: Duration = Duration::from_secs(10);
const WRITE_TIME: Duration = Duration::from_secs(10);
/// Connections whose request is not there yet; a newcomer beyond them takes the place of the one that waited longest.
const MAX_UNHEARD: usize = 128;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the RTSP port asks of the sessions.
pub trait RtspSessions: Send + Sync {
    /// Every session whose client seals its RTSP, with its key: the key that opens a request names the session.
    /// A session that was missing once never comes back with the same key.
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
pub async fn serve(listener: TcpListener, sessions: Arc<dyn RtspSessions>, stop: CancellationToken) {
    let port = Arc::new(Port {
        sessions,
        sequences: Mutex::default(),
        unheard: Mutex::default(),
        noise: Noise::new("rtsp"),
    });
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let (ticket, evicted) = port.wait_for_request();
                let (port, stop) = (port.clone(), stop.clone());
                connections.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = evicted.cancelled() => port.noise.hear("more connections than requests", peer),
                        () = port.connection(stream, peer, ticket) => {}
                    }
                    port.heard(ticket);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: wait for some to come back.
                tracing::debug!("accepting RTSP connections: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Numbers connections in the order they came.
type Ticket = u64;

struct Port {
    sessions: Arc<dyn RtspSessions>,
    sequences: Mutex<HashMap<SessionId, Sequences>>,
    unheard: Mutex<Unheard>,
    noise: Noise,
}

#[derive(Default)]
struct Unheard {
    next: Ticket,
    waiting: BTreeMap<Ticket, CancellationToken>,
}

/// Sequence numbers of one key.
struct Sequences {
    key: SessionKey,
    /// A client counts from 1, upwards over all its connections.
    last_of_client: u32,
    /// Shared with answers under way, which must not reuse a number although their session is gone.
    last_of_host: Arc<AtomicU32>,
}

/// A request, and how to answer it.
struct Asked {
    session: SessionId,
    request: Request,
    seal: Option<AnswerSeal>,
}

/// The answer to what cannot be asked.
struct Refused {
    response: Response,
    seal: Option<AnswerSeal>,
}

impl Refused {
    fn plain(response: Response) -> Self {
        Self { response, seal: None }
    }

    fn kind(&self) -> &'static str {
        match self.seal {
            Some(_) => "a sealed request that makes no sense",
            None => "a plain request that makes no sense here",
        }
    }
}

/// Seals the answer to a sealed request.
struct AnswerSeal {
    seal: RtspSeal,
    last_of_host: Arc<AtomicU32>,
}

impl AnswerSeal {
    fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let sequence = self.last_of_host.fetch_add(1, Ordering::Relaxed) + 1;
        self.seal.seal(Side::Host, sequence, plain)
    }
}

/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
enum Dropped {
    #[error("no whole request in time")]
    TooSlow,
    #[error("a connection closed before its request was whole")]
    Half(#[from] io::Error),
    #[error("a sealed request that no session's key opens")]
    UnknownKey,
    #[error("a sealed request longer than {MAX_REQUEST_BYTES} bytes")]
    TooLong,
    #[error("a sealed request that came before")]
    Replayed,
}

impl Dropped {
    fn kind(&self) -> &'static str {
        match self {
            Self::TooSlow => "no whole request in time",
            Self::Half(_) => "a connection closed before its request was whole",
            Self::UnknownKey => "a sealed request that no session's key opens",
            Self::TooLong => "a sealed request of absurd length",
            Self::Replayed => "a sealed request that came before",
        }
    }
}

impl Port {
    /// Registers a connection that has said nothing yet. The token is cancelled if it must make room.
    fn wait_for_request(&self) -> (Ticket, CancellationToken) {
        let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        if unheard.waiting.len() >= MAX_UNHEARD
            && let Some((_, oldest)) = unheard.waiting.pop_first()
        {
            oldest.cancel();
        }
        let ticket = unheard.next;
        unheard.next += 1;
        let evicted = CancellationToken::new();
        unheard.waiting.insert(ticket, evicted.clone());
        (ticket, evicted)
    }

    fn heard(&self, ticket: Ticket) {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&ticket);
    }

    async fn connection(&self, mut stream: TcpStream, peer: SocketAddr, ticket: Ticket) {
        let read = timeout(READ_TIME, self.read(&mut stream, peer.ip())).await;
        self.heard(ticket);
        let answer = match read.unwrap_or(Err(Dropped::TooSlow)) {
            Ok(Ok(asked)) => self.answer(asked, peer).await,
            Ok(Err(refused)) => {
                self.noise.hear(refused.kind(), peer);
                seal_if(refused.seal, &refused.response.encode("0"))
            }
            Err(dropped) => return self.noise.hear(dropped.kind(), peer),
        };
        let written = timeout(WRITE_TIME, async {
            stream.write_all(&answer).await?;
            stream.shutdown().await
        });
        if !matches!(written.await, Ok(Ok(()))) {
            tracing::debug!(%peer, "a client left before its RTSP answer");
        }
    }

    async fn read(&self, stream: &mut TcpStream, peer: IpAddr) -> Result<Result<Asked, Refused>, Dropped> {
        let first = stream.read_u8().await?;
        if RtspHeader::starts(first) {
            return self.read_sealed(stream, first).await;
        }
        let request = match read_plain(stream, first).await? {
            Ok(request) => request,
            Err(error) => return Ok(Err(Refused::plain(Response::refuse(400, &error.to_string())))),
        };
        Ok(match self.sessions.plain(peer) {
            Some(session) => Ok(Asked { session, request, seal: None }),
            None => Err(Refused::plain(Response::refuse(454, "Session Not Found"))),
        })
    }

    async fn read_sealed(
        &self,
        stream: &mut TcpStream,
        first: u8,
    ) -> Result<Result<Asked, Refused>, Dropped> {
        let mut header = [first; RtspHeader::BYTES];
        stream.read_exact(&mut header[1..]).await?;
        let header = RtspHeader::parse(&header).expect("the first byte has the bit");
        if header.length > MAX_REQUEST_BYTES {
            return Err(Dropped::TooLong);
        }
        let mut body = vec![0; header.length];
        stream.read_exact(&mut body).await?;
        let opened = self.sessions.sealed().into_iter().find_map(|(session, key)| {
            let seal = RtspSeal::new(&key);
            seal.open(Side::Client, &header, &mut body).is_ok().then_some((session, key, seal))
        });
        let (session, key, seal) = opened.ok_or(Dropped::UnknownKey)?;
        let last_of_host = self.advance(session, key, header.sequence)?;
        let seal = AnswerSeal { seal, last_of_host };
        // Its sender has the key, so what makes no sense is a client that we do not understand.
        let refusal = match Request::parse(&body) {
            Ok(Some(request)) => return Ok(Ok(Asked { session, request, seal: Some(seal) })),
            Ok(None) => Response::refuse(400, "half a request"),
            Err(error) => Response::refuse(400, &error.to_string()),
        };
        Ok(Err(Refused { response: refusal, seal: Some(seal) }))
    }

    /// Takes note of a client's sequence number, which must be newer than all before, and gives the host's. Forgets the
    /// sessions that are gone.
    fn advance(&self, session: SessionId, key: SessionKey, sequence: u32) -> Result<Arc<AtomicU32>, Dropped> {
        let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked under the lock: counters that were dropped by an older list would begin anew, and so repeat nonces.
        let living = self.sessions.sealed();
        let lives =
            |session: SessionId, key: &SessionKey| living.iter().any(|(s, k)| *s == session && k == key);
        sequences.retain(|session, known| lives(*session, &known.key));
        if !lives(session, &key) {
            return Err(Dropped::UnknownKey);
        }
        let fresh = || Sequences { key, last_of_client: 0, last_of_host: Arc::default() };
        let known = sequences.entry(session).or_insert_with(fresh);
        if sequence <= known.last_of_client {
            return Err(Dropped::Replayed);
        }
        known.last_of_client = sequence;
        Ok(known.last_of_host.clone())
    }

    async fn answer(&self, asked: Asked, peer: SocketAddr) -> Vec<u8> {
        let cseq = asked.request.header("CSeq").unwrap_or("0").to_owned();
        let response = self.respond(asked.session, &asked.request).await;
        let (method, status) = (&asked.request.method, response.status);
        if status == 200 {
            tracing::debug!(session = %asked.session, %peer, "{method} {}", asked.request.target);
        } else {
            tracing::info!(session = %asked.session, %peer, "{method} refused: {status} {}", response.reason);
        }
        seal_if(asked.seal, &response.encode(&cseq))
    }

    async fn respond(&self, session: SessionId, request: &Request) -> Response {
        let Some(offer) = self.sessions.offer(session) else {
            return Response::refuse(454, "Session Not Found");
        };
        match conversation::step(request, &offer) {
            Step::Answer(response) => response,
            Step::Announce(params) => conversation::conclude(self.sessions.announce(session, params).await),
            Step::Play => conversation::conclude(self.sessions.play(session).await),
        }
    }
}

fn seal_if(seal: Option<AnswerSeal>, plain: &[u8]) -> Vec<u8> {
    match seal {
        Some(seal) => seal.seal(plain),
        None => plain.to_vec(),
    }
}

/// Reads on until the request is whole or wrong.
async fn read_plain(
    stream: &mut TcpStream,
    first: u8,
) -> Result<Result<Request, message::MessageError>, io::Error> {
    let mut bytes = vec![first];
    loop {
        match Request::parse(&bytes) {
            Ok(Some(request)) => return Ok(Ok(request)),
            Err(error) => return Ok(Err(error)),
            Ok(None) => {}
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
#[path = "rtsp_tests.rs"]
mod tests;
