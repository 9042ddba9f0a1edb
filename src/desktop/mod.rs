//! The desktop of this machine: what can be captured and where an app would run.

pub mod apps;
pub mod portal;
pub mod watch;
