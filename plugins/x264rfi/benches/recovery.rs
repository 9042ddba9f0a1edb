//! How long a lost frame stays lost: from when it should have come to when the frame comes with which the client goes on.
//!
//! Pacer, encoder, packetizer and sink work as in a stream. The client, in this program, misses all packets of a frame,
//! notices with the first packet of the next one, and tells of it with every frame that comes. A report takes a round trip
//! to be there: half of it is the way of that packet to the client.
#![cfg_attr(not(have_x264), allow(dead_code, unused_imports))]

#[path = "../../gamestream/benches/common/mod.rs"]
mod common;

use common::{Options, Table, number, print_machine, quantile};
use gst::prelude::*;
use std::net::UdpSocket;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_nanos(16_666_667);
const ROUND_TRIPS: [u64; 3] = [0, 20, 50];
/// Frames from one loss to the next, besides those that the round trip takes.
const BETWEEN: u32 = 12;
/// The whole stream in kbit/s.
const KBPS: u32 = 10_000;
/// Types of frames with which a client goes on: a key frame, and one that needs nothing that was lost.
const REPAIRS: [u8; 2] = [2, 5];
const LIMIT: Duration = Duration::from_secs(20);

#[cfg(not(have_x264))]
fn main() {
    println!("libx264 is not here: nothing recovers without a key frame");
}

#[cfg(have_x264)]
fn main() {
    let options = Options::from_args();
    gst::init().expect("GStreamer starts");
    gstgamestream::plugin_register_static().expect("the elements register");
    gstx264rfi::plugin_register_static().expect("the element registers");
    print_machine("Recovery", "720p at 60 fps, 10 Mbit/s, a whole frame lost at a time.");
    let losses = if options.quick { 10 } else { 100 };
    let mut table = Table::new(&[
        "",
        "round trip, ms",
        "frames behind the report",
        "median",
        "99 %",
        "longest, in intervals besides the round trip",
    ]);
    for (name, encoder) in [
        ("x264rfienc, recovery frame", "x264rfienc"),
        ("x264enc, key frame", "x264enc tune=zerolatency key-int-max=100000"),
    ] {
        for millis in ROUND_TRIPS {
            let repairs = Stream::start(encoder).play(Duration::from_millis(millis), losses);
            let times: Vec<Duration> = repairs.iter().map(|repair| repair.time).collect();
            let intervals = |share| number(quantile(&times, share).as_secs_f64() / INTERVAL.as_secs_f64());
            let mut frames: Vec<u32> = repairs.iter().map(|repair| repair.frames).collect();
            frames.sort_unstable();
            let [least, most] = [frames[0], frames[frames.len() - 1]];
            table.row([
                name.to_owned(),
                millis.to_string(),
                if least == most { least.to_string() } else { format!("{least} to {most}") },
                intervals(0.5),
                intervals(0.99),
                intervals(1.0),
            ]);
        }
    }
    table.print("A lost frame is repaired");
}

/// How one loss was made good.
struct Repair {
    /// Without the round trip.
    time: Duration,
    /// Frames that left from the report on, the repairing one included.
    frames: u32,
}

struct Stream {
    pipeline: gst::Pipeline,
    client: UdpSocket,
    reports: Sender<Report>,
    /// The first lost frame of each report, and when that was handed over.
    reported: Receiver<(u32, Instant)>,
}

/// What a client says of lost frames, and when it is heard.
struct Report {
    due: Instant,
    first: u32,
    last: u32,
}

/// The first packet of a frame.
#[derive(Clone, Copy)]
struct Frame {
    index: u32,
    /// As the wire has it; see [`REPAIRS`].
    kind: u8,
    at: Instant,
}

impl Stream {
    fn start(encoder: &str) -> Self {
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        client.set_read_timeout(Some(LIMIT)).expect("a limit");
        let text = format!(
            "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=1280,height=720,framerate=60/1 \
             ! framepacer ! queue leaky=downstream max-size-buffers=1 ! {encoder} name=encoder speed-preset=ultrafast \
             threads=1 bitrate={} vbv-buf-capacity=34 ! video/x-h264,stream-format=byte-stream,alignment=au \
             ! queue ! gamestreamvideopay name=packetizer fec-percentage=20 ! queue ! pacedudpsink host=127.0.0.1 \
             port={} bitrate={KBPS}",
            KBPS * 7 / 10,
            client.local_addr().expect("bound").port()
        );
        let pipeline = gst::parse::launch(&text).expect("all elements are here");
        let pipeline = pipeline.downcast::<gst::Pipeline>().expect("several elements");
        let packetizer = pipeline.by_name("packetizer").expect("named");
        pipeline.set_state(gst::State::Playing).expect("it plays");
        let (reports, inbox) = mpsc::channel();
        let (done, reported) = mpsc::channel();
        std::thread::spawn(move || report(&packetizer, &inbox, &done));
        Self { pipeline, client, reports, reported }
    }

    fn next_frame(&self) -> Frame {
        let mut packet = [0; 2048];
        loop {
            let size = self.client.recv(&mut packet).expect("packets come");
            let at = Instant::now();
            let fec = u32::from_le_bytes(packet[28..32].try_into().expect("four bytes"));
            let (data, place) = (fec >> 22, fec >> 12 & 0x3ff);
            let begins = size > 40 && place < data && packet[24] & 4 != 0 && packet[27] >> 4 & 3 == 0;
            if begins {
                let index = u32::from_le_bytes(packet[20..24].try_into().expect("four bytes"));
                return Frame { index, kind: packet[35], at };
            }
        }
    }

    fn play(self, round_trip: Duration, losses: usize) -> Vec<Repair> {
        (0..BETWEEN * 3).for_each(|_| _ = self.next_frame());
        let repairs = (0..losses).map(|_| self.lose(round_trip)).collect();
        self.pipeline.set_state(gst::State::Null).expect("it stops");
        repairs
    }

    /// Misses a frame, tells of it with each frame that comes, and waits for the one that makes it good.
    fn lose(&self, round_trip: Duration) -> Repair {
        (0..BETWEEN).for_each(|_| _ = self.next_frame());
        let lost = self.next_frame();
        let mut later = Vec::new();
        let repaired = loop {
            let frame = self.next_frame();
            if !later.is_empty() && REPAIRS.contains(&frame.kind) {
                break frame;
            }
            let report = Report { due: frame.at + round_trip, first: lost.index, last: frame.index - 1 };
            self.reports.send(report).expect("the reporter runs");
            later.push(frame);
        };
        later.push(repaired);
        let reported = |at: &(u32, Instant)| at.0 == lost.index;
        let (_, reported) = self.reported.iter().find(reported).expect("it was reported");
        Repair {
            time: (repaired.at - lost.at).saturating_sub(round_trip),
            frames: later.iter().filter(|frame| frame.at > reported).count() as u32,
        }
    }
}

/// Hands reports over when they are due, and says when that was.
fn report(packetizer: &gst::Element, reports: &Receiver<Report>, done: &Sender<(u32, Instant)>) {
    for Report { due, first, last } in reports {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let lost =
            gst::Structure::builder("GstGameStreamInvalidate").field("first", first).field("last", last);
        let _ = done.send((first, Instant::now()));
        let is_answered = packetizer.send_event(gst::event::CustomUpstream::new(lost.build()));
        // A session asks once in a while.
        if !is_answered && (last - first).is_multiple_of(16) {
            let pad = packetizer.static_pad("sink").expect("it has one");
            pad.push_event(gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build());
        }
    }
}
