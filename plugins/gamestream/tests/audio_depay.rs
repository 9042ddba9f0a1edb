//! `gamestreamaudiodepay`: what `gamestreamaudiopay` sends, over a network that misbehaves.

mod media;

use gst::prelude::*;
use gst_check::Harness;
use media::{Dice, KEY, datagrams, init, stat};
use proptest::prelude::*;

const PAYLOAD: usize = 60;

fn payload(n: usize) -> Vec<u8> {
    Dice::new(n as u64).bytes(PAYLOAD)
}

/// The datagrams of `count` payloads with their times.
fn datagrams_of(properties: &str, count: usize) -> Vec<(Vec<u8>, gst::ClockTime)> {
    init();
    let mut pay = Harness::new_parse(&format!(
        "gamestreamaudiopay {properties} ! capsfilter caps=application/x-gamestream-packets"
    ));
    pay.set_src_caps_str("audio/x-opus,channels=2,channel-mapping-family=0");
    pay.play();
    for n in 0..count {
        let mut buffer = gst::Buffer::from_slice(payload(n));
        buffer.get_mut().unwrap().set_pts(n as u64 * 5 * gst::ClockTime::MSECOND);
        pay.push(buffer).unwrap();
    }
    let timed = |buffer: gst::Buffer| datagrams(&buffer).into_iter().map(move |d| (d, buffer.pts().unwrap()));
    std::iter::from_fn(|| pay.try_pull()).flat_map(timed).collect()
}

fn depayloader(properties: &str) -> Harness {
    init();
    let mut harness = Harness::new_parse(&format!("gamestreamaudiodepay name=depay {properties}"));
    harness.set_src_caps_str("application/x-gamestream,media=audio");
    harness.play();
    harness
}

fn depay(harness: &Harness) -> gst::Element {
    let bin: gst::Bin = harness.element().unwrap().downcast().unwrap();
    bin.by_name("depay").unwrap()
}

fn push(harness: &mut Harness, datagram: &[u8], pts: gst::ClockTime) {
    let mut buffer = gst::Buffer::from_slice(datagram.to_vec());
    buffer.get_mut().unwrap().set_pts(pts);
    harness.push(buffer).unwrap();
}

fn gaps(harness: &mut Harness) -> Vec<u64> {
    let times = |event: gst::Event| match event.view() {
        gst::EventView::Gap(gap) => Some(gap.get().0.mseconds()),
        _ => None,
    };
    std::iter::from_fn(|| harness.try_pull_event()).filter_map(times).collect()
}

fn check_payloads(harness: &mut Harness, wanted: impl Iterator<Item = usize>) {
    for n in wanted {
        let received = harness.try_pull().unwrap_or_else(|| panic!("payload {n} is missing"));
        assert!(received.map_readable().unwrap().as_slice() == payload(n), "payload {n} differs");
        assert_eq!(received.pts(), Some(n as u64 * 5 * gst::ClockTime::MSECOND));
        assert_eq!(received.duration(), Some(5 * gst::ClockTime::MSECOND));
        assert_eq!(received.flags().contains(gst::BufferFlags::DISCONT), n == 0);
    }
}

#[test]
fn a_third_lost_and_nothing_missing() {
    for (pay, depay_properties) in [
        (String::new(), String::new()),
        (format!("encryption-key={KEY} encryption-iv=7"), format!("encryption-key={KEY} encryption-iv=7")),
    ] {
        let mut harness = depayloader(&depay_properties);
        let mut dice = Dice::new(3);
        for block in datagrams_of(&pay, 400).chunks(6) {
            let lost = [dice.below(6), dice.below(6)];
            let mut kept: Vec<usize> = (0..6).filter(|n| !lost.contains(n)).collect();
            let swapped = dice.below(3);
            kept.swap(swapped, swapped + 1);
            for n in kept {
                push(&mut harness, &block[n].0, block[n].1);
            }
        }
        check_payloads(&mut harness, 0..400);
        assert!(gaps(&mut harness).is_empty());
        let depay = depay(&harness);
        assert!(stat(&depay, "recovered") > 50 && stat(&depay, "reordered") > 10);
        assert_eq!((stat(&depay, "payloads"), stat(&depay, "payloads-lost")), (400, 0));
    }
}

#[test]
fn a_gap_stands_for_what_is_missing() {
    let mut harness = depayloader("");
    let sent = datagrams_of("", 24);
    for (n, (datagram, pts)) in sent.iter().enumerate() {
        if ![6, 7, 8].contains(&n) {
            push(&mut harness, datagram, *pts);
        }
    }
    check_payloads(&mut harness, (0..24).filter(|n| ![4, 5, 6].contains(n)));
    assert_eq!(gaps(&mut harness), [20, 25, 30]);
    assert_eq!(stat(&depay(&harness), "payloads-lost"), 3);
}

