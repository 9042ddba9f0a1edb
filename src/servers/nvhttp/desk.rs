//! Where clients that want to pair wait for their PIN, and go on once they have it.

use super::guests::neighbourhood;
use super::herald::Herald;
use super::pins::SpentPins;
use crate::identity::{Clients, Fingerprint, Identity};
use crate::protocol::pairing::{Answer, Certificate, Nonces, Pairing, PairingError, Step};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// How long the desk waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For someone who types the PIN.
    pub pin: Duration,
    /// For the next phase; Moonlight gives up after 5 s.
    pub phase: Duration,
}

const PATIENCE: Patience = Patience { pin: Duration::from_secs(5 * 60), phase: Duration::from_secs(10) };
/// Most clients that wait at once, all together and from one neighbourhood.
const MOST_WAITING: usize = 16;
const MOST_WAITING_HERE: usize = 4;

/// A client that shows a PIN and waits for someone to type it here.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Waiting {
    pub fingerprint: Fingerprint,
    pub address: IpAddr,
    /// For how long it has waited.
    pub since: Duration,
}

/// The client that was told the PIN.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Told {
    /// The name that it gets if the PIN is right, and no other client takes the name first.
    pub name: String,
    pub fingerprint: Fingerprint,
    pub address: IpAddr,
    /// How many clients besides it wait for a PIN.
    pub others: usize,
}

/// Why no client was told the PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTold {
    #[error("no client waits for a PIN")]
    NobodyWaits,
    #[error(
        "this PIN was already told to the client at {address}, which did not pair with it: begin again in Moonlight \
         for a new PIN"
    )]
    PinUsed { address: IpAddr },
}

/// Why phase 1 ended without the host's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPin {
    #[error("too many clients wait for a PIN")]
    TooMany,
    #[error("nobody typed the PIN")]
    NobodyCame,
    #[error("the client began anew")]
    Replaced,
    #[error("the host ends: try again once it runs")]
    HostEnds,
}

/// Why a later phase ended the pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotPaired {
    #[error(transparent)]
    Pairing(#[from] PairingError),
    #[error("the host cannot keep the pairing: its log says why")]
    NotKept,
}

/// What the requests of one pairing have in common. Clients choose the id, and most choose the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Caller {
    pub unique_id: String,
    pub address: IpAddr,
}

/// Matches waiting clients with PINs. Clones share one state.
#[derive(Clone)]
pub struct PairingDesk {
    desk: Arc<Desk>,
}

struct Desk {
    identity: Arc<Identity>,
    clients: Clients,
    patience: Patience,
    book: Mutex<Book>,
    /// Somebody left `Book::under_way`.
    freed: Notify,
}

#[derive(Default)]
struct Book {
    next_number: u64,
    herald: Herald,
    spent_pins: SpentPins,
    /// Phase 1, oldest first.
    waiting: Vec<Visitor>,
    /// Phases 2 to 4. Their requests name the caller alone, so there is room for one pairing of each.
    under_way: HashMap<Caller, UnderWay>,
}

struct Visitor {
    number: u64,
    caller: Caller,
    fingerprint: Fingerprint,
    since: Instant,
    pin: oneshot::Sender<Pin>,
}

struct Pin {
    digits: String,
    name: String,
}

struct UnderWay {
    pairing: Pairing,
    fingerprint: Fingerprint,
    pin: Pin,
    until: Instant,
}

impl PairingDesk {
    pub fn new(identity: Arc<Identity>, clients: Clients) -> Self {
        Self::with_patience(identity, clients, PATIENCE)
    }

    pub(super) fn with_patience(identity: Arc<Identity>, clients: Clients, patience: Patience) -> Self {
        let desk = Desk { identity, clients, patience, book: Mutex::default(), freed: Notify::new() };
        Self { desk: Arc::new(desk) }
    }

