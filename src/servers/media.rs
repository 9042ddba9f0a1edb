//! The ports that media leave from. Clients say where to by pinging them.

use crate::servers::noise::Noise;
use crate::servers::udp;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Bytes asked of the kernel for each direction: some frames at the highest rates.
const BUFFER_BYTES: usize = 4 << 20;
/// A ping is the payload and a big-endian counter.
const PING_BYTES: usize = PAYLOAD_BYTES + 4;
const PAYLOAD_BYTES: usize = 16;
/// Datagrams after which the other tasks of the runtime get their turn, for a socket that is never empty.
const TURN: usize = 64;

/// Which of the two media ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    Video,
    Audio,
}

impl MediaKind {
    fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a client's media go, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Source of its last ping. IPv4 is given as IPv4, also on a socket for both.
    pub peer: SocketAddr,
    /// The address of this host that the ping was sent to: replies leave from it.
    pub local: Option<IpAddr>,
}

/// One media port of the host, shared by all sessions.
pub struct MediaSocket {
    socket: Arc<UdpSocket>,
    expected: Arc<Listeners>,
    task: AbortHandle,
}

/// Payload → where its pings came from.
type Listeners = Mutex<HashMap<[u8; PAYLOAD_BYTES], watch::Sender<Option<Endpoint>>>>;

impl MediaSocket {
    /// Binds `port` on every address, IPv6 and IPv4, and starts to listen for pings. Needs a tokio runtime around it.
    pub fn bind(kind: MediaKind, port: u16) -> io::Result<Arc<Self>> {
        let socket = Arc::new(udp::bind(port)?);
        udp::grow_buffers(&socket, BUFFER_BYTES);
        let expected = Arc::new(Listeners::default());
        // Readable alone: a socket of tokio's would wake its thread for each datagram that another thread sent.
        // SAFETY: the clone of the `Arc` inside keeps this very socket open for as long as it is registered.
        let readable = unsafe { AsyncFd::register_with_interest(socket.clone(), Interest::READABLE) }?;
        let task = tokio::spawn(listen(kind, readable, expected.clone())).abort_handle();
        Ok(Arc::new(Self { socket, expected, task }))
    }