/// An outage of a second: what follows is as late as what came before it.
#[test]
fn after_an_outage_time_goes_on() {
    let mut harness = depayloader("");
    for (datagram, pts) in datagrams_of("", 1200).chunks(6).enumerate().flat_map(|(block, packets)| {
        let arrives = !(200..250).contains(&block);
        packets.iter().filter(move |_| arrives)
    }) {
        push(&mut harness, datagram, *pts);
    }
    let buffers: Vec<gst::Buffer> = std::iter::from_fn(|| harness.try_pull()).collect();
    let times: Vec<u64> = buffers.iter().map(|buffer| buffer.pts().unwrap().mseconds()).collect();
    let sent: Vec<u64> = (0..800).chain(1000..1200).map(|n| n * 5).collect();
    assert_eq!(times, sent);
    assert!(buffers[800].flags().contains(gst::BufferFlags::DISCONT));
    let gaps = gaps(&mut harness);
    assert!(gaps.is_sorted() && gaps.iter().all(|gap| (4000..5000).contains(gap)), "{gaps:?}");
    assert_eq!(stat(&depay(&harness), "payloads-lost"), 200);
}

#[test]
fn two_blocks_are_added_to_the_latency() {
    for (properties, milliseconds) in [("packet-duration=5", 40), ("packet-duration=10", 80)] {
        let mut harness = depayloader("");
        for (datagram, pts) in datagrams_of(properties, 4) {
            push(&mut harness, &datagram, pts);
        }
        harness.set_upstream_latency(gst::ClockTime::from_mseconds(7));
        assert_eq!(harness.query_latency(), Some(gst::ClockTime::from_mseconds(7 + milliseconds)));
    }
}

#[test]
fn another_key_gives_gaps() {
    let mut harness = depayloader("encryption-key=ffffffffffffffffffffffffffffffff");
    for (datagram, pts) in datagrams_of(&format!("encryption-key={KEY}"), 40) {
        push(&mut harness, &datagram, pts);
    }
    assert!(stat(&depay(&harness), "invalid") > 20);
    assert!(gaps(&mut harness).len() > 20);
}

#[test]
fn a_wrong_key_and_too_many_channels_are_refused() {
    init();
    let depay_alone = gst::ElementFactory::make("gamestreamaudiodepay").build().unwrap();
    depay_alone.set_property("encryption-key", "abc");
    assert!(depay_alone.set_state(gst::State::Paused).is_err());
    depay_alone.set_state(gst::State::Null).unwrap();
    let harness = depayloader("");
    let caps = "application/x-gamestream-packets,media=audio,channels=6".parse().unwrap();
    assert!(!depay(&harness).static_pad("sink").unwrap().send_event(gst::event::Caps::new(&caps)));
}

/// A tone through encoder, packets, loss of what parity replaces, and decoder, without a click.
#[test]
fn a_tone_survives_the_loss_of_two_packets_of_six() {
    init();
    let pipeline = gst::parse::launch(
        "audiotestsrc num-buffers=100 samplesperbuffer=480 ! audio/x-raw,rate=48000,channels=2 \
         ! opusenc frame-size=5 bitrate-type=cbr bitrate=96000 ! gamestreamaudiopay ! application/x-gamestream-packets ! appsink name=out sync=false",
    )
    .unwrap()
    .downcast::<gst::Bin>()
    .unwrap();
    let out = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut sent = Vec::new();
    while let Some(sample) = out.try_pull_sample(gst::ClockTime::from_seconds(20)) {
        let buffer = sample.buffer().unwrap();
        sent.extend(datagrams(buffer).into_iter().map(|datagram| (datagram, buffer.pts().unwrap())));
    }
    pipeline.set_state(gst::State::Null).unwrap();

    let mut harness = Harness::new_parse("gamestreamaudiodepay name=depay ! opusdec");
    harness.set_src_caps_str("application/x-gamestream,media=audio");
    harness.play();
    for (n, (datagram, pts)) in sent.iter().enumerate() {
        if ![1, 2].contains(&(n % 6)) {
            push(&mut harness, datagram, *pts);
        }
    }
    harness.push_event(gst::event::Eos::new());
    let sound: Vec<i16> = std::iter::from_fn(|| harness.try_pull())
        .flat_map(|buffer| {
            let bytes = buffer.map_readable().unwrap();
            bytes.chunks_exact(4).map(|frame| i16::from_le_bytes([frame[0], frame[1]])).collect::<Vec<_>>()
        })
        .collect();
    assert!(sound.len() > 47_000, "{} samples of a second", sound.len());
    let settled = &sound[4800..46_000];
    let steps = settled.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs());
    let highest = settled.iter().map(|sample| i32::from(*sample).abs()).max().unwrap();
    // 440 Hz at this amplitude never moves faster than 5.8 % of it per sample.
    assert!(steps.max().unwrap() < highest / 12, "no click in a tone of amplitude {highest}");
    let crossings = settled.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
    let frequency = crossings as f64 / (settled.len() as f64 / 48_000.0);
    assert!((frequency - 440.0).abs() < 2.0, "{frequency} Hz");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_datagrams_are_survived(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0usize..100), 60),
        sealed: bool,
    ) {
        let key = if sealed { format!("encryption-key={KEY}") } else { String::new() };
        let mut harness = depayloader(&key);
        for ((mut datagram, pts), (place, byte, cut)) in datagrams_of(&key, 40).into_iter().zip(changes) {
            let place = place.index(datagram.len());
            datagram[place] = byte;
            datagram.truncate(cut);
            push(&mut harness, &datagram, pts);
        }
        harness.push_event(gst::event::Eos::new());
    }
}