    /// Oldest first.
    pub fn waiting(&self) -> Vec<Waiting> {
        let now = Instant::now();
        let describe = |visitor: &Visitor| Waiting {
            fingerprint: visitor.fingerprint,
            address: visitor.caller.address,
            since: now.saturating_duration_since(visitor.since),
        };
        self.desk.book().waiting.iter().map(describe).collect()
    }

    /// Tells the oldest waiting client the PIN. The default name is `client-` and 8 hex digits of its fingerprint.
    pub async fn tell_pin(&self, pin: &str, name: Option<String>) -> Result<Told, NotTold> {
        let now = Instant::now();
        let mut book = self.desk.book();
        while !book.waiting.is_empty() {
            if let Some(address) = book.spent_pins.told_to(pin, now) {
                return Err(NotTold::PinUsed { address });
            }
            let Visitor { caller: Caller { address, .. }, fingerprint, pin: wants, .. } =
                book.waiting.remove(0);
            let name = self.desk.clients.name_for(name.as_deref().unwrap_or_default(), &fingerprint);
            if wants.send(Pin { digits: pin.to_owned(), name: name.clone() }).is_ok() {
                book.spent_pins.spend(pin, address, now);
                return Ok(Told { name, fingerprint, address, others: book.waiting.len() });
            }
        }
        Err(NotTold::NobodyWaits)
    }

    /// Phase 1: returns once the PIN is known. A caller that hangs up drops this future and is forgotten.
    pub(super) async fn get_server_certificate(
        &self,
        caller: Caller,
        salt: [u8; 16],
        certificate: Certificate,
    ) -> Result<(), NoPin> {
        let fingerprint = Fingerprint::of(certificate.der());
        let (number, pin) = self.desk.book().enter(caller.clone(), fingerprint)?;
        let _leaves = Leaves { desk: &self.desk, number };
        self.desk.freed.notify_waiters();
        self.desk.tell_the_owner(&caller, fingerprint);
        let pin = tokio::time::timeout(self.desk.patience.pin, pin).await.map_err(|_| NoPin::NobodyCame)?;
        let pin = pin.map_err(|_| NoPin::Replaced)?;
        let nonces = Nonces { secret: random(), challenge: random() };
        let pairing = Pairing::new(certificate, salt, &pin.digits, nonces);
        self.desk.go_on(caller, UnderWay { pairing, fingerprint, pin, until: Instant::now() }).await;
        Ok(())
    }

    /// Phases 2 to 4. An error ends the pairing.
    pub(super) async fn step(&self, caller: &Caller, step: Step) -> Result<Answer, NotPaired> {
        let (answer, over) = self.desk.step(caller, step)?;
        if let Some(UnderWay { pairing, pin, .. }) = over {
            self.desk.keep(pin.name, pairing.client().clone()).await?;
        }
        Ok(answer)
    }

    /// The caller gave up between two phases.
    pub(super) fn forget(&self, caller: &Caller) {
        let left = self.desk.book().under_way.remove(caller);
        if let Some(UnderWay { pin, .. }) = left {
            self.desk.freed.notify_waiters();
            tracing::info!(client = %pin.name, address = %caller.address, "the client gave up: was the PIN right?");
        }
    }
}

