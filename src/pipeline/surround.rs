//! How surround is coded: as `opusenc` does it, which is found out by ear, since GStreamer's versions differ, and what
//! the caps of 1.22 say of 7.1 is not what it does.

use super::run;
use crate::protocol::params::{AudioParams, OpusLayout, Surround};
use anyhow::Context;
use gst::prelude::*;

/// Positions of the channels that clients play, in their order: FL FR [C LFE RL RR [SL SR]].
pub fn channel_mask(channels: u32) -> &'static str {
    match channels {
        ..=2 => "0x3",
        3..=6 => "0x3f",
        7.. => "0xc3f",
    }
}

/// The same as the encoder is told it: channels without positions have no neighbours, and each is coded by itself.
pub fn coded_mask(params: &AudioParams) -> &'static str {
    if params.high_quality && params.channels > 2 { APART } else { channel_mask(params.channels) }
}

const APART: &str = "0x0";

/// Where the caps of Opus name the coded channel of each of them: FL C FR RL RR LFE, or FL C FR SL SR RL RR LFE.
const IN_CAPS: [&[usize]; 2] = [&[0, 2, 1, 5, 3, 4], &[0, 2, 1, 7, 5, 6, 3, 4]];

const RATE: usize = 48_000;
/// Samples for which each speaker sounds, alone.
const TURN: usize = RATE / 10;
/// Every speaker plays this, the subwoofer too.
const HERTZ: usize = 60;
/// What is heard of other speakers is less than this share.
const LEAK: f64 = 0.05;
/// Encoding a second of sound.
const LIMIT: gst::ClockTime = gst::ClockTime::from_seconds(5);

/// Of 5.1 and 7.1. `apart`: each channel is coded by itself for high quality. Blocks while it tries.
pub fn find_out(apart: bool) -> Vec<Surround> {
    let tried = IN_CAPS.iter().map(|in_caps| (in_caps.len(), surround(in_caps, apart)));
    tried
        .filter_map(|(channels, found)| {
            found.inspect_err(|error| tracing::warn!("no sound of {channels} channels: {error:#}")).ok()
        })
        .collect()
}

fn surround(in_caps: &[usize], apart: bool) -> anyhow::Result<Surround> {
    let normal = layout(in_caps, channel_mask(in_caps.len() as u32))?;
    let as_they_are: Vec<usize> = (0..in_caps.len()).collect();
    let high = if apart { layout(&as_they_are, APART)? } else { normal.clone() };
    Ok(Surround { normal, high })
}

fn layout(in_caps: &[usize], coded_mask: &str) -> anyhow::Result<OpusLayout> {
    let (caps, samples) = coded_and_decoded(in_caps.len(), coded_mask)?;
    let told = told(&caps, in_caps).with_context(|| format!("opusenc makes {caps}"))?;
    let heard = heard(&samples, in_caps.len()).context("speakers are mixed up by opusenc")?;
    Ok(OpusLayout { mapping: heard.iter().map(|speaker| told.mapping[*speaker]).collect(), ..told })
}

/// The caps of what `opusenc` makes of one speaker after the other, and what `opusdec` makes of that.
fn coded_and_decoded(channels: usize, coded_mask: &str) -> anyhow::Result<(gst::Caps, Vec<i16>)> {
    let mask = channel_mask(channels as u32);
    let format = format!(
        "format=S16LE,layout=interleaved,rate={RATE},channels={channels},channel-mask=(bitmask){mask}"
    );
    let pipeline = run::parse(&format!(
        "appsrc name=speakers format=time caps=\"audio/x-raw,{format}\"
         ! capssetter caps=audio/x-raw,channel-mask=(bitmask){coded_mask}
         ! opusenc name=encoder audio-type=restricted-lowdelay bitrate=450000 frame-size=5
         ! opusdec ! audio/x-raw,format=S16LE ! appsink name=ears sync=false"
    ))?;
    let element = |name| run::element(pipeline.upcast_ref(), name);
    let speakers = element("speakers")?.downcast::<gst_app::AppSrc>().expect("the text makes it an appsrc");
    let ears = element("ears")?.downcast::<gst_app::AppSink>().expect("the text makes it an appsink");
    let coded = element("encoder")?.static_pad("src").expect("an encoder has one");
    pipeline.set_state(gst::State::Playing)?;
    let mut played = gst::Buffer::from_slice(one_after_the_other(channels));
    played.get_mut().expect("nobody else has it").set_pts(gst::ClockTime::ZERO);
    let given = speakers.push_buffer(played).and_then(|_| speakers.end_of_stream());
    let mut samples = Vec::new();
    while let Some(sample) = ears.try_pull_sample(LIMIT) {
        let map = sample.buffer().context("a sample without sound")?.map_readable()?;
        samples.extend(map.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)));
    }
    let caps = coded.current_caps();
    pipeline.set_state(gst::State::Null)?;
    given.context("opusenc takes nothing")?;
    Ok((caps.context("opusenc does not encode")?, samples))
}

