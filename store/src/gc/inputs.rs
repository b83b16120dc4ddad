//! Owns which inputs of builds are worth keeping: resolved recipes, and the files that they name.

use std::collections::{BTreeMap, HashSet};

use schema::digest::Digest;
use schema::id::PackageId;
use schema::name::PackageName;
use schema::recipe::FileContent;

use super::GcError;
use crate::recipes;
use crate::store::Store;

/// Of so many last builds of each name the inputs are kept, whether the packages are there or not: the last one and the
/// one before, which is what it is compared with.
const BUILDS_KEPT: usize = 2;

/// The digests of what `packages` and the last builds of each name were built from.
pub(super) fn worth_keeping(
    store: &Store,
    packages: &HashSet<PackageId>,
) -> Result<HashSet<Digest>, GcError> {
    let builds = store.index().last_builds()?;
    let mut of_name: BTreeMap<&PackageName, usize> = BTreeMap::new();
    let last = builds.iter().map(|built| &built.id).filter(|id| {
        let count = of_name.entry(id.name()).or_default();
        *count += 1;
        *count <= BUILDS_KEPT
    });
    let mut kept = HashSet::new();
    for id in last.chain(packages) {
        if !kept.insert(*id.digest()) {
            continue;
        }
        let files = recipes::resolved(store, id)?.map(|recipe| recipe.files);
        kept.extend(files.into_iter().flatten().filter_map(|file| match file.content {
            FileContent::File { blake3, .. } => Some(blake3),
            FileContent::Symlink { .. } => None,
        }));
    }
    Ok(kept)
}
