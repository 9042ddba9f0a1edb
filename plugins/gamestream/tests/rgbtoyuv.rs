//! `rgbtoyuv`: every colour in every space, and what passes through.

mod media;

use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoFormat, VideoFrameExt, VideoFrameRef, VideoInfo};
use media::{Dice, init};

/// Luma of red and blue in each colour space.
const SPACES: [(&str, f64, f64); 3] = [("4", 0.299, 0.114), ("3", 0.2126, 0.0722), ("6", 0.2627, 0.0593)];
/// Rounding to the nearest, and of the coefficients.
const EXACT: f64 = 0.53;

fn info(caps: &str) -> VideoInfo {
    VideoInfo::from_caps(&caps.parse::<gst::Caps>().unwrap()).unwrap()
}

/// Colours at random, each in a square of four pixels. `order` says where red, green and blue are in a pixel.
fn squares(info: &VideoInfo, order: [usize; 3], seed: u64) -> (gst::Buffer, Vec<[u8; 3]>) {
    let (width, height) = (info.width() as usize, info.height() as usize);
    let (columns, rows) = (width.div_ceil(2), height.div_ceil(2));
    let random = Dice::new(seed).bytes(3 * columns * rows);
    let colours = random.as_chunks::<3>().0.to_vec();
    let mut bytes = vec![0x55; info.size()];
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let colour = colours[y / 2 * columns + x / 2];
        let pixel = y * info.stride()[0] as usize + 4 * x;
        order.iter().zip(colour).for_each(|(place, value)| bytes[pixel + place] = value);
    }
    (gst::Buffer::from_slice(bytes), colours)
}

/// What the standard gives for a colour, not rounded.
fn defined([r, g, b]: [u8; 3], kr: f64, kb: f64, is_full: bool) -> [f64; 3] {
    let [r, g, b] = [r, g, b].map(|value| f64::from(value) / 255.0);
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    let (cb, cr) = ((b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr)));
    let (black, luma, chroma) = if is_full { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
    [black + y * luma, 128.0 + cb * chroma, 128.0 + cr * chroma].map(|value| value.min(255.0))
}

/// Luma and chroma of the square at a column and row.
fn seen(frame: &VideoFrameRef<&gst::BufferRef>, column: usize, row: usize) -> [u8; 3] {
    let at = |plane: usize, x: usize, y: usize| {
        frame.plane_data(plane as u32).unwrap()[y * frame.plane_stride()[plane] as usize + x]
    };
    let y = at(0, 2 * column, 2 * row);
    match frame.format() {
        VideoFormat::Nv12 => [y, at(1, 2 * column, row), at(1, 2 * column + 1, row)],
        _ => [y, at(1, column, row), at(2, column, row)],
    }
}

#[test]
fn every_colour_is_what_the_standard_says_rounded() {
    init();
    let from = [("BGRx", [2, 1, 0]), ("BGRA", [2, 1, 0]), ("RGBx", [0, 1, 2]), ("RGBA", [0, 1, 2])];
    for ((format, order), (width, height)) in
        from.into_iter().zip([(256, 128), (1366, 16), (64, 62), (38, 34)])
    {
        for (to, (matrix, kr, kb), range) in ["NV12", "I420"]
            .into_iter()
            .flat_map(|to| SPACES.into_iter().flat_map(move |space| [1, 2].map(|range| (to, space, range))))
        {
            let size = format!("width={width},height={height},framerate=60/1");
            let caps = format!("video/x-raw,format={format},{size}");
            let wanted = format!("video/x-raw,format={to},colorimetry={range}:{matrix}:5:1");
            let mut harness = Harness::new_parse(&format!("rgbtoyuv ! capsfilter caps={wanted}"));
            harness.set_src_caps_str(&caps);
            harness.play();
            let (picture, colours) = squares(&info(&caps), order, (width + range) as u64);
            harness.push(picture).unwrap();
            let made = harness.pull().unwrap();
            let caps = harness.sinkpad().unwrap().current_caps().unwrap();
            assert_eq!(caps.structure(0).unwrap().get("chroma-site"), Ok("jpeg"), "{caps}");
            let info = VideoInfo::from_caps(&caps).unwrap();
            let frame = VideoFrameRef::from_buffer_ref_readable(&made, &info).unwrap();
            let columns = (width as usize).div_ceil(2);
            for (number, colour) in colours.iter().enumerate() {
                let seen = seen(&frame, number % columns, number / columns);
                let defined = defined(*colour, kr, kb, range == 1);
                let off = seen.iter().zip(defined).map(|(seen, defined)| (f64::from(*seen) - defined).abs());
                let worst = off.fold(0.0, f64::max);
                assert!(worst < EXACT, "{format} to {caps}: {colour:?} is {seen:?}, not {defined:.2?}");
            }
        }
    }
}

