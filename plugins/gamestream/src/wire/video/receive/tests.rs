use super::super::{Frame, Layout, Packetizer, Redundancy};
use super::*;
use crate::wire::seal::{Key, VideoOpener, VideoSealer};
use proptest::prelude::*;

const SIZE: usize = 64;

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % below
    }
}

/// The packets of frames with these lengths, frame by frame.
fn packets(lengths: &[usize], percentage: u8) -> Vec<Vec<Vec<u8>>> {
    let mut packetizer = Packetizer::default();
    let mut frame = |(n, &len): (usize, &usize)| {
        let layout = Layout::plan(len, SIZE, Redundancy { percentage, min: 0 }).unwrap();
        let bitstream = vec![n as u8; len];
        let kind = if n == 0 { FrameKind::Key } else { FrameKind::Delta };
        let frame = Frame { kind, timestamp: n as u32 * 1500, latency: 0, bitstream: &bitstream };
        let mut out = vec![0xee; layout.packets() * layout.packet()];
        packetizer.write(&layout, &frame, None, &mut out);
        out.chunks_exact(layout.packet()).map(<[u8]>::to_vec).collect()
    };
    lengths.iter().enumerate().map(&mut frame).collect()
}

/// Index and bytes of delivered frames; lost ones as 0 bytes.
fn poll(receiver: &mut Receiver) -> Vec<(u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(output) = receiver.poll_output() {
        match output {
            Output::Frame(frame) => {
                let mut bytes = vec![0; frame.bitstream_len()];
                frame.copy_to(&mut bytes);
                frames.push((frame.index(), bytes));
                receiver.recycle(frame);
            }
            Output::Lost { first, last } => frames.extend((first..=last).map(|n| (n, Vec::new()))),
        }
    }
    frames
}

fn receive<'a>(
    receiver: &mut Receiver,
    packets: impl IntoIterator<Item = &'a Vec<u8>>,
) -> Vec<(u32, Vec<u8>)> {
    packets.into_iter().for_each(|packet| receiver.handle_packet(packet, None));
    poll(receiver)
}

fn sent(lengths: &[usize]) -> Vec<(u32, Vec<u8>)> {
    lengths.iter().enumerate().map(|(n, &len)| (n as u32 + 1, vec![n as u8; len])).collect()
}

#[test]
fn every_length_arrives() {
    let lengths: Vec<usize> = (1..200).chain([48 * 212, 48 * 300, 48 * 900, 7]).collect();
    let mut receiver = Receiver::new(64);
    let packets = packets(&lengths, 20);
    assert_eq!(receive(&mut receiver, packets.iter().flatten()), sent(&lengths));
    let stats = receiver.stats();
    assert_eq!((stats.frames, stats.lost, stats.late, stats.recovered), (203, 0, 0, 0));
}

/// As many packets lost as there is parity, from the front, the back and both.
#[test]
fn all_parity_is_used() {
    for (k, percentage) in [(1, 100), (2, 50), (10, 20), (100, 20), (212, 20), (71, 255), (500, 20)] {
        let lengths = [k * 48 - 8; 3];
        for pick in 0..3 {
            let mut receiver = Receiver::new(64);
            let mut arriving = packets(&lengths, percentage);
            let mut lost_data = 0;
            for frame in &mut arriving {
                frame.retain(|packet| {
                    let header = Header::parse(packet).unwrap();
                    let (index, m) = (usize::from(header.index), header.parity());
                    let shards = usize::from(header.data) + m;
                    let lost = match pick {
                        0 => index < m,
                        1 => index >= shards - m,
                        _ => index < m / 2 || index >= shards - (m - m / 2),
                    };
                    lost_data += u64::from(lost && index < usize::from(header.data));
                    !lost
                });
            }
            assert_eq!(receive(&mut receiver, arriving.iter().flatten()), sent(&lengths), "{k}");
            assert_eq!(receiver.stats().frames_lost, 0);
            assert_eq!(receiver.stats().recovered, lost_data);
        }
    }
}

