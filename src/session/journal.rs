//! What is remembered of sessions for their owner, while they run and for a while after.

use super::adaptation::Figures;
use crate::identity::Fingerprint;
use crate::pipeline::stages;
use crate::pipeline::video::VideoStats;
use crate::protocol::rtsp::SessionId;
use crate::servers::status::{Frames, Network, Packets, SessionStatus};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Ended sessions that are remembered.
const REMEMBERED: usize = 16;

/// The stage that only new pictures pass.
const PACE: &str = "pace";

/// The pages of all sessions.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pages: Mutex<BTreeMap<u64, Page>>,
}

/// What one session writes on. Clones are the same page.
#[derive(Clone, Debug)]
pub(super) struct Page {
    begun: Instant,
    client: Fingerprint,
    written: Arc<Mutex<Written>>,
}

#[derive(Debug)]
struct Written {
    status: SessionStatus,
    /// It ended, and its client may go on with the app.
    may_resume: bool,
}

impl Journal {
    /// A page for a session that begins. The oldest ended one beyond those remembered is thrown away.
    pub fn open(&self, id: SessionId, client: Fingerprint, name: String) -> Page {
        let status = SessionStatus { session: id.0, client: name, ..SessionStatus::default() };
        let written = Arc::new(Mutex::new(Written { status, may_resume: false }));
        let page = Page { begun: Instant::now(), client, written };
        let mut pages = lock(&self.pages);
        pages.insert(id.0, page.clone());
        let ended: Vec<u64> =
            pages.iter().filter(|(_, page)| page.read().ended.is_some()).map(|(id, _)| *id).collect();
        for id in ended.iter().take(ended.len().saturating_sub(REMEMBERED)) {
            pages.remove(id);
        }
        page
    }

    /// The client quits the app that it left before: clients close their connection first. Returns the session that it
    /// might have resumed.
    pub fn quit(&self, client: &Fingerprint, why: String) -> Option<u64> {
        let pages = lock(&self.pages);
        let last = pages.values().rfind(|page| page.client == *client)?;
        let mut written = lock(&last.written);
        std::mem::take(&mut written.may_resume).then(|| {
            written.status.ended = Some(why);
            written.status.session
        })
    }

    /// Every page, in the order of launch.
    pub fn read(&self) -> Vec<SessionStatus> {
        lock(&self.pages).values().map(Page::read).collect()
    }
}

impl Page {
    pub fn write(&self, change: impl FnOnce(&mut SessionStatus)) {
        change(&mut lock(&self.written).status);
    }

    /// Writes down what the elements counted so far.
    pub fn count(&self, stats: &VideoStats) {
        let count = |stats: &gst::Structure, name: &str| stats.get::<u64>(name).unwrap_or_default();
        let frames = Frames {
            sent: count(&stats.packetize, "frames"),
            key: count(&stats.packetize, "key-frames"),
            new: stages::read(&stats.send)
                .iter()
                .find(|stage| stage.name == PACE)
                .map_or(0, |pace| pace.count),
            repeated: count(&stats.pace, "repeated"),
            dropped: count(&stats.packetize, "frames-skipped"),
        };
        let packets = Packets {
            sent: count(&stats.send, "packets"),
            bytes: count(&stats.send, "bytes"),
            dropped: count(&stats.send, "dropped"),
        };
        let encode = &stats.encode;
        let invalidations = count(&stats.packetize, "recovery-frames");
        self.write(|status| {
            let asked: u64 = status.key_frames.values().sum();
            status.unasked_key_frames = frames.key.saturating_sub(asked);
            (status.frames, status.packets, status.invalidations) = (frames, packets, invalidations);
            status.encoder.clone_from(&encode.encoder);
            status.encoder_replacements = encode.replacements;
        });
    }

    /// Writes down what the client reported of the network.
    pub fn report(&self, figures: &Figures) {
        let network = Network {
            loss_before: figures.loss_before,
            loss_after: figures.loss_after,
            burst: figures.burst,
            trend: figures.trend,
            total_kbps: figures.kbps,
            reports: figures.reports,
            failed_blocks: figures.failed_blocks,
            recovered_packets: figures.recovered_packets,
            min_parity: figures.min_parity,
            parity_raised: figures.parity_raised,
            parity_lowered: figures.parity_lowered,
            rate_raised: figures.rate_raised,
            rate_lowered: figures.rate_lowered,
        };
        self.write(|status| status.network = Some(network));
    }

    /// The session is over; its client may resume it or not.
    pub fn close(&self, why: String, may_resume: bool) {
        let mut written = lock(&self.written);
        written.status.seconds = self.begun.elapsed().as_secs();
        (written.status.ended, written.may_resume) = (Some(why), may_resume);
    }

    fn read(&self) -> SessionStatus {
        let mut status = lock(&self.written).status.clone();
        if status.ended.is_none() {
            status.seconds = self.begun.elapsed().as_secs();
        }
        status
    }
}

/// Plain data: whoever panicked while holding it has left it whole.
fn lock<T>(data: &Mutex<T>) -> MutexGuard<'_, T> {
    data.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Fingerprint = Fingerprint([1; 32]);

    /// What is said of each session after `client` quit.
    fn after_quit(journal: &Journal, client: Fingerprint) -> Vec<Option<String>> {
        journal.quit(&client, "quit".into());
        journal.read().into_iter().map(|status| status.ended).collect()
    }

    #[test]
    fn a_client_that_left_and_quits_will_not_resume() {
        let journal = Journal::default();
        let said = |text: &str| Some(text.to_owned());
        journal.open(SessionId(1), CLIENT, "tablet".into()).close("left".into(), true);
        let second = journal.open(SessionId(2), CLIENT, "tablet".into());
        let other = Fingerprint([2; 32]);
        journal.open(SessionId(3), other, "other".into()).close("left".into(), true);
        assert_eq!(after_quit(&journal, CLIENT), [said("left"), None, said("left")], "the last one runs");
        second.close("silent".into(), true);
        assert_eq!(after_quit(&journal, CLIENT), [said("left"), said("quit"), said("left")]);
        let third = journal.open(SessionId(4), other, "other".into());
        third.close("failed".into(), false);
        assert_eq!(after_quit(&journal, other)[2..], [said("left"), said("failed")], "that is why it ended");
    }

    #[test]
    fn what_a_session_writes_is_read() {
        let journal = Journal::default();
        let page = journal.open(SessionId(7), CLIENT, "tablet".into());
        page.write(|status| status.fec_percentage = 35);
        let read = journal.read();
        assert_eq!((read[0].session, read[0].fec_percentage, &read[0].ended), (7, 35, &None));
        page.close("quit".into(), false);
        assert_eq!(journal.read()[0].ended.as_deref(), Some("quit"));
    }

    #[test]
    fn the_oldest_that_ended_is_forgotten_and_none_that_runs() {
        let journal = Journal::default();
        let _first_runs = journal.open(SessionId(0), CLIENT, "first".into());
        for id in 1..=20 {
            journal.open(SessionId(id), CLIENT, "other".into()).close("quit".into(), false);
        }
        journal.open(SessionId(21), CLIENT, "last".into());
        let known: Vec<u64> = journal.read().iter().map(|status| status.session).collect();
        assert_eq!(known, [&[0][..], &(5..=21).collect::<Vec<_>>()].concat());
    }
}
