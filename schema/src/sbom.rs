//! Owns the bill of materials: what is in an artifact or on a host, in the formats that others read.

pub mod cyclonedx;
pub mod spdx;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::about::About;
use crate::digest::Digest;
use crate::id::PackageId;
use crate::name::SourceName;
use crate::resolved::ResolvedSource;
use crate::source::SourceDigest;
use crate::timestamp::Timestamp;

/// Everything that a bill of materials says. The same inventory gives the same bytes.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// The distribution's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest that tells this inventory from every other: the manifest's, or that of what was selected.
    pub digest: Digest,
    /// The time in the document: that of the packages, never of now.
    pub created: Timestamp,
    /// The packages, sorted by store ID.
    pub items: Vec<Item>,
}

/// One package.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its store ID.
    pub id: PackageId,
    /// Its version.
    pub version: String,
    /// Its tree digest.
    pub tree: Digest,
    /// What its recipe says for people.
    pub about: About,
    /// What it was made from, by digest.
    pub sources: BTreeMap<SourceName, ResolvedSource>,
    /// What it requires, sorted.
    pub requires: Vec<PackageId>,
}

impl Item {
    /// Each source that has a digest.
    fn digests(&self) -> impl Iterator<Item = (&SourceName, SourceDigest)> {
        let sources = self.sources.iter();
        sources.filter_map(|(name, source)| Some((name, source.digest?)))
    }
}

/// The document's bytes: indented, keys sorted, a line break at the end.
fn bytes(document: &Value) -> Vec<u8> {
    // The alternate form of a JSON value is JSON, and cannot fail.
    format!("{document:#}\n").into_bytes()
}
