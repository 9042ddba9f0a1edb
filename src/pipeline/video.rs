//! The stream of pictures of one session: pace, encode, packetize, send. What is captured comes in through an `appsrc`.

use super::description::{EncodeDescription, Mode, SendDescription};
use super::encoder::{EncodeStats, Encoder, Place, prepare as prepare_encoder};
use super::property;
use super::run::{self, Gate, Runner, StreamEvent};
use crate::protocol::params::{Codec, ColorSpace, SessionKey, VideoParams};
use anyhow::{Context, bail, ensure};
use gst::prelude::*;
use gstgamestream::timing::{FrameMeta, FrameTimes};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use tokio::sync::mpsc;

/// What a [`VideoStream`] is built from.
pub struct VideoSpec<'a> {
    pub params: VideoParams,
    /// What the encoder may spend, in kbit/s: the client's budget less parity, sound and headers.
    pub encoder_kbps: u32,
    /// Parity packets per 100 data packets, 0 to 255.
    pub fec_percentage: u32,
    /// Seals every packet where `params.encrypt` asks for it.
    pub key: Option<SessionKey>,
    /// The host's video port; the stream keeps a descriptor of its own.
    pub socket: BorrowedFd<'a>,
    pub sending: Sending,
}

/// How packets leave.
#[derive(Clone, Debug, PartialEq)]
pub struct Sending {
    /// Spread a frame's packets over part of its interval.
    pub pacing: bool,
    /// Differentiated services code point, −1 leaves the default.
    pub dscp: i32,
    /// Rate of the narrowest link to the client in kbit/s, 0 = unknown.
    pub link_kbps: u32,
    /// Packets lost on purpose, for tests.
    pub loss: Option<Loss>,
}

/// Loss injected on purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Of 100 packets.
    pub percentage: f64,
    /// Packets lost in a row.
    pub burst: u32,
    pub seed: u64,
}

impl Default for Sending {
    fn default() -> Self {
        Self { pacing: true, dscp: -1, link_kbps: 0, loss: None }
    }
}

/// Counters of the elements, as they publish them in `stats`.
#[derive(Clone, Debug)]
pub struct VideoStats {
    pub pace: gst::Structure,
    pub encode: EncodeStats,
    pub packetize: gst::Structure,
    pub send: gst::Structure,
}

/// A running stream. [`VideoStream::stop`] ends it with all its threads.
pub struct VideoStream {
    runner: Runner,
    source: gst_app::AppSrc,
    pacer: gst::Element,
    encoder: Encoder,
    packetizer: gst::Element,
    sender: gst::Element,
    /// Width and height in pixels.
    size: (u32, u32),
    gate: Gate,
}

