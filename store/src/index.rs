//! Owns the index: the SQLite file that says which packages are whole, what they require and how long they took.
//!
//! A row in `packages` is what makes a package exist: folders without one are finished or swept by whoever finds
//! them. The index holds nothing about packages that their folders do not say too, so it can be made anew.

mod open;
mod read;
mod rebuild;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use schema::digest::Digest;
use schema::id::PackageId;
use schema::name::{PackageName, RoleName, SourceName};

pub use open::FORMAT;
pub use rebuild::{RECOVERED, Rebuilt, Roots, Unusable, UnusableReason, rebuild};

/// Why the index cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file is no database, or one that contradicts itself.
    #[error(
        "the index {} is damaged ({detail}); `store index rebuild` makes it anew from the packages", path.display()
    )]
    Corrupt {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// There are packages but no index.
    #[error("the index {} is gone; `store index rebuild` makes it anew from the packages", .0.display())]
    Missing(PathBuf),
    /// Written by an older program, and not to be changed by this process.
    #[error("the index {} is of an older format; whoever may write the store has to run a command on it once", .0.display())]
    Older(PathBuf),
    /// Written by a newer `store`.
    #[error(
        "the index {} has format {found}, newer than this program knows ({FORMAT}); use a newer `store`", path.display()
    )]
    Newer {
        /// The index.
        path: PathBuf,
        /// The format it has.
        found: i64,
    },
    /// Another process kept it locked for too long.
    #[error("the index {} has been locked by another process for a long time", .0.display())]
    Busy(PathBuf),
    /// There is no room to write.
    #[error("cannot write the index {}: the disk is full", .0.display())]
    DiskFull(PathBuf),
    /// Anything else.
    #[error("cannot {action} in the index {}: {source}", path.display())]
    Failed {
        /// What was tried.
        action: &'static str,
        /// The index.
        path: PathBuf,
        /// SQLite's answer.
        source: rusqlite::Error,
    },
}

/// The index of one store; may be shared by threads and opened by several processes at once.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// What the index keeps of a package that has come to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its store ID.
    pub id: PackageId,
    /// Its version, for people.
    pub version: String,
    /// The digest of its listing.
    pub tree: Digest,
    /// Sum of the sizes of its files, in bytes.
    pub size: u64,
    /// What it requires at run time.
    pub requires: Vec<PackageId>,
    /// What it required at build time only.
    pub build_requires: Vec<PackageId>,
    /// The roles it is activated on; none means all.
    pub roles: Vec<RoleName>,
    /// Its sources, each with its key, the file name below `sources/`.
    pub sources: Vec<(SourceName, String)>,
    /// The build that made it, where that is known.
    pub build: Option<Attempt>,
}

/// A registered package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRecord {
    /// Its store ID.
    pub id: PackageId,
    /// Its version, for people.
    pub version: String,
    /// The digest of its listing.
    pub tree: Digest,
    /// Sum of the sizes of its files, in bytes.
    pub size: u64,
    /// What it requires at run time, sorted.
    pub requires: Vec<PackageId>,
    /// What it required at build time only, sorted.
    pub build_requires: Vec<PackageId>,
    /// The roles it is activated on, sorted; none means all.
    pub roles: Vec<RoleName>,
}

/// How an attempt to build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// With a package.
    Succeeded,
    /// Without one.
    Failed,
    /// It was stopped from outside.
    Cancelled,
}

/// One attempt to build a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began, in seconds since 1970.
    pub started_unix: i64,
    /// How long it took.
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// The tree digest of what came out; nothing where nothing did, or an older program built it and did not say.
    pub tree: Option<Digest>,
}

/// What came out of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CameOut {
    /// Its place among all builds of the store, of whatever package, oldest first.
    pub number: i64,
    /// The tree digest.
    pub tree: Digest,
}

/// The last successful build of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The package.
    pub id: PackageId,
    /// When it began, in seconds since 1970.
    pub started_unix: i64,
}

/// A name under which packages are kept from garbage collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootRecord {
    /// The name, as its maker chose it.
    pub name: String,
    /// When it was last set, in seconds since 1970.
    pub set_unix: i64,
    /// The packages it keeps, with their closures; sorted.
    pub packages: Vec<PackageId>,
}

impl Index {
    /// Where the index lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A thread that panicked while holding it left at most an open transaction, which its drop rolled back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, action: &'static str) -> impl Fn(rusqlite::Error) -> IndexError {
        failed(&self.path, action)
    }

    fn corrupt(&self, detail: impl ToString) -> IndexError {
        corrupt(&self.path, detail)
    }
}

impl IndexError {
    /// Whether there was no room left on the disk.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull(_))
    }
}

fn corrupt(path: &Path, detail: impl ToString) -> IndexError {
    IndexError::Corrupt {
        path: path.to_owned(),
        detail: detail.to_string(),
    }
}

/// Sorts SQLite's errors into those a caller can do something about.
fn failed(path: &Path, action: &'static str) -> impl Fn(rusqlite::Error) -> IndexError {
    move |source| {
        let path = path.to_owned();
        let detail = source.to_string();
        match &source {
            // Text where a number should be, a column or table that is not there: not what this program wrote.
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => IndexError::Corrupt { path, detail },
            rusqlite::Error::SqlInputError { msg, .. } if msg.starts_with("no such") => {
                IndexError::Corrupt { path, detail }
            }
            // The memory shared between processes lies in a file beside the index, which could not be made longer.
            rusqlite::Error::SqliteFailure(error, _)
                if error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE =>
            {
                IndexError::DiskFull(path)
            }
            rusqlite::Error::SqliteFailure(error, _) => match error.code {
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => IndexError::Corrupt { path, detail },
                ErrorCode::DiskFull => IndexError::DiskFull(path),
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => IndexError::Busy(path),
                ErrorCode::Unknown if detail.contains("no such") => IndexError::Corrupt { path, detail },
                _ => IndexError::Failed { action, path, source },
            },
            _ => IndexError::Failed { action, path, source },
        }
    }
}

impl Registration {
    /// The name of the package.
    pub fn name(&self) -> &PackageName {
        self.id.name()
    }
}

#[cfg(test)]
mod tests;
