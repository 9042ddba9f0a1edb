//! What processes and the whole machine spend of the processors, from /proc.

use std::collections::BTreeMap;
use std::time::Instant;

/// The kernel tells times in hundredths of a second, whatever its own clock is.
const TICKS: f64 = 100.0;

/// Processor time of each process of a group, in ticks.
type Group = BTreeMap<u32, u64>;

/// Processor time until a moment.
pub struct Spent {
    at: Instant,
    host: Group,
    apps: Group,
    clients: Group,
    processors: Processors,
}

/// What was spent between two moments, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// Of a core.
    pub host: f64,
    /// Of a core: what the host has started, Xwayland included.
    pub apps: f64,
    /// Of a core.
    pub clients: f64,
    /// Of all cores.
    pub idle: f64,
    /// Of all cores: away with the machine that lends them.
    pub stolen: f64,
}

/// Ticks of all cores together.
#[derive(Clone, Copy)]
struct Processors {
    idle: u64,
    stolen: u64,
    all: u64,
}

struct Process {
    parent: u32,
    ticks: u64,
}

impl Spent {
    /// By a host, by what it has started, and by these clients.
    pub fn now(host: u32, clients: &[u32]) -> Self {
        let processes = processes();
        let group = |pids: &[u32]| {
            let known = pids.iter().filter_map(|pid| Some((*pid, processes.get(pid)?.ticks)));
            known.collect()
        };
        Self {
            at: Instant::now(),
            host: group(&[host]),
            apps: group(&descendants(&processes, host)),
            clients: group(clients),
            processors: Processors::now(),
        }
    }

    pub fn since(&self, before: &Self) -> Shares {
        let of_a_core = |ticks: u64| 100.0 * ticks as f64 / TICKS / (self.at - before.at).as_secs_f64();
        let (now, then) = (self.processors, before.processors);
        let of_all = |ticks: u64| 100.0 * ticks as f64 / (now.all - then.all) as f64;
        Shares {
            host: of_a_core(spent(&self.host, &before.host)),
            apps: of_a_core(spent(&self.apps, &before.apps)),
            clients: of_a_core(spent(&self.clients, &before.clients)),
            idle: of_all(now.idle - then.idle),
            stolen: of_all(now.stolen - then.stolen),
        }
    }
}

impl Processors {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/stat").expect("Linux tells it");
        let cpu = stat.lines().next().expect("the sum of all cores is the first line");
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user and nice already.
        let ticks: Vec<u64> =
            cpu.split_whitespace().skip(1).take(8).map(|ticks| ticks.parse().expect("a number")).collect();
        Self { idle: ticks[3] + ticks[4], stolen: ticks[7], all: ticks.iter().sum() }
    }
}

/// What those spent that are still there. One that began meanwhile had spent nothing; a number that the system gave to
/// another process counts for nothing.
fn spent(now: &Group, before: &Group) -> u64 {
    now.iter().map(|(pid, ticks)| ticks.saturating_sub(before.get(pid).copied().unwrap_or_default())).sum()
}

fn processes() -> BTreeMap<u32, Process> {
    let entries = std::fs::read_dir("/proc").expect("Linux lists processes").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, Process::read(pid)?))).collect()
}

impl Process {
    /// Nothing, when it has ended.
    fn read(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name in brackets, which is field 2.
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number =
            |field: usize| fields[field - 3].parse::<u64>().expect("proc_pid_stat(5) has a number there");
        let parent = u32::try_from(number(4)).expect("a process id");
        Some(Self { parent, ticks: number(14) + number(15) })
    }
}

fn descendants(processes: &BTreeMap<u32, Process>, root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(processes.iter().filter(|(_, process)| process.parent == parent).map(|(pid, _)| pid));
        next += 1;
    }
    found.split_off(1)
}
