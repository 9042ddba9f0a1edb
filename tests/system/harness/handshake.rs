//! Stands in the RTSP conversation between a client and its host and tells the client other ports for media and control.
//! Works in the clear alone: what is sealed cannot be changed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A client and its host answer within this.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Handshake {
    pub port: u16,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Handshake {
    /// `told` are the host's ports, and those that the client is to hear of instead.
    pub fn start(rtsp_port: u16, told: [(u16, u16); 3]) -> Handshake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = std::thread::spawn(move || {
            for client in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                // One request a connection, one after the other. A client that was killed needs no answer.
                let _ = client.and_then(|client| pass_on(client, rtsp_port, &told));
            }
        });
        Handshake { port, over, thread: Some(thread) }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn pass_on(mut client: TcpStream, rtsp_port: u16, told: &[(u16, u16); 3]) -> std::io::Result<()> {
    let mut host = TcpStream::connect(("127.0.0.1", rtsp_port))?;
    for stream in [&client, &host] {
        stream.set_read_timeout(Some(PATIENCE))?;
    }
    let (mut from, mut to) = (client.try_clone()?, host.try_clone()?);
    let request = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
    });
    // The host closes after its answer.
    let mut answer = Vec::new();
    let read = host.read_to_end(&mut answer);
    let mut answer = String::from_utf8_lossy(&answer).into_owned();
    for (real, other) in told {
        let line = |port: &u16| format!("server_port={port}\r\n");
        if answer.contains(&line(real)) {
            answer = answer.replace(&line(real), &line(other));
            break;
        }
    }
    let written = read.and_then(|_| client.write_all(answer.as_bytes()));
    // Ends the other thread too.
    let _ = client.shutdown(Shutdown::Both);
    let _ = host.shutdown(Shutdown::Both);
    let _ = request.join();
    written
}
