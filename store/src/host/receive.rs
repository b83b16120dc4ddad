//! Owns putting onto a host the packages of an artifact that its roles need and that it lacks.
//!
//! Several packages are unpacked at once, beside their places. Whenever some are done, one wait for the disk makes all of
//! them durable, and they get their names: a package is there whole or not at all, and an interrupted run goes on with
//! what it had. A folder that has a package's name is therefore taken for that package; whether someone changed it since is
//! for [`super::verify`] to say. The program and the manifest come last: a host that has the manifest has its packages.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use crossbeam_channel::Receiver;
use schema::canonical::CanonicalError;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::manifest::SelectedPackage;
use schema::name::RoleName;
use schema::platform::Platform;

use super::policy::Admitted;
use super::{Host, HostLock, MANIFEST, PROGRAM, TREES, sweep};
use crate::archive::press::Threads;
use crate::artifact::reader::{ReadError, Reader};
use crate::artifact::unpacking::{self, Staged, StagedFile, UnpackError};
use crate::artifact::verify::{Observer, announce};
use crate::artifact::workers;
use crate::attestations;
use crate::durable;
use crate::io_error::{IoContext, IoError};
use crate::listing;
use crate::publish::FILE_MODE;
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::Unpacker;
use crate::supply::Offer;
use crate::verify;

/// How often a package is brought that is damaged when it arrives.
const TRIES: u32 = 3;

/// What counts as a package that need not be brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// A folder that has its name.
    Named,
    /// One that is just as its listing says; anything else is replaced.
    Verified,
}

/// How packages are brought.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// What the packages must run on, when they will run here.
    pub machine: Option<Platform>,
    /// What need not be brought; a policy insists on [`Presence::Verified`].
    pub presence: Presence,
    /// How many at once.
    pub threads: Threads,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Packages that were brought, sorted.
    pub fetched: Vec<PackageId>,
    /// Those of them that replaced one which was there and damaged, sorted.
    pub replaced: Vec<PackageId>,
    /// Packages that were there, sorted.
    pub present: Vec<PackageId>,
}

/// Why not everything was received. What was active still is, and packages that are there are whole.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The artifact is damaged or cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The artifact is for other machines. Nothing was changed.
    #[error("the artifact is for {expected}, but this machine is {found}; nothing was changed")]
    OtherMachine {
        /// What the packages run on.
        expected: String,
        /// What this machine is.
        found: Platform,
    },
    /// Something that is not what the store puts there. Nothing was changed.
    #[error("{} is in the way: it is not a {expected}; move it away", path.display())]
    InTheWay {
        /// Where it is.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// Two at once would be in each other's way. Nothing was changed.
    #[error("another process is unpacking to {}; wait for it, or see what it does", .0.display())]
    Busy(PathBuf),
    /// A package that is there under the same ID was built to other bytes.
    #[error("{}, which is there already, differs from the artifact's: {difference}", path.display())]
    Differs {
        /// Its folder.
        path: PathBuf,
        /// The first difference.
        difference: Box<verify::Difference>,
    },
    /// The manifest has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl From<UnpackError> for ReceiveError {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Read(error) => Self::Read(error),
            UnpackError::Io(error) => Self::Io(error),
        }
    }
}

/// Puts onto `host` what `roles` need of the artifact that was admitted: packages, the program, the manifest.
///
/// # Errors
/// See [`ReceiveError`].
pub fn receive<R: ByteRanges>(
    admitted: &Admitted<'_, R>,
    host: &Host,
    _lock: &HostLock,
    roles: &BTreeSet<RoleName>,
    manner: Manner,
    observer: &dyn Observer,
) -> Result<Received, ReceiveError> {
    let reader = admitted.reader;
    check_machine(&reader.manifest().platform, manner.machine)?;
    let unpacking = sweep::unpacking(host.root())?;
    let _unpacking = unpacking.ok_or_else(|| ReceiveError::Busy(host.root().to_owned()))?;
    let mut survey = Survey::of(host, reader.manifest().for_roles(roles))?;
    if manner.presence.max(admitted.presence) == Presence::Verified {
        survey.distrust(host);
    }
    announce(&survey.lacking, observer);
    let mut open: Vec<&SelectedPackage> = survey.unlisted.clone();
    open.extend(&survey.lacking);
    // Large ones first, so that no thread is left with one of them at the end.
    open.sort_by_key(|package| std::cmp::Reverse(package.size));
    reader.expect_listings(&open)?;
    let bringing = Bringing {
        reader,
        host,
        observer,
    };
    bringing.all(&survey, &open, manner.threads)?;
    bringing.rest()?;
    let ids = |packages: &[&SelectedPackage]| packages.iter().map(|package| package.id.clone()).collect();
    Ok(Received {
        fetched: ids(&survey.lacking),
        replaced: ids(&survey.damaged),
        present: ids(&survey.present),
    })
}

