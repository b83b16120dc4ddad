//! Owns the verification of a host: packages bit for bit, generations against what activation lays out, links, documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use schema::digest::Digest;
use schema::generation::{Generation, GenerationNumber};
use schema::id::PackageId;
use schema::status::OverrideStatus;
use serde::Serialize;

mod beside;
mod generation;

use super::blueprint::difference;
use super::existing::Existing;
use super::system::System;
use super::{
    GENERATION, GENERATIONS, Host, HostError, MANIFEST, Manifest, PACKAGES, Pending, number, status,
};
use crate::facts;
use crate::verify::{self, Difference, DifferenceKind, Extent, Run, Subject};
use beside::Named;

/// What a verification of a host found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HostReport {
    /// What is active; nothing when nothing is.
    pub generation: Option<GenerationNumber>,
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
    /// Whether that is all there was to look at.
    #[serde(skip_serializing_if = "Extent::is_whole")]
    pub extent: Extent,
    /// Local changes that are active, with the files that differ.
    pub overrides: Vec<OverrideStatus>,
    /// The activation that is under way, or was interrupted. It is no difference: both of its ends are whole.
    pub pending: Option<Pending>,
    /// Everything that is not as it should be.
    pub differences: Vec<Difference>,
}

impl HostReport {
    /// What was found in `packages`, and beside them.
    fn of(packages: verify::Report, mut differences: Vec<Difference>) -> Self {
        differences.extend(packages.differences);
        differences.sort();
        differences.dedup();
        Self {
            packages: packages.packages,
            files: packages.files,
            bytes: packages.bytes,
            left: packages.left,
            extent: packages.extent,
            differences,
            ..Self::default()
        }
    }

    /// Without what is about generations and packages that were collected as garbage meanwhile: nothing names them by now.
    fn of_what_stays(mut self, host: &Host) -> Result<Self, HostError> {
        if self.differences.is_empty() {
            return Ok(self);
        }
        let (mut known, _) = Known::of_generations(host, &mut Vec::new())?;
        known.add_installed(host, &mut Vec::new());
        let named = known.named().packages;
        let mut generations = host.generations()?;
        generations.extend(host.current().ok().flatten());
        self.differences.retain(|it| match (&it.package, &it.kind) {
            (Some(package), DifferenceKind::Unregistered) => is_there(host, &package.id),
            (Some(package), _) => named.contains(&package.id),
            (None, _) => generation_at(&it.path).is_none_or(|number| generations.contains(&number)),
        });
        Ok(self)
    }

    /// Whether the host holds exactly what its manifest says.
    pub fn is_sound(&self) -> bool {
        self.differences.is_empty() && self.overrides.iter().all(|local| local.changed.is_empty())
    }
}

/// Verifies `host` and what the system around it was given for it. What a killed command left behind is no difference;
/// the next one sweeps it.
///
/// # Errors
/// When the host cannot be looked at; what is wrong with its content is a difference.
pub fn host(host: &Host, system: &dyn System, run: &Run<'_>) -> Result<HostReport, HostError> {
    let mut differences = Vec::new();
    let current = generation::current(host, &mut differences)?;
    let (mut known, generations) = Known::of_generations(host, &mut differences)?;
    if let Some(number) = current
        && fs::symlink_metadata(host.generation_folder(number)).is_err()
    {
        differences.push(difference(&in_generations(number, ""), DifferenceKind::Missing));
    }
    let pending = host.pending()?;
    let active = generations.iter().find(|it| Some(it.existing.number) == current);
    if active.is_some() {
        differences.extend(generation::links(host)?);
    }
    let mut laid_out = Extent::Whole;
    for told in &generations {
        if run.is_stopped() {
            laid_out = Extent::Stopped;
            break;
        }
        let around = (Some(told.existing.number) == current && pending.is_none()).then_some(system);
        differences.extend(generation::layout(host, told, around)?);
    }
    differences.extend(beside::standing(host)?);
    let installed = known.add_installed(host, &mut differences);
    differences.extend(beside::manifest(host, installed.as_ref(), &generations, run));
    differences.extend(beside::attestations(host));
    let mut packages = known.verify(host, run);
    if !laid_out.is_whole() {
        packages.extent = laid_out;
    }
    if packages.extent.is_whole() {
        let program = installed.map(|manifest| beside::program(host, &manifest, run));
        differences.extend(program.transpose()?.into_iter().flatten());
        differences.extend(beside::strays(host, &known.named())?);
    }
    let active = active.map(|told| &told.existing.generation);
    let (overrides, unreadable) = active
        .map(|active| local_changes(host, active))
        .unwrap_or_default();
    differences.extend(unreadable);
    let root_digest = active.map(Generation::root_digest).transpose()?;
    Ok(HostReport {
        generation: current,
        root_digest,
        overrides,
        pending,
        ..HostReport::of(packages, differences).of_what_stays(host)?
    })
}

