//! Outputs of a player's own, of exactly the size and rate that they ask for: the trait of all that can make one, and each
//! way of it. The description `virtual` stands for the first of them that works here.

mod compositor;

use crate::desktop::apps::process::Environment;
use crate::pipeline::description::{CaptureDescription, Mode};
use crate::pipeline::output::VirtualOutput;
use anyhow::anyhow;
use compositor::Compositor;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;

/// The capture description of an output of one's own.
pub const VIRTUAL: &str = "virtual";

/// A way to get outputs.
pub trait VirtualOutputs: Send + Sync {
    /// For messages and the log.
    fn name(&self) -> &'static str;

    /// Why it cannot work here and now, with what to do about it.
    fn obstacle(&self) -> Option<String>;

    /// Makes an output of this mode. Nothing is left of one that cannot be made.
    fn create(&self, mode: Mode) -> BoxFuture<'_, anyhow::Result<Created>>;
}

/// An output that is there.
pub struct Created {
    /// What captures it.
    pub capture: CaptureDescription,
    /// What programs have to be told to show themselves there, besides the names that the capture itself tells of.
    pub environment: Environment,
    pub output: Box<dyn VirtualOutput>,
}

/// All ways of this host, the best one first.
pub struct Outputs(Vec<Box<dyn VirtualOutputs>>);

impl Outputs {
    /// As far as `library` describes them.
    pub fn new(library: &BTreeMap<String, CaptureDescription>) -> Outputs {
        let described = library.get(VIRTUAL).cloned();
        Outputs(
            described.map(|description| Box::new(Compositor::new(description)) as _).into_iter().collect(),
        )
    }

    #[cfg(test)]
    pub fn of(ways: Vec<Box<dyn VirtualOutputs>>) -> Outputs {
        Outputs(ways)
    }

    /// Why there are none.
    pub fn obstacle(&self) -> Option<String> {
        self.first_that_works().err()
    }

    /// In the first way that works.
    pub async fn create(&self, mode: Mode) -> anyhow::Result<Created> {
        let way = self.first_that_works().map_err(|reasons| anyhow!("no output can be made: {reasons}"))?;
        let created = way.create(mode).await;
        created.map_err(|error| anyhow!("{} makes no output: {error:#}", way.name()))
    }

    /// The first way that works, or why none of them does.
    fn first_that_works(&self) -> Result<&dyn VirtualOutputs, String> {
        let mut reasons = Vec::new();
        for way in &self.0 {
            match way.obstacle() {
                None => return Ok(&**way),
                Some(reason) => reasons.push(format!("{}: {reason}", way.name())),
            }
        }
        Err(if reasons.is_empty() { format!("nothing is called {VIRTUAL}") } else { reasons.join("; ") })
    }
}

/// One that a description other than [`VIRTUAL`] opens.
pub fn of_description(description: &CaptureDescription) -> Created {
    compositor::created(description.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::description::Describes;
    use crate::protocol::params::Fps;
    use std::future::ready;

    struct Way(&'static str, Option<&'static str>);

    impl VirtualOutputs for Way {
        fn name(&self) -> &'static str {
            self.0
        }

        fn obstacle(&self) -> Option<String> {
            self.1.map(str::to_owned)
        }

        fn create(&self, _: Mode) -> BoxFuture<'_, anyhow::Result<Created>> {
            let text = "launch = \"videotestsrc\"";
            let Ok(description) = CaptureDescription::read(self.0, self.0, text) else {
                panic!("the text is sound");
            };
            Box::pin(ready(Ok(of_description(&description))))
        }
    }

    async fn made_by(ways: Vec<Way>) -> anyhow::Result<String> {
        let outputs = Outputs::of(ways.into_iter().map(|way| Box::new(way) as _).collect());
        let mode = Mode { width: 64, height: 48, fps: Fps { num: 30, den: 1 } };
        assert_eq!(outputs.obstacle().is_none(), outputs.create(mode).await.is_ok());
        Ok(outputs.create(mode).await?.capture.name().to_owned())
    }

    #[tokio::test]
    async fn the_first_way_that_works_is_taken_and_without_one_every_reason_is_told() {
        let (desktop, compositor) = (("desktop", Some("no desktop runs")), ("compositor", None));
        let ways =
            |all: &[(&'static str, Option<&'static str>)]| all.iter().map(|way| Way(way.0, way.1)).collect();
        assert_eq!(made_by(ways(&[desktop, compositor, ("last", None)])).await.unwrap(), "compositor");
        assert_eq!(made_by(ways(&[("best", None), compositor])).await.unwrap(), "best");
        let said =
            made_by(ways(&[desktop, ("compositor", Some("no waylandsrc"))])).await.unwrap_err().to_string();
        assert!(said.contains("desktop: no desktop runs; compositor: no waylandsrc"), "{said}");
        assert!(made_by(Vec::new()).await.unwrap_err().to_string().contains("virtual"));
    }
}
