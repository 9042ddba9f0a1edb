//! The file as written: every key optional, unknown ones refused.

use serde::Deserialize;
use toml::Spanned;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct File {
    pub name: Option<String>,
    pub port: Option<Spanned<u16>>,
    pub source: Option<Spanned<String>>,
    pub audio: Option<Spanned<String>>,
    pub displays: Displays,
    pub players: Players,
    pub input: Input,
    pub send: Send,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Displays {
    pub linger: Option<Spanned<toml::Value>>,
    pub others: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Players {
    pub most: Option<Spanned<i64>>,
    pub overload: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Input {
    pub output: Option<String>,
    pub record: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Send {
    pub fec_percentage: Option<Spanned<i64>>,
    pub adaptation: Option<bool>,
    pub least_fec_percentage: Option<Spanned<i64>>,
    pub most_fec_percentage: Option<Spanned<i64>>,
    pub least_kbps: Option<Spanned<i64>>,
    pub pacing: Option<bool>,
    pub link_rate: Option<Spanned<i64>>,
    pub dscp: Option<Spanned<i64>>,
    pub loss_percentage: Option<Spanned<f64>>,
    pub loss_burst: Option<Spanned<i64>>,
    pub loss_seed: Option<u32>,
}
