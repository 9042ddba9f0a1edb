//! `gamestreamvideopay` between an encoder that makes recovery frames, or does not, and a client that loses frames.

mod media;

use gst::prelude::*;
use gst_check::Harness;
use media::video::{H264, delta, frame, index, k, key, key_unit_requests, le, pay};
use media::{datagrams, init, stat};

/// A payloader below an encoder that makes recovery frames if it `answers`.
fn below_an_encoder(properties: &str, answers: bool) -> Harness {
    init();
    let mut harness = Harness::new_parse(&format!(
        "identity name=encoder ! gamestreamvideopay name=pay {properties} ! capsfilter caps=application/x-gamestream-packets"
    ));
    let bin: gst::Bin = harness.element().unwrap().downcast().unwrap();
    let encoder = bin.by_name("encoder").unwrap().static_pad("src").unwrap();
    // SAFETY: nothing flows yet.
    unsafe {
        encoder.set_event_function(move |pad, parent, event| {
            let passes =
                answers || event.type_() != gst::EventType::CustomUpstream || !is_invalidation(&event);
            passes && gst::Pad::event_default(pad, parent, event)
        });
    }
    harness.set_src_caps_str(H264);
    harness.play();
    harness
}

fn is_invalidation(event: &gst::EventRef) -> bool {
    event.structure().is_some_and(|structure| structure.name() == "GstGameStreamInvalidate")
}

/// First, last, since and until of the invalidations that went upstream.
fn invalidations(harness: &mut Harness) -> Vec<(u32, u32, u64, u64)> {
    std::iter::from_fn(|| harness.try_pull_upstream_event())
        .filter(|event| is_invalidation(event))
        .map(|event| {
            let structure = event.structure().unwrap();
            let time = |field| structure.get::<u64>(field).unwrap();
            let index = |field| structure.get::<u32>(field).unwrap();
            (index("first"), index("last"), time("since"), time("until"))
        })
        .collect()
}

fn pts(n: u64) -> u64 {
    (n * gst::ClockTime::SECOND / 60).nseconds()
}

/// A frame that its encoder marked.
fn recovery(n: u64, flags: gst::BufferFlags) -> gst::Buffer {
    const NAME: &str = "GstGameStreamRecoveryMeta";
    static REGISTER: std::sync::Once = std::sync::Once::new();
    REGISTER.call_once(|| gst::meta::CustomMeta::register(NAME, &[]));
    let mut buffer = frame(vec![1; 100], n, flags | gst::BufferFlags::DELTA_UNIT);
    gst::meta::CustomMeta::add(buffer.get_mut().unwrap(), NAME).unwrap();
    buffer
}

#[test]
fn a_frame_missing_before_leaves_a_gap() {
    let mut harness = below_an_encoder("", false);
    let discont = gst::BufferFlags::DISCONT;
    let frames = [
        frame(vec![1; 10], 0, discont),
        delta(10, 1),
        frame(vec![1; 10], 2, discont | gst::BufferFlags::DELTA_UNIT),
        delta(10, 3),
        frame(vec![1; 10], 4, discont),
    ];
    for buffer in frames {
        harness.push(buffer).unwrap();
    }
    let indices: Vec<u32> = (0..5).map(|_| le(&datagrams(&harness.pull().unwrap())[0], 20..24)).collect();
    assert_eq!(indices, [1, 2, 4, 5, 6], "a key frame makes good what was lost before it");
    assert_eq!(key_unit_requests(&mut harness), 1);
    assert_eq!(stat(&pay(&harness), "frames-skipped"), 1);
    harness.push(frame(vec![1; 10], 9, discont | gst::BufferFlags::DELTA_UNIT)).unwrap();
    assert_eq!(le(&datagrams(&harness.pull().unwrap())[0], 20..24), 11, "four frames are missing");
    assert_eq!(stat(&pay(&harness), "frames-skipped"), 5);
}

#[test]
fn a_frame_that_does_not_fit_is_dropped_and_seen_as_lost() {
    let mut harness = below_an_encoder("packet-size=64", false);
    harness.push(key(100, 0)).unwrap();
    harness.push(delta(4093 * 48, 1)).unwrap();
    harness.push(delta(100, 2)).unwrap();
    let indices: Vec<u32> = (0..2).map(|_| le(&datagrams(&harness.pull().unwrap())[0], 20..24)).collect();
    assert_eq!(indices, [1, 3]);
    assert_eq!(key_unit_requests(&mut harness), 1);
}

/// What a client says it lost, in indices, reaches the encoder in timestamps; a marked frame says so on the wire.
#[test]
fn lost_frames_are_told_to_the_encoder_and_a_recovery_frame_to_the_client() {
    let mut harness = below_an_encoder("", true);
    let lost = |harness: &Harness, first: u32, last: u32| {
        let structure =
            gst::Structure::builder("GstGameStreamInvalidate").field("first", first).field("last", last);
        pay(harness).send_event(gst::event::CustomUpstream::new(structure.build()))
    };
    assert!(!lost(&harness, 1, 1), "nothing was sent");
    harness.push(key(100, 0)).unwrap();
    (1..10).for_each(|n| harness.push(delta(100, n)).map(drop).unwrap());
    assert!(lost(&harness, 7, 8));
    assert_eq!(invalidations(&mut harness), [(7, 8, pts(5) + 1, pts(7))]);
    assert!(!lost(&harness, 11, 12), "they were not sent");
    assert!(!lost(&harness, 1, 3), "nothing before them is good");
    assert_eq!(invalidations(&mut harness), []);
    harness.push(recovery(10, gst::BufferFlags::empty())).unwrap();
    harness.push(delta(100, 11)).unwrap();
    let kinds: Vec<u8> = (0..12).map(|_| datagrams(&harness.pull().unwrap())[0][35]).collect();
    assert_eq!(kinds, [2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 1]);
    let pay = pay(&harness);
    let counts = ["recovery-frames", "invalidations", "key-unit-requests"].map(|name| stat(&pay, name));
    assert_eq!(counts, [1, 1, 0]);
}

