use super::*;
use crate::protocol::params::Codec;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const KEY: SessionKey = SessionKey([7; 16]);
const SEALED: SessionId = SessionId(1);
const PLAIN: SessionId = SessionId(2);
const ANNOUNCE: &str = "a=x-nv-video[0].clientViewportWd:1280 \r\na=x-nv-video[0].clientViewportHt:720 \r\n\
    a=x-nv-video[0].maxFPS:60 \r\na=x-nv-video[0].packetSize:1392 \r\na=x-ml-video.configuredBitrateKbps:10000 \r\n";

/// Two sessions: one that seals, one that speaks in the clear from anywhere.
struct Recorded {
    announced: mpsc::UnboundedSender<(SessionId, StreamParams)>,
    sealed: Mutex<Vec<(SessionId, SessionKey)>>,
}

impl Recorded {
    fn new() -> (Self, mpsc::UnboundedReceiver<(SessionId, StreamParams)>) {
        let (announced, receiver) = mpsc::unbounded_channel();
        let sealed = Mutex::new(vec![(SessionId(9), SessionKey([9; 16])), (SEALED, KEY)]);
        (Self { announced, sealed }, receiver)
    }
}

impl RtspSessions for Recorded {
    fn sealed(&self) -> Vec<(SessionId, SessionKey)> {
        self.sealed.lock().unwrap().clone()
    }

    fn plain(&self, peer: IpAddr) -> Option<SessionId> {
        peer.is_loopback().then_some(PLAIN)
    }

    fn offer(&self, session: SessionId) -> Option<RtspOffer> {
        Some(RtspOffer {
            session: session.to_string(),
            codecs: vec![Codec::H264],
            video_port: 1,
            control_port: 2,
            audio_port: 3,
            video_ping: [b'v'; 16],
            audio_ping: [b'a'; 16],
            connect_data: 4,
            rfi: false,
            controller_sensors: false,
            surround: Vec::new(),
        })
    }

    fn announce(&self, session: SessionId, params: StreamParams) -> BoxFuture<'_, Result<(), RtspRefusal>> {
        self.announced.send((session, params)).unwrap();
        Box::pin(async { Ok(()) })
    }

    fn play(&self, _session: SessionId) -> BoxFuture<'_, Result<(), RtspRefusal>> {
        Box::pin(async { Err(RtspRefusal::new(503, "no capture")) })
    }
}

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
    announced: mpsc::UnboundedReceiver<(SessionId, StreamParams)>,
}

async fn start() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (sessions, announced) = Recorded::new();
    let server = tokio::spawn(serve(listener, Arc::new(sessions), stop.clone()));
    Running { address, server, stop, announced }
}

