//! Owns the verification of what a store keeps to explain and to prove: what builds were made from, what they printed, and
//! attestations.

use std::collections::{HashMap, HashSet};
use std::fs::DirEntry;
use std::path::Path;

use rayon::prelude::*;
use schema::attestation::Envelope;
use schema::digest::Digest;
use schema::id::PackageId;

use super::{Difference, DifferenceKind, FileKind, Run, Standing};
use crate::attestations::{self, KeepError};
use crate::folder;
use crate::index::PackageRecord;
use crate::io_error::IoError;
use crate::regular::NotRegular;
use crate::store::{ATTESTATIONS, LOGS, RECIPES, Store};
use crate::tree::Owner;
use crate::{listing, logs, recipes};

/// What is kept, and what it takes to verify it.
pub(super) struct Kept<'a> {
    pub(super) store: &'a Store,
    pub(super) owner: Owner,
    pub(super) run: &'a Run<'a>,
}

impl Kept<'_> {
    /// What is wrong with the kept inputs of builds: each is held against the digest that its name is.
    pub(super) fn inputs(&self) -> Result<Vec<Difference>, IoError> {
        let root = self.store.root();
        self.each(RECIPES, |path| {
            Some(input(&root.join(path), recipes::digest_at(path)?, self.run))
        })
    }

    /// What is wrong with the kept attestations, as far as it shows without the keys of those who made them.
    pub(super) fn attestations(&self, records: &[PackageRecord]) -> Result<Vec<Difference>, IoError> {
        let known: HashMap<&PackageId, &PackageRecord> = records.iter().map(|it| (&it.id, it)).collect();
        self.each(ATTESTATIONS, |path| match attestations::sum_at(path) {
            Some(id) => Some(summed(self.store, &id)),
            None => Some(attested(self.store, &attestations::id_at(path)?, &known)),
        })
    }

    /// What is wrong with the logs of builds, by their own checksums.
    pub(super) fn logs(&self) -> Result<Vec<Difference>, IoError> {
        self.each(LOGS, |path| {
            logs::id_at(path)?;
            Some(logged(&self.store.root().join(path)))
        })
    }

    /// What `look` finds at each path of a folder, relative to the store, and what is wrong with how it stands there; of
    /// what does not belong there `look` gives nothing at all.
    fn each(
        &self,
        folder: &str,
        look: impl Fn(&str) -> Option<Option<DifferenceKind>> + Sync,
    ) -> Result<Vec<Difference>, IoError> {
        let entries = folder::entries(&self.store.root().join(folder))?;
        let one = |entry: &DirEntry| -> Vec<Difference> {
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let kinds = match look(&path) {
                Some(kind) => {
                    let faults = Standing::Document.faults(&entry.path(), self.owner);
                    kind.into_iter().chain(faults).collect()
                }
                None => extra(entry),
            };
            let named = kinds.into_iter();
            named
                .map(|kind| Difference::new(None, path.clone(), kind))
                .collect()
        };
        let entries = entries.par_iter().filter(|_| !self.run.is_stopped());
        Ok(entries.flat_map_iter(one).collect())
    }
}

fn extra(entry: &DirEntry) -> Vec<DifferenceKind> {
    // What is gone by now does not matter.
    let found = entry.metadata().map(|metadata| FileKind::from(&metadata)).ok();
    found
        .map(|found| DifferenceKind::Extra { found })
        .into_iter()
        .collect()
}

fn input(path: &Path, expected: Digest, run: &Run<'_>) -> Option<DifferenceKind> {
    match listing::hash_file(path, &mut |bytes| run.observer.read(bytes)) {
        Ok((found, _)) if found == expected => None,
        Ok((found, _)) => Some(DifferenceKind::Content { expected, found }),
        // Collected as garbage meanwhile.
        Err(error) if error.is_not_found() => None,
        Err(error) => Some(DifferenceKind::unreadable(&error.source)),
    }
}