impl VideoStream {
    /// Builds the pipeline. `encoders` are those of the stream's codec, best first: when one dies the next one takes its
    /// place. `events` hears of failures until the stream is stopped.
    pub fn build(
        encoders: &[EncodeDescription],
        send: &SendDescription,
        spec: VideoSpec<'_>,
        events: mpsc::UnboundedSender<StreamEvent>,
    ) -> anyhow::Result<VideoStream> {
        let params = &spec.params;
        if let Some(other) = encoders.iter().find(|encode| encode.codec != params.codec) {
            bail!("{} encodes {}, not {}", other.common.name, other.codec, params.codec);
        }
        ensure!(!encoders.is_empty(), "there is no encoder");
        let socket = spec.socket.try_clone_to_owned().context("the video socket cannot be shared")?;
        let fd = socket.as_raw_fd();
        let runner = Runner::new("video", run::parse(&pipeline_text(send, &spec))?, Some(socket));
        let [key_frame_needed, encoder_events] = [events.clone(), events.clone()];
        runner.watch(run::into_channel(events, |event| event));
        let find = |name| run::element(runner.pipeline.upcast_ref(), name);
        let pacer = find("pacer")?;
        let (packetizer, sender) = (find("packetizer")?, find("sender")?);
        let source = find("source")?.downcast::<gst_app::AppSrc>().expect("the text makes it an appsrc");
        set_packetizer(&packetizer, &spec)?;
        set_sender(&sender, &spec.sending, fd)?;
        property::set_number(&sender, "bitrate", spec.params.total_kbps)?;
        divert_key_requests(&packetizer, key_frame_needed);
        keep_format(&find("settled")?);
        warn_of_other_sizes(&source, spec.params.width, spec.params.height);
        let place = Place {
            pipeline: runner.pipeline.clone(),
            feeder: find("paced")?.static_pad("src").expect("a filter has a source pad"),
            drain: find("coded")?.static_pad("sink").expect("a filter has a sink pad"),
        };
        let heeded = params.clone();
        let prepare = move |encoder: &gst::Element| {
            prepare_encoder(encoder, &heeded);
            observe(encoder);
        };
        let encoder = Encoder::new(
            place,
            encoders,
            (Mode { width: params.width, height: params.height, fps: params.fps }, slices(encoders, params)),
            spec.encoder_kbps,
            Box::new(prepare),
            encoder_events,
        )?;
        // Before any queue: what is on its way answers too.
        let gate = Gate::before(&find("coded")?, encoder.on_key_frame());
        Ok(Self {
            runner,
            source,
            pacer,
            encoder,
            packetizer,
            sender,
            size: (spec.params.width, spec.params.height),
            gate,
        })
    }

    /// Where captured frames go in: live, without timestamps of their own, and the newest replaces one not yet taken.
    pub fn source(&self) -> &gst_app::AppSrc {
        &self.source
    }

    /// A black picture of the negotiated size: for a client that would leave because no frame comes.
    pub fn black_sample(&self) -> anyhow::Result<gst::Sample> {
        let (width, height) = self.size;
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width, height).build()?;
        let mut buffer = gst::Buffer::with_size(info.size())?;
        {
            let mut pixels = buffer.make_mut().map_writable()?;
            let (luma, chroma) = pixels.split_at_mut(info.offset()[1]);
            // Black in the narrow range that raw caps mean if they say nothing.
            luma.fill(16);
            chroma.fill(128);
        }
        Ok(gst::Sample::builder().buffer(&buffer).caps(&info.to_caps()?).build())
    }

    /// Starts pacing and encoding. Nothing leaves before [`Self::set_destination`].
    pub async fn start(&self) -> anyhow::Result<()> {
        self.encoder.open().await?;
        self.runner.start().await?;
        self.encoder.play();
        Ok(())
    }

    /// Sends to `peer` from now on, from `source` where the client used that address of ours. The first call opens the
    /// stream: it begins with the next key frame. Later calls follow a client that moved.
    pub fn set_destination(&self, peer: SocketAddr, source: Option<IpAddr>) {
        if let Err(error) = run::set_destination(&self.sender, peer, source) {
            tracing::warn!("the video goes nowhere: {error:#}");
        }
        self.gate.open();
    }

    /// Has no destination yet.
    pub fn is_shut(&self) -> bool {
        self.gate.is_shut()
    }

    /// Makes the next encoded frame a key frame with all headers, unless one leaves before.
    pub fn force_key_unit(&self) {
        self.encoder.force_key_unit();
    }

    /// The client cannot decode frames `first` to `last`, which are frame indices of the wire, nor what refers to them.
    /// True if the encoder in use goes on without them, from the next frame on; otherwise a key frame is needed.
    pub fn invalidate(&self, first: u32, last: u32) -> bool {
        let lost =
            gst::Structure::builder("GstGameStreamInvalidate").field("first", first).field("last", last);
        self.packetizer.send_event(gst::event::CustomUpstream::new(lost.build()))
    }

    /// Changes the encoder's bitrate as far as it goes there: at once where the description says that it changes while
    /// it runs, otherwise by opening it anew when the step is worth a key frame, at most every few seconds.
    pub fn set_bitrate(&self, kbps: u32) {
        self.encoder.set_bitrate(kbps);
    }

    /// From the next frame on, `fec_percentage` parity packets per 100 data packets, and what they leave for the
    /// encoder in kbit/s.
    pub fn set_redundancy(&self, fec_percentage: u32, encoder_kbps: u32) {
        self.set_bitrate(encoder_kbps);
        if let Err(error) = property::set_number(&self.packetizer, "fec-percentage", fec_percentage) {
            tracing::warn!("the parity stays: {error:#}");
        }
    }

    /// From the next frame on, even the smallest block gets so many parity packets.
    pub fn set_min_parity(&self, packets: u32) {
        if let Err(error) = property::set_number(&self.packetizer, "min-fec-packets", packets) {
            tracing::warn!("the minimum of parity stays: {error:#}");
        }
    }

    /// What the whole stream takes on the wire from now on, in kbit/s: packets are spread by it.
    pub fn set_wire_rate(&self, kbps: u32) {
        if let Err(error) = property::set_number(&self.sender, "bitrate", kbps) {
            tracing::warn!("packets are spread as before: {error:#}");
        }
    }

    /// Index on the wire of the last key frame that was sent.
    pub fn last_key_frame(&self) -> Option<u32> {
        self.packetized().get("last-key-frame").ok().filter(|index| *index > 0)
    }

    /// What the packetizer has counted.
    pub fn packetized(&self) -> gst::Structure {
        property::stats(&self.packetizer)
    }

    pub fn stats(&self) -> VideoStats {
        VideoStats {
            pace: property::stats(&self.pacer),
            encode: self.encoder.stats(),
            packetize: property::stats(&self.packetizer),
            send: property::stats(&self.sender),
        }
    }

    /// Ends the stream; when it returns, every thread of the pipeline is gone.
    pub async fn stop(self) {
        tokio::join!(self.encoder.stop(), self.runner.stop());
    }
}

