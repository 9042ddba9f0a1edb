//! The documents, tried out: what stands in a fenced block works.

use crate::harness::host::{self, Setup};
use crate::harness::lines::Lines;
use crate::harness::{at_best, kept, output, root, send_signal, turn, until, within};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A fenced block of a document.
struct Block {
    place: String,
    language: String,
    text: String,
}

/// Every Markdown file of the checkout.
fn documents() -> Vec<PathBuf> {
    let found = files_below(&root(), "md");
    assert!(found.contains(&root().join("README.md")), "{found:?}");
    found
}

/// Files with this extension, build outputs and hidden folders left out.
fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}

fn blocks() -> Vec<Block> {
    documents().iter().flat_map(|path| blocks_of(path)).collect()
}

fn blocks_of(path: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(path).expect("a document");
    let name = path.strip_prefix(root()).expect("in the checkout").display();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                open = Some(Block {
                    place: format!("{name}:{}", number + 1),
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{name}: a block is not closed");
    blocks
}

/// Commands of the shell blocks: comments left out, continued lines joined.
fn commands() -> Vec<(String, String)> {
    let shell = blocks().into_iter().filter(|block| block.language == "sh");
    shell
        .flat_map(|block| {
            let joined = block.text.replace("\\\n", " ");
            let lines: Vec<_> = joined.lines().map(|line| line.trim().to_owned()).collect();
            lines
                .into_iter()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(move |line| (block.place.clone(), line))
        })
        .collect()
}

/// Words as a shell would make them of a line without variables.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut inside) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => (quote, inside) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if inside {
                    words.push(std::mem::take(&mut word));
                }
                inside = false;
            }
            (None, c) => {
                word.push(c);
                inside = true;
            }
        }
    }
    if inside {
        words.push(word);
    }
    words
}

fn gst_launch_lines() -> Vec<(String, String)> {
    commands().into_iter().filter(|(_, line)| line.starts_with("gst-launch-1.0 ")).collect()
}

#[test]
fn every_configuration_in_the_documents_is_accepted() {
    let mut tried = 0;
    for block in blocks().into_iter().filter(|block| block.language == "toml") {
        tried += 1;
        if block.text.contains("[[app]]") {
            let apps = moonpipe::desktop::apps::list::parse(&block.text, Path::new(""));
            assert!(apps.is_ok(), "{}: {apps:?}", block.place);
            continue;
        }
        let description = block.text.contains("launch =");
        let pipelines = [("capture/documented.toml", block.text.as_str())];
        let encode = [("encode/documented.toml", block.text.as_str())];
        let setup = match (description, block.text.contains("codec =")) {
            (false, _) => Setup { config: &block.text, ..Setup::default() },
            (true, false) => Setup { pipelines: &pipelines, ..Setup::default() },
            (true, true) => Setup { pipelines: &encode, ..Setup::default() },
        };
        let folder = host::new_folder(&setup);
        let listed = output(&mut host::moonpipe(Path::new(host::MOONPIPE), folder.path(), &["pipelines"]));
        let said = String::from_utf8_lossy(&[listed.stdout, listed.stderr].concat()).into_owned();
        assert_eq!(listed.status.code(), Some(0), "{}: {said}", block.place);
        if description {
            let line = said.lines().find(|line| line.contains("documented"));
            assert!(line.is_some_and(|line| !line.contains("refused")), "{}: {said}", block.place);
        }
    }
    assert!(tried >= 3, "only {tried} toml blocks in the documents");
}

#[test]
fn every_gst_launch_line_in_the_documents_is_a_pipeline() {
    moonpipe::pipeline::init().expect("GStreamer");
    let lines = gst_launch_lines();
    assert!(lines.len() >= 2, "the README shows a sender and a receiver");
    for (place, line) in lines {
        let words = words(&line);
        let pipeline: Vec<&str> =
            words[1..].iter().map(String::as_str).skip_while(|word| word.starts_with('-')).collect();
        if let Err(error) = gst::parse::launchv(&pipeline) {
            panic!("{place}: {line}: {error}");
        }
    }
}

/// Features of the plugins, as one asks cargo for them in this workspace.
fn features() -> Vec<String> {
    let manifests = files_below(&root().join("plugins"), "toml");
    let described = manifests.iter().flat_map(|manifest| {
        let text = std::fs::read_to_string(manifest).expect("a manifest");
        let manifest: toml::Table = text.parse().expect("a manifest is TOML");
        let package = manifest["package"]["name"].as_str().expect("a package has a name").to_owned();
        let features = manifest.get("features").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        features.into_iter().map(move |(feature, _)| format!("{package}/{feature}"))
    });
    described.collect()
}

#[test]
fn every_command_in_the_documents_exists() {
    for (place, line) in commands() {
        let words = words(&line);
        match words[0].as_str() {
            "make" => {
                let dry = output(Command::new("make").arg("-n").args(&words[1..]).current_dir(root()));
                assert!(dry.status.success(), "{place}: {line}: {dry:?}");
            }
            "cargo" => {
                let asked = words.iter().skip_while(|word| *word != "--features").nth(1);
                let known = features();
                assert!(
                    asked.is_some_and(|asked| known.contains(asked)),
                    "{place}: {line}: there is {known:?}"
                );
            }
            "moonpipe" | "target/release/moonpipe" => {
                let help = output(Command::new(host::MOONPIPE).args(&words[1..]).arg("--help"));
                assert!(help.status.success(), "{place}: {line}: {help:?}");
            }
            "gst-launch-1.0" | "gst-inspect-1.0" | "cmp" | "git" | "cd" | "export" => {}
            other => panic!("{place}: nothing tries `{other}`"),
        }
    }
}

