//! The sound of a sink that nobody hears, heard on a real one too: PipeWire's own `pw-loopback`, for as long as this.

use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// Between its end, with PipeWire or where one of its ends is gone, and its next start; doubles while it does not stay.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// Ends when it is dropped, and with the host, however that ends.
pub struct Echo {
    _keeping: AbortOnDropHandle<()>,
}

impl Echo {
    /// What `from` plays, on the sink `to`, or else on whichever is the default.
    pub fn open(from: &str, to: Option<&str>) -> Echo {
        let arguments = arguments(from, to);
        Self { _keeping: AbortOnDropHandle::new(tokio::spawn(keep(arguments))) }
    }
}

async fn keep(arguments: Vec<String>) {
    let mut pause = AGAIN;
    loop {
        let began = Instant::now();
        match loopback(&arguments).spawn() {
            Ok(mut child) => match child.wait().await {
                Ok(how) => tracing::info!("pw-loopback ended and is started again: {how}"),
                Err(error) => tracing::warn!("pw-loopback cannot be watched: {error}"),
            },
            Err(error) => {
                tracing::warn!("what the player hears is not heard here as well: no pw-loopback: {error}");
                return;
            }
        }
        if began.elapsed() > LONGEST_PAUSE {
            pause = AGAIN;
        }
        sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

fn loopback(arguments: &[String]) -> Command {
    let mut command = Command::new("pw-loopback");
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    end_with_host(&mut command);
    command
}

#[cfg(target_os = "linux")]
fn end_with_host(command: &mut Command) {
    // SAFETY: prctl(2) is async-signal-safe, and nothing of this process is touched between fork and exec.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_host(_: &mut Command) {}

/// An end whose sink is gone must not be led to another one: that may be the other end's.
fn arguments(from: &str, to: Option<&str>) -> Vec<String> {
    let capture = format!("{{ stream.capture.sink=true node.dont-reconnect=true target.object=\"{from}\" }}");
    let playback = match to {
        Some(to) => format!("{{ node.dont-reconnect=true target.object=\"{to}\" }}"),
        None => "{ }".into(),
    };
    ["--name", "moonpipe", "--capture-props", &capture, "--playback-props", &playback]
        .map(str::to_owned)
        .to_vec()
}
