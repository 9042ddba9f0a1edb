//! Who plays what: every session and every running app, as plain data.
//!
//! A session is found by its client's certificate, by the key that opens its RTSP, by its ping payloads and its
//! connect data, never by the client's address.

use super::crowd::Crowd;
use crate::identity::Fingerprint;
use crate::protocol::params::SessionKey;
use crate::protocol::rtsp::SessionId;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// What the host remembers of a session; `H` is how to reach the task that runs it.
#[derive(Debug)]
pub struct Entry<H> {
    pub client: Fingerprint,
    pub key: SessionKey,
    /// The client seals its RTSP with `key`.
    pub sealed: bool,
    /// Where the launch came from: all that tells one plain RTSP client from another.
    pub peer: IpAddr,
    pub secrets: Secrets,
    /// Of the mode that it asks for.
    pub pixels_per_second: u64,
    /// The client asked for media: only now may it stay.
    pub played: bool,
    pub handle: H,
}

/// What a client of a session proves itself with outside RTSP. Random for each session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    pub video_ping: [u8; 16],
    pub audio_ping: [u8; 16],
    pub connect_data: u32,
}

impl Secrets {
    /// From 20 random bytes.
    pub fn from_random(random: [u8; 20]) -> Self {
        let text = |bytes: &[u8]| {
            let hex = hex::encode(bytes);
            <[u8; 16]>::try_from(hex.as_bytes()).expect("8 bytes are 16 hex digits")
        };
        Self {
            video_ping: text(&random[..8]),
            audio_ping: text(&random[8..16]),
            connect_data: u32::from_be_bytes([random[16], random[17], random[18], random[19]]),
        }
    }
}

/// All sessions and running apps.
#[derive(Debug)]
pub struct Table<H> {
    next: u64,
    sessions: BTreeMap<SessionId, Entry<H>>,
    apps: HashMap<Fingerprint, App>,
    closing: bool,
}

/// An app that a client left running or plays now.
#[derive(Clone, Copy, Debug)]
struct App {
    id: u32,
    /// The client saw it: it stays until it is quit.
    seen: bool,
    /// Who has it on a display that the client is a guest of.
    owner: Option<Fingerprint>,
}

impl<H> Default for Table<H> {
    fn default() -> Self {
        Self { next: 1, sessions: BTreeMap::new(), apps: HashMap::new(), closing: false }
    }
}

impl<H> Table<H> {
    /// Enters a session.
    pub fn insert(&mut self, entry: Entry<H>) -> SessionId {
        let id = SessionId(self.next);
        self.next += 1;
        self.sessions.insert(id, entry);
        id
    }

