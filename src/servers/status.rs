//! What the owner is told of sessions: the figures behind `moonpipe sessions`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One session, while it runs or after it ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct SessionStatus {
    /// Number of the session, as the log has it.
    pub session: u64,
    /// Name of the client.
    pub client: String,
    /// What is streamed, once that is settled: `H.264 1280x720 at 60 fps`.
    pub stream: String,
    /// Name of the capture description that is shown.
    pub source: String,
    /// Name of the encode description in use.
    pub encoder: String,
    /// How often a dead encoder was replaced, by itself or another one.
    pub encoder_replacements: u64,
    /// How often a lost source was built again.
    pub source_rebuilds: u64,
    /// What the client reports of the network, and what was made of it; nothing before it plays.
    pub network: Option<Network>,
    /// Since the launch; of a session that ended, until then.
    pub seconds: u64,
    /// Why it ended; nothing while it runs.
    pub ended: Option<String>,
    pub frames: Frames,
    pub packets: Packets,
    /// Key frames that were asked of the encoder, by reason.
    pub key_frames: BTreeMap<String, u64>,
    /// Key frames beyond those: of an encoder that was opened anew for another bitrate, or could not do without frames
    /// that were lost too long ago.
    pub unasked_key_frames: u64,
    /// Invalidations of lost frames that the encoder answered without a key frame.
    pub invalidations: u64,
    /// Parity packets per 100 data packets, as it is now.
    pub fec_percentage: u32,
    /// What the encoder may spend now, in kbit/s.
    pub encoder_kbps: u32,
}

/// Counted on the way to the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Frames {
    pub sent: u64,
    /// Key frames among those sent.
    pub key: u64,
    /// Those sent that show a new picture; nothing is known of an encoder that takes their times off frames.
    pub new: u64,
    /// Pictures shown again because the source had no newer one.
    pub repeated: u64,
    /// Dropped after encoding; the client sees a gap for each.
    pub dropped: u64,
}

/// What the client's reports say, and what was made of them. Shares are of 1, over the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Network {
    /// Packets lost before parity.
    pub loss_before: f64,
    /// Blocks that parity did not mend.
    pub loss_after: f64,
    /// Mean number of packets lost in a row.
    pub burst: f64,
    /// Loss over the last seconds less that over the last ten: above zero it gets worse.
    pub trend: f64,
    /// What encoder, parity, sound and headers may take together now, in kbit/s.
    pub total_kbps: u32,
    /// Since the start: reports, and blocks among them that failed.
    pub reports: u64,
    pub failed_blocks: u64,
    /// Data packets that were lost, and rebuilt from parity.
    pub recovered_packets: u64,
    /// The fewest parity packets of a block, as it is now.
    pub min_parity: u32,
    /// Decisions since the start; none of a stream that is to stay as it is.
    pub parity_raised: u64,
    pub parity_lowered: u64,
    pub rate_raised: u64,
    pub rate_lowered: u64,
}

/// Datagrams of the video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Packets {
    pub sent: u64,
    pub bytes: u64,
    /// Given up because the network took no more within the frame's time.
    pub dropped: u64,
}
