use super::super::{PARITY_HEADER, Packetizer, Parity};
use super::*;
use proptest::prelude::*;

/// The datagrams of `count` payloads; payload n is 40 bytes of n.
fn datagrams(count: usize, duration: u32) -> Vec<Vec<u8>> {
    let mut packetizer = Packetizer::default();
    let mut datagrams = Vec::new();
    for n in 0..count {
        let mut packet = vec![0; 52];
        let parity = packetizer.write(&[n as u8; 40], duration, None, &mut packet);
        datagrams.push(packet);
        if let Some(Parity::Packets(len)) = parity {
            let mut parity = vec![0; 2 * len];
            packetizer.write_parity(duration, &mut parity);
            datagrams.extend(parity.chunks_exact(PARITY_HEADER + 40).map(<[u8]>::to_vec));
        }
    }
    datagrams
}

/// Timestamps and first bytes; nothing for a lost payload.
fn poll(receiver: &mut Receiver) -> Vec<(u32, Option<u8>)> {
    let mut outputs = Vec::new();
    while let Some(output) = receiver.poll_output() {
        outputs.push(match output {
            Output::Payload { timestamp, payload, sequence } => {
                assert!(payload.len() == 40 && payload.iter().all(|&byte| byte == payload[0]));
                assert_eq!(payload[0], sequence as u8);
                (timestamp, Some(payload[0]))
            }
            Output::Lost { timestamp } => (timestamp, None),
        });
    }
    outputs
}

fn receive<'a>(
    receiver: &mut Receiver,
    datagrams: impl IntoIterator<Item = &'a Vec<u8>>,
) -> Vec<(u32, Option<u8>)> {
    let mut outputs = Vec::new();
    for datagram in datagrams {
        receiver.handle_datagram(datagram);
        outputs.extend(poll(receiver));
    }
    outputs
}

fn sent(count: u32, duration: u32) -> Vec<(u32, Option<u8>)> {
    (0..count).map(|n| (n * duration, Some(n as u8))).collect()
}

#[test]
fn payloads_are_delivered_at_once() {
    for duration in [5, 10] {
        let mut receiver = Receiver::default();
        for (n, datagram) in datagrams(100, duration).iter().enumerate() {
            let outputs = receive(&mut receiver, [datagram]);
            assert_eq!(outputs.len(), usize::from(n % 6 < 4));
        }
        assert_eq!(receiver.stats().lost, 0);
    }
}

/// Every pair of the six packets of every block.
#[test]
fn any_two_of_six_may_be_missing() {
    for first in 0..6 {
        for second in 0..6 {
            let mut receiver = Receiver::default();
            let arriving = datagrams(40, 10);
            let kept = arriving.iter().enumerate().filter(|(n, _)| n % 6 != first && n % 6 != second);
            let outputs = receive(&mut receiver, kept.map(|(_, datagram)| datagram));
            assert_eq!(outputs, sent(40, 10), "without {first} and {second}");
            assert_eq!(receiver.stats().given_up, 0);
        }
    }
}

#[test]
fn three_of_six_are_too_many() {
    let mut receiver = Receiver::default();
    let arriving = datagrams(16, 5);
    let kept =
        arriving.iter().enumerate().filter(|(n, _)| ![7, 9, 10].contains(n)).map(|(_, datagram)| datagram);
    let mut expected = sent(16, 5);
    expected[5].1 = None;
    expected[7].1 = None;
    assert_eq!(receive(&mut receiver, kept), expected);
    let stats = receiver.stats();
    assert_eq!((stats.given_up, stats.lost, stats.recovered, stats.delivered), (2, 2, 0, 14));
}

#[test]
fn whole_blocks_missing_are_given_up() {
    let mut receiver = Receiver::default();
    let arriving = datagrams(80, 5);
    let kept = arriving[..12].iter().chain(&arriving[60..]);
    let outputs = receive(&mut receiver, kept);
    let times: Vec<u32> = outputs.iter().map(|(timestamp, _)| *timestamp).collect();
    assert_eq!(times, (0..80).map(|n| n * 5).collect::<Vec<_>>());
    assert_eq!(receiver.stats().given_up, 32);
}

#[test]
fn at_the_end_nothing_is_waited_for() {
    let mut receiver = Receiver::default();
    let arriving = datagrams(7, 5);
    let outputs = receive(&mut receiver, arriving[..6].iter().chain(&arriving[7..]));
    assert_eq!(outputs, sent(4, 5));
    receiver.handle_end();
    assert_eq!(poll(&mut receiver), [(20, None), (25, Some(5)), (30, Some(6))]);
}

#[test]
fn a_stream_that_begins_anew_is_followed() {
    let mut receiver = Receiver::default();
    receive(&mut receiver, datagrams(2000, 5).iter());
    let outputs = receive(&mut receiver, datagrams(200, 5).iter());
    assert_eq!(outputs.last(), Some(&(995, Some(199))));
    assert!(outputs.len() > 180);
}

#[test]
fn sequence_numbers_go_round() {
    let mut receiver = Receiver::default();
    let outputs = receive(&mut receiver, datagrams(70_000, 5).iter());
    assert_eq!(outputs, sent(70_000, 5));
}

proptest! {
    #[test]
    fn disorder_and_repetition_change_nothing(
        places in proptest::collection::vec((0usize..4, any::<bool>()), 150),
    ) {
        let mut arriving = Vec::new();
        for (n, (datagram, (behind, twice))) in datagrams(100, 5).into_iter().zip(places).enumerate() {
            if twice {
                arriving.push((n + 3, datagram.clone()));
            }
            arriving.push((n + behind, datagram));
        }
        arriving.sort_by_key(|(place, _)| *place);
        let mut receiver = Receiver::default();
        let mut outputs = receive(&mut receiver, arriving.iter().map(|(_, datagram)| datagram));
        receiver.handle_end();
        outputs.extend(poll(&mut receiver));
        prop_assert_eq!(outputs, sent(100, 5));
    }

    #[test]
    fn any_bytes_are_survived(
        datagrams in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 2..60)), 0..200),
        near: bool,
    ) {
        let mut receiver = Receiver::default();
        for (parity, mut datagram) in datagrams {
            datagram[..2].copy_from_slice(&[0x80, if parity { 127 } else { 97 }]);
            if near && datagram.len() > 16 {
                datagram[2] = 0;
                datagram[12] &= 1;
                datagram[13..15].copy_from_slice(&[97, 0]);
                datagram[15] &= 0xfc;
            }
            receiver.handle_datagram(&datagram);
            while receiver.poll_output().is_some() {}
        }
        receiver.handle_end();
        while receiver.poll_output().is_some() {}
    }
}
