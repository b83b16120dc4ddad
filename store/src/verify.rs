//! Owns the verification of a store: every byte, type, mode, time and link target against the listings, and the
//! listings and resolved recipes against the digests that name them.

mod archives;
mod beside;
mod difference;
pub mod journal;
mod kept;
pub mod locate;
mod package;
mod rows;
mod run;
mod standing;

use std::path::Path;

use schema::id::PackageId;
use serde::Serialize;

pub use difference::{Difference, DifferenceKind, FileKind, FirstByte, Mode, PackageRef};
pub use package::{Findings, Stated, Subject, package};
pub(crate) use run::packages;
pub use run::{Run, VerifyObserver};
pub use standing::Standing;

use crate::index::{IndexError, PackageRecord};
use crate::io_error::{IoContext, IoError};
use crate::publish::PublishError;
use crate::store::{self, Store};
use crate::supply::Kept;
use crate::tree::Owner;
use locate::{Reference, Supplied};

/// Why a store could not be verified; what is wrong with its content is no error but a [`Difference`].
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The index refused something, or is damaged itself.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A package that was never registered cannot be looked into.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A package that was asked for is not in the store.
    #[error("{0} is not in the store")]
    Absent(PackageId),
}

/// What is verified.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// The whole store, and that nothing else is in it.
    All,
    /// These packages.
    Packages(&'a [PackageId]),
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many packages were verified.
    pub packages: usize,
    /// How many files, folders and links were looked at.
    pub files: u64,
    /// How many bytes of files were hashed.
    pub bytes: u64,
    /// How many packages were not looked at, or not to their end, since the run was stopped.
    #[serde(skip_serializing_if = "is_zero")]
    pub left: usize,
    /// Whether that is all there was to look at.
    #[serde(skip_serializing_if = "Extent::is_whole")]
    pub extent: Extent,
    /// Everything that is not as it should be, by package and path.
    pub differences: Vec<Difference>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
pub(crate) fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// How far a verification came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// To its end.
    #[default]
    Whole,
    /// It was stopped before everything was looked at, packages or what lies beside them.
    Stopped,
}

impl Extent {
    /// How far a verification came that `observer` hears of, asked when it is over. Nobody who asked to stop is asked to
    /// go on, so whoever does not ask by then has skipped nothing.
    pub fn of(observer: &dyn VerifyObserver) -> Self {
        match observer.is_stopped() {
            true => Self::Stopped,
            false => Self::Whole,
        }
    }

    /// How far one came that left so many of its parts.
    pub fn leaving(parts: usize) -> Self {
        match parts {
            0 => Self::Whole,
            _ => Self::Stopped,
        }
    }

    /// Whether everything was looked at.
    pub fn is_whole(&self) -> bool {
        *self == Self::Whole
    }
}

impl Report {
    /// A report of nothing but one difference.
    pub fn of(difference: Difference) -> Self {
        Self {
            differences: vec![difference],
            ..Self::default()
        }
    }

    /// Adds what was found beside the packages, and that it was all there was to look at unless `observer` asked to stop.
    pub fn add(&mut self, differences: Vec<Difference>, observer: &dyn VerifyObserver) {
        self.differences.extend(differences);
        self.differences.sort();
        if self.extent.is_whole() {
            self.extent = Extent::of(observer);
        }
    }
}

