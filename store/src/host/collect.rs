//! Owns garbage collection on hosts: old generations, and the packages that no generation needs any more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use schema::digest::Digest;
use schema::generation::GenerationNumber;
use schema::id::PackageId;
use serde::Serialize;

use super::existing::Existing;
use super::{Host, HostError, HostLock, TREES};
use crate::durable;
use crate::folder;
use crate::gc::Collecting;
use crate::io_error::{IoContext, IoError};
use crate::places;
use crate::removal;
use crate::tree::{self, NodeKind};

/// What was, or would be, removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Generations, ascending.
    pub generations: Vec<GenerationNumber>,
    /// Packages, sorted.
    pub packages: Vec<PackageId>,
    /// Sum of the sizes of their files, in bytes.
    pub bytes: u64,
    /// Generations that stay, ascending.
    pub kept: Vec<GenerationNumber>,
}

/// Removes all generations but the newest `keep`, the current one and those of an interrupted activation; then every
/// package that is neither in one of those nor in the manifest that was last installed.
///
/// # Errors
/// When the host cannot be read: nothing is removed while it is not known what is needed. Or when something cannot be
/// removed; what stays is removed by the next collection.
pub fn collect(host: &Host, _lock: &HostLock, keep: usize, mode: Collecting) -> Result<Collected, HostError> {
    let (kept, doomed) = generations(host, keep)?;
    let needed = needed(host, &kept)?;
    let mut collected = Collected {
        generations: doomed,
        kept,
        ..Collected::default()
    };
    for (id, folder) in packages(host)? {
        if !needed.packages.contains(&id) {
            collected.bytes += size(&folder)?;
            collected.packages.push(id);
        }
    }
    if mode == Collecting::Remove {
        remove(host, &collected, &needed)?;
    }
    Ok(collected)
}

fn generations(
    host: &Host,
    keep: usize,
) -> Result<(Vec<GenerationNumber>, Vec<GenerationNumber>), HostError> {
    let all = host.generations()?;
    if let Some(current) = host.current()?.filter(|current| !all.contains(current)) {
        // Its packages are in use, but nothing says which they are.
        return Err(host.absent(current));
    }
    let mut kept: BTreeSet<GenerationNumber> = all.iter().rev().take(keep).copied().collect();
    kept.extend(host.current()?);
    if let Some(pending) = host.pending()? {
        kept.extend(pending.from.into_iter().chain([pending.to]));
    }
    Ok(all.into_iter().partition(|number| kept.contains(number)))
}

#[derive(Default)]
struct Needed {
    packages: BTreeSet<PackageId>,
    trees: BTreeSet<Digest>,
}

fn needed(host: &Host, kept: &[GenerationNumber]) -> Result<Needed, HostError> {
    let mut needed = Needed::default();
    for number in kept {
        let generation = Existing::read(host, *number)?.generation;
        for package in generation.packages {
            needed.trees.insert(package.tree);
            needed.packages.insert(package.id);
        }
        // What an override was copied from is where a person looks for what was there before.
        needed
            .packages
            .extend(generation.overrides.into_iter().map(|local| local.of));
    }
    match host.manifest() {
        Ok(manifest) => {
            for package in manifest.document.packages {
                needed.trees.insert(package.tree);
                needed.packages.insert(package.id);
            }
        }
        Err(HostError::NoManifest(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(needed)
}

/// Everything in `packages/` whose name is a store ID.
fn packages(host: &Host) -> Result<Vec<(PackageId, PathBuf)>, IoError> {
    let entries = folder::entries(&host.packages())?.into_iter();
    let found = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    let mut found: Vec<_> = found.collect();
    found.sort();
    Ok(found)
}

fn size(folder: &Path) -> Result<u64, IoError> {
    let sizes = tree::walk(folder)?.nodes.into_iter().map(|node| match node.kind {
        NodeKind::File { size } => size,
        _ => 0,
    });
    Ok(sizes.fold(0, u64::saturating_add))
}

/// Takes everything out of sight by one rename each, generations first, since they are what needs packages; and empties
/// nothing before that is on the disk, lest a loss of power brings a name back for a folder that is half empty.
fn remove(host: &Host, collected: &Collected, needed: &Needed) -> Result<(), IoError> {
    let generations = host.generations_folder();
    let numbers = collected.generations.iter().map(GenerationNumber::to_string);
    let mut vanished = put_aside(&generations, numbers)?;
    let ids = collected.packages.iter().map(PackageId::to_string);
    vanished.extend(put_aside(&host.packages(), ids)?);
    vanished.iter().try_for_each(|aside| removal::remove(aside))?;
    remove_listings(host, needed)
}

/// Renames each of `names` in `folder` to what a sweep clears away; gives the new paths, which are durable.
fn put_aside(folder: &Path, names: impl Iterator<Item = String>) -> Result<Vec<PathBuf>, IoError> {
    let mut moved = Vec::new();
    for name in names {
        let (path, aside) = (
            folder.join(&name),
            folder.join(format!("{}{name}", durable::PARTIAL)),
        );
        removal::remove(&aside)?;
        fs::rename(&path, &aside).at("move aside", &path)?;
        moved.push(aside);
    }
    durable::sync(folder)?;
    Ok(moved)
}

fn remove_listings(host: &Host, needed: &Needed) -> Result<(), IoError> {
    for entry in folder::entries_if_there(&host.root().join(TREES))? {
        let name = entry.file_name();
        let tree = name.to_str().and_then(places::listed);
        if tree.is_some_and(|tree| !needed.trees.contains(&tree)) {
            fs::remove_file(entry.path()).at("remove", entry.path())?;
        }
    }
    Ok(())
}
