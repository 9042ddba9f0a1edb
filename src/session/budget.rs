//! How the bitrate that a client grants is shared out: what the encoder may spend is the rest.
//!
//! Headers and parity are counted as the packetizer lays a frame out, not by the nominal percentage: the client's
//! minimum of parity packets and the last packet of a frame, which is seldom full, cost more than their share where
//! frames are small. Two things are assumed. An encoder keeps its average; and frames vary around it by a packet or
//! more, so that their last packets are half full on average. A key frame of five times the size is spread over time by
//! whoever sends it, not paid for in advance.

use crate::pipeline::audio::opus_kbps;
use crate::protocol::params::{AudioParams, VideoParams};
use gstgamestream::wire::video::{FRAME_HEADER, Layout, Redundancy};

/// IP and UDP headers of a datagram; IPv6's are counted, so that the sum holds on either.
const IP_UDP_BYTES: u32 = 48;
/// NV header inside each video packet, not counted in the payload.
const NV_HEADER_BYTES: u64 = 16;
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

/// What the encoder may spend, in kbit/s: the client's total, less sound, headers and parity. `fec_percentage` is 0 to
/// 255.
///
/// Where the total does not even carry frames of one packet with their parity, it is what fills that packet: less would
/// put as much on the wire.
pub fn encoder_kbps(video: &VideoParams, audio: &AudioParams, fec_percentage: u32) -> u32 {
    let frames = Frames::new(video, fec_percentage);
    let granted = u64::from(video.total_kbps.saturating_sub(audio_wire_kbps(audio))) * 1000;
    frames.encoder_kbps(frames.bytes_within(granted)).max(LEAST_ENCODER_KBPS)
}

/// What frames of one stream cost on the wire.
struct Frames<'a> {
    video: &'a VideoParams,
    redundancy: Redundancy,
}

impl<'a> Frames<'a> {
    fn new(video: &'a VideoParams, fec_percentage: u32) -> Self {
        let percentage = fec_percentage.min(u8::MAX.into()) as u8;
        Self { video, redundancy: Redundancy { percentage, min: video.min_fec_packets as usize } }
    }

    /// Bytes of bitstream that fill `packets` data packets.
    fn bytes_of(&self, packets: u64) -> u64 {
        packets * self.payload() - FRAME_HEADER as u64
    }

    fn payload(&self) -> u64 {
        u64::from(self.video.packet_size) - NV_HEADER_BYTES
    }

    /// Bits a second on the wire when every frame has `bytes` of bitstream; none where such a frame is too large to be
    /// sent.
    fn wire(&self, bytes: u64) -> Option<u64> {
        let layout = Layout::plan(bytes as usize, self.video.packet_size as usize, self.redundancy).ok()?;
        let datagram = layout.datagram(self.video.encrypt) as u64 + u64::from(IP_UDP_BYTES);
        let fps = self.video.fps;
        Some((layout.packets() as u64 * datagram * 8 * u64::from(fps.num)).div_ceil(u64::from(fps.den)))
    }

    /// The average frame that stays within `granted` bits a second, in bytes of bitstream.
    fn bytes_within(&self, granted: u64) -> u64 {
        let cost = |packets| self.wire(self.bytes_of(packets));
        let fits = |packets: &u64| cost(*packets).is_some_and(|wire| wire <= granted);
        // One after the other: beyond parity's reach a frame costs less than a smaller one with parity.
        let Some(packets) = (1..).take_while(fits).last() else { return self.bytes_of(1) };
        let spare = granted - cost(packets).unwrap_or(granted);
        let step = cost(packets + 1).and_then(|next| next.checked_sub(granted - spare)).unwrap_or(0);
        // Half of the frames need a packet more than the average: what is spare has to pay for them.
        let half = step.saturating_sub(2 * spare) * self.payload() / (2 * step).max(1);
        self.bytes_of(packets).saturating_sub(half).max(self.bytes_of(1))
    }

    fn encoder_kbps(&self, bytes: u64) -> u32 {
        let fps = self.video.fps;
        (bytes * 8 * u64::from(fps.num) / u64::from(fps.den) / 1000) as u32
    }
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

