//! GameStream's media planes byte by byte, without GStreamer, socket or clock.

pub mod audio;
pub mod fec;
pub mod pacing;
pub mod seal;
pub mod sequence;
pub mod video;
