//! A message bus for tests.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Of one test.
pub struct Bus(Child);

impl Bus {
    /// With its address.
    pub fn start() -> (Bus, String) {
        let mut command = Command::new("dbus-daemon");
        command.args(["--session", "--nofork", "--nopidfile", "--print-address=1"]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("dbus-daemon is installed");
        let mut address = String::new();
        let said = child.stdout.take().expect("piped");
        BufReader::new(said).read_line(&mut address).expect("its address");
        (Bus(child), address.trim().to_owned())
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
