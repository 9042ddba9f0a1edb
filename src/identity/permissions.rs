//! What a paired client may do besides watching.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Without any, a client may watch what is shown anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Permissions {
    /// Start apps, and displays to have them on.
    pub launch: bool,
    /// Use mouse, keyboard, touch and pen.
    pub input: bool,
    /// Use controllers.
    pub controllers: bool,
}

const LAUNCH: &str = "launch";
const INPUT: &str = "input";
const CONTROLLERS: &str = "controllers";
/// Words for all of them, and for none.
const EVERYTHING: &str = "everything";
const NOTHING: &str = "nothing";

impl Permissions {
    pub const EVERYTHING: Permissions = Permissions { launch: true, input: true, controllers: true };
    pub const NOTHING: Permissions = Permissions { launch: false, input: false, controllers: false };

    pub fn is_everything(&self) -> bool {
        *self == Self::EVERYTHING
    }

    fn names(self) -> Vec<&'static str> {
        let all = [(self.launch, LAUNCH), (self.input, INPUT), (self.controllers, CONTROLLERS)];
        all.into_iter().filter_map(|(may, name)| may.then_some(name)).collect()
    }

    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Result<Permissions, Unknown> {
        let mut permissions = Self::NOTHING;
        for name in names {
            match name {
                LAUNCH => permissions.launch = true,
                INPUT => permissions.input = true,
                CONTROLLERS => permissions.controllers = true,
                other => return Err(Unknown(other.to_owned())),
            }
        }
        Ok(permissions)
    }
}

impl Default for Permissions {
    fn default() -> Self {
        Self::EVERYTHING
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "no permission is called {0:?}: there are {LAUNCH}, {INPUT} and {CONTROLLERS}; {EVERYTHING} and {NOTHING} stand for all and none"
)]
pub struct Unknown(String);

/// `everything`, `nothing`, or names with commas between them.
impl FromStr for Permissions {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        match text.trim() {
            EVERYTHING => Ok(Self::EVERYTHING),
            NOTHING => Ok(Self::NOTHING),
            names => Self::of(names.split(',').map(str::trim)),
        }
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names()[..] {
            _ if self.is_everything() => f.write_str(EVERYTHING),
            [] => f.write_str(NOTHING),
            ref names => f.write_str(&names.join(",")),
        }
    }
}

impl TryFrom<Vec<String>> for Permissions {
    type Error = Unknown;

    fn try_from(names: Vec<String>) -> Result<Self, Unknown> {
        Self::of(names.iter().map(String::as_str))
    }
}

impl From<Permissions> for Vec<String> {
    fn from(permissions: Permissions) -> Self {
        permissions.names().into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_read_as_they_are_written() {
        let view_and_play = Permissions { launch: false, ..Permissions::EVERYTHING };
        for permissions in [Permissions::EVERYTHING, Permissions::NOTHING, view_and_play] {
            assert_eq!(permissions.to_string().parse::<Permissions>().unwrap(), permissions);
            assert_eq!(Permissions::try_from(Vec::from(permissions)).unwrap(), permissions);
        }
        let two = Permissions { controllers: false, ..Permissions::EVERYTHING };
        assert_eq!(" launch, input".parse::<Permissions>().unwrap(), two);
    }

    #[test]
    fn an_unknown_one_is_refused_with_those_there_are() {
        let said = "launch,fly".parse::<Permissions>().unwrap_err().to_string();
        assert!(
            ["fly", "launch", "input", "controllers", "everything", "nothing"]
                .iter()
                .all(|word| said.contains(word)),
            "{said}"
        );
        assert!("".parse::<Permissions>().is_err(), "nothing has a word");
    }
}
