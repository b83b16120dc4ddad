//! Owns finding what an output refers to: dependencies by the digests in their IDs, and folders that exist only while building.

mod digests;
mod search;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use schema::id::PackageId;
use schema::platform::Prefix;

use store::facts::RESOLVED_RECIPE;
use store::io_error::{IoContext, IoError};
use store::tree::{self, NodeKind};

use crate::normalise::{MOST_REPORTED, Normalised, OutputEntry, OutputKind};
use search::{Hit, Search};

/// Folders of the sandbox that no host has.
pub const SANDBOX_FOLDERS: [&str; 3] = ["/pkg/src/", "/pkg/extra/", "/pkg/build/"];

/// What is looked for in an output.
#[derive(Debug, Clone, Copy)]
pub struct ReferenceRules<'a> {
    /// What stood in the sandbox and stands on no host with this package: the build's closure without the run-time one.
    pub build_only: &'a [PackageId],
    /// Whose references are wanted: what the package requires.
    pub requires: &'a [PackageId],
    /// Folders of the building machine, e.g. the work area. Short ones, like `/tmp`, would be found everywhere.
    pub host_folders: &'a [PathBuf],
}

/// Something an output must not refer to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forbidden {
    /// A package that is only there while building.
    BuildOnly(PackageId),
    /// One of [`SANDBOX_FOLDERS`].
    SandboxFolder(&'static str),
    /// A folder of the building machine.
    HostFolder(PathBuf),
}

/// Where in one file a reference stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In its path.
    Path,
    /// In the target of a link.
    Target,
    /// In its content, at this offset in bytes.
    Content(u64),
}

/// All references of one file to one forbidden thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceFound {
    /// The file's path, relative to the output folder.
    pub file: String,
    /// Where the first one stands.
    pub place: Place,
    /// To what.
    pub what: Forbidden,
    /// How many there are.
    pub times: u64,
    /// The printable text around the first one.
    pub excerpt: String,
}

/// Why the references of an output are not known, or not allowed.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// The output refers to what no host has.
    #[error("the output refers to what only its build had:{self}", self = Lines(.found, *.more))]
    Found {
        /// The first ones, in order of the files' paths; at most [`MOST_REPORTED`].
        found: Vec<ReferenceFound>,
        /// How many more there are.
        more: usize,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] IoError),
}

impl Forbidden {
    /// What the author of a recipe can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::BuildOnly(_) => {
                "name it in `requires` if the package needs it to run; else keep the build from writing it down"
            }
            Self::SandboxFolder(_) | Self::HostFolder(_) => {
                "strip debug information, or give the compiler `-ffile-prefix-map=/pkg/src=.`"
            }
        }
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuildOnly(id) => write!(f, "{id}, which is only a build dependency"),
            Self::SandboxFolder(folder) => write!(f, "{folder}, a folder of the build"),
            Self::HostFolder(folder) => write!(f, "{}, a folder of the building machine", folder.display()),
        }
    }
}

impl fmt::Display for ReferenceFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.file)?;
        match self.place {
            Place::Path => write!(f, "has a path that names {}", self.what)?,
            Place::Target => write!(f, "is a link to {}", self.what)?,
            Place::Content(offset) => write!(f, "at byte {offset} names {}", self.what)?,
        }
        if self.times > 1 {
            write!(f, " ({} times)", self.times)?;
        }
        write!(f, ": {}", self.excerpt)
    }
}

