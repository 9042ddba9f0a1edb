//! `audiopacer` in a pipeline.

mod media;

use gst::prelude::*;
use media::init;

/// A tone of a live source comes out whole, in the format that it came in, at the rate of the clock.
#[test]
fn sound_comes_out_as_it_came() {
    init();
    let pipeline = gst::parse::launch(
        "audiotestsrc is-live=true num-buffers=400 samplesperbuffer=240 freq=1000 volume=0.5 \
         ! audio/x-raw,format=S16LE,rate=48000,channels=6,channel-mask=(bitmask)0x3f \
         ! audiopacer name=pacer ! appsink name=sink sync=false",
    );
    let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut samples = Vec::new();
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(20)) {
        let structure = sample.caps().unwrap().structure(0).unwrap();
        assert_eq!(structure.get::<i32>("channels"), Ok(6));
        let buffer = sample.buffer().unwrap();
        assert!(buffer.pts().is_some() && buffer.duration().is_some());
        let map = buffer.map_readable().unwrap();
        let (pairs, rest) = map.as_chunks();
        assert!(rest.is_empty());
        samples.extend(pairs.iter().map(|pair| i16::from_le_bytes(*pair)));
    }
    assert!(sink.is_eos(), "the stream ends");
    let stats = pipeline.by_name("pacer").unwrap().property::<gst::Structure>("stats");
    let (came, left): (u64, u64) = (stats.get("came").unwrap(), stats.get("left").unwrap());
    assert_eq!((came, left * 6), (96_000, samples.len() as u64));
    assert!(left.abs_diff(came) < 100, "{left} of {came}");
    pipeline.set_state(gst::State::Null).unwrap();

    let frames: Vec<&[i16]> = samples.chunks(6).collect();
    assert!(frames.iter().all(|frame| frame.iter().all(|sample| *sample == frame[0])), "channels stay apart");
    let loudest = frames.iter().map(|frame| frame[0].unsigned_abs()).max();
    assert!(loudest.is_some_and(|loudest| loudest.abs_diff(16_384) < 200), "{loudest:?}");
    // 1 kHz at half of full scale climbs no faster than this.
    let steps = frames.windows(2).map(|pair| pair[1][0].abs_diff(pair[0][0])).max();
    assert!(steps.is_some_and(|step| step < 2200), "a step of {steps:?}");
}
