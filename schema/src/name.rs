//! Owns the names people give to things (packages, sources, variants, roles) and which texts are allowed as one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest allowed name, in bytes; with `--` and the digest a store ID stays below a path component's 255.
pub const MAX_LEN: usize = 100;

/// A text that cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what} name: {why}")]
pub struct NameError {
    /// The text as it was given.
    pub text: String,
    /// What it was to name, e.g. `package`.
    pub what: &'static str,
    /// The rule it breaks.
    pub why: &'static str,
}

/// Which letters a kind of name may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Letters {
    /// `a-z` only, since the name stands in store IDs and unit files.
    Lowercase,
    /// `A-Z` too.
    Any,
}

fn check(text: &str, what: &'static str, letters: Letters) -> Result<(), NameError> {
    let broken = |why| {
        Err(NameError {
            text: text.to_owned(),
            what,
            why,
        })
    };
    let letter = |b: u8| b.is_ascii_lowercase() || letters == Letters::Any && b.is_ascii_uppercase();
    let starts = |b: u8| letter(b) || b.is_ascii_digit() || b == b'_' || b == b'@';
    let goes_on = |b: u8| starts(b) || matches!(b, b'.' | b'+' | b'-');
    match text.as_bytes() {
        [] => broken("it is empty"),
        bytes if bytes.len() > MAX_LEN => broken("it is longer than 100 bytes"),
        [first, ..] if !starts(*first) => broken(match letters {
            Letters::Lowercase => "it must start with a lowercase letter, a digit, `_` or `@`",
            Letters::Any => "it must start with a letter, a digit, `_` or `@`",
        }),
        bytes if !bytes.iter().all(|b| goes_on(*b)) => broken(match letters {
            Letters::Lowercase => "only a-z, 0-9 and `_ @ . + -` are allowed",
            Letters::Any => "only a-z, A-Z, 0-9 and `_ @ . + -` are allowed",
        }),
        _ if text.contains("--") => {
            broken("`--` stands between name and digest in a store ID, so a name cannot hold it")
        }
        _ if text.ends_with('-') => broken("it must not end with `-`"),
        _ => Ok(()),
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $what:literal, $letters:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text, $what, $letters)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

names! {
    /// The name of a package, and of the folder its recipe lives in.
    PackageName = "package", Letters::Lowercase;
    /// The name of one source of a recipe, and of its folder below `/pkg/src`; DC/OS's hold capitals.
    SourceName = "source", Letters::Any;
    /// The name of a variant of a tree of recipes, as in `treeinfo.<variant>.json`.
    VariantName = "variant", Letters::Lowercase;
    /// A role of hosts, e.g. `master`; picks what a host activates.
    RoleName = "role", Letters::Lowercase;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_real_packages_are_allowed() {
        for text in [
            "zlib", "libevent", "gtk+3.0", "dcos-net", "@scope", "7zip", "a.b_c",
        ] {
            assert!(text.parse::<PackageName>().is_ok(), "{text}");
        }
        assert!("URLRewrite".parse::<SourceName>().is_ok());
    }

    #[test]
    fn what_would_break_paths_and_ids_is_refused() {
        let long = "a".repeat(MAX_LEN + 1);
        for text in [
            "", ".", "..", "-x", "x-", "a--b", "a/b", "A", "a b", "é", "a\0", &long,
        ] {
            assert!(text.parse::<PackageName>().is_err(), "{text:?}");
        }
    }
}
