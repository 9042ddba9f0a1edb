//! `pacedudpsink` against real sockets on the loopback interface.

mod datagrams;
mod media;

use datagrams::*;
use gst::prelude::*;
use gst_check::Harness;
use std::{collections::BTreeSet, net::UdpSocket, os::fd::AsRawFd, time::Duration};

/// What never takes so long ends a test.
#[test]
fn frames_arrive_complete_in_order_and_unchanged() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let receiver = receiver(address);
        let sink = sink(Some(receiver.local_addr().unwrap()));
        let mut harness = start(&sink);
        for (number, packets) in [1, 2, 15, 16, 17, 100, 48, 33].into_iter().enumerate() {
            harness.push(frame(number as u8, packets, Duration::from_millis(10))).unwrap();
            for index in 0..packets {
                assert_eq!(receive(&receiver).0, datagram(number as u8, index));
            }
        }
        assert!(is_empty(&receiver));
        assert_eq!((count(&sink, "frames"), count(&sink, "packets")), (8, 232));
        assert_eq!(count(&sink, "bytes"), 232 * SIZE as u64);
        assert_eq!((count(&sink, "dropped"), count(&sink, "lost"), count(&sink, "errors")), (0, 0, 0));
        assert!(count(&sink, "send-calls") < 40, "{} calls", count(&sink, "send-calls"));
    }
}

#[test]
fn many_datagrams_arrive_at_a_reader_that_keeps_up() {
    // 12 bursts of 70 that fit the smallest receive buffer each, 100 ms apart.
    const PACKETS: usize = 840;
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let mut harness = start(&sink);
    let reader =
        std::thread::spawn(move || (0..PACKETS).map(|_| index(&receive(&receiver).0)).collect::<Vec<_>>());
    harness.push(frame(1, PACKETS, Duration::from_millis(1600))).unwrap();
    assert_eq!(reader.join().unwrap(), (0..PACKETS).collect::<Vec<_>>());
}

#[test]
fn a_buffer_without_cut_is_a_datagram_and_a_list_is_a_frame() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let mut harness = start(&sink);
    harness.push(gst::Buffer::from_slice(b"plain")).unwrap();
    assert_eq!(receive(&receiver).0, b"plain");
    let mut list = gst::BufferList::new();
    for text in [&b"one"[..], b"two", b"three", b"", b"five"] {
        list.get_mut().unwrap().add(gst::Buffer::from_slice(text));
    }
    assert_eq!(harness.srcpad().unwrap().push_list(list), Ok(gst::FlowSuccess::Ok));
    for text in [&b"one"[..], b"two", b"three", b"", b"five"] {
        assert_eq!(receive(&receiver).0, text);
    }
    assert_eq!(count(&sink, "frames"), 2);
}

#[test]
fn without_destination_datagrams_are_counted_and_one_may_come_and_move() {
    let sink = sink(None);
    let mut harness = start(&sink);
    let push =
        |harness: &mut Harness, number| harness.push(frame(number, 5, Duration::from_millis(1))).unwrap();
    push(&mut harness, 1);
    sink.set_property("host", "127.0.0.1");
    push(&mut harness, 2);
    assert_eq!((count(&sink, "dropped"), count(&sink, "packets")), (10, 0));
    for (number, address) in [(3, "127.0.0.1:0"), (4, "127.0.0.1:0"), (5, "[::1]:0")] {
        let receiver = receiver(address);
        point(&sink, receiver.local_addr().unwrap());
        push(&mut harness, number);
        assert_eq!(receive(&receiver).0, datagram(number, 0));
    }
    sink.set_property("host", None::<String>);
    push(&mut harness, 6);
    assert_eq!((count(&sink, "dropped"), count(&sink, "packets")), (15, 15));
}

#[test]
fn many_sinks_share_one_socket_and_leave_it_open() {
    let shared = UdpSocket::bind("[::]:0").unwrap();
    shared.set_nonblocking(true).unwrap();
    let port = shared.local_addr().unwrap().port();
    let receivers: Vec<_> = ["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"].map(receiver).into();
    let sinks: Vec<_> = receivers.iter().map(|receiver| sink(Some(receiver.local_addr().unwrap()))).collect();
    let mut harnesses: Vec<_> = sinks
        .iter()
        .map(|sink| {
            sink.set_property("fd", shared.as_raw_fd());
            start(sink)
        })
        .collect();
    for number in 0..10 {
        for harness in &mut harnesses {
            harness.push(frame(number, 20, Duration::from_millis(1))).unwrap();
        }
        for receiver in &receivers {
            for index in 0..20 {
                let (bytes, from) = receive(receiver);
                assert_eq!((bytes, from.port()), (datagram(number, index), port));
            }
        }
    }
    drop(harnesses);
    for sink in &sinks {
        sink.set_state(gst::State::Null).unwrap();
    }
    shared.send_to(b"still open", receivers[1].local_addr().unwrap()).unwrap();
    assert_eq!(receive(&receivers[1]).0, b"still open");
}