/// However often a client says so, and however close to each other its reports are.
#[test]
fn each_report_of_lost_frames_reaches_the_encoder() {
    let mut harness = below_an_encoder("", true);
    harness.push(key(100, 0)).unwrap();
    (1..10).for_each(|n| harness.push(delta(100, n)).map(drop).unwrap());
    let pay = pay(&harness);
    for last in (5..=10u32).cycle().take(300) {
        let lost =
            gst::Structure::builder("GstGameStreamInvalidate").field("first", 5u32).field("last", last);
        assert!(pay.send_event(gst::event::CustomUpstream::new(lost.build())));
    }
    assert_eq!(invalidations(&mut harness).len(), 300);
    assert_eq!(stat(&pay, "invalidations"), 300);
}

/// No encoder here marks any, and a client acknowledges each that it is told of. Parity of zeros is what a rebuilt packet
/// takes its zero from.
#[test]
fn no_frame_is_said_to_be_a_long_term_reference() {
    let mut harness = below_an_encoder("packet-size=64 fec-percentage=50", true);
    let frames = [key(700, 0), delta(700, 1), recovery(2, gst::BufferFlags::empty()), delta(7, 3), key(7, 4)];
    for (n, buffer) in frames.into_iter().enumerate() {
        harness.push(buffer).unwrap();
        for packet in datagrams(&harness.pull().unwrap()) {
            assert_eq!(
                packet[25],
                0,
                "packet {} of frame {n}, of {} data packets",
                index(&packet),
                k(&packet)
            );
        }
    }
}

#[test]
fn the_last_key_frame_is_named_as_the_wire_numbers_it() {
    let mut harness = below_an_encoder("", false);
    let last = |harness: &Harness| {
        pay(harness).property::<gst::Structure>("stats").get::<u32>("last-key-frame").unwrap()
    };
    assert_eq!(last(&harness), 0);
    let discont = gst::BufferFlags::DISCONT;
    for (buffer, expected) in [
        (key(100, 0), 1),
        (delta(100, 1), 1),
        (key(100, 2), 3),
        (frame(vec![1; 10], 4, discont | gst::BufferFlags::DELTA_UNIT), 3),
        (key(100, 5), 6),
    ] {
        harness.push(buffer).unwrap();
        assert_eq!(last(&harness), expected);
    }
}

#[test]
fn lost_frames_that_no_encoder_makes_good_are_not_answered() {
    let mut harness = below_an_encoder("", false);
    harness.push(key(100, 0)).unwrap();
    harness.push(delta(100, 1)).unwrap();
    let structure =
        gst::Structure::builder("GstGameStreamInvalidate").field("first", 2u32).field("last", 2u32);
    assert!(!pay(&harness).send_event(gst::event::CustomUpstream::new(structure.build())));
    assert_eq!(stat(&pay(&harness), "invalidations"), 0);
}

/// However often: an encoder whose recovery frame was dropped too is asked again.
#[test]
fn a_gap_asks_for_a_recovery_frame_before_a_key_unit() {
    let mut harness = below_an_encoder("", true);
    let discont = gst::BufferFlags::DISCONT | gst::BufferFlags::DELTA_UNIT;
    harness.push(key(100, 0)).unwrap();
    harness.push(delta(100, 1)).unwrap();
    harness.push(frame(vec![1; 10], 4, discont)).unwrap();
    harness.push(frame(vec![1; 10], 6, discont)).unwrap();
    harness.push(recovery(8, gst::BufferFlags::DISCONT)).unwrap();
    harness.push(delta(100, 9)).unwrap();
    let expected = [(3, 4, pts(1) + 1, pts(4)), (6, 6, pts(4) + 1, pts(6))];
    assert_eq!(invalidations(&mut harness), expected);
    let frames: Vec<_> = (0..6).map(|_| datagrams(&harness.pull().unwrap())).collect();
    let indices: Vec<u32> = frames.iter().map(|packets| le(&packets[0], 20..24)).collect();
    assert_eq!(indices, [1, 2, 5, 7, 8, 9], "nothing refers to what was dropped before a recovery frame");
    assert_eq!(stat(&pay(&harness), "key-unit-requests"), 0);
}

/// Elements that know nothing of the event pass it on, to a source that does not take it.
#[test]
fn a_stock_encoder_does_not_answer() {
    init();
    let text = "videotestsrc num-buffers=20 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=100 \
                ! h264parse config-interval=-1 ! queue ! gamestreamvideopay name=pay ! fakesink";
    let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Eos]).expect("it ends");
    let structure =
        gst::Structure::builder("GstGameStreamInvalidate").field("first", 7u32).field("last", 8u32);
    let pay = pipeline.by_name("pay").unwrap();
    assert!(!pay.send_event(gst::event::CustomUpstream::new(structure.build())));
    pipeline.set_state(gst::State::Null).unwrap();
}
