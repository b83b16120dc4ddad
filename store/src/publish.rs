//! Owns the only way by which bytes become visible in a store: write aside, make durable, rename, register.
//!
//! A package is *placed* first (hashed, its listing written, its folder renamed into `packages/`) and *registered*
//! later, when all of it is known to be on the disk. What a kill or a power cut leaves in between is a folder without
//! a row in the index. [`Store::present`] finds out whether such a folder is whole: its content must hash to a listing that is
//! there and its resolved recipe to its ID. If so it is registered, else it counts as absent and is replaced.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use filetime::FileTime;
use nix::fcntl::OFlag;
use schema::resolved::ResolvedRecipe;

mod adopt;

pub(crate) use adopt::{adopt, adopt_locked, examine, look_at};

use crate::durable;
use crate::facts::{self, FactsError};
use crate::index::{Attempt, IndexError, Registration};
use crate::io_error::{IoContext, IoError};
use crate::listing::{self, ListError};
use crate::lock::PackageLock;
use crate::regular::{self, NotRegular};
use crate::removal;
use crate::store::Store;
use crate::tree::{self, Node, NodeKind, Walk};

/// Mode of every folder of a package.
pub const FOLDER_MODE: u32 = 0o555;
/// Mode of every file that may be run.
pub const EXECUTABLE_MODE: u32 = 0o555;
/// Mode of every other file.
pub const FILE_MODE: u32 = 0o444;

/// Why something could not be published. Nothing of it is visible then.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The folder holds what no package may hold.
    #[error(transparent)]
    List(ListError),
    /// The folder's resolved recipe is missing or another's.
    #[error(transparent)]
    Facts(FactsError),
    /// A mode or time that normalised packages do not have.
    #[error("{}: {what} is not normalised", path.display())]
    NotNormalised {
        /// The file.
        path: PathBuf,
        /// What of it.
        what: NotNormal,
    },
    /// The folder's content is that of no listing, so it is torn or was changed.
    #[error("{}: no listing says that this is a package's content", .0.display())]
    NotListed(PathBuf),
    /// The index refused something.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// What of a file is not as in every package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNormal {
    /// Its permission bits.
    #[error("mode {0:04o}")]
    Mode(u32),
    /// Its modification time, in seconds since 1970.
    #[error("modification time {0}")]
    Time(i64),
}

/// Whether a publication changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It was not there before.
    New,
    /// It was; what was offered is gone.
    AlreadyThere,
}

/// A package that is visible, but not registered yet. Holds the package's lock until it is.
#[derive(Debug)]
pub struct Placed {
    registration: Registration,
    published: Published,
    _lock: PackageLock,
}

impl Placed {
    /// What will be registered.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Whether it was placed now or had been before.
    pub fn published(&self) -> Published {
        self.published
    }

    /// Remembers how it was built.
    pub fn built(&mut self, attempt: Attempt) {
        self.registration.build = Some(attempt);
    }
}

impl PublishError {
    /// Whether there was no room left on the disk.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io(error) | Self::List(ListError::Io(error)) | Self::Facts(FactsError::Io(error)) => {
                error.is_disk_full()
            }
            Self::Index(error) => error.is_disk_full(),
            _ => false,
        }
    }

    /// Whether it says something about a folder, rather than that the system or the index failed.
    fn is_about_content(&self) -> bool {
        match self {
            Self::Io(error) => error.is_not_found(),
            Self::Index(_) => false,
            _ => true,
        }
    }
}

impl From<ListError> for PublishError {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Io(error) => Self::Io(error),
            other => Self::List(other),
        }
    }
}

impl From<FactsError> for PublishError {
    fn from(error: FactsError) -> Self {
        match error {
            FactsError::Io(error) => Self::Io(error),
            other => Self::Facts(other),
        }
    }
}

