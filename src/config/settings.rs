//! The configuration as meant: every value inside its range. The defaults live here and nowhere else.

use super::file;
use crate::protocol::ports::Ports;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// How this host is set up.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What Moonlight shows; `None` for the name of this machine.
    pub name: Option<String>,
    pub ports: Ports,
    /// Name of a capture description.
    pub source: String,
    /// Name of an audio description.
    pub audio: String,
    pub displays: DisplaySettings,
    pub players: PlayerSettings,
    pub input: InputSettings,
    pub send: SendSettings,
}

/// Who may play at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayerSettings {
    /// So many clients.
    pub most: u32,
    /// Also where together they ask for more than the encoders were measured to bear.
    pub may_overload: bool,
}

/// What becomes of what players do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputSettings {
    /// Name of the desktop's output that is streamed, where the portal does not tell which one that is.
    pub output: Option<String>,
    /// Written there instead of being done.
    pub record: Option<PathBuf>,
}

/// Displays of clients' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisplaySettings {
    pub linger: Linger,
    pub others: Others,
}

/// What becomes of a client that launches what another one has on a display of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// It gets one too, and the app starts again there.
    OwnDisplay,
    /// It gets that display, app and all.
    TakeOver,
    Refuse,
    /// It sees the same.
    Share,
}

/// How long a display waits for a client that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linger {
    Immediately,
    For(Duration),
    UntilReleased,
}

/// How video packets leave.
#[derive(Clone, Debug, PartialEq)]
pub struct SendSettings {
    /// Parity in percent of the data packets, 0 to 255.
    pub fec_percentage: u32,
    /// Parity and bitrate follow what the client reports.
    pub adaptation: bool,
    /// Between these the share of parity moves, in percent.
    pub least_fec_percentage: u32,
    pub most_fec_percentage: u32,
    /// The bitrate falls no lower, in kbit/s.
    pub least_kbps: u32,
    pub pacing: bool,
    /// kbit/s; 0 if not known.
    pub link_rate: u32,
    /// 0 to 63; −1 for none.
    pub dscp: i32,
    /// Share of packets thrown away on purpose, in percent.
    pub loss_percentage: f64,
    /// Mean length of a burst of thrown packets.
    pub loss_burst: u32,
    pub loss_seed: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            ports: Ports::from_base(Ports::DEFAULT_BASE).expect("the default is in range"),
            source: "test".into(),
            audio: "test".into(),
            displays: DisplaySettings::default(),
            players: PlayerSettings::default(),
            input: InputSettings::default(),
            send: SendSettings::default(),
        }
    }
}

impl Default for DisplaySettings {
    fn default() -> Self {
        Self { linger: Linger::For(Duration::from_secs(10)), others: Others::OwnDisplay }
    }
}

impl Default for PlayerSettings {
    fn default() -> Self {
        Self { most: 4, may_overload: false }
    }
}

impl Default for SendSettings {
    fn default() -> Self {
        Self {
            fec_percentage: 20,
            adaptation: true,
            least_fec_percentage: 5,
            most_fec_percentage: 60,
            least_kbps: 1000,
            pacing: true,
            link_rate: 0,
            dscp: -1,
            loss_percentage: 0.0,
            loss_burst: 1,
            loss_seed: 0,
        }
    }
}

impl SendSettings {
    /// Parity in percent that a stream begins with.
    pub fn start_percentage(&self) -> u32 {
        if self.adaptation {
            self.fec_percentage.clamp(self.least_fec_percentage, self.most_fec_percentage)
        } else {
            self.fec_percentage
        }
    }
}

/// A value that the file may not say.
pub(super) struct Wrong {
    pub span: Range<usize>,
    pub reason: String,
}

impl TryFrom<file::File> for Settings {
    type Error = Wrong;

    fn try_from(written: file::File) -> Result<Self, Wrong> {
        let default = Self::default();
        Ok(Self {
            name: written.name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()),
            ports: match written.port {
                Some(port) => super::ports(*port.get_ref())
                    .map_err(|reason| Wrong { span: port.span(), reason: format!("port: {reason}") })?,
                None => default.ports,
            },
            source: description("source", written.source, default.source)?,
            audio: description("audio", written.audio, default.audio)?,
            displays: DisplaySettings {
                linger: linger(written.displays.linger, default.displays.linger)?,
                others: others(written.displays.others, default.displays.others)?,
            },
            players: PlayerSettings {
                most: integer("most", written.players.most, 1..=1000, default.players.most)?,
                may_overload: overload(written.players.overload, default.players.may_overload)?,
            },
            input: InputSettings {
                output: written.input.output,
                record: file("record", written.input.record)?,
            },
            send: SendSettings::try_from(written.send)?,
        })
    }
}

impl TryFrom<file::Send> for SendSettings {
    type Error = Wrong;

