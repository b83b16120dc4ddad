//! Owns writing a package's folder from an archive, so that nothing can come to lie outside of it.
//!
//! Every path is opened from its parent's descriptor, one component at a time, never through a link; what is there
//! already is an error. The archive order has each folder directly before all that it holds, so a folder is closed to
//! changes, and given its time, as soon as an entry comes that lies elsewhere.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, UtimensatFlags, fchmod, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::symlinkat;
use schema::listing::{Entry, EntryKind};

use super::difference::Problem;
use super::package::{Stopped, Visitor};
use super::verify::Observer;
use crate::io_error::{IoContext, IoError};
use crate::publish::{EXECUTABLE_MODE, FILE_MODE, FOLDER_MODE};
use crate::verify::DifferenceKind;

/// Why a package was not written.
#[derive(Debug)]
pub enum WriteError {
    /// The archive is not as it should be.
    Stopped(Stopped),
    /// The disk refused something.
    Io(IoError),
}

impl From<Stopped> for WriteError {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl From<IoError> for WriteError {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

/// A folder that is being written.
pub struct FolderWriter<'a> {
    observer: &'a dyn Observer,
    path: PathBuf,
    time: TimeSpec,
    /// The folder itself, and then those below it that the last entry lies in, each with its path.
    open: Vec<(String, OwnedFd)>,
    file: Option<File>,
}

impl<'a> FolderWriter<'a> {
    /// Makes the new folder `path`; everything in it will have the time `mtime`, in seconds since 1970.
    ///
    /// # Errors
    /// When it cannot be made, e.g. as something is there.
    pub fn create(path: &Path, mtime: u64, observer: &'a dyn Observer) -> Result<Self, IoError> {
        let seconds = i64::try_from(mtime).map_err(|_| Errno::EOVERFLOW);
        let time = TimeSpec::new(seconds.at("set time of", path)?, 0);
        let top = make_folder(AT_FDCWD, path).at("make folder", path)?;
        Ok(Self {
            observer,
            path: path.to_owned(),
            time,
            open: vec![(String::new(), top)],
            file: None,
        })
    }

    /// Closes everything that is still open to changes.
    ///
    /// # Errors
    /// When modes or times cannot be set.
    pub fn finish(mut self) -> Result<(), IoError> {
        while let Some((path, folder)) = self.open.pop() {
            self.seal(&path, &folder)?;
        }
        Ok(())
    }

    /// Closes folders until the one that is left is `parent`, and gives the path of that.
    fn leave_until(&mut self, parent: &str) -> Result<(), IoError> {
        while let Some((path, folder)) = self.open.pop_if(|(path, _)| path != parent) {
            self.seal(&path, &folder)?;
        }
        Ok(())
    }

    fn seal(&self, path: &str, folder: &OwnedFd) -> Result<(), IoError> {
        futimens(folder, &self.time, &self.time)
            .and_then(|()| fchmod(folder, Mode::from_bits_truncate(FOLDER_MODE)))
            .at("set time and mode of", self.path.join(path))
    }

    fn make(&mut self, entry: &Entry) -> Result<(), IoError> {
        let (parent, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
        self.leave_until(parent)?;
        let path = || self.path.join(&entry.path);
        // The plan has seen to it that every parent is a folder and comes before.
        let (_, folder) = self
            .open
            .last()
            .ok_or(Errno::ENOENT)
            .at("find folder of", path())?;
        match &entry.kind {
            EntryKind::Dir => {
                let made = make_folder(folder, name).at("make folder", path())?;
                self.open.push((entry.path.clone(), made));
            }
            EntryKind::Symlink { target } => {
                symlinkat(target.as_str(), folder, name).at("make link", path())?;
                let flags = UtimensatFlags::NoFollowSymlink;
                utimensat(folder, name, &self.time, &self.time, flags).at("set time of", path())?;
            }
            EntryKind::File { .. } => {
                let flags =
                    OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let file = openat(folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR);
                self.file = Some(file.at("create", path())?.into());
            }
        }
        Ok(())
    }
}

impl Visitor for FolderWriter<'_> {
    type Error = WriteError;

    fn begin(&mut self, entry: &Entry) -> Result<(), WriteError> {
        Ok(self.make(entry)?)
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.observer.read(bytes.len() as u64);
        match &mut self.file {
            Some(file) => Ok(file.write_all(bytes).at("write below", &self.path)?),
            None => Ok(()),
        }
    }

    fn end(&mut self, entry: &Entry, difference: Option<DifferenceKind>) -> Result<(), WriteError> {
        if let Some(kind) = difference {
            return Err(Stopped::of(Some(entry.path.clone()), Problem::Entry(kind)).into());
        }
        let executable = matches!(entry.kind, EntryKind::File { executable: true, .. });
        let mode = if executable { EXECUTABLE_MODE } else { FILE_MODE };
        if let Some(file) = self.file.take() {
            futimens(&file, &self.time, &self.time)
                .and_then(|()| fchmod(&file, Mode::from_bits_truncate(mode)))
                .at("set time and mode of", self.path.join(&entry.path))?;
        }
        Ok(())
    }
}

/// Makes a folder and opens it, which fails if someone put a link in its place between the two.
fn make_folder<P: ?Sized + nix::NixPath>(parent: impl AsFd, name: &P) -> Result<OwnedFd, Errno> {
    mkdirat(parent.as_fd(), name, Mode::S_IRWXU)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent.as_fd(), name, flags, Mode::empty())
}
