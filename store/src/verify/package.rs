//! Owns the comparison of one package's folder with its listing and its ID.

use std::cmp::Ordering;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::{Entry, EntryKind, Listing};
use schema::resolved::ResolvedRecipe;

use super::{Difference, DifferenceKind, FileKind, FirstByte, Mode, Run, VerifyObserver, locate};
use crate::facts::{self, FactsError, RESOLVED_RECIPE};
use crate::index::Registration;
use crate::io_error::IoError;
use crate::listing;
use crate::publish::{EXECUTABLE_MODE, FILE_MODE, FOLDER_MODE, epoch};
use crate::regular;
use crate::tree::{self, Node, NodeKind, Owner, Walk};

/// What was found in one package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many files, folders and links were looked at.
    pub files: u64,
    /// How many bytes of files were hashed.
    pub bytes: u64,
    /// Everything that is not as it should be.
    pub differences: Vec<Difference>,
    /// What its folder says of itself, where resolved recipe and listing can be relied on.
    pub stated: Option<Stated>,
}

/// What a package's folder says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// What an index should keep of it.
    pub registration: Registration,
    /// The modification time of everything in it, in seconds since 1970.
    pub source_date_epoch: u64,
}

impl Findings {
    /// The differences that count on a host: not the times of folders and links, which the tar of busybox does not set
    /// and nothing depends on.
    pub fn on_host(self, folder: &Path) -> impl Iterator<Item = Difference> {
        let is_file = |path: &str| fs::symlink_metadata(folder.join(path)).is_ok_and(|it| it.is_file());
        self.differences
            .into_iter()
            .filter(move |it| !matches!(it.kind, DifferenceKind::Time { .. }) || is_file(&it.path))
    }
}

/// A path with what is wrong there.
type Wrong = (String, DifferenceKind);

/// A folder that should hold a package.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Where it is.
    pub folder: PathBuf,
    /// The package.
    pub id: PackageId,
    /// The digest of its listing.
    pub tree: Digest,
    /// Where the listing lies.
    pub listing: PathBuf,
    /// Whom all of it should belong to; root is as good. Nothing where that does not matter.
    pub owner: Option<Owner>,
}

impl Subject {
    fn states(&self, recipe: ResolvedRecipe, listing: &Listing) -> Stated {
        Stated {
            source_date_epoch: recipe.source_date_epoch,
            registration: facts::registration(recipe, self.id.clone(), self.tree, listing.size()),
        }
    }

    /// What the folder says of itself, where that can be relied on.
    pub(super) fn stated(&self) -> Option<Stated> {
        let recipe = facts::read(&self.folder, &self.id).ok()?;
        let listing = read_listing(&self.listing, &self.tree).ok()?;
        Some(self.states(recipe, &listing))
    }
}

/// Compares a package with its listing, its ID and what all packages have in common. Of a run that
/// was stopped, the findings need not be all there are.
pub fn package(subject: &Subject, run: &Run<'_>) -> Findings {
    let mut wrong = Vec::new();
    let mut findings = Findings::default();
    let folder = subject.folder.as_path();
    let listing = match read_listing(&subject.listing, &subject.tree) {
        Ok(listing) => Some(listing),
        Err(unusable) => {
            let made_again = made_again(subject).or_else(|| held(subject, run));
            let first = made_again.as_ref().and_then(|(bytes, _)| {
                let found = unusable.found.as_deref()?;
                FirstByte::between(bytes, found)
            });
            let difference = Difference::new(Some(&subject.id), "", unusable.kind);
            findings.differences.push(Difference { first, ..difference });
            made_again.map(|(_, listing)| listing)
        }
    };
    match fs::symlink_metadata(folder) {
        Err(error) => wrong.push((String::new(), DifferenceKind::unreadable(&error))),
        Ok(metadata) if !metadata.is_dir() => {
            let (expected, found) = (FileKind::Dir, FileKind::from(&metadata));
            wrong.push((String::new(), DifferenceKind::Type { expected, found }));
        }
        Ok(metadata) => {
            let recipe = check_recipe(folder, &subject.id, &mut wrong);
            let checking = Checking {
                subject,
                epoch: recipe.as_ref().map(epoch),
                run,
            };
            let mode = metadata.mode() & 0o7777;
            wrong.extend(check_mode(mode, FOLDER_MODE).map(at_root));
            let about = checking.common(
                folder,
                (&metadata).into(),
                (metadata.mtime(), metadata.mtime_nsec()),
            );
            wrong.extend(about.into_iter().map(at_root));
            findings.stated = recipe
                .zip(listing.as_ref())
                .map(|(recipe, listing)| subject.states(recipe, listing));
            if let Some(listing) = listing {
                checking.compare(tree::look(folder), &listing, &mut wrong, &mut findings);
            }
        }
    }
    let named = wrong
        .into_iter()
        .map(|(path, kind)| Difference::new(Some(&subject.id), path, kind));
    findings.differences.extend(named);
    locate::locate(subject, &mut findings.differences, run);
    findings.differences.sort();
    // What is no resolved recipe is not what is listed, either.
    findings.differences.dedup();
    findings
}

/// The listing as it follows from the folder, if that is the one that is expected.
fn made_again(subject: &Subject) -> Option<(Vec<u8>, Listing)> {
    let listed = listing::of(&subject.folder).ok()?;
    (listed.tree == subject.tree).then_some((listed.bytes, listed.listing))
}

/// The listing as a reference has it.
fn held(subject: &Subject, run: &Run<'_>) -> Option<(Vec<u8>, Listing)> {
    let references = run.references.iter();
    let mut listings = references.filter_map(|reference| reference.listing(&subject.id, &subject.tree));
    let bytes = listings.find(|bytes| Digest::of(bytes) == subject.tree)?;
    let listing = Listing::parse(&bytes).ok()?;
    Some((bytes, listing))
}

