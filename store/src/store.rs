//! Owns the store as a folder: where everything lies in it, how it is opened, and which formats it may have.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};
use schema::digest::Digest;
use schema::id::PackageId;

use crate::folder;
use crate::index::{Index, IndexError};
use crate::io_error::{IoContext, IoError};
use crate::lock::{FileLock, PackageLock};
use crate::places::{self, ARCHIVES, PACKAGES, TREES};
use crate::protection::Needs;
use crate::publish;
use crate::regular;
use crate::work::{self, KEPT, LOCKS, WorkArea};

mod founding;

use founding::known;
pub(crate) use founding::{are_own_folders, belongs_at_top, exists, prepare};

/// The format of the folder that this program reads and writes.
pub const FORMAT: u32 = 1;

/// The name of the file with the format of a store.
pub(crate) const FORMAT_FILE: &str = "format";
/// The name of the index within a store.
pub(crate) const INDEX_FILE: &str = "index.sqlite";
const SOURCES: &str = "sources";
/// The name of the folder of logs within a store.
pub(crate) const LOGS: &str = "logs";
/// The name of the folder of attestations within a store.
pub(crate) const ATTESTATIONS: &str = "attestations";
/// The name of the folder of what builds were made from, within a store.
pub(crate) const RECIPES: &str = "recipes";
/// The name of the folder for what is unfinished within a store.
pub(crate) const TMP: &str = "tmp";
/// What file systems put at their own top, which a store may be.
const LOST_AND_FOUND: &str = "lost+found";
/// The folders within a store.
pub(crate) const FOLDERS: [&str; 8] = [
    PACKAGES,
    TREES,
    ARCHIVES,
    SOURCES,
    LOGS,
    ATTESTATIONS,
    RECIPES,
    TMP,
];

/// Why a folder cannot be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// No store is there, and none is to be made.
    #[error("there is no store at {}; name another with --store, or let `store build` make one", .0.display())]
    Absent(PathBuf),
    /// A folder with other things in it.
    #[error("{} is not a store: it is not empty and has no file `format`", .0.display())]
    NotAStore(PathBuf),
    /// The file `format` holds no number.
    #[error("{}: `{text}` is not a format version", path.display())]
    OddFormat {
        /// The file.
        path: PathBuf,
        /// What it says.
        text: String,
    },
    /// Written by a newer program.
    #[error(
        "the store {} has format {found}, newer than this program knows ({FORMAT}); use a newer `store`", root.display()
    )]
    Newer {
        /// The store.
        root: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Its index cannot be used.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Another process uses the store, and what was asked for needs it alone.
    #[error("the store {} is in use by another process; try again when that is done", .0.display())]
    InUse(PathBuf),
}

/// An open store. May be shared by threads; several processes may have the same store open.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    index: Index,
    access: Access,
    serial: AtomicU64,
    needs: Mutex<Option<Needs>>,
    scratch: Mutex<Option<WorkArea>>,
    // Shared by all who have the store open; whoever must be alone takes it exclusively.
    _in_use: File,
}

/// What a process may do with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    Write,
    /// Look at it: it is another user's, or on a file system that cannot be written.
    Look,
}

/// Where things lie in a store.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn packages(&self) -> PathBuf {
        self.root.join(PACKAGES)
    }

    pub(crate) fn trees(&self) -> PathBuf {
        self.root.join(TREES)
    }

    pub(crate) fn archives(&self) -> PathBuf {
        self.root.join(ARCHIVES)
    }

    pub(crate) fn sources(&self) -> PathBuf {
        self.root.join(SOURCES)
    }

    pub(crate) fn attestations(&self) -> PathBuf {
        self.root.join(ATTESTATIONS)
    }

    pub(crate) fn recipes(&self) -> PathBuf {
        self.root.join(RECIPES)
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join(LOGS)
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join(TMP)
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join(INDEX_FILE)
    }

    pub(crate) fn tree(&self, tree: &Digest) -> PathBuf {
        self.root.join(places::listing_path(tree))
    }
}

