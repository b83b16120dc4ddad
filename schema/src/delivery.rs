//! Owns the index of a delivery: the document beside an artifact, its manifest and its installer that says what is there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::PackageId;

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
