//! Random operations on the displays of three clients, held against a model of what they are told to do.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use std::collections::BTreeSet;

const KEPT: Duration = Duration::from_secs(10);
const LINGERS: [Linger; 3] = [Linger::Immediately, Linger::For(KEPT), Linger::UntilReleased];
const LEAVINGS: [Leaving; 3] = [Leaving::Away, Leaving::Replaced, Leaving::Ended];
const OTHERS: [Others; 4] = [Others::OwnDisplay, Others::TakeOver, Others::Refuse, Others::Share];
const CLIENTS: std::ops::Range<u8> = 0..3;
const APPS: std::ops::Range<u32> = 7..9;

#[derive(Clone, Debug)]
enum Operation {
    /// A session that finds a display of its client's, or opens one.
    Comes {
        client: u8,
        app: u32,
    },
    Plays {
        client: u8,
    },
    /// The present session, or one that is over long since.
    Leaves {
        client: u8,
        leaving: Leaving,
        stale: bool,
    },
    /// The display of the present session, or of one that is over, is gone.
    Lost {
        client: u8,
        stale: bool,
    },
    Launches {
        client: u8,
        app: u32,
    },
    Released {
        client: u8,
    },
    TakesOver {
        owner: u8,
        heir: u8,
        app: u32,
    },
    Closes,
    Passes(Duration),
}

fn operation() -> impl Strategy<Value = Operation> {
    let leaving = (0..LEAVINGS.len()).prop_map(|index| LEAVINGS[index]);
    prop_oneof![
        6 => (CLIENTS, APPS).prop_map(|(client, app)| Operation::Comes { client, app }),
        6 => CLIENTS.prop_map(|client| Operation::Plays { client }),
        6 => (CLIENTS, leaving, any::<bool>())
            .prop_map(|(client, leaving, stale)| Operation::Leaves { client, leaving, stale }),
        3 => (CLIENTS, any::<bool>()).prop_map(|(client, stale)| Operation::Lost { client, stale }),
        6 => (CLIENTS, APPS).prop_map(|(client, app)| Operation::Launches { client, app }),
        6 => CLIENTS.prop_map(|client| Operation::Released { client }),
        6 => (CLIENTS, CLIENTS, APPS).prop_map(|(owner, heir, app)| Operation::TakesOver { owner, heir, app }),
        1 => Just(Operation::Closes),
        6 => (0..40u64).prop_map(|seconds| Operation::Passes(Duration::from_secs(seconds))),
    ]
}

/// A display, as somebody would write it down who only watches.
#[derive(Clone, Debug)]
struct Past {
    app: u32,
    session: u64,
    is_shown: bool,
    was_played: bool,
    ends: Option<Instant>,
}

struct Model {
    settings: DisplaySettings,
    displays: Displays<SessionId>,
    now: Instant,
    sessions: u64,
    record: BTreeMap<u8, Past>,
    is_closing: bool,
}

fn id(client: u8) -> Fingerprint {
    Fingerprint([client; 32])
}

impl Model {
    fn new(linger: Linger, others: Others) -> Self {
        let settings = DisplaySettings { linger, others };
        Self {
            settings,
            displays: Displays::new(settings),
            now: Instant::now(),
            sessions: 0,
            record: BTreeMap::new(),
            is_closing: false,
        }
    }

    fn left(&self, client: u8) -> Option<&Past> {
        self.record.get(&client).filter(|past| !past.is_shown)
    }

    fn shown(&self, client: u8) -> Option<&Past> {
        self.record.get(&client).filter(|past| past.is_shown)
    }