/// A border, or a picture whose last column has no neighbour.
#[test]
fn sizes_may_be_odd() {
    init();
    let mut harness = Harness::new_parse("rgbtoyuv ! capsfilter caps=video/x-raw,format=NV12");
    let caps = "video/x-raw,format=BGRx,width=33,height=17,framerate=60/1";
    harness.set_src_caps_str(caps);
    harness.play();
    harness.push(gst::Buffer::from_slice(vec![255; info(caps).size()])).unwrap();
    let made = harness.pull().unwrap();
    let info = VideoInfo::from_caps(&harness.sinkpad().unwrap().current_caps().unwrap()).unwrap();
    let frame = VideoFrameRef::from_buffer_ref_readable(&made, &info).unwrap();
    for (x, y) in (0..17).flat_map(|x| (0..9).map(move |y| (x, y))) {
        assert_eq!(seen(&frame, x, y), [235, 128, 128], "at {x}, {y}");
    }
}

#[test]
fn what_is_yuv_passes_through() {
    init();
    for caps in [
        "video/x-raw,format=NV12,width=64,height=48,framerate=60/1,colorimetry=bt601,chroma-site=mpeg2",
        "video/x-raw,format=I420,width=64,height=48,framerate=60/1,colorimetry=1:3:5:1",
    ] {
        let mut harness = Harness::new("rgbtoyuv");
        harness.set_src_caps_str(caps);
        harness.play();
        let picture = gst::Buffer::from_slice(Dice::new(3).bytes(info(caps).size()));
        harness.push(picture.clone()).unwrap();
        let same = harness.pull().unwrap();
        assert_eq!(same.as_ptr(), picture.as_ptr(), "not even copied");
        let passed = harness.sinkpad().unwrap().current_caps().unwrap();
        assert!(passed.is_subset(&caps.parse::<gst::Caps>().unwrap()), "{passed}");
    }
}

/// What it does not take is made RGB before it, and what may stay is let be.
#[test]
fn videoconvert_before_it_does_the_rest() {
    init();
    for (from, expected) in [
        ("format=xRGB", "rgb"),
        ("format=RGB16", "rgb"),
        ("format=BGRx", "as it is"),
        ("format=NV12,colorimetry=bt709", "as it is"),
    ] {
        let text = format!(
            "videotestsrc num-buffers=1 ! video/x-raw,{from},width=64,height=48 ! videoconvertscale name=convert ! rgbtoyuv name=to \
             ! video/x-raw,format=NV12,colorimetry=bt709 ! fakesink"
        );
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &kinds).expect("it ends");
        assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
        let caps =
            |pad: &str| pipeline.by_name("convert").unwrap().static_pad(pad).unwrap().current_caps().unwrap();
        let (given, between) = (caps("sink"), caps("src"));
        let format = VideoInfo::from_caps(&between).unwrap().format_info();
        let is_as_expected = if expected == "rgb" { format.is_rgb() } else { given == between };
        assert!(is_as_expected, "{given} became {between}");
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
