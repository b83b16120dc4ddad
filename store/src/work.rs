//! Owns work areas: folders for what is unfinished, held by a lock that dies with its holder, and swept by the next.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::OFlag;

use crate::durable::PARTIAL;
use crate::folder;
use crate::io_error::{IoContext, IoError};
use crate::lock::{FileLock, still_at};
use crate::removal;

/// What in `tmp/` is no work area and so is never swept.
pub(crate) const LOCKS: &str = "locks";
/// The one lock that is never removed: who decides what is garbage.
pub(crate) const GATE: &str = "gc";
/// Work areas that somebody asked to keep.
pub(crate) const KEPT: &str = "kept";
/// Which packages running processes need.
pub(crate) const NEEDS: &str = "needs";

/// Tells areas of one process apart.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// A folder of one's own on the store's file system; removed with all it holds when dropped.
#[derive(Debug)]
pub struct WorkArea {
    path: PathBuf,
    purpose: String,
    // The folder itself is what is locked, so that folder and lock come and go as one.
    _lock: File,
}

impl WorkArea {
    /// Makes an area in the store's folder `tmp`. `purpose` becomes part of its name, e.g. a store ID.
    pub(crate) fn new(tmp: &Path, purpose: &str) -> Result<Self, IoError> {
        Self::named(tmp, "", purpose)
    }

    /// Makes an area in `folder`, which holds other things, too: its name says that it is not finished.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn partial(folder: &Path, purpose: &str) -> Result<Self, IoError> {
        Self::named(folder, PARTIAL, purpose)
    }

    fn named(folder: &Path, start: &str, purpose: &str) -> Result<Self, IoError> {
        // It will name a folder, here and in `keep`, so it must be neither empty, a path, nor `..`.
        let purpose = match purpose.replace('/', "-") {
            odd if odd.is_empty() || odd.starts_with('.') => format!("_{odd}"),
            fine => fine,
        };
        loop {
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{start}{purpose}.{}.{serial}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                // Another's, from a process that had our number; swept or held, in any case not ours.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                made => made.at("make folder", &path)?,
            }
            // A sweep may come between making and locking. Then the folder is being removed: take another.
            if let Some(lock) = held(&path)? {
                return Ok(Self {
                    path,
                    purpose,
                    _lock: lock,
                });
            }
        }
    }

    /// Where the area is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the area for a person to look at, until garbage is collected or the next is kept for the same purpose.
    /// Says where it is from now on.
    ///
    /// # Errors
    /// When it cannot be moved; then it is removed.
    pub fn keep(self) -> Result<PathBuf, IoError> {
        let tmp = self.path.parent().unwrap_or(Path::new("."));
        let kept = tmp.join(KEPT).join(&self.purpose);
        removal::remove(&kept)?;
        fs::rename(&self.path, &kept).at("rename", &self.path)?;
        Ok(kept)
    }
}

impl Drop for WorkArea {
    fn drop(&mut self) {
        // What cannot be removed now is left to the next sweep.
        let _ = removal::remove(&self.path);
    }
}

/// The lock of the folder that was just made at `path`; nothing when a sweep has it, or had it.
fn held(path: &Path) -> Result<Option<File>, IoError> {
    let locked = File::open(path).and_then(|folder| match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    });
    match locked {
        Ok(lock) => Ok(lock.filter(|lock| still_at(lock, path))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            // Nobody else knows of it yet.
            let _ = fs::remove_dir(path);
            Err(error).at("lock", path)
        }
    }
}

/// Removes every area in `tmp`, and every lock's file, that nobody holds. One that resists is left to the next sweep: it may still be written
/// to by a build whose parent was just killed, or be another user's.
pub(crate) fn sweep(tmp: &Path) -> Result<(), IoError> {
    sweep_locks(&tmp.join(LOCKS))?;
    for entry in folder::entries(tmp)? {
        let name = entry.file_name();
        if [LOCKS, KEPT, NEEDS].iter().any(|kept| name == *kept) {
            continue;
        }
        remove_unheld(&entry.path())?;
    }
    Ok(())
}

/// Removes the area at `path` if nobody holds it and it does not resist.
pub(crate) fn remove_unheld(path: &Path) -> Result<(), IoError> {
    // Somebody else's pipe is not waited for.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = File::options().read(true).custom_flags(flags.bits()).open(path);
    let Ok(file) = opened else {
        return Ok(());
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(source)) => return Err(source).at("lock", path),
        Ok(()) => drop(removal::remove(path)),
    }
    Ok(())
}

fn sweep_locks(locks: &Path) -> Result<(), IoError> {
    for entry in folder::entries(locks)? {
        let path = entry.path();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && !path.ends_with(GATE) {
            // Had for a moment, and removed by being let go. Whoever wants it in that moment takes it to be at work.
            drop(FileLock::attempt(&path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tmp() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in [LOCKS, KEPT, NEEDS] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        folder
    }

    #[test]
    fn a_sweep_takes_what_nobody_holds_and_nothing_else() {
        let tmp = tmp();
        let held = WorkArea::new(tmp.path(), "held").unwrap();
        let kept = WorkArea::new(tmp.path(), "zlib").unwrap().keep().unwrap();
        let left = tmp.path().join("left.1.1");
        fs::create_dir_all(left.join("inside")).unwrap();
        fs::write(tmp.path().join("file"), "").unwrap();
        for pipe in ["pipe", "locks/pipe"] {
            nix::unistd::mkfifo(&tmp.path().join(pipe), nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        let locks = ["left", "held", GATE].map(|name| tmp.path().join(LOCKS).join(name));
        fs::write(&locks[0], "").unwrap();
        fs::write(&locks[2], "").unwrap();
        let _lock = FileLock::wait(&locks[1]).unwrap();
        sweep(tmp.path()).unwrap();
        assert!(held.path().exists() && kept.exists());
        let gone = ["left.1.1", "file", "pipe"].map(|name| tmp.path().join(name).exists());
        assert_eq!(gone, [false; 3]);
        assert_eq!(locks.each_ref().map(|path| path.exists()), [false, true, true]);
        let path = held.path().to_owned();
        drop(held);
        assert!(!path.exists());
    }

    #[test]
    fn no_purpose_leads_out_of_the_folder() {
        let tmp = tmp();
        for purpose in ["..", "a/../../b", "/", ""] {
            let area = WorkArea::new(tmp.path(), purpose).unwrap();
            assert_eq!(area.path().parent(), Some(tmp.path()));
            assert_eq!(area.keep().unwrap().parent(), Some(&*tmp.path().join(KEPT)));
        }
        assert!(tmp.path().join(LOCKS).exists());
    }

    #[test]
    fn sweeping_and_making_at_once_harm_neither() {
        let tmp = tmp();
        std::thread::scope(|scope| {
            let maker = scope.spawn(|| {
                for _ in 0..300 {
                    let area = WorkArea::new(tmp.path(), "x").unwrap();
                    fs::write(area.path().join("file"), "x").unwrap();
                }
            });
            while !maker.is_finished() {
                sweep(tmp.path()).unwrap();
            }
        });
    }
}
