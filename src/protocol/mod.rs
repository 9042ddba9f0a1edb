//! What is said on the wire, without a socket or a clock: parsers, writers and state machines.

pub mod control;
pub mod enet;
pub mod feedback;
pub mod input;
pub mod nvhttp;
pub mod pairing;
pub mod params;
pub mod pipewire;
pub mod ports;
pub mod rtsp;
pub mod seal;
