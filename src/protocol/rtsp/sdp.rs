//! The two session descriptions: what the host can (answer to DESCRIBE) and what the client wants (body of ANNOUNCE).

use crate::protocol::params::{AudioParams, Codec, ColorSpace, Fps, OpusLayout, StreamParams, VideoParams};
use crate::protocol::rtsp::RtspOffer;
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// Bits of `x-ss-general.encryptionSupported`, `…Requested` and `…Enabled`.
mod encryption {
    pub const CONTROL_V2: u32 = 1;
    pub const VIDEO: u32 = 2;
    pub const AUDIO: u32 = 4;
}

/// Bit of `x-nv-general.featureFlags` by which a client says that it decrypts audio, asked or not.
const FEATURE_AUDIO_ENCRYPTION: u32 = 0x20;

/// Bit of `x-ml-general.featureFlags` by which a client says that it tells how error correction went.
const FEATURE_FEC_STATUS: u32 = 1;

/// What a client may ask of `gamestreamvideopay packet-size`.
const PACKET_SIZES: RangeInclusive<u32> = 128..=4096;

/// The most that `gamestreamvideopay min-fec-packets` gives.
const MOST_MIN_FEC_PACKETS: u32 = 40;

/// Of a frame. Decoders that share a frame between threads ask for four; the client library would let them ask for 255,
/// and each slice costs its header and the prediction across its edge.
const MOST_SLICES: u32 = 16;

/// Bits of `x-ss-general.featureFlags`: what a client need not turn into something else.
mod felt {
    pub const TOUCH_AND_PEN: u32 = 1;
    pub const CONTROLLER_SENSORS: u32 = 2;
}

/// What the host can, as the answer to DESCRIBE. Clients look for substrings; the rest is for people who read along.
pub fn describe(offer: &RtspOffer) -> String {
    let mut lines =
        vec!["v=0".into(), "o=moonpipe 0 0 IN IP4 0.0.0.0".into(), "s=moonpipe".into(), "t=0 0".into()];
    let sensors = if offer.controller_sensors { felt::CONTROLLER_SENSORS } else { 0 };
    lines.push(format!("a=x-ss-general.featureFlags:{}", felt::TOUCH_AND_PEN | sensors));
    let supported = encryption::CONTROL_V2 | encryption::VIDEO | encryption::AUDIO;
    lines.push(format!("a=x-ss-general.encryptionSupported:{supported}"));
    // Input is worth the cost always; whether the picture is, the client's owner knows better (it asks for it on
    // networks that it does not trust). Clients encrypt audio by their own choice.
    lines.push(format!("a=x-ss-general.encryptionRequested:{}", encryption::CONTROL_V2));
    if offer.codecs.contains(&Codec::Av1) {
        lines.push("a=rtpmap:98 AV1/90000".into());
    }
    if offer.codecs.contains(&Codec::H265) {
        lines.push("a=fmtp:96 sprop-parameter-sets=AAAAAU".into());
    }
    if offer.rfi {
        lines.push("a=x-nv-video[0].refPicInvalidation:1".into());
    }
    lines.extend(offer.surround.iter().flat_map(|of| [normal_surround(&of.normal), high_surround(&of.high)]));
    lines.join("\r\n") + "\r\n"
}

/// The first line of a channel count is for normal quality: a client puts the last coded channel at index 3 and moves
/// the others up by one; what it is told makes up for that.
fn normal_surround(layout: &OpusLayout) -> String {
    let mut told = layout.mapping.clone();
    told[3..].rotate_left(1);
    surround(layout, &told)
}

/// The second is for high quality, which a client asks for only where there is one, and takes as it is.
fn high_surround(layout: &OpusLayout) -> String {
    surround(layout, &layout.mapping)
}

fn surround(layout: &OpusLayout, told: &[u8]) -> String {
    let digits: String = told.iter().map(u8::to_string).collect();
    format!("a=fmtp:97 surround-params={}{}{}{digits}", told.len(), layout.streams, layout.coupled)
}

