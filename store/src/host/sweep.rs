//! Owns what killed processes leave on a host: how it is named, and its removal by whoever changes the host next.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{CHANNEL, GENERATIONS, PACKAGES, TREES};
/// Held by those who unpack an artifact into the root; theirs is not swept.
pub(super) use crate::artifact::unpacking::LOCK as EXTRACT_LOCK;
use crate::durable::PARTIAL;
use crate::folder;
use crate::io_error::IoError;
use crate::lock::FileLock;
use crate::removal;
use crate::work;

/// How the names of unfinished generations begin.
pub(super) const NEW: &str = ".new-";

/// Removes all of it. The caller has the host's lock.
pub(super) fn sweep(root: &Path) -> Result<(), IoError> {
    let mut left = Vec::new();
    for name in [GENERATIONS, PACKAGES, TREES, ""] {
        // Joined to nothing, a path would end in a slash.
        let folder = if name.is_empty() {
            root.to_owned()
        } else {
            root.join(name)
        };
        left.extend(unfinished(&folder)?);
    }
    // Whoever looks what a channel offers has no lock of the host, but holds what is his.
    for path in unfinished(&root.join(CHANNEL))? {
        work::remove_unheld(&path)?;
    }
    if left.is_empty() {
        return Ok(());
    }
    // Someone unpacking here at this moment is still at work on what he has not finished.
    let Some(_lock) = FileLock::attempt(&root.join(EXTRACT_LOCK))? else {
        return Ok(());
    };
    left.iter().try_for_each(|path| removal::remove(path))
}

/// Takes the right to unpack packages into `root`, of which the caller has the host's lock; nothing when another has it.
pub(super) fn unpacking(root: &Path) -> Result<Option<FileLock>, IoError> {
    let lock = FileLock::attempt(&root.join(EXTRACT_LOCK))?;
    if lock.is_some() {
        // While another had it, what he left when he was killed could not be swept.
        let left = unfinished(&root.join(PACKAGES))?;
        left.iter().try_for_each(|path| removal::remove(path))?;
    }
    Ok(lock)
}

/// What in `folder` has the name of something that is not finished.
fn unfinished(folder: &Path) -> Result<Vec<PathBuf>, IoError> {
    let entries = folder::entries_if_there(folder)?.into_iter();
    let found = entries.filter(|entry| is_unfinished(&entry.file_name()));
    Ok(found.map(|entry| entry.path()).collect())
}

/// Whether that is the name of something that is not finished.
pub(super) fn is_unfinished(name: &OsStr) -> bool {
    let begins = |start: &str| name.as_encoded_bytes().starts_with(start.as_bytes());
    begins(PARTIAL) || begins(NEW)
}
