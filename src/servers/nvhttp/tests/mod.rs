//! Both ports, asked by a client that is built from the pure half of pairing.

mod crowd;
mod doors;
mod pairing;

use super::desk::Patience;
use super::*;
use crate::identity::Fingerprint;
use crate::protocol::pairing::Certificate;
use crate::protocol::pairing::fake_client::FakeClient;
use crate::protocol::params::Codec;
use crate::servers::rtsp::BoxFuture;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use std::collections::HashMap;
use std::net::IpAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Nothing that a test waits for takes longer.
const SOON: Duration = Duration::from_secs(20);

/// A host with both ports open on one loopback address.
struct Bench {
    http: SocketAddr,
    https: SocketAddr,
    identity: Arc<Identity>,
    clients: Clients,
    desk: PairingDesk,
    sessions: Arc<FakeSessions>,
    stop: CancellationToken,
    served: JoinHandle<()>,
    _state: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        Self::start_with("127.0.0.1", PATIENCE, SOON).await
    }

    /// `patience` with connections, `phase` with clients that pair.
    async fn start_with(address: &str, patience: Duration, phase: Duration) -> Self {
        let address: IpAddr = address.parse().unwrap();
        let state = tempfile::tempdir().unwrap();
        let identity = Arc::new(Identity::load_or_create(state.path()).unwrap());
        let clients = Clients::load(state.path()).unwrap();
        let pairing = Patience { pin: SOON, phase };
        let desk = PairingDesk::with_patience(identity.clone(), clients.clone(), pairing);
        let sessions = Arc::new(FakeSessions::default());
        let (nvhttp, stop) = (
            NvHttp {
                identity: identity.clone(),
                clients: clients.clone(),
                sessions: sessions.clone(),
                offer: Arc::new(offer()),
                pairing: desk.clone(),
            },
            CancellationToken::new(),
        );
        let listeners = Listeners {
            http: TcpListener::bind((address, 0)).await.unwrap(),
            https: TcpListener::bind((address, 0)).await.unwrap(),
        };
        let (http, https) = (listeners.http.local_addr().unwrap(), listeners.https.local_addr().unwrap());
        let served = tokio::spawn(serve_with(listeners, nvhttp, stop.clone(), patience));
        Self { http, https, identity, clients, desk, sessions, stop, served, _state: state }
    }

    async fn get(&self, target: &str) -> Reply {
        get(TcpStream::connect(self.http).await.unwrap(), target).await
    }

    async fn get_tls(&self, client: &TlsClient, target: &str) -> Reply {
        get(client.connect(self.https).await.unwrap(), target).await
    }

    /// Waits until so many clients wait for their PIN.
    async fn until_waiting(&self, count: usize) {
        eventually(|| self.desk.waiting().len() == count).await;
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.served).await.unwrap().unwrap();
    }
}

fn offer() -> HostOffer {
    HostOffer {
        name: "den".into(),
        codecs: vec![Codec::H264, Codec::Av1],
        ports: crate::protocol::ports::Ports::from_base(47989).unwrap(),
    }
}

async fn eventually(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("it never came");
}

/// An answer, read until the host closed the connection.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    fn xml(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn field(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.xml().split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(value, _)| value)
    }

    fn hex(&self, name: &str) -> Vec<u8> {
        hex::decode(self.field(name).unwrap_or_else(|| panic!("no {name} in {}", self.xml()))).unwrap()
    }

    /// `status_code` of the root.
    fn code(&self) -> u16 {
        self.xml().split("status_code=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    }
}

async fn get(stream: impl AsyncRead + AsyncWrite + Unpin, target: &str) -> Reply {
    exchange(stream, format!("GET {target} HTTP/1.1\r\nHost: den\r\n\r\n").as_bytes()).await
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Reply {
    let bytes = async {
        stream.write_all(request).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    };
    Reply::parse(&tokio::time::timeout(SOON, bytes).await.expect("the host answers and closes"))
}

/// The client's end of TLS: shows what it is told to show, and trusts everybody.
struct TlsClient {
    config: Arc<ClientConfig>,
}

impl TlsClient {
    fn new(client: &FakeClient) -> Self {
        Self::showing(client.certificate.der(), &client.key_pkcs8, &rustls::version::TLS13)
    }

    fn showing(certificate: &[u8], key: &[u8], version: &'static SupportedProtocolVersion) -> Self {
        let key =
            aws_lc_rs::sign::any_supported_type(&PrivatePkcs8KeyDer::from(key.to_vec()).into()).unwrap();
        // Not checked against each other.
        let shown = CertifiedKey::new(vec![CertificateDer::from(certificate.to_vec())], key);
        let resolver = Arc::new(SingleCertAndKey::from(shown));
        Self { config: Arc::new(builder(version).with_client_cert_resolver(resolver)) }
    }

    fn anonymous() -> Self {
        Self { config: Arc::new(builder(&rustls::version::TLS13).with_no_client_auth()) }
    }

    async fn connect(&self, to: SocketAddr) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(to).await?;
        let name = ServerName::IpAddress(to.ip().into());
        tokio_rustls::TlsConnector::from(self.config.clone()).connect(name, stream).await
    }
}

fn builder(
    version: &'static SupportedProtocolVersion,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustsAll(provider)))
}

#[derive(Debug)]
struct TrustsAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustsAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Remembers what was asked; starts nothing.
#[derive(Default)]
struct FakeSessions {
    running: Mutex<HashMap<Fingerprint, u32>>,
    launched: Mutex<Vec<LaunchRequest>>,
    /// While it is set, a launch waits for `gate`.
    holds: Mutex<bool>,
    gate: Notify,
}

impl PlayerSessions for FakeSessions {
    fn apps(&self) -> BoxFuture<'_, Vec<App>> {
        Box::pin(async { vec![App { id: 1, title: "Desktop".into(), image: None }] })
    }

    fn running_app(&self, client: &Fingerprint) -> u32 {
        self.running.lock().unwrap().get(client).copied().unwrap_or(0)
    }

    fn launch(&self, request: LaunchRequest) -> BoxFuture<'_, Result<Launched, Refusal>> {
        Box::pin(async move {
            if request.app != 1 {
                return Err(Refusal::new(404, "The host has no such app"));
            }
            self.launched.lock().unwrap().push(request.clone());
            let holds = *self.holds.lock().unwrap();
            if holds {
                self.gate.notified().await;
            }
            self.running.lock().unwrap().insert(request.client, request.app);
            Ok(Launched { rtsp_port: 48010 })
        })
    }

    fn resume(&self, request: LaunchRequest) -> BoxFuture<'_, Result<Launched, Refusal>> {
        Box::pin(async move {
            if self.running_app(&request.client) == 0 {
                return Err(Refusal::new(503, "Nothing to resume"));
            }
            self.launched.lock().unwrap().push(request);
            Ok(Launched { rtsp_port: 48010 })
        })
    }

    fn cancel(&self, client: &Fingerprint) -> BoxFuture<'_, Result<(), Refusal>> {
        self.running.lock().unwrap().remove(client);
        Box::pin(async { Ok(()) })
    }
}
