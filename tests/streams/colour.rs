//! Colours, from the source to the decoder: what the bitstream says of them, and what is seen.

use crate::session::{LIMIT, MODE, Session, TURN, init, video_params};
use gst::prelude::*;
use gst_video::{
    VideoColorMatrix, VideoColorPrimaries, VideoColorRange, VideoColorimetry, VideoFrameExt, VideoFrameRef,
    VideoInfo,
};
use moonpipe::pipeline::description::{Describes, EncodeDescription};
use moonpipe::pipeline::library::Library;
use moonpipe::protocol::params::{Codec, ColorSpace, VideoParams};

/// Of GStreamer's test picture, white first.
const BARS: usize = 7;
/// Pictures until a still one is as good as it becomes.
const SETTLED: usize = 20;
/// Much for a picture of this size: what is left of an error is one of conversion.
const KBPS: u32 = 20_000;
/// Of 255, in each channel: rounding in 8 bits of limited range is more than one already.
const TOLERANCE: f64 = 2.0;

const SPACES: [ColorSpace; 3] = [ColorSpace::Bt601, ColorSpace::Bt709, ColorSpace::Bt2020];

type Rgb = [f64; 3];

/// What a decoder sees of the bars, and what the parser reads of the bitstream.
struct Seen {
    bars: [Rgb; BARS],
    signalled: Option<VideoColorimetry>,
}

fn matrix(space: ColorSpace) -> (VideoColorMatrix, VideoColorPrimaries) {
    match space {
        ColorSpace::Bt601 => (VideoColorMatrix::Bt601, VideoColorPrimaries::Smpte170m),
        ColorSpace::Bt709 => (VideoColorMatrix::Bt709, VideoColorPrimaries::Bt709),
        ColorSpace::Bt2020 => (VideoColorMatrix::Bt2020, VideoColorPrimaries::Bt2020),
    }
}

