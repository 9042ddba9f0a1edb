//! Nonsense on every port while somebody plays.

use crate::harness::client::{Client, Report};
use crate::harness::host::Host;
use crate::harness::{Seeded, at_best, turn};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

const TCP: [&str; 3] = ["http", "https", "rtsp"];
const UDP: [&str; 3] = ["video", "control", "audio"];
const CONNECTIONS: usize = 10_000;

#[test]
fn nonsense_does_not_disturb_the_player() {
    let _turn = turn();
    let host = Host::start();
    let client = Client::paired(&host);
    let report =
        at_best(|| play_on(&host, &client), |report| report.is_complete() && report.max_gap_ms < 500.0);
    assert!(report.is_complete() && report.max_gap_ms < 500.0, "{report:#?}");
}

/// A stream while all of it is said.
fn play_on(host: &Host, client: &Client) -> Report {
    let mut stream = client.start_stream(300, &["--until-told", "--decode", "--tone"]);
    stream.picture();
    let lines = host.log.count();

    let mut random = Seeded(2024);
    for _ in 0..40 {
        for port in TCP {
            say(host.port(port), &tcp_nonsense(&mut random));
        }
        shout(host, &mut random);
    }
    assert!(!stream.has_ended(), "the player plays on");
    let flood = flood(host);
    for _ in 0..5 {
        assert_eq!(client.get("/serverinfo")["status"], 200, "who is paired is answered still");
    }
    assert!(!stream.has_ended(), "the player plays on");
    drop(flood);

    stream.tell_to_end();
    let report = stream.report(300);
    println!("{report:#?}\n{} lines of log", host.log.count() - lines);
    assert_eq!(report.terminated, None, "{report:#?}");
    assert_eq!((report.decode_errors, report.counter.back), (0, 0), "{report:#?}");
    assert!(host.log.count() - lines < 500, "the log is flooded:\n{}", host.log.tail(100));
    report
}

/// Opens a connection, sends it, and reads until the host has had enough.
fn say(port: u16, nonsense: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the host accepts");
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout above zero");
    // The host may close before it has heard everything.
    let _ = stream.write_all(nonsense);
    let _ = stream.read(&mut [0; 4096]);
}

fn tcp_nonsense(random: &mut Seeded) -> Vec<u8> {
    let filler = |count: usize| vec![b'a'; count];
    match random.below(12) {
        0 => {
            let count = random.below(4000);
            random.bytes(count)
        }
        1 => b"GET /serverinfo HT".to_vec(),
        2 => [b"GET /", filler(1 << 20).as_slice(), b" HTTP/1.1\r\n\r\n"].concat(),
        3 => [b"GET / HTTP/1.1\r\nX: ", filler(1 << 20).as_slice(), b"\r\n\r\n"].concat(),
        4 => (0..5000).flat_map(|n| format!("{n}: {n}\r\n").into_bytes()).collect(),
        5 => b"POST /pair HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec(),
        6 => b"POST /pair HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n".to_vec(),
        7 => b"\x16\x03\x01\xff\xff\x01\x00\x00\x00".to_vec(),
        8 => b"ANNOUNCE streamid=control/13/0 RTSP/1.0\r\nCSeq: 1\r\nContent-length: -7\r\n\r\n".to_vec(),
        9 => b"DESCRIBE rtsp://x RTSP/1.0\r\nCSeq: 18446744073709551616\r\n\r\n".to_vec(),
        10 => [&0xFFFF_FFFF_u32.to_be_bytes()[..], &random.bytes(20)].concat(),
        _ => [&0x8000_0040_u32.to_be_bytes()[..], &random.bytes(20 + 64)].concat(),
    }
}

/// Datagrams of every kind of wrongness to each UDP port.
fn shout(host: &Host, random: &mut Seeded) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    for port in UDP {
        let address = ("127.0.0.1", host.port(port));
        let size = random.below(1400);
        let noise = random.bytes(size);
        // Random; empty; a ping of nobody's session; an old ping; an ENet connect, whole and cut.
        let enet = [&[0x8F, 0xFF, 0, 1, 0x82, 0xFF, 0, 1][..], &random.bytes(40)].concat();
        for datagram in [&noise[..], &[], b"0123456789abcdef\0\0\0\x01", b"PING", &enet, &enet[..20]] {
            let _ = socket.send_to(datagram, address);
        }
    }
}

/// Ten thousand connections at the same time, of which most say nothing at all.
fn flood(host: &Host) -> Vec<TcpStream> {
    allow_descriptors(CONNECTIONS as u64 + 1000);
    let mut open = Vec::with_capacity(CONNECTIONS);
    for n in 0..CONNECTIONS {
        let port = host.port(TCP[n % TCP.len()]);
        let address = ([127, 0, 0, 1], port).into();
        // A host that is full may leave the rest in the queue of the kernel, where they time out.
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) else {
            continue;
        };
        if n % 10 == 0 {
            let _ = stream.write_all(b"GET /server");
        }
        open.push(stream);
    }
    assert!(open.len() > CONNECTIONS / 2, "only {} connections were taken", open.len());
    open
}

fn allow_descriptors(count: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a pointer to a whole rlimit that outlives them.
    let allowed = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_cur.max(count.min(limit.rlim_max));
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0
    };
    assert!(
        allowed && limit.rlim_cur >= count,
        "this machine allows {} open files, the test needs {count}",
        limit.rlim_max
    );
}
