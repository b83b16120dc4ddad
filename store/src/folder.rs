//! Owns listing what a folder holds.

use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::io_error::{IoContext, IoError};

/// What is in `folder`, sorted by the bytes of the names.
///
/// # Errors
/// When it cannot be read, or is not there.
pub fn entries(folder: &Path) -> Result<Vec<DirEntry>, IoError> {
    sorted(folder).at("read folder", folder)
}

/// The same; nothing where there is no such folder.
///
/// # Errors
/// When it cannot be read.
pub fn entries_if_there(folder: &Path) -> Result<Vec<DirEntry>, IoError> {
    match sorted(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.at("read folder", folder),
    }
}

fn sorted(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<DirEntry>>>()?;
    entries.sort_by_cached_key(DirEntry::file_name);
    Ok(entries)
}
