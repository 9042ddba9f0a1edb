//! Displays that a host makes itself, and apps that fill them with a colour.

use super::client::Report;
use std::path::Path;

/// As programs are told, and as it is seen.
pub type Colour = (&'static str, [f64; 3]);

pub const RED: Colour = ("c83214", [200.0, 50.0, 20.0]);
pub const BLUE: Colour = ("1432c8", [20.0, 50.0, 200.0]);

pub fn is_near(seen: [f64; 3], meant: [f64; 3]) -> bool {
    seen.iter().zip(meant).all(|(seen, meant)| (seen - meant).abs() <= 8.0)
}

/// All places that were looked at have this colour.
#[track_caller]
pub fn assert_colour(report: &Report, meant: Colour) {
    assert!(
        !report.colours.is_empty() && report.colours.values().all(|seen| is_near(*seen, meant.1)),
        "{:?}",
        report.colours
    );
}

/// A command whose window has this colour.
pub fn terminal(colour: Colour) -> String {
    format!("foot -c /dev/null -o colors.background={} sleep 600", colour.0)
}

/// A table of apps.toml.
pub fn app(title: &str, cmd: &str, more: &str) -> String {
    format!("[[app]]\ntitle = \"{title}\"\ncmd = \"{cmd}\"\n{more}\n")
}

/// Sockets of displays.
pub fn sockets(runtime_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(runtime_dir).expect("a folder").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("wayland-")).collect()
}
