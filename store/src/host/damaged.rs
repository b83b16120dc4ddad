//! Owns the look at packages that a host has already: whether they are as their listings say.

use schema::manifest::SelectedPackage;

use super::Host;
use crate::verify::{self, Difference, Findings, Run, Subject};

/// Of those of `packages` that are there and not as their listings say, the first difference each.
pub(super) fn damaged(host: &Host, packages: &[&SelectedPackage]) -> Vec<Difference> {
    let is_there = |package: &&&SelectedPackage| host.package(&package.id).is_dir();
    let subject = |package: &&SelectedPackage| Subject {
        folder: host.package(&package.id),
        id: package.id.clone(),
        tree: package.tree,
        listing: host.listing(&package.tree),
        owner: verify::owner_of(host.root()).ok(),
    };
    let subjects: Vec<Subject> = packages.iter().filter(is_there).map(subject).collect();
    let found = verify::packages(&subjects, &Run::new(&())).findings;
    let first = |(subject, found): (Subject, Option<Findings>)| found?.on_host(&subject.folder).next();
    subjects.into_iter().zip(found).filter_map(first).collect()
}
