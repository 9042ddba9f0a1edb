//! H.264 by libx264 that goes on without lost reference frames: element `x264rfienc`.
//!
//! `bitstream` makes decoders bear the gaps, and `recovery` knows what is broken; both decide only.

pub mod bitstream;
pub mod recovery;

#[cfg(have_x264)]
mod libx264;
#[cfg(have_x264)]
mod x264rfienc;

/// Name of the meta on a frame that refers to none of the frames that were called broken.
pub const RECOVERY_META: &str = "GstGameStreamRecoveryMeta";

fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    // Whoever reads it may have registered it before.
    if !gst::meta::CustomMeta::is_registered(RECOVERY_META) {
        gst::meta::CustomMeta::register(RECOVERY_META, &[]);
    }
    register_elements(plugin)
}

#[cfg(have_x264)]
fn register_elements(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    x264rfienc::register(plugin)
}

/// Built where libx264 was not.
#[cfg(not(have_x264))]
fn register_elements(_plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    Ok(())
}

gst::plugin_define!(
    x264rfi,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "GPL",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("BUILD_REL_DATE")
);