/// Publishes `bytes` as the read-only file `target` of this store; a file that is there already stays.
///
/// # Errors
/// When it cannot be written.
pub fn bytes(store: &Store, bytes: &[u8], target: &Path) -> Result<Published, IoError> {
    if target.exists() {
        return Ok(Published::AlreadyThere);
    }
    let aside = write_aside(store, bytes)?;
    file(&aside, target)
}

/// Publishes the finished file `staged`, which lies on the store's file system, as the read-only file `target`.
/// A file that is there already stays, and `staged` is removed.
///
/// # Errors
/// When it cannot be made durable or moved.
pub fn file(staged: &Path, target: &Path) -> Result<Published, IoError> {
    set_mode(staged, FILE_MODE)?;
    durable::sync(staged)?;
    // A link, unlike a rename, never replaces: of two who publish the same, the first wins.
    let published = match fs::hard_link(staged, target) {
        Ok(()) => Published::New,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Published::AlreadyThere,
        Err(error) => return Err(error).at("publish", target),
    };
    fs::remove_file(staged).at("remove", staged)?;
    durable::sync(durable::parent(target))?;
    Ok(published)
}

/// Gives the finished file `staged`, which lies on the store's file system, the name `target`, in place of what is there,
/// and does not wait for the disk. For what can be made again, and is not believed unless its digest is right.
///
/// # Errors
/// When it cannot be moved.
pub fn replacing(staged: &Path, target: &Path) -> Result<(), IoError> {
    set_mode(staged, FILE_MODE)?;
    fs::rename(staged, target).at("publish", target)
}

/// Publishes the finished folder `staged`, which lies on the store's file system, as `target`, as it is.
/// A folder that is there already stays, and `staged` is removed.
///
/// # Errors
/// When it cannot be made durable or moved.
pub fn folder(staged: &Path, target: &Path) -> Result<Published, IoError> {
    durable::sync_file_system(staged)?;
    match fs::rename(staged, target) {
        Ok(()) => {
            durable::sync(durable::parent(target))?;
            Ok(Published::New)
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            removal::remove(staged)?;
            Ok(Published::AlreadyThere)
        }
        Err(error) => Err(error).at("publish", target),
    }
}

/// Makes the normalised folder `staged`, which lies on the store's file system, the package that `lock` is for.
/// A whole package that is there already stays, and `staged` is removed.
///
/// # Errors
/// See [`PublishError`]; `staged` is then left where it is.
pub fn place(store: &Store, staged: &Path, lock: PackageLock) -> Result<Placed, PublishError> {
    let id = lock.id().clone();
    let target = store.package_path(&id);
    // Stated before anything is there, so that no garbage collection takes it before its maker is done.
    store.protect(std::slice::from_ref(&id))?;
    if fs::symlink_metadata(&target).is_ok() {
        if let Some(registration) = adopt::whole(store, &id)? {
            removal::remove(staged)?;
            return Ok(Placed {
                registration,
                published: Published::AlreadyThere,
                _lock: lock,
            });
        }
        removal::remove(&set_aside(store, &target)?)?;
    }
    let recipe = facts::read(staged, &id)?;
    let walk = tree::walk(staged)?;
    check_normal(staged, &walk, &recipe)?;
    let epoch = epoch(&recipe);
    let listed = listing::of_walk(staged, walk)?;
    write_listing(store, &listed.bytes, &store.tree_path(&listed.tree))?;
    // Who is not root can move a folder to another parent only while it is writable.
    set_mode(staged, 0o755)?;
    fs::rename(staged, &target).at("publish", &target)?;
    seal(&target, epoch)?;
    Ok(Placed {
        registration: facts::registration(recipe, id, listed.tree, listed.listing.size()),
        published: Published::New,
        _lock: lock,
    })
}

/// Makes placed packages durable and registers them, all in one transaction.
///
/// # Errors
/// When the disk or the index refuses; then none is registered, and each is adopted when it is next asked for.
pub fn register(store: &Store, placed: Vec<Placed>) -> Result<(), PublishError> {
    if placed.is_empty() {
        return Ok(());
    }
    durable::sync_file_system(store.root())?;
    let registrations: Vec<_> = placed.iter().map(|p| p.registration.clone()).collect();
    Ok(store.index().register(&registrations)?)
}

