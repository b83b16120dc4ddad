//! Owns the verification of a host: packages bit for bit, generations against what activation lays out, links, documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use schema::digest::Digest;
use schema::generation::Generation;
use schema::id::PackageId;
use schema::status::OverrideStatus;
use serde::Serialize;

use super::blueprint::{self, difference};
use super::existing::Existing;
use super::{
    CURRENT, GENERATION, GENERATIONS, Host, HostError, MANIFEST, PACKAGES, Pending, status, top_links,
};
use crate::facts;
use crate::io_error::IoContext;
use crate::verify::{self, Difference, DifferenceKind, FileKind, Run, Subject};

/// What a verification of a host found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostReport {
    /// What is active; nothing when nothing is.
    pub generation: Option<u64>,
    /// Its root digest.
    pub root_digest: Option<Digest>,
    /// How many packages were verified.
    pub packages: usize,
    /// How many files, folders and links of packages were looked at.
    pub files: u64,
    /// How many bytes of files were hashed.
    pub bytes: u64,
    /// How many packages were not looked at, or not to their end, since the run was stopped.
    pub left: usize,
    /// Local changes that are active, with the files that differ.
    pub overrides: Vec<OverrideStatus>,
    /// The activation that is under way, or was interrupted. It is no difference: both of its ends are whole.
    pub pending: Option<Pending>,
    /// Everything that is not as it should be.
    pub differences: Vec<Difference>,
}

impl HostReport {
    /// Whether the host holds exactly what its manifest says.
    pub fn is_sound(&self) -> bool {
        self.differences.is_empty() && self.overrides.iter().all(|local| local.changed.is_empty())
    }
}

/// Verifies `host`. What a killed command left behind is no difference; the next one sweeps it.
///
/// # Errors
/// When the host cannot be looked at; what is wrong with its content is a difference.
pub fn host(host: &Host, run: &Run<'_>) -> Result<HostReport, HostError> {
    let mut differences = Vec::new();
    let mut known = Known::default();
    let current = match host.current() {
        Ok(current) => current,
        Err(HostError::OddCurrent { found, .. }) => {
            let expected = format!("{GENERATIONS}/<n>");
            let found = Some(found);
            differences.push(difference(
                Path::new(CURRENT),
                DifferenceKind::Target { expected, found },
            ));
            None
        }
        Err(error) => return Err(error),
    };
    if current.is_none() && differences.is_empty() && host.trail()?.is_some() {
        differences.push(difference(Path::new(CURRENT), DifferenceKind::Missing));
    }
    let mut active = None;
    for number in host.generations()? {
        match Existing::read(host, number) {
            Ok(existing) => {
                known.add(host, &existing, &mut differences);
                if current == Some(number) {
                    active = Some(existing);
                }
            }
            Err(error) => differences.push(of_error(number, GENERATION, &error)),
        }
    }
    match (current, &active) {
        (Some(number), None) if !host.generation_folder(number).exists() => {
            differences.push(difference(&in_generations(number, ""), DifferenceKind::Missing));
        }
        (_, Some(existing)) => {
            differences.extend(check_links(host)?);
            differences.extend(check_layout(host, existing)?);
        }
        _ => {}
    }
    known.add_installed(host, &mut differences);
    let packages = known.verify(host, run);
    differences.extend(packages.differences);
    let mut problems = Vec::new();
    let overrides = active
        .as_ref()
        .map(|active| status::overrides(host, &active.generation, &mut problems));
    for reason in problems {
        differences.push(difference(
            Path::new(PACKAGES),
            DifferenceKind::Unreadable { reason },
        ));
    }
    differences.sort();
    differences.dedup();
    let root_digest = active.as_ref().map(|active| active.generation.root_digest());
    Ok(HostReport {
        generation: current,
        root_digest: root_digest.transpose()?,
        packages: packages.packages,
        files: packages.files,
        bytes: packages.bytes,
        left: packages.left,
        overrides: overrides.unwrap_or_default(),
        pending: host.pending()?,
        differences,
    })
}

/// Packages whose listing is known, and those that must be there.
#[derive(Default)]
struct Known {
    trees: BTreeMap<PackageId, Digest>,
    needed: BTreeSet<PackageId>,
    local: BTreeSet<PackageId>,
}

impl Known {
    fn add(&mut self, host: &Host, existing: &Existing, differences: &mut Vec<Difference>) {
        let generation: &Generation = &existing.generation;
        for package in &generation.packages {
            self.needed.insert(package.id.clone());
            match generation.overriding(&package.id) {
                Some(_) => self.local.insert(package.id.clone()),
                None => self.trees.insert(package.id.clone(), package.tree).is_some(),
            };
        }
        match existing.manifest(host) {
            Ok(manifest) => self.add_all(manifest.document.packages),
            Err(error) => differences.push(of_error(existing.number, MANIFEST, &error)),
        }
    }

    /// What was installed but is not active yet. An installation puts the manifest in place last, so nothing of it
    /// need be there.
    fn add_installed(&mut self, host: &Host, differences: &mut Vec<Difference>) {
        match host.manifest() {
            Ok(manifest) => self.add_all(manifest.document.packages),
            Err(HostError::NoManifest(_)) => {}
            Err(error) => differences.push(difference(Path::new(MANIFEST), unreadable(&error))),
        }
    }

