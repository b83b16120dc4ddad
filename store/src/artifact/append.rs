//! Owns putting a configuration into an artifact: one more package in place, all others copied frame by frame.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use schema::about::About;
use schema::attestation::{Attestations, Claim};
use schema::canonical::CanonicalError;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::{Entry, EntryKind, Listing};
use schema::manifest::{ActiveManifest, FrameRange, Health, ManifestError, SelectedPackage};
use schema::resolved::ResolvedRecipe;

use super::difference::{Difference, Part, Problem};
use super::layout::{self, LayoutError};
use super::output::{Output, OutputError};
use super::packing::{Packing, next_range};
use super::reader::{ReadError, Reader, held};
use super::rewriting::{RewriteError, Rewriter};
use super::{MANIFEST_PATH, listing_path};
use crate::archive::plan::{Plan, PlanError};
use crate::archive::tar_format;
use crate::facts::RESOLVED_RECIPE;
use crate::io_error::IoError;
use crate::seekable::stream::Unpacker;

/// A package that exists only in memory, and what a manifest says because of it.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Its resolved recipe; its ID is the digest of that.
    pub recipe: ResolvedRecipe,
    /// Its files, in any order; the resolved recipe is not among them.
    pub files: Vec<ContentFile>,
    /// When a host counts as healthy.
    pub health: Option<Health>,
    /// The script that prints a host's address, relative to the prefix.
    pub ip_detect: Option<String>,
    /// Absolute paths of files that must be on a host, in any order.
    pub secrets: BTreeSet<String>,
}

/// One file of a package that exists only in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentFile {
    /// Relative to the package's folder.
    pub path: String,
    /// Whether it may be run.
    pub executable: bool,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What was written.
#[derive(Debug, Clone)]
pub struct Appended {
    /// What the new artifact holds.
    pub manifest: ActiveManifest,
    /// The configuration package.
    pub id: PackageId,
    /// The configuration package that was there before, when it is another one.
    pub replaced: Option<PackageId>,
    /// The length of the new artifact in bytes.
    pub length: u64,
}

/// Why no artifact was written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The artifact cannot be copied.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// With this package the manifest is none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// With this package the artifact has no sound layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The package's files cannot be one folder.
    #[error("the configuration cannot be a package: {0}")]
    Plan(#[from] PlanError),
    /// A text without JSON form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl From<ReadError> for AppendError {
    fn from(error: ReadError) -> Self {
        Self::Rewrite(error.into())
    }
}

impl From<OutputError> for AppendError {
    fn from(error: OutputError) -> Self {
        Self::Rewrite(error.into())
    }
}

impl From<IoError> for AppendError {
    fn from(error: IoError) -> Self {
        Self::Rewrite(error.into())
    }
}

impl From<std::io::Error> for AppendError {
    fn from(error: std::io::Error) -> Self {
        Self::Rewrite(error.into())
    }
}

/// Writes to `target` what `artifact` holds, with `configuration` in place of the one that it may hold already.
///
/// Everything that is copied is checked against the digests in the artifact's manifest on the way.
///
/// # Errors
/// See [`AppendError`]; `target` is then as it was.
pub fn append(
    artifact: &Path,
    configuration: &Configuration,
    target: &Path,
) -> Result<Appended, AppendError> {
    let reader = Reader::open_file(artifact)?;
    let old = reader.manifest();
    let package = MemoryPackage::new(configuration, old.source_date_epoch)?;
    let previous = old.configuration_package().map(|package| package.id.clone());
    let mut manifest = draft(old, configuration, &package);
    manifest.check()?;
    let pieces = locate(&mut manifest, old, &package);
    layout::check(&manifest)?;

    let head = Packing::document(MANIFEST_PATH, &manifest.to_bytes()?, manifest.source_date_epoch)?;
    let output = Output::create(target)?;
    let mut writer = Rewriter::new(&reader, &output);
    writer.packing(&head)?;
    for piece in pieces {
        match piece {
            Piece::New(packing) => writer.packing(packing)?,
            Piece::Kept(part, range) => writer.copy(part, range)?,
        }
    }
    writer.attestations(&attested(&reader, &manifest)?)?;
    let length = writer.finish()?;
    output.publish()?;
    Ok(Appended {
        manifest,
        replaced: previous.filter(|id| *id != package.id),
        id: package.id,
        length,
    })
}

/// What is attested in `reader` of what `manifest` says is there, too: not of a configuration that is replaced.
fn attested(reader: &Reader<File>, manifest: &ActiveManifest) -> Result<Attestations, ReadError> {
    let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
    let mut attestations = reader.attestations(&mut unpacker)?;
    let holds = |claim: Claim| held(manifest, claim).is_ok();
    attestations
        .envelopes
        .retain(|envelope| envelope.claim().is_ok_and(holds));
    Ok(attestations)
}

/// The configuration package, ready to be written.
struct MemoryPackage {
    id: PackageId,
    tree: Digest,
    size: u64,
    listing: Packing,
    archive: Packing,
}

