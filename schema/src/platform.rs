//! Owns the two facts every package of a tree is bound to: the platform it runs on and the prefix it stands at.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What packages run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Platform {
    /// Linux on 64-bit x86.
    X86_64Linux,
    /// Linux on 64-bit ARM.
    Aarch64Linux,
}

/// A text that names no known platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform: `x86_64-linux` or `aarch64-linux` is expected")]
pub struct PlatformError(pub String);

impl Platform {
    /// Every platform there is.
    pub const ALL: [Self; 2] = [Self::X86_64Linux, Self::Aarch64Linux];

    /// That of this program, and so of the machine that runs it; nothing on any other.
    pub const fn here() -> Option<Self> {
        match () {
            () if cfg!(all(target_arch = "x86_64", target_os = "linux")) => Some(Self::X86_64Linux),
            () if cfg!(all(target_arch = "aarch64", target_os = "linux")) => Some(Self::Aarch64Linux),
            () => None,
        }
    }

    /// As it is written in `treeinfo.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64Linux => "x86_64-linux",
            Self::Aarch64Linux => "aarch64-linux",
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let found = Self::ALL.into_iter().find(|platform| platform.as_str() == text);
        found.ok_or_else(|| PlatformError(text.to_owned()))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The longest allowed prefix, in bytes; with a store ID behind it paths stay far below the kernel's 4096.
pub const MAX_PREFIX: usize = 200;

/// Where a store stands on hosts and in sandboxes, e.g. `/opt/store`: absolute, normal, never `/` itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(String);

/// A text that is no prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a prefix: {why}")]
pub struct PrefixError {
    /// The text as it was given.
    pub text: String,
    /// The rule it breaks.
    pub why: &'static str,
}

impl Prefix {
    /// What stands in for a prefix that is missing or wrong while other mistakes are looked for.
    pub(crate) fn placeholder() -> Self {
        Self("/opt/store".to_owned())
    }

    /// Where DC/OS stands on its hosts.
    pub(crate) fn of_dcos() -> Self {
        Self("/opt/mesosphere".to_owned())
    }

    /// The path's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let allowed =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-' | b'+' | b'@');
        let why = match text.strip_prefix('/') {
            None => "it must be absolute, i.e. start with `/`",
            Some("") => "the root folder itself cannot be a prefix",
            Some(_) if text.len() > MAX_PREFIX => "it is longer than 200 bytes",
            Some(_) if !text.bytes().all(allowed) => "only a-z, A-Z, 0-9 and `/ . _ - + @` are allowed",
            Some(rest) if rest.split('/').any(|part| matches!(part, "" | "." | "..")) => {
                "it must hold no `.`, no `..`, no `//` and no `/` at the end"
            }
            Some(_) => return Ok(Self(text.to_owned())),
        };
        Err(PrefixError {
            text: text.to_owned(),
            why,
        })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(Platform, Prefix);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_normal_paths_are_prefixes() {
        assert!("/opt/store".parse::<Prefix>().is_ok());
        for text in [
            "", "/", "opt", "/opt/", "/a//b", "/a/../b", "/./a", "/a b", "/é", "/a:b",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_platform_reads_back_and_others_are_refused() {
        for platform in Platform::ALL {
            assert_eq!(platform.as_str().parse(), Ok(platform));
        }
        assert!("linux-x86_64".parse::<Platform>().is_err());
    }
}
