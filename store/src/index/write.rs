//! Owns every change of the index; each is one short transaction.

use rusqlite::{Transaction, TransactionBehavior, params};
use schema::digest::Digest;
use schema::id::PackageId;
use schema::name::PackageName;

use super::{Attempt, Index, IndexError, Outcome, Registration};

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Index {
    /// Registers packages, all or none. One that is registered already is written anew.
    ///
    /// # Errors
    /// When the index cannot be written; then nothing is registered.
    pub fn register(&self, packages: &[Registration]) -> Result<(), IndexError> {
        self.change("register a package", |change| {
            packages.iter().try_for_each(|package| insert(change, package))
        })
    }

    /// Remembers an attempt that made no package.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn record_attempt(&self, id: &PackageId, attempt: &Attempt) -> Result<(), IndexError> {
        self.change("record a build", |change| insert_attempt(change, id, attempt))
    }

    /// Forgets packages, all or none; what is not registered is passed over. How long they took stays known.
    ///
    /// # Errors
    /// When the index cannot be written; then nothing is forgotten.
    pub fn forget(&self, packages: &[PackageId]) -> Result<(), IndexError> {
        self.change("forget a package", |change| {
            let mut delete = change.prepare_cached("DELETE FROM packages WHERE id = ?1")?;
            for id in packages {
                delete.execute([id.to_string()])?;
            }
            Ok(())
        })
    }

    /// Sets the root `name` to keep exactly `packages`; an older root of that name is replaced.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn set_root(&self, name: &str, packages: &[PackageId], now_unix: i64) -> Result<(), IndexError> {
        self.change("set a root", |change| {
            change.execute("DELETE FROM roots WHERE name = ?1", [name])?;
            change.execute(
                "INSERT INTO roots (name, set_at) VALUES (?1, ?2)",
                params![name, now_unix],
            )?;
            let mut insert = change
                .prepare_cached("INSERT OR IGNORE INTO root_packages (root, package) VALUES (?1, ?2)")?;
            for id in packages {
                insert.execute(params![name, id.to_string()])?;
            }
            Ok(())
        })
    }

    /// Removes the root `name`; says whether there was one.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn remove_root(&self, name: &str) -> Result<bool, IndexError> {
        self.change("remove a root", |change| {
            Ok(change.execute("DELETE FROM roots WHERE name = ?1", [name])? > 0)
        })
    }

    pub(super) fn remember_attempts(&self, attempts: &[(PackageId, Attempt)]) -> Result<(), IndexError> {
        self.change("remember builds", |change| {
            attempts
                .iter()
                .try_for_each(|(id, attempt)| insert_attempt(change, id, attempt))
        })
    }

    pub(super) fn remember_durations(
        &self,
        durations: impl IntoIterator<Item = (PackageName, i64)>,
    ) -> Result<(), IndexError> {
        self.change("remember durations", |change| {
            durations
                .into_iter()
                .try_for_each(|(name, duration)| insert_duration(change, &name, duration))
        })
    }

    fn change<T>(
        &self,
        action: &'static str,
        body: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, IndexError> {
        let mut connection = self.connection();
        let fail = self.failed(action);
        // Immediate: a transaction that read first and writes later could fail however long it is willing to wait.
        let change = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&fail)?;
        let done = body(&change).map_err(&fail)?;
        change.commit().map_err(&fail)?;
        Ok(done)
    }
}

fn insert(change: &Transaction<'_>, package: &Registration) -> rusqlite::Result<()> {
    let id = package.id.to_string();
    change
        .prepare_cached("DELETE FROM packages WHERE id = ?1")?
        .execute([&id])?;
    change
        .prepare_cached("INSERT INTO packages (id, name, version, tree, size) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            id,
            package.name().as_str(),
            package.version,
            package.tree.to_hex(),
            i64::try_from(package.size).unwrap_or(i64::MAX)
        ])?;
    let mut requires = change
        .prepare_cached("INSERT OR IGNORE INTO requires (package, kind, dependency) VALUES (?1, ?2, ?3)")?;
    for dependency in &package.requires {
        requires.execute(params![id, "run", dependency.to_string()])?;
    }
    for dependency in &package.build_requires {
        requires.execute(params![id, "build", dependency.to_string()])?;
    }
    let mut roles = change.prepare_cached("INSERT OR IGNORE INTO roles (package, role) VALUES (?1, ?2)")?;
    for role in &package.roles {
        roles.execute(params![id, role.as_str()])?;
    }
    let mut sources =
        change.prepare_cached("INSERT OR REPLACE INTO sources (package, name, key) VALUES (?1, ?2, ?3)")?;
    for (name, key) in &package.sources {
        sources.execute(params![id, name.as_str(), key])?;
    }
    match &package.build {
        Some(attempt) => insert_attempt(change, &package.id, attempt),
        None => Ok(()),
    }
}

fn insert_attempt(change: &Transaction<'_>, id: &PackageId, attempt: &Attempt) -> rusqlite::Result<()> {
    let duration = i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX);
    change
        .prepare_cached(
            "INSERT INTO builds (package, started, duration_ms, outcome, tree) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            id.to_string(),
            attempt.started_unix,
            duration,
            attempt.outcome.as_str(),
            attempt.tree.as_ref().map(Digest::to_hex)
        ])?;
    match attempt.outcome {
        Outcome::Succeeded => insert_duration(change, id.name(), duration),
        Outcome::Failed | Outcome::Cancelled => Ok(()),
    }
}

fn insert_duration(change: &Transaction<'_>, name: &PackageName, duration_ms: i64) -> rusqlite::Result<()> {
    change
        .prepare_cached("INSERT OR REPLACE INTO durations (name, duration_ms) VALUES (?1, ?2)")?
        .execute(params![name.as_str(), duration_ms])?;
    Ok(())
}
