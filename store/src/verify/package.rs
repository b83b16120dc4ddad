//! Owns the comparison of one package's folder with its listing and its ID.

use std::cmp::Ordering;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rayon::prelude::*;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::{Entry, EntryKind, Listing};

use super::{Difference, DifferenceKind, FileKind, Mode, VerifyObserver};
use crate::facts::{self, FactsError, RESOLVED_RECIPE};
use crate::io_error::IoError;
use crate::listing;
use crate::publish::{EXECUTABLE_MODE, FILE_MODE, FOLDER_MODE, epoch};
use crate::tree::{self, Node, NodeKind, Walk};

/// What was found in one package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many files, folders and links were looked at.
    pub files: u64,
    /// How many bytes of files were hashed.
    pub bytes: u64,
    /// Everything that is not as it should be.
    pub differences: Vec<Difference>,
}

/// A path with what is wrong there.
type Wrong = (String, DifferenceKind);

/// Compares `folder`, which should hold the package `id`, with the listing of digest `tree` that lies at `listing`.
pub fn package(
    folder: &Path,
    id: &PackageId,
    tree: &Digest,
    listing: &Path,
    observer: &dyn VerifyObserver,
) -> Findings {
    let mut wrong = Vec::new();
    let mut findings = Findings::default();
    let listing = match read_listing(listing, tree) {
        Ok(listing) => Some(listing),
        Err(kind) => {
            wrong.push((String::new(), kind));
            None
        }
    };
    match fs::symlink_metadata(folder) {
        Err(error) => wrong.push((String::new(), unreadable(error))),
        Ok(metadata) if !metadata.is_dir() => {
            let (expected, found) = (FileKind::Dir, kind_of_root(&metadata));
            wrong.push((String::new(), DifferenceKind::Type { expected, found }));
        }
        Ok(metadata) => {
            let epoch = check_recipe(folder, id, &mut wrong);
            let mode = metadata.mode() & 0o7777;
            wrong.extend(check_mode(mode, FOLDER_MODE).map(at_root));
            wrong.extend(check_time(metadata.mtime(), metadata.mtime_nsec(), epoch).map(at_root));
            match (tree::walk(folder), listing) {
                (Err(error), _) => wrong.push(from_io(folder, error)),
                (Ok(walk), Some(listing)) => {
                    compare(folder, walk, &listing, epoch, observer, &mut wrong, &mut findings);
                }
                (Ok(_), None) => {}
            }
        }
    }
    findings.differences = wrong
        .into_iter()
        .map(|(path, kind)| Difference {
            package: Some(id.into()),
            path,
            kind,
        })
        .collect();
    findings.differences.sort();
    findings
}

fn compare(
    folder: &Path,
    walk: Walk,
    listing: &Listing,
    epoch: Option<i64>,
    observer: &dyn VerifyObserver,
    wrong: &mut Vec<Wrong>,
    findings: &mut Findings,
) {
    for odd in walk.odd_names {
        wrong.push((odd.to_string_lossy().into_owned(), DifferenceKind::Name));
    }
    findings.files = walk.nodes.len() as u64;
    let pairs = pair(&walk.nodes, &listing.entries, wrong);
    let (more, bytes) = pairs
        .into_par_iter()
        .map(|(node, entry)| check(folder, node, entry, epoch, observer))
        .reduce(Default::default, |(mut wrong, bytes), (more, more_bytes)| {
            wrong.extend(more);
            (wrong, bytes + more_bytes)
        });
    wrong.extend(more);
    findings.bytes = bytes;
}

/// Pairs what is there with what is listed; both are sorted alike. What has no partner is wrong.
fn pair<'a>(nodes: &'a [Node], entries: &'a [Entry], wrong: &mut Vec<Wrong>) -> Vec<(&'a Node, &'a Entry)> {
    let mut pairs = Vec::with_capacity(nodes.len());
    let (mut nodes, mut entries) = (nodes.iter().peekable(), entries.iter().peekable());
    loop {
        let order = match (nodes.peek(), entries.peek()) {
            (None, None) => return pairs,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(node), Some(entry)) => node.path.cmp(&entry.path),
        };
        match order {
            Ordering::Equal => pairs.extend(nodes.next().zip(entries.next())),
            Ordering::Less => wrong.extend(nodes.next().map(|node| {
                let found = FileKind::from(&node.kind);
                (node.path.clone(), DifferenceKind::Extra { found })
            })),
            Ordering::Greater => {
                wrong.extend(
                    entries
                        .next()
                        .map(|entry| (entry.path.clone(), DifferenceKind::Missing)),
                );
            }
        }
    }
}