/// What the local changes that are active changed, and those of which that cannot be told.
fn local_changes(host: &Host, active: &Generation) -> (Vec<OverrideStatus>, Vec<Difference>) {
    let mut problems = Vec::new();
    let overrides = status::overrides(host, active, &mut problems);
    let unreadable = |reason| difference(Path::new(PACKAGES), DifferenceKind::Unreadable { reason });
    (overrides, problems.into_iter().map(unreadable).collect())
}

/// Verifies only those packages of `host` that `names`, names or store IDs, stand for, active or not.
///
/// # Errors
/// [`HostError::NotActive`] for a name of none, or when the host cannot be looked at.
pub fn packages(host: &Host, names: &[String], run: &Run<'_>) -> Result<HostReport, HostError> {
    let mut differences = Vec::new();
    let (mut known, _) = Known::of_generations(host, &mut differences)?;
    known.add_installed(host, &mut differences);
    for name in names {
        if !known.named().packages.iter().any(|id| id.is_called(name)) {
            return Err(HostError::NotActive(name.clone()));
        }
    }
    let is_meant = |id: &PackageId| names.iter().any(|name| id.is_called(name));
    known.trees.retain(|id, _| is_meant(id));
    known.needed.retain(is_meant);
    known.local.retain(is_meant);
    let current = host.current()?;
    let active = Existing::if_sound(host, current)?;
    let (mut overrides, unreadable) = active
        .map(|active| local_changes(host, &active.generation))
        .unwrap_or_default();
    overrides.retain(|local| is_meant(&local.id));
    differences.extend(unreadable);
    Ok(HostReport {
        generation: current,
        overrides,
        pending: host.pending()?,
        ..HostReport::of(known.verify(host, run), differences).of_what_stays(host)?
    })
}

/// The listing that each package of `host` must have, as far as its generations and manifests say.
///
/// # Errors
/// When the host cannot be looked at.
pub(super) fn listed(host: &Host) -> Result<BTreeMap<PackageId, Digest>, HostError> {
    let (mut known, _) = Known::of_generations(host, &mut Vec::new())?;
    known.add_installed(host, &mut Vec::new());
    Ok(known.trees)
}

/// A generation that could be read.
struct Told {
    existing: Existing,
    /// What it was made from; nothing when that cannot be relied on, which is a difference already.
    manifest: Option<Manifest>,
}

/// Packages whose listing is known, and those that must be there.
#[derive(Default)]
struct Known {
    trees: BTreeMap<PackageId, Digest>,
    /// Sum of the sizes of a package's files, in bytes, as far as a manifest says it.
    sizes: BTreeMap<PackageId, u64>,
    needed: BTreeSet<PackageId>,
    local: BTreeSet<PackageId>,
}

impl Known {
    /// What all generations name, and what each is made from, as far as that can be read.
    fn of_generations(
        host: &Host,
        differences: &mut Vec<Difference>,
    ) -> Result<(Self, Vec<Told>), HostError> {
        let mut known = Self::default();
        let mut told = Vec::new();
        for number in host.generations()? {
            match Existing::read(host, number) {
                Ok(existing) => told.push(known.add(host, existing, differences)),
                Err(error) => differences.push(of_error(number, GENERATION, &error)),
            }
        }
        Ok((known, told))
    }

