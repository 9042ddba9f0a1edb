use super::*;
use proptest::prelude::*;

const SIXTY: Rate = Rate { numerator: 60, denominator: 1 };
const NTSC: Rate = Rate { numerator: 60_000, denominator: 1001 };
const MS: u64 = 1_000_000;

/// What a viewer would see: number of the source's picture, time shown, stamp, duration.
#[derive(Clone, Copy, Debug)]
struct Shown {
    source: usize,
    at: u64,
    pts: u64,
    duration: u64,
}

/// Runs a cadence against pictures arriving at the given times, with a wake-up that is up to 100 µs late and an
/// encoder that takes `push(n)` for the n-th picture shown.
fn play(cadence: &mut Cadence, arrivals: &[u64], end: u64, push: impl Fn(usize) -> u64) -> Vec<Shown> {
    let mut shown = Vec::new();
    let (mut now, mut arrived, mut last) = (0, 0, 0);
    while now < end {
        while arrived < arrivals.len() && arrivals[arrived] <= now {
            cadence.handle_frame(arrivals[arrived]);
            arrived += 1;
        }
        let next_arrival = arrivals.get(arrived).copied().unwrap_or(end);
        now = match cadence.poll(now) {
            Step::Idle => next_arrival,
            Step::Wait { until, or_frame: true } => next_arrival.min(until + MS / 10),
            Step::Wait { until, or_frame: false } => until + MS / 10,
            Step::Show { picture, pts, duration } => {
                if picture == Picture::New {
                    last = arrived - 1;
                }
                shown.push(Shown { source: last, at: now, pts, duration });
                now + push(shown.len())
            }
        };
    }
    shown
}

/// A reproducible number in 0..1.
fn noise(n: usize, salt: u64) -> f64 {
    let mut z = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd134_2543_de82_ef95);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Arrivals of a source at `rate` from `phase` on, each late by up to `jitter`.
fn source(rate: Rate, count: usize, phase: u64, jitter: u64, salt: u64) -> Vec<u64> {
    let mut before = 0;
    let late = |n| (noise(n, salt) * jitter as f64) as u64;
    (0..count)
        .map(|n| {
            before = (phase + rate.time_of(n as u64) as u64 + late(n)).max(before + 1);
            before
        })
        .collect()
}

/// Share of pictures whose number is one above the one before.
fn steady(shown: &[Shown]) -> f64 {
    let by_one = shown.windows(2).filter(|pair| pair[1].source == pair[0].source + 1).count();
    by_one as f64 / (shown.len() - 1) as f64
}

#[test]
fn nothing_is_shown_before_the_first_picture() {
    let mut cadence = Cadence::new(SIXTY);
    assert_eq!(cadence.poll(5), Step::Idle);
    cadence.handle_frame(7 * MS);
    assert_eq!(cadence.poll(8 * MS), Step::Show { picture: Picture::New, pts: 8 * MS, duration: 16_666_666 });
    assert_eq!(cadence.poll(9 * MS), Step::Wait { until: 8 * MS + 16_666_666, or_frame: false });
}

#[test]
fn one_picture_plays_for_ever_at_the_exact_rate() {
    for rate in
        [SIXTY, NTSC, Rate { numerator: 2997, denominator: 50 }, Rate { numerator: 240, denominator: 1 }]
    {
        let mut cadence = Cadence::new(rate);
        let shown = play(&mut cadence, &[3 * MS], 60_000 * MS, |_| MS);
        for (n, frame) in shown.iter().enumerate() {
            assert_eq!(frame.pts, shown[0].pts + rate.time_of(n as u64) as u64);
            assert_eq!(frame.pts + frame.duration, shown[0].pts + rate.time_of(n as u64 + 1) as u64);
        }
        let expected = rate.ticks_near(60_000 * MS as i64);
        assert!(shown.len().abs_diff(expected as usize) <= 1, "{} shown", shown.len());
        assert_eq!(cadence.counts().repeated, shown.len() as u64 - 1);
        assert!(
            shown[10..].iter().all(|frame| frame.at < frame.pts + MS),
            "repeats of a still picture do not wait"
        );
    }
}

