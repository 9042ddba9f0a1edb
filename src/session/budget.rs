//! How the bitrate that a client grants is shared out: what the encoder may spend is the rest.

use crate::pipeline::audio::opus_kbps;
use crate::protocol::params::{AudioParams, VideoParams};

/// IP and UDP headers of a datagram; IPv6's are counted, so that the sum holds on either.
const IP_UDP_BYTES: u32 = 48;
/// RTP header and padding before each video packet.
const VIDEO_HEADER_BYTES: u32 = 16;
/// NV header inside each video packet, not counted in the payload.
const NV_HEADER_BYTES: u32 = 16;
/// Nonce, frame number and tag before each sealed video packet.
const VIDEO_SEAL_BYTES: u32 = 32;
/// RTP header of a sound packet, and its share of the parity packets' own header.
const AUDIO_HEADER_BYTES: u32 = 12 + 6;
/// Below this no encoder makes a picture worth sending.
const LEAST_ENCODER_KBPS: u32 = 300;

/// What sound takes on the wire: four data packets, two of parity, headers.
pub fn audio_wire_kbps(audio: &AudioParams) -> u32 {
    let payload = opus_kbps(audio) * audio.packet_ms / 8;
    // AES-CBC fills up to whole blocks of 16.
    let sealed = if audio.encrypt { (payload / 16 + 1) * 16 } else { payload };
    let packet = sealed + AUDIO_HEADER_BYTES + IP_UDP_BYTES;
    packet * 8 * 6 / (audio.packet_ms * 4)
}

/// What the encoder may spend: the client's total, less sound, headers and parity.
pub fn encoder_kbps(video: &VideoParams, audio: &AudioParams, fec_percentage: u32) -> u32 {
    let seal = if video.encrypt { VIDEO_SEAL_BYTES } else { 0 };
    let payload = u64::from(video.packet_size - NV_HEADER_BYTES);
    let datagram = u64::from(video.packet_size + VIDEO_HEADER_BYTES + seal + IP_UDP_BYTES);
    let wire = u64::from(video.total_kbps.saturating_sub(audio_wire_kbps(audio)));
    let encoder = wire * payload * 100 / (datagram * u64::from(100 + fec_percentage));
    (encoder as u32).max(LEAST_ENCODER_KBPS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::params::{Codec, ColorSpace, Fps};
    use proptest::prelude::*;

    fn video(total_kbps: u32, packet_size: u32, encrypt: bool) -> VideoParams {
        VideoParams {
            codec: Codec::H264,
            width: 1280,
            height: 720,
            fps: Fps { num: 60, den: 1 },
            packet_size,
            total_kbps,
            min_fec_packets: 2,
            encrypt,
            color_space: ColorSpace::Bt709,
            full_range: false,
            max_reference_frames: 0,
            slices_per_frame: 1,
        }
    }

    fn stereo() -> AudioParams {
        AudioParams { channels: 2, packet_ms: 5, high_quality: false, encrypt: true }
    }

    #[test]
    fn stereo_sound_takes_what_its_packets_take() {
        // 96 kbit/s are 60 bytes in 5 ms, sealed 64; 300 packets a second of 64 + 18 + 48 bytes.
        assert_eq!(audio_wire_kbps(&stereo()), 300 * (64 + 18 + 48) * 8 / 1000);
    }

    proptest! {
        /// Encoder, parity, sound and headers together stay inside what the client granted.
        #[test]
        fn everything_fits(
            total in 2_000u32..500_000, packet in (32u32..92).prop_map(|n| n * 16), fec in 0u32..=255, encrypt: bool,
        ) {
            let video = video(total, packet, encrypt);
            let encoder = f64::from(encoder_kbps(&video, &stereo(), fec));
            prop_assume!(encoder > f64::from(LEAST_ENCODER_KBPS));
            let packets = encoder * 1000.0 / 8.0 / f64::from(packet - 16) * f64::from(100 + fec) / 100.0;
            let datagram = packet + 16 + if encrypt { 32 } else { 0 } + 48;
            let wire = packets * f64::from(datagram) * 8.0 / 1000.0 + f64::from(audio_wire_kbps(&stereo()));
            prop_assert!(wire <= f64::from(total) + 1.0, "{wire} > {total}");
            prop_assert!(wire >= f64::from(total) * 0.98, "{wire} wastes {total}");
        }
    }
}