#[test]
fn a_descriptor_that_is_no_udp_socket_is_an_error_at_the_start() {
    let sink = sink(None);
    let file = std::fs::File::open("/dev/null").unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for fd in [file.as_raw_fd(), tcp.as_raw_fd()] {
        let bus = gst::Bus::new();
        sink.set_bus(Some(&bus));
        sink.set_property("fd", fd);
        assert!(sink.set_state(gst::State::Paused).is_err());
        let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
        let gst::MessageView::Error(error) = message.view() else { unreachable!() };
        assert!(error.error().matches(gst::ResourceError::Settings), "{error:?}");
        sink.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn datagrams_leave_from_the_address_asked_for() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let mut harness = start(&sink);
    for source in ["127.0.0.9", "127.0.0.10", ""] {
        sink.set_property("source-address", source);
        harness.push(frame(1, 3, Duration::from_millis(1))).unwrap();
        let expected = if source.is_empty() { "127.0.0.1" } else { source };
        for _ in 0..3 {
            assert_eq!(receive(&receiver).1.ip().to_string(), expected);
        }
    }
}

#[test]
fn a_destination_that_makes_no_sense_is_a_warning() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let bus = gst::Bus::new();
    sink.set_bus(Some(&bus));
    let mut harness = start(&sink);
    for (source, warnings) in [("nonsense", 1), ("::1", 1), ("127.0.0.1", 0)] {
        sink.set_property("source-address", source);
        for _ in 0..3 {
            harness.push(frame(1, 1, Duration::from_millis(1))).unwrap();
        }
        let seen = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning])).count();
        assert_eq!(seen, warnings, "{source}");
    }
    assert_eq!((count(&sink, "dropped"), count(&sink, "packets")), (6, 3));
}

#[test]
fn a_gone_peer_is_told_once_per_destination_and_is_no_error() {
    let absent = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sink = sink(None);
    let bus = gst::Bus::new();
    sink.set_bus(Some(&bus));
    let mut harness = start(&sink);
    for _ in 0..2 {
        let absent = absent();
        point(&sink, absent);
        for _ in 0..10 {
            harness.push(frame(1, 40, Duration::from_millis(1))).unwrap();
        }
        let messages: Vec<_> =
            std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Element])).collect();
        assert_eq!(messages.len(), 1);
        let told = messages[0].structure().unwrap();
        assert_eq!(told.name(), "GstGameStreamPeerGone");
        assert_eq!(told.get::<String>("host").unwrap(), "127.0.0.1");
        assert_eq!(told.get::<i32>("port").unwrap(), i32::from(absent.port()));
        assert!(told.get::<String>("error").unwrap().contains("refused"));
    }
    assert!(count(&sink, "errors") > 0);
    assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
    let back = receiver("127.0.0.1:0");
    point(&sink, back.local_addr().unwrap());
    let errors = count(&sink, "errors");
    harness.push(frame(7, 2, Duration::from_millis(1))).unwrap();
    assert_eq!(receive(&back).0, datagram(7, 0));
    assert!(bus.pop_filtered(&[gst::MessageType::Element]).is_none(), "this one is there");
    assert_eq!(count(&sink, "errors"), errors, "what the network said of the last one is forgotten");
}

#[test]
fn a_datagram_that_is_too_long_is_passed_over_with_a_warning() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    let bus = gst::Bus::new();
    sink.set_bus(Some(&bus));
    let harness = start(&sink);
    for _ in 0..3 {
        let mut list = gst::BufferList::new();
        for len in [10, 66_000, 20] {
            list.get_mut().unwrap().add(gst::Buffer::from_mut_slice(vec![0; len]));
        }
        harness.srcpad().unwrap().push_list(list).unwrap();
        assert_eq!((receive(&receiver).0.len(), receive(&receiver).0.len()), (10, 20));
    }
    assert_eq!((count(&sink, "packets"), count(&sink, "dropped"), count(&sink, "errors")), (6, 3, 3));
    assert_eq!(std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Warning])).count(), 1);
    assert!(bus.pop_filtered(&[gst::MessageType::Element]).is_none());
}

#[test]
fn a_host_may_be_a_name() {
    let receiver = receiver("[::]:0");
    let sink = sink(None);
    sink.set_property("host", "localhost");
    sink.set_property("port", i32::from(receiver.local_addr().unwrap().port()));
    let mut harness = start(&sink);
    harness.push(frame(1, 1, Duration::from_millis(1))).unwrap();
    assert_eq!(receive(&receiver).0, datagram(1, 0));
}

/// The datagrams of 100 that arrive with these losses.
fn arrivals(percentage: f64, burst: f64, seed: u32) -> BTreeSet<usize> {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    sink.set_property("loss-percentage", percentage);
    sink.set_property("loss-burst", burst);
    sink.set_property("loss-seed", seed);
    let mut harness = start(&sink);
    harness.push(frame(1, 100, Duration::from_millis(1))).unwrap();
    let (sent, lost) = (count(&sink, "packets"), count(&sink, "lost"));
    assert_eq!((sent + lost, count(&sink, "dropped")), (100, 0));
    let arrived = (0..sent).map(|_| index(&receive(&receiver).0)).collect();
    assert!(is_empty(&receiver));
    arrived
}

#[test]
fn losses_on_purpose_repeat_with_their_seed() {
    let first = arrivals(30.0, 1.0, 5);
    assert!((50..90).contains(&first.len()), "{} arrived", first.len());
    assert_eq!(first, arrivals(30.0, 1.0, 5));
    assert_ne!(first, arrivals(30.0, 1.0, 6));
    assert_ne!(first, arrivals(30.0, 10.0, 5));
    assert!(arrivals(100.0, 1.0, 5).is_empty());
}

#[test]
fn statistics_begin_anew_with_each_start() {
    let receiver = receiver("127.0.0.1:0");
    let sink = sink(Some(receiver.local_addr().unwrap()));
    for _ in 0..2 {
        let mut harness = start(&sink);
        harness.push(frame(1, 3, Duration::from_millis(1))).unwrap();
        assert_eq!(count(&sink, "packets"), 3);
        drop(harness);
        sink.set_state(gst::State::Null).unwrap();
    }
}
