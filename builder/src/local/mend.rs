//! Owns building a damaged package again, aside, and putting it in the place of what is there if it is the same package.

use std::time::Instant;

use schema::digest::Digest;
use schema::listing::Listing;
use store::index::Outcome;
use store::listing::{self, Listed};
use store::lock::PackageLock;
use store::regular;
use store::repair;

use super::{LocalExecutor, untaken};
use crate::executor::{Done, Made, StepError};
use crate::folders::Folders;
use crate::job_log::JobLog;
use crate::reproduce::{DifferingPath, differing, named};
use crate::vary::conditions::Conditions;
use crate::workshop::ResolvedPackage;

/// A damaged package is not reproducible, so that nothing built can be put in its place.
#[derive(Debug, thiserror::Error)]
#[error(
    "building it again gives other content than the index records, {built} instead of {recorded}{}; what is there was \
     left as it is, and `--from` or `--cache` names an artifact or a cache that has it as it was",
    self.told()
)]
pub struct OtherContent {
    /// The listing that the index records.
    pub recorded: Digest,
    /// The listing of what was built.
    pub built: Digest,
    /// In what they differ, as far as the recorded listing is there to tell.
    pub paths: Vec<DifferingPath>,
}

impl OtherContent {
    fn told(&self) -> String {
        match self.paths.is_empty() {
            true => String::new(),
            false => format!(" ({})", named(&self.paths)),
        }
    }
}

impl LocalExecutor<'_> {
    /// Builds the package that `lock` is for. What is there stays as it is until the new one is whole, and for good
    /// where that is another.
    pub(super) fn mend(
        &self,
        package: &ResolvedPackage,
        folders: &Folders,
        lock: &PackageLock,
        log: &mut JobLog,
    ) -> Result<Done, StepError> {
        let begun = Instant::now();
        self.make(package, folders, Conditions::USUAL, log)?;
        let took = begun.elapsed();
        let built = listing::of(&folders.output).map_err(untaken)?;
        let record = self.store.index().package(&package.id).map_err(untaken)?;
        // Of what has no row, nobody knows what it should be but its recipe.
        if let Some(record) = record
            && record.tree != built.tree
            && !self.is_what_lies_there(package, &built)
        {
            return Err(untaken(self.other_content(record.tree, &built)));
        }
        self.keep_inputs(package, folders);
        repair::replace(self.store, lock, &folders.output, &built.tree).map_err(untaken)?;
        // Like a log, it is no reason to lose the package.
        let attempt = self.attempt(took, Outcome::Succeeded);
        let _ = self.store.index().record_attempt(&package.id, &attempt);
        Ok(Done::Built(Made {
            tree: built.tree,
            size: built.listing.size(),
            took,
        }))
    }

    /// Whether the folder has the very content that was built, so that it is the index that is damaged.
    fn is_what_lies_there(&self, package: &ResolvedPackage, built: &Listed) -> bool {
        listing::of(&self.store.package_path(&package.id)).is_ok_and(|there| there.tree == built.tree)
    }

    fn other_content(&self, recorded: Digest, built: &Listed) -> OtherContent {
        let listing = regular::read(&self.store.tree_path(&recorded)).ok();
        let sound = listing.filter(|bytes| Digest::of(bytes) == recorded);
        let listing = sound.and_then(|bytes| Listing::parse(&bytes).ok());
        OtherContent {
            recorded,
            built: built.tree,
            paths: listing.map_or_else(Vec::new, |listing| differing(&listing, &built.listing)),
        }
    }
}
