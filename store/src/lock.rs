//! Owns the locks between processes: files held by `flock`, which the kernel lets go when their holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use schema::id::PackageId;

use crate::io_error::{IoContext, IoError};

/// A file that one holder at a time has; removed when it is let go.
#[derive(Debug)]
pub struct FileLock {
    path: PathBuf,
    // Declared for its lock alone: closing it frees the lock.
    _file: File,
}

/// The right to build, place or remove one package; others wait or do something else meanwhile.
#[derive(Debug)]
pub struct PackageLock {
    id: PackageId,
    _lock: FileLock,
}

impl PackageLock {
    pub(crate) fn new(id: PackageId, lock: FileLock) -> Self {
        Self { id, _lock: lock }
    }

    /// The package.
    pub fn id(&self) -> &PackageId {
        &self.id
    }
}

impl FileLock {
    /// Takes the lock at `path`, waiting for whoever has it.
    ///
    /// # Errors
    /// When the file can be neither made nor locked.
    pub fn wait(path: &Path) -> Result<Self, IoError> {
        loop {
            let file = open(path)?;
            file.lock().at("lock", path)?;
            if still_at(&file, path) {
                return Ok(Self::holding(path, file));
            }
        }
    }

    /// Takes the lock at `path`; nothing when another has it.
    ///
    /// # Errors
    /// As [`FileLock::wait`].
    pub fn attempt(path: &Path) -> Result<Option<Self>, IoError> {
        loop {
            let file = open(path)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(source).at("lock", path),
                Ok(()) if still_at(&file, path) => return Ok(Some(Self::holding(path, file))),
                Ok(()) => {}
            }
        }
    }

    fn holding(path: &Path, file: File) -> Self {
        Self {
            path: path.to_owned(),
            _file: file,
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Removed while still held, so that whoever opened it meanwhile sees in `still_at` that it is gone.
        // A file that stays behind does no harm: it is not locked.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens the lock's own file: what a link leads to would never be `still_at` its path, and a pipe is waited for.
fn open(path: &Path) -> Result<File, IoError> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = opened.at("open lock file", path)?;
    match file.metadata().at("look at", path)?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no file")).at("open lock file", path),
    }
}

/// Whether `path` still names `file`: its last holder may have removed it between our open and our lock.
pub(crate) fn still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(held), Ok(there)) => held.ino() == there.ino() && held.dev() == there.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_lock_has_one_holder_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = FileLock::attempt(&path).unwrap().unwrap();
        assert!(FileLock::attempt(&path).unwrap().is_none());
        drop(held);
        assert!(!path.exists());
        assert!(FileLock::attempt(&path).unwrap().is_some());
    }

    #[test]
    fn nothing_but_a_file_is_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let [victim, link, pipe] = ["victim", "link", "pipe"].map(|name| folder.path().join(name));
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [&link, &pipe] {
            FileLock::wait(path).unwrap_err();
            FileLock::attempt(path).unwrap_err();
        }
        assert!(!victim.exists());
    }

    #[test]
    fn removal_on_release_never_lets_two_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _lock = FileLock::wait(&path).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
