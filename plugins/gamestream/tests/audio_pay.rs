//! The packets of `gamestreamaudiopay`, read with a second reading of the protocol.

mod media;

use gst::prelude::*;
use gst_check::Harness;
use gstgamestream::wire::seal::{AudioOpener, Key};
use media::{Dice, KEY, datagrams, init, stat};

const MATRIX: [u8; 8] = [0x77, 0x40, 0x38, 0x0e, 0xc7, 0xa7, 0x0d, 0x6c];

fn payloader(properties: &str) -> Harness {
    init();
    let mut harness = Harness::new_parse(&format!(
        "gamestreamaudiopay name=pay {properties} ! capsfilter caps=application/x-gamestream-packets"
    ));
    harness.set_src_caps_str("audio/x-opus,channels=2,channel-mapping-family=0");
    harness.play();
    harness
}

fn pay(harness: &Harness) -> gst::Element {
    let bin: gst::Bin = harness.element().unwrap().downcast().unwrap();
    bin.by_name("pay").unwrap()
}

fn opus(len: usize, n: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(Dice::new(n).bytes(len));
    buffer.get_mut().unwrap().set_pts(n * 5 * gst::ClockTime::MSECOND);
    buffer
}

/// Checks the packets of `count` buffers of `len` bytes and gives the payloads as they were sent.
fn check_stream(harness: &mut Harness, len: usize, count: u64, duration: u32) -> Vec<Vec<u8>> {
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    for n in 0..count {
        harness.push(opus(len, n)).unwrap();
        let out = harness.pull().unwrap();
        assert_eq!(out.pts(), Some(n * 5 * gst::ClockTime::MSECOND));
        let packet = datagrams(&out).concat();
        let mut header = vec![0x80, 97];
        header.extend((n as u16).to_be_bytes());
        header.extend((n as u32 * duration).to_be_bytes());
        header.extend([0; 4]);
        assert_eq!(packet[..12], header);
        payloads.push(packet[12..].to_vec());
        if n % 4 == 3 {
            let parity = datagrams(&harness.pull().unwrap());
            check_parity(&parity, &payloads[n as usize - 3..], n as u16 - 3, duration);
        }
        assert!(harness.try_pull().is_none());
    }
    payloads
}

fn check_parity(parity: &[Vec<u8>], data: &[Vec<u8>], base: u16, duration: u32) {
    let mut code = fec_rs::ReedSolomon::new(4, 2).unwrap();
    code.set_parity_matrix(&MATRIX).unwrap();
    let mut shards = data.to_vec();
    shards.resize(6, vec![0; data[0].len()]);
    code.encode(&mut shards).unwrap();
    assert_eq!(parity.len(), 2);
    for (j, packet) in parity.iter().enumerate() {
        let mut header = vec![0x80, 127];
        header.extend((base + 4 + j as u16).to_be_bytes());
        header.extend([0; 8]);
        header.extend([j as u8, 97]);
        header.extend(base.to_be_bytes());
        header.extend((u32::from(base) * duration).to_be_bytes());
        header.extend([0; 4]);
        assert_eq!(packet[..24], header);
        assert_eq!(packet[24..], shards[4 + j]);
    }
}

#[test]
fn four_packets_and_two_of_parity() {
    let mut harness = payloader("");
    let payloads = check_stream(&mut harness, 60, 40, 5);
    assert!((0..40).all(|n| payloads[n] == Dice::new(n as u64).bytes(60)));
    assert_eq!(stat(&pay(&harness), "packets"), 60);
    assert_eq!(stat(&pay(&harness), "parity-packets"), 20);
    assert_eq!(stat(&pay(&harness), "bytes"), 40 * 72 + 20 * 84);
}

#[test]
fn timestamps_count_milliseconds_of_the_packet_duration() {
    check_stream(&mut payloader("packet-duration=10"), 120, 8, 10);
}

#[test]
fn the_longest_payload() {
    check_stream(&mut payloader(""), 1388, 4, 5);
}

#[test]
fn sealed_payloads_are_protected_as_they_are_sent() {
    let mut harness = payloader(&format!("encryption-key={KEY} encryption-iv=4294967290"));
    let payloads = check_stream(&mut harness, 60, 16, 5);
    let opener = AudioOpener::new(&Key::parse(KEY).unwrap().unwrap(), 4294967290);
    for (n, mut sealed) in payloads.into_iter().enumerate() {
        assert_eq!(sealed.len(), 64);
        assert_eq!(opener.open(n as u16, &mut sealed), Ok(&Dice::new(n as u64).bytes(60)[..]));
    }
}

#[test]
fn payloads_of_unequal_length_go_without_parity() {
    let mut harness = payloader("");
    for (n, len) in [60, 61, 60, 60, 70, 70, 70, 70].into_iter().enumerate() {
        harness.push(opus(len, n as u64)).unwrap();
    }
    let counts: Vec<usize> = std::iter::from_fn(|| harness.try_pull()).map(|b| datagrams(&b).len()).collect();
    assert_eq!(counts, [1, 1, 1, 1, 1, 1, 1, 1, 2]);
    assert_eq!(stat(&pay(&harness), "blocks-unprotected"), 1);
}

#[test]
fn what_does_not_fit_and_what_is_no_sound_is_left_out() {
    let mut harness = payloader("");
    harness.push(opus(1389, 0)).unwrap();
    let mut header = opus(19, 0);
    header.get_mut().unwrap().set_flags(gst::BufferFlags::HEADER);
    harness.push(header).unwrap();
    harness.push(opus(60, 0)).unwrap();
    assert_eq!(datagrams(&harness.pull().unwrap())[0][2..4], [0, 0]);
    assert!(harness.try_pull().is_none());
    assert_eq!(stat(&pay(&harness), "packets-dropped"), 1);
}

#[test]
fn a_wrong_key_is_refused_before_anything_is_sent() {
    init();
    let pay = gst::ElementFactory::make("gamestreamaudiopay").build().unwrap();
    pay.set_property("encryption-key", "abc");
    assert!(pay.set_state(gst::State::Paused).is_err());
    pay.set_state(gst::State::Null).unwrap();
}

/// What `opusenc` makes of a tone with a constant bitrate is equally long.
#[test]
fn a_tone_of_constant_bitrate_is_always_protected() {
    init();
    let pipeline = gst::parse::launch(
        "audiotestsrc num-buffers=100 samplesperbuffer=480 ! audio/x-raw,rate=48000,channels=2 \
         ! opusenc frame-size=5 bitrate-type=cbr bitrate=96000 ! gamestreamaudiopay name=pay ! fakesink",
    )
    .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let message =
        pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(20), &wanted).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    let pay = pipeline.downcast_ref::<gst::Bin>().unwrap().by_name("pay").unwrap();
    assert!(stat(&pay, "parity-packets") >= 98);
    assert_eq!((stat(&pay, "blocks-unprotected"), stat(&pay, "packets-dropped")), (0, 0));
    pipeline.set_state(gst::State::Null).unwrap();
}
