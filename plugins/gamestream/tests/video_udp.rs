//! From one pipeline to another over UDP, as one would type them after `gst-launch-1.0`.

mod media;

use gst::prelude::*;
use gst_video::VideoFrameExt;
use media::{init, stat};

const FRAMES: u32 = 300;

fn launch(text: &str) -> gst::Bin {
    gst::parse::launch(text).unwrap().downcast().unwrap()
}

/// The counter that `framestamp` drew: 32 cells of 16 × 16 px, most significant bit first.
fn counter(sample: &gst::Sample) -> u32 {
    let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info).unwrap();
    let (luma, stride) = (frame.plane_data(0).unwrap(), frame.plane_stride()[0] as usize);
    // The middle of a cell: noise around it reaches its edges when the bitrate is short.
    let bright = |cell: usize| {
        let rows = (4..12).map(|y| &luma[y * stride + cell * 16 + 4..][..8]);
        rows.flatten().map(|&pixel| u32::from(pixel)).sum::<u32>() > 64 * 127
    };
    (0..32).fold(0, |number, cell| number << 1 | u32::from(bright(cell)))
}

/// Every picture of a stream of 20 Mbit/s arrives though every tenth packet is lost.
fn nothing_is_lost(pay: &str, depay: &str) {
    init();
    let receiver = launch(&format!(
        "udpsrc name=in port=0 buffer-size=8000000 caps=application/x-gamestream,media=video,encoding-name=H264 \
         ! gamestreamvideodepay name=depay {depay} ! queue ! h264parse ! avdec_h264 max-threads=2 \
         ! video/x-raw,format=I420 ! appsink name=out sync=false",
    ));
    receiver.set_state(gst::State::Playing).unwrap();
    receiver.state(gst::ClockTime::from_seconds(10)).0.unwrap();
    let port: i32 = receiver.by_name("in").unwrap().property("port");
    let sender = launch(&format!(
        "videotestsrc is-live=true pattern=snow num-buffers={FRAMES} \
         ! video/x-raw,format=I420,width=640,height=360,framerate=60/1 ! framestamp \
         ! x264enc bitrate=20000 speed-preset=ultrafast tune=zerolatency threads=1 key-int-max=60 \
         ! h264parse config-interval=-1 ! gamestreamvideopay name=pay fec-percentage=50 {pay} \
         ! pacedudpsink name=sink host=127.0.0.1 port={port} loss-percentage=10 loss-seed=1",
    ));
    sender.set_state(gst::State::Playing).unwrap();
    let out = receiver.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    for n in 0..FRAMES {
        let sample = out.try_pull_sample(gst::ClockTime::from_seconds(20)).unwrap_or_else(|| {
            panic!("picture {n}: {}", receiver.by_name("depay").unwrap().property::<gst::Structure>("stats"))
        });
        assert_eq!(counter(&sample), n);
    }
    let (pay, sink, depay) =
        (sender.by_name("pay").unwrap(), sender.by_name("sink").unwrap(), receiver.by_name("depay").unwrap());
    assert!(stat(&pay, "bytes") > 5 * 20_000_000 / 8, "20 Mbit/s");
    assert!(stat(&sink, "lost") * 11 > stat(&pay, "packets"), "about a tenth was lost");
    assert!(stat(&depay, "recovered") > 500);
    assert_eq!((stat(&depay, "frames"), stat(&depay, "frames-lost")), (FRAMES.into(), 0));
    sender.set_state(gst::State::Null).unwrap();
    receiver.set_state(gst::State::Null).unwrap();
}

#[test]
fn ten_per_cent_loss_costs_no_picture() {
    nothing_is_lost("", "");
}

#[test]
fn nor_does_it_when_packets_are_sealed() {
    let key = format!("encryption-key={}", media::KEY);
    nothing_is_lost(&key, &key);
}
