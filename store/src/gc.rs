//! Owns garbage collection: what no root and no running process needs, found, measured and removed.
//!
//! Safe beside running builds and other collections: a running process states what it needs with
//! [`Store::protect`], before it looks what is there, and nobody can do so while a collection decides. As long as one
//! runs, only packages are collected; all else is left for the next time, since a process may be about to use what no
//! registered package names yet. A kill leaves packages that are out of the index but still there whole; they are
//! adopted when asked for, or collected the next time.

mod inputs;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schema::digest::Digest;
use schema::id::PackageId;
use serde::Serialize;

use crate::attestations;
use crate::closure;
use crate::folder;
use crate::index::{IndexError, PackageRecord};
use crate::io_error::{IoContext, IoError};
use crate::protection::{Deciding, Needed};
use crate::publish;
use crate::removal;
use crate::steps::Steps;
use crate::store::{Store, are_own_folders};
use crate::tree::{self, NodeKind};
use crate::work::KEPT;

/// Why garbage could not be collected.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The index refused something.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// What a collection does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collecting {
    /// It is only said what would be removed.
    DryRun,
    /// It is removed.
    Remove,
}

/// What is garbage besides what no root keeps.
#[derive(Debug, Clone, Copy)]
pub struct GcOptions {
    /// Whether anything is removed.
    pub mode: Collecting,
    /// The time, in seconds since 1970.
    pub now_unix: i64,
    /// How long the log of a package that is not there is kept.
    pub keep_logs: Duration,
}

/// One thing that nothing needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Garbage {
    /// What it is.
    pub kind: GarbageKind,
    /// Its file name in the store: for packages the store ID.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// The kinds of garbage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GarbageKind {
    /// A registered package that no root reaches.
    Package,
    /// Something in `packages/` that the index does not know.
    Stray,
    /// A listing of no registered package.
    Listing,
    /// An archive of no registered package.
    Archive,
    /// A source that no registered package was made from.
    Source,
    /// An old log of a package that is not there.
    Log,
    /// What was attested of a package that is not there.
    Attestation,
    /// A recipe, or a file of one, that neither a package nor one of the last builds was made from.
    Recipe,
    /// What is left of a failed build that somebody wanted to look at.
    Kept,
}

/// What a collection found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GcReport {
    /// Everything that is garbage, sorted by kind and name.
    pub garbage: Vec<Garbage>,
    /// Sum of the sizes, in bytes.
    pub bytes: u64,
    /// How many packages stay.
    pub kept: usize,
    /// How many running processes kept things from being collected.
    pub running: usize,
}

/// What is garbage, and where it lies.
type Found = Vec<(Garbage, PathBuf)>;

/// Finds everything that neither a root nor a running process needs, and removes it unless told not to; each thing that is
/// gone is one of `steps`.
///
/// # Errors
/// See [`GcError`]; what was removed before stays removed, and the rest is found by the next collection.
pub fn collect(store: &Store, options: &GcOptions, steps: &dyn Steps) -> Result<GcReport, GcError> {
    are_own_folders(store.root())?;
    let tmp = store.layout().tmp();
    let deciding = Deciding::begin(&tmp)?;
    let needed = deciding.needed(&tmp)?;
    let (mut found, report) = find(store, options, needed)?;
    if options.mode == Collecting::DryRun {
        return Ok(report);
    }
    // Out of the index before out of the folder: what is registered is there.
    let is_package = |(garbage, _): &&(Garbage, PathBuf)| garbage.kind == GarbageKind::Package;
    let dead: Vec<PackageId> = found
        .iter()
        .filter(is_package)
        .filter_map(|(garbage, _)| garbage.name.parse().ok())
        .collect();
    store.index().forget(&dead)?;
    for (_, path) in &mut found {
        *path = publish::set_aside(store, path)?;
    }
    // Whoever states needs from here on sees that these are gone. Removing them takes longer, and bothers nobody.
    drop(deciding);
    for (_, aside) in &found {
        removal::remove(aside)?;
        steps.done(found.len());
    }
    Ok(report)
}

fn find(store: &Store, options: &GcOptions, needed: Needed) -> Result<(Found, GcReport), GcError> {
    let packages = store.index().packages()?;
    let live = live(store, &packages, needed.packages)?;
    let mut found = dead_packages(store, &packages, &live)?;
    if needed.processes == 0 {
        found.extend(dead_files(store, options, &packages, &live)?);
    }
    found.sort_unstable();
    let garbage: Vec<_> = found.iter().map(|(garbage, _)| garbage.clone()).collect();
    let report = GcReport {
        bytes: garbage.iter().map(|g| g.size).fold(0, u64::saturating_add),
        kept: packages
            .iter()
            .filter(|package| live.contains(&package.id))
            .count(),
        running: needed.processes,
        garbage,
    };
    Ok((found, report))
}

