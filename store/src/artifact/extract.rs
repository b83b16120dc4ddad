//! Owns unpacking an artifact, or the closure of some of its packages, into a folder laid out like a store.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use filetime::FileTime;
use schema::canonical::CanonicalError;
use schema::id::PackageId;
use schema::manifest::{Installer, SelectedPackage};

use super::difference::{Difference, Part, Problem};
use super::folder_writer::{FolderWriter, WriteError};
use super::package::{self, Stopped};
use super::reader::{ReadError, Reader};
use super::verify::{Observer, announce, read_installer};
use super::{INSTALLER_PATH, MANIFEST_PATH, listing_path, workers};
use crate::archive::press::Threads;
use crate::io_error::{IoContext, IoError};
use crate::lock::FileLock;
use crate::publish::{self, EXECUTABLE_MODE, FILE_MODE};
use crate::removal;
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::Unpacker;
use crate::verify;

const LOCK: &str = ".extract.lock";
const PARTIAL: &str = ".partial-";

/// What is unpacked.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// All there is, as `tar -x` would.
    Everything,
    /// These packages and what they require, transitively; only their frames are read.
    Closure(Vec<PackageId>),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// Packages that were unpacked, sorted.
    pub written: Vec<PackageId>,
    /// Packages that were there, whole, and stayed as they were, sorted.
    pub present: Vec<PackageId>,
}

/// Why nothing, or not everything, was unpacked. What is there under a package's name is whole in any case.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The artifact is damaged or cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The folder cannot be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The artifact does not have such a package.
    #[error("{0} is not in the artifact")]
    Absent(PackageId),
    /// The folder has a package of that ID which is not whole.
    #[error("{}, which is there already, differs: {difference}; remove it or choose another folder", path.display())]
    Differs {
        /// The package's folder.
        path: PathBuf,
        /// The first difference.
        difference: Box<verify::Difference>,
    },
    /// Something that is no folder, or a link to one, where a folder belongs.
    #[error("{} is no folder", .0.display())]
    NoFolder(PathBuf),
    /// Two at once would be in each other's way.
    #[error("another process is unpacking to {}", .0.display())]
    Busy(PathBuf),
    /// The manifest has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// Unpacks `wanted` to `to`: packages to `packages/<id>`, their listings to `trees/`, and when everything is wanted
/// the manifest and the installer beside them. A package appears under its name when all are unpacked and on the disk.
///
/// # Errors
/// See [`ExtractError`].
pub fn extract<R: ByteRanges>(
    reader: &Reader<R>,
    wanted: &Wanted,
    to: &Path,
    threads: Threads,
    observer: &dyn Observer,
) -> Result<Extracted, ExtractError> {
    let packages = select(reader, wanted)?;
    fs::create_dir_all(to).at("make folder", to)?;
    let lock = FileLock::attempt(&to.join(LOCK))?;
    let _lock = lock.ok_or_else(|| ExtractError::Busy(to.to_owned()))?;
    let target = Target {
        root: to,
        packages: folder_in(to, "packages")?,
        mtime: reader.manifest().source_date_epoch,
    };
    folder_in(to, "trees")?;
    target.sweep()?;
    announce(&packages, observer);
    let mut by_size = packages.clone();
    by_size.sort_by_key(|package| std::cmp::Reverse(package.size));
    let unpacker = || Unpacker::new().map_err(|error| ReadError::Unpack(error).into());
    let staged = workers::for_each(threads, &by_size, unpacker, |unpacker, package| {
        let staged = target.stage(reader, package, unpacker, observer)?;
        observer.package(package);
        Ok::<_, ExtractError>(staged)
    })?;
    if matches!(wanted, Wanted::Everything) {
        target.write_rest(reader)?;
    }
    let written = target.publish(staged)?;
    let (written, present) = packages
        .iter()
        .map(|package| package.id.clone())
        .partition(|id| written.contains(id));
    Ok(Extracted { written, present })
}

fn select<'a, R: ByteRanges>(
    reader: &'a Reader<R>,
    wanted: &'a Wanted,
) -> Result<Vec<&'a SelectedPackage>, ExtractError> {
    match wanted {
        Wanted::Everything => Ok(reader.manifest().packages.iter().collect()),
        Wanted::Closure(ids) => {
            let absent = ids.iter().find(|id| reader.manifest().package(id).is_none());
            match absent {
                Some(id) => Err(ExtractError::Absent(id.clone())),
                None => Ok(reader.closure(ids)),
            }
        }
    }
}

/// Makes the folder `name`, unless it is there; a link in its place is not followed.
fn folder_in(parent: &Path, name: &str) -> Result<PathBuf, ExtractError> {
    let path = parent.join(name);
    match fs::create_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.at("make folder", &path)?,
    }
    match fs::symlink_metadata(&path).at("look at", &path)?.is_dir() {
        true => Ok(path),
        false => Err(ExtractError::NoFolder(path)),
    }
}

struct Target<'a> {
    root: &'a Path,
    packages: PathBuf,
    mtime: u64,
}

/// A package that is unpacked, but not yet under its name. Removed when dropped before that.
struct Staged {
    id: PackageId,
    partial: PathBuf,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Whatever stays is swept by the next who unpacks here.
        let _ = removal::remove(&self.partial);
    }
}

