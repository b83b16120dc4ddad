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
    /// What it was copied from, when it is a local change of a host.
    pub local_of: Option<PackageId>,
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

/// Which document it is, from all that it says: two that differ in anything are two documents to their readers, and the
/// same one is the same wherever it is written. Its own name is to be put in afterwards.
fn digest(nameless: &Value) -> Digest {
    Digest::of(&bytes(nameless))
}

/// The document's bytes: indented, keys sorted, a line break at the end.
fn bytes(document: &Value) -> Vec<u8> {
    // The alternate form of a JSON value is JSON, and cannot fail.
    format!("{document:#}\n").into_bytes()
}