/// What is wrong with one path, and how many bytes it took to know.
fn check(
    folder: &Path,
    node: &Node,
    entry: &Entry,
    epoch: Option<i64>,
    observer: &dyn VerifyObserver,
) -> (Vec<Wrong>, u64) {
    let mut bytes = 0;
    let mut kinds = Vec::new();
    match (&node.kind, &entry.kind) {
        (
            NodeKind::File { size: found },
            EntryKind::File {
                executable,
                size,
                blake3,
            },
        ) => {
            let expected = if *executable { EXECUTABLE_MODE } else { FILE_MODE };
            kinds.extend(check_mode(node.mode, expected));
            if found == size {
                let (difference, read) = check_content(&folder.join(&node.path), blake3, observer);
                bytes = read;
                kinds.extend(difference);
            } else {
                kinds.push(DifferenceKind::Size {
                    expected: *size,
                    found: *found,
                });
            }
        }
        (NodeKind::Dir, EntryKind::Dir) => kinds.extend(check_mode(node.mode, FOLDER_MODE)),
        (NodeKind::Symlink { target: found }, EntryKind::Symlink { target }) => {
            if found.as_ref() != Some(target) {
                kinds.push(DifferenceKind::Target {
                    expected: target.clone(),
                    found: found.clone(),
                });
            }
        }
        (found, expected) => kinds.push(DifferenceKind::Type {
            expected: listed_kind(expected),
            found: found.into(),
        }),
    }
    kinds.extend(check_time(node.mtime, node.mtime_nanoseconds, epoch));
    let wrong = kinds.into_iter().map(|kind| (node.path.clone(), kind)).collect();
    (wrong, bytes)
}

fn check_content(
    path: &Path,
    expected: &Digest,
    observer: &dyn VerifyObserver,
) -> (Option<DifferenceKind>, u64) {
    match listing::hash_file(path, &mut |bytes| observer.read(bytes)) {
        Ok((found, bytes)) => {
            let content = DifferenceKind::Content {
                expected: *expected,
                found,
            };
            ((found != *expected).then_some(content), bytes)
        }
        Err(error) => (Some(unreadable(error.source)), 0),
    }
}

/// Checks the resolved recipe; gives the time that everything should have, if it says so.
fn check_recipe(folder: &Path, id: &PackageId, wrong: &mut Vec<Wrong>) -> Option<i64> {
    let kind = match facts::read(folder, id) {
        Ok(facts) => return Some(epoch(&facts)),
        // That it is missing follows from the listing too.
        Err(FactsError::Io(error)) if error.is_not_found() => return None,
        Err(FactsError::Io(error)) => unreadable(error.source),
        Err(FactsError::OtherId { found, .. }) => DifferenceKind::Id {
            expected: *id.digest(),
            found,
        },
        Err(error @ (FactsError::TooLarge(_) | FactsError::Parse { .. })) => DifferenceKind::Recipe {
            reason: error.to_string(),
        },
    };
    wrong.push((RESOLVED_RECIPE.to_owned(), kind));
    None
}

fn check_mode(found: u32, expected: u32) -> Option<DifferenceKind> {
    (found != expected).then_some(DifferenceKind::Mode {
        expected: Mode(expected),
        found: Mode(found),
    })
}

fn check_time(found: i64, nanoseconds: i64, epoch: Option<i64>) -> Option<DifferenceKind> {
    let expected = epoch?;
    (found != expected || nanoseconds != 0).then_some(DifferenceKind::Time { expected, found })
}

fn read_listing(path: &Path, tree: &Digest) -> Result<Listing, DifferenceKind> {
    let unusable = |reason: String| DifferenceKind::NoListing { tree: *tree, reason };
    let bytes = fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let found = Digest::of(&bytes);
    if found != *tree {
        let expected = *tree;
        return Err(DifferenceKind::Listing { expected, found });
    }
    Listing::parse(&bytes).map_err(|error| unusable(error.to_string()))
}

fn listed_kind(kind: &EntryKind) -> FileKind {
    match kind {
        EntryKind::File { .. } => FileKind::File,
        EntryKind::Dir => FileKind::Dir,
        EntryKind::Symlink { .. } => FileKind::Symlink,
    }
}

fn kind_of_root(metadata: &fs::Metadata) -> FileKind {
    match metadata {
        m if m.is_file() => FileKind::File,
        m if m.is_symlink() => FileKind::Symlink,
        _ => FileKind::Unknown,
    }
}

fn at_root(kind: DifferenceKind) -> Wrong {
    (String::new(), kind)
}

fn from_io(folder: &Path, error: IoError) -> Wrong {
    let path = error.path.strip_prefix(folder).unwrap_or(&error.path);
    (path.to_string_lossy().into_owned(), unreadable(error.source))
}

fn unreadable(error: std::io::Error) -> DifferenceKind {
    match error.kind() {
        std::io::ErrorKind::NotFound => DifferenceKind::Missing,
        _ => DifferenceKind::Unreadable {
            reason: error.to_string(),
        },
    }
}
