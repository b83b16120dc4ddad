//! Owns the one way in which parts of an artifact come onto a disk: checked while they are written, beside their place.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use filetime::FileTime;
use schema::id::PackageId;
use schema::manifest::Installer;

use super::difference::{Difference, Part, Problem};
use super::folder_writer::{FolderWriter, WriteError};
use super::package::{self, Stopped};
use super::reader::{ReadError, Reader};
use super::verify::{Observer, read_installer};
use crate::durable::{self, PARTIAL};
use crate::exchange::exchange;
use crate::io_error::{IoContext, IoError};
use crate::publish::EXECUTABLE_MODE;
use crate::removal;
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::Unpacker;
use crate::supply::Offer;

/// Held by whoever unpacks into a folder laid out like a store while anything lies there that has no name yet. On a host it
/// is taken after the host's own lock, as [`crate::host::Host::lock`] has it.
pub(crate) const LOCK: &str = ".extract.lock";

/// Why a part was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The artifact is damaged or cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// A package that is unpacked, but not yet under its name. Removed when dropped before that.
#[derive(Debug)]
pub(crate) struct Staged {
    /// Its store ID.
    pub(crate) id: PackageId,
    partial: PathBuf,
}

impl Staged {
    /// Gives the package its name in the folder it lies in, once everything is on the disk.
    pub(crate) fn publish(self) -> Result<PackageId, IoError> {
        let target = self.partial.with_file_name(self.id.to_string());
        // In the same folder, so it need not be writable: its mode is final, and stays.
        fs::rename(&self.partial, &target).at("publish", &target)?;
        Ok(self.id.clone())
    }
}

impl Staged {
    /// Puts the package in the place of the one that has its name, if any, and removes that; both must lie on the disk.
    /// Whoever has files of the old one open keeps them, and another name of such a file stays what it is.
    pub(crate) fn replace(self) -> Result<PackageId, IoError> {
        let target = self.partial.with_file_name(self.id.to_string());
        let spare = self
            .partial
            .with_file_name(format!("{PARTIAL}{PARTIAL}{}", self.id));
        exchange(&self.partial, &target, &spare)?;
        durable::sync(durable::parent(&target))?;
        // What has this name now is removed when this is dropped.
        Ok(self.id.clone())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Whatever stays is swept by the next who unpacks here.
        let _ = removal::remove(&self.partial);
    }
}

/// A file that is written, but not yet under its name. Removed when dropped before that.
#[derive(Debug)]
pub(crate) struct StagedFile {
    path: PathBuf,
    partial: PathBuf,
}

impl StagedFile {
    /// Where it lies until then.
    pub(crate) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Gives the file its name, in place of what may be there.
    pub(crate) fn publish(self) -> Result<(), IoError> {
        fs::rename(&self.partial, &self.path).at("publish", &self.path)
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // Whatever stays is replaced by the next who unpacks here.
        let _ = fs::remove_file(&self.partial);
    }
}

/// Unpacks what is offered beside its place in the folder `packages`.
pub(crate) fn package(
    offer: &Offer<'_>,
    packages: &Path,
    unpacker: &mut Unpacker,
    observer: &dyn Observer,
) -> Result<Staged, UnpackError> {
    let staged = Staged {
        id: offer.id.clone(),
        partial: packages.join(format!("{PARTIAL}{}", offer.id)),
    };
    folder(offer, &staged.partial, unpacker, observer)?;
    Ok(staged)
}

/// Unpacks what is offered to the new folder `path`, which is to be removed when this fails.
pub(crate) fn folder(
    offer: &Offer<'_>,
    path: &Path,
    unpacker: &mut Unpacker,
    observer: &dyn Observer,
) -> Result<(), UnpackError> {
    let stopped = |stopped: Stopped| {
        let part = Part::Package(offer.id.clone());
        ReadError::from(Difference::at(part, stopped.path, *stopped.problem))
    };
    let mut stream = offer.stream(unpacker);
    let mut writer = FolderWriter::create(path, offer.mtime, observer)?;
    match package::read(&mut stream, &offer.plan, &mut writer) {
        Ok(()) => {}
        Err(WriteError::Io(error)) => return Err(error.into()),
        Err(WriteError::Stopped(error)) => return Err(stopped(error).into()),
    }
    let finished = stream.finish(offer.blake3);
    finished.map_err(|error| stopped(Stopped::of(None, error)))?;
    Ok(writer.finish()?)
}

/// Writes a document beside its place `path`.
pub(crate) fn document(path: &Path, bytes: &[u8], mode: u32, mtime: u64) -> Result<StagedFile, IoError> {
    file(path, mode, mtime, |file| file.write_all(bytes).at("write", path))
}

/// Unpacks the installer beside its place `path`.
pub(crate) fn installer<R: ByteRanges>(
    reader: &Reader<R>,
    installer: &Installer,
    path: &Path,
) -> Result<StagedFile, UnpackError> {
    let mtime = reader.manifest().source_date_epoch;
    file(path, EXECUTABLE_MODE, mtime, |file| {
        hand_installer(reader, installer, |bytes| file.write_all(bytes).at("write", path))
    })
}

/// The program of the artifact that `reader` reads, as its manifest describes it.
///
/// # Errors
/// When it is not as described, or the artifact cannot be read.
pub fn installer_bytes<R: ByteRanges>(
    reader: &Reader<R>,
    installer: &Installer,
) -> Result<Vec<u8>, UnpackError> {
    let mut all = Vec::new();
    hand_installer(reader, installer, |bytes| {
        all.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(all)
}

/// Hands the program's bytes to `sink`; they are the right ones only when this returns without an error.
fn hand_installer<R: ByteRanges>(
    reader: &Reader<R>,
    installer: &Installer,
    mut sink: impl FnMut(&[u8]) -> Result<(), IoError>,
) -> Result<(), UnpackError> {
    /// Either side's failure, so that one `?` serves both.
    enum Failed {
        Problem(Problem),
        Io(IoError),
    }
    impl From<Problem> for Failed {
        fn from(problem: Problem) -> Self {
            Self::Problem(problem)
        }
    }
    let damaged = |problem: Problem| ReadError::from(Difference::of(Part::Installer, problem));
    let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
    let mut stream = reader.stream(Part::Installer, installer.archive, &mut unpacker)?;
    let mtime = reader.manifest().source_date_epoch;
    let read = read_installer(&mut stream, installer, mtime, |bytes| {
        sink(bytes).map_err(Failed::Io)
    });
    match read {
        Ok(()) => {}
        Err(Failed::Io(error)) => return Err(error.into()),
        Err(Failed::Problem(problem)) => return Err(damaged(problem).into()),
    }
    let finished = stream.finish(installer.archive.blake3);
    Ok(finished.map_err(|error| damaged(error.into()))?)
}

/// Writes a file beside its place `path`; durable together with the packages.
fn file<E: From<IoError>>(
    path: &Path,
    mode: u32,
    mtime: u64,
    content: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<StagedFile, E> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!("{PARTIAL}{name}"));
    removal::remove(&partial)?;
    let mut file = File::create_new(&partial).at("create", &partial)?;
    let staged = StagedFile {
        path: path.to_owned(),
        partial,
    };
    content(&mut file)?;
    let time = FileTime::from_unix_time(i64::try_from(mtime).unwrap_or(i64::MAX), 0);
    filetime::set_file_handle_times(&file, None, Some(time))
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .at("set time and mode of", &staged.partial)?;
    Ok(staged)
}
