//! What a client, a desktop and an operator see of a running host: real `moonpipe serve` processes, the real Moonlight
//! client library, a real Wayland desktop. Every scenario starts what it needs and leaves nothing behind.

mod harness;

mod adaptation;
mod apps;
mod commands;
mod cursor;
mod desktop;
mod desktop_soak;
mod display;
mod docs;
mod encoders;
mod ends;
mod faults;
mod idle;
mod input;
mod invalidation;
mod linger;
mod loss;
mod monitors;
mod network;
mod nonsense;
mod others;
mod pairing;
mod players;
mod rebuild;
mod replay;
mod rounds;
mod sinks;
mod soak;
mod state;
mod surround;
mod switch;
mod together;
mod vanish;
mod video;
