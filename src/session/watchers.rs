//! Clients that cannot have an output of their own: those that may only watch, who see what is shown anyway and start
//! nothing, and all where none can be made.

use super::Shared;
use crate::config::Others;
use crate::identity::Fingerprint;
use crate::servers::nvhttp::Refusal;

/// What such a client is told.
pub(super) const ONLY_WATCHES: &str = "This client may only watch, and there is nothing of this to be watched (the owner of the host: moonpipe clients permit).";

impl Shared {
    /// What to tell a client that would get an output of its own, where there are none.
    pub(super) async fn refuse_without_output(&self, app: u32) -> Option<Refusal> {
        let why = self.equipment.captures.output_obstacle()?;
        let found = self.equipment.apps.find(app).await;
        let needs_one = found.as_ref().is_some_and(|app| app.isolated);
        if !needs_one && !self.equipment.captures.open_displays() {
            return None;
        }
        let title = found.map_or_else(|| "This".into(), |app| app.title);
        Some(Refusal::new(503, format!("{title} has no display: {why}")))
    }

    pub(super) fn may_launch(&self, client: &Fingerprint) -> bool {
        self.equipment.clients.find(client).is_some_and(|known| known.may.launch)
    }

    /// What to tell a client that may not start `app`, and has nothing to watch there.
    pub(super) async fn refuse_watcher(&self, client: &Fingerprint, app: u32) -> Option<Refusal> {
        if self.may_launch(client) || self.owner_under(Others::Share, client, app).is_some() {
            return None;
        }
        let found = self.equipment.apps.find(app).await;
        let starts_something = found.is_none_or(|app| app.command.is_some() || app.isolated);
        let refused = starts_something || self.equipment.captures.open_displays();
        refused.then(|| Refusal::new(403, ONLY_WATCHES))
    }
}