fn check_machine(platform: &str, machine: Option<Platform>) -> Result<(), ReceiveError> {
    match machine {
        Some(found) if found.as_str() != platform => Err(ReceiveError::OtherMachine {
            expected: platform.to_owned(),
            found,
        }),
        _ => Ok(()),
    }
}

/// What is there of the packages that are needed.
struct Survey<'a> {
    /// Not there.
    lacking: Vec<&'a SelectedPackage>,
    /// There.
    present: Vec<&'a SelectedPackage>,
    /// Those of the lacking ones in whose place a damaged one is.
    damaged: Vec<&'a SelectedPackage>,
    /// Those that are there without their listing, so that they may have been built to other bytes.
    unlisted: Vec<&'a SelectedPackage>,
}

impl<'a> Survey<'a> {
    fn of(host: &Host, wanted: Vec<&'a SelectedPackage>) -> Result<Self, ReceiveError> {
        let mut survey = Self {
            lacking: Vec::new(),
            present: Vec::new(),
            damaged: Vec::new(),
            unlisted: Vec::new(),
        };
        for name in [PROGRAM, MANIFEST] {
            is_there(host.root().join(name), fs::Metadata::is_file, "file")?;
        }
        for package in wanted {
            let listed = is_there(host.listing(&package.tree), fs::Metadata::is_file, "listing")?;
            if !is_there(host.package(&package.id), fs::Metadata::is_dir, "package")? {
                survey.lacking.push(package);
                continue;
            }
            survey.present.push(package);
            if !listed {
                survey.unlisted.push(package);
            }
        }
        Ok(survey)
    }

    /// Counts what is there and differs from its listing, or has none, as lacking.
    fn distrust(&mut self, host: &Host) {
        let subject = |package: &SelectedPackage| verify::Subject {
            folder: host.package(&package.id),
            id: package.id.clone(),
            tree: package.tree,
            listing: host.listing(&package.tree),
            owner: verify::owner_of(host.root()).ok(),
        };
        let subjects: Vec<verify::Subject> = self.present.iter().copied().map(subject).collect();
        let found = verify::packages(&subjects, &verify::Run::new(&())).findings;
        let mut damaged = BTreeSet::new();
        for (subject, found) in subjects.into_iter().zip(found) {
            let is_whole = |found: verify::Findings| found.on_host(&subject.folder).next().is_none();
            if !found.is_some_and(is_whole) {
                damaged.insert(subject.id);
            }
        }
        let (damaged, present) = std::mem::take(&mut self.present)
            .into_iter()
            .partition(|package| damaged.contains(&package.id));
        self.present = present;
        self.damaged = damaged;
        self.unlisted.clear();
        self.lacking.extend(&self.damaged);
        self.lacking.sort_by(|a, b| a.id.cmp(&b.id));
    }
}

/// Whether what belongs at `path` is there. A link is never what belongs there.
fn is_there(
    path: PathBuf,
    is_right: fn(&fs::Metadata) -> bool,
    expected: &'static str,
) -> Result<bool, ReceiveError> {
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).at("look at", &path)?,
        Ok(found) if is_right(&found) => Ok(true),
        Ok(_) => Err(ReceiveError::InTheWay { path, expected }),
    }
}

/// What is unpacked and waits for the disk.
struct Arrived {
    listing: StagedFile,
    /// Nothing when only the listing was lacking.
    package: Option<Staged>,
}

/// Why a thread stopped.
enum Stop {
    Failed(ReceiveError),
    /// Nobody gives names any more; why not, that one says.
    Unpublished,
}

struct Bringing<'a, R> {
    reader: &'a Reader<R>,
    host: &'a Host,
    observer: &'a dyn Observer,
}

