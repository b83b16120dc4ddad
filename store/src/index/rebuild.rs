//! Owns the making of a new index from the folders, for when the old one is damaged or gone.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use schema::id::{IdError, PackageId};

use super::{Attempt, Index, IndexError, Registration, RootRecord};
use crate::durable;
use crate::folder;
use crate::io_error::{IoContext, IoError};
use crate::publish::{self, PublishError};
use crate::removal;
use crate::steps::Steps;
use crate::store::{self, Layout, OpenError};
use crate::work::{self, WorkArea};

/// The root that keeps everything, when the old index could not say what was kept.
pub const RECOVERED: &str = "recovered by index rebuild";

/// What became of the index.
#[derive(Debug)]
pub struct Rebuilt {
    /// How many packages are registered.
    pub packages: usize,
    /// What is in `packages/` and is no whole package; left where it is, and replaced or collected later.
    pub unusable: Vec<Unusable>,
    /// Where the roots came from.
    pub roots: Roots,
}

/// Where the roots of a rebuilt index came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roots {
    /// From the old index, as did what it knew of builds.
    Carried,
    /// It was unreadable. So that nothing is lost, the root [`RECOVERED`] keeps every package.
    Recovered,
}

/// Something in `packages/` that is no whole package.
#[derive(Debug)]
pub struct Unusable {
    /// Its path.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: UnusableReason,
}

/// Why something in `packages/` cannot be registered.
#[derive(Debug, thiserror::Error)]
pub enum UnusableReason {
    /// Its name.
    #[error(transparent)]
    Name(#[from] IdError),
    /// Its content.
    #[error(transparent)]
    Content(#[from] PublishError),
}

/// What of the old index is not in the folders.
struct Carried {
    roots: Vec<RootRecord>,
    durations: Vec<(schema::name::PackageName, i64)>,
    attempts: Vec<(PackageId, Attempt)>,
}

/// Makes a new index of the store at `root` from its folders, whose files are all read, and puts it in place of the
/// old one. `now_unix` is the time in seconds since 1970; each folder is one of `steps`.
///
/// # Errors
/// When another process has the store open, or system or SQLite refuse something; the old index is then still there.
pub fn rebuild(root: &Path, now_unix: i64, steps: &dyn Steps) -> Result<Rebuilt, OpenError> {
    store::exists(root)?;
    let (layout, in_use) = store::prepare(root)?;
    if in_use.try_lock().is_err() {
        return Err(OpenError::InUse(root.to_owned()));
    }
    work::sweep(&layout.tmp())?;
    let carried = carry(&layout.index())?;
    let (whole, unusable) = examine_all(&layout, steps)?;
    let area = WorkArea::new(&layout.tmp(), "index")?;
    let aside = area.path().join("index.sqlite");
    Index::create(&aside)?;
    let new = Index::open(&aside)?;
    new.register(&whole)?;
    let roots = match carried {
        Some(carried) => {
            for root in carried.roots {
                new.set_root(&root.name, &root.packages, root.set_unix)?;
            }
            new.remember_attempts(&carried.attempts)?;
            // Some are older than every attempt that is remembered.
            new.remember_durations(carried.durations)?;
            Roots::Carried
        }
        None => {
            let all: Vec<PackageId> = whole.iter().map(|package| package.id.clone()).collect();
            new.set_root(RECOVERED, &all, now_unix)?;
            Roots::Recovered
        }
    };
    // Closing the last connection moves everything from the write-ahead log into the file itself.
    drop(new);
    replace(&layout, &aside)?;
    Ok(Rebuilt {
        packages: whole.len(),
        unusable,
        roots,
    })
}

/// Reads what it can of the old index; nothing when any of it is unreadable. Leaves it without a write-ahead log.
fn carry(path: &Path) -> Result<Option<Carried>, OpenError> {
    let read = || -> Result<Carried, IndexError> {
        let old = Index::open(path)?;
        old.check()?;
        let durations = old.durations()?.into_iter();
        Ok(Carried {
            roots: old.roots()?,
            attempts: old.all_attempts()?,
            durations: durations
                .map(|(name, took)| (name, i64::try_from(took.as_millis()).unwrap_or(i64::MAX)))
                .collect(),
        })
    };
    match read() {
        Ok(carried) => Ok(Some(carried)),
        // What a newer program knows must not be replaced by what this one does.
        Err(newer @ IndexError::Newer { .. }) => Err(newer.into()),
        Err(_) => Ok(None),
    }
}

fn examine_all(layout: &Layout, steps: &dyn Steps) -> Result<(Vec<Registration>, Vec<Unusable>), IoError> {
    let entries = folder::entries(&layout.packages())?;
    let paths: Vec<PathBuf> = entries.iter().map(DirEntry::path).collect();
    let total = paths.len();
    let (mut whole, mut unusable) = (Vec::new(), Vec::new());
    let examined: Vec<_> = paths
        .into_par_iter()
        .map(|path| {
            let outcome = examine(layout, &path);
            steps.done(total);
            (path, outcome)
        })
        .collect();
    for (path, outcome) in examined {
        match outcome {
            Ok(registration) => whole.push(registration),
            Err(reason) => unusable.push(Unusable { path, reason }),
        }
    }
    whole.sort_unstable_by(|a: &Registration, b| a.id.cmp(&b.id));
    unusable.sort_unstable_by(|a: &Unusable, b| a.path.cmp(&b.path));
    Ok((whole, unusable))
}

fn examine(layout: &Layout, path: &Path) -> Result<Registration, UnusableReason> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let id: PackageId = name.parse()?;
    Ok(publish::examine(layout, &id)?)
}

fn replace(layout: &Layout, aside: &Path) -> Result<(), IoError> {
    let index = layout.index();
    durable::sync_file_system(&layout.tmp())?;
    // The old log must not be taken for the new index's. Without it the old index is what it was at its last
    // checkpoint, and `carry` made one if anything in it could be read.
    for suffix in ["-wal", "-shm"] {
        let mut name = index.clone().into_os_string();
        name.push(suffix);
        removal::remove(Path::new(&name))?;
    }
    // A file takes the place of anything but a folder.
    if fs::symlink_metadata(&index).is_ok_and(|it| it.is_dir()) {
        removal::remove(&index)?;
    }
    fs::rename(aside, &index).at("publish", &index)?;
    durable::sync_file_system(&layout.tmp())
}

#[cfg(test)]
mod tests;
