//! The one configuration file: read as written ([`file`]), then as meant ([`settings`]).

mod file;
mod settings;

pub use settings::{DisplaySettings, InputSettings, Linger, Others, PlayerSettings, SendSettings, Settings};

use crate::protocol::ports::Ports;
use std::path::{Path, PathBuf};

/// The default file as it ships, with a comment for every key.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

/// What is wrong with the configuration, and where.
#[derive(Debug, thiserror::Error)]
#[error("{file}{}: {reason}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct ConfigError {
    pub file: String,
    pub line: Option<usize>,
    pub reason: String,
}

/// Where a user's configuration and descriptions lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    pub config_file: PathBuf,
    pub state_dir: PathBuf,
    pub cache_dir: PathBuf,
}

impl Places {
    /// The given paths, and for what is not given the folders that XDG names.
    pub fn find(config_file: Option<PathBuf>, state_dir: Option<PathBuf>) -> anyhow::Result<Self> {
        let base = directories::BaseDirs::new();
        let known = |pick: fn(&directories::BaseDirs) -> Option<PathBuf>, option: &str| {
            base.as_ref().and_then(pick).map(|folder| folder.join("moonpipe")).ok_or_else(|| {
                anyhow::anyhow!("this user has no home folder: set HOME, or give the path with {option}")
            })
        };
        let state_dir = match state_dir {
            Some(folder) => folder,
            None => known(|b| b.state_dir().map(Path::to_owned), "--state-dir")?,
        };
        Ok(Self {
            config_file: match config_file {
                Some(file) => file,
                None => known(|b| Some(b.config_dir().to_owned()), "--config")?.join("config.toml"),
            },
            // What is in the cache can be made again: without a home it lies with the state.
            cache_dir: known(|b| Some(b.cache_dir().to_owned()), "")
                .unwrap_or_else(|_| state_dir.join("cache")),
            state_dir,
        })
    }

    /// What players can start.
    pub fn apps_file(&self) -> PathBuf {
        self.config_file.with_file_name("apps.toml")
    }

    /// The folder of the user's own descriptions.
    pub fn pipelines_dir(&self) -> PathBuf {
        self.config_file.with_file_name("pipelines")
    }
}

/// Reads `path`. A file that is not there means the defaults, unless the user named it (`required`).
pub fn load(path: &Path, required: bool) -> Result<Settings, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => Ok(Settings::default()),
        Err(error) => Err(ConfigError {
            file: path.display().to_string(),
            line: None,
            reason: format!("cannot be read: {error}"),
        }),
    }
}

fn parse(text: &str, file: &str) -> Result<Settings, ConfigError> {
    let at = |span: Option<std::ops::Range<usize>>, reason: String| ConfigError {
        file: file.to_owned(),
        line: span.map(|span| text[..span.start].matches('\n').count() + 1),
        reason,
    };
    let written: file::File = toml::from_str(text).map_err(|e| at(e.span(), e.message().to_owned()))?;
    Settings::try_from(written).map_err(|wrong| at(Some(wrong.span), wrong.reason))
}

/// The ports of a base, or why there are none.
pub fn ports(base: u16) -> Result<Ports, String> {
    Ports::from_base(base).ok_or_else(|| {
        format!(
            "port {base} leaves no room for the others: choose {} to {}",
            Ports::RANGE.start(),
            Ports::RANGE.end()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn refused(text: &str) -> String {
        parse(text, "config.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_file_says_the_defaults() {
        assert_eq!(parse(DEFAULT_FILE, "default.toml").unwrap(), Settings::default());
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(parse("", "config.toml").unwrap(), Settings::default());
    }

    #[test]
    fn a_missing_file_means_the_defaults_unless_it_was_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert_eq!(load(&path, false).unwrap(), Settings::default());
        assert!(load(&path, true).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_line_and_the_allowed_ones() {
        let said = refused("port = 5000\nsorce = \"test\"\n");
        assert!(said.starts_with("config.toml:2: "), "{said}");
        assert!(said.contains("`sorce`") && said.contains("`source`"), "{said}");
        let said = refused("[send]\nfec = 3\n");
        assert!(said.starts_with("config.toml:2: ") && said.contains("`fec-percentage`"), "{said}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_line_key_and_range() {
        for (text, words) in [
            ("name = \"\"\nport = 80\n", ["config.toml:2: ", "port", "1029"]),
            ("[send]\n\nfec-percentage = 256\n", ["config.toml:3: ", "fec-percentage", "255"]),
            (
                "[send]\nmost-fec-percentage = 30\nleast-fec-percentage = 31\n",
                ["config.toml:3: ", "least", "0 to 30"],
            ),
            ("[send]\ndscp = 64\n", ["config.toml:2: ", "dscp", "63"]),
            ("[send]\nloss-percentage = 101.0\n", ["config.toml:2: ", "loss-percentage", "100"]),
            ("[send]\nloss-burst = 0\n", ["config.toml:2: ", "loss-burst", "1 "]),
            ("source = \"\"\n", ["config.toml:1: ", "source", "name"]),
            ("[displays]\nlinger = -1\n", ["config.toml:2: ", "linger", "until released"]),
            ("[displays]\nothers = \"own\"\n", ["config.toml:2: ", "\"own\"", "\"take over\""]),
            ("[players]\nmost = 0\n", ["config.toml:2: ", "most", "1 to 1000"]),
            ("[players]\noverload = \"never\"\n", ["config.toml:2: ", "never", "\"allow\""]),
            ("[displays]\nlinger = \"never\"\n", ["config.toml:2: ", "never", "86400"]),
        ] {
            let said = refused(text);
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
    }

    #[test]
    fn a_display_waits_for_some_time_or_none_or_any() {
        for (text, linger) in [
            ("0", Linger::Immediately),
            ("3600", Linger::For(Duration::from_secs(3600))),
            ("\"immediately\"", Linger::Immediately),
            ("\"until released\"", Linger::UntilReleased),
        ] {
            let settings = parse(&format!("[displays]\nlinger = {text}\n"), "config.toml").unwrap();
            assert_eq!(settings.displays.linger, linger);
        }
    }

    #[test]
    fn what_becomes_of_others_is_one_of_four_things() {
        for (text, others) in [
            ("own display", Others::OwnDisplay),
            ("take over", Others::TakeOver),
            ("refuse", Others::Refuse),
            ("share", Others::Share),
        ] {
            let settings = parse(&format!("[displays]\nothers = \"{text}\"\n"), "config.toml").unwrap();
            assert_eq!(settings.displays.others, others);
        }
    }

    #[test]
    fn a_wrong_type_is_refused_with_its_line() {
        let said = refused("name = \"x\"\nport = \"many\"\n");
        assert!(said.starts_with("config.toml:2: "), "{said}");
    }
}
