//! A source of pictures that a test ends and begins again: noise over TCP, which a capture of a user's own plays.

use super::Seeded;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// I420 of the size that [`Source::description`] says.
const SIZE: (u32, u32) = (640, 360);
const FRAME_BYTES: usize = (SIZE.0 * SIZE.1 * 3 / 2) as usize;
const INTERVAL: Duration = Duration::from_micros(33_333);
/// Different pictures, shown again and again.
const PICTURES: u64 = 8;

pub struct Source {
    port: u16,
    pictures: Arc<Vec<Vec<u8>>>,
    running: Option<Serving>,
}

struct Serving {
    over: Arc<AtomicBool>,
    viewers: Arc<Mutex<Vec<TcpStream>>>,
    thread: JoinHandle<()>,
}

impl Source {
    pub fn start() -> Source {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let pictures = (0..PICTURES).map(|seed| Seeded(seed).bytes(FRAME_BYTES)).collect();
        let mut source = Source { port, pictures: Arc::new(pictures), running: None };
        source.serve(listener);
        source
    }

    /// A capture description; it follows the client, so that each session has a connection of its own.
    pub fn description(&self) -> String {
        let Source { port, .. } = self;
        let (width, height) = SIZE;
        format!(
            "needs = [\"tcpclientsrc\", \"rawvideoparse\"]\n\
             launch = \"\"\"tcpclientsrc name=for-{{width}}x{{height}} host=127.0.0.1 port={port} \
             ! rawvideoparse format=i420 width={width} height={height} framerate={{fps}}\"\"\"\n"
        )
    }

    /// Every viewer's connection ends, and nobody gets a new one.
    pub fn end(&mut self) {
        let Some(Serving { over, viewers, thread }) = self.running.take() else { return };
        over.store(true, Ordering::Release);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        thread.join().expect("it only serves");
        for viewer in viewers.lock().unwrap().iter() {
            let _ = viewer.shutdown(Shutdown::Both);
        }
    }

    pub fn begin_again(&mut self) {
        self.serve(TcpListener::bind(("127.0.0.1", self.port)).expect("the port was ours"));
    }

    fn serve(&mut self, listener: TcpListener) {
        let (over, viewers) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (ends, seen, pictures) = (over.clone(), viewers.clone(), self.pictures.clone());
        let thread = std::thread::spawn(move || {
            for viewer in listener.incoming().flatten() {
                if ends.load(Ordering::Acquire) {
                    return;
                }
                if let Ok(clone) = viewer.try_clone() {
                    seen.lock().unwrap().push(clone);
                }
                let pictures = pictures.clone();
                std::thread::spawn(move || show(viewer, &pictures));
            }
        });
        self.running = Some(Serving { over, viewers, thread });
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.end();
    }
}

/// Until the viewer goes, or is sent away.
fn show(mut viewer: TcpStream, pictures: &[Vec<u8>]) {
    let mut due = Instant::now();
    for picture in pictures.iter().cycle() {
        if viewer.write_all(picture).is_err() {
            return;
        }
        due = (due + INTERVAL).max(Instant::now());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
