//! Owns writing an artifact anew from another one, most of it copied frame by frame, each part checked on the way.

use std::fs::File;
use std::io::{self, Write};

use schema::attestation::Attestations;
use schema::canonical::CanonicalError;
use schema::digest::Digest;
use schema::manifest::FrameRange;

use super::difference::{Difference, Part};
use super::output::{Output, OutputError};
use super::packing::Packing;
use super::reader::{ReadError, Reader};
use crate::archive::tar_format;
use crate::attestations::FILE;
use crate::io_error::{IoContext, IoError};
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::StreamError;
use crate::seekable::{SeekTable, SeekTableError};

/// Bytes that are copied at a time.
const COPY_SIZE: u64 = 1 << 20;

/// Why no artifact was written.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// The artifact cannot be read, or is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The target cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The artifact or the target cannot be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A text without JSON form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// zstd failed.
    #[error("cannot compress: {0}")]
    Compress(#[from] io::Error),
    /// More frames than a seek table can hold.
    #[error(transparent)]
    SeekTable(#[from] SeekTableError),
}

/// Writes an artifact, from its first part to its seek table.
pub(super) struct Rewriter<'a> {
    reader: &'a Reader<File>,
    output: &'a Output,
    table: SeekTable,
}

impl<'a> Rewriter<'a> {
    /// Writes to `output` what is new, and what is copied from `reader`.
    pub(super) fn new(reader: &'a Reader<File>, output: &'a Output) -> Self {
        Self {
            reader,
            output,
            table: SeekTable::default(),
        }
    }

    /// Writes a part that is new.
    pub(super) fn packing(&mut self, packing: &Packing) -> Result<(), RewriteError> {
        self.table.frames.extend(&packing.frames);
        let mut file = self.output.file();
        Ok(file.write_all(&packing.bytes).at("write", self.output.path())?)
    }

    /// Copies a part that the manifest knows.
    pub(super) fn copy(&mut self, part: Part, range: FrameRange) -> Result<(), RewriteError> {
        let (frames, from) = self.reader.frames(part.clone(), range)?;
        self.table.frames.extend(frames);
        let (expected, found) = (range.blake3, self.bytes(&part, from, range.length)?);
        match found == expected {
            true => Ok(()),
            false => Err(damaged(&part, StreamError::Digest { expected, found })),
        }
    }

    /// Writes attestations, if there are any.
    pub(super) fn attestations(&mut self, all: &Attestations) -> Result<(), RewriteError> {
        if all.envelopes.is_empty() {
            return Ok(());
        }
        let mtime = self.reader.manifest().source_date_epoch;
        self.packing(&Packing::document(FILE, &all.to_bytes()?, mtime)?)
    }

    /// Writes what ends an artifact, and says how long it is.
    pub(super) fn finish(mut self) -> Result<u64, RewriteError> {
        self.packing(&Packing::of(&tar_format::END)?)?;
        let table = self.table.to_bytes()?;
        let (mut file, path) = (self.output.file(), self.output.path());
        file.write_all(&table).at("write", path)?;
        Ok(file.metadata().at("look at", path)?.len())
    }

    fn bytes(&mut self, part: &Part, mut from: u64, mut left: u64) -> Result<Digest, RewriteError> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = Vec::new();
        while left > 0 {
            let length = left.min(COPY_SIZE);
            // No more than a mebibyte, which every address space holds.
            buffer.resize(length as usize, 0);
            let read = self.reader.file().read_exact_at(from, &mut buffer);
            read.map_err(|error| damaged(part, StreamError::from(error)))?;
            hasher.update(&buffer);
            let mut file = self.output.file();
            file.write_all(&buffer).at("write", self.output.path())?;
            from += length;
            left -= length;
        }
        Ok(hasher.finalize().into())
    }
}

fn damaged(part: &Part, error: StreamError) -> RewriteError {
    ReadError::from(Difference::of(part.clone(), error)).into()
}
