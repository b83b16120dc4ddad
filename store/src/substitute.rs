//! Owns taking a package from its archive instead of building it: unpacked strictly, then published like any other.

use std::path::PathBuf;

use schema::cache::CacheEntry;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::{Listing, ListingError};
use schema::manifest::SelectedPackage;

use crate::archive::plan::{Plan, PlanError};
use crate::artifact::difference::Part;
use crate::artifact::reader::Reader;
use crate::artifact::unpacking::{self, Announced};
use crate::artifact::verify::Observer;
use crate::io_error::IoError;
use crate::lock::PackageLock;
use crate::publish::{self, Placed, PublishError};
use crate::repair;
use crate::seekable::Frame;
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::{FrameStream, Unpacker};
use crate::store::Store;
use crate::work::WorkArea;

pub use crate::artifact::unpacking::UnpackError;

/// Why an archive is no substitute. Nothing of it is visible.
#[derive(Debug, thiserror::Error)]
pub enum SubstituteError {
    /// The listing is not the one that the entry names.
    #[error("the listing has the digest {found} instead of {expected}")]
    ListingDigest {
        /// As the entry says.
        expected: Digest,
        /// As it is.
        found: Digest,
    },
    /// The listing is none.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// The listing describes what no folder can hold.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The listing's files are longer or shorter than the entry says.
    #[error("the listing's files have {found} bytes, the entry says {expected}")]
    Size {
        /// As the entry says.
        expected: u64,
        /// As listed.
        found: u64,
    },
    /// The archive is damaged or cannot be read, or the disk refused something.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// zstd has no memory.
    #[error("cannot unpack: {0}")]
    Zstd(#[source] std::io::Error),
    /// What was unpacked cannot be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl From<IoError> for SubstituteError {
    fn from(error: IoError) -> Self {
        Self::Unpack(error.into())
    }
}

impl SubstituteError {
    /// Whether this machine is to blame, so that no other cache could help.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Zstd(_) | Self::Unpack(UnpackError::Io(_)) => true,
            Self::Publish(error) => error.is_disk_full() || matches!(error, PublishError::Index(_)),
            _ => false,
        }
    }
}

/// A package that is unpacked into a corner of the store. Removed when dropped before it is placed.
#[derive(Debug)]
pub struct Unpacked {
    id: PackageId,
    folder: PathBuf,
    _area: WorkArea,
}

/// Unpacks the archive that `entry` announces, whose listing has the bytes `listing`, from `medium`.
///
/// # Errors
/// See [`SubstituteError`].
pub fn unpack<R: ByteRanges>(
    store: &Store,
    entry: &CacheEntry,
    listing: &[u8],
    medium: &R,
    observer: &dyn Observer,
) -> Result<Unpacked, SubstituteError> {
    let found = Digest::of(listing);
    if found != entry.tree {
        let expected = entry.tree;
        return Err(SubstituteError::ListingDigest { expected, found });
    }
    let listing = Listing::parse(listing)?;
    if listing.size() != entry.size {
        return Err(SubstituteError::Size {
            expected: entry.size,
            found: listing.size(),
        });
    }
    let plan = Plan::new(&entry.id, listing, entry.source_date_epoch)?;
    let lengths = entry.archive.frames.iter();
    let frames: Vec<Frame> = lengths
        .map(|(compressed, decompressed)| Frame {
            compressed: *compressed,
            decompressed: *decompressed,
        })
        .collect();
    let area = store.work_area(&format!("substitute-{}", entry.id))?;
    let folder = area.path().join("package");
    let mut unpacker = Unpacker::new().map_err(SubstituteError::Zstd)?;
    let announced = Announced {
        id: &entry.id,
        plan: &plan,
        mtime: entry.source_date_epoch,
        blake3: entry.archive.blake3,
    };
    let stream = FrameStream::new(medium, &frames, 0, &mut unpacker);
    unpacking::folder(&announced, stream, &folder, observer)?;
    Ok(Unpacked {
        id: entry.id.clone(),
        folder,
        _area: area,
    })
}

/// Unpacks a package of an artifact.
///
/// # Errors
/// See [`SubstituteError`].
pub fn unpack_part<R: ByteRanges>(
    store: &Store,
    reader: &Reader<R>,
    package: &SelectedPackage,
    observer: &dyn Observer,
) -> Result<Unpacked, SubstituteError> {
    let mut unpacker = Unpacker::new().map_err(SubstituteError::Zstd)?;
    let (_, plan) = reader.plan(package, &mut unpacker).map_err(UnpackError::from)?;
    let area = store.work_area(&format!("substitute-{}", package.id))?;
    let folder = area.path().join("package");
    let announced = Announced {
        id: &package.id,
        plan: &plan,
        mtime: reader.manifest().source_date_epoch,
        blake3: package.archive.blake3,
    };
    let part = Part::Package(package.id.clone());
    let stream = reader
        .stream(part, package.archive, &mut unpacker)
        .map_err(UnpackError::from)?;
    unpacking::folder(&announced, stream, &folder, observer)?;
    Ok(Unpacked {
        id: package.id.clone(),
        folder,
        _area: area,
    })
}

impl Unpacked {
    /// Makes it a package of the store, to be registered once what it requires is.
    ///
    /// # Errors
    /// When it is another package than its ID says, or cannot be placed.
    pub fn place(self, store: &Store, lock: PackageLock) -> Result<Placed, SubstituteError> {
        Ok(publish::place(store, &self.folder, lock)?)
    }

    /// Puts it in the place of a damaged package of the store, or of none, as [`repair::replace`] does.
    ///
    /// # Errors
    /// When it is another package than `tree`, the digest of the listing, says, or cannot be placed.
    pub fn replace(self, store: &Store, lock: &PackageLock, tree: &Digest) -> Result<(), SubstituteError> {
        Ok(repair::replace(store, lock, &self.folder, tree)?)
    }

    /// Which package it is.
    pub fn id(&self) -> &PackageId {
        &self.id
    }
}
