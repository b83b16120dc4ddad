//! Owns what is verified of a store beside its packages: that nothing is missing which is needed, and nothing else there.

use std::collections::HashSet;
use std::path::Path;

use schema::digest::Digest;
use schema::id::PackageId;

use super::{Difference, DifferenceKind, FileKind, Standing, VerifyError};
use crate::folder;
use crate::index::PackageRecord;
use crate::io_error::{IoContext, IoError};
use crate::listing;
use crate::places::{self, PACKAGES, TREES};
use crate::publish;
use crate::store::{self, Access, FORMAT_FILE, INDEX_FILE, Store, TMP};
use crate::tree::Owner;
use crate::work::{KEPT, LOCKS, NEEDS};

/// What is required at run time, but not there.
pub(super) fn holes(store: &Store, records: &[PackageRecord]) -> Result<Vec<Difference>, VerifyError> {
    let required: HashSet<&PackageId> = records.iter().flat_map(|r| &r.requires).collect();
    let required: Vec<PackageId> = required.into_iter().cloned().collect();
    let there = store.index().registered(&required)?;
    let holes = records.iter().flat_map(|record| {
        let absent = record.requires.iter().filter(|id| !there.contains(id));
        absent.map(|dependency| {
            let dependency = dependency.clone();
            Difference::new(
                Some(&record.id),
                "",
                DifferenceKind::RequiredAbsent { dependency },
            )
        })
    });
    Ok(holes.collect())
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
) -> Result<Vec<Difference>, VerifyError> {
    let known: HashSet<String> = records.iter().map(|r| r.id.to_string()).collect();
    let layout = store.layout();
    let mut strays = Vec::new();
    for name in store.package_folders()? {
        if !known.contains(&name) && is_stray(store, &name)? {
            let path = format!("{PACKAGES}/{name}");
            strays.push(Difference::new(None, path, DifferenceKind::Unregistered));
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

/// Whether a folder that was in no row of the index is nothing that a build is about to register, has just registered,
/// or was killed before it could; what is whole is registered now.
fn is_stray(store: &Store, name: &str) -> Result<bool, VerifyError> {
    let Ok(id) = name.parse() else {
        return Ok(true);
    };
    if store.access() == Access::Look {
        return Ok(publish::look_at(store.layout(), &id).is_err() && store.package_path(&id).exists());
    }
    match store.try_lock_package(&id)? {
        Some(lock) => Ok(!store.is_present(&lock)? && store.package_path(&id).exists()),
        None => Ok(false),
    }
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
    let absent = absent.map(|(root, id)| Difference::new(Some(&id), "", DifferenceKind::KeptAbsent { root }));
    Ok(absent.collect())
}
