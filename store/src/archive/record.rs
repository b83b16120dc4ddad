//! Owns what is known of a package archive: a document beside it, so that reusing it means not reading it.

use std::fs;
use std::path::{Path, PathBuf};

use schema::canonical::{self, CanonicalError};
use schema::digest::Digest;
use schema::id::PackageId;
use serde::{Deserialize, Serialize};

use crate::io_error::{IoContext, IoError};
use crate::publish;
use crate::regular;
use crate::seekable::Frame;
use crate::seekable::frames::Encoder;
use crate::store::Store;

const FORMAT: u32 = 1;

/// Which archive is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The package.
    pub id: PackageId,
    /// The digest of its listing.
    pub tree: Digest,
    /// The modification time of its entries, in seconds since 1970.
    pub source_date_epoch: u64,
    /// Sum of the sizes of its files as far as known, in bytes; said to observers and otherwise of no account.
    pub size: u64,
}

/// `archives/<tree digest>.json`: what `archives/<tree digest>.tar.zst` is.
///
/// It is written after the archive, and it is a cache: when it cannot be read, or speaks of another package, time,
/// length or encoder, the archive is made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    format: u32,
    encoder: Encoder,
    /// The package.
    pub id: PackageId,
    /// The digest of its listing.
    pub tree: Digest,
    /// The modification time of its entries, in seconds since 1970.
    pub source_date_epoch: u64,
    /// Sum of the sizes of the package's files, in bytes.
    pub size: u64,
    /// Length of the archive in bytes.
    pub length: u64,
    /// BLAKE3 of the archive.
    pub blake3: Digest,
    /// Per frame its compressed and its decompressed length.
    frames: Vec<(u32, u32)>,
}

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// It is none.
    #[error(transparent)]
    Parse(#[from] CanonicalError),
}

impl Record {
    pub(super) fn new(request: &Request, size: u64, frames: &[Frame], blake3: Digest) -> Self {
        Self {
            format: FORMAT,
            encoder: Encoder::current(),
            id: request.id.clone(),
            tree: request.tree,
            source_date_epoch: request.source_date_epoch,
            size,
            length: frames.iter().map(|frame| u64::from(frame.compressed)).sum(),
            blake3,
            frames: frames.iter().map(|f| (f.compressed, f.decompressed)).collect(),
        }
    }

    /// The lengths of the archive's frames, in order.
    pub fn frames(&self) -> impl Iterator<Item = Frame> {
        self.frames.iter().copied().map(Frame::from)
    }

    /// The record of the archive of that tree, whatever it says.
    ///
    /// # Errors
    /// When there is none, or it is none.
    pub fn read(store: &Store, tree: &Digest) -> Result<Self, RecordError> {
        let path = path(store, tree);
        Self::parse(&regular::read(&path)?)
    }

    /// Reads a record, whatever it says.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        Ok(canonical::parse(bytes)?)
    }

    /// The record of an archive that can be used as it is; `None` when it has to be made.
    pub fn load(store: &Store, request: &Request) -> Option<Self> {
        let record = Self::read(store, &request.tree).ok()?;
        let archive = fs::metadata(store.archive_path(&request.tree)).ok()?;
        let fits = record.format == FORMAT
            && record.encoder == Encoder::current()
            && record.id == request.id
            && record.tree == request.tree
            && record.source_date_epoch == request.source_date_epoch
            && record.length == archive.len()
            && record.length
                == record
                    .frames()
                    .map(|frame| u64::from(frame.compressed))
                    .sum::<u64>();
        fits.then_some(record)
    }

    /// Puts the record beside its archive; `staging` is where it is written first. It is not made durable: one that
    /// a power cut tears is no record, and costs no more than making its archive again.
    pub(super) fn save(&self, store: &Store, staging: &Path) -> Result<(), IoError> {
        let bytes = canonical::to_bytes(self)
            .map_err(std::io::Error::other)
            .at("write", staging)?;
        fs::write(staging, bytes).at("write", staging)?;
        publish::replacing(staging, &path(store, &self.tree))
    }
}

/// Forgets an archive, so that it is made again; nothing there is fine.
///
/// # Errors
/// When it cannot be removed.
pub fn forget(store: &Store, tree: &Digest) -> Result<(), IoError> {
    // The record first: without it nobody takes the archive for good.
    for path in [path(store, tree), store.archive_path(tree)] {
        match fs::remove_file(&path).at("remove", &path) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn path(store: &Store, tree: &Digest) -> PathBuf {
    store.archive_path(tree).with_file_name(format!("{tree}.json"))
}
