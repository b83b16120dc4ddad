//! Owns the verification of a store: every byte, type, mode, time and link target against the listings, and the
//! listings and resolved recipes against the digests that name them.

mod difference;
mod package;

use std::collections::HashSet;
use std::path::Path;

use rayon::prelude::*;
use schema::digest::Digest;
use schema::id::PackageId;
use serde::Serialize;

pub use difference::{Difference, DifferenceKind, FileKind, FirstByte, Mode, PackageRef};
pub use package::{Findings, Subject, package};

use crate::index::{IndexError, PackageRecord};
use crate::io_error::{IoContext, IoError};
use crate::listing;
use crate::publish::PublishError;
use crate::store::Store;
use crate::tree::Owner;

/// Why a store could not be verified; what is wrong with its content is no error but a [`Difference`].
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The index refused something, or is damaged itself.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A package that was never registered cannot be looked into.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A package that was asked for is not in the store.
    #[error("{0} is not in the store")]
    Absent(PackageId),
}

/// What is verified.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// The whole store, and that nothing else is in it.
    All,
    /// These packages.
    Packages(&'a [PackageId]),
}

/// Told how far a verification is, from several threads.
pub trait VerifyObserver: Sync {
    /// It begins: so many packages, so many bytes in their files.
    fn begin(&self, packages: usize, bytes: u64);
    /// So many more bytes were read.
    fn read(&self, bytes: u64);
    /// One package is done.
    fn verified(&self, id: &PackageId, differences: &[Difference]);
}

/// An observer of nothing.
impl VerifyObserver for () {
    fn begin(&self, _: usize, _: u64) {}
    fn read(&self, _: u64) {}
    fn verified(&self, _: &PackageId, _: &[Difference]) {}
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many packages were verified.
    pub packages: usize,
    /// How many files, folders and links were looked at.
    pub files: u64,
    /// How many bytes of files were hashed.
    pub bytes: u64,
    /// Everything that is not as it should be, by package and path.
    pub differences: Vec<Difference>,
}

/// Verifies `selection` of `store`.
///
/// # Errors
/// See [`VerifyError`].
pub fn store(
    store: &Store,
    selection: Selection<'_>,
    observer: &dyn VerifyObserver,
) -> Result<Report, VerifyError> {
    let records = select(store, selection)?;
    let owner = owner_of(store.root())?;
    let bytes = records.iter().map(|r| r.size).fold(0, u64::saturating_add);
    observer.begin(records.len(), bytes);
    let findings: Vec<Findings> = records
        .par_iter()
        .map(|record| {
            let folder = store.package_path(&record.id);
            let listing = store.tree_path(&record.tree);
            let subject = Subject {
                folder: &folder,
                id: &record.id,
                tree: &record.tree,
                listing: &listing,
                owner: Some(owner),
            };
            let findings = package(&subject, observer);
            observer.verified(&record.id, &findings.differences);
            findings
        })
        .collect();
    let mut report = Report {
        packages: records.len(),
        ..Report::default()
    };
    for mut findings in findings {
        report.files += findings.files;
        report.bytes += findings.bytes;
        report.differences.append(&mut findings.differences);
    }
    report.differences.extend(holes(store, &records)?);
    if matches!(selection, Selection::All) {
        report.differences.extend(strays(store, &records)?);
    }
    report.differences.sort();
    Ok(report)
}

/// Whom everything in a folder of packages should belong to: whom the folder itself does.
///
/// # Errors
/// When it cannot be looked at.
pub(crate) fn owner_of(root: &Path) -> Result<Owner, IoError> {
    Ok(Owner::from(&std::fs::metadata(root).at("look at", root)?))
}

fn select(store: &Store, selection: Selection<'_>) -> Result<Vec<PackageRecord>, VerifyError> {
    let index = store.index();
    match selection {
        Selection::All => {
            index.check()?;
            Ok(index.packages()?)
        }
        Selection::Packages(ids) => ids
            .iter()
            .map(|id| {
                let found = index.package(id)?;
                found.ok_or_else(|| VerifyError::Absent(id.clone()))
            })
            .collect(),
    }
}

/// What is required at run time, but not there.
fn holes(store: &Store, records: &[PackageRecord]) -> Result<Vec<Difference>, VerifyError> {
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

/// What the index knows nothing of, and listings of no package that are not what their names say.
fn strays(store: &Store, records: &[PackageRecord]) -> Result<Vec<Difference>, VerifyError> {
    let known: HashSet<String> = records.iter().map(|r| r.id.to_string()).collect();
    let layout = store.layout();
    let mut strays = Vec::new();
    for name in store.package_folders()? {
        if !known.contains(&name) && is_stray(store, &name)? {
            let path = format!("packages/{name}");
            strays.push(Difference::new(None, path, DifferenceKind::Unregistered));
        }
    }
    let trees: HashSet<&Digest> = records.iter().map(|r| &r.tree).collect();
    let folder = layout.trees();
    for entry in std::fs::read_dir(&folder).at("read folder", &folder)? {
        let path = entry.at("read folder", &folder)?.path();
        let tree = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".json")?.parse().ok());
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
    match store.try_lock_package(&id)? {
        Some(lock) => Ok(!store.is_present(&lock)? && store.package_path(&id).exists()),
        None => Ok(false),
    }
}

fn stray_listing(path: &Path, tree: Option<Digest>) -> Result<Option<Difference>, IoError> {
    let kind = match tree {
        None => DifferenceKind::Extra {
            found: FileKind::File,
        },
        Some(expected) => match listing::hash_file(path, &mut |_| {}) {
            Ok((found, _)) if found == expected => return Ok(None),
            Ok((found, _)) => DifferenceKind::Listing { expected, found },
            // Collected as garbage meanwhile.
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        },
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(Some(Difference::new(None, format!("trees/{name}"), kind)))
}

#[cfg(test)]
mod tests;