#[test]
fn the_freshest_picture_wins() {
    let mut cadence = Cadence::new(SIXTY);
    let shown =
        play(&mut cadence, &source(Rate { numerator: 240, denominator: 1 }, 480, 0, 0, 0), 2000 * MS, |_| MS);
    assert!(shown.windows(2).all(|pair| pair[1].source - pair[0].source == 4), "{shown:?}");
    let counts = cadence.counts();
    assert_eq!((counts.new, counts.repeated), (shown.len() as u64, 0));
    assert!((354..=360).contains(&counts.replaced), "{counts:?}");
}

#[test]
fn a_source_at_the_same_rate_is_shown_picture_by_picture_at_any_phase() {
    for phase in (0..17).map(|ms| ms * MS) {
        for salt in 0..5 {
            // The first picture comes at once, as from a capture that already runs.
            let mut arrivals = vec![MS];
            arrivals.extend(source(SIXTY, 1200, 2 * MS + phase, 6 * MS, salt));
            let mut cadence = Cadence::new(SIXTY);
            let shown = play(&mut cadence, &arrivals, 19_900 * MS, |n| (3.0 + 6.0 * noise(n, 9)) as u64 * MS);
            assert!(steady(&shown[1..]) > 0.995, "phase {phase}, {:?}, {}", cadence.counts(), steady(&shown));
            let wait: u64 = shown[100..].iter().map(|f| f.at - arrivals[f.source].min(f.at)).sum::<u64>()
                / (shown.len() as u64 - 100);
            assert!(wait < 5 * MS, "phase {phase}: pictures lie about for {wait} ns");
        }
    }
}

#[test]
fn rare_stalls_do_not_end_the_cadence() {
    for salt in 0..10 {
        let mut arrivals = source(SIXTY, 1200, 5 * MS, 3 * MS, salt);
        let stalls: Vec<_> = (0..1200).filter(|n| noise(*n, salt + 77) < 0.02).collect();
        for n in &stalls {
            let until = arrivals[*n] + 25 * MS;
            for late in arrivals[*n..].iter_mut().take_while(|arrival| **arrival < until) {
                *late = until;
            }
        }
        let mut cadence = Cadence::new(SIXTY);
        let shown = play(&mut cadence, &arrivals, 19_900 * MS, |_| 5 * MS);
        let bad = (1.0 - steady(&shown)) * shown.len() as f64;
        // Two repeats and a jump, and a second jump before pictures are early enough again.
        assert!(
            bad <= 4.0 * stalls.len() as f64 + 2.0,
            "{bad} for {} stalls, {:?}",
            stalls.len(),
            cadence.counts()
        );
    }
}

#[test]
fn a_drifting_source_slips_once_per_turn() {
    // 59.94 against 60 slips by one picture every 16.7 s.
    let mut cadence = Cadence::new(SIXTY);
    let arrivals = source(NTSC, 6000, 3 * MS, 2 * MS, 1);
    let shown = play(&mut cadence, &arrivals, 100_000 * MS, |_| 5 * MS);
    let bad = shown.windows(2).filter(|pair| pair[1].source != pair[0].source + 1).count();
    assert!(bad <= 8, "{bad} slips, {:?}", cadence.counts());
    let mut cadence = Cadence::new(NTSC);
    let arrivals = source(SIXTY, 6000, 3 * MS, 2 * MS, 1);
    let shown = play(&mut cadence, &arrivals, 99_900 * MS, |_| 5 * MS);
    let bad = shown.windows(2).filter(|pair| pair[1].source != pair[0].source + 1).count();
    assert!(bad <= 8, "{bad} slips, {:?}", cadence.counts());
}

