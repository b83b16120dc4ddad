//! Owns the parts of an artifact that are put together in memory: tar entries, compressed, with where they will lie.

use std::io;

use schema::digest::Digest;
use schema::manifest::FrameRange;

use crate::archive::tar_format;
use crate::seekable::Frame;
use crate::seekable::frames::write_all;

/// Compressed tar entries that are held in memory: all but the archives of packages that lie in a store.
pub(super) struct Packing {
    pub(super) bytes: Vec<u8>,
    pub(super) frames: Vec<Frame>,
}

impl Packing {
    /// One file that is only read.
    pub(super) fn document(path: &str, content: &[u8], mtime: u64) -> io::Result<Self> {
        let mut entry = Vec::new();
        tar_format::write_document(path, content, mtime, &mut entry);
        Self::of(&entry)
    }

    /// One file that may be run.
    pub(super) fn program(path: &str, content: &[u8], mtime: u64) -> io::Result<Self> {
        let mut entry = Vec::new();
        tar_format::write_program(path, content, mtime, &mut entry);
        Self::of(&entry)
    }

    /// Any part of a tar.
    pub(super) fn of(tar: &[u8]) -> io::Result<Self> {
        let (bytes, frames) = write_all(tar)?;
        Ok(Self { bytes, frames })
    }

    /// Where it lies when it begins at `end`, which is moved behind it.
    pub(super) fn range(&self, end: &mut u64) -> FrameRange {
        next_range(end, self.bytes.len() as u64, Digest::of(&self.bytes))
    }
}

/// Where the next `length` bytes lie when they begin at `end`, which is moved behind them.
pub(super) fn next_range(end: &mut u64, length: u64, blake3: Digest) -> FrameRange {
    let offset = *end;
    *end += length;
    FrameRange {
        offset,
        length,
        blake3,
    }
}
