use super::{Fingerprint, Permissions};
use crate::files;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

const FILE: &str = "clients.toml";
/// Held while the file is read, changed and replaced: another process may do the same.
const LOCK: &str = "clients.lock";
/// Longer names are cut: they stand in lists and logs.
const NAME_LENGTH: usize = 64;

/// A client that was paired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Unique among the clients of this host.
    pub name: String,
    pub fingerprint: Fingerprint,
    /// Everything unless the owner said otherwise.
    #[serde(default, skip_serializing_if = "Permissions::is_everything")]
    pub may: Permissions,
}

/// The paired clients. Clones share one state; the file under it may be changed by another process at any time.
#[derive(Clone)]
pub struct Clients {
    shared: Arc<Shared>,
}

struct Shared {
    state_dir: PathBuf,
    known: Mutex<Known>,
}

/// What the file said when it was last read.
struct Known {
    stamp: Stamp,
    list: Vec<Client>,
}

/// Tells one version of the file from another; `None` stands for no file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp(Option<(u64, SystemTime, u64)>);

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    client: Vec<Client>,
}

impl Clients {
    /// Reads `clients.toml` in `state_dir`; a missing file means that nobody is paired.
    pub fn load(state_dir: &Path) -> anyhow::Result<Self> {
        let path = state_dir.join(FILE);
        let known = Known { stamp: Stamp::of(&path), list: read(&path)? };
        Ok(Self { shared: Arc::new(Shared { state_dir: state_dir.to_owned(), known: Mutex::new(known) }) })
    }

    /// Lets the owner of this certificate (DER) play. A client that is there already is replaced, and may do what it might
    /// before; a name that another one bears gets a number. Returns the client as stored. Waits for the disk.
    pub fn add(&self, name: &str, certificate_der: &[u8]) -> anyhow::Result<Client> {
        let fingerprint = Fingerprint::of(certificate_der);
        self.change(|list| {
            let place = list.iter().position(|c| c.fingerprint == fingerprint);
            let old = place.map(|place| list.remove(place));
            let may = old.as_ref().map_or_else(Permissions::default, |old| old.may);
            let client = Client { name: free_name(list, &tidy_name(name, &fingerprint)), fingerprint, may };
            list.insert(place.unwrap_or(list.len()), client.clone());
            (old.as_ref() != Some(&client), client)
        })
    }

    /// From now on the client of this name `may` do this and nothing else. Returns false if nobody bears this name. Waits
    /// for the disk.
    pub fn permit(&self, name: &str, may: Permissions) -> anyhow::Result<bool> {
        self.change(|list| {
            let Some(client) = list.iter_mut().find(|client| client.name == name) else {
                return (false, false);
            };
            let before = std::mem::replace(&mut client.may, may);
            (before != may, true)
        })
    }

    /// Returns false if nobody bears this name. Waits for the disk.
    pub fn remove(&self, name: &str) -> anyhow::Result<bool> {
        self.remove_where(|client| client.name == name)
    }

    /// Returns false if this client is not paired. Waits for the disk.
    pub fn forget(&self, fingerprint: &Fingerprint) -> anyhow::Result<bool> {
        self.remove_where(|client| client.fingerprint == *fingerprint)
    }

    /// In the order of pairing.
    pub fn list(&self) -> Vec<Client> {
        self.known().list.clone()
    }

    pub fn is_paired(&self, fingerprint: &Fingerprint) -> bool {
        self.find(fingerprint).is_some()
    }

    pub fn find(&self, fingerprint: &Fingerprint) -> Option<Client> {
        self.known().list.iter().find(|c| c.fingerprint == *fingerprint).cloned()
    }

    fn remove_where(&self, mut goes: impl FnMut(&Client) -> bool) -> anyhow::Result<bool> {
        self.change(|list| {
            let before = list.len();
            list.retain(|client| !goes(client));
            let removed = list.len() < before;
            (removed, removed)
        })
    }

