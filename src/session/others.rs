//! Clients that launch what another one has on a display of its own: refused, given that display, or shown what is on it
//! ([`Others`] says which).

use super::end::End;
use super::keep::Purpose;
use super::view::{Look, View};
use super::{Shared, apps, release, short};
use crate::config::Others;
use crate::identity::Fingerprint;
use crate::protocol::rtsp::SessionId;
use crate::servers::nvhttp::Refusal;
use std::sync::Arc;
use tokio::time::Instant;

impl Shared {
    /// What to tell a client that may not have `app` beside whoever has it.
    pub(super) async fn refuse_other(&self, client: &Fingerprint, app: u32) -> Option<Refusal> {
        let owner = self.owner_under(Others::Refuse, client, app)?;
        let title = self.equipment.apps.find(app).await.map_or_else(|| "This".into(), |app| app.title);
        Some(Refusal::new(503, format!("{title} is taken by {}.", self.name_of(&owner))))
    }

    /// Ends the session of whoever has `app`, and gives the display to the client of the session that wants it.
    pub(super) async fn take_over(self: &Arc<Self>, heir: (SessionId, Fingerprint), app: u32) {
        let Some(owner) = self.owner_under(Others::TakeOver, &heir.1, app) else { return };
        let sessions = {
            let table = self.table();
            // It may be about to launch another one, and keep this no longer than that takes.
            if table.running_app(&owner) != app || !table.wants(heir, app) {
                return;
            }
            table.of_client(&owner).map(|entry| entry.handle.clone()).collect()
        };
        release(sessions, End::TakenOver).await;
        let Some(displaced) = self.inherit(&owner, heir, app) else {
            tracing::info!(session = %heir.0, "the display of {} is not let go of", self.name_of(&owner));
            return;
        };
        // It goes on ending when nobody waits any more.
        let _ = self.keep.endings.spawn(heir.1, apps::end(displaced)).await;
        self.journal.quit(&owner, End::TakenOver.to_string());
        tracing::info!(session = %heir.0, "takes over the display of {}", self.name_of(&owner));
        self.watch_later(heir.1);
    }

    /// In one step, if all is still as it was; what the heir had running before is to be ended.
    fn inherit(
        &self,
        owner: &Fingerprint,
        (session, heir): (SessionId, Fingerprint),
        app: u32,
    ) -> Option<Option<apps::Started>> {
        let mut displays = self.keep.displays();
        {
            let table = self.table();
            if table.of_client(owner).next().is_some() || !table.wants((session, heir), app) {
                return None;
            }
        }
        let held = displays.handle_taken_over(Instant::now(), owner, heir, app)?;
        let displaced = self.equipment.apps.bequeath(owner, held.session, heir);
        let mut table = self.table();
        table.clear_app(owner);
        table.mark_seen(&heir);
        Some(displaced)
    }

    /// The display of whoever has the app, for a session that is to see it too.
    pub(super) fn share_display(&self, purpose: &Purpose) -> Option<View> {
        let Purpose { session, client, app, .. } = purpose;
        let owner = self.owner_under(Others::Share, client, *app)?;
        let held = self.keep.displays().shown(&owner)?;
        self.table().set_guest(client, *app, owner);
        tracing::info!(%session, client = %short(client), "sees the display of {}", self.name_of(&owner));
        let sink = held.sink.clone();
        Some(View::alone(Look::as_guest(held)).with_sink(sink))
    }

    /// What `client` may resume; a guest, as long as what it saw is there.
    pub(super) fn running_app(&self, client: &Fingerprint) -> u32 {
        let (app, owner) = {
            let table = self.table();
            (table.running_app(client), table.owner_of(client))
        };
        if owner.is_some_and(|owner| !self.keep.displays().shows(&owner, app)) { 0 } else { app }
    }

    /// Who has `app` on a display, if that means this for `client`.
    pub(super) fn owner_under(&self, others: Others, client: &Fingerprint, app: u32) -> Option<Fingerprint> {
        let (meant, owner) = self.keep.displays().meets(client, app)?;
        (meant == others).then_some(owner)
    }
}