    fn add_all(&mut self, packages: Vec<schema::manifest::SelectedPackage>) {
        self.trees
            .extend(packages.into_iter().map(|package| (package.id, package.tree)));
    }

    fn verify(&self, host: &Host, run: &Run<'_>) -> verify::Report {
        let is_there = |id: &PackageId| fs::symlink_metadata(host.package(id)).is_ok();
        let (there, absent): (Vec<_>, Vec<_>) = self.trees.iter().partition(|(id, _)| is_there(id));
        // A prefix that cannot be looked at has no packages, either.
        let owner = verify::owner_of(host.root()).ok();
        run.observer.begin(there.len(), 0);
        let subject = |(id, tree): &(&PackageId, &Digest)| Subject {
            folder: host.package(id),
            id: (*id).clone(),
            tree: **tree,
            listing: host.listing(tree),
            owner,
        };
        let subjects: Vec<Subject> = there.iter().map(subject).collect();
        let verified = verify::packages(&subjects, run);
        let mut report = verify::Report {
            packages: verified.packages + self.local.len(),
            files: verified.files,
            bytes: verified.bytes,
            left: there.len() - verified.packages,
            differences: Vec::new(),
        };
        for (subject, findings) in subjects.iter().zip(verified.findings) {
            let found = findings.into_iter().flat_map(|findings| findings.differences);
            let found = found.filter(|found| !is_time_of_folder(&subject.folder, found));
            report.differences.extend(found);
        }
        let missing = absent
            .into_iter()
            .map(|(id, _)| id)
            .filter(|id| self.needed.contains(id));
        report
            .differences
            .extend(missing.map(|id| in_package(id, DifferenceKind::Missing)));
        report
            .differences
            .extend(self.local.iter().filter_map(|id| check_local(host, id)));
        report
    }
}

/// Whether `found` is only the time of a folder or a link: the tar of busybox sets none, and nothing depends on them.
fn is_time_of_folder(package: &Path, found: &Difference) -> bool {
    let is_file = || fs::symlink_metadata(package.join(&found.path)).is_ok_and(|metadata| metadata.is_file());
    matches!(found.kind, DifferenceKind::Time { .. }) && !is_file()
}

/// A local change may hold anything, but must say that it is one.
fn check_local(host: &Host, id: &PackageId) -> Option<Difference> {
    let reason = match facts::read(&host.package(id), id) {
        Ok(facts) if facts.host.local.is_some() => return None,
        Ok(_) => "it does not say what it was copied from".to_owned(),
        Err(error) => error.to_string(),
    };
    Some(in_package(id, DifferenceKind::Recipe { reason }))
}

fn in_package(id: &PackageId, kind: DifferenceKind) -> Difference {
    Difference::new(Some(id), "", kind)
}

/// The links beside `current`.
fn check_links(host: &Host) -> Result<Vec<Difference>, HostError> {
    let mut differences = Vec::new();
    for name in top_links() {
        let path = host.root().join(name);
        let expected = Path::new(CURRENT).join(name);
        let kind = match fs::read_link(&path) {
            Ok(found) if found == expected => continue,
            Ok(found) => DifferenceKind::Target {
                expected: expected.to_string_lossy().into_owned(),
                found: found.to_str().map(str::to_owned),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => DifferenceKind::Missing,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let metadata = fs::symlink_metadata(&path).at("look at", &path)?;
                let found = if metadata.is_dir() {
                    FileKind::Dir
                } else {
                    FileKind::File
                };
                let expected = FileKind::Symlink;
                DifferenceKind::Type { expected, found }
            }
            Err(error) => return Err(error).at("read link", &path)?,
        };
        differences.push(difference(Path::new(name), kind));
    }
    Ok(differences)
}

/// The active generation's folder.
fn check_layout(host: &Host, existing: &Existing) -> Result<Vec<Difference>, HostError> {
    let drawn: Result<blueprint::Blueprint, HostError> = existing.blueprint(host);
    let shown = in_generations(existing.number, "");
    match drawn {
        Ok(blueprint) => Ok(blueprint.compare(&host.generation_folder(existing.number), &shown)?),
        // Each package that is gone or damaged is a difference of its own.
        Err(HostError::Findings(findings)) => {
            let sentences = findings.iter().map(ToString::to_string);
            let unusable = |reason| difference(&shown, DifferenceKind::Unreadable { reason });
            Ok(sentences.map(unusable).collect())
        }
        // Told of with the manifest itself.
        Err(HostError::Damaged { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn in_generations(number: u64, inside: &str) -> std::path::PathBuf {
    let folder = Path::new(GENERATIONS).join(number.to_string());
    match inside {
        "" => folder,
        inside => folder.join(inside),
    }
}

fn of_error(number: u64, inside: &str, error: &HostError) -> Difference {
    difference(&in_generations(number, inside), unreadable(error))
}

fn unreadable(error: &HostError) -> DifferenceKind {
    DifferenceKind::Unreadable {
        reason: error.to_string(),
    }
}
