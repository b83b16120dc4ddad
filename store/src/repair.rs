//! Owns what can be done about a damaged package: its listing is made again, or it is given up to be built again.

use nix::errno::Errno;
use schema::id::PackageId;

use crate::index::IndexError;
use crate::io_error::IoError;
use crate::listing::{self, ListError};
use crate::lock::PackageLock;
use crate::publish::{self, PublishError};
use crate::removal;
use crate::store::Store;

/// What became of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repaired {
    /// Only its listing was damaged, and is whole again.
    Listing,
    /// It counts as absent from now on. Its folder is replaced when it is built again.
    GivenUp,
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
    /// There is no such package.
    #[error("{0} is not in the store")]
    Absent(PackageId),
}

/// Repairs the package that `lock` is for, in which [`crate::verify`] found differences, or gives it up.
///
/// # Errors
/// See [`RepairError`].
pub fn package(store: &Store, lock: &PackageLock) -> Result<Repaired, RepairError> {
    let id = lock.id();
    let record = store.index().package(id)?;
    let record = record.ok_or_else(|| RepairError::Absent(id.clone()))?;
    match listing::of(&store.package_path(id)) {
        Ok(listed) if listed.tree == record.tree => {
            publish::write_listing(store, &listed.bytes, &store.tree_path(&listed.tree))?;
        }
        Err(ListError::Io(error)) if is_beyond_reading(&error) => {
            store.index().forget(std::slice::from_ref(id))?;
            removal::remove(&publish::set_aside(store, &store.package_path(id))?)?;
            return Ok(Repaired::GivenUp);
        }
        Err(ListError::Io(error)) if !error.is_not_found() => return Err(error.into()),
        Ok(_) | Err(_) => {}
    }
    // Without a row, the folder is taken up again only if all of it is right.
    store.index().forget(std::slice::from_ref(id))?;
    match store.is_present(lock)? {
        true => Ok(Repaired::Listing),
        false => Ok(Repaired::GivenUp),
    }
}

/// Whether the disk or its file system, rather than a passing shortage, refused. Then looking again does not help.
fn is_beyond_reading(error: &IoError) -> bool {
    let errno = error.source.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EIO | Errno::EUCLEAN | Errno::EBADMSG))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Sketch, TestStore};
    use crate::verify::{self, Run, Selection};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_listing_is_made_again_and_a_changed_package_given_up() {
        let test = TestStore::new();
        let store = &test.store;
        let id = test.add(&Sketch::new("zlib"));
        let tree = store.index().package(&id).unwrap().unwrap().tree;
        fs::remove_file(store.tree_path(&tree)).unwrap();
        let lock = store.lock_package(&id).unwrap();
        assert_eq!(package(store, &lock).unwrap(), Repaired::Listing);
        assert_eq!(
            verify::store(store, Selection::All, &Run::new(&()))
                .unwrap()
                .differences,
            []
        );

        let tool = store.package_path(&id).join("bin/tool");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(package(store, &lock).unwrap(), Repaired::GivenUp);
        assert!(!store.is_present(&lock).unwrap());
        assert!(matches!(package(store, &lock), Err(RepairError::Absent(_))));
    }
}
