//! Owns making the archives that are missing: reading, compressing, writing, and making durable, all at the same time.
//!
//! An archive gets its name as soon as it is written, so that it can be copied; its record, without which it counts as
//! absent, comes when it is on the disk. So nobody waits for the disk but the one who writes records.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::plan::Plan;
use super::press::{Threads, press};
use super::record::{self, Record, Request};
use super::source::{Chunk, PackageSource};
use super::{ArchiveError, Observer, read_listing};
use crate::io_error::{IoContext, IoError};
use crate::publish;
use crate::seekable::Frame;
use crate::store::Store;

/// How many archives may wait to become durable, each an open file.
const SETTLING: usize = 64;

/// Prepares the making of `missing`, in that order; `staging` is where archives are written first.
pub(super) fn begin<'a>(
    store: &'a Store,
    missing: &'a [&'a Request],
    staging: &'a Path,
) -> (Making<'a>, Settling<'a>) {
    let (settle_in, settle_out) = bounded(SETTLING);
    let reading = Reading {
        store,
        missing,
        next: 0,
        source: None,
    };
    let writing = Writing {
        store,
        missing,
        staging,
        settle: settle_in,
        current: None,
        made: Vec::new(),
    };
    let settling = Settling {
        store,
        written: settle_out,
    };
    (Making { reading, writing }, settling)
}

pub(super) struct Making<'a> {
    reading: Reading<'a>,
    writing: Writing<'a>,
}

impl Making<'_> {
    /// Makes all, and returns what they are when they can be read.
    pub(super) fn run(self, threads: Threads, observer: &dyn Observer) -> Result<Vec<Record>, ArchiveError> {
        let Self {
            mut reading,
            mut writing,
        } = self;
        press(
            threads,
            |chunk| reading.fill(chunk),
            |tag, frame, bytes| {
                observer.compressed(u64::from(frame.decompressed));
                writing.write(&tag, frame, bytes)
            },
        )?;
        Ok(writing.made)
    }
}

/// What travels with a chunk: whose it is, and what is known once its package ends.
struct Tag {
    request: usize,
    /// Sum of the package's file sizes, with its last chunk.
    ends: Option<u64>,
}

/// The packages as one sequence of chunks, none of which spans two packages.
struct Reading<'a> {
    store: &'a Store,
    missing: &'a [&'a Request],
    next: usize,
    source: Option<(PackageSource, u64)>,
}

impl Reading<'_> {
    fn fill(&mut self, chunk: &mut Chunk) -> Result<Option<Tag>, ArchiveError> {
        let (mut source, size) = match self.source.take() {
            Some(source) => source,
            None => match self.missing.get(self.next) {
                Some(request) => self.open(request)?,
                None => return Ok(None),
            },
        };
        source.fill(chunk)?;
        let request = self.next;
        if source.is_done() {
            self.next += 1;
            let ends = Some(size);
            return Ok(Some(Tag { request, ends }));
        }
        self.source = Some((source, size));
        Ok(Some(Tag { request, ends: None }))
    }

    fn open(&self, request: &Request) -> Result<(PackageSource, u64), ArchiveError> {
        let listing = read_listing(self.store, request)?;
        let size = listing.size();
        let plan = Plan::new(&request.id, listing, request.source_date_epoch);
        let plan = plan.map_err(|source| ArchiveError::Plan {
            package: request.id.clone(),
            source,
        })?;
        let folder = self.store.package_path(&request.id);
        Ok((PackageSource::new(request.id.clone(), folder, plan)?, size))
    }
}

/// The archive that is being written, and where the finished ones go.
struct Writing<'a> {
    store: &'a Store,
    missing: &'a [&'a Request],
    staging: &'a Path,
    settle: Sender<Written>,
    current: Option<Open>,
    made: Vec<Record>,
}

struct Open {
    path: PathBuf,
    file: File,
    frames: Vec<Frame>,
    hasher: blake3::Hasher,
}

impl Writing<'_> {
    fn write(&mut self, tag: &Tag, frame: Frame, bytes: &[u8]) -> Result<(), ArchiveError> {
        let mut open = match self.current.take() {
            Some(open) => open,
            None => Open::new(self.staging.join(format!("{}.tar.zst", tag.request)))?,
        };
        open.file.write_all(bytes).at("write", &open.path)?;
        open.hasher.update(bytes);
        open.frames.push(frame);
        match (tag.ends, self.missing.get(tag.request)) {
            (Some(size), Some(request)) => Ok(self.end(open, size, request)?),
            _ => {
                self.current = Some(open);
                Ok(())
            }
        }
    }

    fn end(&mut self, open: Open, size: u64, request: &Request) -> Result<(), IoError> {
        let record = Record::new(request, size, &open.frames, open.hasher.finalize().into());
        // A record that is there speaks of another archive.
        record::forget(self.store, &request.tree)?;
        publish::replacing(&open.path, &self.store.archive_path(&request.tree))?;
        self.made.push(record.clone());
        let file = open.file;
        // The settler empties its channel to the end, whatever happens to it.
        let _ = self.settle.send(Written { file, record });
        Ok(())
    }
}

impl Open {
    fn new(path: PathBuf) -> Result<Self, IoError> {
        let file = File::create_new(&path).at("create", &path)?;
        Ok(Self {
            path,
            file,
            frames: Vec::new(),
            hasher: blake3::Hasher::new(),
        })
    }
}

/// An archive that has its name, but no record yet.
struct Written {
    file: File,
    record: Record,
}

pub(super) struct Settling<'a> {
    store: &'a Store,
    written: Receiver<Written>,
}

impl Settling<'_> {
    /// Makes durable what is written and gives it its record, until there is no more to come.
    pub(super) fn run(self, staging: &Path, observer: &dyn Observer) -> Result<(), IoError> {
        let mut result = Ok(());
        for written in &self.written {
            if result.is_ok() {
                result = self.settle(&written, staging);
                observer.archived(&written.record);
            }
        }
        result
    }

    fn settle(&self, written: &Written, staging: &Path) -> Result<(), IoError> {
        let archive = self.store.archive_path(&written.record.tree);
        written.file.sync_data().at("make durable", &archive)?;
        written.record.save(self.store, &staging.join("record"))
    }
}
