//! `waylandsrc` as GStreamer and real clients see it.
#![cfg(target_os = "linux")]
#![cfg_attr(feature = "gles", expect(clippy::duplicate_mod, reason = "the same tests for each renderer"))]

mod client;
mod harness;
mod shm;
mod speech;

mod conformance;
mod content;
#[cfg(feature = "gles")]
mod gles;
mod layers;
mod lifetime;
mod misbehaviour;
mod navigation;
mod protocols;
mod timing;
mod x11;
mod x11_misbehaviour;
