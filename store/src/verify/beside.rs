//! Owns what is verified of a store beside its packages: that nothing is missing which is needed, and nothing else there.

use std::collections::HashSet;
use std::path::Path;

use schema::digest::Digest;
use schema::id::PackageId;

use super::{Difference, DifferenceKind, FileKind, Run, Standing, Subject, VerifyError, package};
use crate::folder;
use crate::index::PackageRecord;
use crate::io_error::{IoContext, IoError};
use crate::listing;
use crate::places::{self, PACKAGES, TREES};
use crate::protection;
use crate::publish;
use crate::store::{self, Access, FORMAT_FILE, INDEX_FILE, Store, TMP};
use crate::supply;
use crate::tree::Owner;
use crate::work::{KEPT, LOCKS, NEEDS};

/// What is required at run time, but not there, or not in the index.
pub(super) fn holes(store: &Store, records: &[PackageRecord]) -> Result<Vec<Difference>, VerifyError> {
    let all: HashSet<&PackageId> = records
        .iter()
        .flat_map(|record| record.requires.iter().chain([&record.id]))
        .collect();
    let all: Vec<PackageId> = all.into_iter().cloned().collect();
    // Asked at once: what was collected meanwhile went together with all that it required.
    let there = store.index().registered(&all)?;
    let mut holes = Vec::new();
    for record in records.iter().filter(|record| there.contains(&record.id)) {
        for dependency in record.requires.iter().filter(|id| !there.contains(id)) {
            let missing = dependency.clone();
            let kind = DifferenceKind::RequiredAbsent { dependency: missing };
            let hole = Difference::new(Some(&record.id), "", kind);
            holes.push(not_indexed(store, dependency).unwrap_or(hole));
        }
    }
    Ok(holes)
}

/// The difference that a package which is in no row of the index is there whole, if it is.
fn not_indexed(store: &Store, id: &PackageId) -> Option<Difference> {
    publish::look_at(store.layout(), id).ok()?;
    Some(Difference::new(Some(id), "", DifferenceKind::NotIndexed))
}

/// What is wrong with the store's own folders, and the files beside them: whoever may write them may exchange what is in
/// them.
pub(super) fn standing(store: &Store, owner: Owner) -> Result<Vec<Difference>, IoError> {
    let temporary = [LOCKS, KEPT, NEEDS].map(|name| format!("{TMP}/{name}"));
    let own = std::iter::once(".").chain(store::FOLDERS).map(str::to_owned);
    let mut all: Vec<(String, Standing)> = own
        .chain(temporary)
        .map(|name| (name, Standing::Folder))
        .collect();
    for entry in folder::entries(store.root())? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == FORMAT_FILE || name.starts_with(INDEX_FILE) {
            all.push((name, Standing::Own));
        }
    }
    let faults = all.into_iter().flat_map(|(name, standing)| {
        let faults = standing.faults(&store.root().join(&name), owner);
        faults
            .into_iter()
            .map(move |kind| Difference::new(None, name.as_str(), kind))
    });
    Ok(faults.collect())
}

