//! A program of a player while it runs: started in a process group of its own, ended with all that it started.

use super::list::Command;
use super::marked::{self, Marked, VARIABLE};
use anyhow::Context;
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// How long an app may take to end by itself once it is asked to.
const GRACE: Duration = Duration::from_secs(3);

/// How long the kernel may take to end it then.
const FORCE_LIMIT: Duration = Duration::from_secs(5);

/// Who ends so soon and without a fault has started another program, and that is what is played.
const LAUNCHER_LIMIT: Duration = Duration::from_secs(5);

/// How often it is looked whether processes are left.
const LOOK: Duration = Duration::from_millis(50);
const LOOK_FOR_LAUNCHED: Duration = Duration::from_millis(500);

/// Longest line of an app that is written down.
const LONGEST_LINE: u64 = 4096;

/// Variables on top of the host's own; `None` takes one away.
pub type Environment = Vec<(OsString, Option<OsString>)>;

/// An app that runs. Dropping it leaves the app alone; [`Running::end`] ends it.
#[derive(Clone, Debug)]
pub struct Running {
    mark: String,
    leader: Option<(u32, Marked)>,
    ended: watch::Receiver<Option<String>>,
}

impl Running {
    /// Starts `command`. Its processes carry `mark`, which no other app has.
    pub fn start(command: &Command, mark: String, environment: &Environment) -> anyhow::Result<Running> {
        let mut child = prepare(command, environment)
            .env(VARIABLE, &mark)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", command.program))?;
        let name = command.program.clone();
        if let Some(out) = child.stdout.take() {
            tokio::spawn(write_down(name.clone(), out));
        }
        if let Some(err) = child.stderr.take() {
            tokio::spawn(write_down(name, err));
        }
        // Nobody has waited for it yet.
        let leader = child.id().and_then(|pid| Some((pid, Marked::hold(pid)?)));
        let (tell, ended) = watch::channel(None);
        tokio::spawn(watch_over(child, mark.clone(), tell));
        Ok(Self { mark, leader, ended })
    }

    /// Waits for the app to end by itself, and says how.
    pub async fn ended(&mut self) -> String {
        match self.ended.wait_for(Option::is_some).await {
            Ok(how) => how.clone().unwrap_or_default(),
            Err(_) => "nobody watches it any more".into(),
        }
    }

    pub fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Asks every process of it to end, and ends those that do not.
    pub async fn end(self) {
        end(move |mark| mark == self.mark, self.leader).await;
    }
}

/// Starts `command` and leaves it alone.
pub fn start_detached(command: &Command, environment: &Environment) -> anyhow::Result<()> {
    let mut child = prepare(command, environment)
        .env_remove(VARIABLE)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {}", command.program))?;
    tokio::spawn(async move { child.wait().await });
    Ok(())
}

/// Ends every process whose mark is one of these: what a host that was killed left behind.
pub async fn end_marked(is_ours: impl Fn(&str) -> bool + Clone + Send + 'static) {
    end(is_ours, None).await;
}

/// With the process that was started, whatever can be read of it.
async fn end(is_ours: impl Fn(&str) -> bool + Clone + Send + 'static, leader: Option<(u32, Marked)>) {
    let mut hunt = Hunt { held: leader.into_iter().collect(), told: BTreeSet::new() };
    for (signal, limit) in [(Signal::TERM, GRACE), (Signal::KILL, FORCE_LIMIT)] {
        let deadline = Instant::now() + limit;
        hunt.told.clear();
        // One that was about to start another was seen as neither.
        let mut empty = 0;
        loop {
            let is_ours = is_ours.clone();
            let turn = tokio::task::spawn_blocking(move || hunt.turn(signal, is_ours));
            hunt = turn.await.expect("looking for processes does not panic");
            empty = if hunt.held.is_empty() { empty + 1 } else { 0 };
            if empty == 2 {
                return;
            }
            if Instant::now() >= deadline {
                break;
            }
            sleep(LOOK).await;
        }
    }
}

/// Processes that are being ended.
struct Hunt {
    /// Those that were seen stay known, and with them their children, when they die or forget the mark.
    held: BTreeMap<u32, Marked>,
    /// Each hears a signal once: many programs take the second one for impatience, and save nothing.
    told: BTreeSet<u32>,
}

impl Hunt {
    fn turn(mut self, signal: Signal, is_ours: impl Fn(&str) -> bool) -> Hunt {
        let roots = self.held.keys().copied().collect();
        let found = marked::find(is_ours, &roots);
        self.held.retain(|_, process| process.lives());
        self.told.retain(|pid| self.held.contains_key(pid));
        for (pid, process) in found {
            self.held.entry(pid).or_insert(process);
        }
        for (pid, process) in &self.held {
            if self.told.insert(*pid) {
                process.signal(signal);
            }
        }
        self
    }
}

fn prepare(command: &Command, environment: &Environment) -> tokio::process::Command {
    let mut prepared = tokio::process::Command::new(&command.program);
    prepared.args(&command.arguments).stdin(Stdio::null()).process_group(0);
    for (name, value) in environment {
        match value {
            Some(value) => prepared.env(name, value),
            None => prepared.env_remove(name),
        };
    }
    prepared.envs(&command.env);
    if let Some(dir) = &command.dir {
        prepared.current_dir(dir);
    }
    prepared
}

async fn watch_over(mut child: Child, mark: String, tell: watch::Sender<Option<String>>) {
    let begun = Instant::now();
    let how = match child.wait().await {
        Ok(status) => {
            if status.success() && begun.elapsed() < LAUNCHER_LIMIT {
                until_none_is_left(&mark).await;
            }
            said(status)
        }
        Err(error) => format!("it cannot be watched: {error}"),
    };
    tell.send_replace(Some(how));
}

