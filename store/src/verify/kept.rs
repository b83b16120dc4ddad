//! Owns the verification of what a store keeps to explain and to prove: what builds were made from, what they printed, and
//! attestations.

use std::fs::{self, DirEntry};
use std::path::Path;

use rayon::prelude::*;
use schema::digest::Digest;
use schema::id::PackageId;

use super::{Difference, DifferenceKind, FileKind, Run};
use crate::attestations::{self, KeepError};
use crate::io_error::{IoContext, IoError};
use crate::store::{ATTESTATIONS, LOGS, RECIPES, Store};
use crate::{listing, logs, recipes};

/// What is wrong with the kept inputs of builds: each is held against the digest that its name is.
pub(super) fn inputs(store: &Store, run: &Run<'_>) -> Result<Vec<Difference>, IoError> {
    let look = |path: &str| Some(input(&store.root().join(path), recipes::digest_at(path)?, run));
    each(store.root(), RECIPES, run, look)
}

/// What is wrong with the kept attestations, as far as it shows without the keys of those who made them.
pub(super) fn attestations(store: &Store, run: &Run<'_>) -> Result<Vec<Difference>, IoError> {
    let look = |path: &str| Some(attested(store, &attestations::id_at(path)?));
    each(store.root(), ATTESTATIONS, run, look)
}

/// What is wrong with the logs of builds, by their own checksums.
pub(super) fn logs(store: &Store, run: &Run<'_>) -> Result<Vec<Difference>, IoError> {
    let look = |path: &str| {
        logs::id_at(path)?;
        Some(logged(&store.root().join(path)))
    };
    each(store.root(), LOGS, run, look)
}

/// What `look` finds at each path of a folder, relative to the store; of what does not belong there it gives nothing at
/// all.
fn each(
    root: &Path,
    folder: &str,
    run: &Run<'_>,
    look: impl Fn(&str) -> Option<Option<DifferenceKind>> + Sync,
) -> Result<Vec<Difference>, IoError> {
    let within = root.join(folder);
    let entries: Result<Vec<DirEntry>, _> = fs::read_dir(&within).and_then(Iterator::collect);
    let entries = entries.at("read folder", &within)?;
    let one = |entry: &DirEntry| {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        let kind = look(&path).unwrap_or_else(|| {
            let found = FileKind::from(&entry.metadata().ok()?);
            Some(DifferenceKind::Extra { found })
        })?;
        Some(Difference::new(None, path, kind))
    };
    let entries = entries.par_iter().filter(|_| !run.is_stopped());
    Ok(entries.filter_map(one).collect())
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

fn attested(store: &Store, id: &PackageId) -> Option<DifferenceKind> {
    let reason = match attestations::read(store, id) {
        Ok(kept) => kept
            .envelopes
            .iter()
            .find_map(|envelope| match envelope.claim() {
                Ok(claim) if claim.package() == Some(id) => None,
                Ok(claim) => Some(match claim.package() {
                    Some(other) => format!("it is about {other}"),
                    None => "it is about the program".to_owned(),
                }),
                Err(error) => Some(error.to_string()),
            })?,
        Err(KeepError::Io(error)) => return Some(DifferenceKind::unreadable(&error.source)),
        Err(KeepError::Document { source, .. }) => source.to_string(),
        Err(error @ KeepError::Canonical(_)) => error.to_string(),
    };
    Some(DifferenceKind::Document { reason })
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
