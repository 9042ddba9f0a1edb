//! `apps.toml` as meant: pure, each fault with its line.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// The app of a host that was told of no others: what is on the screen anyway.
pub const DESKTOP: &str = "Desktop";

/// Something that a player can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// From the title alone, so that clients know it again: positive, below 2³¹.
    pub id: u32,
    /// What the client shows. Titles differ from each other.
    pub title: String,
    /// What runs; nothing for the desktop itself.
    pub command: Option<Command>,
    /// PNG or JPEG.
    pub image: Option<PathBuf>,
    /// It has a display of its own, whatever source the host shows.
    pub isolated: bool,
    /// It is started and left alone: nobody ends it, and nobody waits for it.
    pub detached: bool,
    pub exit: Exit,
}

/// A program and how to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub program: String,
    pub arguments: Vec<String>,
    /// Of the host itself if it is not said.
    pub dir: Option<PathBuf>,
    /// On top of the host's own environment.
    pub env: BTreeMap<String, String>,
}

/// What the end of the program means for the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    #[default]
    EndSession,
    Keep,
}

/// What is wrong with the file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Fault {
    pub line: usize,
    pub reason: String,
}

/// Every key as written; unknown ones are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    app: Option<Vec<Spanned<Written>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    title: Spanned<String>,
    cmd: Option<Spanned<String>>,
    dir: Option<Spanned<PathBuf>>,
    #[serde(default)]
    env: BTreeMap<Spanned<String>, String>,
    image: Option<PathBuf>,
    #[serde(default)]
    isolated: bool,
    #[serde(default)]
    detached: bool,
    exit: Option<Exit>,
}

/// What a host without a file offers.
pub fn desktop_alone() -> Vec<App> {
    vec![App {
        id: id_of(DESKTOP),
        title: DESKTOP.into(),
        command: None,
        image: None,
        isolated: false,
        detached: false,
        exit: Exit::default(),
    }]
}

/// The apps of `toml`, in its order. Paths are relative to `folder`, where the file lies.
pub fn parse(toml: &str, folder: &Path) -> Result<Vec<App>, Fault> {
    let line = |at: usize| 1 + toml.bytes().take(at).filter(|b| *b == b'\n').count();
    let fault = |at: usize, reason: String| Fault { line: line(at), reason };
    let file: File = toml::from_str(toml)
        .map_err(|e| fault(e.span().map_or(0, |span| span.start), e.message().to_owned()))?;
    let mut apps: Vec<App> = Vec::new();
    for table in file.app.unwrap_or_default() {
        let start = table.span().start;
        let written = table.into_inner();
        let at = written.title.span().start;
        let app = app_of(written, folder, start).map_err(|(at, reason)| fault(at, reason))?;
        if let Some(other) = apps.iter().find(|other| other.id == app.id) {
            return Err(fault(at, format!("title: \"{}\" is taken by \"{}\"", app.title, other.title)));
        }
        apps.push(app);
    }
    if apps.is_empty() {
        return Err(fault(0, "no [[app]] with a title: without this file there is Desktop alone".into()));
    }
    Ok(apps)
}

fn app_of(written: Written, folder: &Path, start: usize) -> Result<App, (usize, String)> {
    let title = written.title.get_ref().trim();
    if title.is_empty() || title.chars().any(char::is_control) {
        return Err((written.title.span().start, "title: it needs a name that can be shown".into()));
    }
    let without_command = |key: &str, set: bool| match set && written.cmd.is_none() {
        true => Err((start, format!("{key} says nothing without cmd"))),
        false => Ok(()),
    };
    without_command("dir", written.dir.is_some())?;
    without_command("env", !written.env.is_empty())?;
    without_command("exit", written.exit.is_some())?;
    without_command("detached", written.detached)?;
    if written.detached && written.exit.is_some() {
        return Err((start, "exit says nothing of a detached app: nobody waits for it".into()));
    }
    let command = written.cmd.as_ref().map(|cmd| command_of(cmd, &written, folder)).transpose()?;
    Ok(App {
        id: id_of(title),
        title: title.to_owned(),
        command,
        image: written.image.map(|image| folder.join(image)),
        isolated: written.isolated,
        detached: written.detached,
        exit: written.exit.unwrap_or_default(),
    })
}

