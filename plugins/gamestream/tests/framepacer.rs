//! `framepacer` against a clock that the test turns.

mod media;

use gst::prelude::*;
use gst_check::Harness;
use media::init;

const CAPS: &str = "video/x-raw,format=I420,width=64,height=48";

/// A pacer between a source of `from` frames per second and a sink that wants `to`, and a clock that stands still.
struct Bench {
    harness: Harness,
    clock: gst_check::TestClock,
}

/// What came out: the first byte of the picture, its time and duration in ns.
#[derive(Debug, PartialEq)]
struct Out {
    picture: u8,
    pts: u64,
    duration: u64,
}

impl Bench {
    fn new(from: &str, to: &str) -> Self {
        init();
        let mut harness = Harness::new("framepacer");
        harness.use_testclock();
        harness.set_src_caps_str(&format!("{CAPS},framerate={from}"));
        harness.set_sink_caps_str(&format!("{CAPS},framerate={to}"));
        harness.play();
        let clock = harness.testclock().unwrap();
        Self { harness, clock }
    }

    fn push(&mut self, picture: u8) {
        let mut buffer = gst::Buffer::from_mut_slice(vec![picture; 64 * 48 * 3 / 2]);
        buffer.get_mut().unwrap().set_flags(gst::BufferFlags::DISCONT);
        assert_eq!(self.harness.push(buffer), Ok(gst::FlowSuccess::Ok));
    }

    /// Waits until the pacer sleeps.
    fn settle(&self) {
        self.clock.wait_for_pending_id_count(1);
    }

    /// Turns the clock to the end of the pacer's sleep, and waits until it sleeps again.
    fn crank(&mut self) {
        self.harness.crank_single_clock_wait().unwrap();
        self.settle();
    }

    fn out(&mut self) -> Option<Out> {
        let buffer = self.harness.try_pull()?;
        let picture = buffer.map_readable().unwrap()[0];
        Some(Out {
            picture,
            pts: buffer.pts().unwrap().nseconds(),
            duration: buffer.duration().unwrap().nseconds(),
        })
    }

    /// Cranks until a picture comes out.
    fn next(&mut self) -> Out {
        for _ in 0..3 {
            if let Some(out) = self.out() {
                return out;
            }
            self.crank();
        }
        self.out().expect("a picture after two waits at most")
    }

    fn count(&self, field: &str) -> u64 {
        let stats = self.harness.element().unwrap().property::<gst::Structure>("stats");
        assert_eq!(stats.name(), "application/x-framepacer-stats");
        stats.get(field).unwrap()
    }
}

#[test]
fn one_picture_is_repeated_on_the_exact_grid() {
    for (rate, numerator, denominator) in
        [("60/1", 60, 1), ("60000/1001", 60_000, 1001), ("2997/50", 2997, 50)]
    {
        let mut bench = Bench::new("0/1", rate);
        bench.push(7);
        bench.settle();
        for n in 0..300u64 {
            let at = |n: u64| n * denominator * 1_000_000_000 / numerator;
            assert_eq!(bench.next(), Out { picture: 7, pts: at(n), duration: at(n + 1) - at(n) });
        }
        assert_eq!((bench.count("new"), bench.count("repeated"), bench.count("resyncs")), (1, 299, 0));
    }
}

#[test]
fn the_freshest_picture_wins_and_upstream_is_never_blocked() {
    let mut bench = Bench::new("60/1", "60/1");
    for picture in 1..=3 {
        bench.push(picture);
        bench.settle();
    }
    assert_eq!(bench.next().picture, 1);
    assert_eq!(bench.next().picture, 3);
    for picture in 4..=200 {
        bench.push(picture);
    }
    assert_eq!(bench.next().picture, 200);
    assert_eq!((bench.count("new"), bench.count("replaced")), (3, 197));
}

#[test]
fn a_picture_that_is_a_little_late_is_waited_for() {
    let mut bench = Bench::new("60/1", "60/1");
    bench.push(1);
    bench.settle();
    assert_eq!(bench.next().picture, 1);
    bench.crank();
    assert_eq!(bench.out(), None, "the tick waits for the source");
    bench.clock.advance_time(3_000_000);
    bench.push(2);
    let out = loop {
        bench.settle();
        if let Some(out) = bench.out() {
            break out;
        }
    };
    assert_eq!(out, Out { picture: 2, pts: 16_666_666, duration: 16_666_667 });
    assert_eq!(bench.count("repeated"), 0);
}

