//! `gamestreamvideodepay`: what `gamestreamvideopay` sends, over a network that misbehaves.

mod media;

use gst::prelude::*;
use gst_check::Harness;
use gstgamestream::packets::PacketsMeta;
use media::{Dice, KEY, datagrams, init, stat};
use proptest::prelude::*;

const H264: &str = "video/x-h264,stream-format=byte-stream,alignment=au,framerate=60/1";
const DATAGRAM: &str = "application/x-gamestream,media=video";

struct Frame {
    bytes: Vec<u8>,
    key: bool,
    pts: gst::ClockTime,
    packets: Vec<Vec<u8>>,
}

/// Frames of these lengths, the first one a key frame, and their packets.
fn frames(properties: &str, lengths: &[usize]) -> Vec<Frame> {
    init();
    let mut pay = Harness::new_parse(&format!(
        "gamestreamvideopay {properties} ! capsfilter caps=application/x-gamestream-packets"
    ));
    pay.set_src_caps_str(H264);
    pay.play();
    let mut send = |(n, &len): (usize, &usize)| {
        let bytes = Dice::new(n as u64).bytes(len);
        let pts = n as u64 * gst::ClockTime::SECOND / 60;
        let mut buffer = gst::Buffer::from_slice(bytes.clone());
        buffer.get_mut().unwrap().set_pts(pts);
        if n > 0 {
            buffer.get_mut().unwrap().set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        pay.push(buffer).unwrap();
        Frame { bytes, key: n == 0, pts, packets: datagrams(&pay.pull().unwrap()) }
    };
    lengths.iter().enumerate().map(&mut send).collect()
}

fn depayloader(properties: &str) -> Harness {
    init();
    let mut harness = Harness::new_parse(&format!("gamestreamvideodepay name=depay {properties}"));
    harness.set_src_caps_str(DATAGRAM);
    harness.play();
    harness
}

fn depay(harness: &Harness) -> gst::Element {
    let bin: gst::Bin = harness.element().unwrap().downcast().unwrap();
    bin.by_name("depay").unwrap()
}

fn push(harness: &mut Harness, datagram: Vec<u8>, pts: gst::ClockTime) {
    let mut buffer = gst::Buffer::from_slice(datagram);
    buffer.get_mut().unwrap().set_pts(pts);
    harness.push(buffer).unwrap();
}

fn key_unit_requests(harness: &mut Harness) -> usize {
    std::iter::from_fn(|| harness.try_pull_upstream_event())
        .filter(|event| gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok())
        .count()
}

fn assert_same(received: &gst::BufferRef, sent: &Frame) {
    assert!(received.map_readable().unwrap().as_slice() == sent.bytes, "other bytes");
    assert_eq!(received.pts(), Some(sent.pts));
    assert_eq!(received.flags().contains(gst::BufferFlags::DELTA_UNIT), !sent.key);
}

/// What the network does to datagrams.
struct Network {
    loss_percentage: usize,
    repeat_percentage: usize,
    /// Places by which a datagram may fall back.
    displacement: usize,
    junk_percentage: usize,
}

impl Network {
    fn carry(&self, datagrams: Vec<(Vec<u8>, gst::ClockTime)>, seed: u64) -> Vec<(Vec<u8>, gst::ClockTime)> {
        let mut dice = Dice::new(seed);
        let mut arriving = Vec::new();
        for (n, (bytes, pts)) in datagrams.into_iter().enumerate() {
            let mut at = || n + dice.below(self.displacement + 1);
            let places = [at(), at(), at()];
            if dice.below(100) < self.junk_percentage {
                let len = dice.below(1500);
                let mut junk = dice.bytes(len);
                junk.iter_mut().take(1).for_each(|byte| *byte = 0x90);
                arriving.push((places[0], junk, pts));
            }
            if dice.below(100) < self.repeat_percentage {
                arriving.push((places[1], bytes.clone(), pts));
            }
            if dice.below(100) >= self.loss_percentage {
                arriving.push((places[2], bytes, pts));
            }
        }
        arriving.sort_by_key(|(place, ..)| *place);
        arriving.into_iter().map(|(_, bytes, pts)| (bytes, pts)).collect()
    }
}

#[test]
fn time_does_not_run_backwards_when_a_frame_overtakes_another() {
    let sent = frames("", &[100, 100, 100]);
    let mut harness = depayloader("");
    for (arrival, frame) in [1, 0, 2].into_iter().enumerate() {
        for packet in &sent[frame].packets {
            push(&mut harness, packet.clone(), (100 + arrival as u64) * gst::ClockTime::MSECOND);
        }
    }
    let times: Vec<u64> =
        std::iter::from_fn(|| harness.try_pull()).map(|frame| frame.pts().unwrap().mseconds()).collect();
    assert_eq!(times, [101, 101, 102]);
}

#[test]
fn two_frames_are_added_to_the_latency() {
    for (framerate, own) in
        [("", 33_333_334), (",framerate=50/1", 40_000_000), (",framerate=0/1", 33_333_334)]
    {
        let mut harness = depayloader("");
        harness.set_src_caps_str(&format!("{DATAGRAM}{framerate}"));
        harness.set_upstream_latency(gst::ClockTime::from_mseconds(7));
        assert_eq!(harness.query_latency(), Some(gst::ClockTime::from_nseconds(7_000_000 + own)));
    }
}

/// Sends frames through a network and expects all of them.
fn nothing_is_lost(pay: &str, depay_properties: &str, lengths: &[usize], network: &Network) -> Harness {
    let sent = frames(pay, lengths);
    let flat = sent.iter().flat_map(|frame| frame.packets.iter().map(|packet| (packet.clone(), frame.pts)));
    let arriving = network.carry(flat.collect(), 7);
    let mut harness = depayloader(depay_properties);
    for (datagram, pts) in arriving {
        push(&mut harness, datagram, pts);
    }
    harness.push_event(gst::event::Eos::new());
    for (n, frame) in sent.iter().enumerate() {
        let received = harness.try_pull().unwrap_or_else(|| panic!("frame {} is missing", n + 1));
        assert_same(&received, frame);
        assert_eq!(received.flags().contains(gst::BufferFlags::DISCONT), n == 0);
    }
    let depay = depay(&harness);
    assert_eq!((stat(&depay, "frames"), stat(&depay, "frames-lost")), (sent.len() as u64, 0));
    assert_eq!(key_unit_requests(&mut harness), 0);
    harness
}

/// Lengths of a stream of about 20 Mbit/s at 60 frames per second, with larger frames in it.
fn usual_lengths() -> Vec<usize> {
    let mut dice = Dice::new(1);
    (0..300)
        .map(|n| if n % 60 == 0 { 300_000 + dice.below(99_000) } else { 30_000 + dice.below(20_000) })
        .collect()
}

const GOOD: Network =
    Network { loss_percentage: 0, repeat_percentage: 0, displacement: 0, junk_percentage: 0 };

#[test]
fn a_good_network() {
    let harness = nothing_is_lost("", "", &usual_lengths(), &GOOD);
    let depay = depay(&harness);
    for name in ["lost", "late", "reordered", "repeated", "invalid", "recovered"] {
        assert_eq!(stat(&depay, name), 0, "{name}");
    }
    assert!(stat(&depay, "packets") > 9000);
}

#[test]
fn ten_per_cent_loss_with_half_as_much_parity() {
    let network = Network { loss_percentage: 10, ..GOOD };
    let harness = nothing_is_lost("fec-percentage=50", "", &usual_lengths(), &network);
    let depay = depay(&harness);
    assert!(stat(&depay, "recovered") > 300);
    assert!(stat(&depay, "lost") > 1000);
}

#[test]
fn loss_disorder_repetition_and_junk_at_once() {
    let network =
        Network { loss_percentage: 10, repeat_percentage: 10, displacement: 24, junk_percentage: 5 };
    let harness = nothing_is_lost("fec-percentage=50", "", &usual_lengths(), &network);
    let depay = depay(&harness);
    for name in ["recovered", "reordered", "repeated", "invalid"] {
        assert!(stat(&depay, name) > 100, "{name}");
    }
}

#[test]
fn the_same_sealed() {
    let network =
        Network { loss_percentage: 10, repeat_percentage: 10, displacement: 24, junk_percentage: 5 };
    let key = format!("encryption-key={KEY}");
    nothing_is_lost(&format!("fec-percentage=50 {key}"), &key, &usual_lengths(), &network);
}

#[test]
fn small_frames_out_of_order() {
    let network = Network { displacement: 3, ..GOOD };
    nothing_is_lost("", "", &[50; 500], &network);
}

#[test]
fn whole_frames_of_the_payloader() {
    let sent = frames(&format!("encryption-key={KEY}"), &[5000, 100, 40_000]);
    let mut harness = depayloader(&format!("encryption-key={KEY}"));
    harness
        .set_src_caps_str("application/x-gamestream-packets,media=video,encoding-name=H265,framerate=60/1");
    for frame in &sent {
        let mut buffer = gst::Buffer::from_slice(frame.packets.concat());
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(frame.pts);
        PacketsMeta::add(writable, frame.packets[0].len(), frame.packets.len());
        harness.push(buffer).unwrap();
        assert_same(&harness.pull().unwrap(), frame);
    }
    let caps = depay(&harness).static_pad("src").unwrap().current_caps().unwrap();
    let expected = "video/x-h265,stream-format=byte-stream,alignment=au,framerate=60/1";
    assert_eq!(caps, expected.parse::<gst::Caps>().unwrap());
}

#[test]
fn the_property_names_the_codec_when_caps_do_not() {
    let harness = depayloader("codec=av1");
    let caps = depay(&harness).static_pad("src").unwrap().current_caps().unwrap();
    assert_eq!(caps, "video/x-av1,stream-format=obu-stream,alignment=tu".parse::<gst::Caps>().unwrap());
}

#[test]
fn a_lost_frame_asks_for_a_key_unit_and_marks_the_next() {
    let sent = frames("fec-percentage=0", &[4000; 6]);
    let mut harness = depayloader("");
    for (n, frame) in sent.iter().enumerate() {
        for (index, packet) in frame.packets.iter().enumerate() {
            if (n, index) != (2, 1) {
                push(&mut harness, packet.clone(), frame.pts);
            }
        }
    }
    for (n, frame) in sent.iter().enumerate().filter(|&(n, _)| n != 2) {
        let received = harness.try_pull().unwrap();
        assert_same(&received, frame);
        assert_eq!(received.flags().contains(gst::BufferFlags::DISCONT), n == 0 || n == 3);
    }
    assert_eq!(key_unit_requests(&mut harness), 1);
    assert_eq!((stat(&depay(&harness), "frames-lost"), stat(&depay(&harness), "lost")), (1, 1));
}

#[test]
fn a_flush_begins_anew() {
    let first = frames("", &[4000; 3]);
    let second = frames("", &[5000; 3]);
    let mut harness = depayloader("");
    for stream in [&first, &second] {
        for frame in stream {
            for packet in &frame.packets {
                push(&mut harness, packet.clone(), frame.pts);
            }
            assert_same(&harness.try_pull().unwrap(), frame);
        }
        harness.push_event(gst::event::FlushStart::new());
        harness.push_event(gst::event::FlushStop::new(true));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        harness.push_event(gst::event::Segment::new(&segment));
    }
}

#[test]
fn a_wrong_key_is_refused_and_another_key_gives_nothing() {
    init();
    let depay_alone = gst::ElementFactory::make("gamestreamvideodepay").build().unwrap();
    depay_alone.set_property("encryption-key", "abc");
    assert!(depay_alone.set_state(gst::State::Paused).is_err());
    depay_alone.set_state(gst::State::Null).unwrap();

    let sent = frames(&format!("encryption-key={KEY}"), &[4000; 3]);
    let mut harness = depayloader("encryption-key=ffffffffffffffffffffffffffffffff");
    for packet in sent.iter().flat_map(|frame| &frame.packets) {
        push(&mut harness, packet.clone(), gst::ClockTime::ZERO);
    }
    assert!(harness.try_pull().is_none());
    assert_eq!(stat(&depay(&harness), "packets"), 0);
    assert!(stat(&depay(&harness), "invalid") > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Also cut short, and with single bytes changed.
    #[test]
    fn any_datagrams_are_survived(
        junk in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..40),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 40),
        cut: prop::sample::Index,
    ) {
        let sent = frames("", &[4000, 10, 9000]);
        let mut harness = depayloader("");
        for packet in sent.iter().flat_map(|frame| &frame.packets) {
            let mut packet = packet.clone();
            for (place, byte) in changes.iter().take(2) {
                let place = place.index(packet.len());
                packet[place] = *byte;
            }
            packet.truncate(cut.index(packet.len() + 200));
            push(&mut harness, packet, gst::ClockTime::ZERO);
        }
        for (bytes, (place, byte)) in junk.into_iter().zip(changes) {
            push(&mut harness, bytes, gst::ClockTime::ZERO);
            let packets = &sent[usize::from(byte) % 3].packets;
            let mut packet = packets[place.index(packets.len())].clone();
            packet[place.index(64)] = byte;
            push(&mut harness, packet, gst::ClockTime::ZERO);
        }
        harness.push_event(gst::event::Eos::new());
    }
}