/// By the definitions of BT.601, BT.709 and BT.2020.
fn rgb([y, cb, cr]: [u8; 3], space: ColorSpace, full_range: bool) -> Rgb {
    let (kr, kb) = match space {
        ColorSpace::Bt601 => (0.299, 0.114),
        ColorSpace::Bt709 => (0.2126, 0.0722),
        ColorSpace::Bt2020 => (0.2627, 0.0593),
    };
    let (black, luma, chroma) = if full_range { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
    let y = (f64::from(y) - black) / luma;
    let [cb, cr] = [cb, cr].map(|value| (f64::from(value) - 128.0) / chroma);
    let red = y + 2.0 * (1.0 - kr) * cr;
    let blue = y + 2.0 * (1.0 - kb) * cb;
    let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
    [red, green, blue].map(|value| value * 255.0)
}

/// Where the middle of each bar is.
fn middles() -> [(usize, usize); BARS] {
    let (width, height) = (MODE.width as usize, MODE.height as usize);
    std::array::from_fn(|bar| ((2 * bar + 1) * width / (2 * BARS), height / 3))
}

/// The bars as the source gives them.
fn given() -> [Rgb; BARS] {
    let text = format!(
        "videotestsrc pattern=smpte num-buffers=1 ! video/x-raw,format=BGRx,width={},height={} ! appsink name=seen",
        MODE.width, MODE.height
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("seen").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let sample = sink.pull_sample().unwrap();
    let info = VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    let frame = VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info).unwrap();
    let (data, stride) = (frame.plane_data(0).unwrap(), frame.plane_stride()[0] as usize);
    let bars = middles().map(|(x, y)| {
        let pixel = &data[y * stride + 4 * x..][..3];
        [pixel[2], pixel[1], pixel[0]].map(f64::from)
    });
    pipeline.set_state(gst::State::Null).unwrap();
    bars
}

/// The client's end.
fn player(codec: Codec) -> gst::Pipeline {
    let (encoding, parse, decode) = match codec {
        Codec::H264 => ("H264", "h264parse", "avdec_h264"),
        Codec::H265 => ("H265", "h265parse", "avdec_h265"),
        Codec::Av1 => ("AV1", "av1parse", "av1dec"),
    };
    let text = format!(
        "udpsrc name=socket address=127.0.0.1 port=0 caps=application/x-gamestream,media=video,encoding-name={encoding} \
         ! gamestreamvideodepay ! {parse} name=parse ! {decode} ! video/x-raw,format=I420 ! appsink name=seen sync=false"
    );
    gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap()
}

async fn play(encode: &EncodeDescription, params: VideoParams) -> Seen {
    let _turn = TURN.lock().await;
    let (space, full_range) = (params.color_space, params.full_range);
    let player = player(params.codec);
    let find = |name| player.by_name(name).unwrap();
    player.set_state(gst::State::Playing).unwrap();
    let source = "videotestsrc is-live=true pattern=smpte ! video/x-raw,format=BGRx";
    let session = Session::as_asked(std::slice::from_ref(encode), source, params, KBPS).await;
    let attached = session.source.attach(session.stream.source());
    session.stream.start().await.expect("it starts");
    session.stream.force_key_unit();
    let port = find("socket").property::<i32>("port") as u16;
    session.stream.set_destination(([127, 0, 0, 1], port).into(), None);
    let sink = find("seen").downcast::<gst_app::AppSink>().unwrap();
    let limit = gst::ClockTime::try_from(LIMIT).unwrap();
    let pull = |_| sink.try_pull_sample(limit).expect("pictures come");
    (1..SETTLED).for_each(|number| drop(pull(number)));
    let sample = pull(SETTLED);
    let caps = find("parse").static_pad("src").unwrap().current_caps().unwrap();
    let signalled = caps.structure(0).unwrap().get::<&str>("colorimetry");
    let info = VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    let frame = VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info).unwrap();
    let at = |plane: usize, x: usize, y: usize| {
        frame.plane_data(plane as u32).unwrap()[y * frame.plane_stride()[plane] as usize + x]
    };
    let bars = middles()
        .map(|(x, y)| rgb([at(0, x, y), at(1, x / 2, y / 2), at(2, x / 2, y / 2)], space, full_range));
    let seen = Seen { bars, signalled: signalled.ok().map(|said| said.parse().unwrap()) };
    player.set_state(gst::State::Null).unwrap();
    drop(attached);
    session.stop().await;
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_signalled_as_a_client_asks_and_are_right_on_the_glass() {
    init();
    let given = given();
    let library = Library::load(None);
    let encoders: Vec<_> =
        library.encode.values().filter(|encode| encode.common.obstacle.is_none()).collect();
    assert!(encoders.len() >= 4, "H.264 twice, H.265 and AV1");
    let mut wrong = Vec::new();
    for encode in encoders {
        for (color_space, full_range) in SPACES.into_iter().flat_map(|space| [(space, false), (space, true)])
        {
            let what = format!("{} {color_space:?} full={full_range}", encode.name());
            let params = VideoParams { color_space, full_range, ..video_params(encode.codec) };
            let Seen { bars, signalled } = play(encode, params).await;
            let range = if full_range { VideoColorRange::Range0_255 } else { VideoColorRange::Range16_235 };
            let said = signalled.map(|said| (said.matrix(), said.primaries(), said.range()));
            let (matrix, primaries) = matrix(color_space);
            if said != Some((matrix, primaries, range)) {
                wrong.push(format!("{what}: signalled {said:?}"));
            }
            let off =
                bars.iter().flatten().zip(given.iter().flatten()).map(|(seen, given)| (seen - given).abs());
            let worst = off.fold(0.0, f64::max);
            println!("{what}: {worst:.1} levels off at most");
            if worst > TOLERANCE {
                wrong.push(format!("{what}: {worst:.1} levels off: {bars:.0?}, given {given:.0?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
