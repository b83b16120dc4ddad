//! Owns the plan of an activation: everything that is checked and decided before anything is changed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schema::generation::{Generation, GenerationNumber};
use schema::name::RoleName;

use super::blueprint::{Basis, Blueprint};
use super::changes::Changes;
use super::existing::Existing;
use super::layout::Change;
use super::system::System;
use super::{CURRENT, Finding, Host, HostError, Manifest, Pending, top_links};
use crate::activation::content::Content;
use crate::activation::roles;
use crate::io_error::IoContext;

/// What is to become active and how it differs from what is. Nothing was changed for it.
#[derive(Debug)]
pub struct Plan {
    /// The generation that is to be active.
    pub number: GenerationNumber,
    /// How it differs from the active one.
    pub changes: Changes,
    pub(super) blueprint: Blueprint,
    pub(super) change: Change,
    pub(super) manifest: Manifest,
    pub(super) is_built: bool,
    pub(super) is_current: bool,
    pub(super) pending: Option<Pending>,
}

impl Plan {
    /// What is to be active.
    pub fn generation(&self) -> &Generation {
        &self.blueprint.generation
    }

    /// Whether it is active already and nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.is_current && self.pending.is_none()
    }
}

/// Plans to make active what `manifest` says of `roles`.
///
/// # Errors
/// [`HostError::Findings`] with everything that is in the way.
pub fn of_manifest(
    host: &Host,
    manifest: Manifest,
    roles: &BTreeSet<RoleName>,
    system: &dyn System,
) -> Result<Plan, HostError> {
    let generation = Generation::expected(&manifest.document, manifest.digest, roles);
    let mut findings = unknown_roles(host, &manifest, roles);
    if let Some(digest) = generation.configuration
        && !generation
            .packages
            .iter()
            .any(|package| *package.id.digest() == digest)
    {
        findings.push(Finding::NoConfiguration { digest });
    }
    of_generation(host, generation, manifest, findings, system)
}

/// Plans to make `generation` active, as an existing generation if one is just that, else as a new one.
pub(super) fn of_generation(
    host: &Host,
    generation: Generation,
    manifest: Manifest,
    mut findings: Vec<Finding>,
    system: &dyn System,
) -> Result<Plan, HostError> {
    findings.extend(other_machine(&generation, system));
    let blueprint = match Blueprint::draw(host, generation, &manifest, Basis::Folders) {
        Ok(blueprint) => blueprint,
        Err(HostError::Findings(more)) => {
            findings.extend(more);
            findings.extend(in_the_way(host)?);
            return Err(HostError::Findings(findings));
        }
        Err(error) => return Err(error),
    };
    let built = built(host, &blueprint)?;
    let number = match built {
        Some(number) => number,
        None => next_number(host)?,
    };
    let target = Target {
        number,
        is_built: built.is_some(),
        blueprint,
        manifest,
    };
    finish(host, target, findings, system)
}

/// Plans to make the existing generation `number` active.
pub(super) fn of_existing(
    host: &Host,
    number: GenerationNumber,
    system: &dyn System,
) -> Result<Plan, HostError> {
    let existing = Existing::read(host, number)?;
    let findings = other_machine(&existing.generation, system).into_iter().collect();
    let blueprint = existing.blueprint(host, Basis::Folders)?;
    // Whoever changed an override may have added or removed what has links; that is what overrides are for.
    if existing.generation.overrides.is_empty() {
        let folder = host.generation_folder(number);
        let differences = blueprint.compare(&folder, Path::new(""))?;
        if let Some(difference) = differences.first() {
            let reason = difference.to_string();
            return Err(HostError::Damaged { number, reason });
        }
    }
    let target = Target {
        number,
        is_built: true,
        blueprint,
        manifest: existing.manifest(host)?,
    };
    finish(host, target, findings, system)
}

struct Target {
    number: GenerationNumber,
    is_built: bool,
    blueprint: Blueprint,
    manifest: Manifest,
}

