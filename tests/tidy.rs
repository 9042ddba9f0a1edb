//! The shape of the code: who may import whom, and how long a file may be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A module of `src` and the modules that it may import. Everybody may use `EVERYBODY_USES`.
const IMPORTS: &[(&str, &[&str])] = &[
    ("main", &["cli", "host", "listing", "identity", "pipeline", "servers"]),
    ("cli", &["identity"]),
    ("listing", &["pipeline"]),
    ("host", &["servers", "session", "pipeline", "desktop", "identity"]),
    ("servers", &["identity"]),
    ("session", &["servers", "outputs", "input", "pipeline", "desktop", "identity"]),
    ("input", &["pipeline", "desktop"]),
    ("outputs", &["pipeline", "desktop"]),
    ("pipeline", &["desktop"]),
    ("desktop", &[]),
    ("identity", &[]),
    ("config", &[]),
    ("files", &[]),
    ("memory", &[]),
    ("threads", &[]),
    ("protocol", &[]),
];
const EVERYBODY_USES: [&str; 5] = ["protocol", "config", "files", "memory", "threads"];
const USE_NOBODY: [&str; 4] = ["protocol", "files", "memory", "threads"];

/// Lines of a file, its tests left out.
const LONGEST: usize = 450;
const LONGEST_ELEMENT: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    files.sort();
    files
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("below the root").display().to_string()
}

/// The part before the unit tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source file");
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

fn without_comments(code: &str) -> String {
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// First path segments after `crate::`, also those in `use crate::{a, b::c}`.
fn imported(code: &str) -> BTreeSet<String> {
    let name = |text: &str| {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => found.extend(top_level_names(list)),
            None => _ = found.insert(name(rest)),
        }
    }
    found
}

fn top_level_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut fresh) = (0, Vec::new(), true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && c.is_alphanumeric() => {
                names.push(list[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn imports_run_one_way() {
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        let place = relative(&path);
        let module = place.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default().to_owned();
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
            panic!("{place}: say in tests/tidy.rs what `{module}` may import");
        };
        for import in imported(&without_comments(&code(&path))) {
            let known = IMPORTS.iter().any(|(name, _)| *name == import);
            let common = EVERYBODY_USES.contains(&import.as_str()) && !USE_NOBODY.contains(&module.as_str());
            if known && import != module && !common && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{place} imports crate::{import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn plugins_know_nothing_of_the_daemon() {
    for path in rust_files(&root().join("plugins")) {
        let text = std::fs::read_to_string(&path).expect("a source file");
        assert!(!text.contains("moonpipe::"), "{} knows the daemon", relative(&path));
    }
}

#[test]
fn files_are_short() {
    let folders = ["src", "plugins", "tests", "benches"];
    let files = folders.iter().flat_map(|folder| rust_files(&root().join(folder)));
    let long: Vec<String> = files
        .filter_map(|path| {
            let limit = if path.ends_with("imp.rs") { LONGEST_ELEMENT } else { LONGEST };
            let lines = code(&path).lines().count();
            (lines > limit).then(|| format!("{}: {lines} lines, {limit} are allowed", relative(&path)))
        })
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn a_list_of_imports_is_read() {
    let code = "use crate::config::Settings;\nuse crate::{identity::{Clients, Identity}, protocol};\ncrate::files::write();\n";
    let found: Vec<String> = imported(code).into_iter().collect();
    assert_eq!(found, ["config", "files", "identity", "protocol"]);
}
