//! Owns the repair of a host: packages and documents from an artifact, generations and links from what follows from them.
//!
//! Nothing is written in place. A damaged package or generation is exchanged for a sound one that was unpacked and made
//! durable beside it; programs that run from the old one go on with its files, and other names of them stay what they
//! are. A kill leaves what was not mended yet to the next repair, and what is put aside to the next sweep.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use schema::digest::Digest;
use schema::id::PackageId;
use serde::Serialize;

use super::blueprint::Basis;
use super::existing::Existing;
use super::layout::Change;
use super::pending::PENDING;
use super::policy::Admitted;
use super::sweep::NEW;
use super::system::System;
use super::verify::{HostReport, listed};
use super::{
    CHANNEL, GENERATIONS, Host, HostError, HostLock, MANIFEST, Manifest, PACKAGES, PROGRAM, TREES, sweep,
    top_links,
};
use crate::artifact::reader::{ReadError, Reader};
use crate::artifact::unpacking::{self, StagedFile, UnpackError};
use crate::artifact::verify::Observer;
use crate::attestations::FILE;
use crate::durable::{self, PARTIAL};
use crate::exchange::exchange;
use crate::facts;
use crate::io_error::{IoContext, IoError};
use crate::listing;
use crate::places;
use crate::publish::FILE_MODE;
use crate::removal;
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::Unpacker;
use crate::substitute::SubstituteError;
use crate::supply::{Offer, Supplies};
use crate::verify::{Difference, DifferenceKind};

/// Why a host was not mended, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The host cannot be looked at or written.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The artifact cannot be read, or the disk refused something.
    #[error(transparent)]
    Take(#[from] SubstituteError),
}

impl From<IoError> for RepairError {
    fn from(error: IoError) -> Self {
        Self::Host(error.into())
    }
}

impl From<UnpackError> for RepairError {
    fn from(error: UnpackError) -> Self {
        Self::Take(error.into())
    }
}

impl From<ReadError> for RepairError {
    fn from(error: ReadError) -> Self {
        Self::Take(error.into())
    }
}

/// One thing that was mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mended {
    /// What, relative to the host's root.
    pub path: String,
    /// How, in a few words.
    pub how: String,
}

/// Mends what `report` found on `host`, as far as it can be: packages from `supplies`, the program and the manifest from
/// `source`, where they hold the very same; the rest from what is there. A verification says what is left.
///
/// # Errors
/// When the host or the artifact cannot be read, or the disk refuses something; what was mended until then is.
pub fn repair<R: ByteRanges>(
    host: &Host,
    _lock: &HostLock,
    system: &dyn System,
    report: &HostReport,
    supplies: &Supplies<'_>,
    source: Option<&Admitted<'_, R>>,
    observer: &dyn Observer,
) -> Result<Vec<Mended>, RepairError> {
    let unpacking = sweep::unpacking(host.root())?;
    let _unpacking = unpacking.ok_or_else(|| HostError::Busy(host.root().to_owned()))?;
    let mut repair = Repair {
        host,
        mended: Vec::new(),
    };
    repair.standing(report)?;
    repair.strays(report)?;
    repair.packages(report, supplies, observer)?;
    if let Some(admitted) = source {
        repair.manifests(report, admitted.reader)?;
    }
    repair.manifest(report)?;
    if let Some(admitted) = source {
        repair.attestations(report, admitted.reader)?;
        repair.program(report, admitted.reader)?;
    }
    repair.links(report)?;
    repair.generations(report)?;
    repair.system(report, system)?;
    Ok(repair.mended)
}

const FROM_ARTIFACT: &str = "replaced from the artifact";

/// How what is no package and lies at `path` differs.
fn differing<'r>(report: &'r HostReport, path: &'r str) -> impl Iterator<Item = &'r DifferenceKind> {
    let differences = report.differences.iter();
    let there = differences.filter(move |it| it.package.is_none() && it.path == path);
    there.map(|it| &it.kind)
}

/// Whether a folder is in the place of a file, where only a person can say what it is for.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

struct Repair<'a> {
    host: &'a Host,
    mended: Vec<Mended>,
}