    fn add(&mut self, host: &Host, existing: Existing, differences: &mut Vec<Difference>) -> Told {
        let generation: &Generation = &existing.generation;
        for package in &generation.packages {
            self.needed.insert(package.id.clone());
            match generation.overriding(&package.id) {
                Some(_) => self.local.insert(package.id.clone()),
                None => self.trees.insert(package.id.clone(), package.tree).is_some(),
            };
        }
        let manifest = match existing.manifest(host) {
            Ok(manifest) => {
                self.add_all(manifest.document.packages.clone());
                Some(manifest)
            }
            Err(error) => {
                differences.push(of_error(existing.number, MANIFEST, &error));
                None
            }
        };
        Told { existing, manifest }
    }

    /// What was installed but is not active yet. An installation puts the manifest in place last, so nothing of it
    /// need be there.
    fn add_installed(&mut self, host: &Host, differences: &mut Vec<Difference>) -> Option<Manifest> {
        match host.manifest() {
            Ok(manifest) => {
                self.add_all(manifest.document.packages.clone());
                return Some(manifest);
            }
            Err(HostError::NoManifest(_)) => {}
            Err(error) => differences.push(difference(Path::new(MANIFEST), unreadable(&error))),
        }
        None
    }

    fn named(&self) -> Named {
        let mut packages = self.needed.clone();
        packages.extend(self.trees.keys().cloned());
        packages.extend(self.local.iter().cloned());
        Named {
            packages,
            trees: self.trees.values().copied().collect(),
        }
    }

    fn add_all(&mut self, packages: Vec<schema::manifest::SelectedPackage>) {
        for package in packages {
            self.sizes.insert(package.id.clone(), package.size);
            self.trees.insert(package.id, package.tree);
        }
    }

    fn verify(&self, host: &Host, run: &Run<'_>) -> verify::Report {
        let (there, absent): (Vec<_>, Vec<_>) = self.trees.iter().partition(|(id, _)| is_there(host, id));
        // A prefix that cannot be looked at has no packages, either.
        let owner = verify::owner_of(host.root()).ok();
        let sizes = there.iter().filter_map(|(id, _)| self.sizes.get(*id));
        run.observer
            .begin(there.len(), sizes.fold(0, |sum, size| sum.saturating_add(*size)));
        let subject = |(id, tree): &(&PackageId, &Digest)| Subject {
            folder: host.package(id),
            id: (*id).clone(),
            tree: **tree,
            listing: host.listing(tree),
            owner,
        };
        let subjects: Vec<Subject> = there.iter().map(subject).collect();
        let verified = verify::packages(&subjects, run);
        let left = there.len() - verified.packages;
        let mut report = verify::Report {
            packages: verified.packages + self.local.len(),
            files: verified.files,
            bytes: verified.bytes,
            left,
            extent: Extent::leaving(left),
            differences: Vec::new(),
        };
        for (subject, findings) in subjects.iter().zip(verified.findings) {
            let found = findings.into_iter();
            let found = found.flat_map(|findings| findings.on_host(&subject.folder));
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

/// A local change may hold anything, but must say that it is one.
fn check_local(host: &Host, id: &PackageId) -> Option<Difference> {
    let reason = match facts::read(&host.package(id), id) {
        Ok(recipe) if recipe.local.is_some() => return None,
        Ok(_) => "it does not say what it was copied from".to_owned(),
        Err(error) => error.to_string(),
    };
    Some(in_package(id, DifferenceKind::Recipe { reason }))
}

fn is_there(host: &Host, id: &PackageId) -> bool {
    fs::symlink_metadata(host.package(id)).is_ok()
}

/// The generation that `path`, relative to the host's root, lies in.
fn generation_at(path: &str) -> Option<GenerationNumber> {
    number(Path::new(path).strip_prefix(GENERATIONS).ok()?.iter().next()?)
}

fn in_package(id: &PackageId, kind: DifferenceKind) -> Difference {
    Difference::new(Some(id), "", kind)
}

fn in_generations(number: GenerationNumber, inside: &str) -> std::path::PathBuf {
    let folder = Path::new(GENERATIONS).join(number.to_string());
    match inside {
        "" => folder,
        inside => folder.join(inside),
    }
}

fn of_error(number: GenerationNumber, inside: &str, error: &HostError) -> Difference {
    difference(&in_generations(number, inside), unreadable(error))
}

fn unreadable(error: &HostError) -> DifferenceKind {
    match error {
        HostError::Io(error) => DifferenceKind::unreadable(&error.source),
        error => DifferenceKind::Unreadable {
            reason: error.to_string(),
        },
    }
}