/// What about `node` is not as in every package of that `epoch`.
pub(crate) fn not_normal(node: &Node, epoch: i64) -> Option<NotNormal> {
    let mode_is_right = match node.kind {
        NodeKind::File { .. } => matches!(node.mode, FILE_MODE | EXECUTABLE_MODE),
        NodeKind::Dir => node.mode == FOLDER_MODE,
        NodeKind::Symlink { .. } | NodeKind::Other(_) => true,
    };
    if !mode_is_right {
        return Some(NotNormal::Mode(node.mode));
    }
    (node.mtime != epoch || node.mtime_nanoseconds != 0).then_some(NotNormal::Time(node.mtime))
}

pub(crate) fn epoch(recipe: &ResolvedRecipe) -> i64 {
    i64::try_from(recipe.source_date_epoch).unwrap_or(i64::MAX)
}

pub(crate) fn check_normal(folder: &Path, walk: &Walk, recipe: &ResolvedRecipe) -> Result<(), PublishError> {
    let epoch = epoch(recipe);
    match walk
        .nodes
        .iter()
        .find_map(|node| Some((node, not_normal(node, epoch)?)))
    {
        None => Ok(()),
        Some((node, what)) => Err(PublishError::NotNormalised {
            path: folder.join(&node.path),
            what,
        }),
    }
}

/// Gives a package's own folder the mode and time that it has in every store.
pub(crate) fn seal(folder: &Path, epoch: i64) -> Result<(), IoError> {
    filetime::set_file_mtime(folder, FileTime::from_unix_time(epoch, 0)).at("set time of", folder)?;
    set_mode(folder, FOLDER_MODE)
}

/// Puts the listing in place. One with other bytes can only be what a power cut left of it, and is replaced.
pub(crate) fn write_listing(store: &Store, bytes: &[u8], target: &Path) -> Result<(), IoError> {
    match regular::read(target) {
        Ok(there) if there == bytes => return Ok(()),
        Ok(_) => {}
        Err(error) if error.is_not_found() || NotRegular::of(&error.source).is_some() => {}
        Err(error) => return Err(error),
    }
    // Durable together with the package's folder, before that is registered.
    let aside = write_aside(store, bytes)?;
    set_mode(&aside, FILE_MODE)?;
    fs::rename(&aside, target).at("publish", target)
}

fn write_aside(store: &Store, bytes: &[u8]) -> Result<PathBuf, IoError> {
    let aside = store.fresh_path()?;
    let written = File::create_new(&aside).and_then(|mut file| file.write_all(bytes));
    if written.is_err() {
        // On a full disk every byte counts.
        let _ = fs::remove_file(&aside);
    }
    written.at("write", &aside)?;
    Ok(aside)
}

/// Takes what is at `target`, if anything, out of sight at once; says where it is for removal.
pub(crate) fn set_aside(store: &Store, target: &Path) -> Result<PathBuf, IoError> {
    let aside = store.fresh_path()?;
    let metadata = match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(aside),
        looked => looked.at("look at", target)?,
    };
    if metadata.is_dir() {
        // Who is not root can move a folder to another parent only while it is writable.
        set_mode(target, 0o755)?;
    }
    fs::rename(target, &aside).at("move aside", target)?;
    Ok(aside)
}

/// Sets the mode of what is at `path` itself. A link that took its place, as whoever may write a store could lay one for
/// root to follow, is an error.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), IoError> {
    let permissions = Permissions::from_mode(mode);
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = File::options().read(true).custom_flags(flags.bits()).open(path);
    let set = match opened {
        Ok(file) => file.set_permissions(permissions),
        // Whoever may not read it can change nothing but what is their own.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::set_permissions(path, permissions)
        }
        Err(error) => Err(error),
    };
    set.at("set mode of", path)
}

#[cfg(test)]
mod tests;
