//! The text after `gst-launch-1.0`, read without GStreamer: which elements and properties it names, and its placeholders.

use std::ops::Range;

/// An element of a launch text and what is set on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Factory name, for example `x264enc`.
    pub factory: &'a str,
    /// `property=value` pairs, as written; quotes of the value are kept.
    pub properties: Vec<(&'a str, &'a str)>,
}

impl<'a> Element<'a> {
    /// What `name=` sets.
    pub fn name(&self) -> Option<&'a str> {
        self.properties.iter().find(|(key, _)| *key == "name").map(|(_, value)| value.trim_matches('"'))
    }
}

/// The elements of `text`, in order. Caps, links and references such as `tee.` are left out.
pub fn elements(text: &str) -> Vec<Element<'_>> {
    let mut elements: Vec<Element<'_>> = Vec::new();
    let mut open = false;
    for word in words(text) {
        if word == "!" {
            open = false;
        } else if placeholders(word).first().is_some_and(|p| p.range == (0..word.len())) {
            // It may become a property.
        } else if let Some((key, value)) = property(word).filter(|_| open) {
            let element = elements.last_mut().expect("an open element was pushed");
            element.properties.push((key, value));
        } else {
            open = is_factory(word);
            if open {
                elements.push(Element { factory: word, properties: Vec::new() });
            }
        }
    }
    elements
}

/// `{name}` in a text: its name and where it stands, braces included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder<'a> {
    pub name: &'a str,
    pub range: Range<usize>,
}

/// The placeholders of `text`: lower-case words in braces. A list in caps, `{ I420, NV12 }`, is none.
pub fn placeholders(text: &str) -> Vec<Placeholder<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find('{').map(|at| from + at) {
        from = start + 1;
        let rest = &text[from..];
        let length = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        if length > 0 && rest[length..].starts_with('}') {
            found.push(Placeholder { name: &rest[..length], range: start..from + length + 1 });
        }
    }
    found
}

/// Puts `values` in the place of their placeholders; a placeholder without a value stays.
pub fn fill(text: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut from = 0;
    for placeholder in placeholders(text) {
        if let Some((_, value)) = values.iter().find(|(name, _)| *name == placeholder.name) {
            filled.push_str(&text[from..placeholder.range.start]);
            filled.push_str(value);
            from = placeholder.range.end;
        }
    }
    filled.push_str(&text[from..]);
    filled
}

/// Splits at white space outside quotes and lists, and around each `!`.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = None;
    let mut lists = 0_u32;
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '{' if !quoted => lists += 1,
            '}' if !quoted => lists = lists.saturating_sub(1),
            _ => {}
        }
        let ends = !quoted && lists == 0 && (c.is_whitespace() || c == '!');
        if ends {
            words.extend(start.take().map(|from| &text[from..at]));
            if c == '!' {
                words.push("!");
            }
        } else if start.is_none() {
            start = Some(at);
        }
    }
    words.extend(start.map(|from| &text[from..]));
    words
}

fn property(word: &str) -> Option<(&str, &str)> {
    let (key, value) = word.split_once('=')?;
    key.chars().all(|c| c.is_ascii_alphanumeric() || "-_:.".contains(c)).then_some((key, value))
}

fn is_factory(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn elements_and_their_properties() {
        let text = "pipewiresrc fd={fd} stream-properties=\"props,a=(string)240/48000,b=true\"\n ! video/x-raw,format={ I420, NV12 }!x264enc name=encoder tune=zerolatency";
        let found = elements(text);
        assert_eq!(found.iter().map(|e| e.factory).collect::<Vec<_>>(), ["pipewiresrc", "x264enc"]);
        assert_eq!(found[0].properties[0], ("fd", "{fd}"));
        assert_eq!(found[0].properties[1].0, "stream-properties");
        assert_eq!(found[1].name(), Some("encoder"));
    }

    #[test]
    fn a_property_may_follow_a_placeholder() {
        let found = elements("pipewiresrc {sink} num-buffers=2 ! {caps} ! fakesink");
        assert_eq!(found.iter().map(|e| e.factory).collect::<Vec<_>>(), ["pipewiresrc", "fakesink"]);
        assert_eq!(found[0].properties, [("num-buffers", "2")]);
    }

    #[test]
    fn caps_lists_are_no_placeholders() {
        let text = "video/x-raw,format={ I420, NV12 },width={width},rate={a,b} ! x bitrate={kbps}000";
        let names: Vec<_> = placeholders(text).into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["width", "kbps"]);
        let filled = fill(text, &[("width", "64".into()), ("kbps", "10".into())]);
        assert_eq!(filled, "video/x-raw,format={ I420, NV12 },width=64,rate={a,b} ! x bitrate=10000");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in ".{0,200}") {
            let _ = elements(&text);
            for p in placeholders(&text) {
                prop_assert_eq!(&text[p.range.clone()], format!("{{{}}}", p.name));
            }
            prop_assert_eq!(fill(&text, &[]), text);
        }
    }
}
