//! The packets of `gamestreamvideopay`, read with a second reading of the protocol.

mod media;

use gst::prelude::*;
use gst_check::Harness;
use gstgamestream::timing::{FrameMeta, FrameTimes};
use gstgamestream::wire::seal::{Key, VideoOpener};
use media::video::{H264, be, check_frame, delta, frame, k, key, key_unit_requests, le, pay, percentage};
use media::{Dice, KEY, datagrams, init, stat};

fn payloader(properties: &str) -> Harness {
    init();
    let mut harness = Harness::new_parse(&format!(
        "gamestreamvideopay name=pay {properties} ! capsfilter caps=application/x-gamestream-packets"
    ));
    harness.set_src_caps_str(H264);
    harness.play();
    harness
}

/// Sends frames of these lengths, the first one a key frame, and checks all packets.
fn check_stream(properties: &str, lengths: &[usize]) -> Vec<Vec<Vec<u8>>> {
    let mut harness = payloader(properties);
    let mut first_packet = 0;
    let mut frames = Vec::new();
    for (n, &len) in lengths.iter().enumerate() {
        let buffer = if n == 0 { key(len, 0) } else { delta(len, n as u64) };
        harness.push(buffer.clone()).unwrap();
        let out = harness.pull().unwrap();
        assert_eq!((out.pts(), out.dts(), out.duration()), (buffer.pts(), buffer.dts(), buffer.duration()));
        let packets = datagrams(&out);
        let bitstream = check_frame(&packets, first_packet, n as u32 + 1);
        assert_eq!(bitstream, buffer.map_readable().unwrap().as_slice());
        assert_eq!(be(&packets[0], 4..8), (n * 1500) as u32, "90 kHz at 60 fps");
        assert_eq!(packets[0][35], if n == 0 { 2 } else { 1 }, "frame type");
        first_packet += packets.len() as u32;
        frames.push(packets);
    }
    frames
}

#[test]
fn frames_of_every_length_around_a_packet() {
    let lengths: Vec<usize> = (1..40).chain(1360..1400).chain(2740..2760).collect();
    let frames = check_stream("", &lengths);
    assert!(frames.iter().flatten().all(|packet| packet.len() == 1408));
}

#[test]
fn frames_of_one_to_four_blocks_and_without_parity() {
    let blocks = [100_000, 291_000, 292_000, 583_000, 600_000, 1_166_000, 1_400_000, 50];
    let frames = check_stream("min-fec-packets=2", &blocks);
    let last_blocks: Vec<u8> = frames.iter().map(|packets| packets[0][27] >> 6).collect();
    assert_eq!(last_blocks, [0, 0, 1, 1, 2, 3, 3, 0]);
    assert_eq!(percentage(&frames[6][0]), 0, "more than four blocks can protect");
}

/// As much parity as data is one too few: old clients decode it beyond their memory.
fn bearable(data: usize, parity: usize) -> usize {
    if parity == data && data > 1 { parity + 1 } else { parity }
}

#[test]
fn every_number_of_packets_at_20_percent() {
    let lengths: Vec<usize> = (1..=212).map(|packets| packets * 48 - 8).collect();
    for min in [0, 2] {
        let frames = check_stream(&format!("packet-size=64 min-fec-packets={min}"), &lengths);
        for (n, packets) in frames.iter().enumerate() {
            let k = n + 1;
            assert_eq!(packets.len(), k + bearable(k, (k * 20).div_ceil(100).max(min)));
        }
    }
}

#[test]
fn other_percentages_and_sizes() {
    for percentage in [0, 1, 5, 50, 100, 255] {
        for size in [64, 1024, 1392] {
            check_stream(&format!("fec-percentage={percentage} packet-size={size}"), &[9000, 1, 30_000]);
        }
    }
}

/// The 16 bits of the RTP sequence number go round, the 24 of the stream packet index do not.
#[test]
fn sequence_numbers_wrap() {
    check_stream("packet-size=64 fec-percentage=20", &[5000; 600]);
}

#[test]
fn a_sealed_packet_holds_the_packet() {
    let plain = check_stream("", &[5000, 400, 40_000]);
    let mut harness = payloader(&format!("encryption-key={KEY}"));
    let opener = VideoOpener::new(&Key::parse(KEY).unwrap().unwrap());
    let mut scratch = Vec::new();
    let mut nonce = 0u64;
    for (n, len) in [5000, 400, 40_000].into_iter().enumerate() {
        harness.push(if n == 0 { key(len, 0) } else { delta(len, n as u64) }).unwrap();
        let sealed = datagrams(&harness.pull().unwrap());
        assert_eq!(sealed.len(), plain[n].len());
        for (sealed, plain) in sealed.iter().zip(&plain[n]) {
            assert_eq!(sealed.len(), 1392 + 16 + 32);
            assert_eq!(sealed[..8], nonce.to_le_bytes());
            assert_eq!(sealed[8..12], [0, 0, 0, b'V']);
            assert_eq!(le(sealed, 12..16), n as u32 + 1);
            assert_eq!(opener.open(sealed, &mut scratch), Ok(&plain[..]));
            nonce += 1;
        }
    }
}

