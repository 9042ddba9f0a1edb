//! When pictures come, and what clients hear of it.

use super::client::{Client, Feedback, Window};
use super::harness::{PATIENCE, Show};
use std::time::{Duration, Instant};

/// A client that draws whenever it is told to, until it has drawn so often.
fn draw(client: &mut Client, window: &Window, times: usize) {
    for number in 0..times {
        let frames = client.heard.frames;
        let queue = client.queue();
        window.surface.frame(&queue, ());
        client.presentation.feedback(&window.surface, &queue, ());
        let size = client.asked(window);
        client.paint(&window.surface, size, number as u32);
        client.until("the time for the next picture", |heard| heard.frames > frames);
    }
    client.until("what became of the pictures", |heard| heard.feedback.len() == times);
}

fn presented(client: &Client) -> Vec<(u64, u32, u64)> {
    let shown = |feedback: &Feedback| match *feedback {
        Feedback::Presented { nanos, refresh, number } => Some((nanos, refresh, number)),
        Feedback::Discarded => None,
    };
    client.heard.feedback.iter().filter_map(shown).collect()
}

#[test]
fn there_is_a_buffer_for_every_tick_and_ticks_are_even() {
    let show = Show::start("", "video/x-raw,width=64,height=48,framerate=60000/1001");
    let interval = gst::ClockTime::from_nseconds(16_683_333);
    let times: Vec<_> = (0..60).map(|_| show.picture().pts.expect("a time")).collect();
    for pair in times.windows(2) {
        // The test may have been too slow to see each of them.
        let intervals = (pair[1] - pair[0]).nseconds() as f64 / interval.nseconds() as f64;
        let odd = (intervals - intervals.round()).abs();
        assert!(intervals > 0.5 && odd < 0.01, "{intervals} intervals between {} and {}", pair[0], pair[1]);
    }
}

#[test]
fn only_damaged_means_nothing_while_nothing_changes() {
    let show = Show::start("only-damaged=true", "video/x-raw,width=64,height=48");
    let mut client = Client::connect(show.connect());
    let window = client.full_window(0xff0000);
    show.picture_with("red", |shot| shot.is_all(0xff0000));
    // A commit that changes nothing is none to show, but the client goes on.
    draw(&mut client, &window, 1);
    show.picture_with("black", |shot| shot.is_all(0));
    window.surface.frame(&client.queue(), ());
    window.surface.commit();
    client.until("a frame callback", |heard| heard.frames == 2);
    assert!(show.try_picture(Duration::from_millis(300)).is_none());
}

#[test]
fn clients_draw_at_the_rate_of_the_display() {
    for rate in [30, 120] {
        let show = Show::start("", &format!("video/x-raw,width=64,height=48,framerate={rate}/1"));
        let mut client = Client::connect(show.connect());
        let window = client.full_window(0xff0000);
        let start = Instant::now();
        draw(&mut client, &window, 60);
        let ideal = Duration::from_secs(60) / rate;
        assert!(start.elapsed() > ideal * 9 / 10, "{rate}: {:?} for 60 pictures", start.elapsed());
        let shown = presented(&client);
        assert!(shown.len() > 50, "{rate}: {:?}", client.heard.feedback);
        for pair in shown.windows(2) {
            let ((before, _, earlier), (after, _, later)) = (pair[0], pair[1]);
            assert!(after > before && later > earlier, "{rate}: {pair:?}");
        }
        assert!(shown.iter().all(|(_, refresh, _)| *refresh == 1_000_000_000 / rate), "{rate}: {shown:?}");
    }
}

#[test]
fn pictures_were_shown_on_the_monotonic_clock() {
    let monotonic = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    };
    let show = Show::start("", "video/x-raw,width=64,height=48");
    let mut client = Client::connect(show.connect());
    let window = client.full_window(0xff0000);
    let before = monotonic();
    draw(&mut client, &window, 3);
    let after = monotonic();
    assert_eq!(client.heard.clock, Some(1), "CLOCK_MONOTONIC");
    let shown = presented(&client);
    assert!(!shown.is_empty(), "{:?}", client.heard.feedback);
    assert!(shown.iter().all(|(nanos, ..)| (before..after).contains(nanos)), "{before}..{after}: {shown:?}");
}

