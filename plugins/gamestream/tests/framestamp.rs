//! `framestamp` as a reader of the picture sees it.

mod media;

use gst::prelude::*;
use media::init;

/// Runs a pipeline that ends in an appsink named `sink` and returns its frames as grey pictures.
fn grey_frames(launch: &str) -> Vec<Grey> {
    init();
    let tail = "videoconvert ! video/x-raw,format=GRAY8,colorimetry=1:1:5:1 ! appsink name=sink sync=false";
    let pipeline =
        gst::parse::launch(&format!("{launch} ! {tail}")).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut frames = Vec::new();
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(20)) {
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let buffer = sample.buffer().unwrap();
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).unwrap();
        let stride = info.stride()[0] as usize;
        frames.push(Grey { pixels: frame.plane_data(0).unwrap().to_vec(), stride });
    }
    assert!(sink.is_eos(), "the stream ends");
    pipeline.set_state(gst::State::Null).unwrap();
    frames
}

struct Grey {
    pixels: Vec<u8>,
    stride: usize,
}

impl Grey {
    fn at(&self, x: usize, y: usize) -> u8 {
        self.pixels[y * self.stride + x]
    }

    /// The number in the cells; every cell must be nearer to black or white than to grey.
    fn number(&self) -> u32 {
        (0..32).fold(0, |number, cell| {
            let level = self.at(cell * 16 + 8, 8);
            assert!(!(64..=192).contains(&level), "cell {cell} has level {level}");
            number << 1 | u32::from(level > 128)
        })
    }
}

#[test]
fn the_cells_count_in_every_format() {
    for format in ["I420", "NV12", "BGRx", "RGBx", "BGRA", "RGBA"] {
        let frames = grey_frames(&format!(
            "videotestsrc num-buffers=5 pattern=smpte ! video/x-raw,format={format},width=640,height=360 ! \
             framestamp first-number=4294967293"
        ));
        let numbers: Vec<_> = frames.iter().map(Grey::number).collect();
        assert_eq!(numbers, [4_294_967_293, 4_294_967_294, 4_294_967_295, 0, 1], "{format}");
    }
}

#[test]
fn the_cells_survive_an_encoder() {
    let frames = grey_frames(
        "videotestsrc num-buffers=30 horizontal-speed=7 ! video/x-raw,format=I420,width=1280,height=720,framerate=60/1 ! \
         framestamp ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=10000 ! avdec_h264",
    );
    let numbers: Vec<_> = frames.iter().map(Grey::number).collect();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());
}

#[test]
fn digits_are_white_on_black_below_the_cells() {
    let frames = grey_frames(
        "videotestsrc num-buffers=1 pattern=white ! video/x-raw,format=I420,width=1280,height=720 ! framestamp",
    );
    // The clock's first digit is 0 at 24,40 in dots of 8 pixels: its corner is black, the middle of its top white.
    let dot = |column: usize, row: usize| frames[0].at(24 + column * 8 + 4, 40 + row * 8 + 4);
    assert!(dot(0, 0) < 32 && dot(2, 0) > 224 && dot(0, 1) > 224 && dot(1, 1) < 32);
    assert!(frames[0].at(8, 24) > 224, "nothing is drawn between cells and text");
}

#[test]
fn the_clock_is_the_running_time() {
    let frames = grey_frames(
        "videotestsrc num-buffers=2 pattern=white ! video/x-raw,format=I420,width=1280,height=720,framerate=1/1 ! \
         framestamp",
    );
    // Seconds are the fifth character: 0, then 1 with its dots only in the middle.
    let dot = |frame: &Grey, column: usize, row: usize| {
        frame.at(24 + (4 * 6 + column) * 8 + 4, 40 + row * 8 + 4) > 128
    };
    assert!(dot(&frames[0], 0, 3) && !dot(&frames[1], 0, 3));
    assert!(dot(&frames[1], 2, 3) && dot(&frames[1], 1, 1));
}

#[test]
fn small_and_odd_pictures_are_stamped_as_far_as_they_go() {
    for (format, width, height) in
        [("I420", 33, 17), ("NV12", 65, 47), ("BGRx", 1, 1), ("I420", 511, 91), ("NV12", 2, 2)]
    {
        let frames = grey_frames(&format!(
            "videotestsrc num-buffers=2 ! video/x-raw,format={format},width={width},height={height} ! framestamp"
        ));
        assert_eq!(frames.len(), 2);
        assert!(frames[1].at(0, 0) < 32);
    }
}