    /// The name that a client with this fingerprint would be stored under now, if it asked for `wish`.
    pub fn name_for(&self, wish: &str, fingerprint: &Fingerprint) -> String {
        let mut others = self.list();
        others.retain(|client| client.fingerprint != *fingerprint);
        free_name(&others, &tidy_name(wish, fingerprint))
    }

    /// Runs `change` on the newest list and keeps the result if it says so. Other writers wait for the disk, readers
    /// do not.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Client>) -> (bool, T)) -> anyhow::Result<T> {
        let path = self.path();
        let _lock = self.lock()?;
        let mut list = read(&path)?;
        let (changed, result) = change(&mut list);
        if changed {
            let text =
                toml::to_string(&Written { client: list.clone() }).context("cannot write clients as TOML")?;
            files::write_private(&path, text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        // Nobody writes the file before the lock is gone: stamp and list belong together.
        let known = Known { stamp: Stamp::of(&path), list };
        *self.shared.known.lock().expect("no panic while it is held") = known;
        Ok(result)
    }

    fn lock(&self) -> anyhow::Result<File> {
        let path = self.shared.state_dir.join(LOCK);
        files::create_private_folder(&self.shared.state_dir)
            .and_then(|()| files::open_lock(&path))
            .and_then(|file| file.lock().map(|()| file))
            .with_context(|| format!("cannot lock {}", path.display()))
    }

    /// The clients as the file has them now. A file that cannot be read changes nothing.
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        let path = self.path();
        let mut known = self.shared.known.lock().expect("no panic while it is held");
        let stamp = Stamp::of(&path);
        if stamp != known.stamp {
            // Noted even if reading fails: one broken version is complained about once.
            known.stamp = stamp;
            match read(&path) {
                Ok(list) => known.list = list,
                Err(e) => tracing::warn!("the paired clients stay as they were: {e:#}"),
            }
        }
        known
    }

    fn path(&self) -> PathBuf {
        self.shared.state_dir.join(FILE)
    }
}

impl Stamp {
    fn of(path: &Path) -> Self {
        Self(fs::metadata(path).ok().map(|meta| {
            #[cfg(unix)]
            let number = std::os::unix::fs::MetadataExt::ino(&meta);
            #[cfg(not(unix))]
            let number = 0;
            (number, meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len())
        }))
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Client>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    let written: Written = toml::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    Ok(written.client)
}

/// One line without control characters; the default name if nothing is left.
fn tidy_name(name: &str, fingerprint: &Fingerprint) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_LENGTH).collect();
    match name.trim() {
        "" => fingerprint.default_name(),
        name => name.to_owned(),
    }
}

