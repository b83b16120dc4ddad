//! Owns the journal of a verification: what was found to be as it should be, so that a run that was interrupted can go on.
//!
//! A line is written for each part when all of it was read and nothing was wrong. It holds a stamp of what the part was
//! like before it was read: of a folder, all that the system tells of each file without reading it, the time of its last
//! change of any kind among that, which nobody can set. A run that goes on passes over parts whose stamp is still the
//! same; parts that differed are read again, and so is everything once a run has come to its end.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use schema::digest::Digest;
use serde::{Deserialize, Serialize};

use super::Subject;
use crate::io_error::{IoContext, IoError};
use crate::regular;

const FORMAT: u32 = 1;

/// The journal of one verification.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    known: HashMap<String, Line>,
}

/// Whether a verification begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// With what an interrupted run had found, if there was one.
    Resume,
    /// Anew.
    Fresh,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    /// What is verified, in words that are the same each time.
    about: String,
}

/// What is known of one part.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Which part, e.g. a store ID.
    pub part: String,
    /// What it was like.
    pub stamp: Digest,
    /// How many files, folders and links were looked at.
    pub files: u64,
    /// How many bytes of files were hashed.
    pub bytes: u64,
}

impl Journal {
    /// Opens the journal in the folder `folder` about what `about` names.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(folder: &Path, about: &str, beginning: Beginning) -> Result<Self, IoError> {
        fs::create_dir_all(folder).at("make folder", folder)?;
        let path = folder.join(format!("{}.journal", Digest::of(about.as_bytes())));
        let head = Head {
            format: FORMAT,
            about: about.to_owned(),
        };
        let known = match beginning {
            Beginning::Resume => read(&path, about),
            Beginning::Fresh => HashMap::new(),
        };
        // Written whole, since the last line of the old one may be torn.
        let mut text = line(&head);
        let mut parts: Vec<&Line> = known.values().collect();
        parts.sort_unstable_by(|a, b| a.part.cmp(&b.part));
        parts.into_iter().for_each(|part| text.extend(line(part)));
        let aside = path.with_extension(format!("{}.new", std::process::id()));
        fs::write(&aside, text).at("write", &aside)?;
        fs::rename(&aside, &path).at("rename", &aside)?;
        let file = OpenOptions::new().append(true).open(&path).at("open", &path)?;
        Ok(Self {
            path,
            file: Mutex::new(file),
            known,
        })
    }

    /// How many parts an interrupted run had done.
    pub fn known(&self) -> usize {
        self.known.len()
    }

    /// What is known of `part`, if it is still what it was.
    pub(crate) fn recall(&self, part: &str, stamp: &Digest) -> Option<&Line> {
        self.known.get(part).filter(|line| line.stamp == *stamp)
    }

    /// Writes down that a part is as it should be. What cannot be written is read once more, if ever.
    pub(crate) fn note(&self, part: &Line) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = file.write_all(&line(part));
    }

    /// Removes it: the verification came to its end. Another one of the same, at the same time, may have done so already.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn finish(self) -> Result<(), IoError> {
        match fs::remove_file(&self.path).at("remove", &self.path) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

