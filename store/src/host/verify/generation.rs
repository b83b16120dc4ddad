//! Owns the verification of generations: their folders, the link to what is active, and what the system around was given
//! for that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schema::generation::{ActivePackage, Generation, GenerationNumber};
use schema::manifest::ActiveManifest;

use super::super::blueprint::{Basis, Blueprint, difference};
use super::super::layout::Change;
use super::super::system::System;
use super::super::{CURRENT, GENERATION, GENERATIONS, Host, HostError, top_links};
use super::{Told, in_generations};
use crate::io_error::IoContext;
use crate::verify::{Difference, DifferenceKind, FileKind};

/// Which generation is active; that the link to it is gone or leads elsewhere is a difference.
pub(super) fn current(
    host: &Host,
    differences: &mut Vec<Difference>,
) -> Result<Option<GenerationNumber>, HostError> {
    match host.current() {
        Ok(None) if host.trail()?.is_some() => {
            differences.push(difference(Path::new(CURRENT), DifferenceKind::Missing));
            Ok(None)
        }
        Err(HostError::OddCurrent { found, .. }) => {
            let expected = format!("{GENERATIONS}/<n>");
            let found = Some(found);
            differences.push(difference(
                Path::new(CURRENT),
                DifferenceKind::Target { expected, found },
            ));
            Ok(None)
        }
        current => current,
    }
}

/// The links beside `current`.
pub(super) fn links(host: &Host) -> Result<Vec<Difference>, HostError> {
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
                let found = FileKind::from(&metadata);
                let expected = FileKind::Symlink;
                DifferenceKind::Type { expected, found }
            }
            Err(error) => return Err(error).at("read link", &path)?,
        };
        differences.push(difference(Path::new(name), kind));
    }
    Ok(differences)
}

/// One generation: that it is what its manifest says of its roles, its folder, and for the active one, what the system
/// around was given for it.
pub(super) fn layout(
    host: &Host,
    told: &Told,
    around: Option<&dyn System>,
) -> Result<Vec<Difference>, HostError> {
    let Told { existing, manifest } = told;
    let number = existing.number;
    // That there is none is told of with the manifest itself.
    let Some(manifest) = manifest else {
        return Ok(Vec::new());
    };
    let mut differences = Vec::new();
    if !is_expected(&existing.generation, &manifest.document) {
        let reason = "it is not what its manifest says of its roles".to_owned();
        let kind = DifferenceKind::Document { reason };
        differences.push(difference(&in_generations(number, GENERATION), kind));
    }
    let shown = in_generations(number, "");
    let blueprint = match Blueprint::draw(host, existing.generation.clone(), manifest, Basis::Listings) {
        Ok(blueprint) => blueprint,
        // Each package that is gone or damaged is a difference of its own.
        Err(HostError::Findings(findings)) => {
            let sentences = findings.iter().map(ToString::to_string);
            let unusable = |reason| difference(&shown, DifferenceKind::Unreadable { reason });
            differences.extend(sentences.map(unusable));
            return Ok(differences);
        }
        Err(error) => return Err(error),
    };
    differences.extend(blueprint.compare(&host.generation_folder(number), &shown)?);
    if let Some(system) = around {
        let change = Change {
            root: host.root().to_owned(),
            prefix: PathBuf::from(&existing.generation.prefix),
            from: None,
            to: blueprint.layout(host, number),
        };
        differences.extend(system.verify(&change)?);
    }
    Ok(differences)
}

/// Whether a generation is what `manifest` says of its roles, but for what was overridden on this host.
fn is_expected(generation: &Generation, manifest: &ActiveManifest) -> bool {
    let original = |package: &ActivePackage| match generation.overriding(&package.id) {
        None => Some(package.clone()),
        Some(local) => {
            let of = manifest.package(&local.of)?;
            Some(ActivePackage {
                id: of.id.clone(),
                tree: of.tree,
            })
        }
    };
    let packages: Option<Vec<_>> = generation.packages.iter().map(original).collect();
    let Some(mut packages) = packages else {
        return false;
    };
    packages.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let bare = Generation {
        packages,
        overrides: Vec::new(),
        ..generation.clone()
    };
    let roles = generation.role_set();
    bare == Generation::expected(manifest, generation.manifest, &roles)
}