impl MemoryPackage {
    fn new(configuration: &Configuration, mtime: u64) -> Result<Self, AppendError> {
        let (id, recipe) = configuration.recipe.id()?;
        let recipe = ContentFile {
            path: RESOLVED_RECIPE.to_owned(),
            executable: false,
            bytes: recipe,
        };
        let files: Vec<&ContentFile> = configuration.files.iter().chain([&recipe]).collect();
        let bytes = list(&files).to_bytes()?;
        // Read back as hosts will, so that an unsafe or repeated path is noticed here.
        let listing =
            Listing::parse(&bytes).map_err(|problem| damaged(&Part::Listing(id.clone()), problem))?;
        let (tree, size) = (Digest::of(&bytes), listing.size());
        let plan = Plan::new(&id, listing, mtime)?;
        Ok(Self {
            listing: Packing::document(&listing_path(&tree), &bytes, mtime)?,
            archive: Packing::of(&tar(&plan, &files))?,
            id,
            tree,
            size,
        })
    }
}

fn damaged(part: &Part, problem: impl Into<Problem>) -> ReadError {
    Difference::of(part.clone(), problem).into()
}

fn list(files: &[&ContentFile]) -> Listing {
    let mut folders = BTreeSet::new();
    for file in files {
        folders.extend(file.path.match_indices('/').map(|(at, _)| &file.path[..at]));
    }
    let folder = |path: &str| Entry {
        path: path.to_owned(),
        kind: EntryKind::Dir,
    };
    let file = |file: &&ContentFile| Entry {
        path: file.path.clone(),
        kind: EntryKind::File {
            executable: file.executable,
            size: file.bytes.len() as u64,
            blake3: Digest::of(&file.bytes),
        },
    };
    Listing::new(
        folders
            .into_iter()
            .map(folder)
            .chain(files.iter().map(file))
            .collect(),
    )
}

/// The package's tar stream, as [`crate::archive`] would make it from a folder.
fn tar(plan: &Plan, files: &[&ContentFile]) -> Vec<u8> {
    let mut tar = Vec::new();
    plan.write_top(&mut tar);
    for entry in plan.entries() {
        plan.write_header(entry, &mut tar);
        if let Some(file) = files.iter().find(|file| file.path == entry.path) {
            tar.extend_from_slice(&file.bytes);
            tar.resize(tar.len() + tar_format::padding(file.bytes.len() as u64), 0);
        }
    }
    tar
}

/// The new manifest without where its parts lie.
fn draft(old: &ActiveManifest, configuration: &Configuration, package: &MemoryPackage) -> ActiveManifest {
    let nowhere = FrameRange {
        offset: 0,
        length: 0,
        blake3: Digest::of(b""),
    };
    let mut manifest = old.clone();
    let previous = old.configuration;
    manifest
        .packages
        .retain(|package| Some(*package.id.digest()) != previous);
    manifest.packages.push(SelectedPackage {
        id: package.id.clone(),
        version: configuration.recipe.version.clone(),
        tree: package.tree,
        size: package.size,
        requires: configuration.recipe.requires.clone(),
        roles: configuration.recipe.roles.clone(),
        selected: true,
        about: About::default(),
        listing: nowhere,
        archive: nowhere,
    });
    manifest.packages.sort_by(|a, b| a.id.cmp(&b.id));
    manifest.configuration = Some(*package.id.digest());
    manifest.health = configuration.health.clone();
    manifest.ip_detect = configuration.ip_detect.clone();
    manifest.secrets = configuration.secrets.iter().cloned().collect();
    manifest
}

/// Where the next bytes of the new artifact come from.
enum Piece<'a> {
    New(&'a Packing),
    Kept(Part, FrameRange),
}

/// Writes into `manifest` where its parts will lie, in the order of [`layout::sections`], and says what they are.
fn locate<'a>(manifest: &mut ActiveManifest, old: &ActiveManifest, new: &'a MemoryPackage) -> Vec<Piece<'a>> {
    let mut end = 0;
    let mut pieces = Vec::new();
    let mut place = |part: Part, kept: Option<FrameRange>, packing: &'a Packing| {
        let (range, piece) = match kept {
            Some(kept) => (
                next_range(&mut end, kept.length, kept.blake3),
                Piece::Kept(part, kept),
            ),
            None => (packing.range(&mut end), Piece::New(packing)),
        };
        pieces.push(piece);
        range
    };
    let kept = |id: &PackageId| old.package(id).filter(|_| *id != new.id);
    for package in &mut manifest.packages {
        let part = Part::Listing(package.id.clone());
        package.listing = place(part, kept(&package.id).map(|old| old.listing), &new.listing);
    }
    if let Some(installer) = &mut manifest.installer {
        installer.archive = place(Part::Installer, Some(installer.archive), &new.archive);
    }
    for package in &mut manifest.packages {
        let part = Part::Package(package.id.clone());
        package.archive = place(part, kept(&package.id).map(|old| old.archive), &new.archive);
    }
    pieces
}
