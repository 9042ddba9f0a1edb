//! What makes an encoder fail on command: a part of its description that waits for a byte over TCP.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub struct Trigger {
    port: u16,
    over: Arc<AtomicBool>,
    waiting: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Trigger {
    pub fn new() -> Trigger {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let (over, waiting) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (ends, wait) = (over.clone(), waiting.clone());
        let thread = std::thread::spawn(move || {
            for encoder in listener.incoming().flatten() {
                if ends.load(Ordering::Acquire) {
                    return;
                }
                wait.lock().unwrap().push(encoder);
            }
        });
        Trigger { port, over, waiting, thread: Some(thread) }
    }

    /// x264 of the highest rank that goes on without lost frames, and fails when it is told to.
    pub fn description(&self) -> String {
        format!(
            r#"codec = "h264"
rank = 1000
needs = ["x264rfienc", "tcpclientsrc"]
bitrate = {{ property = "bitrate", unit = "kbit/s", live = true }}
launch = """
identity name=pictures
tcpclientsrc host=127.0.0.1 port={port} ! identity error-after=1
pictures. ! x264rfienc name=encoder bitrate={{kbps}} speed-preset=ultrafast threads=1 vbv-buf-capacity=34
"""
"#,
            port = self.port
        )
    }

    /// Every encoder that runs with it fails.
    pub fn pull(&self) {
        for mut encoder in self.waiting.lock().unwrap().drain(..) {
            // One that has ended already cannot fail.
            let _ = encoder.write_all(&[0]);
        }
    }
}

impl Drop for Trigger {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