impl Store {
    /// Opens the store at `root`, which must be there, and removes what dead processes left unfinished. One that this
    /// process may only read is opened to be looked at, and left as it is.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(root: &Path) -> Result<Self, OpenError> {
        exists(root)?;
        match eaccess(root, AccessFlags::W_OK) {
            Err(Errno::EACCES | Errno::EPERM | Errno::EROFS) => Self::open_to_look(root),
            _ => Self::open_or_create(root),
        }
    }

    fn open_to_look(root: &Path) -> Result<Self, OpenError> {
        let root = fs::canonicalize(root).at("resolve", root)?;
        let layout = Layout { root };
        let format = layout.folder(FORMAT_FILE);
        let in_use = known(&layout, regular::open(&format)?)?;
        in_use.lock_shared().at("lock", &format)?;
        let index = Index::open_to_look(&layout.index())?;
        Ok(Self::of(layout, index, in_use, Access::Look))
    }

    fn of(layout: Layout, index: Index, in_use: File, access: Access) -> Self {
        Self {
            layout,
            index,
            access,
            serial: AtomicU64::new(0),
            needs: Mutex::new(None),
            scratch: Mutex::new(None),
            _in_use: in_use,
        }
    }

    /// What this process may do with it.
    pub fn access(&self) -> Access {
        self.access
    }

    /// As [`Store::open`], but makes the store when nothing is there.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_or_create(root: &Path) -> Result<Self, OpenError> {
        let (layout, in_use) = prepare(root)?;
        let format = layout.folder(FORMAT_FILE);
        in_use.lock_shared().at("lock", &format)?;
        // Swept first: on a full disk that may be the room that the index needs.
        work::sweep(&layout.tmp())?;
        let index = Index::open(&layout.index())?;
        Ok(Self::of(layout, index, in_use, Access::Write))
    }

    /// The store's folder, absolute.
    pub fn root(&self) -> &Path {
        &self.layout.root
    }

    /// `packages/<id>`, the package's folder.
    pub fn package_path(&self, id: &PackageId) -> PathBuf {
        self.root().join(places::package_path(id))
    }

    /// `trees/<digest>.json`, the listing of that digest.
    pub fn tree_path(&self, tree: &Digest) -> PathBuf {
        self.layout.tree(tree)
    }

    /// `archives/<digest>.tar.zst`, the archive of the package whose tree has that digest.
    pub fn archive_path(&self, tree: &Digest) -> PathBuf {
        self.root().join(places::archive_path(tree))
    }

    /// `sources/<key>`, the source whose recipe states that digest, as in [`schema::source::SourceDigest::key`].
    pub fn source_path(&self, key: &str) -> PathBuf {
        self.layout.sources().join(key)
    }

    /// `sources/<key>.part`, what there is so far of a source that is being fetched; to be used under its lock.
    pub fn partial_source_path(&self, key: &str) -> PathBuf {
        self.layout.sources().join(format!("{key}.part"))
    }

    /// `logs/<id>.zst`, the log of the last attempt to build the package.
    pub fn log_path(&self, id: &PackageId) -> PathBuf {
        self.layout.logs().join(format!("{id}.zst"))
    }

    /// `recipes/<digest>`, a resolved recipe or a file of one, as a build found it.
    pub(crate) fn recipes_path(&self, digest: &Digest) -> PathBuf {
        self.layout.recipes().join(digest.to_string())
    }

    /// `tmp/kept/<purpose>`, where [`WorkArea::keep`] put the last area kept for that purpose.
    pub fn kept_path(&self, purpose: &str) -> PathBuf {
        self.layout.tmp().join(KEPT).join(purpose)
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A fresh folder on the store's file system, mode 0700. `purpose` becomes part of its name, e.g. a store ID.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn work_area(&self, purpose: &str) -> Result<WorkArea, IoError> {
        WorkArea::new(&self.layout.tmp(), purpose)
    }

    /// Takes the right to build or place `id`, waiting for whoever has it.
    ///
    /// # Errors
    /// When the lock's file cannot be made.
    pub fn lock_package(&self, id: &PackageId) -> Result<PackageLock, IoError> {
        Ok(PackageLock::new(id.clone(), FileLock::wait(&self.lock_path(id))?))
    }

    /// Takes the right to build or place `id`; nothing when another has it.
    ///
    /// # Errors
    /// When the lock's file cannot be made.
    pub fn try_lock_package(&self, id: &PackageId) -> Result<Option<PackageLock>, IoError> {
        let lock = FileLock::attempt(&self.lock_path(id))?;
        Ok(lock.map(|lock| PackageLock::new(id.clone(), lock)))
    }

    /// Takes the right to fetch the source of that key, waiting for whoever has it.
    ///
    /// # Errors
    /// When the lock's file cannot be made.
    pub fn lock_source(&self, key: &str) -> Result<FileLock, IoError> {
        FileLock::wait(&self.source_lock(key))
    }

    /// As [`Store::lock_source`]; nothing when another has it.
    ///
    /// # Errors
    /// When the lock's file cannot be made.
    pub fn try_lock_source(&self, key: &str) -> Result<Option<FileLock>, IoError> {
        FileLock::attempt(&self.source_lock(key))
    }

    fn source_lock(&self, key: &str) -> PathBuf {
        self.layout.tmp().join(LOCKS).join(key)
    }

    fn lock_path(&self, id: &PackageId) -> PathBuf {
        self.layout.tmp().join(LOCKS).join(id.to_string())
    }

    /// Keeps `ids` from garbage collection as long as this store is open, whether they are there yet or not.
    /// To be called for a plan's packages and their inputs before looking which are present.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn protect(&self, ids: &[PackageId]) -> Result<(), IoError> {
        let tmp = self.layout.tmp();
        let mut needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        let needs = match &mut *needs {
            Some(needs) => needs,
            none => none.insert(Needs::new(&tmp)?),
        };
        needs.add(&tmp, ids)
    }

    /// Those of `ids` that are registered and whose folders are there. A folder that a killed process placed but did
    /// not come to register is checked and registered now.
    ///
    /// # Errors
    /// When index or folders cannot be read.
    pub fn present(&self, ids: &[PackageId]) -> Result<HashSet<PackageId>, publish::PublishError> {
        let registered = self.index.registered(ids)?;
        let folders = self.package_folders()?;
        let (mut present, mut unknown) = (HashSet::with_capacity(ids.len()), Vec::new());
        for id in ids.iter().filter(|id| folders.contains(&id.to_string())) {
            if registered.contains(id) {
                present.insert(id.clone());
            } else {
                unknown.push(id.clone());
            }
        }
        present.extend(publish::adopt(self, &unknown)?);
        Ok(present)
    }

    /// Whether the package that `lock` is for is present, as [`Store::present`] has it. To be asked once the lock is
    /// had: another may have made the package meanwhile.
    ///
    /// # Errors
    /// When index or folder cannot be read.
    pub fn is_present(&self, lock: &PackageLock) -> Result<bool, publish::PublishError> {
        if fs::symlink_metadata(self.package_path(lock.id())).is_err() {
            return Ok(false);
        }
        let registered = self.index.registered(std::slice::from_ref(lock.id()))?;
        if registered.contains(lock.id()) {
            return Ok(true);
        }
        publish::adopt_locked(self, lock)
    }

    /// The names in `packages/`.
    pub(crate) fn package_folders(&self) -> Result<HashSet<String>, IoError> {
        let entries = folder::entries(&self.layout.packages())?.into_iter();
        // What is not UTF-8 is no store ID.
        Ok(entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect())
    }

    /// A path that nobody else uses, on the store's file system; swept when this process is gone.
    pub(crate) fn fresh_path(&self) -> Result<PathBuf, IoError> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let mut scratch: MutexGuard<'_, _> = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let scratch = match &mut *scratch {
            Some(scratch) => scratch,
            none => none.insert(self.work_area("publish")?),
        };
        Ok(scratch.path().join(serial.to_string()))
    }
}
