//! Which request gets which answer.

use super::contract::{LaunchRequest, Launched, Refusal};
use super::desk::{Caller, NoPin, NotPaired};
use super::noise::Kind;
use super::{House, card};
use crate::identity::Fingerprint;
use crate::protocol::nvhttp::query::{BadParameter, PairRequest, Query};
use crate::protocol::nvhttp::xml::{self, Answer, ServerInfo};
use crate::protocol::pairing::{self, HostKey, PairingError};
use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, StatusCode, Uri, header};
use std::net::SocketAddr;
use std::sync::Arc;

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guest {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub door: Door,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Http,
    /// With the certificate that the client showed, and whose key it holds.
    Https(Option<Fingerprint>),
}

/// What a request comes to.
enum Outcome {
    Xml(String),
    Picture(card::Picture),
    /// No client asks for this; HTTP says it too.
    NotFound,
}

pub(super) async fn answer(house: &Arc<House>, guest: Guest, method: &Method, uri: &Uri) -> Response<Body> {
    if method != Method::GET {
        house.noise.heard(Kind::Request, guest.peer, "not a GET");
        return response(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET only\n".into());
    }
    let Ok(axum::extract::Query(parameters)) = axum::extract::Query::try_from_uri(uri) else {
        house.noise.heard(Kind::Request, guest.peer, "unreadable query");
        return response(StatusCode::BAD_REQUEST, "text/plain", "unreadable query\n".into());
    };
    let query = Query(parameters);
    tracing::debug!(peer = %guest.peer, https = guest.door != Door::Http, path = uri.path(), "request");
    let outcome = match guest.door {
        Door::Http => stranger(house, guest, uri.path(), &query).await,
        Door::Https(certificate) => match certificate.filter(|shown| house.nvhttp.clients.is_paired(shown)) {
            Some(client) => paired(house, guest, client, uri.path(), &query).await,
            None => Outcome::Xml(Answer::failed(401, "This client is not paired with the host").finish()),
        },
    };
    match outcome {
        Outcome::Xml(xml) => response(StatusCode::OK, "application/xml; charset=utf-8", xml.into()),
        Outcome::Picture(picture) => response(StatusCode::OK, picture.kind, picture.bytes.into()),
        Outcome::NotFound => {
            house.noise.heard(Kind::Request, guest.peer, "no such path");
            let xml = Answer::failed(404, "The host does not know this request").finish();
            response(StatusCode::NOT_FOUND, "application/xml; charset=utf-8", xml.into())
        }
    }
}

fn response(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Over HTTP anybody may ask who this is, and pair.
async fn stranger(house: &House, guest: Guest, path: &str, query: &Query) -> Outcome {
    match path {
        "/serverinfo" => Outcome::Xml(server_info(house, guest, None)),
        "/pair" => Outcome::Xml(pair(house, guest, query, false).await),
        "/unpair" => {
            // A client sends it after a failure. Nobody can prove here that a pairing is theirs to end.
            house.nvhttp.pairing.forget(&caller(guest, query));
            Outcome::Xml(Answer::ok().finish())
        }
        _ => Outcome::NotFound,
    }
}

async fn paired(house: &Arc<House>, guest: Guest, client: Fingerprint, path: &str, query: &Query) -> Outcome {
    Outcome::Xml(match path {
        "/serverinfo" => server_info(house, guest, Some(client)),
        "/pair" => pair(house, guest, query, true).await,
        "/unpair" => unpair(house, client).await,
        "/applist" => app_list(house).await,
        "/appasset" => return picture(house, query).await,
        "/launch" => launch(house, guest, client, query).await,
        "/resume" => resume(house, guest, client, query).await,
        "/cancel" => cancel(house, client).await,
        _ => return Outcome::NotFound,
    })
}

async fn app_list(house: &House) -> String {
    let apps = house.nvhttp.sessions.apps().await;
    xml::app_list(apps.iter().map(|app| (app.id, app.title.as_str())))
}

async fn picture(house: &House, query: &Query) -> Outcome {
    let id: Option<u32> = query.get("appid").and_then(|id| id.parse().ok());
    let app = house.nvhttp.sessions.apps().await.into_iter().find(|app| Some(app.id) == id);
    let image = app.and_then(|app| app.image);
    let read = tokio::task::spawn_blocking(move || card::picture(image.as_deref()));
    Outcome::Picture(read.await.unwrap_or_else(|_| card::picture(None)))
}

fn server_info(house: &House, guest: Guest, client: Option<Fingerprint>) -> String {
    let nvhttp = &house.nvhttp;
    ServerInfo {
        name: &nvhttp.offer.name,
        unique_id: &nvhttp.identity.unique_id,
        http_port: nvhttp.offer.ports.http(),
        https_port: nvhttp.offer.ports.https(),
        local: guest.local.ip(),
        paired: client.is_some(),
        running_app: client.map_or(0, |client| nvhttp.sessions.running_app(&client)),
        codecs: &nvhttp.offer.codecs,
    }
    .write()
}

fn caller(guest: Guest, query: &Query) -> Caller {
    let unique_id = query.get("uniqueid").unwrap_or_default().to_owned();
    Caller { unique_id, address: guest.peer.ip().to_canonical() }
}

async fn pair(house: &House, guest: Guest, query: &Query, trusted: bool) -> String {
    let desk = &house.nvhttp.pairing;
    match query.pair() {
        Ok(PairRequest::GetServerCertificate { salt, certificate }) => {
            let known = tokio::select! {
                known = desk.get_server_certificate(caller(guest, query), salt, certificate) => known,
                () = house.stop.cancelled() => Err(NoPin::HostEnds),
            };
            match known {
                Ok(()) => {
                    let certificate = hex::encode(house.nvhttp.identity.certificate_pem());
                    Answer::ok().field("paired", 1).field("plaincert", certificate).finish()
                }
                // Without a certificate the client says that the host pairs with another one.
                Err(NoPin::TooMany) => {
                    house.noise.heard(Kind::Crowd, guest.peer, NoPin::TooMany);
                    Answer::ok().field("paired", 1).finish()
                }
                Err(NoPin::HostEnds) => not_paired(503, &NoPin::HostEnds.to_string()),
                Err(e) => not_paired(400, &e.to_string()),
            }
        }
        Ok(PairRequest::Step(step)) => match desk.step(&caller(guest, query), step).await {
            Ok(answer) => pair_step(answer),
            Err(NotPaired::Pairing(PairingError::OutOfOrder)) => {
                not_paired(400, &PairingError::OutOfOrder.to_string())
            }
            // Clients read the field of an answer that is 200.
            Err(_) => Answer::ok().field("paired", 0).finish(),
        },
        Ok(PairRequest::Challenge) => Answer::ok().field("paired", u8::from(trusted)).finish(),
        Err(e) => {
            house.noise.heard(Kind::Request, guest.peer, e);
            not_paired(400, &e.to_string())
        }
    }
}

fn pair_step(answer: pairing::Answer) -> String {
    let paired = Answer::ok().field("paired", 1);
    match answer {
        pairing::Answer::ChallengeResponse(bytes) => paired.field("challengeresponse", hex::encode(bytes)),
        pairing::Answer::PairingSecret(bytes) => paired.field("pairingsecret", hex::encode(bytes)),
        pairing::Answer::Paired => paired,
    }
    .finish()
}

fn not_paired(status_code: u16, message: &str) -> String {
    Answer::failed(status_code, message).field("paired", 0).finish()
}

async fn unpair(house: &Arc<House>, client: Fingerprint) -> String {
    match to_the_end(house, move |house| async move { forget(&house, client).await }).await {
        Ok(()) => Answer::ok().finish(),
        Err(refusal) => refused(&refusal),
    }
}

/// Once it is a stranger it can start nothing more, so what it left running ends after that.
async fn forget(house: &House, client: Fingerprint) -> Result<(), Refusal> {
    let clients = house.nvhttp.clients.clone();
    let forgotten = tokio::task::spawn_blocking(move || clients.forget(&client)).await;
    if let Err(e) = forgotten.expect("forgetting a client does not panic") {
        tracing::warn!("a client stays paired against its will: {e:#}");
        return Err(Refusal::new(500, "The host cannot change its list of clients"));
    }
    tracing::info!(client = %client.default_name(), "unpaired by the client itself");
    house.nvhttp.sessions.cancel(&client).await
}

async fn launch(house: &Arc<House>, guest: Guest, client: Fingerprint, query: &Query) -> String {
    let request = match launch_request(guest, client, query) {
        Ok(request) => request,
        Err(e) => return bad_parameter(house, guest, e),
    };
    let url = SessionUrl::of(&request);
    match to_the_end(house, |house| async move { house.nvhttp.sessions.launch(request).await }).await {
        Ok(launched) => url.answer(launched).field("gamesession", 1).finish(),
        Err(refusal) => refused(&refusal),
    }
}

async fn resume(house: &Arc<House>, guest: Guest, client: Fingerprint, query: &Query) -> String {
    let request = match launch_request(guest, client, query) {
        Ok(request) => request,
        Err(e) => return bad_parameter(house, guest, e),
    };
    let url = SessionUrl::of(&request);
    match to_the_end(house, |house| async move { house.nvhttp.sessions.resume(request).await }).await {
        Ok(launched) => url.answer(launched).field("resume", 1).finish(),
        Err(refusal) => refused(&refusal),
    }
}

async fn cancel(house: &Arc<House>, client: Fingerprint) -> String {
    match to_the_end(house, |house| async move { house.nvhttp.sessions.cancel(&client).await }).await {
        Ok(()) => Answer::ok().field("cancel", 1).finish(),
        Err(refusal) => refused(&refusal),
    }
}

fn launch_request(guest: Guest, client: Fingerprint, query: &Query) -> Result<LaunchRequest, BadParameter> {
    let asked = query.launch()?;
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    Ok(LaunchRequest {
        client,
        app: asked.app,
        mode: asked.mode,
        key: asked.key,
        key_id: asked.key_id,
        rtsp_encrypted: asked.rtsp_encrypted,
        surround: asked.surround,
        local_audio: asked.local_audio,
        peer: canonical(guest.peer),
        local: canonical(guest.local),
    })
}

/// Where the client finds RTSP: the address it used so far.
struct SessionUrl {
    encrypted: bool,
    local: SocketAddr,
}

impl SessionUrl {
    fn of(request: &LaunchRequest) -> Self {
        Self { encrypted: request.rtsp_encrypted, local: request.local }
    }

    fn answer(&self, launched: Launched) -> Answer {
        let url = xml::session_url(self.encrypted, self.local.ip(), launched.rtsp_port);
        Answer::ok().field("sessionUrl0", url)
    }
}

/// A client that hangs up must not leave half a session: what was begun runs on without it.
async fn to_the_end<T, F>(house: &Arc<House>, work: impl FnOnce(Arc<House>) -> F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Refusal>> + Send + 'static,
{
    tokio::spawn(work(house.clone())).await.unwrap_or_else(|e| {
        tracing::error!("starting or ending a session panicked: {e}");
        Err(Refusal::new(500, "The host made a mistake: its log says more"))
    })
}

fn bad_parameter(house: &House, guest: Guest, error: BadParameter) -> String {
    house.noise.heard(Kind::Request, guest.peer, error);
    Answer::failed(400, &error.to_string()).finish()
}

fn refused(refusal: &Refusal) -> String {
    tracing::info!("the client was refused: {refusal}");
    Answer::failed(refusal.status_code, &refusal.message).finish()
}