/// Between `paced` and `coded` there is room for the encoder.
fn pipeline_text(send: &SendDescription, spec: &VideoSpec<'_>) -> String {
    let p = &spec.params;
    format!(
        "appsrc name=source is-live=true format=time do-timestamp=true max-buffers=1 max-bytes=0 leaky-type=downstream \
         ! videoconvertscale add-borders=true n-threads=2 ! rgbtoyuv \
         ! capsfilter name=settled caps=\"video/x-raw,format=(string){{NV12,I420}},width={width},height={height},pixel-aspect-ratio=1/1,colorimetry=(string){color}\" \
         ! framepacer name=pacer ! capsfilter name=paced caps=video/x-raw,framerate={fps} \
         capsfilter name=coded caps={caps} ! {send}",
        width = p.width,
        height = p.height,
        fps = p.fps,
        color = colorimetry(p.color_space, p.full_range),
        caps = codec_caps(p.codec),
        send = send.common.launch,
    )
}

/// What an encode description has to deliver.
pub fn codec_caps(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "video/x-h264,stream-format=byte-stream,alignment=au",
        Codec::H265 => "video/x-h265,stream-format=byte-stream,alignment=au",
        Codec::Av1 => "video/x-av1,stream-format=obu-stream,alignment=tu",
    }
}

fn colorimetry(space: ColorSpace, full_range: bool) -> String {
    use gst_video::{VideoColorMatrix, VideoColorPrimaries, VideoColorRange, VideoTransferFunction};
    let range = if full_range { VideoColorRange::Range0_255 } else { VideoColorRange::Range16_235 };
    let (matrix, transfer, primaries) = match space {
        ColorSpace::Bt601 => {
            (VideoColorMatrix::Bt601, VideoTransferFunction::Bt601, VideoColorPrimaries::Smpte170m)
        }
        ColorSpace::Bt709 => {
            (VideoColorMatrix::Bt709, VideoTransferFunction::Bt709, VideoColorPrimaries::Bt709)
        }
        ColorSpace::Bt2020 => {
            (VideoColorMatrix::Bt2020, VideoTransferFunction::Bt202010, VideoColorPrimaries::Bt2020)
        }
    };
    gst_video::VideoColorimetry::new(range, matrix, transfer, primaries).to_string()
}

