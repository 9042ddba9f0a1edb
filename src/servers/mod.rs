//! Every socket of the host. What is said on them is decided in [`crate::protocol`] and by the sessions.

pub mod admin;
pub mod control;
pub mod discovery;
pub mod media;
pub mod noise;
pub mod nvhttp;
pub mod rtsp;
pub mod status;
pub mod tcp;
pub mod tls;
pub mod udp;
