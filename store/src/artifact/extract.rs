//! Owns unpacking an artifact, or the closure of some of its packages, into a folder laid out like a store.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schema::canonical::CanonicalError;
use schema::id::PackageId;
use schema::manifest::SelectedPackage;

use super::reader::{ReadError, Reader};
use super::unpacking::{self, Staged, StagedFile, UnpackError};
use super::verify::{Observer, announce};
use super::{INSTALLER_PATH, MANIFEST_PATH, listing_path, workers};
use crate::archive::press::Threads;
use crate::attestations;
use crate::durable::{self, PARTIAL};
use crate::folder;
use crate::io_error::{IoContext, IoError};
use crate::lock::FileLock;
use crate::places::{HOST_LOCK, PACKAGES, TREES};
use crate::publish::FILE_MODE;
use crate::removal;
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::Unpacker;
use crate::supply::Offer;
use crate::verify;

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
    #[error("{} is not a folder", .0.display())]
    NoFolder(PathBuf),
    /// Two at once would be in each other's way.
    #[error("another process is at work in {}; wait for it, or see what it does", .0.display())]
    Busy(PathBuf),
    /// The manifest has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl From<UnpackError> for ExtractError {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Read(error) => Self::Read(error),
            UnpackError::Io(error) => Self::Io(error),
        }
    }
}

/// Unpacks `wanted` to `to`: packages to `packages/<id>`, their listings to `trees/`, and when everything is wanted
/// the manifest and the installer beside them. A package appears under its name when all are unpacked and on the disk, and
/// the manifest when its packages have theirs.
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
    let alone = |name: &str| {
        let lock = FileLock::attempt(&to.join(name))?;
        lock.ok_or_else(|| ExtractError::Busy(to.to_owned()))
    };
    // What whoever changes a host has not finished is not to be swept.
    let changing = alone(HOST_LOCK)?;
    let _unpacking = alone(unpacking::LOCK)?;
    let target = Target {
        root: to,
        packages: folder_in(to, PACKAGES)?,
        mtime: reader.manifest().source_date_epoch,
    };
    folder_in(to, TREES)?;
    target.sweep()?;
    // From here on another generation may become active.
    drop(changing);
    announce(&packages, observer);
    let mut by_size = packages.clone();
    by_size.sort_by_key(|package| std::cmp::Reverse(package.size));
    let unpacker = || Unpacker::new().map_err(|error| ReadError::Unpack(error).into());
    let staged = workers::for_each(threads, &by_size, unpacker, |unpacker, package| {
        let staged = target.stage(reader, package, unpacker, observer)?;
        observer.package(package);
        Ok::<_, ExtractError>(staged)
    })?;
    let rest = match wanted {
        Wanted::Everything => target.rest(reader)?,
        Wanted::Closure(_) => Vec::new(),
    };
    let written = target.publish(staged, rest)?;
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

impl Target<'_> {
    /// Removes what a killed process left.
    fn sweep(&self) -> Result<(), IoError> {
        for entry in folder::entries(&self.packages)? {
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
        let offer = Offer::of_artifact(reader, package, unpacker)?;
        let listing_path = self.root.join(listing_path(&package.tree));
        unpacking::document(&listing_path, &offer.listing, FILE_MODE, self.mtime)?.publish()?;
        let path = self.packages.join(package.id.to_string());
        if fs::symlink_metadata(&path).is_ok() {
            let subject = verify::Subject {
                folder: path.clone(),
                id: package.id.clone(),
                tree: package.tree,
                listing: listing_path.clone(),
                owner: None,
            };
            let found = verify::package(&subject, &verify::Run::new(&()));
            return match found.differences.into_iter().next() {
                None => Ok(None),
                Some(difference) => Err(ExtractError::Differs {
                    path,
                    difference: Box::new(difference),
                }),
            };
        }
        let staged = unpacking::package(&offer, &self.packages, unpacker, observer)?;
        Ok(Some(staged))
    }

    /// Unpacks what is there beside packages and listings, in the order in which it is to appear.
    fn rest<R: ByteRanges>(&self, reader: &Reader<R>) -> Result<Vec<StagedFile>, ExtractError> {
        let mut staged = Vec::new();
        if let Some(installer) = &reader.manifest().installer {
            let path = self.root.join(INSTALLER_PATH);
            staged.push(unpacking::installer(reader, installer, &path)?);
        }
        if reader.attested().is_some() {
            let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
            let bytes = reader.attestations(&mut unpacker)?.to_bytes()?;
            let path = self.root.join(attestations::FILE);
            staged.push(unpacking::document(&path, &bytes, FILE_MODE, self.mtime)?);
        }
        // Last: who has the manifest has its packages.
        let manifest = reader.manifest().to_bytes()?;
        let path = self.root.join(MANIFEST_PATH);
        staged.push(unpacking::document(&path, &manifest, FILE_MODE, self.mtime)?);
        Ok(staged)
    }

    /// Gives the unpacked packages their names, once everything is on the disk, and then the rest.
    fn publish(
        &self,
        staged: Vec<Option<Staged>>,
        rest: Vec<StagedFile>,
    ) -> Result<BTreeSet<PackageId>, ExtractError> {
        durable::sync_file_system(&self.packages)?;
        let named = staged.into_iter().flatten().map(Staged::publish);
        let written = named.collect::<Result<_, _>>()?;
        durable::sync_file_system(&self.packages)?;
        rest.into_iter().try_for_each(StagedFile::publish)?;
        durable::sync(self.root)?;
        Ok(written)
    }
}
