//! Owns the files of a channel: how they are read, and how new ones come into place at once.

use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde::de::DeserializeOwned;
use store::durable;
use store::exchange::is_unsupported;
use store::folder::{entries, entries_if_there};
use store::io_error::{IoContext, IoError};
use store::regular;
use store::removal;

use super::{ChannelError, MODE, ROOT, TIMESTAMP, metadata};

/// The folder with a channel's signed documents.
pub(super) struct Metadata {
    folder: PathBuf,
    /// Versions and names of the documents that have both.
    versions: Vec<(u64, String)>,
}

impl Metadata {
    /// Looks at what is there; nothing is fine.
    pub(super) fn open(folder: &Path) -> Result<Self, ChannelError> {
        let entries = entries_if_there(folder)?.into_iter();
        let versions = entries.filter_map(|entry| {
            let name = entry.file_name();
            let (number, name) = numbered(name.to_str()?)?;
            Some((number, name.to_owned()))
        });
        Ok(Self {
            folder: folder.to_owned(),
            versions: versions.collect(),
        })
    }

    fn highest(&self, name: &str) -> u64 {
        let of_name = self.versions.iter().filter(|(_, other)| other == name);
        of_name.map(|(number, _)| *number).max().unwrap_or(0)
    }

    /// The files with the document `name`, the newest first.
    pub(super) fn versions(&self, name: &str) -> Vec<String> {
        let of_name = self.versions.iter().filter(|(_, other)| other == name);
        let mut versions: Vec<u64> = of_name.map(|(number, _)| *number).collect();
        versions.sort_unstable_by(|a, b| b.cmp(a));
        let file = |version: &u64| format!("{version}.{name}");
        versions.iter().map(file).collect()
    }

    /// The next version of the document `name`.
    pub(super) fn next(&self, name: &str) -> Result<NonZeroU64, ChannelError> {
        metadata::after(self.highest(name))
    }

    /// The newest version of the document `name`; nothing when there is none.
    pub(super) fn newest<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ChannelError> {
        match self.highest(name) {
            0 => Ok(None),
            version => self.plain(&format!("{version}.{name}")),
        }
    }

    /// The document in the file `name`; nothing when there is none.
    pub(super) fn plain<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ChannelError> {
        let path = self.folder.join(name);
        let Some(bytes) = regular::read_if_there(&path)? else {
            return Ok(None);
        };
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|error| ChannelError::Damaged {
            path,
            reason: error.to_string(),
        })
    }

    /// The bytes of the file `name`.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, IoError> {
        regular::read(&self.folder.join(name))
    }

    /// Whether nobody needs the file `name` once `documents` are there: hosts ask for every root from the one that they
    /// trust on, but of all else for the newest only. One who is just looking may still be at the one before.
    fn is_superseded(&self, name: &str, documents: &[(String, Vec<u8>)]) -> bool {
        let Some((version, of)) = numbered(name) else {
            return false;
        };
        let new = documents.iter().filter_map(|(name, _)| numbered(name));
        let new = new.filter(|(_, other)| *other == of).map(|(number, _)| number);
        of != ROOT && version.saturating_add(1) < new.chain([self.highest(of)]).max().unwrap_or(0)
    }

    /// Puts `documents` there, all at once: what is there and still needed, the file `kept` among it, is copied, added to,
    /// and exchanged.
    pub(super) fn replace(&self, documents: &[(String, Vec<u8>)], kept: Option<&str>) -> Result<(), IoError> {
        let aside = self.folder.with_extension("partial");
        removal::remove(&aside)?;
        durable::create_folder(&aside)?;
        for entry in entries_if_there(&self.folder)? {
            let name = entry.file_name();
            let is_superseded = name
                .to_str()
                .is_some_and(|name| kept != Some(name) && self.is_superseded(name, documents));
            if !is_superseded && documents.iter().all(|(new, _)| new.as_str() != name) {
                fs::hard_link(entry.path(), aside.join(name)).at("link", entry.path())?;
            }
        }
        for (name, bytes) in documents {
            write(&aside, name, bytes)?;
        }
        durable::sync(&aside)?;
        match self.folder.is_dir() {
            false => fs::rename(&aside, &self.folder).at("publish", &self.folder)?,
            true => exchange(&aside, &self.folder)?,
        }
        durable::sync(durable::parent(&self.folder))
    }

    /// Removes what [`Metadata::replace`] left aside.
    pub(super) fn clear(folder: &Path) -> Result<(), IoError> {
        removal::remove(&folder.with_extension("partial"))
    }
}

/// The version and the name of a document that has both.
fn numbered(file: &str) -> Option<(u64, &str)> {
    let (number, name) = file.split_once('.')?;
    Some((number.parse().ok()?, name))
}

fn exchange(aside: &Path, folder: &Path) -> Result<(), IoError> {
    match renameat2(AT_FDCWD, aside, AT_FDCWD, folder, RenameFlags::RENAME_EXCHANGE) {
        Err(errno) if is_unsupported(errno) => one_by_one(aside, folder),
        swapped => swapped.at("publish", folder),
    }
}