#[test]
fn only_the_first_picture_is_a_discontinuity() {
    let mut bench = Bench::new("60/1", "60/1");
    bench.push(1);
    bench.settle();
    assert!(bench.harness.pull().unwrap().flags().contains(gst::BufferFlags::DISCONT));
    bench.push(2);
    bench.crank();
    for _ in 0..3 {
        bench.crank();
    }
    let mut pulled = 0;
    while let Some(buffer) = bench.harness.try_pull() {
        assert!(!buffer.flags().intersects(gst::BufferFlags::DISCONT | gst::BufferFlags::GAP));
        pulled += 1;
    }
    assert!(pulled >= 2);
}

#[test]
fn the_rate_is_upstreams_unless_downstream_wants_another() {
    let mut bench = Bench::new("30/1", "[1/1,240/1]");
    bench.push(1);
    assert_eq!(bench.harness.pull().unwrap().duration().unwrap().nseconds(), 33_333_333);
    let mut bench = Bench::new("30/1", "120/1");
    bench.push(1);
    assert_eq!(bench.harness.pull().unwrap().duration().unwrap().nseconds(), 8_333_333);
}

#[test]
fn a_new_size_goes_downstream_before_its_first_picture() {
    init();
    let mut bench = Bench::new("60/1", "60/1");
    bench.harness.set_sink_caps_str("video/x-raw,framerate=60/1");
    bench.push(1);
    bench.settle();
    bench.harness.set_src_caps_str("video/x-raw,format=I420,width=32,height=32,framerate=50/1");
    bench.harness.push(gst::Buffer::with_size(32 * 32 * 3 / 2).unwrap()).unwrap();
    bench.crank();
    assert_eq!(bench.harness.pull().unwrap().size(), 64 * 48 * 3 / 2);
    assert_eq!(bench.harness.pull().unwrap().size(), 32 * 32 * 3 / 2);
    let caps = bench.harness.sinkpad().unwrap().current_caps().unwrap();
    assert_eq!(
        caps,
        "video/x-raw,format=I420,width=32,height=32,framerate=60/1".parse::<gst::Caps>().unwrap()
    );
}

#[test]
fn what_downstream_refuses_is_an_error_upstream() {
    let mut bench = Bench::new("60/1", "60/1");
    bench.harness.set_sink_caps_str("video/x-raw,format=NV12");
    let bus = gst::Bus::new();
    bench.harness.element().unwrap().set_bus(Some(&bus));
    let buffer = || gst::Buffer::with_size(64 * 48 * 3 / 2).unwrap();
    let _ = bench.harness.push(buffer());
    let limit = gst::ClockTime::from_seconds(10);
    bus.timed_pop_filtered(limit, &[gst::MessageType::Error]).expect("an error on the bus");
    assert_eq!(bench.harness.push(buffer()), Err(gst::FlowError::NotNegotiated));
}

#[test]
fn a_flush_forgets_the_picture_and_starts_anew() {
    let mut bench = Bench::new("60/1", "60/1");
    bench.push(1);
    bench.settle();
    bench.push(2);
    assert!(bench.harness.push_event(gst::event::FlushStart::new()));
    assert!(bench.harness.push_event(gst::event::FlushStop::new(false)));
    while bench.out().is_some() {}
    assert!(
        bench.harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()))
    );
    bench.clock.advance_time(1_000_000_000);
    bench.push(3);
    bench.settle();
    let buffer = bench.harness.pull().unwrap();
    assert_eq!(buffer.map_readable().unwrap()[0], 3);
    assert_eq!(buffer.pts().unwrap(), gst::ClockTime::SECOND);
    assert!(buffer.flags().contains(gst::BufferFlags::DISCONT));
}

#[test]
fn the_last_picture_goes_out_before_the_end() {
    let mut bench = Bench::new("60/1", "60/1");
    bench.push(1);
    bench.settle();
    bench.push(2);
    assert!(bench.harness.push_event(gst::event::Eos::new()));
    bench.harness.crank_single_clock_wait().unwrap();
    assert_eq!(bench.harness.pull().unwrap().map_readable().unwrap()[0], 1);
    assert_eq!(bench.harness.pull().unwrap().map_readable().unwrap()[0], 2);
    assert!(bench.harness.pull_until_eos().unwrap().is_none());
}

