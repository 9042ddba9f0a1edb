//! Plugins of this project that are never linked into the host: GStreamer finds them where it looks for all others, or
//! they lie beside the program.

use std::path::{Path, PathBuf};

/// An element, and the file of the plugin that has it. `libx264` is free software under a licence that this program does
/// not have.
const SEPARATE: [(&str, &str); 1] = [("x264rfienc", "libgstx264rfi.so")];

/// Loads what GStreamer has not found by itself. What is not there either is done without.
pub(super) fn load() {
    let Some(folder) = std::env::current_exe().ok().as_deref().and_then(Path::parent).map(PathBuf::from)
    else {
        return;
    };
    for (element, file) in SEPARATE {
        let path = folder.join(file);
        if gst::ElementFactory::find(element).is_some() || !path.is_file() {
            continue;
        }
        match gst::Plugin::load_file(&path) {
            Ok(_) => tracing::debug!("{} is loaded", path.display()),
            Err(error) => tracing::warn!("{} is not used: {error}", path.display()),
        }
    }
}