    /// From now on a ping that starts with `payload` moves the answer's endpoint to where it came from.
    pub fn expect(self: &Arc<Self>, payload: [u8; 16]) -> Expected {
        let (sender, endpoint) = watch::channel(None);
        lock(&self.expected).insert(payload, sender);
        Expected { endpoint, payload, socket: self.clone() }
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Stops listening. The socket closes with the last owner.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl AsFd for MediaSocket {
    /// To send from. Non-blocking.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for MediaSocket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A registered ping payload; dropping it unregisters.
pub struct Expected {
    /// `None` until the first ping.
    pub endpoint: watch::Receiver<Option<Endpoint>>,
    payload: [u8; PAYLOAD_BYTES],
    socket: Arc<MediaSocket>,
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut listeners = lock(&self.socket.expected);
        // The same payload may have been registered anew since.
        if listeners.get(&self.payload).is_some_and(|sender| self.endpoint.same_channel(&sender.subscribe()))
        {
            listeners.remove(&self.payload);
        }
    }
}

fn lock(
    listeners: &Listeners,
) -> std::sync::MutexGuard<'_, HashMap<[u8; 16], watch::Sender<Option<Endpoint>>>> {
    listeners.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(kind: MediaKind, socket: AsyncFd<Arc<UdpSocket>>, expected: Arc<Listeners>) {
    let noise = Noise::new(kind.name());
    // One byte more than a ping: what is longer is none.
    let mut buffer = [0; PING_BYTES + 1];
    for count in 1_usize.. {
        if count.is_multiple_of(TURN) {
            tokio::task::yield_now().await;
        }
        let Ok(mut ready) = socket.readable().await else { return };
        match ready.try_io(|socket| udp::receive(socket.get_ref(), &mut buffer)) {
            Ok(Ok(received)) => heard(&buffer[..received.length], received, &expected, &noise),
            Ok(Err(error)) => tracing::debug!(port = kind.name(), "receiving pings: {error}"),
            Err(_would_block) => {}
        }
    }
}

fn heard(datagram: &[u8], received: udp::Received, expected: &Listeners, noise: &Noise) {
    let payload = datagram.first_chunk().filter(|_| datagram.len() == PING_BYTES);
    let Some(payload) = payload else {
        return noise.hear("a datagram that is no ping", received.peer);
    };
    let endpoint = Endpoint { peer: received.peer, local: received.local };
    match lock(expected).get(payload) {
        Some(sender) => {
            sender.send_if_modified(|last| last.replace(endpoint) != Some(endpoint));
        }
        // Clients go on pinging for a moment after their session ended.
        None => noise.hear("a ping of no session", received.peer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn seen(expected: &mut Expected) -> Endpoint {
        let wait = expected.endpoint.wait_for(Option::is_some);
        let found =
            tokio::time::timeout(Duration::from_secs(10), wait).await.expect("a ping arrives").unwrap();
        found.unwrap()
    }

    fn ping(from: &UdpSocket, to: &str, media: &MediaSocket, payload: &[u8]) {
        let port = media.local_addr().unwrap().port();
        from.send_to(&[payload, &[0, 0, 0, 1]].concat(), (to, port)).unwrap();
    }

    #[tokio::test]
    async fn a_ping_names_both_ends_of_each_session() {
        let media = MediaSocket::bind(MediaKind::Video, 0).unwrap();
        let (mut one, mut two) = (media.expect([1; 16]), media.expect([2; 16]));
        let v4 = UdpSocket::bind("127.0.0.1:0").unwrap();
        let v6 = UdpSocket::bind("[::1]:0").unwrap();
        ping(&v4, "127.0.0.7", &media, &[1; 16]);
        ping(&v6, "::1", &media, &[2; 16]);
        let local = |text: &str| Some(text.parse().unwrap());
        assert_eq!(
            seen(&mut one).await,
            Endpoint { peer: v4.local_addr().unwrap(), local: local("127.0.0.7") }
        );
        assert_eq!(seen(&mut two).await, Endpoint { peer: v6.local_addr().unwrap(), local: local("::1") });
    }

    #[tokio::test]
    async fn the_address_moves_with_the_payload_alone() {
        let media = MediaSocket::bind(MediaKind::Audio, 0).unwrap();
        let mut expected = media.expect([7; 16]);
        let [old, new, foreign] = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        ping(&old, "127.0.0.1", &media, &[7; 16]);
        assert_eq!(seen(&mut expected).await.peer, old.local_addr().unwrap());
        ping(&foreign, "127.0.0.1", &media, &[8; 16]);
        ping(&foreign, "127.0.0.1", &media, b"PING");
        ping(&foreign, "127.0.0.1", &media, &[7; 17]);
        ping(&foreign, "127.0.0.1", &media, &[7; 15]);
        ping(&new, "127.0.0.1", &media, &[7; 16]);
        // Datagrams of one loopback socket queue in order: whatever the foreign ones did came before.
        let moved = |end: &Option<Endpoint>| end.is_some_and(|e| e.peer != old.local_addr().unwrap());
        let found = tokio::time::timeout(Duration::from_secs(10), expected.endpoint.wait_for(moved)).await;
        assert_eq!(found.unwrap().unwrap().unwrap().peer, new.local_addr().unwrap());
    }

    #[tokio::test]
    async fn a_session_that_left_is_forgotten_and_its_successor_is_not() {
        let media = MediaSocket::bind(MediaKind::Audio, 0).unwrap();
        let first = media.expect([1; 16]);
        let mut second = media.expect([1; 16]);
        drop(first);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        ping(&client, "127.0.0.1", &media, &[1; 16]);
        assert_eq!(seen(&mut second).await.peer, client.local_addr().unwrap());
        drop(second);
        assert!(lock(&media.expected).is_empty());
    }

    /// All on one thread, so what the listener does without a break is seen at once.
    #[tokio::test]
    async fn a_flood_leaves_room_for_others() {
        let media = MediaSocket::bind(MediaKind::Video, 0).unwrap();
        let (mut first, mut last) = (media.expect([1; 16]), media.expect([2; 16]));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..2 * TURN {
            ping(&client, "127.0.0.1", &media, &[1; 16]);
        }
        ping(&client, "127.0.0.1", &media, &[2; 16]);
        seen(&mut first).await;
        assert_eq!(*last.endpoint.borrow(), None);
        seen(&mut last).await;
    }

    #[tokio::test]
    async fn the_port_is_free_after_the_last_owner() {
        let media = MediaSocket::bind(MediaKind::Video, 0).unwrap();
        let socket = Arc::downgrade(&media.socket);
        drop(media);
        let gone = async {
            while socket.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the task lets go of the socket");
    }
}
