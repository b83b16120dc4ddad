//! Owns how small files and links come into place, and stay there through a power cut: made aside, synced, renamed, the
//! folder synced.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::io_error::{IoContext, IoError};
use crate::removal;

/// How the names of what is not finished begin; web servers do not show what begins with a dot.
pub const PARTIAL: &str = ".partial-";

/// Mode of folders that others look into, on hosts outside of packages and on servers, whatever the umask; of folders of
/// stores as far as the umask allows it.
pub(crate) const FOLDER_MODE: u32 = 0o755;

/// Waits until a file, or which names there are in a folder, is on the disk.
///
/// # Errors
/// When the system refuses.
pub fn sync(path: &Path) -> Result<(), IoError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .at("make durable", path)
}

/// Waits until everything on the file system of `path` is on the disk. One such wait costs about as much as that for
/// a single file, however many files a package has.
///
/// # Errors
/// When the system refuses.
pub fn sync_file_system(path: &Path) -> Result<(), IoError> {
    let folder = File::open(path).at("open", path)?;
    nix::unistd::syncfs(&folder).at("make durable", path)
}

/// Puts a file of these bytes at `path`, in place of what is there.
///
/// # Errors
/// When the system refuses; what was there is there then.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), IoError> {
    let aside = aside(path)?;
    let mut file = File::create_new(&aside).at("create", &aside)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| file.sync_all())
        .at("write", &aside);
    finish(written, &aside, path)
}

/// Puts a symbolic link to `target` at `path`, in place of what is there.
pub(crate) fn link(path: &Path, target: &Path) -> Result<(), IoError> {
    let aside = aside(path)?;
    finish(symlink(target, &aside).at("link", &aside), &aside, path)
}

/// Removes the file or link at `path`; nothing there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), IoError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => {
            removed.at("remove", path)?;
            sync(parent(path))
        }
    }
}

/// Makes the folder `path` and those above it that are missing, for others to look into.
///
/// # Errors
/// When the system refuses.
pub fn create_folders(path: &Path) -> Result<(), IoError> {
    match create_folder(path) {
        Err(error) if error.is_not_found() && path.parent().is_some() => {
            create_folders(parent(path))?;
            create_folder(path)?;
        }
        Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    sync(parent(path))
}

/// Makes one such folder, which is not there yet.
///
/// # Errors
/// When the system refuses, or something is there.
pub fn create_folder(path: &Path) -> Result<(), IoError> {
    DirBuilder::new()
        .mode(FOLDER_MODE)
        .create(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE)))
        .at("make folder", path)
}

/// A free place beside `path` that a sweep would clear.
fn aside(path: &Path) -> Result<PathBuf, IoError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!("{PARTIAL}{name}"));
    removal::remove(&aside)?;
    Ok(aside)
}

fn finish(made: Result<(), IoError>, aside: &Path, path: &Path) -> Result<(), IoError> {
    let moved = made.and_then(|()| fs::rename(aside, path).at("put in place", path));
    moved.inspect_err(|_| {
        // On a full disk every byte counts; whatever stays is swept by the next command.
        let _ = fs::remove_file(aside);
    })?;
    sync(parent(path))
}

/// The folder that `path` is in.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
