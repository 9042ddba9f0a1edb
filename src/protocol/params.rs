//! What a client and the host agree on for one stream.

use std::fmt;

/// AES-128 key of a session (`rikey`): RTSP, control, video and audio are all sealed with it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(pub [u8; 16]);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

/// A video codec, in the order of the client's preference: it takes the last one that both sides have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    H264,
    H265,
    Av1,
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Codec::H264 => "H.264",
            Codec::H265 => "H.265",
            Codec::Av1 => "AV1",
        })
    }
}

/// Frames per second as an exact fraction: 59.94 Hz is 60000/1001.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fps {
    pub num: u32,
    pub den: u32,
}

impl Fps {
    /// Nanoseconds between two frames, rounded down.
    pub fn interval_ns(self) -> u64 {
        1_000_000_000 * u64::from(self.den) / u64::from(self.num)
    }

    /// Frames per second, for people: 60, 59.94.
    pub fn rounded(self) -> f64 {
        (f64::from(self.num) * 100.0 / f64::from(self.den)).round() / 100.0
    }
}

impl fmt::Display for Fps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

/// Matrix and transfer that the client asked for (`encoderCscMode >> 1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColorSpace {
    Bt601,
    Bt709,
    Bt2020,
}

/// The picture, as ANNOUNCE settled it; every value is inside its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoParams {
    pub codec: Codec,
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    pub fps: Fps,
    /// Bytes of a datagram after the 16 bytes of RTP header and padding: the `packetSize` of the protocol.
    pub packet_size: u32,
    /// What the client grants the whole stream on the wire, parity and audio included, in kbit/s.
    pub total_kbps: u32,
    /// Fewest parity packets per block (`minRequiredFecPackets`).
    pub min_fec_packets: u32,
    /// Each packet is sealed with AES-GCM.
    pub encrypt: bool,
    pub color_space: ColorSpace,
    pub full_range: bool,
    /// Most reference frames the decoder keeps; 0 leaves it to the host.
    pub max_reference_frames: u32,
    /// Slices per frame the decoder asks for, 1 to 16.
    pub slices_per_frame: u32,
}

/// The sound, as ANNOUNCE settled it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioParams {
    pub channels: u32,
    /// Milliseconds of sound per packet: 5 or 10.
    pub packet_ms: u32,
    pub high_quality: bool,
    /// Each payload is sealed with AES-CBC.
    pub encrypt: bool,
}

/// How Opus codes channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpusLayout {
    pub streams: u8,
    /// Of them, the first so many are of two channels.
    pub coupled: u8,
    /// For each channel (FL FR C LFE RL RR SL SR) the coded one.
    pub mapping: Vec<u8>,
}

/// How so many channels are coded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surround {
    pub normal: OpusLayout,
    pub high: OpusLayout,
}

/// All that ANNOUNCE settles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamParams {
    pub video: VideoParams,
    pub audio: AudioParams,
    /// The control channel uses the 12-byte nonce (`SS_ENC_CONTROL_V2`).
    pub control_v2: bool,
    /// The client tells how error correction went (0x5502).
    pub fec_status: bool,
}
