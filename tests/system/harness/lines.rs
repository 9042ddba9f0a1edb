//! The lines that a process writes, collected while it runs.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Collected {
    lines: Vec<String>,
    ended: bool,
}

/// Clones share what was collected.
#[derive(Clone)]
pub struct Lines(Arc<(Mutex<Collected>, Condvar)>);

impl Lines {
    pub fn collect(pipe: impl Read + Send + 'static) -> Lines {
        let lines = Lines(Arc::default());
        let writer = lines.clone();
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                writer.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
            writer.end();
        });
        lines
    }

    fn push(&self, line: String) {
        self.0.0.lock().unwrap().lines.push(line);
        self.0.1.notify_all();
    }

    fn end(&self) {
        self.0.0.lock().unwrap().ended = true;
        self.0.1.notify_all();
    }

    /// What `find` makes of the first line it accepts, whether it came before or comes yet; None when the writer ended or time is up.
    pub fn wait_for<T>(&self, limit: Duration, mut find: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let end = Instant::now() + limit;
        let (collected, changed) = &*self.0;
        let mut collected = collected.lock().unwrap();
        let mut seen = 0;
        loop {
            for line in &collected.lines[seen..] {
                if let Some(found) = find(line) {
                    return Some(found);
                }
            }
            seen = collected.lines.len();
            let left = end.saturating_duration_since(Instant::now());
            if collected.ended || left.is_zero() {
                return None;
            }
            collected = changed.wait_timeout(collected, left).unwrap().0;
        }
    }

    pub fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().lines.clone()
    }

    pub fn count(&self) -> usize {
        self.0.0.lock().unwrap().lines.len()
    }

    pub fn tail(&self, count: usize) -> String {
        let lines = self.all();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}
