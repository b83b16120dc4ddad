//! Owns the index's tables and how the file is made and opened.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::{Index, IndexError, corrupt, failed};
use crate::regular::NotRegular;
use crate::verify::FileKind;

/// The format of the index that this program reads and writes, kept in SQLite's `user_version`.
pub const FORMAT: i64 = 2;

/// How long a writer waits for another; transactions take milliseconds, so only a stopped process takes longer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// Statements kept prepared; more than there are.
const PREPARED: usize = 48;

const TABLES: &str = "
CREATE TABLE packages (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    tree TEXT NOT NULL,
    size INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE requires (
    package TEXT NOT NULL REFERENCES packages(id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('run', 'build')),
    dependency TEXT NOT NULL,
    PRIMARY KEY (package, kind, dependency)
) STRICT, WITHOUT ROWID;
CREATE TABLE roles (
    package TEXT NOT NULL REFERENCES packages(id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    PRIMARY KEY (package, role)
) STRICT, WITHOUT ROWID;
CREATE TABLE sources (
    package TEXT NOT NULL REFERENCES packages(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (package, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE builds (
    number INTEGER PRIMARY KEY,
    package TEXT NOT NULL,
    started INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('succeeded', 'failed', 'cancelled')),
    tree TEXT
) STRICT;
CREATE TABLE durations (
    name TEXT PRIMARY KEY NOT NULL,
    duration_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE roots (
    name TEXT PRIMARY KEY NOT NULL,
    set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE root_packages (
    root TEXT NOT NULL REFERENCES roots(name) ON DELETE CASCADE,
    package TEXT NOT NULL,
    PRIMARY KEY (root, package)
) STRICT, WITHOUT ROWID;
";

/// What makes an index of format 1 one of format 2.
const FROM_FORMAT_1: &str = "ALTER TABLE builds ADD COLUMN tree TEXT;";

impl Index {
    /// Makes a new, empty index. The caller sees to it that nobody else makes it at the same time.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn create(path: &Path) -> Result<(), IndexError> {
        let fail = failed(path, "make the tables");
        let mut connection = connect(path, OpenFlags::SQLITE_OPEN_CREATE)?;
        if version_of(&connection).map_err(&fail)? != 0 {
            return Ok(());
        }
        connection
            .pragma_update(None, "journal_mode", "wal")
            .map_err(&fail)?;
        let change = connection.transaction().map_err(&fail)?;
        change.execute_batch(TABLES).map_err(&fail)?;
        change
            .pragma_update(None, "user_version", FORMAT)
            .map_err(&fail)?;
        change.commit().map_err(&fail)
    }

    /// Opens an index that is there; one of an older program gets what it lacks.
    ///
    /// # Errors
    /// When it is damaged, newer than this program, or cannot be opened.
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        is_file(path)?;
        let mut connection = connect(path, OpenFlags::empty())?;
        if version_of(&connection).map_err(failed(path, "read the format"))? == 1 {
            migrate(&mut connection).map_err(failed(path, "add what older programs did not keep"))?;
        }
        Self::of(path, connection)
    }

    /// Opens an index that is there and that this process may only read.
    ///
    /// # Errors
    /// As [`Index::open`]; and when somebody left changes beside it that can only be taken in by writing.
    pub(crate) fn open_to_look(path: &Path) -> Result<Self, IndexError> {
        is_file(path)?;
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = connect_to(path, path, read_only).and_then(|connection| Self::of(path, connection));
        match opened {
            // Whoever has it open shares memory in a file beside it. Where nobody has, nobody can make that file here, and
            // the index is what it is.
            Err(IndexError::Failed { .. }) if has_no_log(path) => {
                let address = immutable(path);
                let connection = connect_to(path, &address, read_only | OpenFlags::SQLITE_OPEN_URI)?;
                Self::of(path, connection)
            }
            opened => opened,
        }
    }

    fn of(path: &Path, connection: Connection) -> Result<Self, IndexError> {
        let version = version_of(&connection).map_err(failed(path, "read the format"))?;
        match version {
            FORMAT => Ok(Self {
                path: path.to_owned(),
                connection: Mutex::new(connection),
            }),
            1 => Err(IndexError::Older(path.to_owned())),
            found if found > FORMAT => Err(IndexError::Newer {
                path: path.to_owned(),
                found,
            }),
            _ => Err(corrupt(path, "it states no format")),
        }
    }

    /// Reads the whole file and checks it against itself.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] with the first thing wrong.
    pub fn check(&self) -> Result<(), IndexError> {
        let verdict: String = self
            .connection()
            .pragma_query_value(None, "quick_check", |row| row.get(0))
            .map_err(self.failed("check"))?;
        match verdict.as_str() {
            "ok" => self.check_names()?,
            wrong => return Err(self.corrupt(wrong)),
        }
        self.check_rows()
    }

    /// Whether every row means something. IDs, names and digests that are none would else show to whoever asks for them
    /// later, or to nobody.
    fn check_rows(&self) -> Result<(), IndexError> {
        self.packages()?;
        self.requires()?;
        self.sources()?;
        self.durations()?;
        self.roots()?;
        self.attempted().map(drop)
    }

    /// What stands beside an ID, or is said to belong to one, and does not.
    fn check_names(&self) -> Result<(), IndexError> {
        let (misnamed, loose): (Option<String>, Option<String>) = {
            let connection = self.connection();
            let first = |query: &str| connection.query_row(query, [], |row| row.get(0)).optional();
            let ask = || {
                let misnamed = "SELECT id FROM packages WHERE id NOT GLOB name || '--*' LIMIT 1";
                let loose = "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1";
                Ok((first(misnamed)?, first(loose)?))
            };
            ask().map_err(self.failed("check"))?
        };
        match (misnamed, loose) {
            (None, None) => Ok(()),
            (Some(id), _) => Err(self.corrupt(format!("{id} has another name"))),
            (None, Some(table)) => {
                Err(self.corrupt(format!("a row of `{table}` is about a package that no row is")))
            }
        }
    }
}

/// Refuses what SQLite would wait for or cannot say anything of.
fn is_file(path: &Path) -> Result<(), IndexError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(metadata) => Err(corrupt(path, NotRegular(FileKind::from(&metadata)))),
        Err(_) => Err(IndexError::Missing(path.to_owned())),
    }
}

fn version_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Gives an index of format 1 what that of format 2 has, in one transaction.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it while this one waited.
    if version_of(&change)? == 1 {
        change.execute_batch(FROM_FORMAT_1)?;
        change.pragma_update(None, "user_version", FORMAT)?;
    }
    change.commit()
}

fn connect(path: &Path, extra: OpenFlags) -> Result<Connection, IndexError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | extra;
    connect_to(path, path, flags)
}

/// Whether nothing is written ahead of the index.
fn has_no_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).map_or(true, |log| log.len() == 0)
}

/// The address of a database that does not change.
fn immutable(path: &Path) -> PathBuf {
    let mut address = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => address.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => address.push(char::from(*byte)),
            byte => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address.push_str("?immutable=1");
    address.into()
}

/// Connects to the index at `path`, which SQLite knows by `address`.
fn connect_to(path: &Path, address: &Path, flags: OpenFlags) -> Result<Connection, IndexError> {
    let connection = Connection::open_with_flags(address, flags).map_err(failed(path, "open"))?;
    let fail = failed(path, "set up");
    connection.busy_timeout(BUSY_TIMEOUT).map_err(&fail)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    // NORMAL does not wait for the disk at each commit. A kill loses nothing; a power cut may lose the last rows,
    // whose packages are then found whole on disk and registered again.
    connection
        .pragma_update(None, "synchronous", "normal")
        .map_err(&fail)?;
    connection
        .pragma_update(None, "foreign_keys", true)
        .map_err(&fail)?;
    Ok(connection)
}
