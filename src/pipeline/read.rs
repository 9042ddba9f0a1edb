//! The reading of one description file, as far as text goes: each fault has a line and a reason.

use super::description::{Common, Need, Refused};
use super::launch;
use std::ops::Range;
use toml::Spanned;

/// A file while it is read.
pub(super) struct Source<'a> {
    pub name: &'a str,
    pub file: &'a str,
    pub toml: &'a str,
}

impl Source<'_> {
    /// The file as its kind is written.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, Refused> {
        toml::from_str(self.toml).map_err(|e| {
            let at = e.span().map_or(0, |span| span.start);
            self.refused(at, e.message().to_owned())
        })
    }

    /// The fault at byte `at` of the file.
    pub fn refused(&self, at: usize, reason: String) -> Refused {
        Refused { file: self.file.to_owned(), line: line_at(self.toml, at), reason }
    }

    /// What every description says.
    pub fn common(
        &self,
        rank: Option<i32>,
        needs: Option<Vec<Spanned<String>>>,
        launch: Spanned<String>,
    ) -> Result<Common, Refused> {
        if launch::elements(launch.as_ref()).is_empty() {
            return Err(self.refused(launch.span().start, "launch names no element".into()));
        }
        let needs = needs.unwrap_or_default().iter().map(|need| self.need(need)).collect::<Result<_, _>>()?;
        Ok(Common {
            name: self.name.to_owned(),
            file: self.file.to_owned(),
            rank: rank.unwrap_or(0),
            needs,
            launch: launch.into_inner(),
            obstacle: None,
        })
    }

    fn need(&self, written: &Spanned<String>) -> Result<Need, Refused> {
        let (element, property) = match written.as_ref().split_once(':') {
            Some((element, property)) => (element, Some(property.to_owned())),
            None => (written.as_ref().as_str(), None),
        };
        if element.is_empty() || property.as_deref() == Some("") {
            let reason =
                format!("needs: \"{}\" is not \"element\" or \"element:property\"", written.as_ref());
            return Err(self.refused(written.span().start, reason));
        }
        Ok(Need { element: element.to_owned(), property })
    }

    /// No placeholder but those that are `allowed`.
    pub fn only(&self, launch: &Spanned<String>, allowed: &[&str]) -> Result<(), Refused> {
        let Some(unknown) =
            launch::placeholders(launch.as_ref()).into_iter().find(|p| !allowed.contains(&p.name))
        else {
            return Ok(());
        };
        let word = format!("{{{}}}", unknown.name);
        let known = match allowed {
            [] => "none is allowed here".to_owned(),
            _ => format!("allowed are {}", braced(allowed)),
        };
        Err(self.refused(self.find(launch.span(), &word), format!("unknown placeholder {word}, {known}")))
    }

    /// Every one of the `required` placeholders.
    pub fn all(&self, launch: &Spanned<String>, required: &[&str]) -> Result<(), Refused> {
        let found = launch::placeholders(launch.as_ref());
        match required.iter().find(|name| found.iter().all(|p| p.name != **name)) {
            Some(missing) => {
                Err(self.refused(launch.span().start, format!("missing placeholder {{{missing}}} in launch")))
            }
            None => Ok(()),
        }
    }

    /// Placeholders that only make sense together.
    pub fn all_or_none(&self, launch: &Spanned<String>, group: &[&str]) -> Result<(), Refused> {
        let found = launch::placeholders(launch.as_ref());
        let Some(first) = found.iter().find(|p| group.contains(&p.name)) else { return Ok(()) };
        self.all(launch, group).map_err(|mut refused| {
            refused.reason += &format!(": with {{{}}} it needs all of {}", first.name, braced(group));
            refused
        })
    }

    /// Elements that the host looks up by name.
    pub fn named(&self, launch: &Spanned<String>, names: &[&str]) -> Result<(), Refused> {
        let elements = launch::elements(launch.as_ref());
        match names.iter().find(|name| elements.iter().all(|e| e.name() != Some(**name))) {
            Some(missing) => {
                Err(self.refused(launch.span().start, format!("no element of launch has name={missing}")))
            }
            None => Ok(()),
        }
    }

    fn find(&self, span: Range<usize>, word: &str) -> usize {
        find_in(self.toml, span, word)
    }
}

/// Where `word` stands inside `span` of `toml`, or where the span starts.
fn find_in(toml: &str, span: Range<usize>, word: &str) -> usize {
    let start = span.start;
    toml.get(span).and_then(|text| text.find(word)).map_or(start, |at| start + at)
}

/// Line of a byte offset, from 1.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|b| *b == b'\n').count()
}

fn braced(names: &[&str]) -> String {
    names.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(" ")
}
