//! Owns a host: the folder that a prefix is on one machine, its generations, and which of them is active.
//!
//! Nothing in it is ever changed in place. A package is a folder that was made aside and renamed; so is a generation;
//! and which generation is active is one symbolic link, swapped by one rename. Whatever kills a command therefore
//! leaves the host wholly as it was or wholly as it was to be, and the same command, run again, completes.

pub mod activate;
pub mod address;
pub mod audit;
pub mod blueprint;
pub mod changes;
pub mod collect;
mod damaged;
mod existing;
mod files;
pub mod finding;
pub mod heal;
pub mod layout;
mod members;
pub mod overriding;
mod pending;
pub mod plan;
pub mod policy;
pub mod preflight;
pub mod receive;
pub mod repair;
pub mod rollback;
pub mod root;
pub mod status;
mod sweep;
pub mod switch;
pub mod system;
mod trail;
mod units;
pub mod verify;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schema::canonical::CanonicalError;
use schema::digest::Digest;
use schema::generation::{Generation, GenerationError, GenerationNumber};
use schema::id::PackageId;
use schema::manifest::{ActiveManifest, ManifestError};

pub use finding::Finding;
pub use pending::Pending;
pub use root::RootError;
pub use trail::Trail;

use crate::activation::FOLDERS;
use crate::facts::FactsError;
use crate::folder;
use crate::io_error::{IoContext, IoError};
use crate::lock::FileLock;
use crate::places::{self, HOST_LOCK, PACKAGES, TREES};
use crate::regular::{self, NotRegular};
use system::SystemError;

pub(crate) const GENERATIONS: &str = "generations";
pub(crate) const MANIFEST: &str = "manifest.json";
const GENERATION: &str = "generation.json";
const CURRENT: &str = "current";
const ACTIVE: &str = "active";
/// What a host remembers of the update channel that it follows.
pub const CHANNEL: &str = "channel";
/// The binary that hosts run.
pub const PROGRAM: &str = "store";

/// What lies beside `current` and leads through it, so that paths below the prefix are the same in every generation.
fn top_links() -> impl Iterator<Item = &'static str> {
    let files = [ACTIVE, files::ENVIRONMENT, files::EXPORT];
    FOLDERS.into_iter().chain(files)
}

/// The folder of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    root: PathBuf,
}

/// The right to change a host; one process at a time has it.
#[derive(Debug)]
pub struct HostLock {
    _lock: FileLock,
}

