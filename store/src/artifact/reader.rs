//! Owns opening an artifact that cannot be trusted: its seek table, its manifest, and the way to each of its parts.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use schema::attestation::{Attestations, Claim};
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::Listing;
use schema::manifest::{ActiveManifest, FrameRange, SelectedPackage};

use super::difference::{Difference, Part, Problem};
use super::{MANIFEST_PATH, layout, listing_path};
use crate::archive::plan::Plan;
use crate::archive::tar_format::{self, BLOCK};
use crate::attestations;
use crate::io_error::IoError;
use crate::regular;
use crate::seekable::ranges::{ByteRanges, OneByOne};
use crate::seekable::stream::{FrameStream, StreamError, Unpacker};
use crate::seekable::{Frame, SeekTable};

/// The longest manifest or listing that is taken into memory, in bytes.
pub const MAX_DOCUMENT: u64 = 64 << 20;

/// Why an artifact, or a part of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not as it should be.
    #[error(transparent)]
    Damaged(#[from] Box<Difference>),
    /// zstd has no memory, or threads cannot be started.
    #[error("cannot unpack: {0}")]
    Unpack(#[source] io::Error),
    /// The system refused to open it.
    #[error(transparent)]
    Open(#[from] IoError),
    /// What is said of the artifact in a file that was named.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is said of it.
        source: Box<ReadError>,
    },
}

impl From<Difference> for ReadError {
    fn from(difference: Difference) -> Self {
        Self::Damaged(Box::new(difference))
    }
}

impl ReadError {
    /// Whether the artifact is wrong, rather than the machine it is read on.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(difference) => difference.problem.is_damage(),
            Self::Unpack(_) | Self::Open(_) => false,
            Self::File { source, .. } => source.is_damage(),
        }
    }
}

/// An open artifact, whose seek table, manifest and places of parts are sound. The parts are not looked at yet.
pub struct Reader<R> {
    file: R,
    table: SeekTable,
    /// Where each frame begins in the file, and at last where the seek table does.
    starts: Vec<u64>,
    manifest: ActiveManifest,
    manifest_digest: Digest,
    /// Where the manifest's frames end.
    body: u64,
    /// The frames that hold the attestations; none, where nobody attested anything.
    attested: Range<usize>,
}

impl Reader<File> {
    /// Opens the artifact at `path`, which errors then name.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn open_file(path: &Path) -> Result<Self, ReadError> {
        let file = regular::open_behind(path)?;
        Self::open(file).map_err(|source| ReadError::File {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }
}

impl<R: ByteRanges> Reader<R> {
    /// Opens `file`.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] for whatever is no whole artifact.
    pub fn open(file: R) -> Result<Self, ReadError> {
        let table = SeekTable::read(&file).map_err(|error| Difference::of(Part::SeekTable, error))?;
        let mut starts = vec![0];
        let mut end = 0;
        for frame in &table.frames {
            end += u64::from(frame.compressed);
            starts.push(end);
        }
        let read = read_manifest(&file, &table)?;
        let body = starts.get(read.frames).copied().unwrap_or(end);
        let sections =
            layout::check(&read.manifest).map_err(|error| Difference::of(Part::Manifest, error))?;
        let mut reader = Self {
            file,
            table,
            starts,
            manifest: read.manifest,
            manifest_digest: read.digest,
            body,
            attested: 0..0,
        };
        for (section, range) in layout::sections(&reader.manifest) {
            reader.frames(section.part(), range)?;
        }
        // What is left are attestations, if there are any, and the end, which verification reads.
        let behind = body
            .checked_add(sections)
            .and_then(|at| reader.starts.binary_search(&at).ok());
        let last = reader.table.frames.len().checked_sub(1);
        match behind.zip(last) {
            Some((behind, last)) if behind <= last => reader.attested = behind..last,
            _ => return Err(Difference::of(Part::End, Problem::Frames).into()),
        }
        Ok(reader)
    }

    /// What the artifact holds.
    pub fn manifest(&self) -> &ActiveManifest {
        &self.manifest
    }

    /// The medium.
    pub fn file(&self) -> &R {
        &self.file
    }

    /// The digest of the manifest's canonical bytes.
    pub fn manifest_digest(&self) -> Digest {
        self.manifest_digest
    }

    /// The length of the whole file in bytes.
    pub fn length(&self) -> u64 {
        self.starts.last().copied().unwrap_or_default() + self.table.length()
    }

    /// The lengths of all frames.
    pub fn table(&self) -> &SeekTable {
        &self.table
    }

    /// Where in the file the manifest's frames end: what ranges in the manifest are counted from.
    pub fn body(&self) -> u64 {
        self.body
    }

