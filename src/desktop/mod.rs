//! The desktop of this machine: what can be captured and where an app would run.

pub mod apps;
mod connection;
pub mod defaults;
pub mod echo;
pub mod portal;
pub mod sink;
#[cfg(test)]
pub mod test_bus;
mod wake;
pub mod watch;