impl<R: ByteRanges> Bringing<'_, R> {
    /// Brings `open`, and publishes each as soon as it is durable.
    fn all(
        &self,
        survey: &Survey<'_>,
        open: &[&SelectedPackage],
        threads: Threads,
    ) -> Result<(), ReceiveError> {
        let (queue, arrived) = crossbeam_channel::unbounded();
        thread::scope(|scope| {
            let publisher = scope.spawn(move || publish_all(self.host, &arrived));
            let unpacker = || Unpacker::new().map_err(|error| Stop::Failed(ReadError::Unpack(error).into()));
            let brought = workers::for_each(threads, open, unpacker, |unpacker, package| {
                let is_listed_only = survey.unlisted.iter().any(|other| other.id == package.id);
                let arrived = match is_listed_only {
                    true => self.listing_only(package, unpacker),
                    false => self.insist(package, unpacker),
                };
                let arrived = arrived.map_err(Stop::Failed)?;
                queue.send(arrived).map_err(|_| Stop::Unpublished)
            });
            drop(queue);
            match publisher.join() {
                Ok(published) => published?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
            match brought {
                Err(Stop::Failed(error)) => Err(error),
                Ok(_) | Err(Stop::Unpublished) => Ok(()),
            }
        })
    }

    /// Unpacks one package, again when it was damaged on its way.
    fn insist(&self, package: &SelectedPackage, unpacker: &mut Unpacker) -> Result<Arrived, ReceiveError> {
        let mut tried = 1;
        loop {
            match self.package(package, unpacker) {
                Err(ReceiveError::Read(error)) if error.is_damage() && tried < TRIES => {
                    tried += 1;
                    // Its listing may be the part that is damaged.
                    self.reader.expect_listings(&[package])?;
                }
                done => return done,
            }
        }
    }

    fn package(&self, package: &SelectedPackage, unpacker: &mut Unpacker) -> Result<Arrived, ReceiveError> {
        let offer = Offer::of_artifact(self.reader, package, unpacker)?;
        let listing = self.document(&self.host.listing(&package.tree), &offer.listing)?;
        let packages = self.host.packages();
        let staged = unpacking::package(&offer, &packages, unpacker, self.observer)?;
        self.observer.package(package);
        Ok(Arrived {
            listing,
            package: Some(staged),
        })
    }

    /// Adds the listing of a package that is there, if it is that package's.
    fn listing_only(
        &self,
        package: &SelectedPackage,
        unpacker: &mut Unpacker,
    ) -> Result<Arrived, ReceiveError> {
        let (bytes, _) = self.reader.plan(package, unpacker)?;
        let listing = self.document(&self.host.listing(&package.tree), &bytes)?;
        let path = self.host.package(&package.id);
        let subject = verify::Subject {
            folder: path.clone(),
            id: package.id.clone(),
            tree: package.tree,
            listing: listing.partial().to_owned(),
            owner: None,
        };
        let found = verify::package(&subject, &verify::Run::new(&()));
        match found.differences.into_iter().next() {
            None => Ok(Arrived {
                listing,
                package: None,
            }),
            Some(difference) => Err(ReceiveError::Differs {
                path,
                difference: Box::new(difference),
            }),
        }
    }

    fn document(&self, path: &Path, bytes: &[u8]) -> Result<StagedFile, IoError> {
        unpacking::document(path, bytes, FILE_MODE, self.reader.manifest().source_date_epoch)
    }

    /// Puts the program and the manifest in place, where they are not yet.
    fn rest(&self) -> Result<(), ReceiveError> {
        let root = self.host.root();
        let mut staged = Vec::new();
        let program = root.join(PROGRAM);
        if let Some(installer) = &self.reader.manifest().installer
            && digest_at(&program)? != Some(installer.blake3)
        {
            staged.push(unpacking::installer(self.reader, installer, &program)?);
        }
        let manifest = root.join(MANIFEST);
        if digest_at(&manifest)? != Some(self.reader.manifest_digest()) {
            let bytes = self.reader.manifest().to_bytes()?;
            staged.push(self.document(&manifest, &bytes)?);
        }
        if self.reader.attested().is_some() {
            let path = root.join(attestations::FILE);
            let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
            let bytes = self.reader.attestations(&mut unpacker)?.to_bytes()?;
            if digest_at(&path)? != Some(Digest::of(&bytes)) {
                staged.push(self.document(&path, &bytes)?);
            }
        }
        if staged.is_empty() {
            return Ok(());
        }
        // The names of the packages, too.
        durable::sync_file_system(root)?;
        staged.into_iter().try_for_each(StagedFile::publish)?;
        Ok(durable::sync(root)?)
    }
}

/// Gives names to what arrives, all that is there at a time after one wait for the disk.
fn publish_all(host: &Host, arrived: &Receiver<Arrived>) -> Result<(), ReceiveError> {
    while let Ok(first) = arrived.recv() {
        let batch: Vec<Arrived> = std::iter::once(first).chain(arrived.try_iter()).collect();
        durable::sync_file_system(host.root())?;
        for Arrived { listing, package } in batch {
            listing.publish()?;
            match package {
                // Only a damaged one can be there.
                Some(staged) if fs::symlink_metadata(host.package(&staged.id)).is_ok() => {
                    staged.replace()?;
                }
                Some(staged) => drop(staged.publish()?),
                None => {}
            }
        }
    }
    durable::sync(&host.root().join(TREES))?;
    Ok(durable::sync(&host.packages())?)
}

/// The digest of the file at `path`; nothing when there is none.
fn digest_at(path: &Path) -> Result<Option<Digest>, ReceiveError> {
    if !is_there(path.to_owned(), fs::Metadata::is_file, "file")? {
        return Ok(None);
    }
    let (digest, _) = listing::hash_file(path, &mut |_| ())?;
    Ok(Some(digest))
}
