//! The file of apps, read again whenever it changed.

use super::list::{self, App};
use crate::config::ConfigError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// The apps of this host as its owner wrote them last without a fault. Its calls read files: not for a runtime's thread.
pub struct Catalog {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    apps: Arc<Vec<App>>,
    /// Of the file that was read last, faulty or not; none while there is none.
    stamp: Option<Stamp>,
}

/// A file that was written again differs in one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Catalog {
    /// Reads `path` for the first time; a faulty file is an error. Without the file there is the desktop alone.
    pub fn open(path: PathBuf) -> Result<Catalog, ConfigError> {
        let stamp = stamp(&path);
        let state = State { apps: Arc::new(read(&path)?), stamp };
        Ok(Self { path, state: Mutex::new(state) })
    }

    /// What there is now. While the file has a fault, what it said before.
    pub fn apps(&self) -> Arc<Vec<App>> {
        let mut state = self.state.lock().expect("nothing panics while it holds the list");
        let stamp = stamp(&self.path);
        if stamp != state.stamp {
            state.stamp = stamp;
            match read(&self.path) {
                Ok(apps) => {
                    tracing::info!("{}: {} apps", self.path.display(), apps.len());
                    state.apps = Arc::new(apps);
                }
                Err(fault) => tracing::warn!("{fault}; the apps stay as they were"),
            }
        }
        state.apps.clone()
    }
}

fn read(path: &Path) -> Result<Vec<App>, ConfigError> {
    let refused = |line, reason| ConfigError { file: path.display().to_string(), line, reason };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(list::desktop_alone()),
        Err(error) => return Err(refused(None, format!("cannot be read: {error}"))),
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    list::parse(&text, folder).map_err(|fault| refused(Some(fault.line), fault.reason))
}

fn stamp(path: &Path) -> Option<Stamp> {
    let about = std::fs::metadata(path).ok()?;
    Some(Stamp {
        modified: about.modified().ok(),
        length: about.len(),
        #[cfg(unix)]
        inode: std::os::unix::fs::MetadataExt::ino(&about),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(catalog: &Catalog) -> Vec<String> {
        catalog.apps().iter().map(|app| app.title.clone()).collect()
    }

    #[test]
    fn the_file_is_read_again_when_it_changes_and_a_fault_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apps.toml");
        let catalog = Catalog::open(path.clone()).unwrap();
        assert_eq!(titles(&catalog), ["Desktop"]);
        std::fs::write(&path, "[[app]]\ntitle = \"one\"\n").unwrap();
        assert_eq!(titles(&catalog), ["one"]);
        std::fs::write(&path, "[[app]]\ntitle = \"one\"\n[[app]]\ntitel = \"two\"\n").unwrap();
        assert_eq!(titles(&catalog), ["one"]);
        std::fs::write(&path, "[[app]]\ntitle = \"one\"\n[[app]]\ntitle = \"two\"\n").unwrap();
        assert_eq!(titles(&catalog), ["one", "two"]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(titles(&catalog), ["Desktop"]);
    }

    #[test]
    fn a_host_does_not_start_with_a_faulty_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apps.toml");
        std::fs::write(&path, "[[app]]\ntitle = 3\n").unwrap();
        let said = Catalog::open(path).err().unwrap().to_string();
        assert!(said.contains("apps.toml:2: "), "{said}");
    }
}
