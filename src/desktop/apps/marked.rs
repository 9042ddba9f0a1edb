//! Processes of an app, however far from it: they carry a variable in their environment, or descend from one that does.
//! What leaves both its parents and its environment behind is not found.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Name of the variable.
pub const VARIABLE: &str = "MOONPIPE_APP";

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Clone, Debug)]
pub struct Marked(Arc<OwnedFd>);

impl Marked {
    /// A child that was not waited for, or any other process of which the number is known to be still its own.
    pub fn hold(pid: u32) -> Option<Marked> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        Some(Marked(Arc::new(pidfd_open(pid, PidfdFlags::empty()).ok()?)))
    }

    pub fn lives(&self) -> bool {
        let mut ended = [PollFd::new(&*self.0, PollFlags::IN)];
        !matches!(poll(&mut ended, Some(&Timespec::default())), Ok(1))
    }

    /// One that is gone by now hears nothing.
    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.0, signal);
    }
}

/// What is known of a process.
struct Known {
    parent: u32,
    marked: bool,
}

/// Every process that lives and belongs to a mark of which this is true, or descends from one of `roots`; but for this one
/// and what it runs in.
pub fn find(is_ours: impl Fn(&str) -> bool, roots: &BTreeSet<u32>) -> Vec<(u32, Marked)> {
    let known = read_all(&is_ours);
    let spared = ancestors(&known, std::process::id());
    belonging(&known, roots)
        .difference(&spared)
        .filter_map(|pid| {
            let held = Marked::hold(*pid)?;
            // Still the one that was read, and not another that got its number.
            let again = read(*pid, &is_ours)?;
            (again.marked == known[pid].marked && again.parent == known[pid].parent).then_some((*pid, held))
        })
        .collect()
}

fn read_all(is_ours: &impl Fn(&str) -> bool) -> BTreeMap<u32, Known> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, read(pid, is_ours)?)))
        .collect()
}

/// None for a process that is gone, or dead and not yet buried.
fn read(pid: u32, is_ours: &impl Fn(&str) -> bool) -> Option<Known> {
    let (state, parent) = state_and_parent(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    if matches!(state, 'Z' | 'X') {
        return None;
    }
    // Of other users' processes it cannot be read; they are not ours.
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    Some(Known { parent, marked: mark(&environment).is_some_and(is_ours) })
}

/// The name, in brackets, may hold anything.
fn state_and_parent(stat: &str) -> Option<(char, u32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn mark(environment: &[u8]) -> Option<&str> {
    let mut variables = environment.split(|byte| *byte == 0);
    let value =
        variables.find_map(|variable| variable.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="))?;
    std::str::from_utf8(value).ok()
}

/// Those that are marked or roots, and their descendants.
fn belonging(known: &BTreeMap<u32, Known>, roots: &BTreeSet<u32>) -> BTreeSet<u32> {
    let is_one = |(pid, process): &(&u32, &Known)| process.marked || roots.contains(pid);
    let mut found: BTreeSet<u32> = known.iter().filter(is_one).map(|(pid, _)| *pid).collect();
    loop {
        let more: Vec<u32> = known
            .iter()
            .filter(|(pid, k)| found.contains(&k.parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// `pid`, its parent, and so on.
fn ancestors(known: &BTreeMap<u32, Known>, pid: u32) -> BTreeSet<u32> {
    let line = std::iter::successors(Some(pid), |pid| known.get(pid).map(|k| k.parent));
    // A loop would be the kernel's fault; numbers end at 0 anyway.
    line.take(known.len() + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(parent: u32, marked: bool) -> Known {
        Known { parent, marked }
    }

    #[test]
    fn a_name_may_hold_brackets_and_spaces() {
        assert_eq!(state_and_parent("17 (a) b) (c) S 4 17 17 0"), Some(('S', 4)));
        assert_eq!(state_and_parent("17 (a"), None);
    }

    #[test]
    fn the_mark_is_a_whole_variable() {
        assert_eq!(mark(b"A=1\0MOONPIPE_APP=x/1\0B=2\0"), Some("x/1"));
        assert_eq!(mark(b"A=MOONPIPE_APP=x\0MOONPIPE_APPS=y\0"), None);
    }

    #[test]
    fn descendants_belong_and_what_the_host_runs_in_does_not() {
        let known = BTreeMap::from([
            (1, process(0, false)),
            (10, process(1, true)),
            (11, process(10, false)),
            (12, process(11, false)),
            (13, process(11, false)),
            (20, process(1, false)),
        ]);
        let none = BTreeSet::new();
        assert_eq!(belonging(&known, &none), BTreeSet::from([10, 11, 12, 13]));
        assert_eq!(belonging(&known, &BTreeSet::from([20])), BTreeSet::from([10, 11, 12, 13, 20]));
        let spared = ancestors(&known, 12);
        let ended: Vec<u32> = belonging(&known, &none).difference(&spared).copied().collect();
        assert_eq!(ended, [13]);
    }
}
