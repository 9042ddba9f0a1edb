//! `pacedudpsink` where the kernel refuses to send. A filter in front of the kernel (seccomp) answers in its place, for
//! the thread alone that installed it.

mod datagrams;
mod media;

use datagrams::*;
use gst::prelude::*;
use gst_check::Harness;
use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

/// Lets the calling thread's system calls `refused` fail with `error` from now on.
fn refuse(refused: &[libc::c_long], error: i32) {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // The number of the call is the first field of `seccomp_data`.
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for call in refused {
        let jump = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        program.push(libc::sock_filter { code: jump as u16, jt: 0, jf: 1, k: *call as u32 });
        program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | error as u32));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: numbers only, and a program that outlives the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program), 0);
    }
}

/// A sink and its receiver; what is pushed is sent by the calling thread.
fn started() -> (UdpSocket, gst::Element, Harness) {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let harness = start(&sink);
    (receiver, sink, harness)
}

/// Runs `test` on a thread that ends with it, and the filter with the thread.
fn apart(test: impl FnOnce() + Send + 'static) {
    std::thread::spawn(test).join().unwrap();
}

const INTERVAL: Duration = Duration::from_millis(40);

#[test]
fn a_network_that_takes_nothing_costs_a_frame_its_time_and_no_more() {
    for error in [libc::EAGAIN, libc::ENOBUFS] {
        apart(move || {
            let (receiver, sink, mut harness) = started();
            let bus = gst::Bus::new();
            sink.set_bus(Some(&bus));
            refuse(&[libc::SYS_sendmsg, libc::SYS_sendmmsg], error);
            let begin = Instant::now();
            for number in 0..3 {
                harness.push(frame(number, 40, INTERVAL)).unwrap();
            }
            // Each frame is tried until three quarters of an interval after the next is expected.
            assert!(begin.elapsed() >= INTERVAL * (4 * 3 + 3) / 4, "{:?}", begin.elapsed());
            assert_eq!(
                (count(&sink, "dropped"), count(&sink, "packets"), count(&sink, "frames")),
                (120, 0, 3)
            );
            assert_eq!(count(&sink, "errors"), 0, "it is full, not broken");
            let told = [gst::MessageType::Error, gst::MessageType::Warning, gst::MessageType::Element];
            assert!(bus.pop_filtered(&told).is_none());
            assert!(is_empty(&receiver));
        });
    }
}

#[test]
fn once_the_network_takes_more_the_next_frame_is_whole() {
    apart(|| {
        let (receiver, sink, mut harness) = started();
        std::thread::scope(|scope| {
            let harness = &mut harness;
            let refused = scope.spawn(|| {
                refuse(&[libc::SYS_sendmsg, libc::SYS_sendmmsg], libc::ENOBUFS);
                harness.push(frame(1, 40, INTERVAL)).unwrap();
                harness
            });
            let harness = refused.join().unwrap();
            harness.push(frame(2, 40, INTERVAL)).unwrap();
        });
        for expected in 0..40 {
            assert_eq!(receive(&receiver).0, datagram(2, expected));
        }
        assert_eq!((count(&sink, "dropped"), count(&sink, "packets")), (40, 40));
    });
}

/// Interfaces go down, routes and neighbours vanish, an address is taken away, a firewall refuses: all of it may pass.
#[test]
fn a_network_that_is_gone_for_a_while_ends_nothing() {
    let errors = [
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::ENETDOWN,
        libc::EHOSTDOWN,
        libc::ECONNREFUSED,
        libc::EADDRNOTAVAIL,
        libc::EINVAL,
        libc::ENODEV,
        libc::EPERM,
    ];
    for error in errors {
        apart(move || {
            let (receiver, sink, mut harness) = started();
            let bus = gst::Bus::new();
            sink.set_bus(Some(&bus));
            let interval = Duration::from_millis(1);
            std::thread::scope(|scope| {
                let harness = &mut harness;
                let refused = scope.spawn(|| {
                    refuse(&[libc::SYS_sendmsg, libc::SYS_sendmmsg], error);
                    (0..3).for_each(|number| _ = harness.push(frame(number, 40, interval)).unwrap());
                    harness
                });
                refused.join().unwrap().push(frame(3, 40, interval)).unwrap();
            });
            for expected in 0..40 {
                assert_eq!(receive(&receiver).0, datagram(3, expected), "{error}");
            }
            assert_eq!((count(&sink, "dropped"), count(&sink, "packets")), (120, 40), "{error}");
            assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none(), "{error}");
        });
    }
}

#[test]
fn a_flush_ends_the_wait_for_a_full_network() {
    for error in [libc::EAGAIN, libc::ENOBUFS] {
        let (_receiver, sink, mut harness) = started();
        let pad = harness.srcpad().unwrap();
        let pusher = std::thread::spawn(move || {
            refuse(&[libc::SYS_sendmsg, libc::SYS_sendmmsg], error);
            pad.push(frame(1, 10, Duration::from_secs(10_000)))
        });
        // Whether before it waits or after: it must not wait for hours.
        assert!(harness.push_event(gst::event::FlushStart::new()));
        let _ = pusher.join().unwrap();
        drop(harness);
        sink.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn what_the_kernel_does_not_have_is_never_asked_for_again() {
    apart(|| {
        let (receiver, sink, mut harness) = started();
        refuse(&[libc::SYS_sendmmsg], libc::ENOSYS);
        harness.push(frame(1, 40, Duration::from_millis(1))).unwrap();
        assert_eq!(call(&sink), "gso");
        for expected in 0..40 {
            assert_eq!(receive(&receiver).0, datagram(1, expected));
        }
    });
    for error in [libc::EIO, libc::EINVAL, libc::ENOPROTOOPT] {
        apart(move || {
            let (receiver, sink, mut harness) = started();
            refuse(&[libc::SYS_sendmsg], error);
            for number in 0..2 {
                harness.push(frame(number, 40, Duration::from_millis(1))).unwrap();
                for expected in 0..40 {
                    assert_eq!(receive(&receiver).0, datagram(number, expected));
                }
            }
            assert_eq!(call(&sink), "sendmmsg");
            assert_eq!(count(&sink, "send-calls"), 3, "one segmented, in vain");
        });
    }
}

fn call(sink: &gst::Element) -> String {
    sink.property::<gst::Structure>("stats").get("call").unwrap()
}
