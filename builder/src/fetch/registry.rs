//! Owns sources that registries keep: each is brought by the registry's own client, with mirrors and proxies as the machine has them.
//!
//! No address of a registry stands anywhere in this program. Clients run in work areas with caches of their own, so
//! that nothing of the machine's is changed, and none of them ever runs code of the package it brings.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use store::folder;
use store::io_error::{IoContext, IoError};

use super::error::FetchProblem;

pub(super) mod crates;
pub(super) mod debian;
mod debian_lists;
pub mod debian_sources;
pub(super) mod npm;
pub mod pypi;

pub(super) use debian_lists::AptLists;

/// All regular files in `folder`, sorted.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, IoError> {
    let mut files = Vec::new();
    for entry in folder::entries(folder)? {
        if entry.file_type().at("look at", entry.path())?.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// The file called `name` in `folder`; without a name the only one.
fn file_in(folder: &Path, name: Option<&str>, client: &str) -> Result<PathBuf, FetchProblem> {
    let files = files_in(folder)?;
    let is_wanted = |path: &&PathBuf| name.is_none_or(|name| path.file_name() == Some(OsStr::new(name)));
    let mut wanted = files.iter().filter(is_wanted);
    if let (Some(file), None) = (wanted.next(), wanted.next()) {
        return Ok(file.clone());
    }
    let there: Vec<_> = files
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_string_lossy()))
        .collect();
    let there = if there.is_empty() {
        "nothing".to_owned()
    } else {
        there.join(", ")
    };
    let expected = name.unwrap_or("one file");
    let message = format!("`{client}` was to bring {expected}, but brought {there}");
    Err(FetchProblem::Missing(message))
}

/// A new folder called `name` in `parent`.
fn subfolder(parent: &Path, name: &str) -> Result<PathBuf, IoError> {
    let folder = parent.join(name);
    fs::create_dir(&folder).at("make folder", &folder)?;
    Ok(folder)
}

fn write(path: &Path, text: &str) -> Result<(), IoError> {
    fs::write(path, text).at("write", path)
}