/// What every check of a package needs.
struct Checking<'a> {
    subject: &'a Subject,
    /// The time that everything should have, if the resolved recipe says so.
    epoch: Option<i64>,
    run: &'a Run<'a>,
}

impl Checking<'_> {
    fn compare(&self, walk: Walk, listing: &Listing, wrong: &mut Vec<Wrong>, findings: &mut Findings) {
        for odd in walk.odd_names {
            wrong.push((odd.to_string_lossy().into_owned(), DifferenceKind::Name));
        }
        findings.files = walk.nodes.len() as u64;
        let mut missing = Vec::new();
        let pairs = pair(&walk.nodes, &listing.entries, &mut missing);
        let unreadable = walk.unreadable.into_iter();
        let unreadable: Vec<Wrong> = unreadable
            .map(|error| from_io(&self.subject.folder, error))
            .collect();
        // What is behind a folder that cannot be read may well be there.
        let is_behind = |path: &str| {
            unreadable
                .iter()
                .any(|(folder, _)| Path::new(path).starts_with(folder))
        };
        missing.retain(|(path, kind)| *kind != DifferenceKind::Missing || !is_behind(path));
        wrong.extend(missing);
        wrong.extend(unreadable);
        let (more, bytes) = pairs
            .into_par_iter()
            .map(|(node, entry)| self.check(node, entry))
            .reduce(Default::default, |(mut wrong, bytes), (more, more_bytes)| {
                wrong.extend(more);
                (wrong, bytes + more_bytes)
            });
        wrong.extend(more);
        findings.bytes = bytes;
    }

    /// What is wrong with one path, and how many bytes it took to know.
    fn check(&self, node: &Node, entry: &Entry) -> (Vec<Wrong>, u64) {
        if self.run.is_stopped() {
            return (Vec::new(), 0);
        }
        let mut bytes = 0;
        let mut kinds = Vec::new();
        let path = self.subject.folder.join(&node.path);
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
                    let (difference, read) = check_content(&path, blake3, self.run.observer);
                    bytes = read;
                    kinds.extend(difference);
                } else {
                    let (expected, found) = (*size, *found);
                    kinds.push(DifferenceKind::Size { expected, found });
                }
            }
            (NodeKind::Dir, EntryKind::Dir) => kinds.extend(check_mode(node.mode, FOLDER_MODE)),
            (NodeKind::Symlink { target: found }, EntryKind::Symlink { target }) => {
                if found.as_ref() != Some(target) {
                    let (expected, found) = (target.clone(), found.clone());
                    kinds.push(DifferenceKind::Target { expected, found });
                }
            }
            (found, expected) => kinds.push(DifferenceKind::Type {
                expected: listed_kind(expected),
                found: found.into(),
            }),
        }
        kinds.extend(self.common(&path, node.owner, (node.mtime, node.mtime_nanoseconds)));
        let wrong = kinds.into_iter().map(|kind| (node.path.clone(), kind)).collect();
        (wrong, bytes)
    }

    /// What is asked of whatever stands in a package: owner, time, no extended attributes.
    fn common(&self, path: &Path, found: Owner, time: (i64, i64)) -> Vec<DifferenceKind> {
        let mut kinds = Vec::new();
        if let Some(expected) = self.subject.owner
            && found != expected
            && found != Owner::ROOT
        {
            kinds.push(DifferenceKind::Owner { expected, found });
        }
        kinds.extend(check_time(time.0, time.1, self.epoch));
        match tree::attributes(path) {
            Ok(names) => kinds.extend(names.into_iter().map(|name| DifferenceKind::Attribute { name })),
            Err(error) => kinds.push(DifferenceKind::unreadable(&error.source)),
        }
        kinds
    }
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
        Err(error) => (Some(DifferenceKind::unreadable(&error.source)), 0),
    }
}

/// Checks the resolved recipe; gives it, if it can be relied on.
fn check_recipe(folder: &Path, id: &PackageId, wrong: &mut Vec<Wrong>) -> Option<ResolvedRecipe> {
    let kind = match facts::read(folder, id) {
        Ok(recipe) => return Some(recipe),
        // That it is missing follows from the listing too.
        Err(FactsError::Io(error)) if error.is_not_found() => return None,
        Err(FactsError::Io(error)) => DifferenceKind::unreadable(&error.source),
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
    (found != expected || nanoseconds != 0).then_some(DifferenceKind::Time {
        expected,
        found,
        nanoseconds,
    })
}

/// A listing that cannot be used.
struct Unusable {
    kind: DifferenceKind,
    /// Its bytes, where there are any.
    found: Option<Vec<u8>>,
}

fn read_listing(path: &Path, tree: &Digest) -> Result<Listing, Unusable> {
    let unusable = |reason: String| Unusable {
        kind: DifferenceKind::NoListing { tree: *tree, reason },
        found: None,
    };
    let bytes = regular::read(path).map_err(|error| unusable(error.source.to_string()))?;
    let (expected, found) = (*tree, Digest::of(&bytes));
    if found != expected {
        return Err(Unusable {
            kind: DifferenceKind::Listing { expected, found },
            found: Some(bytes),
        });
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

fn at_root(kind: DifferenceKind) -> Wrong {
    (String::new(), kind)
}

fn from_io(folder: &Path, error: IoError) -> Wrong {
    let path = error.path.strip_prefix(folder).unwrap_or(&error.path);
    (
        path.to_string_lossy().into_owned(),
        DifferenceKind::unreadable(&error.source),
    )
}
