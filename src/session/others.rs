//! Clients that launch what another one has on a display of its own: refused, given that display, or shown what is on it
//! ([`Others`] says which).

use super::end::End;
use super::keep::Purpose;
use super::view::{Look, View};
use super::{Shared, release, short};
use crate::config::Others;
use crate::identity::Fingerprint;
use crate::servers::nvhttp::Refusal;
use std::sync::Arc;
use tokio::time::Instant;

/// What a client is told that is one too many beside so many others.
pub(super) fn too_many(others: usize) -> String {
    let are = if others == 1 { "player is" } else { "players are" };
    format!("{others} {are} here already, and no more are let in (`most` in [players] of the configuration).")
}

impl Shared {
    /// What to tell a client that may not have `app` beside whoever has it.
    pub(super) async fn refuse_other(&self, client: &Fingerprint, app: u32) -> Option<Refusal> {
        let owner = self.owner_under(Others::Refuse, client, app)?;
        let title = self.equipment.apps.find(app).await.map_or_else(|| "This".into(), |app| app.title);
        Some(Refusal::new(503, format!("{title} is taken by {}.", self.name_of(&owner))))
    }

    /// Ends the session of whoever has `app`, and gives the display to `heir`.
    pub(super) async fn take_over(self: &Arc<Self>, heir: &Fingerprint, app: u32) {
        let Some(owner) = self.owner_under(Others::TakeOver, heir, app) else { return };
        let sessions = self.table().of_client(&owner).map(|entry| entry.handle.clone()).collect();
        release(sessions, End::TakenOver).await;
        {
            let mut displays = self.keep.displays();
            if !displays.handle_taken_over(Instant::now(), &owner, *heir, app) {
                return;
            }
            self.equipment.apps.bequeath(&owner, *heir);
            self.table().clear_app(&owner);
        }
        self.journal.quit(&owner, End::TakenOver.to_string());
        tracing::info!(client = %short(heir), "takes over the display of {}", self.name_of(&owner));
        self.watch_later(*heir);
    }

    /// The display of whoever has the app, for a session that is to see it too.
    pub(super) fn share_display(&self, purpose: &Purpose) -> Option<View> {
        let Purpose { session, client, app, .. } = purpose;
        let owner = self.owner_under(Others::Share, client, *app)?;
        let held = self.keep.displays().shown(&owner)?;
        tracing::info!(%session, client = %short(client), "sees the display of {}", self.name_of(&owner));
        Some(View::alone(Look::as_guest(held)))
    }

    fn owner_under(&self, others: Others, client: &Fingerprint, app: u32) -> Option<Fingerprint> {
        let (meant, owner) = self.keep.displays().meets(client, app)?;
        (meant == others).then_some(owner)
    }

    fn name_of(&self, client: &Fingerprint) -> String {
        self.equipment.clients.find(client).map_or_else(|| short(client), |known| known.name)
    }
}
