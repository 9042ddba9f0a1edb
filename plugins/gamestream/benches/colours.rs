//! What it costs to make an encoder's picture of a screen's.

mod common;

use common::{Clock, Contest, Options, Table, number, print_machine};
use gst_check::Harness;

const OURS: &str = "rgbtoyuv";
const THEIRS: &str = "videoconvertscale";

/// One that makes BGRx NV12, as an encoder that plays to most clients wants it.
fn converter(element: &str, width: usize, height: usize) -> Harness {
    let wanted = format!("video/x-raw,format=NV12,width={width},height={height},colorimetry=bt709");
    let mut harness = Harness::new_parse(&format!("{element} ! capsfilter caps={wanted}"));
    harness
        .set_src_caps_str(&format!("video/x-raw,format=BGRx,width={width},height={height},framerate=60/1"));
    harness.play();
    harness
}

fn main() {
    gst::init().expect("GStreamer starts");
    gstgamestream::plugin_register_static().expect("once");
    let options = Options::from_args();
    print_machine("Colours", "BGRx to NV12, BT.709, limited range; processor time of a picture.");
    let mut table = Table::new(&["", "videoconvertscale, ms", "rgbtoyuv, ms", "ratio"]);
    for (width, height) in [(1280, 720), (1920, 1080), (3840, 2160)] {
        let bytes: Vec<u8> = (0..4 * width * height).map(|n| (n * 31 % 251) as u8).collect();
        let picture = gst::Buffer::from_slice(bytes);
        let mut contest = Contest::new(Clock::ProcessCpu);
        for element in [THEIRS, OURS] {
            let (mut harness, picture) = (converter(element, width, height), &picture);
            contest.add(element, move || {
                harness.push(picture.clone()).expect("it takes it");
                harness.pull().expect("one in, one out");
            });
        }
        let results = contest.run(options);
        let millis = |name| number(results.median(name).as_secs_f64() * 1e3);
        let ratio = number(results.ratio(THEIRS, OURS));
        table.row([format!("{width}x{height}"), millis(THEIRS), millis(OURS), ratio]);
    }
    table.print("Pictures of a screen for an encoder");
}
