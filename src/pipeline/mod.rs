//! Everything that is a GStreamer pipeline: descriptions read and checked, encoders probed,
//! capture, video and audio built, watched and taken down.

pub mod audio;
pub mod capture;
pub mod choose;
pub mod description;
pub mod probe;
pub mod video;
