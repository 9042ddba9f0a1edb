//! Everything that is a GStreamer pipeline: descriptions read and checked, encoders probed,
//! capture, video and audio built, watched, taken down, and the source built again where it dies.

pub mod audio;
pub mod capture;
pub mod check;
pub mod choose;
pub mod cost;
pub mod description;
pub mod display;
mod encoder;
pub mod frames;
mod idle;
mod keeper;
pub mod launch;
pub mod library;
pub mod limits;
pub mod output;
mod plugins;
mod priority;
pub mod probe;
mod property;
mod read;
pub mod rebuild;
mod run;
pub mod source;
pub mod stages;
pub mod surround;
pub mod upstream;
pub mod video;

pub use encoder::EncodeStats;
pub use run::{StreamEvent, init};
