//! A sound sink of PipeWire for one player: what their apps play there is heard by nobody else, and the session
//! manager's default stays as it is.
//!
//! The node belongs to a connection of this process, so that it is gone when this process is, however it ends. It is made
//! again when PipeWire or its session manager comes back.

use super::connection::{self, ANSWER_LIMIT, Connection};
use super::watch::Watched;
use crate::protocol::pipewire::{Event, Request};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// From the loss of a node until there is another, and between tries. An app that plays on while its sink is not there
/// is heard on the default sink, by WirePlumber's rule until it stops: so it is short.
const AGAIN: Duration = Duration::from_millis(100);
/// The longest, where PipeWire says no or takes each back soon.
const SELDOM: Duration = Duration::from_secs(10);
/// One that was there for so long was not taken back soon.
const LASTS: Duration = Duration::from_secs(5);

/// The lowest that a session manager has to choose from: one that the owner hears comes first.
const PRIORITY: &str = "-1000";

/// A sink that is there as long as this, but while PipeWire is not.
pub struct Sink {
    name: String,
    /// Counts how often it was made again.
    made_again: watch::Receiver<u32>,
    _keeping: AbortOnDropHandle<()>,
}

impl Sink {
    /// Makes one of 2, 6 or 8 channels; `description` is what mixers show. None where this session has no PipeWire, or
    /// none that makes sinks.
    pub async fn open(description: &str, channels: u32) -> Option<Sink> {
        let wish =
            Wish { name: unique_name(), description: description.to_owned(), position: position(channels) };
        let node = match try_to_make(&wish).await {
            Ok(node) => Some(node),
            Err(failure) if failure.may_pass(connection::was_seen()) => {
                tracing::info!("the sink {} comes later: {}", wish.name, failure.reason);
                None
            }
            Err(failure) => {
                tracing::warn!(
                    "no sound sink for {description}: what the default one plays is heard: {}",
                    failure.reason
                );
                return None;
            }
        };
        let name = wish.name.clone();
        let (tell, made_again) = watch::channel(0);
        let keeping = AbortOnDropHandle::new(tokio::spawn(keep(wish, node, tell)));
        Some(Sink { name, made_again, _keeping: keeping })
    }

    /// `node.name`, by which streams find it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Changes whenever it was made again.
    pub fn made_again(&self) -> watch::Receiver<u32> {
        self.made_again.clone()
    }
}

/// As clients name their speakers.
fn position(channels: u32) -> &'static str {
    match channels {
        ..=2 => "[ FL FR ]",
        3..=6 => "[ FL FR FC LFE RL RR ]",
        7.. => "[ FL FR FC LFE RL RR SL SR ]",
    }
}

/// Other hosts on the same PipeWire may have the same process number, in containers of theirs.
fn unique_name() -> String {
    let random = RandomState::new().hash_one(()) as u32;
    format!("moonpipe-{}-{random:08x}", std::process::id())
}

/// What the node is to be.
struct Wish {
    name: String,
    description: String,
    position: &'static str,
}

impl Wish {
    /// Of PipeWire's documentation, "Virtual Devices". The monitor plays what the sink's volume leaves of it.
    fn properties(&self) -> [(&str, &str); 7] {
        [
            ("factory.name", "support.null-audio-sink"),
            ("media.class", "Audio/Sink"),
            ("node.name", &self.name),
            ("node.description", &self.description),
            ("audio.position", self.position),
            ("monitor.channel-volumes", "true"),
            ("priority.session", PRIORITY),
        ]
    }
}

/// Why there is no node.
#[derive(Debug)]
struct Failure {
    reason: String,
    /// PipeWire itself said no.
    refused: bool,
}

impl Failure {
    /// A PipeWire that was there comes back.
    fn may_pass(&self, was_seen: bool) -> bool {
        was_seen && !self.refused
    }
}

/// Until the sink is dropped.
async fn keep(wish: Wish, mut node: Option<Node>, made_again: watch::Sender<u32>) {
    let (mut patience, mut told) = (Patience::default(), String::new());
    loop {
        if let Some(node) = node.take() {
            let begun = Instant::now();
            let reason = node.lost().await;
            tracing::info!("the sink {} has to be made again: {reason}", wish.name);
            patience.handle_lost(begun.elapsed());
        }
        sleep(patience.pause()).await;
        match try_to_make(&wish).await {
            Ok(made) => {
                told.clear();
                node = Some(made);
                made_again.send_modify(|count| *count += 1);
            }
            Err(failure) => {
                patience.handle_failure(failure.refused);
                if told != failure.reason {
                    tracing::warn!("no sink {}: {}", wish.name, failure.reason);
                    told = failure.reason;
                }
            }
        }
    }
}

/// How long to wait before a sink is made again.
struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(AGAIN)
    }
}

impl Patience {
    fn pause(&self) -> Duration {
        self.0
    }

    /// The node that was there for so long is not any more.
    fn handle_lost(&mut self, lasted: Duration) {
        if lasted >= LASTS { self.0 = AGAIN } else { self.grow() }
    }

    /// A PipeWire that is not there may be back at any moment; one that refuses thinks the same a moment later.
    fn handle_failure(&mut self, refused: bool) {
        if refused {
            self.grow();
        }
    }

    fn grow(&mut self) {
        self.0 = (self.0 * 2).min(SELDOM);
    }
}

async fn try_to_make(wish: &Wish) -> Result<Node, Failure> {
    let made = async {
        let absent = |error: anyhow::Error| Failure { reason: format!("{error:#}"), refused: false };
        let connection = Connection::connect().await.map_err(absent)?;
        Node::make(connection, wish).await
    };
    let late = || Failure { reason: "PipeWire does not answer".into(), refused: false };
    let node = timeout(ANSWER_LIMIT, made).await.unwrap_or_else(|_| Err(late()))?;
    tracing::info!("the sink {} is there", wish.name);
    Ok(node)
}