fn attested(
    store: &Store,
    id: &PackageId,
    known: &HashMap<&PackageId, &PackageRecord>,
) -> Option<DifferenceKind> {
    let reason = match attestations::read(store, id) {
        Ok(kept) => {
            let wrong = |envelope| misstated(store, envelope, id, known);
            let reason = kept.envelopes.iter().find_map(wrong);
            match (reason, attestations::sum_of(store, id)) {
                (Some(reason), _) => reason,
                (None, Ok(sum)) => sum.filter(|sum| !sum.is_right)?.to_string(),
                // Told of with the sum itself.
                (None, Err(_)) => return None,
            }
        }
        Err(KeepError::Io(error)) => return Some(DifferenceKind::unreadable(&error.source)),
        Err(KeepError::Document { source, .. }) => source.to_string(),
        Err(error @ KeepError::Canonical(_)) => error.to_string(),
    };
    Some(DifferenceKind::Document { reason })
}

/// What is wrong with the digests that are kept beside attestations, whatever those are.
fn summed(store: &Store, id: &PackageId) -> Option<DifferenceKind> {
    let error = attestations::sum_of(store, id).err()?;
    Some(match NotRegular::of(&error.source) {
        Some(_) => DifferenceKind::unreadable(&error.source),
        None => DifferenceKind::Document {
            reason: error.source.to_string(),
        },
    })
}

/// What an attestation that is kept for `id` says wrongly: of the package, or of one that was there when it was built.
fn misstated(
    store: &Store,
    envelope: &Envelope,
    id: &PackageId,
    known: &HashMap<&PackageId, &PackageRecord>,
) -> Option<String> {
    let claimed = match attestations::tree_of(envelope, id) {
        Ok(tree) => (id.clone(), tree),
        Err(error) => return Some(error.to_string()),
    };
    let there = match envelope.dependencies() {
        Ok(there) => there,
        Err(error) => return Some(error.to_string()),
    };
    let own = known.get(id)?;
    let needed = needed(own, known);
    for (id, tree) in std::iter::once(claimed).chain(there) {
        match known.get(&id) {
            // It was built again since; what was there then came out of an earlier build.
            Some(record) if record.tree != tree && record.id != own.id && came_out(store, &id, tree) => {}
            Some(record) if record.tree != tree => {
                let here = record.tree;
                return Some(format!(
                    "it says that {id} has the tree digest {tree}, which is {here} here"
                ));
            }
            Some(record) if record.id != own.id && needed.as_ref().is_some_and(|it| !it.contains(&id)) => {
                return Some(format!(
                    "it says that {id} was there, which the recipe does not ask for"
                ));
            }
            _ => {}
        }
    }
    None
}

/// Whether `tree` came out of a build of `id` here; what an unreadable index would say of it is told of by itself.
fn came_out(store: &Store, id: &PackageId, tree: Digest) -> bool {
    let builds = store.index().came_out(id);
    builds.is_ok_and(|builds| builds.iter().any(|build| build.tree == tree))
}

/// All that was there when a package was built; nothing when that cannot be told, since some of it is not in the store.
fn needed<'a>(
    record: &'a PackageRecord,
    known: &HashMap<&PackageId, &'a PackageRecord>,
) -> Option<HashSet<&'a PackageId>> {
    let mut needed = HashSet::new();
    let mut open: Vec<&PackageId> = record.requires.iter().chain(&record.build_requires).collect();
    while let Some(id) = open.pop() {
        if needed.insert(id) {
            open.extend(&known.get(id)?.requires);
        }
    }
    Some(needed)
}

fn logged(path: &Path) -> Option<DifferenceKind> {
    match logs::fault(path) {
        Ok(fault) => fault.map(|fault| DifferenceKind::Document {
            reason: fault.to_string(),
        }),
        // Collected as garbage meanwhile.
        Err(error) if error.is_not_found() => None,
        Err(error) => Some(DifferenceKind::unreadable(&error.source)),
    }
}