#[test]
fn half_the_rate_shows_every_picture_twice_and_punctually() {
    let mut cadence = Cadence::new(SIXTY);
    let arrivals = source(Rate { numerator: 30, denominator: 1 }, 300, 4 * MS, MS, 3);
    let shown = play(&mut cadence, &arrivals, 9_900 * MS, |_| 5 * MS);
    let counts = cadence.counts();
    assert!(counts.new.abs_diff(counts.repeated) <= 4 && counts.replaced <= 1, "{counts:?}");
    let late = shown.iter().filter(|frame| frame.at > frame.pts + 3 * MS).count();
    assert!(late <= 6, "{late} of {} shown late", shown.len());
}

#[test]
fn after_a_stall_downstream_it_goes_on_from_now_without_a_burst() {
    let mut cadence = Cadence::new(SIXTY);
    let arrivals = source(SIXTY, 600, 0, 0, 0);
    let shown = play(&mut cadence, &arrivals, 9_900 * MS, |n| if n == 100 { 95 * MS } else { 4 * MS });
    let after = &shown[100];
    assert!(after.at.abs_diff(after.pts) <= 9 * MS, "{after:?}");
    assert!(shown[101].at - after.at > 7 * MS, "{:?}", &shown[99..103]);
    assert_eq!(after.source, arrivals.iter().filter(|arrival| **arrival <= after.at).count() - 1);
    let counts = cadence.counts();
    assert_eq!((counts.resyncs, counts.skipped), (1, 5));
    assert!(shown.windows(2).all(|pair| pair[1].pts > pair[0].pts));
}

#[test]
fn a_new_rate_starts_at_the_next_tick() {
    let mut cadence = Cadence::new(SIXTY);
    cadence.handle_frame(0);
    assert!(matches!(cadence.poll(0), Step::Show { pts: 0, .. }));
    cadence.set_rate(Rate { numerator: 30, denominator: 1 });
    assert_eq!(cadence.poll(1), Step::Wait { until: 16_666_666, or_frame: false });
    cadence.handle_frame(10);
    let expected = Step::Show { picture: Picture::New, pts: 16_666_666, duration: 33_333_333 };
    assert_eq!(cadence.poll(16_666_666), expected);
}

#[test]
fn a_flush_forgets_the_picture() {
    let mut cadence = Cadence::new(SIXTY);
    cadence.handle_frame(0);
    cadence.poll(0);
    cadence.flush();
    assert_eq!(cadence.poll(MS), Step::Idle);
    assert_eq!(cadence.counts().new, 1);
}

proptest! {
    #[test]
    fn stamps_grow_whatever_happens(
        gaps in prop::collection::vec(0u64..80_000_000, 1..400),
        pushes in prop::collection::vec(0u64..60_000_000, 1..50),
        numerator in 1u32..300_000, denominator in prop_oneof![Just(1u32), Just(1001)],
    ) {
        let rate = Rate { numerator: numerator.max(denominator), denominator };
        let arrivals: Vec<_> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
        let end = arrivals[arrivals.len() - 1] + 1000 * MS;
        let mut cadence = Cadence::new(rate);
        let shown = play(&mut cadence, &arrivals, end, |n| pushes[n % pushes.len()] + MS / 10);
        let interval = rate.interval() as u64;
        for pair in shown.windows(2) {
            prop_assert!(pair[1].pts > pair[0].pts);
            prop_assert!(pair[1].source >= pair[0].source);
            prop_assert!(pair[0].pts + pair[0].duration <= pair[1].pts);
        }
        for frame in &shown {
            prop_assert!(frame.at + 1 >= frame.pts, "shown before its time");
            prop_assert!(frame.at <= frame.pts + interval + MS / 5, "shown {} late", frame.at - frame.pts);
        }
        let counts = cadence.counts();
        prop_assert_eq!(counts.new + counts.repeated, shown.len() as u64);
        prop_assert!(counts.new + counts.replaced <= arrivals.len() as u64);
    }
}
