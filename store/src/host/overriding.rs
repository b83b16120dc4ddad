//! Owns local changes: a writable copy of an active package, marked as such, and which of its files differ by now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use schema::digest::Digest;
use schema::generation::{Generation, GenerationNumber, Override};
use schema::id::PackageId;
use schema::listing::{EntryKind, Listing};
use schema::resolved::Local;

use super::existing::Existing;
use super::plan::{self, Plan};
use super::system::System;
use super::{Host, HostError, HostLock};
use crate::durable;
use crate::facts::{self, RESOLVED_RECIPE};
use crate::io_error::{IoContext, IoError};
use crate::listing::{self, ListError};
use crate::regular;
use crate::removal;
use crate::tree::{self, NodeKind};

/// Modes of files in a copy: its owner may change them.
const MODES: [u32; 2] = [0o644, 0o755];

/// A planned local change.
#[derive(Debug)]
pub struct Overriding {
    /// The copy; there when this is.
    pub local: Override,
    /// Where it lies.
    pub folder: PathBuf,
    /// Its activation.
    pub plan: Plan,
}

/// Copies the active package `name`, given by name or store ID, and plans to make the copy active in its place.
/// A package that is such a copy already stays as it is.
///
/// # Errors
/// When it is not active or cannot be copied; nothing else has changed then.
pub fn plan(host: &Host, _lock: &HostLock, name: &str, system: &dyn System) -> Result<Overriding, HostError> {
    let current = host.current()?;
    let current = current.ok_or_else(|| HostError::NothingActive(host.root().to_owned()))?;
    let base = Existing::read(host, current)?;
    let manifest = base.manifest(host)?;
    let is_meant = |id: &PackageId| id.is_called(name);
    let mut active = base.generation.packages.iter();
    let package = active.find(|package| is_meant(&package.id));
    let package = package.ok_or_else(|| HostError::NotActive(name.to_owned()))?;
    if let Some(local) = base.generation.overriding(&package.id) {
        return Ok(Overriding {
            folder: host.package(&local.id),
            local: local.clone(),
            plan: plan::of_existing(host, current, system)?,
        });
    }
    let (id, recipe) = mark(host, &package.id, current)?;
    let local = Override {
        name: package.id.name().clone(),
        of: package.id.clone(),
        id,
    };
    let folder = host.package(&local.id);
    if !folder.is_dir() {
        copy(host, &local, &recipe)?;
    }
    let generation = replaced(&base.generation, &local);
    Ok(Overriding {
        plan: plan::of_generation(host, generation, manifest, Vec::new(), system)?,
        local,
        folder,
    })
}

/// `generation` with the copy in place of what was copied.
fn replaced(generation: &Generation, local: &Override) -> Generation {
    let mut generation = generation.clone();
    for package in &mut generation.packages {
        if package.id == local.of {
            package.id = local.id.clone();
        }
    }
    generation.packages.sort();
    generation.overrides.push(local.clone());
    generation.overrides.sort();
    generation
}

/// The resolved recipe of `of` with the mark of a local change, and the store ID that follows from it.
fn mark(
    host: &Host,
    of: &PackageId,
    generation: GenerationNumber,
) -> Result<(PackageId, Vec<u8>), HostError> {
    let read = facts::read(&host.package(of), of);
    let mut recipe = read.map_err(|source| HostError::Unmarkable {
        package: of.clone(),
        source: Box::new(source),
    })?;
    recipe.local = Some(Local {
        of: of.clone(),
        generation,
    });
    Ok(recipe.id()?)
}

fn copy(host: &Host, local: &Override, recipe: &[u8]) -> Result<(), IoError> {
    let aside = host.packages().join(format!("{}{}", durable::PARTIAL, local.id));
    removal::remove(&aside)?;
    let target = host.package(&local.id);
    let copied = copy_folder(&host.package(&local.of), &aside)
        .and_then(|()| {
            let path = aside.join(RESOLVED_RECIPE);
            fs::write(&path, recipe).at("write", &path)
        })
        .and_then(|()| durable::sync_file_system(&aside))
        .and_then(|()| fs::rename(&aside, &target).at("put in place", &target));
    copied.inspect_err(|_| {
        // On a full disk every byte counts; whatever stays is swept by the next command.
        let _ = removal::remove(&aside);
    })?;
    durable::sync(&host.packages())
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), IoError> {
    durable::create_folder(to)?;
    for node in tree::walk(from)?.nodes {
        let (from, to) = (from.join(&node.path), to.join(&node.path));
        match &node.kind {
            NodeKind::Dir => durable::create_folder(&to)?,
            NodeKind::Symlink { .. } => {
                let target = fs::read_link(&from).at("read link", &from)?;
                symlink(target, &to).at("link", &to)?;
            }
            // What is no file is refused by its opening.
            NodeKind::File { .. } | NodeKind::Other(_) => {
                let mode = MODES[usize::from(node.executable())];
                let mut from = regular::open(&from)?;
                File::create_new(&to)
                    .and_then(|mut to| io::copy(&mut from, &mut to))
                    .and_then(|_| fs::set_permissions(&to, Permissions::from_mode(mode)))
                    .at("copy to", &to)?;
            }
        }
    }
    Ok(())
}

/// The paths in the copy `local` that differ from what was copied, whose listing has digest `tree`.
///
/// # Errors
/// When the copy or the listing cannot be read.
pub(super) fn changed(host: &Host, local: &Override, tree: &Digest) -> Result<Vec<String>, ListError> {
    let path = host.listing(tree);
    let original = regular::read(&path)?;
    let original =
        Listing::parse(&original).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
    let original = by_path(original.at("understand", &path)?);
    let now = by_path(listing::of(&host.package(&local.id))?.listing);
    let paths: BTreeSet<&String> = original.keys().chain(now.keys()).collect();
    let differs = |path: &&String| *path != RESOLVED_RECIPE && original.get(*path) != now.get(*path);
    Ok(paths.into_iter().filter(differs).cloned().collect())
}

fn by_path(listing: Listing) -> BTreeMap<String, EntryKind> {
    let entries = listing.entries.into_iter();
    entries.map(|entry| (entry.path, entry.kind)).collect()
}
