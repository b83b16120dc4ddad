//! Owns the look at packages that are there already, which an installation would take as they are.

use schema::manifest::SelectedPackage;

use crate::host::Host;
use crate::verify::{self, Difference, Run, Subject};

/// Of those of `packages` that are there and not as their listings say, the first difference each. Those without a listing an installation looks at.
pub(super) fn damaged(host: &Host, packages: &[&SelectedPackage]) -> Vec<Difference> {
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
    let first =
        |(subject, found): (Subject, Option<verify::Findings>)| found?.on_host(&subject.folder).next();
    subjects.into_iter().zip(found).filter_map(first).collect()
}
