use super::*;
use proptest::prelude::*;

const INTERVAL: Duration = Duration::from_nanos(16_666_667);
const SIZE: usize = 1408;
const CAP: Cap = Cap { packets: 16, bytes: 22_528 };
const START: Duration = Duration::from_secs(1000);

fn frame(packets: usize) -> Frame {
    Frame { packets, bytes: packets * SIZE, interval: Some(INTERVAL) }
}

fn stream(kbps: u32) -> Path {
    Path { bitrate: Some(kbps), ..Path::default() }
}

fn link(kbps: u32) -> Path {
    Path { link: Some(kbps), ..Path::default() }
}

/// The bursts of a frame that nothing precedes, due after its start.
fn bursts(frame: &Frame, path: &Path) -> Vec<Burst> {
    let plan = Pacer::default().plan(frame, &CAP, path, START);
    plan.map(|burst| Burst { due: burst.due - START, ..burst }).collect()
}

fn last(frame: &Frame, path: &Path) -> Duration {
    bursts(frame, path).last().unwrap().due
}

/// What is sent and when it arrives at the pacer, and what leaves when.
struct Sent {
    arrival: Duration,
    start: Duration,
    end: Duration,
    bursts: Vec<Burst>,
}

/// Sends frames as one thread does: each from its arrival, but not before the last burst of the frame before.
fn send(path: &Path, frames: impl IntoIterator<Item = (Duration, Frame)>) -> Vec<Sent> {
    let mut pacer = Pacer::default();
    let mut clock = START;
    let mut send = |(arrival, frame): (Duration, Frame)| {
        let arrival = START + arrival;
        let start = clock.max(arrival);
        let bursts: Vec<_> = pacer.plan(&frame, &CAP, path, start).collect();
        clock = bursts.last().map_or(start, |burst| burst.due);
        pacer.done(clock);
        Sent { arrival, start, end: clock, bursts }
    };
    frames.into_iter().map(&mut send).collect()
}

/// Packets of an average frame.
fn average(kbps: u32) -> usize {
    (f64::from(kbps) * 1000.0 * INTERVAL.as_secs_f64() / 8.0) as usize / (SIZE + OVERHEAD)
}

#[test]
fn a_frame_below_the_cap_leaves_at_once() {
    for (packets, size) in [(1, 1408), (16, 1408), (16, 1440), (112, 200), (0, 0)] {
        let frame = Frame { packets, bytes: packets * size, interval: Some(INTERVAL) };
        assert!(bursts(&frame, &Path::default()).len() <= 1, "{packets} datagrams of {size} bytes");
    }
    assert_eq!(bursts(&frame(17), &Path::default()).len(), 2);
}

#[test]
fn a_large_frame_takes_twelve_steps_of_three_quarters_of_its_interval() {
    let bursts = bursts(&frame(720), &Path::default());
    assert_eq!(bursts.len(), 12);
    assert_eq!(bursts[1], Burst { packets: 60..120, due: INTERVAL * 3 / 4 / 12 });
    assert!(bursts[11].due < INTERVAL * 3 / 4);
}

#[test]
fn a_fast_link_shortens_the_spread_and_a_slow_one_never_stretches_it() {
    // 1.16 Mbit: 11.6 ms at 100 Mbit/s in 7 steps, 1.16 ms at 1 Gbit/s in two that are 500 µs apart at least.
    let (fast, medium, slow) = (
        last(&frame(100), &link(1_000_000)),
        last(&frame(100), &link(100_000)),
        last(&frame(100), &link(1_000)),
    );
    assert!((550..610).contains(&fast.as_micros()), "{fast:?}");
    assert!((9_500..10_500).contains(&medium.as_micros()), "{medium:?}");
    assert_eq!(slow, last(&frame(100), &Path::default()));
}