impl Running {
    /// Sends all, reads until the host closes.
    async fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        read.expect("the host closes").unwrap();
        answer
    }

    async fn sealed(&self, sequence: u32, request: &str) -> (u32, String) {
        let seal = RtspSeal::new(&KEY);
        let mut answer = self.exchange(&seal.seal(Side::Client, sequence, request.as_bytes())).await;
        let header = RtspHeader::parse(answer.first_chunk().expect("an answer")).unwrap();
        let body = &mut answer[RtspHeader::BYTES..];
        seal.open(Side::Host, &header, body).unwrap();
        (header.sequence, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn plain(&self, request: &str) -> String {
        String::from_utf8(self.exchange(request.as_bytes()).await).unwrap()
    }
}

fn request(head: &str, cseq: u32, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-length: {}\r\n", body.len()) };
    format!(
        "{head} RTSP/1.0\r\nCSeq: {cseq}\r\nX-GS-ClientVersion: 14\r\nHost: 0.0.0.0\r\n{length}\r\n{body}"
    )
}

#[tokio::test]
async fn a_sealed_conversation() {
    let mut host = start().await;
    let (first, text) = host.sealed(1, &request("OPTIONS rtsp://0.0.0.0:48010", 1, "")).await;
    assert!(text.starts_with("RTSP/1.0 200 OK\r\nCSeq: 1\r\n"), "{text}");
    let (second, text) = host.sealed(2, &request("SETUP streamid=control/13/0", 2, "")).await;
    assert!(
        text.contains("\r\nSession: 1;timeout = 90\r\n") && text.contains("\r\nX-SS-Connect-Data: 4\r\n")
    );
    assert_ne!(first, second, "no nonce twice");
    let (_, text) = host.sealed(5, &request("ANNOUNCE streamid=control/13/0", 3, ANNOUNCE)).await;
    assert!(text.starts_with("RTSP/1.0 200 OK"), "{text}");
    let (session, params) = host.announced.recv().await.unwrap();
    assert_eq!((session, params.video.width), (SEALED, 1280));
    let (_, text) = host.sealed(6, &request("PLAY /", 4, "")).await;
    assert!(text.starts_with("RTSP/1.0 503 no capture\r\nCSeq: 4\r\n"), "{text}");
}

#[tokio::test]
async fn a_plain_conversation() {
    let mut host = start().await;
    let text = host.plain(&request("SETUP streamid=audio/0/0", 1, "")).await;
    assert!(text.contains("\r\nSession: 2;timeout = 90\r\n"), "{text}");
    let text = host.plain(&request("ANNOUNCE streamid=control/13/0", 2, ANNOUNCE)).await;
    assert!(text.starts_with("RTSP/1.0 200 OK\r\nCSeq: 2\r\n"), "{text}");
    assert_eq!(host.announced.recv().await.unwrap().0, PLAIN);
    let text = host.plain(&request("ANNOUNCE streamid=control/13/0", 3, "a=b:c")).await;
    assert!(text.starts_with("RTSP/1.0 400 x-nv-video[0]"), "{text}");
}

#[tokio::test]
async fn an_announce_in_several_segments() {
    let host = start().await;
    let message = request("ANNOUNCE streamid=control/13/0", 2, ANNOUNCE);
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for part in message.as_bytes().chunks(50) {
        stream.write_all(part).await.unwrap();
        stream.flush().await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("RTSP/1.0 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_sealed_request_counts_once() {
    let host = start().await;
    let message = RtspSeal::new(&KEY).seal(Side::Client, 3, request("OPTIONS /", 1, "").as_bytes());
    assert!(!host.exchange(&message).await.is_empty());
    assert!(host.exchange(&message).await.is_empty());
    let older = RtspSeal::new(&KEY).seal(Side::Client, 2, request("OPTIONS /", 1, "").as_bytes());
    assert!(host.exchange(&older).await.is_empty());
}

#[tokio::test]
async fn sealed_nonsense_is_refused_under_the_same_seal() {
    let host = start().await;
    for (sequence, request) in [(1, "GET / HTTP/1.1\r\n\r\n"), (2, "OPTIONS / RT")] {
        let (answered, text) = host.sealed(sequence, request).await;
        assert!(text.starts_with("RTSP/1.0 400 "), "{text}");
        assert_eq!(answered, sequence, "no nonce twice");
    }
}

#[test]
fn counters_live_as_long_as_their_session_and_never_begin_anew() {
    let (sessions, _announced) = Recorded::new();
    let sessions = Arc::new(sessions);
    let port = Port {
        sessions: sessions.clone(),
        sequences: Mutex::default(),
        unheard: Mutex::default(),
        noise: Noise::new("rtsp"),
    };
    let (other, other_key) = (SessionId(9), SessionKey([9; 16]));
    let first = port.advance(SEALED, KEY, 1).unwrap();
    port.advance(other, other_key.clone(), 1).unwrap();
    assert!(Arc::ptr_eq(&first, &port.advance(SEALED, KEY, 2).unwrap()));
    sessions.sealed.lock().unwrap().retain(|(session, _)| *session == SEALED);
    assert!(matches!(port.advance(other, other_key, 2), Err(Dropped::UnknownKey)), "opened before it ended");
    assert_eq!(port.sequences.lock().unwrap().len(), 1);
    assert!(Arc::ptr_eq(&first, &port.advance(SEALED, KEY, 3).unwrap()));
}

#[tokio::test]
async fn nonsense_is_dropped_and_clients_are_served_meanwhile() {
    let host = start().await;
    let foreign = RtspSeal::new(&SessionKey([1; 16])).seal(Side::Client, 1, b"OPTIONS / RTSP/1.0\r\n\r\n");
    assert!(host.exchange(&foreign).await.is_empty());
    assert!(host.exchange(&[0xff; 24]).await.is_empty());
    assert!(
        host.plain("GET / HTTP/1.1\r\n\r\n").await.starts_with("RTSP/1.0 400 no request line\r\nCSeq: 0\r\n")
    );
    // Connections that say nothing or half of something stay open, and harm nobody.
    let mut idle = Vec::new();
    for index in 0..3 * MAX_UNHEARD {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        if index % 2 == 0 {
            stream.write_all(b"OPTIONS / RT").await.unwrap();
        }
        idle.push(stream);
    }
    let text = host.plain(&request("OPTIONS /", 7, "")).await;
    assert!(text.starts_with("RTSP/1.0 200 OK\r\nCSeq: 7\r\n"), "{text}");
    let mut first = idle.swap_remove(1);
    let closed = timeout(Duration::from_secs(10), first.read(&mut [0; 1])).await;
    assert!(!matches!(closed.expect("the oldest made room"), Ok(1..)));
}

#[tokio::test]
async fn stopping_ends_open_connections_too() {
    let host = start().await;
    let mut idle = TcpStream::connect(host.address).await.unwrap();
    host.plain(&request("OPTIONS /", 1, "")).await;
    host.stop.cancel();
    timeout(Duration::from_secs(10), host.server).await.expect("the server ends").unwrap();
    assert!(!matches!(idle.read(&mut [0; 1]).await, Ok(1..)));
    assert!(TcpStream::connect(host.address).await.is_err());
}
