//! Owns the names of update channels, and which texts are allowed as one.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// The longest name, in bytes.
const MAX_LEN: usize = 100;

/// The name of a channel: that of its folder in a delivery, and what its releases are signed for.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[schemars(with = "String", extend("pattern" = "^[a-z0-9_-][a-z0-9._-]{0,99}$"))]
pub struct ChannelName(String);

/// A text that is not the name of a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the name of a channel: a name has lowercase letters, digits, `-`, `_` and `.`, and does not begin with `.`"
)]
pub struct NoChannelName(String);

impl ChannelName {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ChannelName {
    type Err = NoChannelName;

    fn from_str(text: &str) -> Result<Self, NoChannelName> {
        let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let is_name =
            (1..=MAX_LEN).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(is_fine);
        match is_name {
            true => Ok(Self(text.to_owned())),
            false => Err(NoChannelName(text.to_owned())),
        }
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ChannelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_folder_that_is_not_hidden() {
        for name in ["stable", "1.2-rc_3", "-"] {
            assert!(name.parse::<ChannelName>().is_ok(), "{name}");
        }
        let long = "a".repeat(MAX_LEN + 1);
        for text in [
            "", ".", "..", ".hidden", "a/b", "Stable", "a b", "é", "a\n", &long,
        ] {
            assert!(text.parse::<ChannelName>().is_err(), "{text:?}");
        }
    }
}
