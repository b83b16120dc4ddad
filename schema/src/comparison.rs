//! Owns how one set of packages differs from another: an artifact from an artifact, a generation from a generation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use crate::digest::Digest;
use crate::id::PackageId;
use crate::listing::{EntryKind, Listing};
use crate::manifest::{ActiveManifest, SelectedPackage};
use crate::name::PackageName;

/// What is compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// What is told of it as a whole, by name.
    pub fields: BTreeMap<&'static str, String>,
    /// The packages, sorted by store ID.
    pub packages: Vec<Held>,
}

/// One package as one side has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Its name.
    pub name: PackageName,
    /// Its store ID.
    pub id: PackageId,
    /// The version its recipe states.
    pub version: String,
    /// Its licence as its recipe states it; `None` where nobody knows.
    pub license: Option<String>,
    /// Its tree digest.
    pub tree: Digest,
    /// Of its files in sum, in bytes.
    pub size: u64,
    /// Of its archive, compressed, in bytes; `None` where there is none.
    pub length: Option<u64>,
    /// What it requires, sorted.
    pub requires: Vec<PackageId>,
}

/// In what two sides differ; packages sorted by store ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// What is told of them as a whole and differs, e.g. their versions.
    pub fields: Vec<FieldChange>,
    /// Packages that only the second has.
    pub added: Vec<Held>,
    /// Packages that only the first has.
    pub removed: Vec<Held>,
    /// Packages of one name and different content.
    pub changed: Vec<PackageChange>,
    /// Number of packages that both have.
    pub unchanged: usize,
    /// Of all files of all packages in sum, in bytes.
    pub size: Change<u64>,
    /// Compressed bytes of the packages that only the second has: what a host with the first has to fetch. A local change
    /// of a host is fetched from nowhere. `None` where the second has no archives.
    pub fetch: Option<u64>,
}

/// What was and what is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// In the first.
    pub before: T,
    /// In the second.
    pub after: T,
}

/// One thing told of a side as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Its name.
    pub field: &'static str,
    /// What both say; empty where one says nothing.
    #[serde(flatten)]
    pub change: Change<String>,
}

/// One package as two sides have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    /// Its name.
    pub name: PackageName,
    /// Both forms of it.
    #[serde(flatten)]
    pub change: Change<Held>,
    /// Whether its files are the same all the same, so that only how they came to be differs.
    pub same_tree: bool,
    /// In which files it differs; `None` where a listing is not at hand.
    pub files: Option<FileChanges>,
}

/// In which files, folders and links one package differs from another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileChanges {
    /// Sorted by path.
    pub added: Vec<ListedFile>,
    /// Sorted by path.
    pub removed: Vec<ListedFile>,
    /// Sorted by path.
    pub changed: Vec<FileChange>,
    /// How many are the same.
    pub unchanged: usize,
}

/// Something at a path of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedFile {
    /// Relative to the package's folder.
    pub path: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: EntryKind,
}

/// Something that became something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Relative to the package's folder.
    pub path: String,
    /// What it was and is.
    #[serde(flatten)]
    pub change: Change<EntryKind>,
}

impl From<&SelectedPackage> for Held {
    fn from(package: &SelectedPackage) -> Self {
        Self {
            name: package.id.name().clone(),
            id: package.id.clone(),
            version: package.version.clone(),
            license: Some(package.about.license.clone()),
            tree: package.tree,
            size: package.size,
            length: Some(package.archive.length),
            requires: package.requires.clone(),
        }
    }
}

impl From<&ActiveManifest> for Contents {
    fn from(manifest: &ActiveManifest) -> Self {
        let configuration = manifest.configuration.map(|digest| digest.to_hex());
        let installer = manifest.installer.map(|installer| installer.blake3.to_hex());
        Self {
            fields: BTreeMap::from([
                ("name", manifest.name.clone()),
                ("version", manifest.version.clone()),
                ("prefix", manifest.prefix.clone()),
                ("platform", manifest.platform.clone()),
                ("source_date_epoch", manifest.source_date_epoch.to_string()),
                ("configuration", configuration.unwrap_or_default()),
                ("installer", installer.unwrap_or_default()),
            ]),
            packages: manifest.packages.iter().map(Held::from).collect(),
        }
    }
}

impl<T> Change<T> {
    fn of<S>(before: S, after: S, part: impl Fn(S) -> T) -> Self {
        Self {
            before: part(before),
            after: part(after),
        }
    }
}