#[test]
fn a_key_never_meets_the_same_nonce_again_after_a_stop() {
    let mut harness = payloader(&format!("encryption-key={KEY}"));
    harness.push(key(100, 0)).unwrap();
    let before = datagrams(&harness.pull().unwrap()).len() as u8;
    let pay = pay(&harness);
    pay.set_state(gst::State::Null).unwrap();
    pay.set_state(gst::State::Playing).unwrap();
    harness.play();
    harness.set_src_caps_str(H264);
    harness.push(key(100, 0)).unwrap();
    let again = datagrams(&harness.pull().unwrap());
    assert_eq!(again[0][0], before);
}

#[test]
fn a_key_that_comes_back_never_meets_the_same_nonce_again() {
    let mut harness = payloader("");
    let mut sealed = 0;
    for key_text in [KEY, "ffffffffffffffffffffffffffffffff", "", KEY] {
        let pay = pay(&harness);
        pay.set_state(gst::State::Null).unwrap();
        pay.set_property("encryption-key", key_text);
        pay.set_state(gst::State::Playing).unwrap();
        harness.play();
        harness.set_src_caps_str(H264);
        harness.push(key(5000, 0)).unwrap();
        let packets = datagrams(&harness.pull().unwrap());
        if !key_text.is_empty() {
            assert_eq!(le(&packets[0], 0..4), sealed);
            sealed += packets.len() as u32;
        }
    }
}