    fn apply(&mut self, operation: Operation) -> TestCaseResult {
        match operation {
            Operation::Comes { client, app } => self.comes(client, app),
            Operation::Plays { client } => {
                if let Some(past) = self.record.get_mut(&client).filter(|past| past.is_shown) {
                    past.was_played = true;
                    self.displays.handle_played(&id(client), SessionId(past.session));
                }
                Ok(())
            }
            Operation::Leaves { client, leaving, stale } => self.leaves(client, leaving, stale),
            Operation::Lost { client, stale } => self.loses(client, stale),
            Operation::Launches { client, app } => self.launches(client, app),
            Operation::Released { client } => {
                let meant = self.left(client).map(|past| SessionId(past.session));
                prop_assert_eq!(self.displays.handle_released(&id(client)), meant);
                if meant.is_some() {
                    self.record.remove(&client);
                }
                Ok(())
            }
            Operation::TakesOver { owner, heir, app } => self.takes_over(owner, heir, app),
            Operation::Closes => {
                let closed: BTreeSet<_> = self.displays.handle_closing().into_iter().collect();
                let left = self.record.iter().filter(|(_, past)| !past.is_shown);
                let meant = left.map(|(client, past)| (id(*client), SessionId(past.session))).collect();
                prop_assert_eq!(closed, meant);
                self.record.retain(|_, past| past.is_shown);
                self.is_closing = true;
                Ok(())
            }
            Operation::Passes(time) => {
                self.now += time;
                self.time_is_up()
            }
        }
    }

    fn comes(&mut self, client: u8, app: u32) -> TestCaseResult {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        // Left, or held by a session that does not let go.
        let before = self.record.get(&client).cloned();
        let meant = match &before {
            Some(past) if past.app == app => Found::Kept(SessionId(past.session)),
            Some(past) => Found::Other(SessionId(past.session)),
            None => Found::Nothing,
        };
        let is_kept = matches!(meant, Found::Kept(_));
        prop_assert_eq!(self.displays.handle_return(id(client), session, app), meant);
        if is_kept {
            self.displays.handle_shown(&id(client), session, session);
        } else {
            prop_assert_eq!(self.displays.handle_opened(id(client), session, app, session), None);
        }
        let was_played = is_kept && before.is_some_and(|past| past.was_played);
        let past = Past { app, session: self.sessions, is_shown: true, was_played, ends: None };
        self.record.insert(client, past);
        Ok(())
    }

    fn leaves(&mut self, client: u8, leaving: Leaving, stale: bool) -> TestCaseResult {
        let (now, linger) = (self.now, self.settings.linger);
        let Some(past) = self.shown(client).cloned() else { return Ok(()) };
        let session = SessionId(if stale { 0 } else { past.session });
        let left = self.displays.handle_left(now, &id(client), session, leaving, || session);
        if stale {
            prop_assert_eq!(left, Left::Taken);
            return Ok(());
        }
        let is_awaited = leaving == Leaving::Replaced;
        let is_left = leaving == Leaving::Away && past.was_played && linger != Linger::Immediately;
        if self.is_closing || !(is_awaited || is_left) {
            prop_assert_eq!(left, Left::Removed);
            self.record.remove(&client);
            return Ok(());
        }
        prop_assert_eq!(left, Left::Kept);
        let ends = match (is_awaited, linger) {
            (true, Linger::UntilReleased) if !past.was_played => Some(now + SETTLING),
            (_, Linger::UntilReleased) => None,
            (true, _) => Some(now + SETTLING),
            (false, _) => Some(now + KEPT),
        };
        self.record.insert(client, Past { is_shown: false, ends, ..past });
        Ok(())
    }

    fn loses(&mut self, client: u8, stale: bool) -> TestCaseResult {
        let session = if stale { Some(0) } else { self.record.get(&client).map(|past| past.session) };
        let Some(session) = session.map(SessionId) else { return Ok(()) };
        let meant = self.shown(client).filter(|_| !stale).map(|_| session);
        prop_assert_eq!(self.displays.handle_lost(&id(client), session), meant);
        if meant.is_some() {
            self.record.remove(&client);
        }
        Ok(())
    }

