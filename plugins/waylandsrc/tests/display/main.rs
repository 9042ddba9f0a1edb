//! `waylandsrc` as GStreamer and real clients see it.
#![cfg(target_os = "linux")]

mod client;
mod harness;
mod shm;

mod conformance;
mod content;
mod lifetime;
mod misbehaviour;
mod navigation;
mod timing;
mod x11;
