//! Owns the store ID, `<name>--<digest>`, which names a package's folder below `packages/`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, DigestError};
use crate::name::{NameError, PackageName};

/// A package's name and the digest of its resolved recipe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId {
    name: PackageName,
    digest: Digest,
}

/// A text that is not a store ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// There is no `--` in it.
    #[error("`{0}` is not a store ID: `<name>--<digest>` is expected")]
    NoSeparator(String),
    /// What stands before `--` is no package name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What stands after `--` is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl PackageId {
    /// Puts a store ID together.
    pub fn new(name: PackageName, digest: Digest) -> Self {
        Self { name, digest }
    }

    /// The package's name.
    pub fn name(&self) -> &PackageName {
        &self.name
    }

    /// The digest of the resolved recipe's canonical JSON.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Whether people who say `text` mean it: by its name alone, or by the whole of it.
    pub fn is_called(&self, text: &str) -> bool {
        self.name.as_str() == text || self.to_string() == text
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}--{}", self.name, self.digest.to_base32())
    }
}

impl FromStr for PackageId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (name, digest) = text
            .split_once("--")
            .ok_or_else(|| IdError::NoSeparator(text.to_owned()))?;
        Ok(Self {
            name: name.parse()?,
            digest: Digest::from_base32(digest)?,
        })
    }
}

impl Serialize for PackageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PackageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_itself() {
        let id = PackageId::new("gtk+3.0".parse().unwrap(), Digest::of(b"recipe"));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let digest = Digest::of(b"").to_base32();
        for text in ["zlib", "zlib--", &format!("--{digest}"), &format!("z--{digest}a")] {
            assert!(text.parse::<PackageId>().is_err(), "{text}");
        }
    }
}