impl Repair<'_> {
    fn done(&mut self, path: impl AsRef<Path>, how: impl Into<String>) {
        let path = path.as_ref().to_string_lossy().into_owned();
        self.mended.push(Mended {
            path,
            how: how.into(),
        });
    }

    /// Sets modes and owners again of the host's own folders and documents, of generations, and of listings.
    fn standing(&mut self, report: &HostReport) -> Result<(), IoError> {
        let is_ours = |path: &str| {
            let own = [
                ".",
                PACKAGES,
                TREES,
                GENERATIONS,
                MANIFEST,
                FILE,
                PENDING,
                CHANNEL,
            ];
            let parent = Path::new(path).parent();
            own.contains(&path)
                || [TREES, GENERATIONS, CHANNEL]
                    .iter()
                    .any(|it| parent == Some(Path::new(it)))
        };
        for difference in report.differences.iter().filter(|it| is_ours(&it.path)) {
            if crate::repair::stand_again(self.host.root(), difference)? {
                self.done(&difference.path, "mode, owner or access list set again");
            }
        }
        Ok(())
    }

    /// Removes torn packages that nothing names, and listings that are neither named nor what their names say.
    fn strays(&mut self, report: &HostReport) -> Result<(), IoError> {
        for difference in &report.differences {
            let path = match (&difference.kind, &difference.package) {
                (DifferenceKind::Unregistered, Some(package)) => {
                    Path::new(PACKAGES).join(package.id.to_string())
                }
                (DifferenceKind::Listing { .. }, None) if difference.path.starts_with(TREES) => {
                    PathBuf::from(&difference.path)
                }
                _ => continue,
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let target = self.host.root().join(&path);
            let aside = target.with_file_name(format!("{PARTIAL}{name}"));
            removal::remove(&aside)?;
            fs::rename(&target, &aside).at("move aside", &target)?;
            removal::remove(&aside)?;
            self.done(path, "removed: nothing names it");
        }
        Ok(())
    }

    /// Replaces packages that differ by sound ones with the listing that the host knows of them.
    fn packages(
        &mut self,
        report: &HostReport,
        supplies: &Supplies<'_>,
        observer: &dyn Observer,
    ) -> Result<(), RepairError> {
        let known = listed(self.host)?;
        let differing = report.differences.iter();
        let damaged: BTreeSet<&PackageId> = differing
            .filter(|difference| difference.kind != DifferenceKind::Unregistered)
            .filter_map(|difference| Some(&difference.package.as_ref()?.id))
            .collect();
        for id in damaged {
            let Some(tree) = known.get(id) else { continue };
            if self.listing(report, id, tree)? {
                continue;
            }
            let taken = supplies.take(id, Some(*tree), |offer| self.replace(offer, observer))?;
            if let Some(name) = taken {
                let how = format!("taken from {name}");
                self.done(Path::new(PACKAGES).join(id.to_string()), how);
            }
        }
        Ok(durable::sync(&self.host.root().join(TREES))?)
    }

    /// Makes the listing of digest `tree` again from the folder of the package `id`, where nothing but that listing differs;
    /// says whether it did.
    fn listing(&mut self, report: &HostReport, id: &PackageId, tree: &Digest) -> Result<bool, RepairError> {
        let is_of_it = |it: &&Difference| it.package.as_ref().is_some_and(|package| package.id == *id);
        let is_listing = |kind: &DifferenceKind| {
            matches!(
                kind,
                DifferenceKind::Listing { .. } | DifferenceKind::NoListing { .. }
            )
        };
        let mut differing = report.differences.iter().filter(is_of_it);
        if !differing.all(|it| is_listing(&it.kind)) {
            return Ok(false);
        }
        let folder = self.host.package(id);
        let (Ok(recipe), Ok(listed)) = (facts::read(&folder, id), listing::of(&folder)) else {
            return Ok(false);
        };
        if listed.tree != *tree {
            return Ok(false);
        }
        let (path, mtime) = (self.host.listing(tree), recipe.source_date_epoch);
        let staged = unpacking::document(&path, &listed.bytes, FILE_MODE, mtime)?;
        durable::sync_file_system(self.host.root())?;
        staged.publish()?;
        self.done(places::listing_path(tree), "made again from the package");
        Ok(true)
    }

    /// Puts the package that is offered, and its listing, in place of what is there.
    fn replace(&self, offer: &Offer<'_>, observer: &dyn Observer) -> Result<(), SubstituteError> {
        let listing = self.host.listing(&offer.tree);
        let listing = unpacking::document(&listing, &offer.listing, FILE_MODE, offer.mtime)?;
        let packages = self.host.packages();
        // What a killed repair left there.
        removal::remove(&packages.join(format!("{PARTIAL}{}", offer.id)))?;
        let mut unpacker = Unpacker::new().map_err(SubstituteError::Zstd)?;
        let staged = unpacking::package(offer, &packages, &mut unpacker, observer)?;
        durable::sync_file_system(self.host.root())?;
        listing.publish()?;
        staged.replace()?;
        Ok(())
    }

    /// Replaces the manifests that came from this artifact. That of a release which was never active may be all that says
    /// what it is; then the artifact vouches for it.
    fn manifests<R: ByteRanges>(
        &mut self,
        report: &HostReport,
        reader: &Reader<R>,
    ) -> Result<(), RepairError> {
        let digest = reader.manifest_digest();
        let bytes = reader.manifest().to_bytes().map_err(HostError::from)?;
        let is_meant = |kind: &DifferenceKind| match kind {
            DifferenceKind::Content { expected, .. } => *expected == digest,
            _ => true,
        };
        if differing(report, MANIFEST).any(is_meant) && !is_folder(&self.host.root().join(MANIFEST)) {
            let path = self.host.root().join(MANIFEST);
            let mtime = reader.manifest().source_date_epoch;
            let staged = unpacking::document(&path, &bytes, FILE_MODE, mtime)?;
            self.publish(staged, MANIFEST)?;
        }
        for number in self.host.generations()? {
            let path = format!("{GENERATIONS}/{number}/{MANIFEST}");
            let is_from_it = |existing: &Existing| existing.generation.manifest == digest;
            let differs = differing(report, &path).next().is_some();
            if differs && Existing::read(self.host, number).is_ok_and(|it| is_from_it(&it)) {
                durable::write(&self.host.root().join(&path), &bytes, FILE_MODE)?;
                self.done(path, FROM_ARTIFACT);
            }
        }
        Ok(())
    }

    /// Replaces what is attested, where the artifact is what was installed last.
    fn attestations<R: ByteRanges>(
        &mut self,
        report: &HostReport,
        reader: &Reader<R>,
    ) -> Result<(), RepairError> {
        let path = self.host.root().join(FILE);
        let differs = differing(report, FILE).any(|kind| matches!(kind, DifferenceKind::Unreadable { .. }));
        let is_of_it = |there: Manifest| there.digest == reader.manifest_digest();
        if !differs || is_folder(&path) || !self.host.manifest().is_ok_and(is_of_it) {
            return Ok(());
        }
        let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
        let attested = reader.attestations(&mut unpacker)?;
        let bytes = attested.to_bytes().map_err(HostError::from)?;
        let staged = unpacking::document(&path, &bytes, FILE_MODE, reader.manifest().source_date_epoch)?;
        Ok(self.publish(staged, FILE)?)
    }

    /// Replaces the program, where the artifact brings the one that the host's manifest names.
    fn program<R: ByteRanges>(&mut self, report: &HostReport, reader: &Reader<R>) -> Result<(), RepairError> {
        let Some(brought) = &reader.manifest().installer else {
            return Ok(());
        };
        let named = self.host.manifest().map(|manifest| manifest.document.installer);
        let is_meant = named.is_ok_and(|named| named.is_some_and(|named| named.blake3 == brought.blake3));
        if is_meant && differing(report, PROGRAM).next().is_some() {
            let path = self.host.root().join(PROGRAM);
            let staged = unpacking::installer(reader, brought, &path)?;
            self.publish(staged, PROGRAM)?;
        }
        Ok(())
    }

    /// Puts a file of the root in place.
    fn publish(&mut self, staged: StagedFile, name: &str) -> Result<(), IoError> {
        let root = self.host.root();
        durable::sync_file_system(root)?;
        staged.publish()?;
        durable::sync(root)?;
        self.done(name, FROM_ARTIFACT);
        Ok(())
    }

    /// Takes the manifest that was installed last from a generation: the one that it was compared with or, where it is lost,
    /// the active one, else the newest.
    fn manifest(&mut self, report: &HostReport) -> Result<(), HostError> {
        let path = self.host.root().join(MANIFEST);
        let expected = differing(report, MANIFEST).find_map(|kind| match kind {
            DifferenceKind::Content { expected, .. } => Some(Some(*expected)),
            DifferenceKind::Missing | DifferenceKind::Unreadable { .. } => Some(None),
            _ => None,
        });
        let Some(expected) = expected.filter(|_| !is_folder(&path)) else {
            return Ok(());
        };
        let is_it = |digest: &Digest| expected.is_none_or(|expected| expected == *digest);
        if self.host.manifest().is_ok_and(|there| is_it(&there.digest)) {
            return Ok(());
        }
        let newest = self.host.generations()?.into_iter().rev();
        for number in self.host.current()?.into_iter().chain(newest) {
            let made_from = self.host.generation(number).map(|generation| generation.manifest);
            let Some(digest) = made_from.ok().filter(is_it) else {
                continue;
            };
            if let Ok(manifest) = self.host.generation_manifest(number, &digest) {
                durable::write(&path, &manifest.bytes, FILE_MODE)?;
                durable::sync(self.host.root())?;
                self.done(MANIFEST, "copied from the generation that was made from it");
                break;
            }
        }
        Ok(())
    }

    /// Makes the links beside `current` again, where nothing but another link is in their place.
    fn links(&mut self, report: &HostReport) -> Result<(), IoError> {
        for name in top_links() {
            let is_link = |kind: &DifferenceKind| {
                matches!(kind, DifferenceKind::Missing | DifferenceKind::Target { .. })
            };
            let mut differences = report.differences.iter();
            if differences.any(|it| it.package.is_none() && it.path == name && is_link(&it.kind)) {
                durable::link(
                    &self.host.root().join(name),
                    &Path::new(super::CURRENT).join(name),
                )?;
                self.done(name, "linked again");
            }
        }
        Ok(())
    }

    /// Lays out anew what differs of generations whose `generation.json` and manifest can be relied on.
    fn generations(&mut self, report: &HostReport) -> Result<(), HostError> {
        for number in self.host.generations()? {
            let inside = Path::new(GENERATIONS).join(number.to_string());
            let mut differences = report.differences.iter();
            if !differences.any(|it| it.package.is_none() && Path::new(&it.path).starts_with(&inside)) {
                continue;
            }
            let drawn = Existing::read(self.host, number)
                .and_then(|existing| existing.blueprint(self.host, Basis::Listings));
            // What cannot be worked out is laid out by an activation, under another number.
            let Ok(blueprint) = drawn else { continue };
            let folder = self.host.generation_folder(number);
            if blueprint.compare(&folder, &inside)?.is_empty() {
                continue;
            }
            let beside = |name: &str| self.host.generations_folder().join(name);
            let aside = beside(&format!("{NEW}{number}"));
            removal::remove(&aside)?;
            blueprint.write(&aside)?;
            durable::sync_file_system(&aside)?;
            exchange(&aside, &folder, &beside(&format!("{PARTIAL}{number}")))?;
            durable::sync(&self.host.generations_folder())?;
            removal::remove(&aside)?;
            self.done(inside, "laid out anew");
        }
        Ok(())
    }

    /// Gives the system around again what it lost of what the active generation asks for.
    fn system(&mut self, report: &HostReport, system: &dyn System) -> Result<(), HostError> {
        let about_system = |path: &str| Path::new(path).is_absolute();
        let mut differences = report.differences.iter();
        if report.pending.is_some() || !differences.any(|it| about_system(&it.path)) {
            return Ok(());
        }
        let Some(number) = self.host.current()? else {
            return Ok(());
        };
        let existing = Existing::read(self.host, number)?;
        let change = Change {
            root: self.host.root().to_owned(),
            prefix: PathBuf::from(&existing.generation.prefix),
            from: None,
            to: existing
                .blueprint(self.host, Basis::Listings)?
                .layout(self.host, number),
        };
        if system.check(&change)?.is_empty() {
            system.restore(&change)?;
            self.done("/", "what the system was given, given again");
        }
        Ok(())
    }
}