/// Of a frame, for the threads of the client's decoder: as many as it asks for, each large enough for any codec.
fn slices(encoders: &[EncodeDescription], params: &VideoParams) -> u32 {
    /// Lines of the largest block that frames are coded in.
    const LEAST_HEIGHT: u32 = 64;
    let slices = params.slices_per_frame.min(params.height / LEAST_HEIGHT).max(1);
    let whole = encoders.iter().filter(|encode| slices > 1 && !encode.slices_frames());
    for encode in whole {
        tracing::debug!("{} does not cut frames into {slices} slices for the client", encode.common.name);
    }
    slices
}

fn set_packetizer(packetizer: &gst::Element, spec: &VideoSpec<'_>) -> anyhow::Result<()> {
    property::set_number(packetizer, "packet-size", spec.params.packet_size)?;
    property::set_number(packetizer, "fec-percentage", spec.fec_percentage)?;
    property::set_number(packetizer, "min-fec-packets", spec.params.min_fec_packets)?;
    if let Some(key) = spec.key.as_ref().filter(|_| spec.params.encrypt) {
        property::set(packetizer, "encryption-key", hex::encode(key.0))?;
    }
    Ok(())
}

fn set_sender(sender: &gst::Element, sending: &Sending, fd: RawFd) -> anyhow::Result<()> {
    property::set_number(sender, "fd", fd)?;
    property::set(sender, "pacing", sending.pacing)?;
    property::set_number(sender, "dscp", sending.dscp)?;
    property::set_number(sender, "link-rate", sending.link_kbps)?;
    if let Some(loss) = sending.loss {
        property::set(sender, "loss-percentage", loss.percentage)?;
        property::set(sender, "loss-burst", f64::from(loss.burst))?;
        property::set_number(sender, "loss-seed", loss.seed)?;
    }
    Ok(())
}

/// Notes when each frame enters and leaves the encoder.
fn observe(encoder: &gst::Element) {
    let note = |pad: &str, set: fn(&mut FrameTimes, gst::ClockTime)| {
        let pad = encoder.static_pad(pad).expect("an encoder has this pad");
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let Some(buffer) = info.buffer_mut() else { return gst::PadProbeReturn::Ok };
            if let Some(mut times) = buffer.meta::<FrameMeta>().map(|meta| *meta.value()) {
                set(&mut times, gst::get_timestamp());
                FrameMeta::set(buffer.make_mut(), times);
            }
            gst::PadProbeReturn::Ok
        });
    };
    note("sink", |times, now| times.encode_in = Some(now));
    note("src", |times, now| times.encode_out = Some(now));
}

/// Turns the packetizer's requests for a key frame into events: when the encoder is asked is decided in one place.
fn divert_key_requests(packetizer: &gst::Element, events: mpsc::UnboundedSender<StreamEvent>) {
    let pad = packetizer.static_pad("sink").expect("a packetizer has a sink pad");
    pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
        let asks = |event: &gst::EventRef| gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok();
        if !info.event().is_some_and(|event| asks(event)) {
            return gst::PadProbeReturn::Ok;
        }
        // The session may be over.
        let _ = events.send(StreamEvent::KeyFrameNeeded);
        // Not Drop: the binding has taken the event out already, and GStreamer would release nothing.
        gst::PadProbeReturn::Handled
    });
}

