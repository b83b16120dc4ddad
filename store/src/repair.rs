//! Owns what can be done about a damaged package of a store: what follows from its folder is made again, or the folder is
//! replaced by a sound one.
//!
//! No file is ever written into: another name of it may be in use elsewhere, and programs may be running from it. What is
//! replaced keeps its row in the index, so a kill at any point leaves a store of which a verification finds the rest.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use schema::digest::Digest;

use crate::durable;
use crate::exchange::exchange;
use crate::facts;
use crate::index::{IndexError, Registration};
use crate::io_error::IoError;
use crate::listing::{self, ListError};
use crate::lock::PackageLock;
use crate::publish::{self, PublishError};
use crate::removal;
use crate::store::Store;
use crate::tree;
use crate::verify::{self, Run, Subject};

mod standing;

pub use standing::stand_again;

/// What became of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repaired {
    /// Only what is written about it was damaged, and is as it should be again: its listing, its row in the index.
    Records,
    /// Its folder is not what it should be.
    Damaged,
}

/// Why nothing could be done.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The index refused something.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The package could not be looked at.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Makes again what is written about the package that `lock` is for, in which [`crate::verify`] found differences, if its
/// folder is what it should be.
///
/// # Errors
/// See [`RepairError`].
pub fn records(store: &Store, lock: &PackageLock) -> Result<Repaired, RepairError> {
    let id = lock.id();
    let Some(record) = store.index().package(id)? else {
        return Ok(match publish::adopt_locked(store, lock)? {
            true => Repaired::Records,
            false => Repaired::Damaged,
        });
    };
    let folder = store.package_path(id);
    let listed = match listing::of(&folder) {
        Ok(listed) if listed.tree == record.tree => listed,
        Err(ListError::Io(error)) if is_passing(&error) => {
            return Err(error.into());
        }
        Ok(_) | Err(_) => return Ok(Repaired::Damaged),
    };
    publish::write_listing(store, &listed.bytes, &store.tree_path(&listed.tree))?;
    let subject = Subject {
        folder,
        id: id.clone(),
        tree: record.tree,
        listing: store.tree_path(&record.tree),
        owner: verify::owner_of(store.root()).ok(),
    };
    let findings = verify::package(&subject, &Run::new(&()));
    match findings.stated {
        Some(stated) if findings.differences.is_empty() => {
            durable::sync_file_system(store.root())?;
            register(store, stated.registration)?;
            Ok(Repaired::Records)
        }
        _ => Ok(Repaired::Damaged),
    }
}

/// Puts the normalised folder `staged`, which lies on the store's file system and must have the listing of digest `tree`,
/// in the place of the package that `lock` is for, and registers it. What was there is removed; whoever has files of it
/// open keeps them, and another name of such a file stays what it is.
///
/// # Errors
/// When `staged` is something else, or the system refuses something.
pub fn replace(store: &Store, lock: &PackageLock, staged: &Path, tree: &Digest) -> Result<(), PublishError> {
    let id = lock.id();
    let target = store.package_path(id);
    store.protect(std::slice::from_ref(id))?;
    let recipe = facts::read(staged, id)?;
    let walk = tree::walk(staged)?;
    publish::check_normal(staged, &walk, &recipe)?;
    let listed = listing::of_walk(staged, walk)?;
    if listed.tree != *tree {
        return Err(PublishError::NotListed(staged.to_owned()));
    }
    publish::write_listing(store, &listed.bytes, &store.tree_path(tree))?;
    // Who is not root can move a folder to another parent only while it is writable.
    publish::set_mode(staged, 0o755)?;
    match fs::symlink_metadata(&target) {
        Ok(metadata) if metadata.is_dir() => publish::set_mode(&target, 0o755)?,
        _ => {}
    }
    durable::sync_file_system(store.root())?;
    exchange(staged, &target, &store.fresh_path()?)?;
    publish::seal(&target, publish::epoch(&recipe))?;
    durable::sync_file_system(store.root())?;
    register(
        store,
        facts::registration(recipe, id.clone(), listed.tree, listed.listing.size()),
    )?;
    Ok(removal::remove(staged)?)
}

/// Writes the row anew, with all that hangs on it.
fn register(store: &Store, registration: Registration) -> Result<(), IndexError> {
    store.index().register(&[registration])
}

/// Whether the system refused for want of something that it may have again, so that it says nothing about the package.
fn is_passing(error: &IoError) -> bool {
    let errno = error.source.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EINTR | Errno::EAGAIN)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Sketch, TestStore};
    use crate::verify::Selection;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn sound(store: &Store) {
        let report = verify::store(store, Selection::All, &Run::new(&())).unwrap();
        assert_eq!(report.differences, []);
    }

    #[test]
    fn what_follows_from_a_whole_folder_is_made_again() {
        let test = TestStore::new();
        let store = &test.store;
        let id = test.add(&Sketch::new("zlib"));
        let tree = store.index().package(&id).unwrap().unwrap().tree;
        fs::remove_file(store.tree_path(&tree)).unwrap();
        let other = rusqlite::Connection::open(store.index().path()).unwrap();
        other.execute_batch("UPDATE packages SET version = 'x'").unwrap();
        let lock = store.lock_package(&id).unwrap();
        assert_eq!(records(store, &lock).unwrap(), Repaired::Records);
        sound(store);
    }

    #[test]
    fn a_damaged_folder_is_replaced_and_nothing_that_shares_its_files_changes() {
        let test = TestStore::new();
        let store = &test.store;
        let sketch = Sketch::new("zlib");
        let id = test.add(&sketch);
        let tree = store.index().package(&id).unwrap().unwrap().tree;
        let tool = store.package_path(&id).join("bin/tool");
        let elsewhere = store.root().join("tmp/kept/elsewhere");
        fs::hard_link(&tool, &elsewhere).unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(&tool, 0o755);
        fs::write(&tool, "evil").unwrap();
        let inode = fs::metadata(&elsewhere).unwrap().ino();
        let lock = store.lock_package(&id).unwrap();
        assert_eq!(records(store, &lock).unwrap(), Repaired::Damaged);

        let area = store.work_area("test").unwrap();
        let staged = area.path().join("package");
        sketch.stage(&staged);
        let wrong = replace(store, &lock, &staged, &Digest::of(b"other"));
        assert!(matches!(wrong, Err(PublishError::NotListed(_))), "{wrong:?}");
        replace(store, &lock, &staged, &tree).unwrap();
        assert_eq!(fs::read(&tool).unwrap(), b"zlib");
        assert_eq!(fs::read(&elsewhere).unwrap(), b"evil");
        assert_eq!(fs::metadata(&elsewhere).unwrap().ino(), inode);
        assert!(!staged.exists());
        sound(store);
    }
}
