//! Owns `store verify --repair` of a store: what differs is made again, taken from whoever has it, or built again.

use std::collections::BTreeSet;

use ::schema::digest::Digest;
use ::schema::id::PackageId;
use builder::fetch::verify as sources;
use serde::Serialize;
use store::Store;
use store::archive::record;
use store::attestations;
use store::logs;
use store::places::{self, ARCHIVES, PACKAGES};
use store::recipes;
use store::repair::{self, Repaired};
use store::substitute;
use store::supply::{Kept, Supplies, Supply};
use store::verify::{Difference, DifferenceKind, PackageRef, Report};

use super::supplies::{self, Named};
use crate::args::Variant;
use crate::commands::rebuild;
use crate::context::Context;
use crate::failure::Failure;
use crate::meant::workshop;

/// What was done about one thing that differed.
#[derive(Debug, Serialize)]
pub struct Repair {
    /// The package, when it is one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageRef>,
    /// What else it is: a path within the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What was done, in a few words.
    pub how: String,
}

impl Repair {
    fn package(id: &PackageId, how: impl Into<String>) -> Self {
        Self {
            package: Some(id.into()),
            path: None,
            how: how.into(),
        }
    }

    /// What was done about a file of the store.
    pub fn path(path: &str, how: &str) -> Self {
        Self {
            package: None,
            path: Some(path.to_owned()),
            how: how.to_owned(),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let what = self.package.as_ref().map(|package| package.id.to_string());
        let what = what.or_else(|| self.path.clone()).unwrap_or_default();
        format!("repaired {what}: {}\n", self.how)
    }
}

/// Mends what `report` found, as far as it can be, at the last by building packages of `variant` again. What cannot is said
/// on standard error, and found by the next verification.
///
/// # Errors
/// When the store cannot be written.
pub fn store(
    context: &Context<'_>,
    store: &Store,
    report: &Report,
    named: &Named<'_>,
    variant: &Variant,
) -> Result<Vec<Repair>, Failure> {
    let refused = supplies::refused(context.output);
    let kept = Kept(store);
    let supplies = Supplies {
        all: std::iter::once(&kept as &dyn Supply).chain(named.all()).collect(),
        refused: &refused,
    };
    let mut repaired = Vec::new();
    let mut open = Vec::new();
    for id in damaged(report) {
        let lock = store.lock_package(&id)?;
        let record = store.index().package(&id)?;
        if repair::records(store, &lock)? == Repaired::Records {
            repaired.push(Repair::package(&id, "its listing or its row made again"));
            continue;
        }
        let tree = record.map(|record| record.tree);
        let taken = supplies.take(&id, tree, |offer| {
            substitute::unpack(store, offer, &())?.replace(store, &lock, &offer.tree)
        });
        match taken? {
            Some(name) => repaired.push(Repair::package(&id, format!("taken from {name}"))),
            None => open.push(id),
        }
    }
    // Only now: what differs about an archive need not keep a package from being taken from it.
    repaired.extend(files(store, report)?);
    if !open.is_empty() {
        repaired.extend(built(context, store, variant, &open));
    }
    Ok(repaired)
}

/// The packages that differ, or that others need and are not there.
fn damaged(report: &Report) -> BTreeSet<PackageId> {
    let about = |difference: &Difference| match (&difference.kind, &difference.package) {
        (DifferenceKind::RequiredAbsent { dependency }, _) => Some(dependency.clone()),
        (DifferenceKind::Unregistered, _) => difference
            .path
            .strip_prefix(PACKAGES)?
            .strip_prefix('/')?
            .parse()
            .ok(),
        (_, package) => package.as_ref().map(|package| package.id.clone()),
    };
    report.differences.iter().filter_map(about).collect()
}

/// Forgets kept archives, sources and inputs of builds that differ, which come again when they are needed, and damaged
/// logs and attestations.
fn files(store: &Store, report: &Report) -> Result<Vec<Repair>, Failure> {
    let mut repaired = Vec::new();
    for difference in &report.differences {
        let how = if repair::stand_again(store.root(), difference)? {
            "mode, owner or access list set again"
        } else if let Some(tree) = kept_archive(difference) {
            record::forget(store, &tree)?;
            "forgotten, and made again when it is needed"
        } else if sources::forget(store, difference)? {
            "removed, and fetched again when it is needed"
        } else if recipes::forget(store, &difference.path)? {
            "removed, and kept again when something is built from it"
        } else if attestations::forget(store, &difference.path)? {
            "removed; `store attest` attests again what was built here"
        } else if logs::forget(store, &difference.path)? {
            "removed; the next attempt to build the package writes another"
        } else {
            continue;
        };
        repaired.push(Repair::path(&difference.path, how));
    }
    Ok(repaired)
}

/// The tree digest of the package whose kept archive, or the record beside it, differs.
fn kept_archive(difference: &Difference) -> Option<Digest> {
    let name = difference.path.strip_prefix(ARCHIVES)?.strip_prefix('/')?;
    let is_extra = matches!(difference.kind, DifferenceKind::Extra { .. });
    let tree = places::archived(name).or_else(|| places::listed(name));
    tree.filter(|_| !is_extra)
}

/// Builds again what the tree of recipes still makes. What cannot be built, or comes out otherwise, is only told of: what is
/// there stays, and the next verification finds it.
fn built(context: &Context<'_>, store: &Store, variant: &Variant, open: &[PackageId]) -> Vec<Repair> {
    let warn = |what: &str, failure: &Failure| {
        let text = format!("warning: cannot build again {what}: {}", failure.message);
        context.output.complain(&text);
    };
    let all = || {
        open.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let workshop = match workshop::open(context, variant) {
        Ok(workshop) => workshop,
        Err(failure) => {
            warn(&all(), &failure);
            return Vec::new();
        }
    };
    let is_made = |id: &&PackageId| {
        let is_made = workshop.by_id(id).is_some();
        if !is_made {
            context.output.complain(&format!(
                "warning: cannot build again {id}: the tree of recipes does not make it any more, or --variant NAME does"
            ));
        }
        is_made
    };
    let damaged: Vec<PackageId> = open.iter().filter(is_made).cloned().collect();
    if damaged.is_empty() {
        return Vec::new();
    }
    let mended = rebuild::mend(context, store, &workshop, variant, &damaged);
    let mended = mended.inspect_err(|failure| warn(&all(), failure));
    let repair = |id: &PackageId| Repair::package(id, "built again");
    mended.unwrap_or_default().iter().map(repair).collect()
}