#[test]
fn what_is_known_of_the_path_gives_the_rate() {
    let path = |link, interface, bitrate| Path { link, interface, bitrate }.rate();
    assert_eq!(path(None, None, None), None);
    assert_eq!(path(None, Some(1_000_000), None), Some(1_000_000));
    assert_eq!(path(None, Some(1_000_000), Some(20_000)), Some(160_000));
    assert_eq!(path(None, Some(100_000), Some(20_000)), Some(100_000), "no faster than the interface");
    assert_eq!(path(Some(300_000), Some(1_000_000), Some(20_000)), Some(300_000), "somebody knows it");
    assert_eq!(path(None, None, Some(u32::MAX)), Some(8 * u64::from(u32::MAX)));
}

#[test]
fn without_an_interval_nothing_is_spread() {
    for interval in [None, Some(Duration::ZERO)] {
        let frame = Frame { interval, ..frame(1000) };
        let plan = Pacer::default().plan(&frame, &CAP, &stream(1_000), START);
        assert_eq!(plan.limit(), START + PATIENCE);
        assert_eq!(plan.collect::<Vec<_>>(), [Burst { packets: 0..1000, due: START }]);
    }
}

#[test]
fn without_a_cap_nothing_is_spread() {
    let mut pacer = Pacer::default();
    assert_eq!(pacer.plan(&frame(50_000), &Cap::NONE, &stream(1_000), START).count(), 1);
}

#[test]
fn a_key_frame_is_spread_and_holds_up_the_next_for_less_than_an_interval() {
    // At 8 times the bitrate a key frame five times the average leaves within its own interval. Where the link carries
    // hardly more than the stream, it takes longer than that.
    const KBPS: u32 = 50_000;
    let usual = average(KBPS);
    let narrow = Path { link: Some(KBPS * 3 / 2), ..stream(KBPS) };
    for (path, holds_up) in [(stream(KBPS), false), (narrow, true)] {
        let packets = |index| if index == 10 { 5 * usual } else { usual };
        let sent = send(&path, (0..30).map(|index| (INTERVAL * index, frame(packets(index)))));
        let key = &sent[10];
        assert!(key.bursts.len() >= 8, "{} bursts", key.bursts.len());
        let spread = key.end - key.start;
        assert!(spread >= INTERVAL / 2, "spread over {spread:?} only");
        assert_eq!(spread > INTERVAL, holds_up);
        assert!(sent.iter().all(|frame| frame.start - frame.arrival < INTERVAL));
        // The frames behind catch up, and do not leave at once because of that.
        let delays: Vec<_> = sent[11..].iter().map(|frame| frame.start - frame.arrival).collect();
        assert!(delays.is_sorted_by(|a, b| a >= b), "{delays:?}");
        assert_eq!(delays[6], Duration::ZERO, "{delays:?}");
        assert!(sent[11..].iter().all(|frame| frame.bursts.len() > 1));
    }
}

#[test]
fn a_late_frame_leaves_faster_and_not_later() {
    let path = Path { link: Some(60_000), ..stream(50_000) };
    let usual = average(50_000);
    let alone = send(&path, [(INTERVAL, frame(usual))]);
    let behind = send(&path, [(Duration::ZERO, frame(5 * usual)), (INTERVAL, frame(usual))]);
    let took = |sent: &Sent| sent.end - sent.start;
    let late = behind[1].start - behind[1].arrival;
    assert!(late > INTERVAL / 2, "{late:?}");
    assert!(took(&behind[1]) < took(&alone[0]) * 3 / 4);
    assert!(took(&behind[1]) > took(&alone[0]) / 3, "not at once");
    assert!(behind[1].end - behind[1].arrival < alone[0].end - alone[0].arrival + INTERVAL / 2);
}

#[test]
fn after_a_stall_the_schedule_begins_anew() {
    let path = Path { link: Some(60_000), ..stream(50_000) };
    let mut pacer = Pacer::default();
    let mut plan = |now| {
        let plan = pacer.plan(&frame(average(50_000)), &CAP, &path, now);
        let taken = plan.clone().last().unwrap().due - now;
        pacer.done(now + INTERVAL * 5);
        taken
    };
    let (first, second) = (plan(START), plan(START + INTERVAL * 5));
    assert_eq!(first, second, "the socket took nothing for five intervals");
}

