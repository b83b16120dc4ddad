//! Owns verifying an artifact: every frame and every entry, against the manifest and the listings in it.

mod package;

use std::fs::File;
use std::path::Path;

use schema::digest::Digest;
use schema::manifest::{Installer, SelectedPackage};

use super::difference::{Difference, Part, Problem};
use super::package::expect;
use super::place;
use super::reader::{ReadError, Reader};
use super::{INSTALLER_PATH, workers};
use crate::archive::press::Threads;
use crate::archive::tar_format::{self, TarKind};
use crate::io_error::{IoContext, IoError};
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::{FrameStream, StreamError, Unpacker};
use crate::verify::journal::{Journal, Line};
use crate::verify::{Extent, is_zero};

/// Hears how far a verification or an extraction is.
pub trait Observer: Sync {
    /// It begins: so many packages, so many bytes in their files.
    fn begin(&self, packages: usize, bytes: u64);
    /// So many more bytes of packages' files are done.
    fn read(&self, bytes: u64);
    /// This package is done.
    fn package(&self, package: &SelectedPackage);
    /// Whether to stop before the next part; only verifications do.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// An observer of nothing.
impl Observer for () {
    fn begin(&self, _: usize, _: u64) {}
    fn read(&self, _: u64) {}
    fn package(&self, _: &SelectedPackage) {}
}

/// Tells how much there is to do.
pub(crate) fn announce(packages: &[&SelectedPackage], observer: &dyn Observer) {
    let sizes = packages.iter().map(|package| package.size);
    observer.begin(packages.len(), sizes.fold(0, u64::saturating_add));
}

/// Why an artifact could not be verified, sound or not.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The file cannot be opened.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Reading it failed for reasons that are not its own.
    #[error(transparent)]
    Read(ReadError),
}

/// What was looked at and what was found.
#[derive(Debug, Default, serde::Serialize)]
pub struct Report {
    /// Packages whose archives were read.
    pub packages: usize,
    /// Parts that were not looked at since the run was stopped.
    #[serde(skip_serializing_if = "is_zero")]
    pub left: usize,
    /// Everything that is not as it should be; empty for a sound artifact.
    pub differences: Vec<Difference>,
}

impl Report {
    /// Whether that is all there was to look at.
    pub fn extent(&self) -> Extent {
        Extent::leaving(self.left)
    }
}

/// The journal of a verification, and a stamp of the file that is verified.
#[derive(Debug, Clone, Copy)]
pub struct Journaled<'a> {
    /// The journal.
    pub journal: &'a Journal,
    /// What the artifact is like without reading all of it.
    pub stamp: Digest,
}

/// Verifies the artifact at `path`. What is no artifact at all is a report of one difference.
///
/// # Errors
/// [`VerifyError`], when nothing can be said about the artifact.
pub fn verify_file(path: &Path, threads: Threads, observer: &dyn Observer) -> Result<Report, VerifyError> {
    let file = File::open(path).at("open", path)?;
    match Reader::open(file) {
        Ok(reader) => verify_opened(Ok(&reader), threads, observer, None),
        Err(error) => verify_opened::<File>(Err(error), threads, observer, None),
    }
}

/// Verifies an artifact that was opened, or could not be: a report of one difference, then.
///
/// # Errors
/// [`VerifyError`], when nothing can be said about the artifact.
pub fn verify_opened<R: ByteRanges>(
    opened: Result<&Reader<R>, ReadError>,
    threads: Threads,
    observer: &dyn Observer,
    journaled: Option<Journaled<'_>>,
) -> Result<Report, VerifyError> {
    match opened.and_then(|reader| verify_and_note(reader, threads, observer, journaled)) {
        Ok(report) => Ok(report),
        Err(ReadError::Damaged(difference)) if difference.problem.is_damage() => Ok(Report {
            differences: vec![*difference],
            ..Report::default()
        }),
        Err(error) => Err(VerifyError::Read(error)),
    }
}

/// Verifies every part of an open artifact. With what opening it checked, nothing in the file is passed over but what no
/// digest is of and no decoder looks at: spare bits in the headers of the frames of manifest, attestations and end.
///
/// # Errors
/// When the medium or the machine fails; what is wrong with the artifact is in the report.
pub fn verify<R: ByteRanges>(
    reader: &Reader<R>,
    threads: Threads,
    observer: &dyn Observer,
) -> Result<Report, ReadError> {
    verify_and_note(reader, threads, observer, None)
}

fn verify_and_note<R: ByteRanges>(
    reader: &Reader<R>,
    threads: Threads,
    observer: &dyn Observer,
    journaled: Option<Journaled<'_>>,
) -> Result<Report, ReadError> {
    let mut tasks = vec![Task::End];
    tasks.extend(reader.attested().map(|_| Task::Attestations));
    tasks.extend(reader.manifest().installer.as_ref().map(Task::Installer));
    let mut packages: Vec<&SelectedPackage> = reader.manifest().packages.iter().collect();
    announce(&packages, observer);
    // Large ones first, so that no thread is left with one of them at the end.
    packages.sort_by_key(|package| std::cmp::Reverse(package.size));
    tasks.extend(packages.iter().map(|package| Task::Package(package)));
    let unpacker = || Unpacker::new().map_err(ReadError::Unpack);
    let found = workers::for_each(threads, &tasks, unpacker, |unpacker, task| {
        if observer.is_stopped() {
            return Ok(None);
        }
        if task.is_known(journaled, observer) {
            return Ok(Some(Vec::new()));
        }
        let found = task.verify(reader, unpacker, observer)?;
        if found.is_empty() {
            task.note(journaled);
        }
        Ok(Some(found))
    })?;
    let left = found.iter().filter(|found| found.is_none()).count();
    let mut differences: Vec<Difference> = found.into_iter().flatten().flatten().collect();
    // Stable, so those of one package stay in the order of its archive.
    differences.sort_by(|a, b| a.part.package().cmp(&b.part.package()));
    place::add(reader, &mut differences);
    Ok(Report {
        packages: packages.len().saturating_sub(left),
        left,
        differences,
    })
}

