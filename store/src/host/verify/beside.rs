//! Owns what is verified of a host beside packages and the active generation: the program, and what does not belong there.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use schema::attestation::Attestations;
use schema::digest::Digest;
use schema::id::PackageId;

use super::super::sweep::is_unfinished;
use super::super::{
    CHANNEL, GENERATIONS, Host, MANIFEST, Manifest, PACKAGES, PROGRAM, TREES, number, pending, root, trail,
};
use super::{Told, difference, in_generations, is_there};
use crate::attestations;
use crate::facts;
use crate::folder;
use crate::io_error::{IoContext, IoError};
use crate::listing;
use crate::publish::EXECUTABLE_MODE;
use crate::regular;
use crate::tree::{self, Owner};
use crate::verify::{self, Difference, DifferenceKind, FileKind, FirstByte, Mode, Run, Standing};

/// Compares the program for hosts with what the installed manifest says of it.
pub(super) fn program(host: &Host, manifest: &Manifest, run: &Run<'_>) -> Result<Vec<Difference>, IoError> {
    let Some(installer) = &manifest.document.installer else {
        return Ok(Vec::new());
    };
    let path = host.root().join(PROGRAM);
    let about = |kind| difference(Path::new(PROGRAM), kind);
    let metadata = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(vec![about(DifferenceKind::Missing)]);
        }
        looked => looked.at("look at", &path)?,
    };
    if !metadata.is_file() {
        let (expected, found) = (FileKind::File, FileKind::from(&metadata));
        return Ok(vec![about(DifferenceKind::Type { expected, found })]);
    }
    let mut differences = Vec::new();
    let mode = metadata.mode() & 0o7777;
    if mode != EXECUTABLE_MODE {
        let (expected, found) = (Mode(EXECUTABLE_MODE), Mode(mode));
        differences.push(about(DifferenceKind::Mode { expected, found }));
    }
    let (expected, found) = (verify::owner_of(host.root())?, Owner::from(&metadata));
    if found != expected && found != Owner::ROOT {
        differences.push(about(DifferenceKind::Owner { expected, found }));
    }
    let expected = installer.blake3;
    let (found, _) = listing::hash_file(&path, &mut |bytes| run.observer.read(bytes))?;
    if found != expected {
        let mut references = run.references.iter();
        let sound = references.find_map(|reference| reference.program(&expected));
        let first = sound.and_then(|sound| FirstByte::between(&sound, &regular::read(&path).ok()?));
        let difference = about(DifferenceKind::Content { expected, found });
        differences.push(Difference { first, ..difference });
    }
    let attributes = tree::attributes(&path)?.into_iter();
    differences.extend(attributes.map(|name| about(DifferenceKind::Attribute { name })));
    Ok(differences)
}

/// What is wrong with the attestations that came with what was installed last, as far as that shows without the keys of
/// those who signed.
pub(super) fn attestations(host: &Host) -> Option<Difference> {
    let kind = match regular::read_if_there(&host.root().join(attestations::FILE)) {
        Ok(bytes) => DifferenceKind::Unreadable {
            reason: Attestations::parse(&bytes?).err()?.to_string(),
        },
        Err(error) => DifferenceKind::unreadable(&error.source),
    };
    Some(difference(Path::new(attestations::FILE), kind))
}

/// Compares the manifest that was installed last with that of a reference which is the same release, or else with that of
/// a generation which is: nothing else vouches for it, except that it can be read. Where there is a generation, there was
/// one.
pub(super) fn manifest(
    host: &Host,
    installed: Option<&Manifest>,
    generations: &[Told],
    run: &Run<'_>,
) -> Option<Difference> {
    if !generations.is_empty() && is_absent(&host.root().join(MANIFEST)) {
        return Some(difference(Path::new(MANIFEST), DifferenceKind::Missing));
    }
    let references = run.references.iter().filter_map(|reference| reference.manifest());
    let referred = references.take(1).find_map(|bytes| Manifest::parse(bytes).ok());
    let referred = referred.filter(|it| installed.is_none_or(|installed| is_same_release(installed, it)));
    let expected = match &referred {
        Some(referred) => referred,
        None => of_generation(host, installed?, generations)?,
    };
    let bytes = regular::read(&host.root().join(MANIFEST)).ok()?;
    let first = FirstByte::between(&expected.bytes, &bytes)?;
    let kind = DifferenceKind::Content {
        expected: expected.digest,
        found: Digest::of(&bytes),
    };
    Some(Difference {
        first: Some(first),
        ..difference(Path::new(MANIFEST), kind)
    })
}

fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn is_same_release(one: &Manifest, other: &Manifest) -> bool {
    let (one, other) = (&one.document, &other.document);
    (&one.name, &one.version) == (&other.name, &other.version)
}

