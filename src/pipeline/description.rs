//! One text file that says how to capture, encode, sound or send: read from TOML and checked as far as text goes.
//!
//! A file is refused with its line and a reason; whether this machine has what it needs is asked in [`super::check`].

use super::display::WAYLANDSRC;
use super::launch;
use super::read::Source;
use super::surround::{channel_mask, coded_mask};
use crate::desktop::portal;
use crate::protocol::params::{AudioParams, Codec, Fps};
use serde::Deserialize;
use std::fmt;
use toml::Spanned;

/// What every description says.
#[derive(Clone, Debug, PartialEq)]
pub struct Common {
    /// File name without `.toml`.
    pub name: String,
    /// Where it was read: a path, or `pipelines/…` for one that is built in.
    pub file: String,
    /// Of those that work, the highest is taken.
    pub rank: i32,
    pub needs: Vec<Need>,
    /// What one would type after `gst-launch-1.0`, with placeholders.
    pub launch: String,
    /// Why this machine cannot run it, in words that follow "cannot work here because".
    pub obstacle: Option<String>,
}

/// An element, and maybe one of its properties, that has to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub element: String,
    pub property: Option<String>,
}

/// Where the picture comes from: a text that ends in `video/x-raw` in system memory.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptureDescription {
    pub common: Common,
    /// D-Bus on which the portal is asked; nothing for that of the session that the host runs in.
    pub bus: Option<String>,
    /// What takes input there; nothing where the host finds out by itself.
    pub input: Option<Takes>,
}

/// What takes input where a capture looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Takes {
    /// Whoever reads the devices of this machine.
    Uinput,
}

/// How a picture is encoded: raw pictures in system memory in, whole access units out.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodeDescription {
    pub common: Common,
    pub codec: Codec,
    /// Memory the encoder itself reads.
    pub memory: Memory,
    pub bitrate: Bitrate,
    /// It makes a key frame when asked. Not written in the file but seen when it is probed; one that does not is
    /// opened anew for each key frame.
    pub obeys_key_requests: bool,
    /// It goes on without frames that a client has lost, when told of them. Seen when it is probed as well.
    pub answers_invalidation: bool,
}

/// Where sound comes from and how it is encoded: a text that ends in `audio/x-opus`.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioDescription {
    pub common: Common,
}

/// How encoded frames become packets and leave: a text whose elements `packetizer` and `sender` get the session's
/// values as properties.
#[derive(Clone, Debug, PartialEq)]
pub struct SendDescription {
    pub common: Common,
    pub media: Media,
}

/// What a [`SendDescription`] sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Media {
    Video,
    Audio,
}

/// Memory that an encoder reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    #[default]
    System,
    Cuda,
    Va,
    D3d11,
}

/// The property of element `encoder` that carries the bitrate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bitrate {
    pub property: String,
    pub unit: BitrateUnit,
    /// The encoder takes a new value while it runs.
    pub live: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum BitrateUnit {
    #[serde(rename = "kbit/s")]
    KbitPerSecond,
    #[serde(rename = "bit/s")]
    BitPerSecond,
}

impl Bitrate {
    /// `kbps` in the unit of the property.
    pub fn value(&self, kbps: u32) -> u64 {
        match self.unit {
            BitrateUnit::KbitPerSecond => u64::from(kbps),
            BitrateUnit::BitPerSecond => u64::from(kbps) * 1000,
        }
    }
}

/// Size and rate that a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    pub width: u32,
    pub height: u32,
    pub fps: Fps,
}

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub file: String,
    /// From 1.
    pub line: usize,
    pub reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

impl CaptureDescription {
    /// The picture is made in the client's size and rate, so that every session has a capture of its own.
    /// Others are shared by all sessions and outlive them.
    pub fn follows_client(&self) -> bool {
        self.common.has_placeholder("width")
    }

    /// Apps show themselves on a display that it opens.
    pub fn opens_display(&self) -> bool {
        launch::elements(&self.common.launch).iter().any(|element| element.factory == WAYLANDSRC)
    }

    /// It needs a screencast session of the desktop portal.
    pub fn uses_portal(&self) -> bool {
        self.common.has_placeholder("node")
    }

    /// `screencast`: node id and descriptor of the PipeWire remote.
    pub fn fill(&self, mode: Mode, screencast: Option<(u32, i32)>) -> String {
        let mut values = mode_values(mode).to_vec();
        if let Some((node, fd)) = screencast {
            values.extend([("node", node.to_string()), ("fd", fd.to_string())]);
        }
        launch::fill(&self.common.launch, &values)
    }
}

impl EncodeDescription {
    /// `slices` of a frame, as many as the client's decoder asks for.
    pub fn fill(&self, mode: Mode, kbps: u32, slices: u32) -> String {
        let mut values = mode_values(mode).to_vec();
        values.extend([("kbps", kbps.to_string()), ("slices", slices.to_string())]);
        launch::fill(&self.common.launch, &values)
    }

    /// It cuts frames into as many slices as a client asks for.
    pub fn slices_frames(&self) -> bool {
        self.common.has_placeholder("slices")
    }
}

impl AudioDescription {
    /// It can listen to the sink of one player.
    pub fn uses_sink(&self) -> bool {
        self.common.has_placeholder("sink")
    }

    /// It codes each channel of surround by itself where high quality is asked for.
    pub fn codes_apart(&self) -> bool {
        self.common.has_placeholder("coded_mask")
    }