struct Lines<'a>(&'a [ReferenceFound], usize);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for found in self.0 {
            write!(f, "\n  {found}")?;
        }
        match self.1 {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// Looks through every name, link and file of `output`; gives those of `rules.requires` that are referred to.
///
/// A dependency is known by the 52 characters of its digest, so a path that was cut up or put together anew is
/// found too. What is compressed or encrypted hides what it refers to. The package's resolved recipe names its
/// build dependencies by right and is left out.
///
/// # Errors
/// See [`ReferenceError`].
pub fn scan(output: &Normalised, rules: &ReferenceRules<'_>) -> Result<BTreeSet<PackageId>, ReferenceError> {
    let search = Search::new(rules);
    let seen = output
        .entries
        .par_iter()
        .with_min_len(8)
        .filter(|entry| entry.path != RESOLVED_RECIPE)
        .map(|entry| scan_entry(&search, &output.dir, entry))
        .try_reduce(Seen::default, |a, b| Ok(a.and(b)))?;
    if seen.forbidden.is_empty() {
        return Ok(seen.required);
    }
    let mut found = seen.forbidden;
    found.sort_unstable();
    let more = found.len().saturating_sub(MOST_REPORTED);
    found.truncate(MOST_REPORTED);
    Err(ReferenceError::Found { found, more })
}

/// Every file of the package in the folder `dir` that refers to the package `to`, sorted by path: by its digest, or by
/// the name under which it is active below `prefix`. The resolved recipe, which names it by right, is left out.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub fn to_package(
    dir: &Path,
    to: &PackageId,
    prefix: &Prefix,
) -> Result<Vec<ReferenceFound>, ReferenceError> {
    let walk = tree::walk(dir)?;
    let search = Search::for_package(to, prefix);
    let mut found = Vec::new();
    for node in walk.nodes.into_iter().filter(|node| node.path != RESOLVED_RECIPE) {
        let kind = match node.kind {
            NodeKind::Dir => OutputKind::Dir,
            NodeKind::File { size } => OutputKind::File { size },
            NodeKind::Symlink { target: Some(target) } => OutputKind::Link { target },
            // What a package cannot hold, it cannot refer with.
            NodeKind::Symlink { target: None } | NodeKind::Other(_) => continue,
        };
        let entry = OutputEntry {
            path: node.path,
            kind,
        };
        found.extend(scan_entry(&search, dir, &entry)?.forbidden);
    }
    Ok(found)
}

/// What was found in some of the files.
#[derive(Default)]
struct Seen {
    required: BTreeSet<PackageId>,
    forbidden: Vec<ReferenceFound>,
}

impl Seen {
    fn and(mut self, mut other: Self) -> Self {
        self.required.append(&mut other.required);
        self.forbidden.append(&mut other.forbidden);
        self
    }

    fn take(&mut self, hit: Hit<'_>, file: &str, place: impl Fn(u64) -> Place) {
        match hit.what {
            search::What::Required(id) => {
                if !self.required.contains(id) {
                    self.required.insert(id.clone());
                }
            }
            search::What::Forbidden(what) => {
                let place = place(hit.offset);
                let same_kind = |a: Place, b: Place| std::mem::discriminant(&a) == std::mem::discriminant(&b);
                let known = self
                    .forbidden
                    .iter_mut()
                    .find(|found| found.what == *what && same_kind(found.place, place));
                match known {
                    Some(found) => {
                        found.times += 1;
                        // What is looked for in several forms is not found in the order in which it stands.
                        if place < found.place {
                            found.place = place;
                            found.excerpt = hit.excerpt();
                        }
                    }
                    None => self.forbidden.push(ReferenceFound {
                        file: file.to_owned(),
                        place,
                        what: what.clone(),
                        times: 1,
                        excerpt: hit.excerpt(),
                    }),
                }
            }
        }
    }
}

fn scan_entry(search: &Search, dir: &Path, entry: &OutputEntry) -> Result<Seen, ReferenceError> {
    let mut seen = Seen::default();
    let name = entry.path.rsplit('/').next().unwrap_or(&entry.path);
    search.text(name.as_bytes(), |hit| {
        seen.take(hit, &entry.path, |_| Place::Path)
    });
    match &entry.kind {
        OutputKind::Dir => {}
        OutputKind::Link { target } => {
            search.text(target.as_bytes(), |hit| {
                seen.take(hit, &entry.path, |_| Place::Target)
            });
        }
        OutputKind::File { size: 0 } => {}
        OutputKind::File { size } => {
            let path = dir.join(&entry.path);
            File::open(&path)
                .and_then(|file| {
                    search.stream(file, *size, |hit| seen.take(hit, &entry.path, Place::Content))
                })
                .at("read", &path)?;
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests;