/// A turn for each, and one of silence, for what the decoder holds back.
fn one_after_the_other(channels: usize) -> Vec<u8> {
    let sample = |at: usize, channel: usize| {
        let phase = (at * HERTZ % RATE) as f64 / RATE as f64;
        let level = if at / TURN == channel { 8000.0 } else { 0.0 };
        (level * (phase * std::f64::consts::TAU).sin()) as i16
    };
    let frames =
        (0..TURN * (channels + 1)).flat_map(|at| (0..channels).map(move |channel| sample(at, channel)));
    frames.flat_map(i16::to_le_bytes).collect()
}

/// What the caps say, in the order of clients.
fn told(caps: &gst::CapsRef, in_caps: &[usize]) -> Option<OpusLayout> {
    let told = caps.structure(0)?;
    let number = |field| u8::try_from(told.get::<i32>(field).ok()?).ok();
    let coded = told.get::<gst::ArrayRef>("channel-mapping").ok()?;
    let coded = |at: usize| u8::try_from(coded.as_slice().get(at)?.get::<i32>().ok()?).ok();
    Some(OpusLayout {
        streams: number("stream-count")?,
        coupled: number("coupled-count")?,
        mapping: in_caps.iter().map(|at| coded(*at)).collect::<Option<_>>()?,
    })
}

/// For each speaker that had its turn, the one that was heard; none if they are not as many.
fn heard(samples: &[i16], channels: usize) -> Option<Vec<usize>> {
    let turns = samples.chunks_exact(TURN * channels).take(channels);
    let heard: Vec<usize> = turns.map(|turn| loudest(turn, channels)).collect::<Option<_>>()?;
    let mut each = heard.clone();
    each.sort_unstable();
    each.into_iter().eq(0..channels).then_some(heard)
}

/// The one channel that sounds in the middle of it.
fn loudest(turn: &[i16], channels: usize) -> Option<usize> {
    let mut energy = vec![0.0; channels];
    for frame in turn.chunks_exact(channels).skip(TURN / 4).take(TURN / 2) {
        for (energy, sample) in energy.iter_mut().zip(frame) {
            *energy += f64::from(*sample).powi(2);
        }
    }
    let all: f64 = energy.iter().sum();
    energy.iter().position(|energy| *energy > all * (1.0 - LEAK))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each coded channel is one speaker's, and the front is coded as a pair.
    #[test]
    fn every_speaker_has_a_coded_channel() {
        run::init().unwrap();
        let found = find_out(true);
        let channels: Vec<_> =
            found.iter().map(|Surround { normal, high }| [normal, high].map(|of| of.mapping.len())).collect();
        assert_eq!(channels, [[6, 6], [8, 8]]);
        assert!(found.iter().all(|of| of.normal.coupled > 0 && of.high.coupled == 0), "{found:?}");
        for OpusLayout { streams, coupled, mapping } in found.into_iter().flat_map(|of| [of.normal, of.high])
        {
            let mut coded = mapping.clone();
            coded.sort_unstable();
            assert!(coded.iter().copied().eq(0..streams + coupled), "{mapping:?}");
            assert_eq!(mapping[..2], [0, 1]);
        }
    }

    #[test]
    fn caps_are_read_in_the_order_of_clients() {
        gst::init().unwrap();
        let caps = gst::Caps::builder("audio/x-opus")
            .field("stream-count", 5)
            .field("coupled-count", 3)
            .field("channel-mapping", gst::Array::new([0, 6, 1, 2, 3, 4, 5, 7]))
            .build();
        let read = OpusLayout { streams: 5, coupled: 3, mapping: vec![0, 1, 6, 7, 4, 5, 2, 3] };
        assert_eq!(told(&caps, IN_CAPS[1]), Some(read));
        assert_eq!(told(&caps, &[8]), None, "a channel that is not there");
    }

    #[test]
    fn who_sounds_is_heard() {
        let played = one_after_the_other(6);
        let mut samples: Vec<i16> =
            played.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
        assert_eq!(heard(&samples, 6), Some(vec![0, 1, 2, 3, 4, 5]));
        samples.chunks_exact_mut(6).for_each(|frame| frame.swap(2, 4));
        assert_eq!(heard(&samples, 6), Some(vec![0, 1, 4, 3, 2, 5]));
        samples.chunks_exact_mut(6).for_each(|frame| frame[0] = frame[1]);
        assert_eq!(heard(&samples, 6), None, "nobody hears the first");
        assert_eq!(heard(&samples[..TURN], 6), None);
    }
}
