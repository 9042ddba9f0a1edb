//! All descriptions: those built in, and a user's own that shadow them by name.

use super::check::{self, Sample};
use super::description::{
    AudioDescription, CaptureDescription, Describes, EncodeDescription, Refused, SendDescription,
};
use super::read;
use anyhow::bail;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Descriptions by name. One with an obstacle is listed too: look at `common.obstacle` before use.
#[derive(Debug, Default)]
pub struct Library {
    pub capture: BTreeMap<String, CaptureDescription>,
    pub encode: BTreeMap<String, EncodeDescription>,
    pub audio: BTreeMap<String, AudioDescription>,
    pub send: BTreeMap<String, SendDescription>,
    /// Files that cannot be used. A built-in description of the same name stays in force.
    pub refused: Vec<Refused>,
}

impl Library {
    /// Reads what is built in, then `user_dir/{capture,encode,audio,send}/*.toml`. GStreamer must be initialised.
    pub fn load(user_dir: Option<&Path>) -> Library {
        let mut library = Library::default();
        library.capture = library.read_kind(user_dir);
        library.encode = library.read_kind(user_dir);
        library.audio = library.read_kind(user_dir);
        library.send = library.read_kind(user_dir);
        library
    }

    /// `(kind, name, obstacle)` of every description, for a list that people read.
    pub fn entries(&self) -> Vec<(&'static str, &str, Option<&str>)> {
        fn of<D: Describes>(
            map: &BTreeMap<String, D>,
        ) -> impl Iterator<Item = (&'static str, &str, Option<&str>)> {
            map.values().map(|d| (D::KIND, d.name(), d.common().obstacle.as_deref()))
        }
        of(&self.capture).chain(of(&self.encode)).chain(of(&self.audio)).chain(of(&self.send)).collect()
    }

    fn read_kind<D: Sample>(&mut self, user_dir: Option<&Path>) -> BTreeMap<String, D> {
        let mut found = BTreeMap::new();
        for (name, toml) in shipped(D::KIND) {
            let file = format!("pipelines/{}/{name}.toml", D::KIND);
            let mut description =
                D::read(name, &file, toml).expect("a test reads every built-in description");
            let obstacle = check::obstacle(description.common());
            description.common_mut().obstacle = obstacle;
            found.insert(name.to_owned(), description);
        }
        for path in user_dir.map(|dir| toml_files(&dir.join(D::KIND))).unwrap_or_default() {
            match read_user_file::<D>(&path) {
                Ok(description) => {
                    found.insert(description.name().to_owned(), description);
                }
                Err(refused) => self.refused.push(refused),
            }
        }
        found
    }
}

/// Somebody names a description that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("{key} {name} is not known: choose one of {known}")]
pub struct UnknownDescription {
    key: &'static str,
    name: String,
    known: String,
}

/// The description of this name, if this machine can run it. `key` is what it is for.
pub fn named<D: Describes + Clone>(
    all: &BTreeMap<String, D>,
    name: &str,
    key: &'static str,
) -> anyhow::Result<D> {
    let Some(description) = all.get(name) else {
        let known = all.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        bail!(UnknownDescription { key, name: name.to_owned(), known });
    };
    match &description.common().obstacle {
        Some(why) => bail!("{key} {name} cannot work here because {why}"),
        None => Ok(description.clone()),
    }
}

fn read_user_file<D: Sample>(path: &Path) -> Result<D, Refused> {
    let file = path.display().to_string();
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let toml = std::fs::read_to_string(path).map_err(|error| Refused {
        file: file.clone(),
        line: 1,
        reason: format!("cannot be read: {error}"),
    })?;
    let mut description = D::read(&name, &file, &toml)?;
    let obstacle = check::obstacle(description.common());
    if obstacle.is_none()
        && let Some(fault) = check::fault(&description)
    {
        return Err(Refused { file, line: line_of(&toml, &fault.word), reason: fault.reason });
    }
    description.common_mut().obstacle = obstacle;
    Ok(description)
}

/// The line where `word` stands in or after `launch = …`, or else anywhere.
fn line_of(toml: &str, word: &str) -> usize {
    let launch = toml.find("\nlaunch").map_or(0, |at| at + 1);
    let at = toml[launch..].find(word).map(|at| launch + at).or_else(|| toml.find(word));
    read::line_at(toml, at.unwrap_or(launch))
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    files
}

macro_rules! shipped {
    ($($kind:literal: $($name:literal)*;)*) => {
        &[$($(($kind, $name, include_str!(concat!("../../pipelines/", $kind, "/", $name, ".toml"))),)*)*]
    };
}

/// Kind, name and text of every file in `pipelines/`.
const SHIPPED: &[(&str, &str, &str)] = shipped! {
    "capture": "d3d11" "portal" "test" "virtual";
    "encode": "av1-amf" "av1-aom" "av1-nvenc" "av1-qsv" "av1-svt" "av1-va"
        "h264-amf" "h264-mf" "h264-nvenc" "h264-nvenc-cuda" "h264-nvenc-tuned" "h264-openh264" "h264-qsv" "h264-va"
        "h264-va-lp" "h264-x264" "h264-x264-rfi"
        "h265-amf" "h265-nvenc" "h265-nvenc-tuned" "h265-qsv" "h265-va" "h265-x265";
    "audio": "pipewire" "test" "wasapi2";
    "send": "audio" "video";
};

fn shipped(kind: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    SHIPPED.iter().filter(move |(k, _, _)| *k == kind).map(|(_, name, toml)| (*name, *toml))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
        let mut count = 0;
        for kind in ["capture", "encode", "audio", "send"] {
            for path in toml_files(&folder.join(kind)) {
                count += 1;
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                assert!(shipped(kind).any(|(n, _)| n == name), "{} is not in SHIPPED", path.display());
            }
        }
        assert_eq!(count, SHIPPED.len());
    }
}
