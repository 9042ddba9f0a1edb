//! Which outputs a desktop has, where they lie, and which of them is seen.

use super::World;
use crate::desktop::portal::Region;
use anyhow::Context;
use wayland_client::globals::{GlobalList, GlobalListContents};
use wayland_client::protocol::wl_output::{self, WlOutput};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, WEnum, delegate_noop};
use wayland_protocols::xdg::xdg_output::zv1::client::zxdg_output_manager_v1::ZxdgOutputManagerV1;
use wayland_protocols::xdg::xdg_output::zv1::client::zxdg_output_v1::{self, ZxdgOutputV1};

/// They come and go.
pub struct Outputs {
    manager: ZxdgOutputManagerV1,
    known: Vec<Output>,
}

struct Output {
    /// Of the global.
    id: u32,
    lies: Region,
    /// Pixels that it has, which are more than its units where it is scaled.
    pixels: (i32, i32),
    /// As `swaymsg -t get_outputs` tells it.
    name: String,
}

/// One of them, which may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(u32);

impl Outputs {
    /// What is said of them comes later.
    pub fn bind(globals: &GlobalList, queue: &QueueHandle<World>) -> anyhow::Result<Self> {
        let manager = globals.bind(queue, 2..=3, ()).context("it does not say where its outputs lie")?;
        let mut outputs = Self { manager, known: Vec::new() };
        for global in globals.contents().clone_list() {
            if global.interface == WlOutput::interface().name {
                outputs.add(globals.registry(), global.name, queue);
            }
        }
        Ok(outputs)
    }

    fn add(&mut self, registry: &WlRegistry, id: u32, queue: &QueueHandle<World>) {
        let proxy: WlOutput = registry.bind(id, 1, queue, id);
        self.manager.get_xdg_output(&proxy, queue, id);
        let nowhere = Region { x: 0, y: 0, width: 0, height: 0 };
        self.known.push(Output { id, lies: nowhere, pixels: (0, 0), name: String::new() });
    }

    fn find(&mut self, id: u32) -> Option<&mut Output> {
        self.known.iter_mut().find(|output| output.id == id)
    }

    /// The one of this name, else the one that the portal shows, which says that this is its region.
    pub fn choose(&self, name: Option<&str>, shown: Option<Region>) -> anyhow::Result<Option<Seen>> {
        let chosen = match (name, shown) {
            (Some(name), _) => Some(named(&self.known, name)?),
            (None, Some(shown)) => shown_at(&self.known, shown),
            (None, None) => None,
        };
        Ok(chosen.map(|output| Seen(output.id)))
    }

    /// Where it lies, while it is there.
    pub fn region(&self, seen: Seen) -> Option<Region> {
        self.known.iter().find(|output| output.id == seen.0).map(|output| output.lies)
    }

    /// What all of them cover, which is what absolute places are parts of. Never empty.
    pub fn whole(&self) -> Region {
        let lies = || self.known.iter().map(|output| output.lies);
        let x = lies().map(|region| region.x).min().unwrap_or_default();
        let y = lies().map(|region| region.y).min().unwrap_or_default();
        let right = lies().map(|region| region.x + region.width).max().unwrap_or_default();
        let bottom = lies().map(|region| region.y + region.height).max().unwrap_or_default();
        Region { x, y, width: (right - x).max(1), height: (bottom - y).max(1) }
    }
}

impl Output {
    fn has_size(&self, size: (i32, i32)) -> bool {
        self.pixels == size || (self.lies.width, self.lies.height) == size
    }
}

fn named<'a>(known: &'a [Output], name: &str) -> anyhow::Result<&'a Output> {
    known.iter().find(|output| output.name == name).with_context(|| {
        let names: Vec<&str> = known.iter().map(|output| &*output.name).collect();
        format!("[input] output: the desktop has no output {name:?}; it has {}", names.join(", "))
    })
}

