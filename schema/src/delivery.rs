//! Owns the index of a delivery: the document beside an artifact, its manifest and its installer that says what is there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::id::PackageId;
use crate::path::is_file_name;

/// The format version written into every index.
pub const FORMAT: u32 = 1;

/// `index.json`: what is in a folder that hosts install from.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryIndex {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The distribution's name.
    pub name: String,
    /// The distribution's version.
    pub version: String,
    /// What the packages run on, e.g. `x86_64-linux`.
    pub platform: String,
    /// Where the store stands on hosts.
    pub prefix: String,
    /// The name of the artifact among the files.
    pub artifact: String,
    /// BLAKE3 of `manifest.json`, which is also the artifact's first entry.
    pub manifest: Digest,
    /// The configuration package.
    pub configuration: PackageId,
    /// Every file but this one and the two lists of digests, sorted by name.
    pub files: Vec<DeliveredFile>,
}

/// One file of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveredFile {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256, which every host can compute, as 64 hexadecimal digits.
    pub sha256: String,
    /// BLAKE3.
    pub blake3: Digest,
}

/// Why a document is no index of a delivery.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryIndexError {
    /// Not JSON of this shape.
    #[error("not an index of a delivery: {0}")]
    Parse(#[from] serde_json::Error),
    /// Written by a newer `store`.
    #[error("the index's format {0} is newer than this program knows ({FORMAT}); use a newer `store`")]
    Format(u32),
    /// What would be a file elsewhere, or none at all.
    #[error("the index lists `{0}`, which is no name of a file")]
    Name(String),
    /// A file that is there twice or out of order.
    #[error("the index lists `{0}` twice or out of order")]
    Order(String),
    /// An artifact that is not delivered.
    #[error("the index does not list its artifact `{0}`")]
    Artifact(String),
    /// The bytes are not the canonical form.
    #[error("the index is not in canonical form")]
    NotCanonical,
    /// No canonical form exists.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// What every format has, whatever else changes.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

impl DeliveryIndex {
    /// Reads an index. Each file that it lists lies in its own folder, the artifact among them.
    ///
    /// # Errors
    /// See [`DeliveryIndexError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DeliveryIndexError> {
        let Head { format } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(DeliveryIndexError::Format(format));
        }
        let index: Self = serde_json::from_slice(bytes)?;
        index.check()?;
        match index.to_bytes()? == bytes {
            true => Ok(index),
            false => Err(DeliveryIndexError::NotCanonical),
        }
    }

    fn check(&self) -> Result<(), DeliveryIndexError> {
        let mut previous: Option<&str> = None;
        for DeliveredFile { name, .. } in &self.files {
            if !is_file_name(name) {
                return Err(DeliveryIndexError::Name(name.clone()));
            }
            if previous.is_some_and(|previous| previous >= name.as_str()) {
                return Err(DeliveryIndexError::Order(name.clone()));
            }
            previous = Some(name);
        }
        match self.files.iter().any(|file| file.name == self.artifact) {
            true => Ok(()),
            false => Err(DeliveryIndexError::Artifact(self.artifact.clone())),
        }
    }

    /// The canonical bytes, as they stand in `index.json`.
    ///
    /// # Errors
    /// When a text has no JSON form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> DeliveredFile {
        DeliveredFile {
            name: name.to_owned(),
            size: 1,
            sha256: "0".repeat(64),
            blake3: Digest::of(name.as_bytes()),
        }
    }

    fn parse(change: impl FnOnce(&mut DeliveryIndex)) -> Result<DeliveryIndex, DeliveryIndexError> {
        let mut index = DeliveryIndex {
            format: FORMAT,
            name: "demo".to_owned(),
            version: "1".to_owned(),
            platform: "x86_64-linux".to_owned(),
            prefix: "/opt/store".to_owned(),
            artifact: "demo.tar.zst".to_owned(),
            manifest: Digest::of(b"manifest"),
            configuration: PackageId::new("config".parse().unwrap(), Digest::of(b"config")),
            files: vec![file("demo.tar.zst"), file("store")],
        };
        change(&mut index);
        DeliveryIndex::parse(&index.to_bytes().unwrap())
    }

    #[test]
    fn an_index_reads_back_in_its_one_spelling() {
        let index = parse(|_| {}).unwrap();
        assert_eq!(index.files.len(), 2);
        let indented = serde_json::to_vec_pretty(&index).unwrap();
        assert!(matches!(
            DeliveryIndex::parse(&indented),
            Err(DeliveryIndexError::NotCanonical)
        ));
        let newer = DeliveryIndex::parse(br#"{"format":99,"new":true}"#);
        assert!(matches!(newer, Err(DeliveryIndexError::Format(99))), "{newer:?}");
        assert!(matches!(
            parse(|index| index.format = 2),
            Err(DeliveryIndexError::Format(2))
        ));
        assert!(matches!(
            DeliveryIndex::parse(br#"{"format":1}"#),
            Err(DeliveryIndexError::Parse(_))
        ));
    }

    #[test]
    fn no_file_of_an_index_lies_elsewhere_or_is_listed_twice() {
        for name in ["", "..", "../../../etc/hostname", "/etc/hostname", "a/b", "a\0"] {
            let parsed = parse(|index| index.files.insert(0, file(name)));
            assert!(
                matches!(&parsed, Err(DeliveryIndexError::Name(found)) if found == name),
                "{parsed:?}"
            );
        }
        for name in ["a", "store"] {
            let parsed = parse(|index| index.files.push(file(name)));
            assert!(matches!(parsed, Err(DeliveryIndexError::Order(_))), "{parsed:?}");
        }
        for artifact in ["../demo.tar.zst", "other"] {
            let parsed = parse(|index| artifact.clone_into(&mut index.artifact));
            assert!(
                matches!(parsed, Err(DeliveryIndexError::Artifact(_))),
                "{parsed:?}"
            );
        }
    }
}
