//! Owns how one set of packages differs from another: an artifact from an artifact, a generation from a generation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use crate::about::About;
use crate::digest::Digest;
use crate::id::PackageId;
use crate::listing::{EntryKind, Listing};
use crate::manifest::{ActiveManifest, Health, SelectedPackage};
use crate::name::{PackageName, RoleName};

/// What is compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// What is told of it as a whole, by name.
    ///
    /// Empty text where it is not stated, and nothing where it could not be.
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
    /// What is said of it beside.
    #[serde(flatten)]
    pub told: Told,
    /// Its tree digest.
    pub tree: Digest,
    /// Of its files in sum, in bytes.
    pub size: u64,
    /// Of its archive, compressed, in bytes; `None` where there is none.
    pub length: Option<u64>,
    /// What it requires, sorted.
    pub requires: Vec<PackageId>,
}

/// What no store ID knows of, so that packages of one ID may differ in it; each `None` where a side does not know it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The licence as the recipe states it.
    pub license: Option<String>,
    /// Where upstream lives.
    pub homepage: Option<String>,
    /// One sentence.
    pub description: Option<String>,
    /// Whether it was asked for by name.
    pub selected: Option<bool>,
    /// Roles on which it is activated; none means all.
    pub roles: Option<Vec<RoleName>>,
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
    /// Packages of one name of which something differs; those of one ID go together, whatever it is.
    pub changed: Vec<PackageChange>,
    /// Number of packages that both have, and say the same of.
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

/// One thing told of a side as a whole, or of a package.
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
        let told = Told {
            selected: Some(package.selected),
            roles: Some(package.roles.clone()),
            ..Told::from(&package.about)
        };
        Self {
            name: package.id.name().clone(),
            id: package.id.clone(),
            version: package.version.clone(),
            told,
            tree: package.tree,
            size: package.size,
            length: Some(package.archive.length),
            requires: package.requires.clone(),
        }
    }
}

impl From<&About> for Told {
    fn from(about: &About) -> Self {
        Self {
            license: Some(about.license.clone()),
            homepage: Some(about.homepage.clone()),
            description: Some(about.description.clone()),
            selected: None,
            roles: None,
        }
    }
}

impl From<&ActiveManifest> for Contents {
    fn from(manifest: &ActiveManifest) -> Self {
        // A field that is added one day is to be told of, too.
        let ActiveManifest {
            format: _,
            name,
            version,
            prefix,
            platform,
            source_date_epoch,
            packages,
            configuration,
            health,
            ip_detect,
            secrets,
            installer,
        } = manifest;
        let digest = |digest: &Digest| digest.to_hex();
        let mut fields = BTreeMap::from([
            ("name", name.clone()),
            ("version", version.clone()),
            ("prefix", prefix.clone()),
            ("platform", platform.clone()),
            ("source_date_epoch", source_date_epoch.to_string()),
            ("ip_detect", ip_detect.clone().unwrap_or_default()),
            ("secrets", listed(secrets)),
            (
                "configuration",
                configuration.as_ref().map(digest).unwrap_or_default(),
            ),
            (
                "installer",
                installer
                    .as_ref()
                    .map(|it| digest(&it.blake3))
                    .unwrap_or_default(),
            ),
        ]);
        fields.extend(told_of_health(health.as_ref()));
        Self {
            fields,
            packages: packages.iter().map(Held::from).collect(),
        }
    }
}

/// Each is empty where nothing says when a host is healthy.
fn told_of_health(health: Option<&Health>) -> [(&'static str, String); 3] {
    let told = health.map(|health| {
        let Health {
            units,
            command,
            deadline_seconds,
        } = health;
        let command = command.clone().unwrap_or_default();
        [listed(units), command, deadline_seconds.to_string()]
    });
    let [units, command, deadline] = told.unwrap_or_default();
    [
        ("health.units", units),
        ("health.command", command),
        ("health.deadline_seconds", deadline),
    ]
}

/// Quoted, as no two lists may look the same.
fn listed(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    quoted.join(", ")
}

impl Told {
    /// In what `after` differs, of all that both know.
    fn changes(&self, after: &Self) -> Vec<FieldChange> {
        let text = String::clone;
        let roles = |roles: &Vec<RoleName>| {
            let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            if names.is_empty() {
                "all".to_owned()
            } else {
                names.join(",")
            }
        };
        let found = [
            known("license", &self.license, &after.license, text),
            known("homepage", &self.homepage, &after.homepage, text),
            known("description", &self.description, &after.description, text),
            known("selected", &self.selected, &after.selected, bool::to_string),
            known("roles", &self.roles, &after.roles, roles),
        ];
        found.into_iter().flatten().collect()
    }
}

fn known<T: PartialEq>(
    field: &'static str,
    before: &Option<T>,
    after: &Option<T>,
    text: impl Fn(&T) -> String,
) -> Option<FieldChange> {
    let (before, after) = (before.as_ref()?, after.as_ref()?);
    (before != after).then(|| FieldChange {
        field,
        change: Change::of(before, after, text),
    })
}

impl Held {
    fn is_as(&self, other: &Self) -> bool {
        // A local change of a host may be there twice under one ID in time, with other content.
        self.tree == other.tree
            && self.version == other.version
            && self.requires == other.requires
            && self.told.changes(&other.told).is_empty()
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
        let mut old: BTreeMap<&PackageId, &Held> = before.packages.iter().map(|it| (&it.id, it)).collect();
        let (mut come, mut changed) = (Vec::new(), Vec::new());
        let mut unchanged = 0;
        for package in &after.packages {
            match old.remove(&package.id) {
                None => come.push(package),
                Some(same) if same.is_as(package) => unchanged += 1,
                Some(other) => changed.push(PackageChange::between(other, package)),
            }
        }
        // Of several packages of one name, as variants are, the first goes with the first.
        let mut by_name: BTreeMap<&PackageName, VecDeque<&Held>> = BTreeMap::new();
        for package in old.into_values() {
            by_name.entry(&package.name).or_default().push_back(package);
        }
        let mut added = Vec::new();
        for package in come {
            match by_name.get_mut(&package.name).and_then(VecDeque::pop_front) {
                None => added.push(package.clone()),
                Some(old) => changed.push(PackageChange::between(old, package)),
            }
        }
        changed.sort_by(|one, other| one.change.after.id.cmp(&other.change.after.id));
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
            fetch: fetch(before, after),
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

    /// What is told otherwise, of all that both sides know.
    pub fn told(&self) -> Vec<FieldChange> {
        self.change.before.told.changes(&self.change.after.told)
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

fn fetch(before: &Contents, after: &Contents) -> Option<u64> {
    let there: BTreeSet<_> = before.packages.iter().map(|it| (&it.id, it.tree)).collect();
    let packages = after.packages.iter();
    let has_archives = packages.clone().any(|it| it.length.is_some());
    let come = packages.filter(|it| !there.contains(&(&it.id, it.tree)));
    has_archives.then(|| total(come.filter_map(|it| it.length)))
}

/// What one side does not know is no difference: packages of a store have no version as a whole, and manifests no roles.
fn fields(before: &Contents, after: &Contents) -> Vec<FieldChange> {
    let known = before.fields.iter().filter_map(|(field, old)| {
        let new = after.fields.get(field)?;
        Some(FieldChange {
            field,
            change: Change {
                before: old.clone(),
                after: new.clone(),
            },
        })
    });
    known.filter(|it| it.change.before != it.change.after).collect()
}

#[cfg(test)]
mod tests;