/// The portal of wlroots knows no more than the size: it says of every output that it lies at 0, 0
/// (xdg-desktop-portal-wlr 0.7, `screencast.c`).
fn shown_at(known: &[Output], shown: Region) -> Option<&Output> {
    let fitting: Vec<&Output> =
        known.iter().filter(|output| output.has_size((shown.width, shown.height))).collect();
    let chosen = fitting.iter().find(|output| output.lies == shown).or(fitting.first());
    if let (Some(chosen), 2..) = (chosen, fitting.len()) {
        tracing::warn!(
            "{} outputs are as large as what is seen: takes {} for it; if that is another, say [input] output = \"NAME\"",
            fitting.len(),
            chosen.name
        );
    }
    chosen.copied()
}

impl Dispatch<WlRegistry, GlobalListContents> for World {
    fn event(
        world: &mut Self,
        registry: &WlRegistry,
        event: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        match event {
            wl_registry::Event::Global { name, interface, .. } if interface == WlOutput::interface().name => {
                world.outputs.add(registry, name, queue);
            }
            wl_registry::Event::GlobalRemove { name } => {
                world.outputs.known.retain(|output| output.id != name);
            }
            _ => {}
        }
    }
}

impl Dispatch<WlOutput, u32> for World {
    fn event(
        world: &mut Self,
        _: &WlOutput,
        event: wl_output::Event,
        id: &u32,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let wl_output::Event::Mode { flags: WEnum::Value(flags), width, height, .. } = event else { return };
        if let (Some(output), true) = (world.outputs.find(*id), flags.contains(wl_output::Mode::Current)) {
            output.pixels = (width, height);
        }
    }
}

impl Dispatch<ZxdgOutputV1, u32> for World {
    fn event(
        world: &mut Self,
        _: &ZxdgOutputV1,
        event: zxdg_output_v1::Event,
        id: &u32,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let Some(output) = world.outputs.find(*id) else { return };
        match event {
            zxdg_output_v1::Event::LogicalPosition { x, y } => (output.lies.x, output.lies.y) = (x, y),
            zxdg_output_v1::Event::LogicalSize { width, height } => {
                (output.lies.width, output.lies.height) = (width, height);
            }
            zxdg_output_v1::Event::Name { name } => output.name = name,
            _ => {}
        }
    }
}

delegate_noop!(World: ZxdgOutputManagerV1);

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, lies: (i32, i32, i32, i32), pixels: (i32, i32)) -> Output {
        Output { id: 0, lies: region(lies), pixels, name: name.to_owned() }
    }

    fn region((x, y, width, height): (i32, i32, i32, i32)) -> Region {
        Region { x, y, width, height }
    }

    fn desktop() -> [Output; 4] {
        [
            output("large", (0, 0, 2560, 1440), (2560, 1440)),
            output("left", (2560, 0, 1920, 1080), (1920, 1080)),
            output("right", (4480, 0, 1920, 1080), (1920, 1080)),
            output("scaled", (6400, 0, 1920, 1200), (3840, 2400)),
        ]
    }

    #[test]
    fn the_output_that_is_seen_is_told_by_its_name() {
        let known = desktop();
        assert_eq!(named(&known, "right").unwrap().name, "right");
        let wrong = named(&known, "DP-1").err().unwrap().to_string();
        assert!(wrong.contains("no output \"DP-1\"; it has large, left, right, scaled"), "{wrong}");
    }

    #[test]
    fn the_output_that_is_seen_is_told_by_its_size_where_the_portal_does_not_know_its_place() {
        let known = desktop();
        let shown = |lies| shown_at(&known, region(lies)).map(|output| &*output.name);
        assert_eq!(shown((0, 0, 2560, 1440)), Some("large"));
        assert_eq!(shown((4480, 0, 1920, 1080)), Some("right"), "one portal knows more than that of wlroots");
        assert_eq!(shown((0, 0, 1920, 1080)), Some("left"), "as good as the other");
        assert_eq!(shown((0, 0, 3840, 2400)), Some("scaled"), "in pixels");
        assert_eq!(shown((0, 0, 1920, 1200)), Some("scaled"), "in the units of the desktop");
        assert_eq!(shown((0, 0, 800, 600)), None);
    }
}