/// A node that is there.
struct Node {
    connection: Connection,
    standing: Standing,
}

impl Node {
    async fn make(connection: Connection, wish: &Wish) -> Result<Node, Failure> {
        let mut node = Node { connection, standing: Standing::of(&wish.name) };
        match node.ask(wish).await {
            Ok(()) => Ok(node),
            Err(error) => {
                let refused = error.kind() == std::io::ErrorKind::Other;
                Err(Failure { reason: connection::explain(&error), refused })
            }
        }
    }

    async fn ask(&mut self, wish: &Wish) -> std::io::Result<()> {
        self.connection.greet().await?;
        let properties = &wish.properties();
        self.connection.send(Request::CreateNode { factory: "adapter", properties }).await?;
        while self.standing.node.is_none() {
            self.standing.handle_event(self.connection.next().await?);
        }
        Ok(())
    }

    /// Why it has to be made again, once that is so.
    async fn lost(mut self) -> String {
        loop {
            match self.connection.next().await.map(|event| self.standing.handle_event(event)) {
                Ok(Some(reason)) => return reason.into(),
                Ok(None) => {}
                Err(error) => return connection::explain(&error),
            }
        }
    }
}

/// How a node stands, by what PipeWire tells.
struct Standing {
    watched: Watched,
    node: Option<u32>,
    managers: BTreeSet<u32>,
}

impl Standing {
    fn of(name: &str) -> Standing {
        Self { watched: Watched::Target(name.to_owned()), node: None, managers: BTreeSet::new() }
    }

    /// Why the node has to be made again, if that is so.
    fn handle_event(&mut self, event: Event) -> Option<&'static str> {
        match event {
            Event::Global(global) if self.watched.is(&global) => self.node = Some(global.id),
            Event::Global(global) if Watched::SessionManager.is(&global) => {
                self.managers.insert(global.id);
            }
            Event::GlobalRemoved { id } if self.node == Some(id) => return Some("somebody removed it"),
            // WirePlumber 0.4 waits for ever for a node that another one has set up before.
            Event::GlobalRemoved { id } if self.managers.remove(&id) && self.managers.is_empty() => {
                return Some("PipeWire lost its session manager");
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::pipewire::{NODE_KIND, daemon};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn only_a_pipewire_that_was_there_is_waited_for() {
        let failure = |refused| Failure { reason: String::new(), refused };
        assert!(failure(false).may_pass(true));
        assert!(!failure(false).may_pass(false), "this session has none");
        assert!(!failure(true).may_pass(true), "it makes no sinks");
    }

    #[test]
    fn who_refuses_is_asked_less_and_less_and_who_is_away_as_often_as_ever() {
        let mut patience = Patience::default();
        (0..3).for_each(|_| patience.handle_failure(false));
        assert_eq!(patience.pause(), AGAIN);
        for n in 1..20 {
            if n % 2 == 0 {
                patience.handle_failure(true)
            } else {
                patience.handle_lost(AGAIN)
            }
            assert_eq!(patience.pause(), (AGAIN * 2_u32.pow(n)).min(SELDOM));
        }
        patience.handle_lost(LASTS);
        assert_eq!(patience.pause(), AGAIN, "that one was good");
    }

    /// Of a daemon that hears everything, says this, and ends: why there is no node, or none any more.
    async fn told(words: Vec<u8>) -> Result<String, Failure> {
        let wish = Wish { name: "moonpipe-1".into(), description: "a sink".into(), position: position(2) };
        let (ours, mut daemon) = UnixStream::pair().unwrap();
        let create = Request::CreateNode { factory: "adapter", properties: &wish.properties() };
        let asked = [Request::Hello, Request::Name("moonpipe"), Request::GetRegistry, create];
        // What is left unread would make the end an error.
        let mut asked = vec![0; asked.map(|request| request.message(0).len()).iter().sum()];
        let daemon = std::thread::spawn(move || {
            daemon.read_exact(&mut asked).unwrap();
            daemon.write_all(&words).unwrap();
        });
        let node = Node::make(Connection::on(ours.into()).unwrap(), &wish).await;
        daemon.join().unwrap();
        Ok(node?.lost().await)
    }

    #[tokio::test]
    async fn a_node_is_there_until_it_or_the_daemon_is_gone() {
        let node = |id, name| daemon::global(id, NODE_KIND, &[("node.name", name)]);
        let defaults = "PipeWire:Interface:Metadata";
        let manager = |id| daemon::global(id, defaults, &[("metadata.name", "default")]);
        let (other, ours) = (node(40, "loudspeaker"), node(41, "moonpipe-1"));
        let (its_end, another) = (daemon::removed(41), daemon::removed(40));
        let removed = [&other[..], &ours, &another, &its_end].concat();
        assert_eq!(told(removed).await.unwrap(), "somebody removed it");
        let managed = [&manager(33)[..], &ours, &another, &daemon::removed(33)].concat();
        let reason = told(managed).await.unwrap();
        assert_eq!(reason, "PipeWire lost its session manager", "it comes back");
        let ended = [&other[..], &ours, &another].concat();
        assert_eq!(told(ended).await.unwrap(), "PipeWire ended");
        let died = told(other.clone()).await.expect_err("it was never there");
        assert!(!died.refused, "{}", died.reason);
        let refused = told([other, daemon::refused("no adapter")].concat()).await.expect_err("refused");
        assert!(refused.refused && refused.reason.contains("no adapter"), "{}", refused.reason);
    }

    #[test]
    fn no_two_sinks_have_a_name() {
        assert_ne!(unique_name(), unique_name());
    }
}