    fn launches(&mut self, client: u8, app: u32) -> TestCaseResult {
        let now = self.now;
        let other = self.left(client).filter(|past| past.app != app).map(|past| SessionId(past.session));
        prop_assert_eq!(self.displays.handle_launched(now, &id(client), app), other);
        if other.is_some() {
            self.record.remove(&client);
        } else if let Some(past) = self.record.get_mut(&client).filter(|past| !past.is_shown) {
            past.ends = past.ends.map(|ends| ends.max(now + SETTLING));
        }
        Ok(())
    }

    fn takes_over(&mut self, owner: u8, heir: u8, app: u32) -> TestCaseResult {
        let is_free = !self.is_closing && !self.record.contains_key(&heir);
        let left = self.left(owner).filter(|past| is_free && past.app == app).cloned();
        let meant = left.as_ref().map(|past| SessionId(past.session));
        let taken = self.displays.handle_taken_over(self.now, &id(owner), id(heir), app);
        prop_assert_eq!(taken, meant);
        if let Some(past) = left {
            self.record.remove(&owner);
            self.record.insert(heir, Past { ends: Some(self.now + SETTLING), ..past });
        }
        Ok(())
    }

    fn time_is_up(&mut self) -> TestCaseResult {
        let now = self.now;
        let removed: BTreeSet<u8> =
            std::iter::from_fn(|| self.displays.poll(now)).map(|(client, _)| client.0[0]).collect();
        let over = |past: &Past| past.ends.is_some_and(|ends| ends <= now);
        let meant: BTreeSet<u8> =
            self.record.iter().filter(|(_, past)| over(past)).map(|(client, _)| *client).collect();
        self.record.retain(|_, past| !over(past));
        prop_assert_eq!(removed, meant);
        Ok(())
    }

    /// What can be asked tells the same as the record.
    fn compare(&self) -> TestCaseResult {
        for client in CLIENTS {
            let (left, shown) = (self.left(client), self.shown(client));
            let session = |past: &Past| SessionId(past.session);
            prop_assert_eq!(self.displays.waiting(&id(client)), left.map(session));
            prop_assert_eq!(self.displays.shown(&id(client)), shown.map(session));
            for app in APPS {
                let shows = shown.is_some_and(|past| past.app == app);
                prop_assert_eq!(self.displays.shows(&id(client), app), shows);
                self.compare_meeting(client, app)?;
            }
        }
        Ok(())
    }

    fn compare_meeting(&self, client: u8, app: u32) -> TestCaseResult {
        let others = self.settings.others;
        let has_it_itself = self.record.get(&client).is_some_and(|past| past.app == app);
        let owners: Vec<_> = self.record.iter().filter(|(_, past)| past.app == app).collect();
        let can_be_met = |past: &Past| past.is_shown || others != Others::Share;
        let somebody = owners.iter().any(|(_, past)| can_be_met(past));
        let Some((policy, owner)) = self.displays.meets(&id(client), app) else {
            prop_assert!(others == Others::OwnDisplay || has_it_itself || !somebody);
            return Ok(());
        };
        prop_assert!(others != Others::OwnDisplay && !has_it_itself && policy == others);
        let met = self.record.get(&owner.0[0]);
        prop_assert!(met.is_some_and(|past| past.app == app && can_be_met(past)));
        let somebody_plays = owners.iter().any(|(_, past)| past.is_shown);
        prop_assert!(!somebody_plays || met.is_some_and(|past| past.is_shown), "who plays is met first");
        Ok(())
    }
}

proptest! {
    #[test]
    fn displays_are_kept_and_removed_as_told(
        linger in 0..LINGERS.len(),
        others in 0..OTHERS.len(),
        operations in proptest::collection::vec(operation(), 1..60),
    ) {
        let mut model = Model::new(LINGERS[linger], OTHERS[others]);
        for operation in operations {
            model.apply(operation)?;
            model.compare()?;
        }
    }
}