/// The manifest of the newest generation that `installed` should be equal to. A release that was made again under its old
/// name need not be: it selects packages that are here and that no generation of that name selects, or fewer.
fn of_generation<'a>(host: &Host, installed: &Manifest, generations: &'a [Told]) -> Option<&'a Manifest> {
    let manifests = generations.iter().filter_map(|told| told.manifest.as_ref());
    let same: Vec<&Manifest> = manifests.filter(|it| is_same_release(installed, it)).collect();
    if same.iter().any(|it| it.digest == installed.digest) {
        return None;
    }
    let ids = |manifest: &'a Manifest| manifest.document.packages.iter().map(|package| &package.id);
    let selected: BTreeSet<&PackageId> = same.iter().flat_map(|it| ids(it)).collect();
    let packages = &installed.document.packages;
    let (old, new): (Vec<_>, Vec<_>) = packages
        .iter()
        .partition(|package| selected.contains(&package.id));
    let is_another = match new.is_empty() {
        true => old.len() < selected.len(),
        false => new.iter().any(|package| is_there(host, &package.id)),
    };
    same.last().copied().filter(|_| !is_another)
}

/// What manifests and generations name.
#[derive(Default)]
pub(super) struct Named {
    pub(super) packages: BTreeSet<PackageId>,
    pub(super) trees: BTreeSet<Digest>,
}

/// What is wrong with how the host's own folders, generations and listings stand there: who may write them may exchange
/// what is in them.
pub(super) fn standing(host: &Host) -> Result<Vec<Difference>, IoError> {
    let owner = verify::owner_of(host.root())?;
    let mut differences = Vec::new();
    let mut look = |path: PathBuf, standing: Standing| {
        let faults = standing.faults(&host.root().join(&path), owner);
        differences.extend(faults.into_iter().map(|kind| difference(&path, kind)));
    };
    for folder in [".", PACKAGES, TREES, GENERATIONS] {
        look(folder.into(), Standing::Folder);
    }
    for number in host.generations()? {
        look(in_generations(number, ""), Standing::Folder);
    }
    look(CHANNEL.into(), Standing::Folder);
    for (name, _) in entries(&host.root().join(CHANNEL))? {
        look(Path::new(CHANNEL).join(name), Standing::Own);
    }
    for document in [MANIFEST, attestations::FILE, pending::PENDING] {
        look(document.into(), Standing::Own);
    }
    look(Path::new(GENERATIONS).join(trail::LAST), Standing::Own);
    for (name, _) in entries(&host.root().join(TREES))? {
        look(Path::new(TREES).join(name), Standing::Document);
    }
    Ok(differences)
}

/// What stands in the host's own folders and has no business there. What a killed command left has: the next clears it.
pub(super) fn strays(host: &Host, named: &Named) -> Result<Vec<Difference>, IoError> {
    let mut strays = Vec::new();
    for (name, path) in entries(host.root())? {
        if !name.to_str().is_some_and(root::is_ours) {
            strays.push(extra("", &path)?);
        }
    }
    for (name, path) in entries(&host.generations_folder())? {
        if number(&name).is_none() && name != trail::LAST {
            strays.push(extra(GENERATIONS, &path)?);
        }
    }
    for (name, path) in entries(&host.packages())? {
        match name.to_str().and_then(|name| name.parse().ok()) {
            None => strays.push(extra(PACKAGES, &path)?),
            Some(id) if named.packages.contains(&id) => {}
            Some(_) if !fs::symlink_metadata(&path).at("look at", &path)?.is_dir() => {
                strays.push(extra(PACKAGES, &path)?);
            }
            // An interrupted installation, or an earlier one, leaves packages that no manifest names; whole ones.
            Some(id) if !is_whole(host, &id) => {
                strays.push(Difference::new(Some(&id), "", DifferenceKind::Unregistered));
            }
            Some(_) => {}
        }
    }
    for (name, path) in entries(&host.root().join(TREES))? {
        match name
            .to_str()
            .and_then(|name| name.strip_suffix(".json")?.parse().ok())
        {
            None => strays.push(extra(TREES, &path)?),
            Some(tree) if named.trees.contains(&tree) => {}
            Some(expected) => {
                let kind = match listing::hash_file(&path, &mut |_| {}) {
                    Ok((found, _)) if found == expected => continue,
                    Ok((found, _)) => DifferenceKind::Listing { expected, found },
                    // Collected as garbage meanwhile.
                    Err(error) if error.is_not_found() => continue,
                    Err(error) => DifferenceKind::unreadable(&error.source),
                };
                strays.push(difference(&Path::new(TREES).join(&name), kind));
            }
        }
    }
    Ok(strays)
}

/// What is in a folder, but for what is swept; nothing when there is none.
fn entries(folder: &Path) -> Result<Vec<(OsString, PathBuf)>, IoError> {
    let entries = folder::entries_if_there(folder)?.into_iter();
    let named = entries.map(|entry| (entry.file_name(), entry.path()));
    Ok(named.filter(|(name, _)| !is_unfinished(name)).collect())
}

fn extra(folder: &str, path: &Path) -> Result<Difference, IoError> {
    let metadata = fs::symlink_metadata(path).at("look at", path)?;
    let found = FileKind::from(&metadata);
    let shown = Path::new(folder).join(path.file_name().unwrap_or_default());
    Ok(difference(&shown, DifferenceKind::Extra { found }))
}

/// Whether the folder of `id` is a package that has come here whole, whichever.
fn is_whole(host: &Host, id: &PackageId) -> bool {
    let folder = host.package(id);
    let is_listed = |listed: listing::Listed| {
        regular::read(&host.listing(&listed.tree)).is_ok_and(|listing| listing == listed.bytes)
    };
    facts::read(&folder, id)
        .is_ok_and(|recipe| recipe.local.is_some() || listing::of(&folder).is_ok_and(is_listed))
}