#[test]
fn a_stream_right_behind_the_end_of_another_is_shown() {
    let mut bench = Bench::new("60/1", "60/1");
    bench.push(1);
    bench.settle();
    assert_eq!(bench.next().picture, 1);
    for round in 0..200 {
        assert!(bench.harness.push_event(gst::event::Eos::new()));
        assert!(bench.harness.push_event(gst::event::StreamStart::new(&round.to_string())));
    }
    bench.push(2);
    let begin = std::time::Instant::now();
    let shown = loop {
        match bench.out() {
            Some(out) if out.picture == 2 => break true,
            _ if begin.elapsed().as_secs() >= 20 => break false,
            _ if bench.clock.peek_id_count() > 0 => bench.harness.crank_single_clock_wait().unwrap(),
            _ => std::thread::yield_now(),
        }
    };
    assert!(shown, "the task goes on");
}

#[test]
fn a_stream_without_pictures_ends_too() {
    let mut bench = Bench::new("60/1", "60/1");
    assert!(bench.harness.push_event(gst::event::Eos::new()));
    assert!(bench.harness.pull_until_eos().unwrap().is_none());
}

#[test]
fn key_units_are_asked_of_upstream_and_lateness_is_not() {
    let mut bench = Bench::new("60/1", "60/1");
    let force = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
    assert!(bench.harness.push_upstream_event(force));
    let qos = gst::event::Qos::new(gst::QOSType::Underflow, 0.5, 10, gst::ClockTime::ZERO);
    bench.harness.push_upstream_event(qos);
    let mut seen = Vec::new();
    while let Some(event) = bench.harness.try_pull_upstream_event() {
        assert_ne!(event.type_(), gst::EventType::Qos);
        seen.push(gst_video::UpstreamForceKeyUnitEvent::parse(&event).is_ok());
    }
    assert!(seen.contains(&true));
}

#[test]
fn serialized_events_arrive_after_the_mandatory_ones() {
    let mut bench = Bench::new("60/1", "60/1");
    let mut tags = gst::TagList::new();
    tags.get_mut().unwrap().add::<gst::tags::Title>(&"title", gst::TagMergeMode::Append);
    assert!(bench.harness.push_event(gst::event::Tag::new(tags)));
    bench.push(1);
    bench.settle();
    let mut types = Vec::new();
    while let Some(event) = bench.harness.try_pull_event() {
        types.push(event.type_());
    }
    use gst::EventType::{Caps, Segment, StreamStart, Tag};
    assert_eq!(types, [StreamStart, Caps, Segment, Tag]);
}

#[test]
fn downstream_says_how_to_allocate_and_gets_two_buffers_more() {
    let mut bench = Bench::new("60/1", "60/1");
    bench.push(1);
    bench.settle();
    let sink = bench.harness.sinkpad().unwrap();
    sink.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
        if let Some(query) = info.query_mut()
            && let gst::QueryViewMut::Allocation(query) = query.view_mut()
        {
            query.add_allocation_meta::<gst_video::VideoMeta>(None);
            query.add_allocation_pool(None::<&gst::BufferPool>, 4608, 3, 0);
            query.add_allocation_pool(None::<&gst::BufferPool>, 4608, 3, 8);
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
    let mut query = gst::query::Allocation::new(Some(&CAPS.parse().unwrap()), true);
    assert!(bench.harness.srcpad().unwrap().peer_query(&mut query));
    assert!(query.find_allocation_meta::<gst_video::VideoMeta>().is_some());
    let pools: Vec<_> = query.allocation_pools().map(|(_, size, min, max)| (size, min, max)).collect();
    assert_eq!(pools, [(4608, 5, 0), (4608, 5, 10)]);
}

#[test]
fn latency_grows_by_an_interval() {
    let mut bench = Bench::new("60/1", "50/1");
    bench.harness.set_upstream_latency(gst::ClockTime::from_mseconds(100));
    bench.push(1);
    bench.settle();
    assert_eq!(bench.harness.query_latency().unwrap(), gst::ClockTime::from_mseconds(120));
}

#[test]
fn it_goes_on_after_a_pause() {
    init();
    let pipeline = gst::parse::launch(
        "videotestsrc is-live=true ! video/x-raw,format=I420,width=64,height=48,framerate=10/1 ! framepacer ! \
         video/x-raw,framerate=100/1 ! appsink name=sink sync=false max-buffers=100",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    let mut last = None;
    for _ in 0..3 {
        pipeline.set_state(gst::State::Playing).unwrap();
        for _ in 0..10 {
            let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(10)).expect("pictures flow");
            let pts = sample.buffer().unwrap().pts();
            assert!(pts > last, "{pts:?} after {last:?}");
            last = pts;
        }
        assert_eq!(pipeline.set_state(gst::State::Paused), Ok(gst::StateChangeSuccess::NoPreroll));
    }
    pipeline.set_state(gst::State::Null).unwrap();
}