/// The receiver and the sender of the README, as two processes, with the window left out.
#[test]
fn the_readme_stream_loses_no_picture() {
    const PICTURES: usize = 600;
    const LAST: &str = "autovideosink sync=false";
    let _turn = turn();
    let (receiver, sender) = (readme_line("gamestreamvideodepay"), readme_line("gamestreamvideopay"));
    for word in ["bitrate=20000", "fec-percentage=50", "loss-percentage=10", "loss-seed="] {
        assert!(sender.contains(word), "the line shows {word}: {sender}");
    }
    assert!(receiver.ends_with(LAST), "{receiver}");

    // fakesink tells of every picture it gets.
    let receiver = receiver
        .replace(LAST, "fakesink name=seen silent=false sync=false")
        .replace("gst-launch-1.0", "gst-launch-1.0 -v");
    let play = || {
        let (receiving, seen) = Receiving::start(&receiver);
        send(&sender);
        let pictures =
            || seen.all().iter().filter(|line| line.contains("seen") && line.contains("chain")).count();
        within(Duration::from_secs(5), || (pictures() >= PICTURES).then_some(()));
        receiving.interrupt();
        pictures()
    };
    assert_eq!(play(), PICTURES);
}

/// The two lines of the README that write what they send and receive.
#[test]
fn the_readme_stream_of_500_mbit_arrives_byte_for_byte() {
    const SIZE: usize = 180 * 1280 * 814;
    let _turn = turn();
    let (receiver, sender) = (readme_line("location=received"), readme_line("location=sent"));
    assert_eq!(SIZE * 8 / 3 / 1_000_000, 500, "megabits a second");
    for word in ["num-buffers=180", "width=1280,height=814,framerate=60/1", "GRAY8"] {
        assert!(sender.contains(word), "the line shows {word}: {sender}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [sent, received] = ["sent", "received"].map(|name| folder.path().join(name));
    let into = |line: &str, name: &str| {
        line.replace(&format!("location={name}"), &format!("location={}", folder.path().join(name).display()))
    };
    let play = || {
        let (receiving, _said) = Receiving::start(&into(&receiver, "received"));
        send(&into(&sender, "sent"));
        // The end is written when the receiver is told to end.
        let almost =
            || std::fs::metadata(&received).is_ok_and(|file| file.len() as usize + (1 << 16) >= SIZE);
        within(Duration::from_secs(5), || almost().then_some(()));
        receiving.interrupt();
        [&sent, &received].map(|path| std::fs::read(path).expect("written"))
    };
    let [sent, received] = at_best(play, |files| files.iter().all(|file| file.len() == SIZE));
    assert_eq!((sent.len(), received.len()), (SIZE, SIZE));
    assert!(sent == received, "not what was sent");
}

/// The first gst-launch-1.0 line of the README with this part, on a port of this process: another checkout may be tested
/// at the same time.
fn readme_line(part: &str) -> String {
    const PORT: &str = "port=5004";
    let plugin = root().join("target/release/libgstgamestream.so");
    assert!(plugin.exists(), "no {}: run `make build`", plugin.display());
    let lines = gst_launch_lines();
    let found = lines.into_iter().find(|(place, line)| place.starts_with("README.md") && line.contains(part));
    let (_, line) = found.expect(part);
    assert!(line.contains(PORT), "{line}");
    line.replace(PORT, &format!("port={}", 10_000 + std::process::id() % 10_000))
}

/// A receiver, which ends with this value.
struct Receiving(Child);

impl Receiving {
    /// Returns when it listens.
    fn start(line: &str) -> (Self, Lines) {
        let mut child = launch(line);
        let said = Lines::collect(child.stdout.take().expect("piped"));
        let receiving = Self(child);
        said.wait_for(Duration::from_secs(20), |line| line.contains("New clock").then_some(()))
            .expect("the receiver listens");
        (receiving, said)
    }

    fn interrupt(mut self) {
        send_signal(self.0.id(), libc::SIGINT);
        until("the receiver ends", Duration::from_secs(10), || self.0.try_wait().expect("a child"));
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns when the sender has ended.
fn send(line: &str) {
    let mut sending = launch(line);
    let _said = Lines::collect(sending.stdout.take().expect("piped"));
    let ended = until("the sender ends", Duration::from_secs(60), || sending.try_wait().expect("a child"));
    assert!(ended.success(), "the sender: {ended}");
}

fn launch(line: &str) -> Child {
    let words = words(line);
    Command::new(&words[0])
        .args(&words[1..])
        .env("GST_PLUGIN_PATH", root().join("target/release"))
        .env("GST_REGISTRY", kept().join("registry-with-plugin.bin"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gst-launch-1.0 starts")
}