impl Desk {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no panic while it is held")
    }

    fn tell_the_owner(&self, caller: &Caller, fingerprint: Fingerprint) {
        let (client, address) = (fingerprint.default_name(), caller.address);
        let worth_a_line = self.book().herald.hear(neighbourhood(address), Instant::now());
        match worth_a_line {
            Some(0) => tracing::info!(%client, %address, "a client waits for its PIN: moonpipe pair PIN"),
            Some(unsaid) => tracing::info!(
                %client,
                %address,
                "a client waits for its PIN: moonpipe pair PIN ({unsaid} came from there since the last such line)"
            ),
            None => tracing::debug!(%client, %address, "a client waits for its PIN"),
        }
    }

    /// Waits until no other pairing of the same caller is between its phases.
    async fn go_on(&self, caller: Caller, mut newcomer: UnderWay) {
        loop {
            let freed = self.freed.notified();
            let until = {
                let mut book = self.book();
                let now = Instant::now();
                match book.under_way.get(&caller).filter(|other| now < other.until) {
                    Some(other) => other.until,
                    None => {
                        newcomer.until = now + self.patience.phase;
                        book.under_way.insert(caller, newcomer);
                        return;
                    }
                }
            };
            let _ = tokio::time::timeout_at(until.into(), freed).await;
        }
    }

    /// Returns the pairing with the answer if this was its last step.
    fn step(&self, caller: &Caller, step: Step) -> Result<(Answer, Option<UnderWay>), PairingError> {
        let mut book = self.book();
        let now = Instant::now();
        let taken = book.under_way.remove(caller).filter(|under_way| now < under_way.until);
        let Some(mut under_way) = taken else {
            self.freed.notify_waiters();
            return Err(PairingError::OutOfOrder);
        };
        let answer = under_way.pairing.handle_step(step, &*self.identity);
        if matches!(answer, Ok(Answer::ChallengeResponse(_) | Answer::PairingSecret(_))) {
            under_way.until = now + self.patience.phase;
            book.under_way.insert(caller.clone(), under_way);
            return answer.map(|answer| (answer, None));
        }
        self.freed.notify_waiters();
        if answer == Ok(Answer::Paired) {
            book.spent_pins.has_paired(&under_way.pin.digits);
        }
        if let Err(e) = &answer {
            tracing::info!(client = %under_way.pin.name, address = %caller.address, "pairing failed: {e}");
        }
        answer.map(|answer| (answer, Some(under_way)))
    }

    async fn keep(&self, name: String, certificate: Certificate) -> Result<(), NotPaired> {
        let clients = self.clients.clone();
        let added = tokio::task::spawn_blocking(move || clients.add(&name, certificate.der())).await;
        match added.expect("adding a client does not panic") {
            Ok(client) => {
                tracing::info!(client = %client.name, fingerprint = %client.fingerprint, "paired");
                Ok(())
            }
            Err(e) => {
                tracing::warn!("the client must pair again once this is cured: {e:#}");
                Err(NotPaired::NotKept)
            }
        }
    }
}

impl Book {
    /// One certificate has one pairing with a caller: a client that begins anew ends what it left behind.
    fn enter(
        &mut self,
        caller: Caller,
        fingerprint: Fingerprint,
    ) -> Result<(u64, oneshot::Receiver<Pin>), NoPin> {
        let now = Instant::now();
        self.waiting.retain(|v| v.caller != caller || v.fingerprint != fingerprint);
        self.under_way.retain(|c, u| now < u.until && (*c != caller || u.fingerprint != fingerprint));
        let home = neighbourhood(caller.address);
        let here = self.waiting.iter().filter(|v| neighbourhood(v.caller.address) == home).count();
        if self.waiting.len() >= MOST_WAITING || here >= MOST_WAITING_HERE {
            return Err(NoPin::TooMany);
        }
        let (sender, receiver) = oneshot::channel();
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.push(Visitor { number, caller, fingerprint, since: now, pin: sender });
        Ok((number, receiver))
    }
}

/// Takes a visitor out of the book, however its wait ends.
struct Leaves<'a> {
    desk: &'a Desk,
    number: u64,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.desk.book().waiting.retain(|visitor| visitor.number != self.number);
    }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_has_room_for_four() {
        let mut book = Book::default();
        let mut enter = |address: &str, number: u8| {
            let caller = Caller { unique_id: "1".into(), address: address.parse().unwrap() };
            book.enter(caller, Fingerprint([number; 32])).is_ok()
        };
        assert!((0..4).all(|n| enter(&format!("2001:db8::{n}"), n)));
        assert!(!enter("2001:db8::5", 5));
        assert!(enter("2001:db8:0:1::5", 5));
        assert!(enter("192.0.2.1", 6));
    }
}