#[test]
fn a_frame_that_lacks_too_much_is_given_up() {
    let lengths = [100; 6];
    let mut arriving = packets(&lengths, 0);
    arriving[2].remove(1);
    let mut receiver = Receiver::new(64);
    let mut expected = sent(&lengths);
    expected[2].1.clear();
    assert_eq!(receive(&mut receiver, arriving.iter().flatten()), expected);
    assert_eq!((receiver.stats().frames_lost, receiver.stats().lost), (1, 1));
}

#[test]
fn the_frame_after_a_loss_says_so() {
    let mut arriving = packets(&[10; 5], 0);
    arriving.remove(1);
    let mut receiver = Receiver::new(64);
    arriving.iter().flatten().for_each(|packet| receiver.handle_packet(packet, Some(7)));
    let mut after_loss = Vec::new();
    while let Some(output) = receiver.poll_output() {
        if let Output::Frame(frame) = output {
            assert_eq!(frame.arrival(), Some(7));
            assert_eq!(frame.kind(), if frame.index() == 1 { FrameKind::Key } else { FrameKind::Delta });
            after_loss.push((frame.index(), frame.after_loss));
        }
    }
    assert_eq!(after_loss, [(1, false), (3, true), (4, false), (5, false)]);
}

#[test]
fn the_last_packet_may_be_short() {
    let mut arriving = packets(&[100, 101, 5], 20);
    for frame in &mut arriving {
        let last = frame.iter().position(|packet| packet[24] & 2 != 0).unwrap();
        let len = 32 + usize::from(u16::from_le_bytes([frame[0][36], frame[0][37]]));
        frame[last].truncate(len);
        frame.swap(0, last);
    }
    let mut receiver = Receiver::new(64);
    assert_eq!(receive(&mut receiver, arriving.iter().flatten()), sent(&[100, 101, 5]));
}

#[test]
fn a_stream_that_begins_anew_is_followed() {
    let old = packets(&[10; 400], 0);
    let new = packets(&[20; 100], 0);
    let mut receiver = Receiver::new(64);
    receive(&mut receiver, old.iter().flatten());
    let frames = receive(&mut receiver, new.iter().flatten());
    assert_eq!(frames[0], (401, Vec::new()), "a loss, which asks for a key frame");
    assert_eq!(frames.len(), 102 - STRAYS as usize);
    assert_eq!(frames.last().unwrap().0, 100);
}

#[test]
fn what_was_not_polled_survives_a_stream_that_begins_anew() {
    let old = packets(&[10; 400], 0);
    let new = packets(&[20; 100], 0);
    let mut receiver = Receiver::new(64);
    let frames = receive(&mut receiver, old.iter().chain(&new).flatten());
    let indices: Vec<u32> = frames.iter().map(|(index, _)| *index).collect();
    assert_eq!(indices, (1..=401).chain(STRAYS..=100).collect::<Vec<_>>());
}

#[test]
fn after_a_long_gap_the_stream_goes_on() {
    let arriving = packets(&[10; 1000], 0);
    let mut receiver = Receiver::new(64);
    receive(&mut receiver, arriving[..100].iter().flatten());
    let frames = receive(&mut receiver, arriving[600..].iter().flatten());
    assert_eq!(frames.last().unwrap().0, 1000);
    let stats = receiver.stats();
    assert_eq!(stats.frames_lost + stats.frames, 1000);
}

