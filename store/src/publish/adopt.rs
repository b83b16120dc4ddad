//! Owns the registration of package folders that are whole but unknown to the index, and the proof that they are whole.

use std::collections::HashSet;

use rayon::prelude::*;
use schema::id::PackageId;

use super::{PublishError, check_normal, epoch, seal};
use crate::durable;
use crate::facts;
use crate::index::Registration;
use crate::listing;
use crate::lock::PackageLock;
use crate::regular;
use crate::store::{Layout, Store};
use crate::tree;

/// Registers those of `ids` whose folders are whole and which nobody is at work on, and says which they are.
///
/// # Errors
/// When folders or index cannot be read or written.
pub(crate) fn adopt(store: &Store, ids: &[PackageId]) -> Result<HashSet<PackageId>, PublishError> {
    let mut locks = Vec::new();
    for id in ids {
        locks.extend(store.try_lock_package(id)?);
    }
    adopt_all(store, &locks)
}

/// Registers the folder of the package that `lock` is for, if it is whole; says whether it did.
///
/// # Errors
/// When folder or index cannot be read or written.
pub(crate) fn adopt_locked(store: &Store, lock: &PackageLock) -> Result<bool, PublishError> {
    Ok(!adopt_all(store, std::slice::from_ref(lock))?.is_empty())
}

fn adopt_all(store: &Store, locks: &[PackageLock]) -> Result<HashSet<PackageId>, PublishError> {
    if locks.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<PackageId> = locks.iter().map(|lock| lock.id().clone()).collect();
    store.protect(&ids)?;
    let found: Vec<Option<Registration>> = ids
        .par_iter()
        .map(|id| whole(store, id))
        .collect::<Result<_, _>>()?;
    let found: Vec<Registration> = found.into_iter().flatten().collect();
    if !found.is_empty() {
        durable::sync_file_system(store.root())?;
        store.index().register(&found)?;
    }
    Ok(found.into_iter().map(|registration| registration.id).collect())
}

/// What there is to register of the folder of `id`; nothing when it is not whole.
pub(super) fn whole(store: &Store, id: &PackageId) -> Result<Option<Registration>, PublishError> {
    match examine(store.layout(), id) {
        Ok(registration) => Ok(Some(registration)),
        Err(error) if error.is_about_content() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What there is to register of the folder of `id`, or why it is not whole.
pub(crate) fn examine(layout: &Layout, id: &PackageId) -> Result<Registration, PublishError> {
    let (registration, epoch) = look_at(layout, id)?;
    // A kill may have come between the rename and this.
    seal(&layout.packages().join(id.to_string()), epoch)?;
    Ok(registration)
}

/// As [`examine`], for whoever may not write; gives the time of everything in the folder, too.
pub(crate) fn look_at(layout: &Layout, id: &PackageId) -> Result<(Registration, i64), PublishError> {
    let folder = layout.packages().join(id.to_string());
    let recipe = facts::read(&folder, id)?;
    let walk = tree::walk(&folder)?;
    check_normal(&folder, &walk, &recipe)?;
    let listed = listing::of_walk(&folder, walk)?;
    // The listing was written before the folder was placed, so a torn folder hashes to one that is not there.
    match regular::read(&layout.tree(&listed.tree)) {
        Ok(bytes) if bytes == listed.bytes => {}
        _ => return Err(PublishError::NotListed(folder)),
    }
    let epoch = epoch(&recipe);
    let registration = facts::registration(recipe, id.clone(), listed.tree, listed.listing.size());
    Ok((registration, epoch))
}