fn line<T: Serialize>(value: &T) -> Vec<u8> {
    // Numbers and texts only, so there is nothing that could not be written.
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn read(path: &Path, about: &str) -> HashMap<String, Line> {
    let known = regular::open(path).map(|file| parse(BufReader::new(file), about));
    known.unwrap_or_default()
}

/// What the journal `text` says of each part of what `about` names; nothing when it is about something else. A torn line
/// ends it.
pub fn parse(text: impl BufRead, about: &str) -> HashMap<String, Line> {
    let mut lines = text.lines().map_while(Result::ok);
    let head: Option<Head> = lines.next().and_then(|text| serde_json::from_str(&text).ok());
    if !head.is_some_and(|head| head.format == FORMAT && head.about == about) {
        return HashMap::new();
    }
    lines
        .map_while(|text| serde_json::from_str::<Line>(&text).ok())
        .map(|line| (line.part.clone(), line))
        .collect()
}

/// What a package is like without reading it: each of its files and folders, its listing, and what is expected of it.
/// Nothing when it cannot be looked at.
pub(crate) fn stamp(subject: &Subject) -> Option<Digest> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{} {} {:?}", subject.id, subject.tree, subject.owner).as_bytes());
    add(&subject.listing, &mut hasher)?;
    add(&subject.folder, &mut hasher)?;
    let mut open = vec![subject.folder.clone()];
    while let Some(folder) = open.pop() {
        let entries: std::io::Result<Vec<_>> = fs::read_dir(folder).ok()?.collect();
        let mut paths: Vec<PathBuf> = entries.ok()?.iter().map(fs::DirEntry::path).collect();
        paths.sort_unstable();
        for path in paths {
            if add(&path, &mut hasher)?.is_dir() {
                open.push(path);
            }
        }
    }
    Some(hasher.finalize().into())
}

/// What a file is like without reading it; behind a link, the one that it leads to, as that is the one that is read.
pub fn stamp_of_file(path: &Path) -> Option<Digest> {
    let mut hasher = blake3::Hasher::new();
    add_as(path, &fs::metadata(path).ok()?, &mut hasher);
    Some(hasher.finalize().into())
}

fn add(path: &Path, hasher: &mut blake3::Hasher) -> Option<Metadata> {
    let metadata = fs::symlink_metadata(path).ok()?;
    add_as(path, &metadata, hasher);
    Some(metadata)
}

fn add_as(path: &Path, metadata: &Metadata, hasher: &mut blake3::Hasher) {
    let name = path.as_os_str().as_encoded_bytes();
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name);
    for number in [
        metadata.dev(),
        metadata.ino(),
        u64::from(metadata.mode()),
        metadata.size(),
    ] {
        hasher.update(&number.to_le_bytes());
    }
    for time in [metadata.ctime(), metadata.ctime_nsec(), metadata.mtime()] {
        hasher.update(&time.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str) -> Line {
        Line {
            part: name.to_owned(),
            stamp: Digest::of(name.as_bytes()),
            files: 1,
            bytes: 2,
        }
    }

    #[test]
    fn behind_a_link_it_is_the_file_that_is_stamped() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        fs::write(&file, "one").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        let before = stamp_of_file(&link);
        assert_eq!(before, stamp_of_file(&link));
        fs::write(&file, "another").unwrap();
        assert_ne!(before, stamp_of_file(&link));
    }

    #[test]
    fn what_was_noted_is_recalled_by_the_next_run_about_the_same_and_by_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let begin = |about, how| Journal::begin(folder.path(), about, how).unwrap();
        let journal = begin("store x", Beginning::Fresh);
        journal.note(&part("a"));
        journal.note(&part("b"));
        let path = journal.path.clone();
        drop(journal);
        // Killed in the middle of a line.
        let mut torn = fs::read(&path).unwrap();
        torn.truncate(torn.len() - 3);
        fs::write(&path, torn).unwrap();

        let resumed = begin("store x", Beginning::Resume);
        let stamp = |name: &str| Digest::of(name.as_bytes());
        assert!(resumed.recall("a", &stamp("a")).is_some());
        assert!(resumed.recall("a", &stamp("b")).is_none(), "it was changed since");
        assert!(resumed.recall("b", &stamp("b")).is_none(), "its line is torn");
        resumed.note(&part("c"));
        drop(resumed);
        assert_eq!(begin("store x", Beginning::Resume).known(), 2);
        assert_eq!(begin("store y", Beginning::Resume).known(), 0);
        assert_eq!(begin("store x", Beginning::Fresh).known(), 0);
        let two = [(); 2].map(|()| begin("store x", Beginning::Resume));
        for journal in two {
            journal.finish().unwrap();
        }
        assert!(!path.exists());
    }
}
