//! Owns every question put to the index.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::str::FromStr;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row};
use schema::id::PackageId;
use schema::name::{PackageName, RoleName};

use super::{Attempt, Built, CameOut, Index, IndexError, Outcome, PackageRecord, RootRecord};

impl Index {
    /// Those of `ids` that are registered.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn registered(&self, ids: &[PackageId]) -> Result<HashSet<PackageId>, IndexError> {
        self.ask("look up packages", |connection| {
            let mut query = connection.prepare_cached("SELECT 1 FROM packages WHERE id = ?1")?;
            let mut found = HashSet::with_capacity(ids.len());
            for id in ids {
                if query.exists([id.to_string()])? {
                    found.insert(id.clone());
                }
            }
            Ok(found)
        })
    }

    /// The package `id`, when it is registered.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn package(&self, id: &PackageId) -> Result<Option<PackageRecord>, IndexError> {
        let row = self.ask("read a package", |connection| {
            let text = id.to_string();
            let found = connection
                .prepare_cached("SELECT id, version, tree, size FROM packages WHERE id = ?1")?
                .query_row([&text], columns)
                .optional()?;
            let Some(found) = found else {
                return Ok(None);
            };
            let requires = connection
                .prepare_cached("SELECT package, kind, dependency FROM requires WHERE package = ?1")?
                .query_map([&text], three)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let roles = connection
                .prepare_cached("SELECT package, role FROM roles WHERE package = ?1")?
                .query_map([&text], two)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(Some((found, requires, roles)))
        })?;
        let Some((found, requires, roles)) = row else {
            return Ok(None);
        };
        Ok(self.assemble(vec![found], requires, roles)?.pop())
    }

    /// Every registered package, sorted by ID.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn packages(&self) -> Result<Vec<PackageRecord>, IndexError> {
        let (found, requires, roles) = self.ask("read the packages", |connection| {
            let found = connection
                .prepare_cached("SELECT id, version, tree, size FROM packages ORDER BY id")?
                .query_map([], columns)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let requires = connection
                .prepare_cached("SELECT package, kind, dependency FROM requires")?
                .query_map([], three)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let roles = connection
                .prepare_cached("SELECT package, role FROM roles")?
                .query_map([], two)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((found, requires, roles))
        })?;
        self.assemble(found, requires, roles)
    }

    /// What each registered package requires at run time.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn requires(&self) -> Result<BTreeMap<PackageId, Vec<PackageId>>, IndexError> {
        let (ids, edges) = self.ask("read what packages require", |connection| {
            let ids = connection
                .prepare_cached("SELECT id FROM packages")?
                .query_map([], |row| row.get::<_, String>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let edges = connection
                .prepare_cached("SELECT package, dependency FROM requires WHERE kind = 'run'")?
                .query_map([], two)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((ids, edges))
        })?;
        let mut requires = BTreeMap::new();
        for id in ids {
            requires.insert(self.parse(&id)?, Vec::new());
        }
        for (package, dependency) in edges {
            let dependency = self.parse(&dependency)?;
            requires
                .entry(self.parse(&package)?)
                .or_default()
                .push(dependency);
        }
        Ok(requires)
    }

    /// The keys of the sources that each registered package was made from.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn sources(&self) -> Result<Vec<(PackageId, String)>, IndexError> {
        let rows = self.ask("read the sources", |connection| {
            connection
                .prepare_cached("SELECT package, key FROM sources")?
                .query_map([], two)?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rows.into_iter()
            .map(|(package, key)| Ok((self.parse(&package)?, key)))
            .collect()
    }

    /// How long the last successful build of each package name took.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn durations(&self) -> Result<HashMap<PackageName, Duration>, IndexError> {
        let rows = self.ask("read durations", |connection| {
            connection
                .prepare_cached("SELECT name, duration_ms FROM durations")?
                .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<(String, i64)>>>()
        })?;
        let duration = |milliseconds| Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0));
        rows.into_iter()
            .map(|(name, milliseconds)| Ok((self.parse(&name)?, duration(milliseconds))))
            .collect()
    }

    /// The attempts to build `id`, oldest first.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn attempts(&self, id: &PackageId) -> Result<Vec<Attempt>, IndexError> {
        let rows = self.ask("read the builds", |connection| {
            let query = format!("SELECT {ATTEMPT} FROM builds WHERE package = ?1 ORDER BY number");
            connection
                .prepare_cached(&query)?
                .query_map([id.to_string()], attempt)?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rows.into_iter().map(|(_, row)| self.attempt(row)).collect()
    }

    /// What came out of each build of `id` that says so, oldest first.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn came_out(&self, id: &PackageId) -> Result<Vec<CameOut>, IndexError> {
        let rows =
            self.ask("read the builds", |connection| {
                connection
                .prepare_cached(
                    "SELECT number, tree FROM builds WHERE package = ?1 AND tree IS NOT NULL ORDER BY number",
                )?
                .query_map([id.to_string()], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
            })?;
        rows.into_iter()
            .map(|(number, tree)| {
                let tree = self.parse(&tree)?;
                Ok(CameOut { number, tree })
            })
            .collect()
    }

    /// Every attempt to build anything, oldest first.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(super) fn all_attempts(&self) -> Result<Vec<(PackageId, Attempt)>, IndexError> {
        let rows = self.ask("read the builds", |connection| {
            connection
                .prepare_cached(&format!("SELECT {ATTEMPT} FROM builds ORDER BY number"))?
                .query_map([], attempt)?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rows.into_iter()
            .map(|(package, row)| Ok((self.parse(&package)?, self.attempt(row)?)))
            .collect()
    }

    fn attempt(&self, (attempt, tree): (Attempt, Option<String>)) -> Result<Attempt, IndexError> {
        let tree = tree.map(|tree| self.parse(&tree)).transpose()?;
        Ok(Attempt { tree, ..attempt })
    }

    /// Every package that was ever attempted to be built.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(crate) fn attempted(&self) -> Result<BTreeSet<PackageId>, IndexError> {
        let rows = self.ask("read the builds", |connection| {
            connection
                .prepare_cached("SELECT DISTINCT package FROM builds WHERE outcome IS NOT NULL")?
                .query_map([], |row| row.get::<_, String>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rows.iter().map(|id| self.parse(id)).collect()
    }

    /// The last successful build of each package that was ever built, newest first.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn last_builds(&self) -> Result<Vec<Built>, IndexError> {
        let rows = self.ask("read the builds", |connection| {
            connection
                .prepare_cached(
                    "SELECT package, started, MAX(number) FROM builds WHERE outcome = 'succeeded'
                     GROUP BY package ORDER BY 3 DESC",
                )?
                .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rows.into_iter()
            .map(|(id, started_unix)| {
                let id = self.parse(&id)?;
                Ok(Built { id, started_unix })
            })
            .collect()
    }

    /// All roots, sorted by name.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn roots(&self) -> Result<Vec<RootRecord>, IndexError> {
        let (names, packages) = self.ask("read the roots", |connection| {
            let names = connection
                .prepare_cached("SELECT name, set_at FROM roots ORDER BY name")?
                .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<(String, i64)>>>()?;
            let packages = connection
                .prepare_cached("SELECT root, package FROM root_packages ORDER BY root, package")?
                .query_map([], two)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((names, packages))
        })?;
        let mut kept: HashMap<String, BTreeSet<PackageId>> = HashMap::new();
        for (root, package) in packages {
            let package = self.parse(&package)?;
            kept.entry(root).or_default().insert(package);
        }
        Ok(names
            .into_iter()
            .map(|(name, set_unix)| RootRecord {
                packages: kept.remove(&name).unwrap_or_default().into_iter().collect(),
                name,
                set_unix,
            })
            .collect())
    }

    /// What roots keep that is not registered, each with the name of its root, sorted.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(crate) fn kept_absent(&self) -> Result<Vec<(String, PackageId)>, IndexError> {
        let rows = self.ask("read the roots", |connection| {
            connection
                .prepare_cached(
                    "SELECT root, package FROM root_packages WHERE package NOT IN (SELECT id FROM packages)
                     ORDER BY root, package",
                )?
                .query_map([], two)?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rows.into_iter()
            .map(|(root, package)| Ok((root, self.parse(&package)?)))
            .collect()
    }

    /// One consistent view: all of `body` sees the same state, whatever others write meanwhile.
    fn ask<T>(
        &self,
        action: &'static str,
        body: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, IndexError> {
        let mut connection = self.connection();
        let fail = self.failed(action);
        let view = connection.transaction().map_err(&fail)?;
        body(&view).map_err(&fail)
    }

    fn parse<T: FromStr<Err: std::fmt::Display>>(&self, text: &str) -> Result<T, IndexError> {
        text.parse().map_err(|error: T::Err| self.corrupt(error))
    }

    fn assemble(
        &self,
        found: Vec<Columns>,
        requires: Vec<(String, String, String)>,
        roles: Vec<(String, String)>,
    ) -> Result<Vec<PackageRecord>, IndexError> {
        let mut run: HashMap<String, BTreeSet<PackageId>> = HashMap::new();
        let mut build: HashMap<String, BTreeSet<PackageId>> = HashMap::new();
        let mut on: HashMap<String, BTreeSet<RoleName>> = HashMap::new();
        for (package, kind, dependency) in requires {
            let edges = if kind == "run" { &mut run } else { &mut build };
            edges.entry(package).or_default().insert(self.parse(&dependency)?);
        }
        for (package, role) in roles {
            on.entry(package).or_default().insert(self.parse(&role)?);
        }
        found
            .into_iter()
            .map(|row| {
                Ok(PackageRecord {
                    id: self.parse(&row.id)?,
                    version: row.version,
                    tree: self.parse(&row.tree)?,
                    size: u64::try_from(row.size).map_err(|error| self.corrupt(error))?,
                    requires: sorted(run.remove(&row.id)),
                    build_requires: sorted(build.remove(&row.id)),
                    roles: sorted(on.remove(&row.id)),
                })
            })
            .collect()
    }
}

struct Columns {
    id: String,
    version: String,
    tree: String,
    size: i64,
}

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok(Columns {
        id: row.get(0)?,
        version: row.get(1)?,
        tree: row.get(2)?,
        size: row.get(3)?,
    })
}

fn two(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn three(row: &Row<'_>) -> rusqlite::Result<(String, String, String)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

/// The columns that [`attempt`] reads.
const ATTEMPT: &str = "package, started, duration_ms, outcome, tree";

/// The package, the attempt, and the tree digest as it is spelled.
type AttemptRow = (String, (Attempt, Option<String>));

fn attempt(row: &Row<'_>) -> rusqlite::Result<AttemptRow> {
    let outcome: String = row.get(3)?;
    let attempt = Attempt {
        started_unix: row.get(1)?,
        duration: Duration::from_millis(u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0)),
        // The table's own check admits only these three.
        outcome: match outcome.as_str() {
            "succeeded" => Outcome::Succeeded,
            "cancelled" => Outcome::Cancelled,
            _ => Outcome::Failed,
        },
        tree: None,
    };
    Ok((row.get(0)?, (attempt, row.get(4)?)))
}

fn sorted<T>(set: Option<BTreeSet<T>>) -> Vec<T> {
    set.into_iter().flatten().collect()
}