/// What the index knows nothing of, and listings of no package that are not what their names say.
pub(super) fn strays(
    store: &Store,
    records: &[PackageRecord],
    owner: Owner,
    run: &Run<'_>,
) -> Result<Vec<Difference>, VerifyError> {
    let known: HashSet<String> = records.iter().map(|r| r.id.to_string()).collect();
    let layout = store.layout();
    let mut strays = Vec::new();
    let mut unknown = store.package_folders()?;
    unknown.retain(|name| !known.contains(name));
    if !unknown.is_empty() {
        // Stated before any of them was placed, so it is read after they were seen.
        let stated = protection::stated(&layout.tmp())?;
        for name in &unknown {
            let found = of_unknown(store, name, &stated)?;
            let torn = found
                .as_ref()
                .filter(|it| it.kind == DifferenceKind::Unregistered);
            strays.extend(
                torn.and_then(|_| of_recorded(store, name, owner, run))
                    .into_iter()
                    .flatten(),
            );
            strays.extend(found);
        }
    }
    for entry in folder::entries(store.root())? {
        if !crate::store::belongs_at_top(&entry.file_name()) {
            let path = entry.path();
            let found = FileKind::from(&entry.metadata().at("look at", &path)?);
            let shown = entry.file_name().to_string_lossy().into_owned();
            strays.push(Difference::new(None, shown, DifferenceKind::Extra { found }));
        }
    }
    let trees: HashSet<&Digest> = records.iter().map(|r| &r.tree).collect();
    for entry in folder::entries(&layout.trees())? {
        let path = entry.path();
        let tree = entry.file_name().to_str().and_then(places::listed);
        let faults = tree.iter().flat_map(|_| Standing::Document.faults(&path, owner));
        let shown = format!(
            "{TREES}/{}",
            path.file_name().unwrap_or_default().to_string_lossy()
        );
        strays.extend(faults.map(|kind| Difference::new(None, shown.clone(), kind)));
        match tree {
            Some(tree) if trees.contains(&tree) => {}
            tree => strays.extend(stray_listing(&path, tree)?),
        }
    }
    Ok(strays)
}

/// What is wrong with a folder that was in no row of the index. Nothing where it was registered or removed meanwhile, or
/// where a process that runs or was killed stated that it needs the package, which it was about to register.
fn of_unknown(
    store: &Store,
    name: &str,
    stated: &HashSet<PackageId>,
) -> Result<Option<Difference>, VerifyError> {
    let stray = Difference::new(None, format!("{PACKAGES}/{name}"), DifferenceKind::Unregistered);
    let Ok(id) = name.parse() else {
        return Ok(Some(stray));
    };
    let not_indexed = not_indexed(store, &id);
    let is_registered = || Ok::<bool, VerifyError>(store.index().package(&id)?.is_some());
    if is_registered()? || !store.package_path(&id).exists() {
        return Ok(None);
    }
    if not_indexed.is_some() {
        return Ok(not_indexed.filter(|_| !stated.contains(&id)));
    }
    if store.access() == Access::Look {
        return Ok(Some(stray));
    }
    // Whoever is at work on it has its lock.
    let lock = store.try_lock_package(&id)?;
    Ok(match lock {
        Some(_) if !is_registered()? && store.package_path(&id).exists() => Some(stray),
        _ => None,
    })
}

/// How a folder that is in no row of the index differs from the package that an archive is kept of, if one is.
fn of_recorded(store: &Store, name: &str, owner: Owner, run: &Run<'_>) -> Option<Vec<Difference>> {
    let id: PackageId = name.parse().ok()?;
    let tree = supply::recorded(store, &id).ok()??;
    let subject = Subject {
        folder: store.package_path(&id),
        id,
        tree,
        listing: store.tree_path(&tree),
        owner: Some(owner),
    };
    Some(package(&subject, run).differences)
}

fn stray_listing(path: &Path, tree: Option<Digest>) -> Result<Option<Difference>, IoError> {
    let kind = match tree {
        None => DifferenceKind::Extra {
            found: FileKind::from(&std::fs::symlink_metadata(path).at("look at", path)?),
        },
        Some(expected) => match listing::hash_file(path, &mut |_| {}) {
            Ok((found, _)) if found == expected => return Ok(None),
            Ok((found, _)) => DifferenceKind::Listing { expected, found },
            // Collected as garbage meanwhile.
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => DifferenceKind::unreadable(&error.source),
        },
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(Some(Difference::new(None, format!("{TREES}/{name}"), kind)))
}

/// What a root keeps, but is not there.
pub(super) fn roots(store: &Store) -> Result<Vec<Difference>, VerifyError> {
    let absent = store.index().kept_absent()?.into_iter();
    let absent = absent.map(|(root, id)| {
        let kind = DifferenceKind::KeptAbsent { root };
        not_indexed(store, &id).unwrap_or_else(|| Difference::new(Some(&id), "", kind))
    });
    Ok(absent.collect())
}