proptest! {
    #[test]
    fn every_packet_leaves_once_in_order_and_in_time(
        packets in 1usize..50_000, size in 1usize..1500, micros in 1u64..100_000,
        link in any::<Option<u32>>(), bitrate in any::<Option<u32>>(),
    ) {
        let interval = Duration::from_micros(micros);
        let frame = Frame { packets, bytes: packets * size, interval: Some(interval) };
        let bursts = bursts(&frame, &Path { link, interface: None, bitrate });
        prop_assert!(bursts.len() <= MAX_STEPS);
        prop_assert_eq!(bursts[0].due, Duration::ZERO);
        let mut next = 0;
        for pair in bursts.windows(2) {
            prop_assert!(pair[1].due - pair[0].due >= SHORTEST_STEP);
            prop_assert!(pair[0].packets.len() >= CAP.packets);
            prop_assert!((pair[0].packets.len() + 1) * size > CAP.bytes);
        }
        let longest = if bitrate.is_some() { interval * 7 / 4 } else { interval * 3 / 4 };
        for burst in &bursts {
            prop_assert_eq!(burst.packets.start, next);
            prop_assert!(!burst.packets.is_empty());
            prop_assert!(burst.due <= longest);
            next = burst.packets.end;
        }
        prop_assert_eq!(next, packets);
    }

    /// Whatever the sizes are, however much too slow the path is said to be, and though frames come some time early or
    /// late: none begins later than an interval after it came, or leaves faster than it has to.
    #[test]
    fn no_frame_holds_up_those_behind_it_for_more_than_an_interval(
        frames in prop::collection::vec((0u32..200, prop_oneof![6 => 1usize..150, 1 => 150usize..2000]), 1..80),
        link in prop_oneof![Just(None), (10_000u32..200_000).prop_map(Some)],
        kbps in 1_000u32..200_000,
    ) {
        let path = Path { link, ..stream(kbps) };
        let arrivals = frames.iter().zip(0u32..).map(|(&(jitter, packets), index)| {
            (INTERVAL * index + INTERVAL * jitter / 1000, frame(packets))
        });
        let sent = send(&path, arrivals);
        for (this, &(_, packets)) in sent.iter().zip(&frames) {
            let delay = this.start - this.arrival;
            prop_assert!(delay <= INTERVAL, "{:?} late", delay);
            prop_assert!(this.end - this.arrival <= INTERVAL * 2);
            prop_assert_eq!(this.bursts[0].due, this.start, "the first burst leaves at once");
            // As fast as at its own rate, or twice that when it is late, or as the frame behind it needs.
            let gentle = frame(packets).duration(&path);
            let room = (this.arrival + INTERVAL * 7 / 4).saturating_sub(this.start + INTERVAL / 4);
            let least = (gentle / 2).min(room);
            let steps = this.bursts.len() as u32;
            prop_assert!(steps == 1 || (this.end - this.start) * steps / (steps - 1) + Duration::from_micros(1) >= least);
        }
    }

    /// Frames that the path carries in time are never late for long.
    #[test]
    fn a_delay_is_made_up_for(
        sizes in prop::collection::vec(0.3f64..1.0, 20), kbps in 5_000u32..200_000, key in 2usize..12,
    ) {
        let path = Path { link: Some(kbps * 3 / 2), ..stream(kbps) };
        let usual = average(kbps);
        let packets = |(index, share): (usize, &f64)| if index == 0 { usual * key } else { (usual as f64 * share) as usize };
        let frames = sizes.iter().enumerate().map(packets).zip(0u32..);
        let sent = send(&path, frames.map(|(packets, index)| (INTERVAL * index, frame(packets))));
        let last = sent.last().unwrap();
        prop_assert_eq!(last.start, last.arrival);
    }
}