/// A manifest with the bytes it was read from, whose digest names it.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// What it says.
    pub document: ActiveManifest,
    /// The canonical bytes.
    pub bytes: Vec<u8>,
    /// The BLAKE3 of these bytes.
    pub digest: Digest,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ManifestError> {
        Ok(Self {
            document: ActiveManifest::parse(&bytes)?,
            digest: Digest::of(&bytes),
            bytes,
        })
    }

    /// Reads the manifest in the file `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, HostError> {
        Self::of(path, regular::read_behind(path)?)
    }

    /// Reads one that the host itself keeps.
    fn kept(path: &Path) -> Result<Self, HostError> {
        Self::of(path, regular::read(path)?)
    }

    fn of(path: &Path, bytes: Vec<u8>) -> Result<Self, HostError> {
        Self::parse(bytes).map_err(|source| HostError::Manifest {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }
}

/// Why something could not be done on a host. Unless it says otherwise, what was active still is.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The folder is no host, or none that can be worked on.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Another process is changing the host.
    #[error("another process is changing {}; wait for it, or see what it does", .0.display())]
    Busy(PathBuf),
    /// There is no manifest to activate.
    #[error("{} is not there: nothing was installed yet", .0.display())]
    NoManifest(PathBuf),
    /// A manifest that cannot be used.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ManifestError>,
    },
    /// A generation that is not there.
    #[error("there is no generation {number} in {}{}", folder.display(), match existing.as_slice() {
        [] => String::new(),
        some => format!(", only {}", some.iter().map(GenerationNumber::to_string).collect::<Vec<_>>().join(", ")),
    })]
    NoGeneration {
        /// Its number.
        number: GenerationNumber,
        /// Where it should be.
        folder: PathBuf,
        /// The generations that are there.
        existing: Vec<GenerationNumber>,
    },
    /// A generation whose folder does not say what it is.
    #[error("generation {number} is damaged: {reason}; `store activate` makes a new one")]
    Damaged {
        /// Its number.
        number: GenerationNumber,
        /// What is wrong with it.
        reason: String,
    },
    /// `current` is something that the store did not make.
    #[error("{} leads to `{found}`, which is not a generation", path.display())]
    OddCurrent {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        found: String,
    },
    /// Nothing is active, or the roles of what is cannot be told.
    #[error("nothing is active in {}", .0.display())]
    NothingActive(PathBuf),
    /// A number that only somebody else can have given.
    #[error(
        "generation {0}, whose number the store did not give, leaves none for another one; install this host anew in an empty prefix"
    )]
    NoNumberLeft(GenerationNumber),
    /// There is no generation before the current one.
    #[error("there is no generation before {0} to go back to")]
    NoneBefore(GenerationNumber),
    /// Everything that keeps a generation from becoming active; nothing was changed.
    #[error("{}", finding::list(.0))]
    Findings(Vec<Finding>),
    /// The system around the prefix could not be looked at.
    #[error(transparent)]
    System(#[from] SystemError),
    /// Units or health failed after the swap, or around it.
    #[error(transparent)]
    Switch(#[from] Box<switch::SwitchError>),
    /// No such package is active.
    #[error("no package `{0}` is active")]
    NotActive(String),
    /// A package's resolved recipe that cannot be marked as local.
    #[error("{package} cannot be marked as local: {source}")]
    Unmarkable {
        /// The package.
        package: PackageId,
        /// Why.
        source: Box<FactsError>,
    },
    /// A document has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl Host {
    /// Where the prefix stands on this machine.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of all packages.
    pub fn packages(&self) -> PathBuf {
        self.root.join(PACKAGES)
    }

    /// The folder of the package `id`.
    pub fn package(&self, id: &PackageId) -> PathBuf {
        self.packages().join(id.to_string())
    }

    /// The listing of digest `tree`.
    pub fn listing(&self, tree: &Digest) -> PathBuf {
        self.root.join(places::listing_path(tree))
    }

    /// The folder of all generations.
    pub fn generations_folder(&self) -> PathBuf {
        self.root.join(GENERATIONS)
    }

    /// The folder of one generation.
    pub fn generation_folder(&self, number: GenerationNumber) -> PathBuf {
        self.generations_folder().join(number.to_string())
    }

    /// Takes the right to change this host and clears away what killed processes left.
    ///
    /// # Errors
    /// [`HostError::Busy`] when another process has it; an error of the root when it cannot be written.
    pub fn lock(&self) -> Result<HostLock, HostError> {
        root::writable(&self.root)?;
        let lock = FileLock::attempt(&self.root.join(HOST_LOCK))?;
        let lock = lock.ok_or_else(|| HostError::Busy(self.root.clone()))?;
        sweep::sweep(&self.root)?;
        Ok(HostLock { _lock: lock })
    }

    /// The manifest that was last installed here.
    ///
    /// # Errors
    /// When there is none or it cannot be used.
    pub fn manifest(&self) -> Result<Manifest, HostError> {
        let path = self.root.join(MANIFEST);
        match Manifest::kept(&path) {
            Err(HostError::Io(error)) if error.is_not_found() => Err(HostError::NoManifest(path)),
            read => read,
        }
    }

    /// The manifest that the active generation was made from.
    ///
    /// # Errors
    /// When nothing is active, or what is is damaged.
    pub fn active_manifest(&self) -> Result<Manifest, HostError> {
        let current = self.current()?;
        let current = current.ok_or_else(|| HostError::NothingActive(self.root.clone()))?;
        let generation = self.generation(current)?;
        self.generation_manifest(current, &generation.manifest)
    }

    /// Where this host's prefix stands when the host runs, as far as anything that is installed says so.
    pub fn prefix(&self) -> Option<PathBuf> {
        let installed = || Some(self.manifest().ok()?.document.prefix);
        let active = || Some(self.generation(self.current().ok()??).ok()?.prefix);
        installed().or_else(active).map(PathBuf::from)
    }

    /// The number of the active generation, whether its folder is there or not; nothing when none is.
    ///
    /// # Errors
    /// When `current` is not what the store made.
    pub fn current(&self) -> Result<Option<GenerationNumber>, HostError> {
        let path = self.root.join(CURRENT);
        let target = match fs::read_link(&path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                PathBuf::from("itself, as no link does")
            }
            Err(error) => return Err(error).at("read link", &path)?,
        };
        let number = target
            .strip_prefix(GENERATIONS)
            .ok()
            .and_then(|rest| number(rest.as_os_str()));
        number.map(Some).ok_or_else(|| HostError::OddCurrent {
            path,
            found: target.to_string_lossy().into_owned(),
        })
    }

    /// The numbers of all generations, ascending. Only numbers order them, never a clock.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn generations(&self) -> Result<Vec<GenerationNumber>, IoError> {
        let entries = folder::entries_if_there(&self.generations_folder())?;
        let numbers = entries.iter().filter_map(|entry| number(&entry.file_name()));
        let mut numbers: Vec<GenerationNumber> = numbers.collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// What generation `number` says is active.
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub fn generation(&self, number: GenerationNumber) -> Result<Generation, HostError> {
        let path = self.generation_folder(number).join(GENERATION);
        let bytes = match regular::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Err(self.absent(number)),
            Err(error) => return Err(error.into()),
        };
        Generation::parse(&bytes).map_err(|error: GenerationError| HostError::Damaged {
            number,
            reason: error.to_string(),
        })
    }

    /// The manifest that generation `number` was made from.
    ///
    /// # Errors
    /// When it is not there or not the one.
    pub fn generation_manifest(
        &self,
        number: GenerationNumber,
        digest: &Digest,
    ) -> Result<Manifest, HostError> {
        let damaged = |reason: String| HostError::Damaged { number, reason };
        let path = self.generation_folder(number).join(MANIFEST);
        let manifest = match Manifest::kept(&path) {
            Ok(manifest) => manifest,
            Err(HostError::Io(error)) if NotRegular::of(&error.source).is_some() => return Err(error.into()),
            Err(error) => return Err(damaged(error.to_string())),
        };
        match manifest.digest == *digest {
            true => Ok(manifest),
            false => Err(damaged(format!("{} is another manifest", path.display()))),
        }
    }

    fn absent(&self, number: GenerationNumber) -> HostError {
        HostError::NoGeneration {
            number,
            folder: self.generations_folder(),
            existing: self.generations().unwrap_or_default(),
        }
    }
}

/// The number that the name of a generation's folder is; nothing for other names, `01` included.
fn number(name: &std::ffi::OsStr) -> Option<GenerationNumber> {
    name.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