impl VerifyError {
    /// What is wrong with the index itself, if that is why.
    fn damage_of_index(&self) -> Option<&IndexError> {
        match self {
            Self::Index(error) | Self::Publish(PublishError::Index(error)) => match error {
                IndexError::Corrupt { .. } | IndexError::Missing(_) => Some(error),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Verifies `selection` of `store`. That its index is damaged is a difference, wherever it shows, and the only one then: what
/// else there is to verify is what the index says.
///
/// # Errors
/// See [`VerifyError`].
pub fn store(store: &Store, selection: Selection<'_>, run: &Run<'_>) -> Result<Report, VerifyError> {
    let verified = select(store, selection).and_then(|records| selected(store, selection, records, run));
    match verified {
        Err(error) => match error.damage_of_index() {
            Some(damage) => Ok(Report::of(damaged_index(damage.to_string()))),
            None => Err(error),
        },
        verified => verified,
    }
}

/// Verifies the packages of `records`, which are those of `selection`.
fn selected(
    store: &Store,
    selection: Selection<'_>,
    records: Vec<PackageRecord>,
    run: &Run<'_>,
) -> Result<Report, VerifyError> {
    let owner = owner_of(store.root())?;
    let bytes = records.iter().map(|r| r.size).fold(0, u64::saturating_add);
    run.observer.begin(records.len(), bytes);
    let subject = |record: &PackageRecord| Subject {
        folder: store.package_path(&record.id),
        id: record.id.clone(),
        tree: record.tree,
        listing: store.tree_path(&record.tree),
        owner: Some(owner),
    };
    let subjects: Vec<Subject> = records.iter().map(subject).collect();
    let kept = Kept(store);
    let kept = Supplied(&kept);
    let references: Vec<&dyn Reference> = std::iter::once(&kept as &dyn Reference)
        .chain(run.references.iter().copied())
        .collect();
    let run = &Run {
        references: &references,
        ..*run
    };
    let verified = run::packages(&subjects, run);
    let left = records.len() - verified.packages;
    let mut differences = rows::compare(store, &records, &verified.findings)?;
    let found = verified.findings.iter().flatten();
    differences.extend(found.flat_map(|findings| findings.differences.iter().cloned()));
    let mut report = Report {
        packages: verified.packages,
        files: verified.files,
        bytes: verified.bytes,
        left,
        extent: Extent::leaving(left),
        differences: of_registered(store, selection, differences)?,
    };
    report.differences.extend(beside::holes(store, &records)?);
    if matches!(selection, Selection::All) && report.extent.is_whole() {
        let mut found = archives::verify(store, &records, &verified.findings, run);
        let kept = kept::Kept { store, owner, run };
        let parts = [
            archives::strays(store, &records, owner, run).map_err(VerifyError::from),
            beside::standing(store, owner).map_err(VerifyError::from),
            beside::strays(store, &records, owner, run),
            beside::roots(store),
            kept.inputs().map_err(VerifyError::from),
            kept.attestations(&records).map_err(VerifyError::from),
            kept.logs().map_err(VerifyError::from),
        ];
        for part in parts {
            found.extend(as_far_as_readable(store, part)?);
        }
        report.add(found, run.observer);
    }
    report.differences.sort();
    // A package that is not in the index may be missed by several.
    report.differences.dedup();
    Ok(report)
}

/// What was found in a part of `store` or, where the system refuses a folder of it, just that: an error would take away what
/// was found before.
fn as_far_as_readable(
    store: &Store,
    found: Result<Vec<Difference>, VerifyError>,
) -> Result<Vec<Difference>, VerifyError> {
    match found {
        Err(VerifyError::Io(error)) => match error.path.strip_prefix(store.root()) {
            Ok(path) => {
                let kind = DifferenceKind::unreadable(&error.source);
                Ok(vec![Difference::new(None, path.to_string_lossy(), kind)])
            }
            Err(_) => Err(error.into()),
        },
        found => found,
    }
}

/// Those of `differences`, each of which is about a package that was registered, whose package still is. The others were
/// collected as garbage meanwhile; whoever asked for one of them by name is told that it is gone.
fn of_registered(
    store: &Store,
    selection: Selection<'_>,
    mut differences: Vec<Difference>,
) -> Result<Vec<Difference>, VerifyError> {
    let about = differences.iter().filter_map(|it| it.package.as_ref());
    let about: Vec<PackageId> = about.map(|package| package.id.clone()).collect();
    let registered = store.index().registered(&about)?;
    match (selection, about.into_iter().find(|id| !registered.contains(id))) {
        (Selection::Packages(_), Some(gone)) => return Err(VerifyError::Absent(gone)),
        _ => differences.retain(|it| it.package.as_ref().is_none_or(|it| registered.contains(&it.id))),
    }
    Ok(differences)
}

/// The difference that an index is which is gone or contradicts itself, as its error says.
pub fn damaged_index(reason: String) -> Difference {
    Difference::new(None, store::INDEX_FILE, DifferenceKind::Index { reason })
}

/// Whom everything in a folder of packages should belong to: whom the folder itself does.
///
/// # Errors
/// When it cannot be looked at.
pub(crate) fn owner_of(root: &Path) -> Result<Owner, IoError> {
    Ok(Owner::from(&std::fs::metadata(root).at("look at", root)?))
}

fn select(store: &Store, selection: Selection<'_>) -> Result<Vec<PackageRecord>, VerifyError> {
    let index = store.index();
    match selection {
        Selection::All => {
            index.check()?;
            Ok(index.packages()?)
        }
        Selection::Packages(ids) => ids
            .iter()
            .map(|id| {
                let found = index.package(id)?;
                found.ok_or_else(|| VerifyError::Absent(id.clone()))
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