impl Target<'_> {
    /// Removes what a killed process left.
    fn sweep(&self) -> Result<(), IoError> {
        for entry in fs::read_dir(&self.packages).at("read folder", &self.packages)? {
            let entry = entry.at("read folder", &self.packages)?;
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(PARTIAL.as_bytes())
            {
                removal::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Unpacks one package beside its place, unless it is there.
    fn stage<R: ByteRanges>(
        &self,
        reader: &Reader<R>,
        package: &SelectedPackage,
        unpacker: &mut Unpacker,
        observer: &dyn Observer,
    ) -> Result<Option<Staged>, ExtractError> {
        let (listing, plan) = reader.plan(package, unpacker)?;
        let listing_path = self.root.join(listing_path(&package.tree));
        self.write(&listing_path, FILE_MODE, |file| {
            Ok(file.write_all(&listing).at("write", &listing_path)?)
        })?;
        let path = self.packages.join(package.id.to_string());
        if fs::symlink_metadata(&path).is_ok() {
            let found = verify::package(&path, &package.id, &package.tree, &listing_path, &());
            return match found.differences.into_iter().next() {
                None => Ok(None),
                Some(difference) => Err(ExtractError::Differs {
                    path,
                    difference: Box::new(difference),
                }),
            };
        }
        let staged = Staged {
            id: package.id.clone(),
            partial: self.packages.join(format!("{PARTIAL}{}", package.id)),
        };
        let part = Part::Package(package.id.clone());
        let stopped = |stopped: Stopped| {
            ReadError::from(Difference {
                part: part.clone(),
                path: stopped.path,
                problem: *stopped.problem,
            })
        };
        let mut writer = FolderWriter::create(&staged.partial, self.mtime, observer)?;
        let mut stream = reader.stream(part.clone(), package.archive, unpacker)?;
        match package::read(&mut stream, &plan, &mut writer) {
            Ok(()) => {}
            Err(WriteError::Io(error)) => return Err(error.into()),
            Err(WriteError::Stopped(error)) => return Err(stopped(error).into()),
        }
        let finished = stream.finish(package.archive.blake3);
        finished.map_err(|error| stopped(Stopped::of(None, error)))?;
        writer.finish()?;
        Ok(Some(staged))
    }

    /// Writes what is there beside packages and listings.
    fn write_rest<R: ByteRanges>(&self, reader: &Reader<R>) -> Result<(), ExtractError> {
        let manifest = reader.manifest().to_bytes()?;
        let path = self.root.join(MANIFEST_PATH);
        self.write(&path, FILE_MODE, |file| {
            Ok(file.write_all(&manifest).at("write", &path)?)
        })?;
        let Some(installer) = &reader.manifest().installer else {
            return Ok(());
        };
        let path = self.root.join(INSTALLER_PATH);
        self.write(&path, EXECUTABLE_MODE, |file| {
            self.write_installer(reader, installer, file, &path)
        })
    }

    fn write_installer<R: ByteRanges>(
        &self,
        reader: &Reader<R>,
        installer: &Installer,
        file: &mut File,
        path: &Path,
    ) -> Result<(), ExtractError> {
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
        let read = read_installer(&mut stream, installer, self.mtime, |bytes| {
            file.write_all(bytes).at("write", path).map_err(Failed::Io)
        });
        match read {
            Ok(()) => {}
            Err(Failed::Io(error)) => return Err(error.into()),
            Err(Failed::Problem(problem)) => return Err(damaged(problem).into()),
        }
        let finished = stream.finish(installer.archive.blake3);
        Ok(finished.map_err(|error| damaged(error.into()))?)
    }

    /// Puts a file in place of what may be there; durable together with the packages.
    fn write(
        &self,
        path: &Path,
        mode: u32,
        content: impl FnOnce(&mut File) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = path.with_file_name(format!("{PARTIAL}{name}"));
        removal::remove(&partial)?;
        let mut file = File::create_new(&partial).at("create", &partial)?;
        let time = FileTime::from_unix_time(i64::try_from(self.mtime).unwrap_or(i64::MAX), 0);
        content(&mut file)
            .and_then(|()| {
                let sealed = filetime::set_file_handle_times(&file, None, Some(time))
                    .and_then(|()| file.set_permissions(Permissions::from_mode(mode)));
                Ok(sealed.at("set time and mode of", &partial)?)
            })
            .and_then(|()| Ok(fs::rename(&partial, path).at("publish", path)?))
            .inspect_err(|_| {
                // Whatever stays is replaced by the next who unpacks here.
                let _ = fs::remove_file(&partial);
            })
    }

    /// Gives the unpacked packages their names, once everything is on the disk.
    fn publish(&self, staged: Vec<Option<Staged>>) -> Result<BTreeSet<PackageId>, ExtractError> {
        publish::sync_file_system(&self.packages)?;
        let mut written = BTreeSet::new();
        for staged in staged.into_iter().flatten() {
            let target = self.packages.join(staged.id.to_string());
            // In the same folder, so it need not be writable: its mode is final, and stays.
            fs::rename(&staged.partial, &target).at("publish", &target)?;
            written.insert(staged.id.clone());
        }
        publish::sync_file_system(&self.packages)?;
        Ok(written)
    }
}
