//! What a session's player does, and where that goes.

use super::player::Player;
use super::view::{Feels, View};
use crate::config::InputSettings;
use crate::identity::Permissions;
use crate::input::{
    Allowed, Compositor, Hands, Injector, Nowhere, Recorded, Size, of_own_desktop, of_this_machine,
};
use crate::pipeline::description::Mode;
use anyhow::Context;

impl Player {
    /// They do nothing yet.
    pub(super) fn grow_hands(&self) -> anyhow::Result<Hands> {
        Hands::start(self.id.to_string(), self.allowed()).context("no thread for input")
    }

    /// What the client may do now: its owner may change that while it plays.
    pub(super) fn allowed(&self) -> Allowed {
        let known = self.shared.equipment.clients.find(&self.launch.client);
        let Permissions { input, controllers, .. } = known.map_or(Permissions::NOTHING, |known| known.may);
        Allowed { input, controllers }
    }

    /// Has whatever takes input where the session looks be told, which shows pictures of this mode.
    pub(super) fn direct(&self, hands: &Hands, view: &View, mode: Mode) {
        let (InputSettings { record, output }, feels) = (self.shared.equipment.input.clone(), view.feels());
        let picture = Size { width: mode.width, height: mode.height };
        hands.direct(move || {
            let made: anyhow::Result<Box<dyn Injector>> = match (record, feels) {
                (Some(path), _) => Recorded::open(&path)
                    .map(|recorded| Box::new(recorded) as _)
                    .with_context(|| format!("input is not written to {}", path.display())),
                (None, Feels::Display(upstream, content)) => {
                    Ok(Box::new(Compositor::new(upstream, picture, content)))
                }
                (None, Feels::OwnDesktop(region, content)) => {
                    of_own_desktop(output.as_deref(), region, picture, content)
                }
                (None, Feels::Devices(content)) => of_this_machine(picture, content),
                (None, Feels::Nothing) => Ok(Box::new(Nowhere)),
            };
            made.unwrap_or_else(|error| {
                tracing::warn!("nothing takes input: {error:#}");
                Box::new(Nowhere)
            })
        });
    }
}
