//! What the system knows of the threads of a stream.

use crate::session::{Session, TURN, init, log, wait_until};
use moonpipe::pipeline::audio::{AudioSpec, AudioStream};
use moonpipe::pipeline::library::Library;
use moonpipe::pipeline::video::Sending;
use moonpipe::protocol::params::{AudioParams, Codec};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use tokio::sync::mpsc;

/// A thread as /proc shows it.
#[derive(Clone, Debug, PartialEq)]
struct Thread {
    name: String,
    nice: i32,
    policy: i32,
}

/// Name, nice value, scheduling policy.
const EXPECTED: [(&str, i32, i32); 8] = [
    ("capture", -10, libc::SCHED_OTHER),
    ("video-convert", -10, libc::SCHED_OTHER),
    ("video-pace", -10, libc::SCHED_OTHER),
    ("video-encode", -10, libc::SCHED_OTHER),
    ("video-packetize", -5, libc::SCHED_OTHER),
    ("video-send", -5, libc::SCHED_RR),
    ("audio-encode", -10, libc::SCHED_OTHER),
    ("audio-send", -5, libc::SCHED_OTHER),
];

fn threads() -> Vec<Thread> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has it").flatten();
    // A thread may end between the two looks.
    tasks.filter_map(|task| thread(&std::fs::read_to_string(task.path().join("stat")).ok()?)).collect()
}

/// proc_pid_stat(5): the name in brackets, and behind it field 3 and so on: 19 is the nice value, 41 the policy.
fn thread(stat: &str) -> Option<Thread> {
    let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    Some(Thread {
        name: name.into(),
        nice: fields[19 - 3].parse().ok()?,
        policy: fields[41 - 3].parse().ok()?,
    })
}

/// What the system lets this process do, tried on threads of its own.
fn may_be_nice() -> bool {
    use rustix::{process::setpriority_process, thread::gettid};
    std::thread::spawn(|| setpriority_process(Some(gettid()), -10).is_ok()).join().unwrap()
}

fn may_be_real_time() -> bool {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: 0 is the calling thread, and the parameters live until the call returns.
    let set = move || unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) };
    std::thread::spawn(move || set() == 0).join().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_are_named_and_raised_where_the_system_allows_it() {
    let _turn = TURN.lock().await;
    init();
    let (nice, real_time) = (may_be_nice(), may_be_real_time());
    let mut session = Session::start(Codec::H264, true).await;
    let attached = session.play().await;
    let host = UdpSocket::bind("127.0.0.1:0").unwrap();
    let params = AudioParams { channels: 2, packet_ms: 5, high_quality: false, encrypt: false };
    let spec = AudioSpec { params, key: None, key_id: 0, socket: host.as_fd(), sending: Sending::default() };
    let library = Library::load(None);
    let (report, _events) = mpsc::unbounded_channel();
    let audio = AudioStream::build(&library.audio["test"], &library.send["audio"], spec, report).unwrap();
    audio.start(None).await.expect("it starts");
    audio.set_destination(host.local_addr().unwrap(), None);
    session.next_frame();

    for (name, raised, policy) in EXPECTED {
        let expected = Thread {
            name: name.into(),
            nice: if nice { raised } else { 0 },
            policy: if real_time { policy } else { libc::SCHED_OTHER },
        };
        // A thread gets its name a moment after its priority.
        wait_until(|| threads().contains(&expected));
    }
    let refused = log().contains("the system refuses streaming threads a higher priority");
    assert_eq!(refused, !nice, "a refusal is told, and nothing else: {}", log());
    let refused = log().contains("packets are not sent in real time, the system refuses");
    assert_eq!(refused, !real_time, "a refusal is told, and nothing else: {}", log());

    drop(attached);
    audio.stop().await;
    session.stop().await;
    // GStreamer keeps threads for what comes next; none of them stays a real-time thread.
    assert!(threads().iter().all(|thread| thread.policy == libc::SCHED_OTHER), "{:?}", threads());
}
