//! Owns how an artifact's file comes to be: written aside, made durable, renamed, so that its name never holds half.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::durable;
use crate::io_error::{IoContext, IoError};
use crate::lock::FileLock;

/// Why no artifact can be written there.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Two at once would write into one file.
    #[error("another process is writing {}", .0.display())]
    Busy(PathBuf),
    /// The path ends in `..` or `/`.
    #[error("{} names no file", .0.display())]
    NoName(PathBuf),
}

/// A file that is not yet there under its name; gone when dropped before it is published.
pub struct Output {
    target: PathBuf,
    /// `.NAME.partial` beside the target: one name, so that what a killed process left is overwritten by the next.
    partial: PathBuf,
    file: File,
    published: bool,
    _lock: FileLock,
}

impl Output {
    /// Begins to write `target`.
    ///
    /// # Errors
    /// See [`OutputError`].
    pub fn create(target: &Path) -> Result<Self, OutputError> {
        let name = target
            .file_name()
            .ok_or_else(|| OutputError::NoName(target.to_owned()))?;
        let beside = |ending: &str| {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(ending);
            target.with_file_name(hidden)
        };
        let lock = FileLock::attempt(&beside(".lock"))?;
        let lock = lock.ok_or_else(|| OutputError::Busy(target.to_owned()))?;
        let partial = beside(".partial");
        // What a killed process left there could as well be a link to somewhere.
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).at("remove", &partial)?;
            }
            _ => {}
        }
        let file = File::create_new(&partial).at("create", &partial)?;
        Ok(Self {
            target: target.to_owned(),
            partial,
            file,
            published: false,
            _lock: lock,
        })
    }

    /// The file to write to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it lies while it is written.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Makes what was written durable and visible; whoever could read what it takes the place of can read it, too.
    ///
    /// # Errors
    /// When the system refuses; nothing is visible then.
    pub fn publish(mut self) -> Result<(), IoError> {
        if let Ok(old) = fs::symlink_metadata(&self.target)
            && old.is_file()
        {
            let mode = self.file.set_permissions(old.permissions());
            mode.at("set mode of", &self.partial)?;
        }
        self.file.sync_all().at("make durable", &self.partial)?;
        fs::rename(&self.partial, &self.target).at("publish", &self.target)?;
        self.published = true;
        durable::sync(durable::parent(&self.target))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.published {
            // Whoever writes there next removes it otherwise.
            let _ = fs::remove_file(&self.partial);
        }
    }
}