async fn until_none_is_left(mark: &str) {
    // Twice: one that is about to start another is seen as neither.
    let mut empty = 0;
    while empty < 2 {
        let mark = mark.to_owned();
        let look = move || marked::find(|other| other == mark, &BTreeSet::new()).is_empty();
        let is_empty = tokio::task::spawn_blocking(look).await.unwrap_or(true);
        empty = if is_empty { empty + 1 } else { 0 };
        sleep(LOOK_FOR_LAUNCHED).await;
    }
}

fn said(status: ExitStatus) -> String {
    match status.code() {
        Some(0) => "it ended".into(),
        Some(code) => format!("it ended with exit code {code}"),
        None => format!("it ended by a {status}"),
    }
}

/// What the app prints is for whoever looks for its faults.
async fn write_down(name: String, out: impl AsyncRead + Unpin) {
    let mut out = BufReader::new(out);
    loop {
        let mut line = Vec::new();
        match (&mut out).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => tracing::debug!("{name}: {}", String::from_utf8_lossy(&line).trim_end()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::Path;
    use tokio::time::timeout;

    fn shell(script: &str) -> Command {
        Command {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            dir: None,
            env: BTreeMap::new(),
        }
    }

    fn mark(test: &str) -> String {
        format!("test/{}/{test}", std::process::id())
    }

    fn alive(mark: &str) -> usize {
        marked::find(|other| other == mark, &BTreeSet::new()).len()
    }

    async fn until(is_so: impl Fn() -> bool) {
        let wait = async {
            while !is_so() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), wait).await.expect("it never came");
    }

    #[tokio::test]
    async fn it_ends_with_its_children_even_those_that_forgot_it() {
        let mark = mark("children");
        let script = "setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' & env -i sleep 1000 & sleep 1000";
        let running = Running::start(&shell(script), mark.clone(), &vec![]).unwrap();
        let other = Running::start(&shell("exec sleep 1000"), format!("{mark}2"), &vec![]).unwrap();
        until(|| alive(&mark) >= 5).await;
        running.end().await;
        assert_eq!(alive(&mark), 0);
        assert_eq!(alive(&format!("{mark}2")), 1);
        other.end().await;
    }

    #[tokio::test]
    async fn each_process_is_asked_once_and_ended_when_it_does_not_listen() {
        let folder = tempfile::tempdir().unwrap();
        let heard = folder.path().join("heard");
        // A child that forgot the mark, and outlives its parent.
        let child = "env -i sh -c 'trap \"\" TERM; while :; do sleep 0.02; done' &";
        let script = format!(
            "{child} trap 'echo asked >> {}' TERM; touch {}/ready; while :; do sleep 0.02; done",
            heard.display(),
            folder.path().display()
        );
        let mark = mark("once");
        let running = Running::start(&shell(&script), mark.clone(), &vec![]).unwrap();
        until(|| folder.path().join("ready").exists()).await;
        let (leader, held) = running.leader.clone().unwrap();
        let all = marked::find(|other| other == mark, &BTreeSet::from([leader]));
        running.end().await;
        assert_eq!(std::fs::read_to_string(heard).unwrap(), "asked\n");
        assert!(!held.lives() && all.iter().all(|(_, process)| !process.lives()));
    }

    #[tokio::test]
    async fn it_runs_where_and_with_what_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = shell("pwd > place; env > seen.new; mv seen.new seen; exec sleep 1000");
        command.dir = Some(folder.path().to_owned());
        command.env.insert("MINE".into(), "a b".into());
        let environment: Environment =
            vec![("WAYLAND_DISPLAY".into(), Some("wayland-7".into())), ("HOME".into(), None)];
        let running = Running::start(&command, mark("environment"), &environment).unwrap();
        until(|| folder.path().join("seen").exists()).await;
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            Path::new(read("place").trim()).canonicalize().unwrap(),
            folder.path().canonicalize().unwrap()
        );
        let seen = read("seen");
        assert!(seen.contains("MINE=a b\n") && seen.contains("WAYLAND_DISPLAY=wayland-7\n"), "{seen}");
        assert!(!seen.lines().any(|line| line.starts_with("HOME=")), "{seen}");
        running.end().await;
    }

    #[tokio::test]
    async fn its_end_is_told_with_its_code() {
        let mut running = Running::start(&shell("exit 3"), mark("code"), &vec![]).unwrap();
        assert_eq!(running.ended().await, "it ended with exit code 3");
    }

    #[tokio::test]
    async fn a_launcher_is_over_when_what_it_launched_is() {
        let folder = tempfile::tempdir().unwrap();
        let gate = folder.path().join("gate");
        let script = format!(
            "setsid sh -c 'until [ -e {0} ]; do sleep 0.05; done' >/dev/null 2>&1 & exit 0",
            gate.display()
        );
        let mark = mark("launcher");
        let mut running = Running::start(&shell(&script), mark.clone(), &vec![]).unwrap();
        until(|| alive(&mark) >= 1).await;
        assert!(timeout(2 * LOOK_FOR_LAUNCHED, running.ended()).await.is_err() && !running.has_ended());
        std::fs::write(gate, "").unwrap();
        timeout(Duration::from_secs(20), running.ended()).await.unwrap();
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_error() {
        let command = Command { program: "/nonexistent/game".into(), ..shell("") };
        let said = format!("{:#}", Running::start(&command, mark("none"), &vec![]).unwrap_err());
        assert!(said.contains("/nonexistent/game") && said.contains("No such file"), "{said}");
    }
}