/// Pictures leave `filter` as the first one does: an encoder that is told of another format begins anew, though the
/// source may change to whatever it likes. Another encoder chooses anew.
fn keep_format(filter: &gst::Element) {
    const KEPT: [&str; 6] = ["format", "width", "height", "pixel-aspect-ratio", "colorimetry", "chroma-site"];
    let pad = filter.static_pad("src").expect("a filter has a source pad");
    let free: gst::Caps = filter.property("caps");
    let weak = filter.downgrade();
    pad.add_probe(gst::PadProbeType::EVENT_BOTH, move |_, info| {
        let (Some(event), Some(filter)) = (info.event(), weak.upgrade()) else {
            return gst::PadProbeReturn::Ok;
        };
        match event.view() {
            gst::EventView::Caps(caps) => {
                let mut kept = caps.caps_owned();
                if let Some(structure) = kept.make_mut().structure_mut(0) {
                    let others = structure.fields().filter(|name| !KEPT.contains(&name.as_str()));
                    let others: Vec<gst::glib::GString> = others.map(|name| name.to_owned()).collect();
                    others.iter().for_each(|name| structure.remove_field(name));
                }
                filter.set_property("caps", &kept);
            }
            // Something else is linked behind it.
            gst::EventView::Reconfigure(_) => filter.set_property("caps", &free),
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// One warning for each size that is captured and not the client's.
fn warn_of_other_sizes(source: &gst_app::AppSrc, width: u32, height: u32) {
    let pad = source.static_pad("src").expect("appsrc has a source pad");
    let mut last = (width, height);
    let mut watch = move |event: &gst::EventRef| {
        let gst::EventView::Caps(caps) = event.view() else { return };
        let Ok(info) = gst_video::VideoInfo::from_caps(caps.caps()) else { return };
        let size = (info.width(), info.height());
        if size != last && size != (width, height) {
            tracing::warn!(
                "the captured picture is {}x{}, the client asked for {width}x{height}: scaled, with borders where the shapes differ",
                size.0,
                size.1
            );
        }
        last = size;
    };
    let watch = std::sync::Mutex::new(move |event: &gst::EventRef| watch(event));
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let (Some(event), Ok(mut watch)) = (info.event(), watch.lock()) {
            watch(event);
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_may_change_its_format_and_size_and_the_encoder_sees_the_first() {
        gst::init().unwrap();
        let text = "appsrc name=source is-live=true format=time do-timestamp=true ! videoconvertscale add-borders=true ! rgbtoyuv \
                    ! capsfilter name=settled caps=\"video/x-raw,format=(string){NV12,I420},width=64,height=48,pixel-aspect-ratio=1/1,colorimetry=bt709\" \
                    ! appsink name=sink sync=false";
        let pipeline = run::parse(text).unwrap();
        let find = |name| run::element(pipeline.upcast_ref(), name).unwrap();
        let source = find("source").downcast::<gst_app::AppSrc>().unwrap();
        let sink = find("sink").downcast::<gst_app::AppSink>().unwrap();
        keep_format(&find("settled"));
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut first = None;
        let sources = [
            "video/x-raw,format=NV12,width=64,height=48,framerate=60/1,chroma-site=mpeg2",
            "video/x-raw,format=BGRx,width=128,height=96,framerate=0/1",
            "video/x-raw,format=I420,width=63,height=47,framerate=0/1,chroma-site=jpeg",
            "video/x-raw,format=I420,width=64,height=48,framerate=30/1,pixel-aspect-ratio=2/1",
            "video/x-raw,format=RGB16,width=33,height=101,framerate=0/1",
            "video/x-raw,format=GRAY8,width=1,height=1,framerate=0/1",
            "video/x-raw,format=Y444_10LE,width=640,height=48,framerate=0/1,colorimetry=bt2020",
        ];
        for caps in sources {
            let caps: gst::Caps = caps.parse().unwrap();
            let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
            let buffer = gst::Buffer::with_size(info.size()).unwrap();
            source.push_sample(&gst::Sample::builder().buffer(&buffer).caps(&caps).build()).unwrap();
            let seen = sink.try_pull_sample(gst::ClockTime::from_seconds(10)).expect("it is converted");
            let seen = seen.caps().unwrap().structure(0).unwrap();
            let kept = ["format", "width", "height", "pixel-aspect-ratio", "colorimetry", "chroma-site"]
                .map(|name| seen.value(name).ok().map(|value| format!("{value:?}")));
            assert_eq!(*first.get_or_insert(kept.clone()), kept, "from {caps}");
        }
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
