//! Owns holding the rows of the index against the folders they are about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use schema::id::PackageId;

use super::difference::RowField;
use super::{Difference, DifferenceKind, Findings, Stated, VerifyError};
use crate::index::PackageRecord;
use crate::store::Store;

/// Where the row of a package states something else than the package itself. What cannot be relied on is not compared:
/// it is a difference already.
pub(super) fn compare(
    store: &Store,
    records: &[PackageRecord],
    findings: &[Option<Findings>],
) -> Result<Vec<Difference>, VerifyError> {
    let mut sources: BTreeMap<PackageId, BTreeSet<String>> = BTreeMap::new();
    for (id, key) in store.index().sources()? {
        sources.entry(id).or_default().insert(key);
    }
    let mut differences = Vec::new();
    for (record, findings) in records.iter().zip(findings) {
        if let Some(Findings {
            stated: Some(stated), ..
        }) = findings
        {
            let sources = sources.remove(&record.id).unwrap_or_default();
            differences.extend(of_row(record, &sources, stated));
        }
    }
    Ok(differences)
}

fn of_row(record: &PackageRecord, sources: &BTreeSet<String>, stated: &Stated) -> Vec<Difference> {
    let folder = &stated.registration;
    let same = [
        (RowField::Version, folder.version.clone(), record.version.clone()),
        (RowField::Size, folder.size.to_string(), record.size.to_string()),
        (
            RowField::Requires,
            joined(&folder.requires),
            joined(&record.requires),
        ),
        (
            RowField::BuildRequires,
            joined(&folder.build_requires),
            joined(&record.build_requires),
        ),
        (RowField::Roles, joined(&folder.roles), joined(&record.roles)),
        (
            RowField::Sources,
            joined(folder.sources.iter().map(|(_, key)| key)),
            joined(sources),
        ),
    ];
    let differing = same.into_iter().filter(|(_, expected, found)| expected != found);
    differing
        .map(|(field, expected, found)| {
            let kind = DifferenceKind::Row {
                field,
                expected,
                found,
            };
            Difference::new(Some(&record.id), "", kind)
        })
        .collect()
}

/// A set as one text, sorted.
fn joined<'a, T: Display + Ord + 'a>(items: impl IntoIterator<Item = &'a T>) -> String {
    let sorted: BTreeSet<&T> = items.into_iter().collect();
    let texts: Vec<String> = sorted.into_iter().map(ToString::to_string).collect();
    texts.join(" ")
}
