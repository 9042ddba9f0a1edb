//! Video packets as a client reads them.

use super::Dice;
use gst::prelude::*;
use gst_check::Harness;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

/// A field of a packet, read from the offsets that the protocol gives.
pub fn le(packet: &[u8], at: Range<usize>) -> u32 {
    packet[at].iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte))
}

pub fn be(packet: &[u8], at: Range<usize>) -> u32 {
    packet[at].iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte))
}

pub fn k(packet: &[u8]) -> usize {
    (le(packet, 28..32) >> 22) as usize
}

pub fn index(packet: &[u8]) -> usize {
    (le(packet, 28..32) >> 12 & 1023) as usize
}

pub fn percentage(packet: &[u8]) -> usize {
    (le(packet, 28..32) >> 4 & 255) as usize
}

/// Checks the packets of one frame as a client would and gives back its bitstream.
pub fn check_frame(packets: &[Vec<u8>], first_packet: u32, frame_index: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    let last_block = packets[0][27] >> 6;
    let mut at = 0;
    for block in 0..=last_block {
        let first = &packets[at];
        let (k, percentage) = (k(first), percentage(first));
        let m = (k * percentage).div_ceil(100);
        assert!(m == 0 || k + m <= 255);
        let shards = &packets[at..at + k + m];
        for (n, packet) in shards.iter().enumerate() {
            assert_eq!(packet[0], 0x90);
            assert_eq!(be(packet, 2..4), (first_packet + (at + n) as u32) & 0xffff);
            assert_eq!(be(packet, 4..8), be(&packets[0], 4..8), "one timestamp");
            assert_eq!(le(packet, 20..24), frame_index);
            assert_eq!((packet[27] >> 4 & 3, packet[27] >> 6, packet[27] & 15), (block, last_block, 0));
            assert_eq!((index(packet), self::k(packet), self::percentage(packet)), (n, k, percentage));
        }
        check_data(&shards[..k], first_packet + at as u32);
        check_parity(shards, k);
        shards[..k].iter().for_each(|packet| payload.extend_from_slice(&packet[32..]));
        at += k + m;
    }
    assert_eq!(at, packets.len(), "nothing after the last block");
    assert_eq!((payload[0], &payload[6..8]), (1, &[0, 0][..]));
    let per_packet = packets[0].len() - 32;
    let last = usize::from(u16::from_le_bytes([payload[4], payload[5]]));
    assert!((1..=per_packet).contains(&last));
    let (frame, padding) = payload.split_at(payload.len() - per_packet + last);
    assert!(padding.iter().all(|&byte| byte == 0));
    frame[8..].to_vec()
}

fn check_data(data: &[Vec<u8>], first_packet: u32) {
    for (n, packet) in data.iter().enumerate() {
        assert_eq!(le(packet, 16..20), (first_packet + n as u32) << 8, "stream packet index");
        let flags = 1 | if n == 0 { 4 } else { 0 } | if n + 1 == data.len() { 2 } else { 0 };
        assert_eq!(packet[24..27], [flags, 0, 0x10]);
        assert_eq!(packet[8..16], [0; 8]);
    }
}

thread_local! {
    /// Codes of another implementation, which takes its time to compute them.
    static CODES: RefCell<HashMap<(usize, usize), fec_rs::ReedSolomon>> = RefCell::default();
}

/// What a client takes from a rebuilt packet: stream packet index, flags, payload.
fn check_parity(shards: &[Vec<u8>], k: usize) {
    let m = shards.len() - k;
    if m == 0 {
        return;
    }
    let mut expected = shards.to_vec();
    CODES.with_borrow_mut(|codes| {
        let code = codes.entry((k, m)).or_insert_with(|| fec_rs::ReedSolomon::new(k, m).unwrap());
        code.encode(&mut expected).unwrap();
    });
    for (ours, published) in shards[k..].iter().zip(&expected[k..]) {
        for covered in [1..2, 8..20, 24..27, 32..ours.len()] {
            assert_eq!(ours[covered.clone()], published[covered]);
        }
    }
}

pub const H264: &str = "video/x-h264,stream-format=byte-stream,alignment=au,framerate=60/1";

pub fn pay(harness: &Harness) -> gst::Element {
    let bin: gst::Bin = harness.element().unwrap().downcast().unwrap();
    bin.by_name("pay").unwrap()
}

pub fn frame(bytes: Vec<u8>, n: u64, flags: gst::BufferFlags) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(n * gst::ClockTime::SECOND / 60);
    writable.set_dts(n * gst::ClockTime::SECOND / 60);
    writable.set_duration(gst::ClockTime::SECOND / 60);
    writable.set_flags(flags);
    buffer
}

pub fn key(len: usize, n: u64) -> gst::Buffer {
    frame(Dice::new(n).bytes(len), n, gst::BufferFlags::empty())
}

pub fn delta(len: usize, n: u64) -> gst::Buffer {
    frame(Dice::new(n).bytes(len), n, gst::BufferFlags::DELTA_UNIT)
}

pub fn key_unit_requests(harness: &mut Harness) -> usize {
    std::iter::from_fn(|| harness.try_pull_upstream_event())
        .filter(|event| gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok())
        .count()
}