    /// Kilobits a second on the wire, sound included, of frames with these bytes, one after the other.
    fn wire_kbps(video: &VideoParams, fec: u32, frames: impl ExactSizeIterator<Item = u64>) -> f64 {
        let redundancy = Redundancy { percentage: fec as u8, min: video.min_fec_packets as usize };
        let count = frames.len() as f64;
        let packets = frames.map(|bytes| {
            Layout::plan(bytes as usize, video.packet_size as usize, redundancy).unwrap().packets() as u64
        });
        let datagram = u64::from(video.packet_size) + 16 + if video.encrypt { 32 } else { 0 } + 48;
        let bits = (packets.sum::<u64>() * datagram * 8) as f64 / count;
        bits * f64::from(video.fps.num) / f64::from(video.fps.den) / 1000.0
            + f64::from(audio_wire_kbps(&stereo()))
    }

    fn frame_bytes(video: &VideoParams, kbps: u32) -> u64 {
        u64::from(kbps) * 1000 * u64::from(video.fps.den) / u64::from(video.fps.num) / 8
    }

    #[test]
    fn stereo_sound_takes_what_its_packets_take() {
        // 96 kbit/s are 60 bytes in 5 ms, sealed 64; 300 packets a second of 64 + 18 + 48 bytes.
        assert_eq!(audio_wire_kbps(&stereo()), 300 * (64 + 18 + 48) * 8 / 1000);
    }

    /// 20 Mbit/s in 60 frames, sealed: 27 packets of 1488 bytes a frame, of which 5 are parity.
    #[test]
    fn parity_is_counted_in_packets() {
        let video = video(20_000, 1392, true);
        let packets = u64::from(20_000 - audio_wire_kbps(&stereo())) * 1000 / 60 / 8 / 1488;
        assert_eq!(packets, 27);
        let layout = |data: u64| {
            let redundancy = Redundancy { percentage: 20, min: 2 };
            Layout::plan((data * 1376 - 8) as usize, 1392, redundancy).unwrap().packets()
        };
        assert_eq!((layout(22), layout(23)), (27, 28));
        let bytes = frame_bytes(&video, encoder_kbps(&video, &stereo(), 20));
        assert!((21 * 1376 + 688 - 8 - 3..=22 * 1376 - 8).contains(&bytes), "{bytes}");
    }

    #[test]
    fn more_parity_leaves_less_for_the_encoder() {
        let video = video(50_000, 1392, false);
        let kbps: Vec<u32> = [0, 10, 20, 50, 100, 255].map(|fec| encoder_kbps(&video, &stereo(), fec)).into();
        assert!(kbps.is_sorted_by(|before, after| before > after), "{kbps:?}");
        assert!(kbps[0] > 45_000 && kbps[5] < 15_000, "{kbps:?}");
    }

    /// A frame of one packet with the parity that the client insists on: no encoder is slow enough for that.
    #[test]
    fn what_cannot_be_paid_for_fills_its_packets() {
        let video = video(2000, 1392, false);
        assert_eq!(encoder_kbps(&video, &stereo(), 20), (1376 - 8) * 8 * 60 / 1000);
    }

    proptest! {
        /// Encoder, parity, sound and headers together stay inside what the client granted, whether all frames are
        /// alike or they vary; and no packet more would fit.
        #[test]
        fn everything_fits(
            total in 2000_u32..500_000,
            packet in (32_u32..92).prop_map(|n| n * 16),
            fec in 0_u32..=255,
            min in 0_u32..=8,
            fps in prop_oneof![Just((30, 1)), Just((60, 1)), Just((60000, 1001)), Just((120, 1)), Just((240, 1))],
            encrypt: bool,
        ) {
            let fps = Fps { num: fps.0, den: fps.1 };
            let video = VideoParams { min_fec_packets: min, fps, ..video(total, packet, encrypt) };
            let kbps = encoder_kbps(&video, &stereo(), fec);
            let bytes = frame_bytes(&video, kbps);
            let payload = u64::from(packet - 16);
            let least = payload - 8;
            prop_assume!(kbps > LEAST_ENCODER_KBPS && bytes > least);
            let alike = wire_kbps(&video, fec, [bytes].into_iter());
            prop_assert!(alike <= f64::from(total), "{alike} > {total}: {bytes} bytes in a frame");
            let more = (bytes + 8).div_ceil(payload) * payload + 1;
            let more = wire_kbps(&video, fec, [more].into_iter());
            prop_assert!(more > f64::from(total), "{more} of {total}: {bytes} bytes in a frame");
            // As many below the average as above it, by up to a packet.
            let spread = (0..64).map(|n| bytes - payload / 2 + n * payload / 64 + payload / 128);
            let varied = wire_kbps(&video, fec, spread.collect::<Vec<_>>().into_iter());
            prop_assert!(varied <= f64::from(total) * 1.02, "{varied} > {total}: {bytes} bytes on average");
        }
    }
}
