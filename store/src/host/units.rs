//! Owns which systemd units a generation brings, where each can be read, and which names may not be one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use schema::digest::Digest;
use schema::id::PackageId;

use super::files::{self, HEAL_TARGET, HEAL_UNIT};
use super::layout::Unit;
use super::{ACTIVE, Finding, Host};
use crate::activation::roles::UNITS;
use crate::activation::{Activation, Item};
use crate::folder;
use crate::io_error::IoError;
use crate::listing;
use crate::regular;

/// How the names of units end.
const KINDS: [&str; 10] = [
    "automount",
    "mount",
    "path",
    "scope",
    "service",
    "slice",
    "socket",
    "swap",
    "target",
    "timer",
];
const WANTS: &str = ".wants";

/// The units that `activation` brings to `host`.
pub(super) fn of_activation(host: &Host, activation: &Activation) -> (BTreeMap<String, Unit>, Vec<Finding>) {
    let mut units = BTreeMap::new();
    let mut findings = Vec::new();
    for (path, item) in activation.items() {
        let (Some((target, name)), Item::Link { package, inside }) = (place(path), item) else {
            continue;
        };
        if let Some(reason) = wrong(name) {
            findings.push(Finding::Unit {
                package: package.clone(),
                unit: name.to_owned(),
                reason,
            });
            continue;
        }
        let unit = unit(target, host.package(package).join(inside), Some(package.clone()));
        if let Some(first) = add(&mut units, name, unit) {
            findings.push(Finding::UnitTwice {
                unit: name.to_owned(),
                first,
                second: package.clone(),
            });
        }
    }
    (units, findings)
}

/// The units that `generation`, a folder, brings, as far as they can be told when packages are gone.
///
/// # Errors
/// When the folders of units cannot be listed.
pub(super) fn of_folder(generation: &Path) -> Result<BTreeMap<String, Unit>, IoError> {
    let mut units = BTreeMap::new();
    for wants in folder::entries(&generation.join(UNITS))? {
        for entry in folder::entries(&wants.path())? {
            let file = entry.path();
            let inside = file.strip_prefix(generation).unwrap_or(&file);
            if let Some((target, name)) = place(inside) {
                let package = fs::read_link(&file)
                    .ok()
                    .and_then(|link| package_in(generation, &link));
                add(&mut units, name, unit(target, file.clone(), package));
            }
        }
    }
    Ok(units)
}

/// Target and name of what lies at `systemd/<target>.wants/<name>`.
fn place(path: &Path) -> Option<(&str, &str)> {
    let (folder, name) = path.strip_prefix(UNITS).ok()?.to_str()?.split_once('/')?;
    Some((folder.strip_suffix(WANTS)?, name)).filter(|(_, name)| !name.contains('/'))
}

/// The package that the link of a unit leads into, by way of `active/<name>`.
fn package_in(folder: &Path, link: &Path) -> Option<PackageId> {
    let mut parts = link.iter().skip_while(|part| *part != ACTIVE);
    let active = fs::read_link(folder.join(ACTIVE).join(parts.nth(1)?)).ok()?;
    active.file_name()?.to_str()?.parse().ok()
}

/// The unit that the store itself brings, with these bytes, to the generation in `folder`.
pub(super) fn of_store(folder: &Path, bytes: &[u8]) -> (String, Unit) {
    let unit = Unit {
        targets: BTreeSet::from([HEAL_TARGET.to_owned()]),
        file: folder.join(files::heal_path()),
        blake3: Some(Digest::of(bytes)),
        package: None,
    };
    (HEAL_UNIT.to_owned(), unit)
}

fn wrong(name: &str) -> Option<&'static str> {
    let kind = name.rsplit_once('.').map(|(_, kind)| kind);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    match name {
        HEAL_UNIT => Some("the store itself brings that unit"),
        _ if !kind.is_some_and(|kind| KINDS.contains(&kind)) => Some("that is not the name of a unit"),
        _ if !name.bytes().all(allowed) || name.starts_with('.') => Some("that is not the name of a unit"),
        _ => None,
    }
}

fn unit(target: &str, file: PathBuf, package: Option<PackageId>) -> Unit {
    // A unit may be a link to another.
    let opened = regular::open_behind(&file);
    let blake3 = opened
        .and_then(|opened| listing::hash(opened, &file, &mut |_| {}))
        .ok()
        .map(|(digest, _): (Digest, u64)| digest);
    Unit {
        targets: BTreeSet::from([target.to_owned()]),
        file,
        blake3,
        package,
    }
}

/// Adds a unit, or a target to one that is there; gives the package that brings another one of that name.
fn add(units: &mut BTreeMap<String, Unit>, name: &str, unit: Unit) -> Option<PackageId> {
    match units.get_mut(name) {
        None => {
            units.insert(name.to_owned(), unit);
            None
        }
        Some(there) if there.package == unit.package && there.blake3 == unit.blake3 => {
            there.targets.extend(unit.targets);
            None
        }
        Some(there) => there.package.clone(),
    }
}