/// Moves each document of `aside` into `folder`, and removes there what `aside` has not. Versions have files of their own,
/// and the timestamp is what leads to them: before it comes, a host sees the old state, and from then on the new one. Only
/// where the keys change, the new root is seen with what the old keys signed until the timestamp is there.
fn one_by_one(aside: &Path, folder: &Path) -> Result<(), IoError> {
    for step in steps(names(aside)?, names(folder)?) {
        step.take(aside, folder)?;
    }
    durable::sync(folder)
}

#[derive(Debug)]
enum Step {
    Move(OsString),
    Remove(OsString),
}

fn steps(mut new: Vec<OsString>, mut old: Vec<OsString>) -> Vec<Step> {
    old.retain(|name| !new.contains(name));
    new.sort_by_key(|name| {
        let name = name.to_string_lossy();
        let is_root = numbered(&name).is_some_and(|(_, name)| name == ROOT);
        (name == TIMESTAMP, is_root)
    });
    let moves = new.into_iter().map(Step::Move);
    moves.chain(old.into_iter().map(Step::Remove)).collect()
}

impl Step {
    fn take(&self, aside: &Path, folder: &Path) -> Result<(), IoError> {
        match self {
            Self::Move(name) => {
                let to = folder.join(name);
                fs::rename(aside.join(name), &to).at("publish", &to)?;
                // What the next step relies on is on the disk before it.
                durable::sync(folder)
            }
            Self::Remove(name) => removal::remove(&folder.join(name)),
        }
    }
}

fn names(folder: &Path) -> Result<Vec<OsString>, IoError> {
    Ok(entries(folder)?.iter().map(DirEntry::file_name).collect())
}

/// Puts a file in place that is on the disk when this returns, and its folder where that is missing.
pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), IoError> {
    durable::create_folders(folder)?;
    durable::write(&folder.join(name), bytes, MODE)
}

/// Puts the file `from` into `folder` as `name`, by a link where that is possible.
pub(super) fn link(from: &Path, folder: &Path, name: &str) -> Result<(), IoError> {
    durable::create_folders(folder)?;
    let (path, aside) = (folder.join(name), folder.join(format!(".{name}.partial")));
    removal::remove(&aside)?;
    if fs::hard_link(from, &aside).is_err() {
        fs::copy(from, &aside).at("copy", from)?;
    }
    durable::sync(&aside)?;
    fs::rename(&aside, &path).at("put in place", &path)?;
    // Renaming a file over another name of itself does nothing.
    removal::remove(&aside)?;
    durable::sync(folder)?;
    durable::sync(durable::parent(folder))
}

/// Removes every entry of `folder` that is none of `names`.
pub(super) fn keep_only(folder: &Path, names: &[String]) -> Result<(), IoError> {
    for entry in entries(folder)? {
        if names.iter().all(|name| name.as_str() != entry.file_name()) {
            removal::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Makes the folder `to` with what `from` holds, by links: no file of a channel ever changes. Nothing there is fine.
pub(crate) fn carry(from: &Path, to: &Path) -> Result<(), IoError> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.at("read", from)?,
    };
    durable::create_folder(to)?;
    for entry in entries {
        let entry = entry.at("read", from)?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().at("look at", &path)?.is_dir() {
            true => carry(&path, &to)?,
            false => fs::hard_link(&path, &to).at("link", &path)?,
        }
    }
    durable::sync(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files and their texts.
    type Files<'a> = [(&'a str, &'a str)];

    #[test]
    fn without_an_exchange_a_kill_leaves_the_old_documents_or_the_new() {
        let (root, kept) = (("1.root.json", "root"), ("2.targets.json", "kept"));
        let old = [root, kept, ("1.targets.json", "old"), ("timestamp.json", "old")];
        let new = [root, kept, ("3.targets.json", "new"), ("timestamp.json", "new")];
        let all = new.len() + 1;
        for taken in 0..=all {
            let top = tempfile::tempdir().unwrap();
            let (folder, aside) = (make_in(top.path(), "metadata"), make_in(top.path(), "aside"));
            lay(&folder, &old);
            lay(&aside, &new);
            let steps = steps(names(&aside).unwrap(), names(&folder).unwrap());
            assert_eq!(steps.len(), all);
            for step in &steps[..taken] {
                step.take(&aside, &folder).unwrap();
            }
            let has = |files: &Files<'_>| {
                let is_there = |(name, text): &(&str, &str)| {
                    fs::read_to_string(folder.join(name)).is_ok_and(|found| found == *text)
                };
                files.iter().all(is_there)
            };
            assert!(has(&old) || has(&new), "after {taken}: {steps:?}");
            assert_eq!(has(&new), taken >= new.len(), "after {taken}: {steps:?}");
            // What nobody needs goes last.
            assert_eq!(has(&old[2..3]), taken < all, "after {taken}: {steps:?}");
        }
    }

    fn lay(folder: &Path, files: &Files<'_>) {
        for (name, text) in files {
            write(folder, name, text.as_bytes()).unwrap();
        }
    }

    fn make_in(top: &Path, name: &str) -> PathBuf {
        let folder = top.join(name);
        durable::create_folder(&folder).unwrap();
        folder
    }
}
