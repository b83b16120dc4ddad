//! Owns the file of a download: what there is of it, its digest so far, and whether all of it came in one go.

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use schema::source::SourceDigest;
use store::io_error::{IoContext, IoError};

use super::digesting::Hasher;

/// A file that grows while it is fetched. It survives its process, so that the next can go on.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    hasher: Hasher,
    expected: SourceDigest,
    /// How many answers, of servers or of earlier runs, its bytes are from.
    pieces: u32,
}

impl Part {
    /// Opens what there is at `path`, if anything, and hashes it.
    pub(super) fn open(path: PathBuf, expected: SourceDigest) -> Result<Self, IoError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).at("open", &path)?;
        let mut hasher = Hasher::like(&expected);
        let length = hasher.read(&mut file).at("read", &path)?;
        Ok(Self {
            path,
            file,
            length,
            hasher,
            expected,
            pieces: u32::from(length > 0),
        })
    }

    /// Bytes so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its bytes are from more than one answer, so that they may not go together.
    pub(super) fn is_patched(&self) -> bool {
        self.pieces > 1
    }

    /// Another answer begins.
    pub(super) fn begin_piece(&mut self) {
        self.pieces = self.pieces.saturating_add(1);
    }

    /// Throws away what there is.
    pub(super) fn restart(&mut self) -> Result<(), IoError> {
        self.file.set_len(0).at("cut", &self.path)?;
        self.file.rewind().at("rewind", &self.path)?;
        self.length = 0;
        self.pieces = 0;
        self.hasher = Hasher::like(&self.expected);
        Ok(())
    }

    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), IoError> {
        self.file.write_all(bytes).at("write", &self.path)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The digest of all there is.
    pub(super) fn digest(&self) -> SourceDigest {
        self.hasher.digest()
    }
}
