//! Owns the package archive: one package as a deterministic tar in zstd frames of its own, made once and kept.
//!
//! `archives/<tree digest>.tar.zst` holds the tar entries that [`plan::Plan`] lists, each as [`tar_format`] spells it,
//! without the blocks that end a tar, so that archives can be concatenated. That stream is cut every 4 MiB
//! ([`frames::CHUNK`](crate::seekable::frames::CHUNK)), and each piece is a zstd frame of its own: level 3, content
//! size and checksum stated, no dictionary. The bytes depend on the package's store ID, its listing, the
//! `source_date_epoch` and libzstd's version, and on nothing else.

pub mod plan;
pub mod press;
pub mod record;
pub mod source;
pub mod tar_format;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::{Listing, ListingError};

use crate::io_error::{IoContext, IoError};
use crate::publish;
use crate::seekable::Frame;
use crate::store::Store;
use plan::{Plan, PlanError};
use press::{Threads, press};
use record::{Record, Request};
use source::{Chunk, PackageSource, SourceError};

/// How many archives may wait to be made durable.
const FINISHING: usize = 64;

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
    /// These have to be made; may be told again when one that was kept turns out to be damaged.
    fn begin(&self, missing: &[&Request]);
    /// So many more uncompressed bytes of package archives are compressed.
    fn compressed(&self, bytes: u64);
    /// The archive of this package is made and kept.
    fn archived(&self, record: &Record);
}

/// An observer of nothing.
impl Observer for () {
    fn begin(&self, _: &[&Request]) {}
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
    let bytes = fs::read(&path).at("read", &path)?;
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
    let mut by_tree: BTreeMap<Digest, &Request> = BTreeMap::new();
    for request in requests {
        if let Some(other) = by_tree.insert(request.tree, request) {
            return Err(ArchiveError::SameTree(other.id.clone(), request.id.clone()));
        }
    }
    let mut found: Vec<Option<Archive>> = requests
        .iter()
        .map(|request| {
            let record = Record::load(store, request)?;
            let origin = Origin::Reused;
            Some(Archive { record, origin })
        })
        .collect();
    let absent = |(request, archive)| Option::is_none(archive).then_some(request);
    let missing: Vec<&Request> = requests.iter().zip(&found).filter_map(absent).collect();
    observer.begin(&missing);
    if !missing.is_empty() {
        // They come in the order in which they are missing.
        let mut made = make(store, &missing, threads, observer)?.into_iter();
        for gap in found.iter_mut().filter(|archive| archive.is_none()) {
            let origin = Origin::Made;
            *gap = made.next().map(|record| Archive { record, origin });
        }
    }
    Ok(found.into_iter().flatten().collect())
}

/// What travels with a chunk: whose it is, and what is known once its package ends.
struct Tag {
    request: usize,
    /// Sum of the package's file sizes, with its last chunk.
    ends: Option<u64>,
}

fn make(
    store: &Store,
    missing: &[&Request],
    threads: Threads,
    observer: &dyn Observer,
) -> Result<Vec<Record>, ArchiveError> {
    let staging = store.work_area("archive")?;
    let (finish_in, finish_out) = bounded(FINISHING);
    thread::scope(|scope| {
        let finisher = scope.spawn(move || finish_all(store, &finish_out, observer));
        let mut reading = Reading {
            store,
            missing,
            next: 0,
            source: None,
        };
        let mut writing = Writing {
            missing,
            folder: staging.path(),
            finish: finish_in,
            current: None,
        };
        let pressed = press(
            threads,
            move |chunk| reading.fill(chunk),
            move |tag, frame, bytes| {
                observer.compressed(u64::from(frame.decompressed));
                writing.write(&tag, frame, bytes)
            },
        );
        let finished = finisher
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        pressed.and(finished)
    })
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
    missing: &'a [&'a Request],
    folder: &'a Path,
    finish: Sender<Staged>,
    current: Option<Open>,
}

struct Open {
    path: PathBuf,
    file: File,
    frames: Vec<Frame>,
    hasher: blake3::Hasher,
}

struct Staged {
    path: PathBuf,
    record: Record,
}

impl Writing<'_> {
    fn write(&mut self, tag: &Tag, frame: Frame, bytes: &[u8]) -> Result<(), ArchiveError> {
        let mut open = match self.current.take() {
            Some(open) => open,
            None => Open::new(self.folder.join(format!("{}.tar.zst", tag.request)))?,
        };
        open.file.write_all(bytes).at("write", &open.path)?;
        open.hasher.update(bytes);
        open.frames.push(frame);
        match (tag.ends, self.missing.get(tag.request)) {
            (Some(size), Some(request)) => {
                let record = Record::new(request, size, &open.frames, open.hasher.finalize().into());
                let path = open.path;
                // The finisher drains its channel to the end, whatever happens to it.
                let _ = self.finish.send(Staged { path, record });
            }
            _ => self.current = Some(open),
        }
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

/// Puts staged archives in place, apart from the compressing so that neither waits for the other.
fn finish_all(
    store: &Store,
    staged: &Receiver<Staged>,
    observer: &dyn Observer,
) -> Result<Vec<Record>, ArchiveError> {
    let mut records = Vec::new();
    let mut failed = None;
    for one in staged {
        if failed.is_none() {
            match finish(store, &one) {
                Ok(()) => observer.archived(&one.record),
                Err(error) => failed = Some(error),
            }
        }
        records.push(one.record);
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(records),
    }
}

fn finish(store: &Store, staged: &Staged) -> Result<(), IoError> {
    publish::replacing(&staged.path, &store.archive_path(&staged.record.tree))?;
    staged.record.save(store, &staged.path)
}