    /// `sink`: PipeWire's name of the player's own; without it, the text listens to what it does by itself.
    pub fn fill(&self, params: &AudioParams, kbps: u32, sink: Option<&str>) -> String {
        let target = sink.map(|name| format!("target-object={name}"));
        let values = [
            ("channels", params.channels.to_string()),
            ("channel_mask", channel_mask(params.channels).to_owned()),
            ("coded_mask", coded_mask(params).to_owned()),
            ("packet_ms", params.packet_ms.to_string()),
            ("kbps", kbps.to_string()),
            ("sink", target.unwrap_or_default()),
        ];
        launch::fill(&self.common.launch, &values)
    }
}

fn mode_values(mode: Mode) -> [(&'static str, String); 3] {
    [("width", mode.width.to_string()), ("height", mode.height.to_string()), ("fps", mode.fps.to_string())]
}

impl Common {
    fn has_placeholder(&self, name: &str) -> bool {
        launch::placeholders(&self.launch).iter().any(|p| p.name == name)
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.property {
            Some(property) => write!(f, "{}:{property}", self.element),
            None => f.write_str(&self.element),
        }
    }
}

/// A kind of description: the folder it lies in, and how its file is read.
pub trait Describes: Sized {
    /// Folder under `pipelines/`.
    const KIND: &'static str;

    /// `file` is only for messages.
    fn read(name: &str, file: &str, toml: &str) -> Result<Self, Refused>;

    fn common(&self) -> &Common;

    fn common_mut(&mut self) -> &mut Common;

    /// The name a user types.
    fn name(&self) -> &str {
        &self.common().name
    }
}

macro_rules! common {
    () => {
        fn common(&self) -> &Common {
            &self.common
        }

        fn common_mut(&mut self) -> &mut Common {
            &mut self.common
        }
    };
}

impl Describes for CaptureDescription {
    const KIND: &'static str = "capture";
    common!();

    fn read(name: &str, file: &str, toml: &str) -> Result<Self, Refused> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            rank: Option<i32>,
            needs: Option<Vec<Spanned<String>>>,
            bus: Option<Spanned<String>>,
            input: Option<Spanned<Takes>>,
            launch: Spanned<String>,
        }
        let source = Source { name, file, toml };
        let w: Written = source.parse()?;
        source.only(&w.launch, &["width", "height", "fps", "node", "fd"])?;
        source.all_or_none(&w.launch, &["width", "height", "fps"])?;
        source.all_or_none(&w.launch, &["node", "fd"])?;
        let common = source.common(w.rank, w.needs, w.launch)?;
        let description = Self { common, bus: None, input: w.input.as_ref().map(|input| *input.as_ref()) };
        if let Some(input) = w.input.filter(|_| description.opens_display()) {
            let reason = format!("input: {WAYLANDSRC} takes input by itself");
            return Err(source.refused(input.span().start, reason));
        }
        let Some(bus) = w.bus else { return Ok(description) };
        let checked = match description.uses_portal() {
            true => portal::check_bus(bus.as_ref()),
            false => Err("it is for a launch with {node} and {fd}".into()),
        };
        checked.map_err(|reason| source.refused(bus.span().start, format!("bus: {reason}")))?;
        Ok(Self { bus: Some(bus.into_inner()), ..description })
    }
}

impl Describes for EncodeDescription {
    const KIND: &'static str = "encode";
    common!();

    fn read(name: &str, file: &str, toml: &str) -> Result<Self, Refused> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            codec: Codec,
            rank: Option<i32>,
            needs: Option<Vec<Spanned<String>>>,
            #[serde(default)]
            memory: Memory,
            bitrate: Bitrate,
            launch: Spanned<String>,
        }
        let source = Source { name, file, toml };
        let w: Written = source.parse()?;
        source.only(&w.launch, &["width", "height", "fps", "kbps", "slices"])?;
        source.all(&w.launch, &["kbps"])?;
        source.named(&w.launch, &["encoder"])?;
        let common = source.common(w.rank, w.needs, w.launch)?;
        Ok(Self {
            common,
            codec: w.codec,
            memory: w.memory,
            bitrate: w.bitrate,
            obeys_key_requests: true,
            answers_invalidation: false,
        })
    }
}

impl Describes for AudioDescription {
    const KIND: &'static str = "audio";
    common!();

    fn read(name: &str, file: &str, toml: &str) -> Result<Self, Refused> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            rank: Option<i32>,
            needs: Option<Vec<Spanned<String>>>,
            launch: Spanned<String>,
        }
        let source = Source { name, file, toml };
        let w: Written = source.parse()?;
        source.only(&w.launch, &["channels", "channel_mask", "coded_mask", "packet_ms", "kbps", "sink"])?;
        source.all(&w.launch, &["channels", "packet_ms"])?;
        Ok(Self { common: source.common(w.rank, w.needs, w.launch)? })
    }
}

impl Describes for SendDescription {
    const KIND: &'static str = "send";
    common!();

    fn read(name: &str, file: &str, toml: &str) -> Result<Self, Refused> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            media: Spanned<Media>,
            rank: Option<i32>,
            needs: Option<Vec<Spanned<String>>>,
            launch: Spanned<String>,
        }
        let source = Source { name, file, toml };
        let w: Written = source.parse()?;
        let other = match w.media.as_ref() {
            Media::Video => "audio",
            Media::Audio => "video",
        };
        if name == other {
            let reason = format!("media: the host sends {other} with the description of this name");
            return Err(source.refused(w.media.span().start, reason));
        }
        source.only(&w.launch, &[])?;
        source.named(&w.launch, &["packetizer", "sender"])?;
        Ok(Self { media: w.media.into_inner(), common: source.common(w.rank, w.needs, w.launch)? })
    }
}