#[test]
fn a_wrong_key_is_refused_before_anything_is_sent() {
    init();
    for wrong in ["abc", "zz0102030405060708090a0b0c0d0e0f"] {
        let pay = gst::ElementFactory::make("gamestreamvideopay").build().unwrap();
        pay.set_property("encryption-key", wrong);
        assert!(pay.set_state(gst::State::Paused).is_err());
        pay.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn a_stream_starts_with_a_key_frame() {
    let mut harness = payloader("");
    harness.push(delta(100, 0)).unwrap();
    harness.push(delta(100, 1)).unwrap();
    assert!(harness.try_pull().is_none());
    assert_eq!(key_unit_requests(&mut harness), 1);
    harness.push(key(100, 2)).unwrap();
    assert_eq!(le(&datagrams(&harness.pull().unwrap())[0], 20..24), 1);
    assert_eq!(key_unit_requests(&mut harness), 0);
    assert_eq!(stat(&pay(&harness), "frames-dropped"), 2);
}

#[test]
fn caps_name_the_codec_and_new_caps_forget_nothing() {
    let mut harness = payloader("");
    harness.push(key(100, 0)).unwrap();
    harness.pull().unwrap();
    harness.set_src_caps_str("video/x-av1,stream-format=obu-stream,alignment=tu,framerate=30/1");
    harness.push(key(100, 1)).unwrap();
    assert_eq!(le(&datagrams(&harness.pull().unwrap())[0], 20..24), 2);
    let caps = pay(&harness).static_pad("src").unwrap().current_caps().unwrap();
    let expected = "application/x-gamestream-packets,media=video,encoding-name=AV1,framerate=30/1";
    assert_eq!(caps, expected.parse::<gst::Caps>().unwrap());
}

#[test]
fn an_empty_buffer_is_no_frame() {
    let mut harness = payloader("");
    harness.push(key(100, 0)).unwrap();
    harness.push(delta(0, 1)).unwrap();
    harness.push(delta(100, 2)).unwrap();
    let indices: Vec<u32> = (0..2).map(|_| le(&datagrams(&harness.pull().unwrap())[0], 20..24)).collect();
    assert_eq!(indices, [1, 2]);
    assert!(harness.try_pull().is_none());
}

#[test]
fn what_is_changed_while_playing_counts_from_the_next_frame() {
    let mut harness = payloader("packet-size=1024 fec-percentage=20");
    let (mut packets, mut frames) = (0, 0);
    let settings = [(1024, 20, 0), (1024, 50, 0), (1392, 50, 0), (64, 0, 0), (1392, 0, 3), (1392, 20, 3)];
    for (size, percentage, min) in settings {
        let element = pay(&harness);
        element.set_property("packet-size", size as u32);
        element.set_property("fec-percentage", percentage as u32);
        element.set_property("min-fec-packets", min as u32);
        let bytes = Dice::new(size).bytes(3000);
        harness.push(frame(bytes.clone(), frames, gst::BufferFlags::empty())).unwrap();
        let out = datagrams(&harness.pull().unwrap());
        frames += 1;
        assert_eq!(check_frame(&out, packets, frames as u32), bytes);
        packets += out.len() as u32;
        let data = k(&out[0]);
        assert_eq!((out[0].len() as u64, data as u64), (size + 16, 3008_u64.div_ceil(size - 16)));
        let parity = (data * percentage).div_ceil(100).max(min);
        let parity = if percentage == 0 { 0 } else { bearable(data, parity) };
        assert_eq!(out.len() - data, parity, "{percentage} %, at least {min}");
    }
}

#[test]
fn a_flush_keeps_the_numbers() {
    let mut harness = payloader("");
    harness.push(key(2000, 0)).unwrap();
    let first = datagrams(&harness.pull().unwrap());
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert_eq!(harness.push(delta(100, 1)), Err(gst::FlowError::Flushing));
    assert!(harness.push_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(harness.push_event(gst::event::Segment::new(&segment)));
    harness.push(delta(100, 0)).unwrap();
    check_frame(&datagrams(&harness.pull().unwrap()), first.len() as u32, 2);
}

#[test]
fn another_kind_of_receiver_may_come_while_playing() {
    let mut harness = payloader("");
    harness.push(key(5000, 0)).unwrap();
    let first = datagrams(&harness.pull().unwrap());
    let filter = pay(&harness).static_pad("src").unwrap().peer().unwrap().parent_element().unwrap();
    filter.set_property("caps", gst::Caps::new_any());
    harness.push(delta(5000, 1)).unwrap();
    let apart: Vec<Vec<u8>> = std::iter::from_fn(|| harness.try_pull())
        .map(|buffer| buffer.map_readable().unwrap().to_vec())
        .collect();
    assert_eq!(apart.len(), first.len());
    check_frame(&apart, first.len() as u32, 2);
}

#[test]
fn stock_elements_get_a_buffer_for_each_datagram() {
    init();
    let together = two_frames(&mut payloader("fec-percentage=50"));
    let mut stock = Harness::new_parse("gamestreamvideopay fec-percentage=50");
    stock.set_src_caps_str(H264);
    stock.play();
    let apart = two_frames(&mut stock);
    for (together, apart) in together.iter().zip(&apart) {
        let expected = datagrams(&together[0]);
        assert_eq!((together.len(), apart.len()), (1, expected.len()));
        for (buffer, datagram) in apart.iter().zip(&expected) {
            assert_eq!(&buffer.map_readable().unwrap()[..], datagram);
            assert_eq!(buffer.pts(), together[0].pts());
            let delta = |buffer: &gst::Buffer| buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
            assert_eq!(delta(buffer), delta(&together[0]));
        }
    }
    let caps = stock.sinkpad().unwrap().current_caps().unwrap();
    let expected = "application/x-gamestream,media=video,encoding-name=H264,framerate=60/1";
    assert_eq!(caps, expected.parse::<gst::Caps>().unwrap());
}

/// What becomes of a key frame and a delta frame.
fn two_frames(harness: &mut Harness) -> [Vec<gst::Buffer>; 2] {
    [key(5000, 0), delta(700, 1)].map(|frame| {
        harness.push(frame).unwrap();
        std::iter::from_fn(|| harness.try_pull()).collect()
    })
}

#[test]
fn host_latency_begins_where_the_picture_was_captured() {
    let mut harness = payloader("");
    let now = gst::get_timestamp();
    let ago = |ms| Some(now - gst::ClockTime::from_mseconds(ms));
    let times = FrameTimes { capture: ago(500), pace: ago(200), ..FrameTimes::default() };
    for (n, repeated, least) in [(0, false, 5000), (1, true, 2000)] {
        let mut buffer = key(10, n);
        FrameMeta::set(buffer.get_mut().unwrap(), FrameTimes { number: n, repeated, ..times });
        harness.push(buffer).unwrap();
        let out = harness.pull().unwrap();
        let passed = (gst::get_timestamp() - now).useconds() / 100;
        let latency = u64::from(le(&datagrams(&out)[0], 33..35));
        assert!((least..=least + passed).contains(&latency), "{latency} tenths of a millisecond");
        let written = *out.meta::<FrameMeta>().unwrap().value();
        assert_eq!((written.number, written.repeated, written.capture), (n, repeated, times.capture));
        assert!(written.packetized >= written.encode_out && written.encode_out >= Some(now), "{written:?}");
    }
}

#[test]
fn host_latency_is_the_age_of_the_frame() {
    init();
    let mut harness = Harness::new("gamestreamvideopay");
    harness.set_sink_caps_str("application/x-gamestream-packets");
    harness.use_testclock();
    harness.set_src_caps_str(H264);
    harness.play();
    harness.set_time(gst::ClockTime::from_mseconds(100)).unwrap();
    let mut buffer = key(10, 0);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_useconds(92_500));
    harness.push(buffer).unwrap();
    assert_eq!(le(&datagrams(&harness.pull().unwrap())[0], 33..35), 75);
    let counted = harness.element().unwrap().property::<gst::Structure>("stats");
    assert_eq!(counted.get::<u64>("bytes").unwrap(), 2 * 1408);
}
