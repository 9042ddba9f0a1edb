//! The desktop of this machine: what can be captured and where an app would run.

pub mod portal;
pub mod watch;
pub mod apps;
