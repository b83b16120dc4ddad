//! Owns which tar entries a package's archive has, and in which order: decided by its listing alone.

use crate::places;
use std::cmp::Ordering;
use std::collections::HashSet;

use schema::id::PackageId;
use schema::listing::{Entry, EntryKind, Listing};

use super::tar_format::{self, TarKind};

/// The longest link target Linux takes, in bytes.
const MAX_TARGET: usize = 4095;

/// A listing that no package folder can have.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Something lies in a folder that is not listed, or below a file or link.
    #[error("the listing has `{0}`, but no folder that holds it")]
    NoFolder(String),
    /// A link's target is empty, too long, or holds a NUL.
    #[error("the listing's link `{0}` has a target that no link can have")]
    Target(String),
}

/// The entries of one package's archive.
///
/// First the package's folder, `packages/<id>/`, then what its listing holds: each folder directly before all that
/// lies in it. That is the order of the listing with `/` sorted before every other byte. (In the listing's own order
/// `a.h` comes between `a` and `a/b`; an ordinary user's tar closes the read-only `a` there and cannot write `a/b`.)
pub struct Plan {
    top: String,
    mtime: u64,
    entries: Vec<Entry>,
}

impl Plan {
    /// The entries of package `id`; `mtime` is the `source_date_epoch`.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn new(id: &PackageId, listing: Listing, mtime: u64) -> Result<Self, PlanError> {
        let mut entries = listing.entries;
        entries.sort_by(|a, b| in_archive_order(&a.path, &b.path));
        let mut folders = HashSet::new();
        for entry in &entries {
            let parent = entry.path.rsplit_once('/').map(|(parent, _)| parent);
            if parent.is_some_and(|parent| !folders.contains(parent)) {
                return Err(PlanError::NoFolder(entry.path.clone()));
            }
            match &entry.kind {
                EntryKind::Dir => {
                    folders.insert(entry.path.as_str());
                }
                EntryKind::Symlink { target } => check_target(&entry.path, target)?,
                EntryKind::File { .. } => {}
            }
        }
        Ok(Self {
            top: places::package_path(id),
            mtime,
            entries,
        })
    }

    /// What is in the package, in the order of the archive.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The path that every path of this archive begins with, without `/` at its end.
    pub fn top(&self) -> &str {
        &self.top
    }

    /// Appends the header of the package's own folder.
    pub fn write_top(&self, into: &mut Vec<u8>) {
        tar_format::write_header(&self.top, TarKind::Dir, self.mtime, into);
    }

    /// Appends the header of `entry`.
    pub fn write_header(&self, entry: &Entry, into: &mut Vec<u8>) {
        let path = format!("{}/{}", self.top, entry.path);
        tar_format::write_header(&path, TarKind::from(&entry.kind), self.mtime, into);
    }

    /// Length of the whole archive before compression, in bytes.
    pub fn length(&self) -> u64 {
        let mut header = Vec::new();
        self.write_top(&mut header);
        let mut length = header.len() as u64;
        for entry in &self.entries {
            header.clear();
            self.write_header(entry, &mut header);
            let content = match entry.kind {
                EntryKind::File { size, .. } => size.saturating_add(tar_format::padding(size) as u64),
                EntryKind::Dir | EntryKind::Symlink { .. } => 0,
            };
            length = length.saturating_add(content).saturating_add(header.len() as u64);
        }
        length
    }
}

fn check_target(path: &str, target: &str) -> Result<(), PlanError> {
    if target.is_empty() || target.len() > MAX_TARGET || target.contains('\0') {
        return Err(PlanError::Target(path.to_owned()));
    }
    Ok(())
}

/// Compares bytes, `/` before every other; a path has no NUL whose place it could take.
fn in_archive_order(a: &str, b: &str) -> Ordering {
    let key = |byte: u8| if byte == b'/' { 0 } else { byte };
    a.bytes().map(key).cmp(b.bytes().map(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::digest::Digest;

    fn id() -> PackageId {
        PackageId::new("p".parse().unwrap(), Digest::of(b"p"))
    }

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry {
            path: path.to_owned(),
            kind,
        }
    }

    fn file() -> EntryKind {
        EntryKind::File {
            executable: false,
            size: 700,
            blake3: Digest::of(b""),
        }
    }

    #[test]
    fn a_folder_is_followed_by_what_lies_in_it() {
        let paths = ["a", "a-b", "a.h", "a/b", "a/b/c", "a0"];
        let kind = |path| match path {
            "a" | "a/b" => EntryKind::Dir,
            _ => file(),
        };
        let listing = Listing::new(paths.map(|path| entry(path, kind(path))).to_vec());
        let plan = Plan::new(&id(), listing, 0).unwrap();
        let order: Vec<_> = plan.entries().iter().map(|e| e.path.as_str()).collect();
        assert_eq!(order, ["a", "a/b", "a/b/c", "a-b", "a.h", "a0"]);
        assert_eq!(plan.length(), 7 * 512 + 4 * 1024);
    }

    #[test]
    fn paths_below_files_or_links_and_impossible_targets_are_refused() {
        let link = |target: &str| EntryKind::Symlink {
            target: target.to_owned(),
        };
        for (below, kind) in [("a", file()), ("a", link("/etc")), ("b", EntryKind::Dir)] {
            let listing = Listing::new(vec![entry(below, kind), entry("a/x", file())]);
            assert!(matches!(
                Plan::new(&id(), listing, 0),
                Err(PlanError::NoFolder(_))
            ));
        }
        for target in ["", "a\0b", &"x".repeat(5000)] {
            let listing = Listing::new(vec![entry("a", link(target))]);
            assert!(matches!(Plan::new(&id(), listing, 0), Err(PlanError::Target(_))));
        }
    }
}