    /// Says that the listings of `packages` are read next, so that a medium that is far away can bring them together.
    ///
    /// # Errors
    /// When the medium fails.
    pub fn expect_listings(&self, packages: &[&SelectedPackage]) -> Result<(), ReadError> {
        let Some(first) = packages.first() else {
            return Ok(());
        };
        let mut ranges: Vec<_> = packages
            .iter()
            .map(|package| self.body.saturating_add(package.listing.offset))
            .zip(packages.iter().map(|package| package.listing.length))
            .map(|(start, length)| start..start.saturating_add(length))
            .collect();
        ranges.sort_by_key(|range| range.start);
        let expected = self.file.expect(&ranges).map_err(StreamError::Read);
        Ok(expected.map_err(|error| Difference::of(Part::Listing(first.id.clone()), error))?)
    }

    /// The lengths of the frames that `range` covers, and where the first of them begins in the file.
    ///
    /// # Errors
    /// [`Problem::Frames`] when `range` does not begin and end where frames do.
    pub fn frames(&self, part: Part, range: FrameRange) -> Result<(&[Frame], u64), ReadError> {
        let found = || {
            let from = self.body.checked_add(range.offset)?;
            let to = from.checked_add(range.length)?;
            let first = self.starts.partition_point(|start| *start < from);
            let last = self.starts.partition_point(|start| *start < to);
            let fits = self.starts.get(first) == Some(&from) && self.starts.get(last) == Some(&to);
            let frames = self.table.frames.get(first..last)?;
            (fits && first < last).then_some((frames, from))
        };
        found().ok_or_else(|| Difference::of(part, Problem::Frames).into())
    }

    /// The content of `range` as a stream. `unpacker` can be used for one stream after another.
    ///
    /// # Errors
    /// As [`Reader::frames`].
    pub fn stream<'a>(
        &'a self,
        part: Part,
        range: FrameRange,
        unpacker: &'a mut Unpacker,
    ) -> Result<FrameStream<'a, R>, ReadError> {
        let (frames, from) = self.frames(part, range)?;
        Ok(FrameStream::new(&self.file, frames, from, unpacker))
    }

    /// Where in the file the attestations lie; nothing, where nobody attested anything.
    pub fn attested(&self) -> Option<Range<u64>> {
        let start = self.starts.get(self.attested.start)?;
        let end = self.starts.get(self.attested.end)?;
        (start < end).then_some(*start..*end)
    }

    /// What is attested of what is in it, whoever signed that.
    ///
    /// # Errors
    /// When it is damaged, or about something else than what is in it.
    pub fn attestations(&self, unpacker: &mut Unpacker) -> Result<Attestations, ReadError> {
        let Some(range) = self.attested() else {
            return Ok(Attestations::default());
        };
        let frames = self.table.frames.get(self.attested.clone()).unwrap_or_default();
        let mut stream = FrameStream::new(&self.file, frames, range.start, unpacker);
        let mut read = || {
            let bytes = read_document(&mut stream, attestations::FILE, |_| {
                Ok(self.manifest.source_date_epoch)
            })?;
            match stream.drain()? {
                0 => claimed(&self.manifest, Attestations::parse(&bytes)?),
                _ => Err(Problem::Frames),
            }
        };
        read().map_err(|problem| Difference::of(Part::Attestations, problem).into())
    }

    /// The last frame, which should hold the blocks that end a tar.
    pub fn end<'a>(&'a self, unpacker: &'a mut Unpacker) -> FrameStream<'a, R> {
        let last = self.table.frames.len().saturating_sub(1);
        let frames = self.table.frames.get(last..).unwrap_or_default();
        let from = self.starts.get(last).copied().unwrap_or_default();
        FrameStream::new(&self.file, frames, from, unpacker)
    }

    /// The listing of `package`: the bytes checked against its tree digest, and what they say.
    ///
    /// # Errors
    /// When the listing is damaged or is another package's.
    pub fn listing(
        &self,
        package: &SelectedPackage,
        unpacker: &mut Unpacker,
    ) -> Result<(Vec<u8>, Listing), ReadError> {
        let part = Part::Listing(package.id.clone());
        let stream = self.stream(part.clone(), package.listing, unpacker)?;
        read_listing(package, self.manifest.source_date_epoch, stream)
            .map_err(|problem| Difference::of(part, problem).into())
    }

    /// The entries of `package`, from its listing.
    ///
    /// # Errors
    /// As [`Reader::listing`].
    pub fn plan(
        &self,
        package: &SelectedPackage,
        unpacker: &mut Unpacker,
    ) -> Result<(Vec<u8>, Plan), ReadError> {
        let (bytes, listing) = self.listing(package, unpacker)?;
        let plan = Plan::new(&package.id, listing, self.manifest.source_date_epoch);
        let plan = plan.map_err(|error| Difference::of(Part::Listing(package.id.clone()), error))?;
        Ok((bytes, plan))
    }

    /// `wanted` and all they require, transitively, sorted; those that are not in the manifest are left out.
    pub fn closure<'a>(
        &'a self,
        wanted: impl IntoIterator<Item = &'a PackageId>,
    ) -> Vec<&'a SelectedPackage> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&PackageId> = wanted.into_iter().collect();
        while let Some(id) = open.pop() {
            if let Some(package) = self.manifest.package(id)
                && seen.insert(&package.id)
            {
                open.extend(&package.requires);
            }
        }
        seen.into_iter()
            .filter_map(|id| self.manifest.package(id))
            .collect()
    }
}

