//! Writes down what a player would have felt, a line for each event.

use super::Injector;
use crate::protocol::input::Input;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

pub struct Recorded {
    file: File,
    failed: bool,
}

impl Recorded {
    /// Goes on at the end of what the file has.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { file, failed: false })
    }
}

impl Injector for Recorded {
    fn name(&self) -> &'static str {
        "recorded"
    }

    fn inject(&mut self, input: &Input) {
        // One write a line: several sessions may share the file.
        let written = self.file.write_all(format!("{input:?}\n").as_bytes());
        if let Err(error) = written
            && !std::mem::replace(&mut self.failed, true)
        {
            tracing::warn!("input is not written down any more: {error}");
        }
    }
}