    pub fn get(&self, id: SessionId) -> Option<&Entry<H>> {
        self.sessions.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (SessionId, &Entry<H>)> {
        self.sessions.iter().map(|(id, entry)| (*id, entry))
    }

    /// The sessions of one client: one at most, but while it is replaced.
    pub fn of_client(&self, client: &Fingerprint) -> impl Iterator<Item = &Entry<H>> {
        self.sessions.values().filter(move |entry| entry.client == *client)
    }

    /// Who has a session besides this and that client. Each counts once, with what it launched last.
    pub fn others_than(&self, client: &Fingerprint, spared: Option<&Fingerprint>) -> Crowd {
        let others =
            self.sessions.values().filter(|entry| entry.client != *client && Some(&entry.client) != spared);
        let last: BTreeMap<_, _> = others.map(|entry| (entry.client, entry.pixels_per_second)).collect();
        Crowd { players: last.len(), pixels_per_second: last.values().sum() }
    }

    /// This session is there, and its client launched nothing after it.
    pub fn is_newest(&self, id: SessionId) -> bool {
        let newest = |client| self.sessions.iter().rev().find(|(_, entry)| entry.client == client);
        self.sessions
            .get(&id)
            .is_some_and(|entry| newest(entry.client).is_some_and(|(newest, _)| *newest == id))
    }

    /// Every session whose RTSP is sealed, newest first.
    pub fn sealed(&self) -> Vec<(SessionId, SessionKey)> {
        let sealed = self.sessions.iter().rev().filter(|(_, entry)| entry.sealed);
        sealed.map(|(id, entry)| (*id, entry.key.clone())).collect()
    }

    /// The newest session that was launched from `peer` without sealed RTSP and does not play yet.
    pub fn plain(&self, peer: IpAddr) -> Option<SessionId> {
        self.waiting_plain(peer).last().map(|(id, _)| id)
    }

    /// A client other than this one was launched from `peer` without sealed RTSP and does not play yet.
    pub fn plain_of_another(&self, peer: IpAddr, client: &Fingerprint) -> bool {
        self.waiting_plain(peer).any(|(_, entry)| entry.client != *client)
    }

    fn waiting_plain(&self, peer: IpAddr) -> impl Iterator<Item = (SessionId, &Entry<H>)> {
        self.iter().filter(move |(_, entry)| !entry.sealed && !entry.played && entry.peer == peer)
    }

    pub fn running_app(&self, client: &Fingerprint) -> u32 {
        self.apps.get(client).map_or(0, |app| app.id)
    }

    /// The client launches `app`, or goes on with it.
    pub fn set_app(&mut self, client: Fingerprint, app: u32) {
        let seen = self.apps.get(&client).is_some_and(|before| before.id == app && before.seen);
        self.apps.insert(client, App { id: app, seen, owner: None });
    }

    /// What the client launched is what `owner` has on a display.
    pub fn set_guest(&mut self, client: &Fingerprint, app: u32, owner: Fingerprint) {
        if let Some(app) = self.apps.get_mut(client).filter(|running| running.id == app) {
            app.owner = Some(owner);
        }
    }

    /// Whose guest the client is.
    pub fn owner_of(&self, client: &Fingerprint) -> Option<Fingerprint> {
        self.apps.get(client)?.owner
    }

    pub fn clear_app(&mut self, client: &Fingerprint) {
        self.apps.remove(client);
    }

    /// What the client launched is known to somebody: it stays until it is quit, whatever becomes of the session.
    pub fn mark_seen(&mut self, client: &Fingerprint) {
        if let Some(app) = self.apps.get_mut(client) {
            app.seen = true;
        }
    }

    /// What it settled on takes the place of what its launch named.
    pub fn set_pixels(&mut self, id: SessionId, pixels_per_second: u64) {
        if let Some(entry) = self.sessions.get_mut(&id) {
            entry.pixels_per_second = pixels_per_second;
        }
    }

    pub fn mark_played(&mut self, id: SessionId) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        entry.played = true;
        let client = entry.client;
        self.mark_seen(&client);
    }

    /// Forgets a session that ended. Its app goes on, for the client to resume, unless it was never seen.
    pub fn remove(&mut self, id: SessionId) {
        let Some(entry) = self.sessions.remove(&id) else { return };
        let seen = self.apps.get(&entry.client).is_some_and(|app| app.seen);
        if !seen && self.of_client(&entry.client).next().is_none() {
            self.apps.remove(&entry.client);
        }
    }

    /// From now on nobody may launch.
    pub fn close(&mut self) {
        self.closing = true;
    }

