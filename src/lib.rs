//! A GameStream host made of GStreamer pipelines.
//!
//! Start reading in [`host`], which puts the parts together; ARCHITECTURE.md draws them.

pub mod config;
pub mod desktop;
pub mod files;
pub mod host;
pub mod identity;
pub mod input;
pub mod memory;
pub mod outputs;
pub mod pipeline;
pub mod protocol;
pub mod servers;
pub mod session;
pub mod threads;