fn finish(
    host: &Host,
    target: Target,
    mut findings: Vec<Finding>,
    system: &dyn System,
) -> Result<Plan, HostError> {
    let number = target.number;
    let current = host.current()?;
    let pending = host.pending()?;
    let is_current = target.is_built && current == Some(number);
    // An activation that was interrupted behind its swap goes on from where it had begun.
    let from = match pending {
        Some(pending) if is_current && pending.to == number => pending.from,
        _ => current,
    };
    let from = Existing::if_sound(host, from)?;
    let to = target.blueprint.layout(host, number);
    let change = Change {
        root: host.root().to_owned(),
        prefix: PathBuf::from(&target.blueprint.generation.prefix),
        from: from.as_ref().map(|from| from.layout(host)),
        to,
    };
    let before = from.as_ref().map(|from| &from.generation);
    let changes = Changes::between(before, &target.blueprint.generation, &change);
    findings.extend(in_the_way(host)?);
    findings.extend(system.check(&change)?.into_iter().map(Finding::System));
    if !findings.is_empty() {
        return Err(HostError::Findings(findings));
    }
    Ok(Plan {
        number,
        changes,
        blueprint: target.blueprint,
        change,
        manifest: target.manifest,
        is_built: target.is_built,
        is_current,
        pending,
    })
}

/// The newest generation, when it is whole and just this: a killed activation left it, or it was rolled back from.
fn built(host: &Host, blueprint: &Blueprint) -> Result<Option<GenerationNumber>, HostError> {
    let current = host.current()?;
    for number in [current, host.generations()?.last().copied()]
        .into_iter()
        .flatten()
    {
        let is_it = match Existing::if_sound(host, Some(number))? {
            Some(existing) => existing.generation == blueprint.generation,
            None => false,
        };
        let folder = host.generation_folder(number);
        if is_it && blueprint.compare(&folder, Path::new(""))?.is_empty() {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// A number that no generation has, and none ever had while it was active.
fn next_number(host: &Host) -> Result<GenerationNumber, HostError> {
    let pending = host.pending()?;
    let pending = pending
        .into_iter()
        .flat_map(|pending| [pending.from, Some(pending.to)]);
    let highest = host.trail()?.map(|trail| trail.highest);
    let used = [host.current()?, highest, host.generations()?.last().copied()];
    let highest = used.into_iter().chain(pending).flatten().max();
    match highest {
        None => Ok(GenerationNumber::FIRST),
        Some(highest) => highest.next().ok_or(HostError::NoNumberLeft(highest)),
    }
}

fn other_machine(generation: &Generation, system: &dyn System) -> Option<Finding> {
    let found = system.machine()?;
    (found.as_str() != generation.platform).then(|| Finding::OtherMachine {
        expected: generation.platform.clone(),
        found,
    })
}

/// Roles that neither the manifest nor a folder of a package knows. Where no role is known at all, any is taken.
fn unknown_roles(host: &Host, manifest: &Manifest, roles: &BTreeSet<RoleName>) -> Vec<Finding> {
    let packages = &manifest.document.packages;
    let mut known: BTreeSet<RoleName> = packages
        .iter()
        .flat_map(|package| package.roles.clone())
        .collect();
    if roles.is_subset(&known) {
        return Vec::new();
    }
    for package in packages {
        // What cannot be read is found elsewhere, if it is to be active.
        let tops = roles::tops(&Content::of_folder(host.package(&package.id))).unwrap_or_default();
        known.extend(tops.into_iter().filter_map(|top| top.role));
    }
    let unknown = roles.difference(&known).filter(|_| !known.is_empty());
    unknown
        .map(|role| Finding::UnknownRole {
            role: role.clone(),
            known: known.iter().cloned().collect(),
        })
        .collect()
}

/// What stands where links of the root belong.
fn in_the_way(host: &Host) -> Result<Vec<Finding>, HostError> {
    let mut findings = Vec::new();
    for name in top_links() {
        let path = host.root().join(name);
        let target = Path::new(CURRENT).join(name);
        match fs::read_link(&path) {
            Ok(found) if found == target => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                return Err(error).at("read link", &path)?;
            }
            Ok(_) | Err(_) => findings.push(Finding::InTheWay { path, target }),
        }
    }
    Ok(findings)
}