fn free_name(list: &[Client], wish: &str) -> String {
    let taken = |name: &str| list.iter().any(|client| client.name == name);
    std::iter::once(wish.to_owned())
        .chain((2..).map(|number| format!("{wish}-{number}")))
        .find(|name| !taken(name))
        .expect("there are more numbers than clients")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(clients: &Clients) -> Vec<String> {
        clients.list().into_iter().map(|c| c.name).collect()
    }

    #[test]
    fn added_clients_survive_and_others_stay_out() {
        let folder = tempfile::tempdir().unwrap();
        let clients = Clients::load(folder.path()).unwrap();
        let added = clients.add("sofa", b"one").unwrap();
        assert_eq!(added.fingerprint, Fingerprint::of(b"one"));
        for clients in [clients, Clients::load(folder.path()).unwrap()] {
            assert!(clients.is_paired(&Fingerprint::of(b"one")));
            assert!(!clients.is_paired(&Fingerprint::of(b"two")));
        }
    }

    #[test]
    fn pairing_again_replaces_the_entry() {
        let folder = tempfile::tempdir().unwrap();
        let clients = Clients::load(folder.path()).unwrap();
        clients.add("sofa", b"one").unwrap();
        clients.add("desk", b"two").unwrap();
        clients.add("bed", b"one").unwrap();
        assert_eq!(names(&clients), ["bed", "desk"]);
        clients.add("bed", b"one").unwrap();
        assert_eq!(names(&clients), ["bed", "desk"], "its own name is free for itself");
    }

    #[cfg(unix)]
    #[test]
    fn every_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        Clients::load(folder.path()).unwrap().add("sofa", b"one").unwrap();
        for file in [FILE, LOCK] {
            let mode = fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn a_name_is_known_before_it_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let clients = Clients::load(folder.path()).unwrap();
        clients.add("sofa", b"one").unwrap();
        for (wish, certificate) in [("sofa", b"one"), (" sofa\n", b"two"), ("", b"six"), ("desk", b"one")] {
            let foretold = clients.name_for(wish, &Fingerprint::of(certificate));
            assert_eq!(clients.add(wish, certificate).unwrap().name, foretold);
        }
    }

    #[test]
    fn names_are_unique_and_printable() {
        let folder = tempfile::tempdir().unwrap();
        let clients = Clients::load(folder.path()).unwrap();
        clients.add("sofa", b"one").unwrap();
        assert_eq!(clients.add("sofa", b"two").unwrap().name, "sofa-2");
        assert_eq!(clients.add("so\nfa\u{7}", b"three").unwrap().name, "sofa-3");
        let default = clients.add(" \r\n", b"four").unwrap().name;
        assert_eq!(default, format!("client-{}", &Fingerprint::of(b"four").to_string()[..8]));
        assert_eq!(clients.add(&"x".repeat(1000), b"five").unwrap().name.len(), NAME_LENGTH);
    }

    #[test]
    fn removal_by_another_process_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let host = Clients::load(folder.path()).unwrap();
        host.add("sofa", b"one").unwrap();
        let command = Clients::load(folder.path()).unwrap();
        assert!(!command.remove("desk").unwrap());
        assert!(command.remove("sofa").unwrap());
        assert!(!host.is_paired(&Fingerprint::of(b"one")));
        assert_eq!(host.list(), []);
    }

    #[test]
    fn what_a_client_may_do_outlives_a_new_pairing() {
        let folder = tempfile::tempdir().unwrap();
        let clients = Clients::load(folder.path()).unwrap();
        clients.add("sofa", b"one").unwrap();
        assert!(!clients.permit("desk", Permissions::NOTHING).unwrap());
        assert!(clients.permit("sofa", Permissions::NOTHING).unwrap());
        clients.add("bed", b"one").unwrap();
        for clients in [clients, Clients::load(folder.path()).unwrap()] {
            assert_eq!(clients.find(&Fingerprint::of(b"one")).unwrap().may, Permissions::NOTHING);
        }
    }

    #[test]
    fn clients_of_a_file_that_says_nothing_of_it_may_do_everything() {
        let folder = tempfile::tempdir().unwrap();
        let clients = Clients::load(folder.path()).unwrap();
        let added = clients.add("sofa", b"one").unwrap();
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(!text.contains("may"), "{text}");
        assert_eq!(Clients::load(folder.path()).unwrap().list(), [added]);
    }

    #[test]
    fn two_processes_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                // Each has a state of its own, as two processes have.
                let clients = Clients::load(folder.path()).unwrap();
                scope.spawn(move || {
                    for n in 0..10 {
                        clients.add("client", format!("{writer} {n}").as_bytes()).unwrap();
                    }
                });
            }
        });
        let mut all = names(&Clients::load(folder.path()).unwrap());
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 40);
    }

    #[test]
    fn a_damaged_file_stops_the_start_but_not_a_running_host() {
        let folder = tempfile::tempdir().unwrap();
        let host = Clients::load(folder.path()).unwrap();
        host.add("sofa", b"one").unwrap();
        fs::write(folder.path().join(FILE), "client = 3").unwrap();
        assert!(host.is_paired(&Fingerprint::of(b"one")));
        let error = format!("{:#}", Clients::load(folder.path()).err().unwrap());
        assert!(error.contains(FILE), "{error}");
        assert!(host.add("desk", b"two").is_err(), "what the owner wrote is not overwritten");
    }
}
