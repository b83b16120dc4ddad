//! Owns what packages were built from, kept by digest for as long as a person may ask why they were built again.
//!
//! Resolved recipes and the files they name lie side by side in `recipes/`, each under the BLAKE3 of its bytes; that of a
//! resolved recipe stands in the store ID. They are never waited for: one that a power cut tore is as good as absent, and
//! is named by `store verify`.

use std::fs;
use std::path::PathBuf;

use schema::digest::Digest;
use schema::id::PackageId;
use schema::resolved::ResolvedRecipe;

use crate::facts::RESOLVED_RECIPE;
use crate::io_error::{IoContext, IoError};
use crate::publish;
use crate::regular;
use crate::removal;
use crate::store::{RECIPES, Store};

/// Keeps `bytes`, unless they are kept already.
///
/// # Errors
/// When they cannot be written.
pub fn keep(store: &Store, bytes: &[u8]) -> Result<(), IoError> {
    let digest = Digest::of(bytes);
    let path = store.recipes_path(&digest);
    if read(store, &digest)?.is_some() {
        return Ok(());
    }
    let aside = store.fresh_path()?;
    let written = fs::write(&aside, bytes).at("write", &aside);
    let kept = written.and_then(|()| publish::replacing(&aside, &path));
    if kept.is_err() {
        // On a full disk every byte counts.
        let _ = fs::remove_file(&aside);
    }
    kept
}

/// What was kept under `digest`, if its bytes are still right.
///
/// # Errors
/// When it is there but cannot be read.
pub fn read(store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>, IoError> {
    checked(store.recipes_path(digest), digest)
}

/// Removes what is kept at `path`, relative to the store, to be kept again when it is built from; says whether anything
/// can be kept there.
///
/// # Errors
/// When it cannot be removed.
pub fn forget(store: &Store, path: &str) -> Result<bool, IoError> {
    let is_one = digest_at(path).is_some();
    if is_one {
        removal::remove(&store.root().join(path))?;
    }
    Ok(is_one)
}

/// The digest of what is kept at `path`, relative to the store.
pub(crate) fn digest_at(path: &str) -> Option<Digest> {
    let name = path.strip_prefix(RECIPES)?.strip_prefix('/')?;
    name.parse().ok()
}

/// The resolved recipe of a package, if it was built here or is here.
///
/// # Errors
/// When it is there but cannot be read.
pub fn resolved(store: &Store, id: &PackageId) -> Result<Option<ResolvedRecipe>, IoError> {
    let bytes = match read(store, id.digest())? {
        Some(bytes) => Some(bytes),
        // A package from elsewhere brings its own.
        None => checked(store.package_path(id).join(RESOLVED_RECIPE), id.digest())?,
    };
    // What has the right digest but is no such document was written by another version of this program.
    Ok(bytes.and_then(|bytes| ResolvedRecipe::parse(&bytes).ok()))
}

fn checked(path: PathBuf, digest: &Digest) -> Result<Option<Vec<u8>>, IoError> {
    let read = regular::read_if_there(&path)?;
    Ok(read.filter(|bytes| Digest::of(bytes) == *digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::TestStore;

    #[test]
    fn what_is_kept_comes_back_and_what_was_changed_since_does_not() {
        let test = TestStore::new();
        let store = &test.store;
        let digest = Digest::of(b"make\n");
        assert_eq!(read(store, &digest).unwrap(), None);
        keep(store, b"make\n").unwrap();
        keep(store, b"make\n").unwrap();
        assert_eq!(read(store, &digest).unwrap().as_deref(), Some(&b"make\n"[..]));
        let torn = store.fresh_path().unwrap();
        fs::write(&torn, b"ma").unwrap();
        publish::replacing(&torn, &store.recipes_path(&digest)).unwrap();
        assert_eq!(read(store, &digest).unwrap(), None);
        keep(store, b"make\n").unwrap();
        assert!(read(store, &digest).unwrap().is_some());
    }
}