struct ReadManifest {
    manifest: ActiveManifest,
    digest: Digest,
    /// How many frames hold it.
    frames: usize,
}

fn read_manifest<R: ByteRanges>(file: &R, table: &SeekTable) -> Result<ReadManifest, ReadError> {
    let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
    // How many frames hold it is only known once the first is read.
    let file = OneByOne(file);
    let stream = FrameStream::new(&file, &table.frames, 0, &mut unpacker);
    parse_manifest(stream, table).map_err(|problem| Difference::of(Part::Manifest, problem).into())
}

fn parse_manifest<R: ByteRanges>(
    mut stream: FrameStream<'_, R>,
    table: &SeekTable,
) -> Result<ReadManifest, Problem> {
    let mut parsed = None;
    let bytes = read_document(&mut stream, MANIFEST_PATH, |bytes| {
        let manifest = parsed.insert(ActiveManifest::parse(bytes)?);
        Ok(manifest.source_date_epoch)
    })?;
    let length = (BLOCK + bytes.len() + tar_format::padding(bytes.len() as u64)) as u64;
    let mut read = 0;
    let ends = table.frames.iter().position(|frame| {
        read += u64::from(frame.decompressed);
        read >= length
    });
    match (ends, parsed) {
        (Some(last), Some(manifest)) if read == length => Ok(ReadManifest {
            manifest,
            digest: Digest::of(&bytes),
            frames: last + 1,
        }),
        _ => Err(Problem::Frames),
    }
}

/// Reads one tar entry that is a document at `path`; its header is compared once `mtime` says what time is in it.
fn read_document<R: ByteRanges>(
    stream: &mut FrameStream<'_, R>,
    path: &str,
    mtime: impl FnOnce(&[u8]) -> Result<u64, Problem>,
) -> Result<Vec<u8>, Problem> {
    let mut header = [0; BLOCK];
    stream.read_exact(&mut header)?;
    let size = tar::Header::from_byte_slice(&header).entry_size();
    let size = size.map_err(|_| Problem::NoHeader(0))?;
    if size > MAX_DOCUMENT {
        return Err(Problem::TooLarge(size));
    }
    let mut bytes = Vec::new();
    stream.take(size, |piece| {
        bytes.extend_from_slice(piece);
        Ok::<(), StreamError>(())
    })?;
    let mut padding = vec![0; tar_format::padding(size)];
    stream.read_exact(&mut padding)?;
    let mut expected = Vec::new();
    tar_format::write_document(path, &bytes, mtime(&bytes)?, &mut expected);
    let same = expected.get(..BLOCK) == Some(&header) && padding.iter().all(|byte| *byte == 0);
    if same { Ok(bytes) } else { Err(Problem::Header) }
}

/// `attestations`, if there are any, and each is of what `manifest` says is there, with just the content that it has.
pub(super) fn claimed(
    manifest: &ActiveManifest,
    attestations: Attestations,
) -> Result<Attestations, Problem> {
    if attestations.envelopes.is_empty() {
        return Err(Problem::Nothing);
    }
    for envelope in &attestations.envelopes {
        held(manifest, envelope.claim()?)?;
    }
    Ok(attestations)
}

/// Whether what `claim` is about is in an artifact, with just the content that `manifest` says.
pub(super) fn held(manifest: &ActiveManifest, claim: Claim) -> Result<(), Problem> {
    let expected = match &claim {
        Claim::Package { id, .. } => manifest.package(id).map(|package| package.tree),
        Claim::Program { .. } => manifest.installer.as_ref().map(|program| program.blake3),
    };
    match expected {
        Some(expected) if expected == claim.content() => Ok(()),
        Some(expected) => Err(Problem::Contradiction {
            claim: Box::new(claim),
            expected,
        }),
        None => Err(Problem::Unheld(Box::new(claim))),
    }
}

fn read_listing<R: ByteRanges>(
    package: &SelectedPackage,
    mtime: u64,
    mut stream: FrameStream<'_, R>,
) -> Result<(Vec<u8>, Listing), Problem> {
    let bytes = read_document(&mut stream, &listing_path(&package.tree), |_| Ok(mtime))?;
    stream.finish(package.listing.blake3)?;
    let (expected, found) = (package.tree, Digest::of(&bytes));
    if found != expected {
        return Err(Problem::Digest { expected, found });
    }
    let listing = Listing::parse(&bytes)?;
    let (expected, found) = (package.size, listing.size());
    if found != expected {
        return Err(Problem::Size { expected, found });
    }
    Ok((bytes, listing))
}
