//! Where it is felt what players do.
//!
//! The control channel hands every event to the [`Hands`] of its session (`hands.rs`), a queue with a thread behind it that
//! knows what is down and lifts it at the end. The thread tells one [`Injector`] at a time: whatever takes input where the
//! session looks. `compositor.rs` is for displays of our own, `wlroots/` for desktops that have wlroots' protocols, `uinput/` for
//! the seat of this machine, `recorded.rs` writes down what a player would have felt.

mod compositor;
mod hands;
mod place;
mod recorded;
#[cfg(target_os = "linux")]
mod uinput;
#[cfg(target_os = "linux")]
mod wlroots;

pub use compositor::{Compositor, SizeOf};
pub use hands::{Allowed, Hands};
pub use place::Size;
pub use recorded::Recorded;

use crate::desktop::portal::Region;
use crate::protocol::input::Input;

/// What can be told what a player does. It lives on one thread, where events come in order; what is down is lifted before
/// another injector takes its place.
pub trait Injector {
    /// For the log.
    fn name(&self) -> &'static str;

    /// Takes one event, or leaves it be where there is nothing for it. Events wait meanwhile, and motion becomes less: one
    /// that cannot be taken at once is given up.
    fn inject(&mut self, input: &Input);
}

/// Where nothing takes input.
pub struct Nowhere;

impl Injector for Nowhere {
    fn name(&self) -> &'static str {
        "nowhere"
    }

    fn inject(&mut self, _: &Input) {}
}

/// What takes input on the desktop of the session that this process runs in, or why nothing does. What is seen is `output`,
/// else the part at `region`, where one of them is known.
pub fn of_own_desktop(
    output: Option<&str>,
    region: Option<Region>,
    picture: Size,
    content: SizeOf,
) -> anyhow::Result<Box<dyn Injector>> {
    #[cfg(target_os = "linux")]
    return Ok(Box::new(wlroots::Wlroots::connect(output, region, picture, content)?));
    #[cfg(not(target_os = "linux"))]
    anyhow::bail!("input for desktops of this system is not known");
}

/// Devices of this machine.
pub fn of_this_machine(picture: Size, content: SizeOf) -> anyhow::Result<Box<dyn Injector>> {
    #[cfg(target_os = "linux")]
    return Ok(Box::new(uinput::Uinput::create(picture, content)?));
    #[cfg(not(target_os = "linux"))]
    anyhow::bail!("devices for input are not known on this system");
}
