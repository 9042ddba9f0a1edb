//! Builds the element where libx264 is. Elsewhere the plugin is empty, and the build says what to install.

fn main() {
    gst_plugin_version_helper::info();
    println!("cargo::rustc-check-cfg=cfg(have_x264)");
    println!("cargo::rerun-if-changed=src/libx264.c");
    println!("cargo::rerun-if-changed=build.rs");
    match pkg_config::Config::new().atleast_version("0.155").cargo_metadata(false).probe("x264") {
        Ok(library) => {
            cc::Build::new().file("src/libx264.c").includes(library.include_paths).compile("x264rfi");
            // Linkers look for what is missing so far: the library goes behind the code that needs it.
            library
                .link_paths
                .iter()
                .for_each(|p| println!("cargo::rustc-link-search=native={}", p.display()));
            library.libs.iter().for_each(|name| println!("cargo::rustc-link-lib={name}"));
            println!("cargo::rustc-cfg=have_x264");
        }
        Err(_) => {
            // A file that is never there: asked again at the next build, when it may have been installed.
            println!("cargo::rerun-if-changed=libx264-is-not-here");
            println!(
                "cargo::warning=libx264 with its headers is not here (Debian: libx264-dev), so there will be no x264rfienc: \
             the host works without it, and answers lost H.264 frames with key frames"
            );
        }
    }
}
