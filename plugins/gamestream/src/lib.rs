//! GStreamer elements for GameStream: steady cadence (`framepacer`), sound at the rate of the clock (`audiopacer`), packets with FEC
//! (`gamestreamvideopay`, `gamestreamaudiopay`), paced UDP (`pacedudpsink`), the receiving side
//! (`gamestreamvideodepay`, `gamestreamaudiodepay`), exact colours (`rgbtoyuv`), bitstreams that say which they have (`colorsignal`) and a picture that can be checked
//! (`framestamp`).
//!
//! Used as a plugin by `gst-launch-1.0`, and linked into the host, which calls [`plugin_register_static`].

mod audiopacer;
mod colorsignal;
mod framepacer;
mod framestamp;
mod gamestreamaudiodepay;
mod gamestreamaudiopay;
mod gamestreamvideodepay;
mod gamestreamvideopay;
mod latency;
mod meta;
mod pacedudpsink;
pub mod packets;
mod pool;
mod rgbtoyuv;
pub mod timing;
pub mod wire;

/// Whom `gst-inspect-1.0` names.
const AUTHOR: &str = "The moonpipe developers";

fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    audiopacer::register(plugin)?;
    colorsignal::register(plugin)?;
    framepacer::register(plugin)?;
    framestamp::register(plugin)?;
    gamestreamvideopay::register(plugin)?;
    gamestreamaudiopay::register(plugin)?;
    gamestreamvideodepay::register(plugin)?;
    gamestreamaudiodepay::register(plugin)?;
    pacedudpsink::register(plugin)?;
    rgbtoyuv::register(plugin)
}

gst::plugin_define!(
    gamestream,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("BUILD_REL_DATE")
);