impl Comparison {
    /// Compares two sides; in which files packages differ is left to be added.
    pub fn between(before: &Contents, after: &Contents) -> Self {
        let (gone, come) = (only_in(before, after), only_in(after, before));
        let unchanged = after.packages.len() - come.len();
        let has_archives = after.packages.iter().any(|package| package.length.is_some());
        let fetch = has_archives.then(|| total(come.iter().filter_map(|package| package.length)));
        // Of several packages of one name, as variants are, the first goes with the first.
        let mut by_name: BTreeMap<&PackageName, VecDeque<&Held>> = BTreeMap::new();
        for package in gone {
            by_name.entry(&package.name).or_default().push_back(package);
        }
        let (mut added, mut changed) = (Vec::new(), Vec::new());
        for package in come {
            match by_name.get_mut(&package.name).and_then(VecDeque::pop_front) {
                None => added.push(package.clone()),
                Some(old) => changed.push(PackageChange::between(old, package)),
            }
        }
        let mut removed: Vec<Held> = by_name.into_values().flatten().cloned().collect();
        removed.sort_by(|one, other| one.id.cmp(&other.id));
        Self {
            fields: fields(before, after),
            added,
            removed,
            changed,
            unchanged,
            size: Change::of(before, after, |side| {
                total(side.packages.iter().map(|package| package.size))
            }),
            fetch,
        }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl PackageChange {
    fn between(before: &Held, after: &Held) -> Self {
        Self {
            name: after.name.clone(),
            same_tree: before.tree == after.tree,
            change: Change::of(before, after, Clone::clone),
            files: None,
        }
    }

    /// The licences, when they are known and differ.
    pub fn license(&self) -> Option<Change<&str>> {
        let before = self.change.before.license.as_deref()?;
        let after = self.change.after.license.as_deref()?;
        (before != after).then_some(Change { before, after })
    }

    /// Names of what only one side requires.
    pub fn requires(&self) -> Change<Vec<&PackageName>> {
        let names = |held: &Held| held.requires.iter().map(|id| id.name().clone()).collect();
        let (old, new): (BTreeSet<_>, BTreeSet<_>) = (names(&self.change.before), names(&self.change.after));
        Change {
            before: names_beside(&self.change.before, &new),
            after: names_beside(&self.change.after, &old),
        }
    }

    /// Names of what both require, though not the same form of it.
    pub fn requires_anew(&self) -> BTreeSet<&PackageName> {
        let old = &self.change.before.requires;
        let is_anew = |id: &&PackageId| !old.contains(id) && old.iter().any(|it| it.name() == id.name());
        let anew = self.change.after.requires.iter().filter(is_anew);
        anew.map(PackageId::name).collect()
    }
}

fn names_beside<'h>(held: &'h Held, others: &BTreeSet<PackageName>) -> Vec<&'h PackageName> {
    let names = held.requires.iter().map(PackageId::name);
    names.filter(|name| !others.contains(*name)).collect()
}

impl FileChanges {
    /// Compares two listings.
    pub fn between(before: &Listing, after: &Listing) -> Self {
        let by_path = |listing: &Listing| -> BTreeMap<String, EntryKind> {
            let entries = listing.entries.iter();
            entries
                .map(|entry| (entry.path.clone(), entry.kind.clone()))
                .collect()
        };
        let mut old = by_path(before);
        let mut found = Self::default();
        for (path, after) in by_path(after) {
            match old.remove(&path) {
                None => found.added.push(ListedFile { path, kind: after }),
                Some(before) if before == after => found.unchanged += 1,
                Some(before) => found.changed.push(FileChange {
                    path,
                    change: Change { before, after },
                }),
            }
        }
        found.removed = old
            .into_iter()
            .map(|(path, kind)| ListedFile { path, kind })
            .collect();
        found
    }
}

/// A foreign manifest may state any sizes.
fn total(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

fn only_in<'a>(side: &'a Contents, other: &Contents) -> Vec<&'a Held> {
    // A local change of a host may be there twice under one ID in time, with other content.
    let others: BTreeSet<_> = other
        .packages
        .iter()
        .map(|package| (&package.id, package.tree))
        .collect();
    let packages = side.packages.iter();
    packages
        .filter(|package| !others.contains(&(&package.id, package.tree)))
        .collect()
}

fn fields(before: &Contents, after: &Contents) -> Vec<FieldChange> {
    let names: BTreeSet<_> = before.fields.keys().chain(after.fields.keys()).collect();
    let told = |side: &Contents, field: &str| side.fields.get(field).cloned().unwrap_or_default();
    names
        .into_iter()
        .map(|field| FieldChange {
            field,
            change: Change::of(before, after, |side| told(side, field)),
        })
        .filter(|it| it.change.before != it.change.after)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]

    use super::*;

    fn held(name: &str, sizes: u64) -> Held {
        let digest = Digest::of(name.as_bytes());
        let name: PackageName = name.parse().unwrap();
        Held {
            id: PackageId::new(name.clone(), digest),
            name,
            version: "1".to_owned(),
            license: None,
            tree: digest,
            size: sizes,
            length: Some(sizes),
            requires: Vec::new(),
        }
    }

    #[test]
    fn sizes_that_no_disk_has_are_compared_as_well() {
        let after = Contents {
            packages: vec![held("a", u64::MAX), held("b", 1)],
            ..Contents::default()
        };
        let found = Comparison::between(&Contents::default(), &after);
        assert_eq!((found.size.after, found.fetch), (u64::MAX, Some(u64::MAX)));
    }
}
