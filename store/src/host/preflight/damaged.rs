//! Owns the look at packages that are there already, which an installation would take as they are.

use schema::manifest::SelectedPackage;

use super::Shortage;
use crate::host::Host;
use crate::verify::{self, Run, Subject};

/// Those of `packages` that are there and not as their listings say. Those without a listing an installation looks at.
pub(super) fn damaged(host: &Host, packages: &[&SelectedPackage]) -> Vec<Shortage> {
    let is_listed = |package: &&&SelectedPackage| {
        host.package(&package.id).is_dir() && host.listing(&package.tree).is_file()
    };
    let subject = |package: &&SelectedPackage| Subject {
        folder: host.package(&package.id),
        id: package.id.clone(),
        tree: package.tree,
        listing: host.listing(&package.tree),
        owner: verify::owner_of(host.root()).ok(),
    };
    let subjects: Vec<Subject> = packages.iter().filter(is_listed).map(subject).collect();
    let found = verify::packages(&subjects, &Run::new(&())).findings;
    let first = |(subject, found): (Subject, Option<verify::Findings>)| {
        let difference = found?.on_host(&subject.folder).next()?;
        Some(Shortage::Damaged {
            difference: difference.to_string(),
        })
    };
    subjects.into_iter().zip(found).filter_map(first).collect()
}