    pub fn is_closing(&self) -> bool {
        self.closing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Fingerprint = Fingerprint([1; 32]);
    const BOB: Fingerprint = Fingerprint([2; 32]);

    fn entry(client: Fingerprint, sealed: bool, peer: [u8; 4]) -> Entry<()> {
        Entry {
            client,
            key: SessionKey([client.0[0]; 16]),
            sealed,
            peer: peer.into(),
            secrets: Secrets::from_random([client.0[0]; 20]),
            pixels_per_second: 100,
            played: false,
            handle: (),
        }
    }

    #[test]
    fn two_clients_behind_one_address_are_told_apart_by_key() {
        let mut table = Table::default();
        let ada = table.insert(entry(ADA, true, [10, 0, 0, 1]));
        let bob = table.insert(entry(BOB, true, [10, 0, 0, 1]));
        assert_eq!(table.sealed(), [(bob, SessionKey([2; 16])), (ada, SessionKey([1; 16]))]);
        assert_eq!(table.plain([10, 0, 0, 1].into()), None);
    }

    #[test]
    fn plain_rtsp_finds_the_newest_launch_from_its_address_until_it_plays() {
        let mut table = Table::default();
        table.insert(entry(ADA, false, [10, 0, 0, 1]));
        let second = table.insert(entry(BOB, false, [10, 0, 0, 1]));
        table.insert(entry(BOB, false, [10, 0, 0, 2]));
        assert_eq!(table.plain([10, 0, 0, 1].into()), Some(second));
        table.mark_played(second);
        assert_ne!(table.plain([10, 0, 0, 1].into()), Some(second));
        assert_eq!(table.plain([10, 0, 0, 3].into()), None);
    }

    #[test]
    fn of_two_plain_clients_at_one_address_one_is_on_its_way_at_a_time() {
        let mut table = Table::default();
        let ada = table.insert(entry(ADA, false, [10, 0, 0, 1]));
        table.insert(entry(BOB, true, [10, 0, 0, 2]));
        let waits = |table: &Table<()>, client| table.plain_of_another([10, 0, 0, 1].into(), client);
        assert!(waits(&table, &BOB) && !waits(&table, &ADA), "who launches again is the same");
        assert!(!table.plain_of_another([10, 0, 0, 2].into(), &ADA), "sealed ones are told apart");
        table.mark_played(ada);
        assert!(!waits(&table, &BOB));
    }

    #[test]
    fn an_app_outlives_a_session_that_played_and_not_one_that_never_did() {
        let mut table = Table::default();
        for (played, left) in [(true, 7), (false, 0)] {
            table.set_app(ADA, 7);
            let id = table.insert(entry(ADA, true, [10, 0, 0, 1]));
            if played {
                table.mark_played(id);
            }
            table.remove(id);
            assert_eq!(table.running_app(&ADA), left);
            table.clear_app(&ADA);
        }
    }

    #[test]
    fn a_resume_that_fails_leaves_the_app_to_the_next() {
        let mut table = Table::default();
        table.set_app(ADA, 7);
        let first = table.insert(entry(ADA, true, [10, 0, 0, 1]));
        table.mark_played(first);
        table.remove(first);
        table.set_app(ADA, 7);
        let resumed = table.insert(entry(ADA, true, [10, 0, 0, 1]));
        table.remove(resumed);
        assert_eq!(table.running_app(&ADA), 7);
    }

    #[test]
    fn a_session_that_is_replaced_before_it_played_leaves_the_app_to_the_next() {
        let mut table = Table::default();
        table.set_app(ADA, 7);
        let first = table.insert(entry(ADA, true, [10, 0, 0, 1]));
        table.insert(entry(ADA, true, [10, 0, 0, 1]));
        table.remove(first);
        assert_eq!(table.running_app(&ADA), 7);
    }

    #[test]
    fn the_newest_session_of_a_client_is_its_last_launch() {
        let mut table = Table::default();
        let first = table.insert(entry(ADA, true, [10, 0, 0, 1]));
        let other = table.insert(entry(BOB, true, [10, 0, 0, 1]));
        assert!(table.is_newest(first) && table.is_newest(other));
        let second = table.insert(entry(ADA, true, [10, 0, 0, 1]));
        assert!(!table.is_newest(first) && table.is_newest(other) && table.is_newest(second));
        table.remove(second);
        assert!(table.is_newest(first) && !table.is_newest(second));
    }

    #[test]
    fn players_are_counted_once_and_without_the_one_who_asks() {
        let mut table = Table::default();
        for client in [ADA, BOB, ADA] {
            table.insert(entry(client, true, [10, 0, 0, 1]));
        }
        let third = Fingerprint([3; 32]);
        let crowd = |players| Crowd { players, pixels_per_second: 100 * players as u64 };
        assert_eq!([ADA, third].map(|client| table.others_than(&client, None)), [1, 2].map(crowd));
        assert_eq!(table.others_than(&third, Some(&ADA)), crowd(1));
    }

    #[test]
    fn secrets_are_printable_and_differ() {
        let random: [u8; 20] = std::array::from_fn(|i| i as u8 * 13);
        let secrets = Secrets::from_random(random);
        assert!(secrets.video_ping.iter().all(u8::is_ascii_hexdigit));
        assert_ne!(secrets.video_ping, secrets.audio_ping);
        assert_eq!(secrets.connect_data.to_be_bytes(), random[16..]);
    }
}