enum Task<'a> {
    End,
    Attestations,
    Installer(&'a Installer),
    Package(&'a SelectedPackage),
}

impl Task<'_> {
    fn name(&self) -> String {
        match self {
            Self::End => Part::End.to_string(),
            Self::Attestations => Part::Attestations.to_string(),
            Self::Installer(_) => Part::Installer.to_string(),
            Self::Package(package) => package.id.to_string(),
        }
    }

    /// Whether an interrupted run found it as it should be.
    fn is_known(&self, journaled: Option<Journaled<'_>>, observer: &dyn Observer) -> bool {
        let known = |journaled: Journaled<'_>| {
            let line = journaled.journal.recall(&self.name(), &journaled.stamp)?;
            journaled.journal.note(line);
            Some(())
        };
        let is_known = journaled.and_then(known).is_some();
        if let Self::Package(package) = self
            && is_known
        {
            observer.read(package.size);
            observer.package(package);
        }
        is_known
    }

    fn note(&self, journaled: Option<Journaled<'_>>) {
        if let Some(Journaled { journal, stamp }) = journaled {
            let (files, bytes) = (0, 0);
            let part = self.name();
            journal.note(&Line {
                part,
                stamp,
                files,
                bytes,
            });
        }
    }

    fn verify<R: ByteRanges>(
        &self,
        reader: &Reader<R>,
        unpacker: &mut Unpacker,
        observer: &dyn Observer,
    ) -> Result<Vec<Difference>, ReadError> {
        let mut found = Findings(Vec::new());
        match self {
            Self::End => {
                let checked = check_end(reader.end(unpacker));
                found.note(Part::End, None, checked)?;
            }
            Self::Attestations => {
                if let Err(error) = reader.attestations(unpacker) {
                    found.add(error)?;
                }
            }
            Self::Installer(installer) => {
                let stream = reader.stream(Part::Installer, installer.archive, unpacker)?;
                let checked = check_installer(stream, installer, reader.manifest().source_date_epoch);
                found.note(Part::Installer, None, checked)?;
            }
            Self::Package(package) => {
                package::verify(reader, package, unpacker, observer, &mut found)?;
                observer.package(package);
            }
        }
        Ok(found.0)
    }
}

/// Collects what is wrong with the artifact, and lets through what is wrong with the medium.
struct Findings(Vec<Difference>);

impl Findings {
    fn note(
        &mut self,
        part: Part,
        path: Option<String>,
        checked: Result<(), Problem>,
    ) -> Result<(), ReadError> {
        match checked {
            Ok(()) => Ok(()),
            Err(problem) => self.add(Difference::at(part, path, problem).into()),
        }
    }

    fn add(&mut self, error: ReadError) -> Result<(), ReadError> {
        match error {
            ReadError::Damaged(difference) if difference.problem.is_damage() => {
                self.0.push(*difference);
                Ok(())
            }
            error => Err(error),
        }
    }
}

fn check_end<R: ByteRanges>(mut stream: FrameStream<'_, R>) -> Result<(), Problem> {
    expect(&mut stream, &tar_format::END, Problem::Header)?;
    match stream.drain()? {
        0 => Ok(()),
        surplus => Err(StreamError::Surplus(surplus).into()),
    }
}

fn check_installer<R: ByteRanges>(
    mut stream: FrameStream<'_, R>,
    installer: &Installer,
    mtime: u64,
) -> Result<(), Problem> {
    read_installer(&mut stream, installer, mtime, |_| Ok::<_, Problem>(()))?;
    Ok(stream.finish(installer.archive.blake3)?)
}

/// Hands the installer's bytes to `sink`; they are the right ones only when this returns without an error.
pub(crate) fn read_installer<R: ByteRanges, E: From<Problem>>(
    stream: &mut FrameStream<'_, R>,
    installer: &Installer,
    mtime: u64,
    mut sink: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let (executable, size) = (true, installer.size);
    let mut header = Vec::new();
    tar_format::write_header(
        INSTALLER_PATH,
        TarKind::File { executable, size },
        mtime,
        &mut header,
    );
    expect(stream, &header, Problem::Header)?;
    let mut hasher = blake3::Hasher::new();
    let mut left = size;
    while left > 0 {
        let ready = stream.fill().map_err(Problem::from)?;
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(ready.len());
        if most == 0 {
            return Err(Problem::from(StreamError::Ended).into());
        }
        let piece = ready.get(..most).unwrap_or_default();
        hasher.update(piece);
        sink(piece)?;
        stream.consume(most);
        left -= most as u64;
    }
    expect(stream, &vec![0; tar_format::padding(size)], Problem::Header)?;
    let (expected, found) = (installer.blake3, Digest::from(hasher.finalize()));
    if found != expected {
        return Err(Problem::Digest { expected, found }.into());
    }
    Ok(())
}
