//! A Wayland compositor as a GStreamer source (`waylandsrc`): a display of any size and rate that needs no monitor, no
//! GPU, no desktop and no privileges. With the feature `gles` it uses a GPU where there is one.
//!
//! Used as a plugin by `gst-launch-1.0`, and linked into the host, which calls [`plugin_register_static`].
#![cfg(target_os = "linux")]

mod compositor;
mod exchange;
mod input;
mod mode;
mod waylandsrc;

static CAT: std::sync::LazyLock<gst::DebugCategory> = std::sync::LazyLock::new(|| {
    gst::DebugCategory::new(
        "waylandsrc",
        gst::DebugColorFlags::empty(),
        Some("Wayland compositor as a source"),
    )
});

/// Whom `gst-inspect-1.0` names.
const AUTHOR: &str = "The moonpipe developers";

fn plugin_init(plugin: &gst::Plugin) -> Result<(), gst::glib::BoolError> {
    waylandsrc::register(plugin)
}

gst::plugin_define!(
    waylandsrc,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("BUILD_REL_DATE")
);
