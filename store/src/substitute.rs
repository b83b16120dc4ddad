//! Owns taking a package from its archive instead of building it: unpacked strictly, then published like any other.

use std::path::PathBuf;

use schema::digest::Digest;
use schema::id::PackageId;

use crate::artifact::reader::ReadError;
use crate::artifact::unpacking;
use crate::artifact::verify::Observer;
use crate::io_error::IoError;
use crate::lock::PackageLock;
use crate::publish::{self, Placed, PublishError};
use crate::repair;
use crate::seekable::stream::Unpacker;
use crate::store::Store;
use crate::supply::{Offer, OfferError};
use crate::work::WorkArea;

pub use crate::artifact::unpacking::UnpackError;

/// Why an archive is no substitute. Nothing of it is visible.
#[derive(Debug, thiserror::Error)]
pub enum SubstituteError {
    /// What is announced of it cannot be.
    #[error(transparent)]
    Offer(#[from] OfferError),
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

impl From<ReadError> for SubstituteError {
    fn from(error: ReadError) -> Self {
        Self::Unpack(error.into())
    }
}

impl SubstituteError {
    /// Whether this machine is to blame, so that no other cache could help.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Zstd(_) | Self::Unpack(UnpackError::Io(_) | UnpackError::Read(ReadError::Unpack(_))) => {
                true
            }
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

/// Unpacks what is offered.
///
/// # Errors
/// See [`SubstituteError`].
pub fn unpack(
    store: &Store,
    offer: &Offer<'_>,
    observer: &dyn Observer,
) -> Result<Unpacked, SubstituteError> {
    let area = store.work_area(&format!("substitute-{}", offer.id))?;
    let folder = area.path().join("package");
    let mut unpacker = Unpacker::new().map_err(SubstituteError::Zstd)?;
    unpacking::folder(offer, &folder, &mut unpacker, observer)?;
    Ok(Unpacked {
        id: offer.id.clone(),
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