/// Why a stream that a client asked for cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is no number")]
    NotANumber(&'static str),
    #[error("{name} is {value}, not {} to {}", .allowed.start(), .allowed.end())]
    OutOfRange { name: &'static str, value: u32, allowed: RangeInclusive<u32> },
    #[error("{width}x{height}: width and height must be even")]
    OddSize { width: u32, height: u32 },
    #[error("{0} does not encode on this host")]
    Codec(Codec),
    #[error("{channels} audio channels, not 2, 6 or 8")]
    Channels { channels: u32 },
    #[error("audio packets of {milliseconds} ms, not 5 or 10")]
    PacketDuration { milliseconds: u32 },
}

/// The `Host` of a client that wants stereo in normal quality; any other address means high quality. For surround the
/// body says which.
const NORMAL_STEREO_HOST: &str = "0.0.0.0";

/// Reads the body of ANNOUNCE and its header `Host`. `codecs` are those that DESCRIBE named.
pub fn parse_announce(
    body: &str,
    host: Option<&str>,
    codecs: &[Codec],
) -> Result<StreamParams, AnnounceError> {
    let wishes = Wishes::read(body);
    let encryption = wishes.number("x-ss-general.encryptionEnabled", 0)?;
    Ok(StreamParams {
        video: video(&wishes, codecs, encryption & encryption::VIDEO != 0)?,
        audio: audio(&wishes, host, encryption & encryption::AUDIO != 0)?,
        control_v2: encryption & encryption::CONTROL_V2 != 0,
        fec_status: wishes.number("x-ml-general.featureFlags", 0)? & FEATURE_FEC_STATUS != 0,
    })
}

fn video(wishes: &Wishes, codecs: &[Codec], encrypt: bool) -> Result<VideoParams, AnnounceError> {
    let codec = match wishes.within("x-nv-vqos[0].bitStreamFormat", Some(0), 0..=2)? {
        0 => Codec::H264,
        1 => Codec::H265,
        _ => Codec::Av1,
    };
    if !codecs.contains(&codec) {
        return Err(AnnounceError::Codec(codec));
    }
    let width = wishes.within("x-nv-video[0].clientViewportWd", None, 64..=16384)?;
    let height = wishes.within("x-nv-video[0].clientViewportHt", None, 64..=16384)?;
    if width % 2 != 0 || height % 2 != 0 {
        return Err(AnnounceError::OddSize { width, height });
    }
    let color = wishes.within("x-nv-video[0].encoderCscMode", Some(0), 0..=5)?;
    Ok(VideoParams {
        codec,
        width,
        height,
        fps: fps(wishes)?,
        packet_size: wishes.within("x-nv-video[0].packetSize", None, PACKET_SIZES)?,
        total_kbps: total_kbps(wishes)?,
        // A client that asks for more gets as many as there can be.
        min_fec_packets: wishes
            .number("x-nv-vqos[0].fec.minRequiredFecPackets", 0)?
            .min(MOST_MIN_FEC_PACKETS),
        encrypt,
        color_space: match color >> 1 {
            0 => ColorSpace::Bt601,
            1 => ColorSpace::Bt709,
            _ => ColorSpace::Bt2020,
        },
        full_range: color & 1 != 0,
        max_reference_frames: wishes.within("x-nv-video[0].maxNumReferenceFrames", Some(0), 0..=16)?,
        slices_per_frame: wishes.number("x-nv-video[0].videoEncoderSlicesPerFrame", 1)?.clamp(1, MOST_SLICES),
    })
}

/// The whole rate that the user chose; clients that do not tell it name the part of it meant for the picture.
fn total_kbps(wishes: &Wishes) -> Result<u32, AnnounceError> {
    const WHOLE: &str = "x-ml-video.configuredBitrateKbps";
    let name = if wishes.number(WHOLE, 0)? != 0 { WHOLE } else { "x-nv-vqos[0].bw.maximumBitrateKbps" };
    wishes.within(name, None, 100..=2_000_000)
}

fn audio(wishes: &Wishes, host: Option<&str>, encrypt: bool) -> Result<AudioParams, AnnounceError> {
    let channels = wishes.number("x-nv-audio.surround.numChannels", 2)?;
    if ![2, 6, 8].contains(&channels) {
        return Err(AnnounceError::Channels { channels });
    }
    let packet_ms = wishes.number("x-nv-aqos.packetDuration", 5)?;
    if ![5, 10].contains(&packet_ms) {
        return Err(AnnounceError::PacketDuration { milliseconds: packet_ms });
    }
    let features = wishes.number("x-nv-general.featureFlags", 0)?;
    let quality = wishes.number("x-nv-audio.surround.AudioQuality", 0)?;
    let high_stereo = channels == 2 && host.is_some_and(|host| !host.starts_with(NORMAL_STEREO_HOST));
    Ok(AudioParams {
        channels,
        packet_ms,
        high_quality: quality != 0 || high_stereo,
        encrypt: encrypt || features & FEATURE_AUDIO_ENCRYPTION != 0,
    })
}

fn fps(wishes: &Wishes) -> Result<Fps, AnnounceError> {
    let whole = wishes.within("x-nv-video[0].maxFPS", None, 1..=240)?;
    let exact = wishes.number("x-nv-video[0].clientRefreshRateX100", 0)?;
    Ok(exact_fps(whole, exact))
}

/// A refresh rate counts if it is within 1 % of the whole rate, for a client may ask for 60 on a display of 144 Hz.
fn exact_fps(whole: u32, refresh_x100: u32) -> Fps {
    let whole_x100 = whole * 100;
    let off_x100 = u64::from(refresh_x100.abs_diff(whole_x100)) * 100;
    if refresh_x100 == 0 || off_x100 > u64::from(whole_x100) {
        return Fps { num: whole, den: 1 };
    }
    // The rates of NTSC: n × 1000/1001, cut or rounded to hundredths.
    let above = refresh_x100.div_ceil(100);
    let ntsc_x100000 = u64::from(above) * 100_000_000 / 1001;
    if !refresh_x100.is_multiple_of(100) && ntsc_x100000.abs_diff(u64::from(refresh_x100) * 1000) < 1000 {
        return Fps { num: above * 1000, den: 1001 };
    }
    let divisor = gcd(refresh_x100, 100);
    Fps { num: refresh_x100 / divisor, den: 100 / divisor }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// `a=name:value` lines; the last of a name counts.
struct Wishes<'a>(HashMap<&'a str, &'a str>);

impl<'a> Wishes<'a> {
    fn read(body: &'a str) -> Self {
        // Values end in a blank.
        let pairs = body.lines().filter_map(|line| line.strip_prefix("a=")?.split_once(':'));
        Self(pairs.map(|(name, value)| (name.trim(), value.trim())).collect())
    }

    fn number(&self, name: &'static str, absent: u32) -> Result<u32, AnnounceError> {
        let Some(value) = self.0.get(name) else { return Ok(absent) };
        value.parse().map_err(|_| AnnounceError::NotANumber(name))
    }

    /// Without `absent` the value must be there.
    fn within(
        &self,
        name: &'static str,
        absent: Option<u32>,
        allowed: RangeInclusive<u32>,
    ) -> Result<u32, AnnounceError> {
        if absent.is_none() && !self.0.contains_key(name) {
            return Err(AnnounceError::Missing(name));
        }
        let value = self.number(name, absent.unwrap_or_default())?;
        if !allowed.contains(&value) {
            return Err(AnnounceError::OutOfRange { name, value, allowed });
        }
        Ok(value)
    }
}

#[cfg(test)]
#[path = "sdp_tests.rs"]
mod tests;
