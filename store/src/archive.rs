//! Owns the package archive: one package as a deterministic tar in zstd frames of its own, made once and kept.
//!
//! `archives/<tree digest>.tar.zst` holds the tar entries that [`plan::Plan`] lists, each as [`tar_format`] spells it,
//! without the blocks that end a tar, so that archives can be concatenated. That stream is cut every 4 MiB
//! ([`frames::CHUNK`](crate::seekable::frames::CHUNK)), and each piece is a zstd frame of its own: level 3, content
//! size and checksum stated, no dictionary. The bytes depend on the package's store ID, its listing, the
//! `source_date_epoch` and libzstd's version, and on nothing else.

pub mod check;
mod making;
pub mod plan;
pub mod press;
pub mod record;
pub mod source;
pub mod tar_format;

use std::collections::BTreeMap;
use std::io;
use std::thread;

use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::{Listing, ListingError};

use crate::io_error::IoError;
use crate::regular;
use crate::store::Store;
use plan::PlanError;
use press::Threads;
use record::{Record, Request};
use source::SourceError;

/// Why archives could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store could not be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A package is not what its listing says, or could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The listing's file is damaged.
    #[error("the listing of {package} is damaged: {source}; `store index rebuild` writes it anew")]
    Listing {
        /// The package.
        package: PackageId,
        /// What is wrong with it.
        source: ListingError,
    },
    /// The listing's file holds other bytes than its name says.
    #[error("the listing of {package} has the digest {found} instead of {expected}")]
    ListingDigest {
        /// The package.
        package: PackageId,
        /// The tree digest.
        expected: Digest,
        /// The digest of what is there.
        found: Digest,
    },
    /// The listing describes what no folder can hold.
    #[error("{package}: {source}")]
    Plan {
        /// The package.
        package: PackageId,
        /// What is impossible about it.
        source: PlanError,
    },
    /// Two packages have one tree, and with it one place for their archives.
    #[error("{0} and {1} have the same tree digest; their archives cannot both be kept")]
    SameTree(PackageId, PackageId),
    /// zstd failed.
    #[error("cannot compress: {0}")]
    Compress(#[from] io::Error),
}

/// An archive that is there.
#[derive(Debug, Clone)]
pub struct Archive {
    /// What it is.
    pub record: Record,
    /// How it came to be there.
    pub origin: Origin,
}

/// How an archive came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was there before; its bytes were not looked at.
    Reused,
    /// It was made just now.
    Made,
}

/// Hears which archives are made.
pub trait Observer: Sync {
    /// So many packages' archives have to be made, with so many bytes in their files. May be told again, when one that
    /// was kept turns out to be damaged.
    fn begin(&self, packages: usize, bytes: u64);
    /// So many more uncompressed bytes of package archives are compressed.
    fn compressed(&self, bytes: u64);
    /// The archive of this package is made and kept.
    fn archived(&self, record: &Record);
}

/// An observer of nothing.
impl Observer for () {
    fn begin(&self, _: usize, _: u64) {}
    fn compressed(&self, _: u64) {}
    fn archived(&self, _: &Record) {}
}

/// Reads the listing of a package and checks that it is the one the tree digest names.
///
/// # Errors
/// [`ArchiveError::Io`], [`ArchiveError::Listing`] or [`ArchiveError::ListingDigest`].
pub fn read_listing(store: &Store, request: &Request) -> Result<Listing, ArchiveError> {
    let bytes = read_listing_bytes(store, request)?;
    Listing::parse(&bytes).map_err(|source| ArchiveError::Listing {
        package: request.id.clone(),
        source,
    })
}

/// The bytes of a package's listing, checked against the tree digest but not parsed.
///
/// # Errors
/// [`ArchiveError::Io`] or [`ArchiveError::ListingDigest`].
pub fn read_listing_bytes(store: &Store, request: &Request) -> Result<Vec<u8>, ArchiveError> {
    let path = store.tree_path(&request.tree);
    let bytes = regular::read(&path)?;
    match Digest::of(&bytes) {
        found if found == request.tree => Ok(bytes),
        found => Err(ArchiveError::ListingDigest {
            package: request.id.clone(),
            expected: request.tree,
            found,
        }),
    }
}

/// Makes the archives that are not there yet, and returns all, in the order of `requests`.
///
/// # Errors
/// See [`ArchiveError`]; archives finished by then are kept.
pub fn ensure(
    store: &Store,
    requests: &[Request],
    threads: Threads,
    observer: &dyn Observer,
) -> Result<Vec<Archive>, ArchiveError> {
    ensure_and(store, requests, threads, observer, |archives| {
        Ok(archives.to_vec())
    })
}

/// Makes the archives that are not there yet, and calls `then` with all, in the order of `requests`. All can be read by
/// then, while those that were made are still becoming durable; they are when this returns.
///
/// # Errors
/// See [`ArchiveError`], or that of `then`; archives finished by then are kept.
pub fn ensure_and<T, E: From<ArchiveError>>(
    store: &Store,
    requests: &[Request],
    threads: Threads,
    observer: &dyn Observer,
    then: impl FnOnce(&[Archive]) -> Result<T, E>,
) -> Result<T, E> {
    check_trees(requests)?;
    let kept: Vec<Option<Record>> = requests
        .iter()
        .map(|request| Record::load(store, request))
        .collect();
    let absent = |(request, record)| Option::is_none(record).then_some(request);
    let missing: Vec<&Request> = requests.iter().zip(&kept).filter_map(absent).collect();
    let sizes = missing.iter().map(|request| request.size);
    observer.begin(missing.len(), sizes.fold(0, u64::saturating_add));
    if missing.is_empty() {
        return then(&put_together(kept, Vec::new()));
    }
    let staging = store.work_area("archive").map_err(ArchiveError::from)?;
    let (making, settling) = making::begin(store, &missing, staging.path());
    thread::scope(|scope| {
        let settler = scope.spawn(|| settling.run(staging.path(), observer));
        // The settler ends when this has ended and all that it made is settled.
        let made = making.run(threads, observer).map_err(E::from);
        let result = made.and_then(|made| then(&put_together(kept, made)));
        let settled = settler
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let result = result?;
        settled.map_err(ArchiveError::from)?;
        Ok(result)
    })
}

fn check_trees(requests: &[Request]) -> Result<(), ArchiveError> {
    let mut by_tree: BTreeMap<Digest, &Request> = BTreeMap::new();
    for request in requests {
        if let Some(other) = by_tree.insert(request.tree, request) {
            return Err(ArchiveError::SameTree(other.id.clone(), request.id.clone()));
        }
    }
    Ok(())
}

/// Fills the gaps in `kept` with `made`, which are in the order of the gaps.
fn put_together(kept: Vec<Option<Record>>, made: Vec<Record>) -> Vec<Archive> {
    let mut made = made.into_iter();
    let archive = |record, origin| Archive { record, origin };
    kept.into_iter()
        .filter_map(|kept| match kept {
            Some(record) => Some(archive(record, Origin::Reused)),
            None => Some(archive(made.next()?, Origin::Made)),
        })
        .collect()
}
