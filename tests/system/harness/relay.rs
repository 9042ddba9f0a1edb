//! A UDP relay between a host's video port and a client, which loses the packets it is told to lose.

use super::Seeded;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const BUFFERS: usize = 4 << 20;

pub struct Relay {
    /// Where the client is to expect the host's video.
    pub port: u16,
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    over: AtomicBool,
    passed: AtomicU64,
    lost: AtomicU64,
    client: Mutex<Option<SocketAddr>>,
}

impl Relay {
    /// Pings go to `video_port` of 127.0.0.1, packets come back unless `loses` says so.
    pub fn start(video_port: u16, mut loses: impl FnMut(&[u8]) -> bool + Send + 'static) -> Relay {
        let (to_client, to_host) = (socket(), socket());
        to_host.connect(("127.0.0.1", video_port)).expect("loopback");
        let port = to_client.local_addr().expect("bound").port();
        let counts = Arc::new(Counts::default());

        let (listen, ask, state) = (clone(&to_client), clone(&to_host), counts.clone());
        let pings = std::thread::spawn(move || {
            let mut ping = [0; 2048];
            while !state.over.load(Ordering::Relaxed) {
                if let Ok((size, from)) = listen.recv_from(&mut ping) {
                    *state.client.lock().unwrap() = Some(from);
                    let _ = ask.send(&ping[..size]);
                }
            }
        });
        let state = counts.clone();
        let packets = std::thread::spawn(move || {
            let mut packet = [0; 2048];
            while !state.over.load(Ordering::Relaxed) {
                let Ok(size) = to_host.recv(&mut packet) else { continue };
                let client = *state.client.lock().unwrap();
                if loses(&packet[..size]) {
                    state.lost.fetch_add(1, Ordering::Relaxed);
                } else if let Some(client) = client {
                    state.passed.fetch_add(1, Ordering::Relaxed);
                    let _ = to_client.send_to(&packet[..size], client);
                }
            }
        });
        Relay { port, counts, threads: vec![pings, packets] }
    }

    pub fn passed(&self) -> u64 {
        self.counts.passed.load(Ordering::Relaxed)
    }

    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.counts.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout above zero");
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(BUFFERS);
    let _ = socket2::SockRef::from(&socket).set_send_buffer_size(BUFFERS);
    socket
}

fn clone(socket: &UdpSocket) -> UdpSocket {
    socket.try_clone().expect("a descriptor is left")
}

/// Loses exactly as many packets of every FEC block as it has parity packets: the most that can be recovered.
/// Works on packets that are not encrypted.
pub struct AllThatFecCanBear {
    random: Seeded,
    block: (u32, u8),
    losing: Vec<bool>,
}

impl AllThatFecCanBear {
    pub fn seeded(seed: u64) -> Self {
        AllThatFecCanBear { random: Seeded(seed), block: (0, 0), losing: Vec::new() }
    }

    pub fn loses(&mut self, packet: &[u8]) -> bool {
        let Some(Placed { frame, block, data, parity, index }) = Placed::read(packet) else { return false };
        if self.losing.is_empty() || self.block != (frame, block) {
            self.block = (frame, block);
            self.losing = vec![false; data + parity];
            let mut left = parity;
            while left > 0 {
                let pick = self.random.below(data + parity);
                left -= usize::from(!self.losing[pick]);
                self.losing[pick] = true;
            }
        }
        self.losing.get(index).copied().unwrap_or(false)
    }
}

/// Loses one packet of every FEC block. Works on packets that are not encrypted.
pub struct OneOfEveryBlock {
    random: Seeded,
    block: Option<(u32, u8)>,
    losing: usize,
}

impl OneOfEveryBlock {
    pub fn seeded(seed: u64) -> Self {
        OneOfEveryBlock { random: Seeded(seed), block: None, losing: 0 }
    }

    pub fn loses(&mut self, packet: &[u8]) -> bool {
        let Some(Placed { frame, block, data, parity, index }) = Placed::read(packet) else { return false };
        if self.block != Some((frame, block)) {
            self.block = Some((frame, block));
            self.losing = self.random.below(data + parity);
        }
        index == self.losing
    }
}

/// Counts the frames that the host itself left out, read from packets that are not encrypted: a machine that others use
/// makes it drop some.
#[derive(Default)]
pub struct LeftOut {
    last: Option<u32>,
    pub frames: u64,
}

impl LeftOut {
    /// `packet` is the next one that came from the host.
    pub fn see(&mut self, packet: &[u8]) {
        let Some(Placed { frame, .. }) = Placed::read(packet) else { return };
        let last = self.last.replace(frame).unwrap_or(frame);
        self.frames += u64::from(frame.saturating_sub(last).saturating_sub(1));
    }
}

/// Where a packet stands in its frame, read from the GameStream video header.
pub(super) struct Placed {
    frame: u32,
    block: u8,
    data: usize,
    parity: usize,
    index: usize,
}

impl Placed {
    pub(super) fn read(packet: &[u8]) -> Option<Placed> {
        let word = |at: usize| packet.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let fec = word(28)?;
        let (data, percent) = ((fec >> 22) as usize, (fec >> 4 & 0xFF) as usize);
        Some(Placed {
            frame: word(20)?,
            block: packet[27] >> 4 & 3,
            data,
            parity: (data * percent).div_ceil(100),
            index: (fec >> 12 & 0x3FF) as usize,
        })
    }

    pub(super) fn is_parity(&self) -> bool {
        self.index >= self.data
    }
}
