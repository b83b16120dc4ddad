//! Owns what changed from one artifact to another, package by package.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use schema::id::PackageId;
use schema::manifest::{ActiveManifest, SelectedPackage};
use schema::name::PackageName;
use serde::Serialize;

/// What differs between two manifests; packages sorted by store ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ManifestDiff {
    /// What is told of the artifacts as a whole and differs, e.g. their versions.
    pub fields: Vec<FieldChange>,
    /// Packages that only the second has.
    pub added: Vec<Version>,
    /// Packages that only the first has.
    pub removed: Vec<Version>,
    /// Packages of one name and different IDs.
    pub changed: Vec<Change>,
    /// Number of packages that both have.
    pub unchanged: usize,
    /// Compressed bytes of the packages that only the second has: what a host with the first has to fetch.
    pub fetch: u64,
}

/// One thing told of an artifact as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// The manifest's field.
    pub field: &'static str,
    /// As the first has it; empty when it has none.
    pub before: String,
    /// As the second has it; empty when it has none.
    pub after: String,
}

/// One package as one artifact has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Its name.
    pub name: PackageName,
    /// Its store ID.
    pub id: PackageId,
    /// The version its recipe states.
    pub version: String,
    /// Of its files in sum, in bytes.
    pub size: u64,
    /// Of its archive, compressed, in bytes.
    pub length: u64,
}

/// One package as two artifacts have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name.
    pub name: PackageName,
    /// In the first.
    pub before: Version,
    /// In the second.
    pub after: Version,
    /// Whether its files are the same all the same, so that only how they came to be differs.
    pub same_tree: bool,
}

impl From<&SelectedPackage> for Version {
    fn from(package: &SelectedPackage) -> Self {
        Self {
            name: package.id.name().clone(),
            id: package.id.clone(),
            version: package.version.clone(),
            size: package.size,
            length: package.archive.length,
        }
    }
}

/// Compares two manifests.
pub fn diff(before: &ActiveManifest, after: &ActiveManifest) -> ManifestDiff {
    let gone = only_in(before, after);
    let come = only_in(after, before);
    let fetch = come.iter().map(|package| package.archive.length).sum();
    let unchanged = after.packages.len() - come.len();
    // Of several packages of one name, as variants are, the first goes with the first.
    let mut by_name: BTreeMap<&PackageName, VecDeque<&SelectedPackage>> = BTreeMap::new();
    for package in gone {
        by_name.entry(package.id.name()).or_default().push_back(package);
    }
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    for package in come {
        match by_name.get_mut(package.id.name()).and_then(VecDeque::pop_front) {
            None => added.push(package.into()),
            Some(old) => changed.push(Change {
                name: package.id.name().clone(),
                before: old.into(),
                after: package.into(),
                same_tree: old.tree == package.tree,
            }),
        }
    }
    let removed = by_name.into_values().flatten().map(Version::from).collect();
    ManifestDiff {
        fields: fields(before, after),
        added,
        removed,
        changed,
        unchanged,
        fetch,
    }
}

fn only_in<'a>(manifest: &'a ActiveManifest, other: &ActiveManifest) -> Vec<&'a SelectedPackage> {
    let others: BTreeSet<&PackageId> = other.packages.iter().map(|package| &package.id).collect();
    let packages = manifest.packages.iter();
    packages.filter(|package| !others.contains(&package.id)).collect()
}

fn fields(before: &ActiveManifest, after: &ActiveManifest) -> Vec<FieldChange> {
    let told = |manifest: &ActiveManifest| {
        [
            ("name", manifest.name.clone()),
            ("version", manifest.version.clone()),
            ("prefix", manifest.prefix.clone()),
            ("platform", manifest.platform.clone()),
            ("source_date_epoch", manifest.source_date_epoch.to_string()),
            (
                "configuration",
                manifest
                    .configuration
                    .map(|digest| digest.to_hex())
                    .unwrap_or_default(),
            ),
            (
                "installer",
                manifest
                    .installer
                    .map(|it| it.blake3.to_hex())
                    .unwrap_or_default(),
            ),
        ]
    };
    told(before)
        .into_iter()
        .zip(told(after))
        .filter(|((_, before), (_, after))| before != after)
        .map(|((field, before), (_, after))| FieldChange { field, before, after })
        .collect()
}
