//! What a display costs at 720p60, in processor time of this process, client not included, and how soon it shows something.

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/display/harness.rs"]
mod harness;

use harness::Show;
use std::time::{Duration, Instant};

fn main() {
    let cpu = || {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
    };
    let mut first = Vec::new();
    for _ in 0..10 {
        let show = Show::prepare("", "video/x-raw,width=1280,height=720,framerate=60/1");
        let start = Instant::now();
        gst::prelude::ElementExt::set_state(&show.pipeline, gst::State::Playing).unwrap();
        show.picture();
        first.push(start.elapsed());
    }
    first.sort();
    println!("PLAYING to first buffer: median {:?}, most {:?}", first[5], first[9]);
    for (what, properties, busy) in
        [("static, only-damaged", "only-damaged=true", false), ("static", "", false), ("busy", "", true)]
    {
        let show = Show::start(properties, "video/x-raw,width=1280,height=720,framerate=60/1");
        let sink = "videotestsrc pattern=ball is-live=true ! video/x-raw,width=1280,height=720,framerate=60/1,format=BGRx ! waylandsink";
        let _window = busy.then(|| show.run("gst-launch-1.0", &sink.split(' ').collect::<Vec<_>>()));
        let first = show.picture();
        if busy {
            show.picture_with("the window moves", |shot| !shot.is_all(first.at(0, 0)));
        }
        let (start, used) = (Instant::now(), cpu());
        let mut pictures = 0;
        while start.elapsed() < Duration::from_secs(5) {
            pictures += usize::from(show.sink.try_pull_sample(gst::ClockTime::from_mseconds(100)).is_some());
        }
        let used = cpu() - used;
        let each = used.as_secs_f64() * 1000.0 / pictures.max(1) as f64;
        println!("{what}: {pictures} pictures in 5 s, {used:?} of processor time, {each:.2} ms each");
    }
}