fn command_of(cmd: &Spanned<String>, written: &Written, folder: &Path) -> Result<Command, (usize, String)> {
    let at = cmd.span().start;
    let words = shlex::split(cmd.get_ref()).ok_or((at, "cmd: a quote is not closed".to_owned()))?;
    let mut words = words.into_iter();
    let program = words.next().ok_or((at, "cmd: it names no program".to_owned()))?;
    if let Some(name) =
        written.env.keys().find(|name| name.get_ref().is_empty() || name.get_ref().contains('='))
    {
        return Err((name.span().start, format!("env: \"{}\" is no name of a variable", name.get_ref())));
    }
    Ok(Command {
        program,
        arguments: words.collect(),
        dir: written.dir.as_ref().map(|dir| folder.join(dir.get_ref())),
        env: written.env.iter().map(|(name, value)| (name.get_ref().clone(), value.clone())).collect(),
    })
}

/// Of the desktop, which every host had before there was a list: clients keep what they know of it.
const DESKTOP_ID: u32 = 1;

/// FNV-1a over the title, without the sign bit: clients hold ids as signed numbers, and 0 means none.
fn id_of(title: &str) -> u32 {
    if title == DESKTOP {
        return DESKTOP_ID;
    }
    let add = |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    (title.bytes().fold(0x811c_9dc5, add) & 0x7fff_ffff).max(DESKTOP_ID + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(toml: &str) -> Fault {
        parse(toml, Path::new("/etc/moonpipe")).unwrap_err()
    }

    #[test]
    fn all_keys() {
        let apps = parse(
            r#"
            [[app]]
            title = "Desktop"

            [[app]]
            title = "Super Tux"
            cmd = "supertux2 --fullscreen --datadir 'my levels' $HOME"
            dir = "games"
            env = { SDL_VIDEODRIVER = "wayland" }
            image = "covers/tux.png"
            isolated = true
            exit = "keep"
            "#,
            Path::new("/etc/moonpipe"),
        )
        .unwrap();
        assert_eq!(apps[0], desktop_alone()[0]);
        let command = apps[1].command.as_ref().unwrap();
        assert_eq!(command.program, "supertux2");
        // Split as a shell does, and nothing else that a shell does.
        assert_eq!(command.arguments, ["--fullscreen", "--datadir", "my levels", "$HOME"]);
        assert_eq!(command.dir.as_deref(), Some(Path::new("/etc/moonpipe/games")));
        assert_eq!(command.env["SDL_VIDEODRIVER"], "wayland");
        assert_eq!(apps[1].image.as_deref(), Some(Path::new("/etc/moonpipe/covers/tux.png")));
        assert!(apps[1].isolated && !apps[1].detached && apps[1].exit == Exit::Keep);
    }

    #[test]
    fn an_id_depends_on_the_title_alone() {
        let ids = |toml: &str| {
            let apps = parse(toml, Path::new("")).unwrap();
            apps.into_iter().map(|app| (app.title, app.id)).collect::<BTreeMap<_, _>>()
        };
        let one = ids("[[app]]\ntitle = \"a\"\n[[app]]\ntitle = \"b\"\ncmd = \"x\"\n");
        let other = ids("[[app]]\ntitle = \"b\"\n[[app]]\ntitle = \" a \"\nimage = \"y.png\"\n");
        assert_eq!(one, other);
        assert!(one.values().all(|id| (1..1 << 31).contains(id)), "{one:?}");
    }

    #[test]
    fn a_fault_has_its_line_and_says_what_is_allowed() {
        for (toml, line, words) in [
            ("", 1, &["[[app]]", "Desktop"][..]),
            ("[[app]]\ncmd = \"x\"\n", 1, &["title"]),
            ("[[app]]\ntitle = \"a\"\nsteam = 1\n", 3, &["`steam`", "`cmd`", "`isolated`"]),
            ("[[app]]\ntitle = \"a\"\ncmd = \"x 'y\"\n", 3, &["cmd", "quote"]),
            ("[[app]]\ntitle = \"a\"\ncmd = \" \"\n", 3, &["cmd", "program"]),
            (
                "[[app]]\ntitle = \"a\"\ncmd = \"x\"\nexit = \"never\"\n",
                4,
                &["`never`", "`end-session`", "`keep`"],
            ),
            ("[[app]]\ntitle = \"a\"\n\n[[app]]\ntitle = \"a\"\n", 5, &["title", "taken"]),
            ("[[app]]\ntitle = \"\"\n", 2, &["title"]),
            ("\n[[app]]\ntitle = \"a\"\nexit = \"keep\"\n", 2, &["exit", "cmd"]),
            (
                "[[app]]\ntitle = \"a\"\ncmd = \"x\"\ndetached = true\nexit = \"keep\"\n",
                1,
                &["exit", "detached"],
            ),
            ("[[app]]\ntitle = \"a\"\ncmd = \"x\"\nenv = { \"A=B\" = \"\" }\n", 4, &["env", "A=B"]),
        ] {
            let fault = refused(toml);
            let said = fault.to_string();
            assert_eq!(fault.line, line, "{said}");
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
    }
}