#[test]
fn each_picture_was_presented_when_it_was_drawn() {
    let show = Show::start("only-damaged=true", "video/x-raw,width=64,height=48");
    let mut client = Client::connect(show.connect());
    let window = client.full_window(0xff0000);
    show.picture_with("red", |shot| shot.is_all(0xff0000));
    let colors = [0x00ff00, 0x0000ff, 0x808080];
    let mut drawn = Vec::new();
    for (number, color) in colors.into_iter().enumerate() {
        client.presentation.feedback(&window.surface, &client.queue(), ());
        client.paint(&window.surface, (64, 48), color);
        let shot = show.picture_with("the next color", |shot| shot.is_all(color));
        drawn.push(shot.drawn.expect("a time of the monotonic clock"));
        client.until("what became of it", |heard| heard.feedback.len() > number);
    }
    let shown = presented(&client);
    assert_eq!(shown.len(), colors.len(), "{:?}", client.heard.feedback);
    for (number, (nanos, ..)) in shown.iter().enumerate() {
        let next = drawn.get(number + 1).copied().unwrap_or(u64::MAX);
        assert!((drawn[number]..next).contains(nanos), "{shown:?} for pictures of {drawn:?}");
    }
    assert!(shown.is_sorted_by_key(|(_, _, number)| *number), "{shown:?}");
}

#[test]
fn time_stands_still_in_a_pause() {
    use gst::prelude::*;
    for properties in ["", "only-damaged=true"] {
        let show = Show::start(properties, "video/x-raw,width=64,height=48");
        let mut client = Client::connect(show.connect());
        let window = client.full_window(0xff0000);
        let mut before = show.picture_with("red", |shot| shot.is_all(0xff0000)).pts.expect("a time");
        for color in [0x00ff00, 0x0000ff] {
            show.pipeline.set_state(gst::State::Paused).unwrap();
            client.paint(&window.surface, (64, 48), color);
            client.roundtrip();
            std::thread::sleep(Duration::from_millis(700));
            while show.try_picture(Duration::ZERO).is_some() {}
            show.pipeline.set_state(gst::State::Playing).unwrap();
            loop {
                let shot = show.picture();
                let (pts, now) = (shot.pts.expect("a time"), show.pipeline.current_running_time().unwrap());
                assert!(pts >= before && pts <= now, "{properties}: {pts} after {before}, at {now}");
                before = pts;
                if shot.is_all(color) {
                    break;
                }
            }
        }
    }
}

/// A sink that keeps time holds each picture for the latency; the source has to keep the rate all the same.
#[test]
fn a_sink_that_keeps_time_gets_every_tick() {
    use gst::prelude::*;
    super::harness::init();
    let launch = "waylandsrc num-buffers=90 ! video/x-raw,width=64,height=48,framerate=60/1 ! fakesink sync=true name=sink";
    let pipeline = gst::parse::launch(launch).unwrap().downcast::<gst::Pipeline>().unwrap();
    let start = Instant::now();
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = [gst::MessageType::Eos, gst::MessageType::Error];
    let message =
        pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::try_from(PATIENCE).unwrap(), &end);
    let elapsed = start.elapsed();
    let last = pipeline.by_name("sink").unwrap().property::<Option<gst::Sample>>("last-sample");
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(message.map(|message| message.type_()), Some(gst::MessageType::Eos));
    assert!(elapsed > Duration::from_millis(1400), "{elapsed:?} for 90 pictures at 60 Hz");
    // Half the rate would be three seconds. Ticks that a slow machine makes late are not left out.
    let last = last.expect("a picture").buffer().and_then(|buffer| buffer.pts()).expect("a time");
    assert!(last < gst::ClockTime::from_mseconds(2500), "{last} for the last of 90 pictures");
}