proptest! {
    /// Displaced by less than the window, doubled, with up to m packets of each block lost, and junk in between.
    #[test]
    fn what_can_be_rebuilt_arrives_in_order(
        lengths in proptest::collection::vec(1usize..2000, 1..30),
        seed in proptest::collection::vec(any::<u32>(), 64),
    ) {
        let mut dice = seed.iter().cycle().enumerate().map(|(n, x)| x.wrapping_mul(n as u32 * 2 + 1) >> 5);
        let mut roll = |below: usize| dice.next().unwrap() as usize % below;
        let mut arriving = Vec::new();
        for frame in packets(&lengths, 50) {
            let mut left = Header::parse(&frame[0]).unwrap().parity();
            for packet in frame {
                let lose = left > 0 && roll(4) == 0;
                left -= usize::from(lose);
                let at = arriving.len() * 8 + roll(200);
                if !lose {
                    arriving.push((at, packet.clone()));
                }
                if roll(10) == 0 {
                    arriving.push((at + roll(100), packet));
                }
            }
            let junk = roll(64);
            arriving.push((arriving.len() * 8, vec![0x90; junk]));
        }
        arriving.sort_by_key(|(at, _)| *at);
        let mut receiver = Receiver::new(usize::MAX);
        let mut frames = receive(&mut receiver, arriving.iter().map(|(_, packet)| packet));
        receiver.handle_end();
        frames.extend(poll(&mut receiver));
        frames.retain(|(_, bytes)| !bytes.is_empty());
        let in_order = frames.windows(2).all(|pair| pair[0].0 < pair[1].0);
        prop_assert!(in_order);
        let expected = sent(&lengths);
        for frame in &frames {
            prop_assert_eq!(frame, &expected[frame.0 as usize - 1]);
        }
        prop_assert_eq!(frames.len() as u64 + receiver.stats().frames_lost, lengths.len() as u64);
    }

    /// Plain or sealed, in any order, with as much lost of each block as it has parity.
    #[test]
    fn any_loss_within_parity_is_rebuilt_byte_for_byte(
        frames in proptest::collection::vec(1usize..20_000, 1..4),
        packet_size in prop_oneof![Just(64usize), Just(100), Just(1024), Just(1392)],
        percentage in prop_oneof![Just(1u8), Just(10), Just(20), Just(50), Just(255)],
        min in 0usize..4,
        sealed: bool,
        seed: u64,
    ) {
        let mut dice = Dice(seed);
        let key = Key::parse("000102030405060708090a0b0c0d0e0f").unwrap().unwrap();
        let mut sealer = sealed.then(|| VideoSealer::new(&key, 0));
        let opener = VideoOpener::new(&key);
        let mut packetizer = Packetizer::default();
        let mut receiver = Receiver::new(usize::MAX);
        let mut lost_data = 0;
        for (n, &len) in frames.iter().enumerate() {
            let bitstream: Vec<u8> = (0..len).map(|_| dice.roll(256) as u8).collect();
            let layout = Layout::plan(len, packet_size, Redundancy { percentage, min }).unwrap();
            let mut out = vec![0xee; layout.packets() * layout.datagram(sealed)];
            let frame = Frame { kind: FrameKind::Delta, timestamp: 0, latency: 0, bitstream: &bitstream };
            packetizer.write(&layout, &frame, sealer.as_mut(), &mut out);
            let mut datagrams = out.chunks_exact(layout.datagram(sealed));
            let mut arriving = Vec::new();
            for block in layout.blocks() {
                let mut packets: Vec<_> = datagrams.by_ref().take(block.packets()).enumerate().collect();
                for _ in 0..block.parity {
                    let (index, _) = packets.swap_remove(dice.roll(packets.len()));
                    lost_data += u64::from(index < block.data);
                }
                arriving.extend(packets);
            }
            while !arriving.is_empty() {
                let (_, datagram) = arriving.swap_remove(dice.roll(arriving.len()));
                let mut scratch = Vec::new();
                let packet =
                    if sealed { opener.open(datagram, &mut scratch).unwrap() } else { datagram };
                receiver.handle_packet(packet, None);
            }
            prop_assert_eq!(poll(&mut receiver), [(n as u32 + 1, bitstream)]);
            prop_assert_eq!(receiver.stats().recovered, lost_data);
        }
        prop_assert_eq!(receiver.stats().frames_lost, 0);
    }

    #[test]
    fn any_bytes_are_survived(
        datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..60),
    ) {
        let mut receiver = Receiver::new(4);
        for mut datagram in datagrams {
            receiver.handle_packet(&datagram, None);
            if datagram.len() > 31 {
                // Plausible enough to be stored.
                datagram[0] = 0x90;
                datagram[21..24].fill(0);
                datagram[30..32].copy_from_slice(&[0x40, 0]);
                receiver.handle_packet(&datagram, None);
            }
            poll(&mut receiver);
        }
        receiver.handle_end();
        poll(&mut receiver);
    }
}