    fn try_from(written: file::Send) -> Result<Self, Wrong> {
        let default = Self::default();
        let rate = 0..=i64::from(u32::MAX);
        let percent = |key, written, default| integer(key, written, 0..=255, default);
        let most = percent("most-fec-percentage", written.most_fec_percentage, default.most_fec_percentage)?;
        let least = written.least_fec_percentage;
        let none_above = 0..=i64::from(most);
        Ok(Self {
            fec_percentage: percent("fec-percentage", written.fec_percentage, default.fec_percentage)?,
            adaptation: written.adaptation.unwrap_or(default.adaptation),
            least_fec_percentage: integer(
                "least-fec-percentage",
                least,
                none_above,
                default.least_fec_percentage.min(most),
            )?,
            most_fec_percentage: most,
            least_kbps: integer(
                "least-kbps",
                written.least_kbps,
                100..=i64::from(u32::MAX),
                default.least_kbps,
            )?,
            pacing: written.pacing.unwrap_or(default.pacing),
            link_rate: integer("link-rate", written.link_rate, rate, default.link_rate)?,
            dscp: integer("dscp", written.dscp, -1..=63, default.dscp)?,
            loss_percentage: percentage("loss-percentage", written.loss_percentage, default.loss_percentage)?,
            loss_burst: integer("loss-burst", written.loss_burst, 1..=1000, default.loss_burst)?,
            loss_seed: written.loss_seed.unwrap_or(default.loss_seed),
        })
    }
}

fn integer<T>(
    key: &str,
    written: Option<Spanned<i64>>,
    range: RangeInclusive<i64>,
    default: T,
) -> Result<T, Wrong>
where
    T: TryFrom<i64>,
{
    let Some(written) = written else { return Ok(default) };
    let value = *written.get_ref();
    let number = if range.contains(&value) { T::try_from(value).ok() } else { None };
    number.ok_or_else(|| Wrong {
        span: written.span(),
        reason: format!("{key} is {value}: allowed are {} to {}", range.start(), range.end()),
    })
}

fn linger(written: Option<Spanned<toml::Value>>, default: Linger) -> Result<Linger, Wrong> {
    let Some(written) = written else { return Ok(default) };
    match written.get_ref() {
        toml::Value::String(text) if text == "immediately" => return Ok(Linger::Immediately),
        toml::Value::String(text) if text == "until released" => return Ok(Linger::UntilReleased),
        toml::Value::Integer(0) => return Ok(Linger::Immediately),
        toml::Value::Integer(seconds @ 1..=86_400) => {
            return Ok(Linger::For(Duration::from_secs(seconds.unsigned_abs())));
        }
        _ => {}
    }
    Err(Wrong {
        span: written.span(),
        reason: format!(
            "linger is {}: allowed are seconds from 0 to 86400, \"immediately\" and \"until released\"",
            written.get_ref()
        ),
    })
}

fn others(written: Option<Spanned<String>>, default: Others) -> Result<Others, Wrong> {
    let Some(written) = written else { return Ok(default) };
    match written.get_ref().as_str() {
        "own display" => Ok(Others::OwnDisplay),
        "take over" => Ok(Others::TakeOver),
        "refuse" => Ok(Others::Refuse),
        "share" => Ok(Others::Share),
        other => Err(Wrong {
            span: written.span(),
            reason: format!(
                "others is {other:?}: allowed are \"own display\", \"take over\", \"refuse\" and \"share\""
            ),
        }),
    }
}

/// Whether it is allowed.
fn overload(written: Option<Spanned<String>>, default: bool) -> Result<bool, Wrong> {
    let Some(written) = written else { return Ok(default) };
    match written.get_ref().as_str() {
        "allow" => Ok(true),
        "refuse" => Ok(false),
        other => Err(Wrong {
            span: written.span(),
            reason: format!("overload is {other:?}: allowed are \"refuse\" and \"allow\""),
        }),
    }
}

/// None of an empty name.
fn file(key: &str, written: Option<Spanned<String>>) -> Result<Option<PathBuf>, Wrong> {
    let Some(written) = written.filter(|written| !written.get_ref().is_empty()) else { return Ok(None) };
    let path = PathBuf::from(written.get_ref());
    if !path.is_absolute() {
        let reason = format!("{key} is {:?}: it takes an absolute path", written.get_ref());
        return Err(Wrong { span: written.span(), reason });
    }
    Ok(Some(path))
}

fn percentage(key: &str, written: Option<Spanned<f64>>, default: f64) -> Result<f64, Wrong> {
    let Some(written) = written else { return Ok(default) };
    let value = *written.get_ref();
    if (0.0..=100.0).contains(&value) {
        Ok(value)
    } else {
        Err(Wrong { span: written.span(), reason: format!("{key} is {value}: allowed are 0 to 100") })
    }
}

fn description(key: &str, written: Option<Spanned<String>>, default: String) -> Result<String, Wrong> {
    match written {
        None => Ok(default),
        Some(name) if name.get_ref().is_empty() => Err(Wrong {
            span: name.span(),
            reason: format!("{key} is empty: it takes the name of a description, see `moonpipe pipelines`"),
        }),
        Some(name) => Ok(name.into_inner()),
    }
}
