//! Owns what a finished output folder is turned into before it is listed: the same bytes, modes and times on every machine.

mod ar;
mod finish;
mod links;
mod noise;
mod walk;

use std::fmt;
use std::path::{Path, PathBuf};
use store::facts::RESOLVED_RECIPE;

use rayon::prelude::*;
use schema::id::PackageId;
use store::io_error::IoError;

pub use noise::{NOISE, Noise};

/// How many problems or findings of one package are spelled out.
pub const MOST_REPORTED: usize = 20;

/// Below this many items a thread pool costs more than it saves.
const WORTH_THREADS: usize = 64;

/// What an output is normalised against.
#[derive(Debug, Clone, Copy)]
pub struct NormaliseRules<'a> {
    /// Every file's, folder's and link's time, in seconds since 1970.
    pub source_date_epoch: u64,
    /// Where the tree of recipes stands on hosts, e.g. `/opt/store`.
    pub prefix: &'a Path,
    /// The package whose output this is.
    pub id: &'a PackageId,
    /// The packages that stand beside it on every host: its run-time closure.
    pub closure: &'a [PackageId],
}

/// An output folder in canonical form, and what it holds.
#[derive(Debug)]
pub struct Normalised {
    /// The folder itself.
    pub dir: PathBuf,
    /// Everything below it, sorted by the bytes of the paths.
    pub entries: Vec<OutputEntry>,
    /// What was removed or rewritten as noise, for the build's log.
    pub treated: Vec<Treated>,
}

/// One thing in an output folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputEntry {
    /// Relative to the output folder.
    pub path: String,
    /// What stands there.
    pub kind: OutputKind,
}

/// What a path in an output folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputKind {
    /// A regular file of `size` bytes.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A folder.
    Dir,
    /// A symbolic link.
    Link {
        /// As stored in the link, after normalising.
        target: String,
    },
}

/// One file to which an item of [`NOISE`] was applied.
#[derive(Debug, Clone)]
pub struct Treated {
    /// Relative to the output folder.
    pub path: String,
    /// Which item.
    pub noise: &'static Noise,
}

/// Why an output cannot become a package.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Nothing is there, or nothing but what `store` itself wrote.
    #[error("the build leaves no output: nothing was written to $PKG_PATH")]
    Empty,
    /// Things that no package may hold; all of them, in order of their paths.
    #[error("the output holds what no package may hold:{}", Lines(.0))]
    Refused(Vec<Problem>),
    /// The file system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// One thing that no package may hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {kind}")]
pub struct Problem {
    /// Relative to the output folder; bytes that are not UTF-8 are written as `\xff`.
    pub path: String,
    /// What is wrong with it.
    pub kind: ProblemKind,
}

/// What is wrong with one thing in an output folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProblemKind {
    /// Listings are JSON, so every name must be UTF-8.
    #[error("has a name that is not UTF-8")]
    Name,
    /// Neither file, folder nor link.
    #[error("is a {0}; only files, folders and links can be kept")]
    Special(&'static str),
    /// Its mode gives whoever runs it another user's rights, or is sticky.
    #[error("has mode {0:04o}; set-user-ID, set-group-ID and sticky bits are not kept")]
    Mode(u32),
    /// A link's target is not UTF-8.
    #[error("is a link whose target is not UTF-8")]
    Target,
    /// A link to something outside the prefix.
    #[error("is a link to `{0}`, which leaves the prefix")]
    Leaves(String),
    /// A link into the package to something that is not there.
    #[error("is a link to `{0}`, which is not in the output")]
    Dangles(String),
    /// A link that leads back to itself.
    #[error("is a link to `{0}`, which leads back to it")]
    Loops(String),
    /// A link into a package that hosts need not have.
    #[error("is a link to `{0}`, into a package that it does not require")]
    NotRequired(String),
    /// A static library that only names its members' files.
    #[error(
        "is a thin archive: it names object files of the build instead of holding them (make it without `T`)"
    )]
    ThinArchive,
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.0.iter().take(MOST_REPORTED) {
            write!(f, "\n  {problem}")?;
        }
        match self.0.len().saturating_sub(MOST_REPORTED) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// Makes the finished output folder `dir` canonical.
///
/// Links are never followed. The build that wrote the folder must be over: paths are looked at once and used later.
/// The folder itself stays writable for its owner, since an ordinary user can only rename a folder into place
/// while it is; whoever publishes it takes that right away.
///
/// # Errors
/// See [`OutputError`]; of [`OutputError::Refused`] every problem is reported at once. The folder is then
/// left half normalised and is good for looking at only.
pub fn normalise(dir: &Path, rules: &NormaliseRules<'_>) -> Result<Normalised, OutputError> {
    let (found, mut problems) = walk::walk(dir)?;
    finish::unshare(dir, &found)?;
    let cleaned = noise::clean(dir, found, rules, &mut problems)?;
    let rewrites = links::check(&cleaned.found, rules, &mut problems);
    if !problems.is_empty() {
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        return Err(OutputError::Refused(problems));
    }
    if cleaned.found.iter().all(|found| found.path == RESOLVED_RECIPE) {
        return Err(OutputError::Empty);
    }
    let mut found = cleaned.found;
    links::rewrite(dir, &mut found, rewrites)?;
    finish::finish(dir, &found, rules.source_date_epoch)?;
    Ok(Normalised {
        dir: dir.to_owned(),
        entries: found.into_iter().map(walk::Found::into_entry).collect(),
        treated: cleaned.treated,
    })
}

/// Runs `work` on every item, on all threads when there are enough items; results are in the items' order.
fn for_each<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync + Send,
) -> Result<Vec<R>, E> {
    if items.len() < WORTH_THREADS {
        items.iter().map(work).collect()
    } else {
        items.par_iter().with_min_len(16).map(work).collect()
    }
}

#[cfg(test)]
mod tests;