fn live(
    store: &Store,
    packages: &[PackageRecord],
    needed: Vec<PackageId>,
) -> Result<HashSet<PackageId>, GcError> {
    let requires: HashMap<_, _> = packages
        .iter()
        .map(|package| (package.id.clone(), package.requires.clone()))
        .collect();
    let roots = store.index().roots()?;
    let kept = roots.into_iter().flat_map(|root| root.packages);
    Ok(closure::reach(&requires, kept.chain(needed)))
}

fn dead_packages(
    store: &Store,
    packages: &[PackageRecord],
    live: &HashSet<PackageId>,
) -> Result<Found, GcError> {
    let mut found = Found::new();
    let mut folders = store.package_folders()?;
    for package in packages {
        let name = package.id.to_string();
        let is_there = folders.remove(&name);
        if live.contains(&package.id) {
            continue;
        }
        let garbage = Garbage {
            kind: GarbageKind::Package,
            // Without a folder, only the row in the index is left to remove.
            size: if is_there { package.size } else { 0 },
            name,
        };
        found.push((garbage, store.package_path(&package.id)));
    }
    for name in folders {
        if name.parse().is_ok_and(|id: PackageId| live.contains(&id)) {
            continue;
        }
        let path = store.layout().packages().join(&name);
        let garbage = Garbage {
            kind: GarbageKind::Stray,
            size: size(&path),
            name,
        };
        found.push((garbage, path));
    }
    Ok(found)
}

fn dead_files(
    store: &Store,
    options: &GcOptions,
    packages: &[PackageRecord],
    live: &HashSet<PackageId>,
) -> Result<Found, GcError> {
    let layout = store.layout();
    let is_live = |id: &PackageId| live.contains(id);
    let trees: HashSet<Digest> = packages
        .iter()
        .filter(|package| is_live(&package.id))
        .map(|package| package.tree)
        .collect();
    let sources: HashSet<String> = store
        .index()
        .sources()?
        .into_iter()
        .filter(|(id, _)| is_live(id))
        .map(|(_, key)| key)
        .collect();
    let names_live_tree = |name: &str| {
        let digest = name.split('.').next().unwrap_or(name);
        digest.parse().is_ok_and(|tree| trees.contains(&tree))
    };
    let names_live_package = |name: &str| {
        let ends = [".zst", ".json", attestations::SUM];
        let id = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        id.parse().is_ok_and(|id| is_live(&id))
    };
    let kept_until = options
        .now_unix
        .saturating_sub(i64::try_from(options.keep_logs.as_secs()).unwrap_or(i64::MAX));
    let mut found = Found::new();
    gather(&mut found, GarbageKind::Listing, &layout.trees(), |name, _| {
        names_live_tree(name)
    })?;
    gather(&mut found, GarbageKind::Archive, &layout.archives(), |name, _| {
        names_live_tree(name)
    })?;
    gather(&mut found, GarbageKind::Source, &layout.sources(), |name, _| {
        sources.contains(name)
    })?;
    gather(&mut found, GarbageKind::Log, &layout.logs(), |name, changed| {
        names_live_package(name) || changed >= kept_until
    })?;
    let attestations = layout.attestations();
    gather(&mut found, GarbageKind::Attestation, &attestations, |name, _| {
        names_live_package(name)
    })?;
    let inputs = inputs::worth_keeping(store, live)?;
    gather(&mut found, GarbageKind::Recipe, &layout.recipes(), |name, _| {
        name.parse().is_ok_and(|digest| inputs.contains(&digest))
    })?;
    gather(&mut found, GarbageKind::Kept, &layout.tmp().join(KEPT), |_, _| {
        false
    })?;
    Ok(found)
}

/// Adds all in `folder` that is not to be kept, judging by name and time of the last change.
fn gather(
    found: &mut Found,
    kind: GarbageKind,
    folder: &Path,
    keep: impl Fn(&str, i64) -> bool,
) -> Result<(), IoError> {
    for entry in folder::entries(folder)? {
        let path = entry.path();
        let changed = entry.metadata().at("look at", &path)?.mtime();
        // A name that is not UTF-8 is none that this program gave.
        let name = entry.file_name().to_string_lossy().into_owned();
        if !keep(&name, changed) {
            let size = size(&path);
            found.push((Garbage { kind, name, size }, path));
        }
    }
    Ok(())
}

/// Of all files at and below `path`, in bytes; zero for what cannot be looked at, since it only informs.
fn size(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let nodes = tree::walk(path).map(|walk| walk.nodes).unwrap_or_default();
    let sizes = nodes.iter().map(|node| match node.kind {
        NodeKind::File { size } => size,
        _ => 0,
    });
    sizes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
