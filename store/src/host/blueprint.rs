//! Owns what a generation's folder holds, to the last byte: how it is worked out, laid out and compared.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use schema::digest::Digest;
use schema::generation::{Generation, GenerationNumber};
use schema::id::PackageId;
use schema::listing::Listing;

use super::layout::Layout;
use super::members::{self, Member, Wishes};
use super::{ACTIVE, Finding, Host, HostError, Manifest, files, units};
use crate::activation::content::Content;
use crate::activation::{Activation, ActivationError, Item};
use crate::durable;
use crate::io_error::{IoContext, IoError};
use crate::publish::FILE_MODE;
use crate::regular;
use crate::tree::{self, Node, NodeKind, Owner};
use crate::verify::{self, Difference, DifferenceKind, FileKind, FirstByte, Mode};

/// The way from a generation's folder to that of all packages.
const TO_PACKAGES: &str = "../../packages";

/// What one generation's folder holds, and what it asks of the system.
#[derive(Debug)]
pub struct Blueprint {
    /// What is active in it.
    pub generation: Generation,
    /// What it asks of the system, as far as that does not depend on its number.
    layout: Layout,
    /// By path relative to the generation's folder, so that a folder comes before what is in it.
    parts: BTreeMap<PathBuf, Part>,
}

/// What stands at one path of a generation.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Folder,
    Link(PathBuf),
    File(Vec<u8>),
}

/// What tells which files the packages of a generation bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Their folders, as they are now.
    Folders,
    /// Their listings, where these can be relied on: what becomes of a package's folder changes no generation.
    Listings,
}

impl Blueprint {
    /// Works out what `generation`, made from `manifest`, is on `host`, from the packages that are there.
    ///
    /// # Errors
    /// [`HostError::Findings`] with everything that keeps it from being laid out.
    pub fn draw(
        host: &Host,
        generation: Generation,
        manifest: &Manifest,
        basis: Basis,
    ) -> Result<Self, HostError> {
        let (members, mut findings) = members::read(host, &generation);
        let (wishes, wrong) = members::wishes(&members);
        findings.extend(wrong);
        let contents = members.into_iter().map(|member| {
            let content = content(host, &generation, &member, basis);
            (member.id, content)
        });
        let activation = match Activation::for_host(contents.collect(), &generation.role_set()) {
            Ok(activation) => Some(activation),
            Err(ActivationError::Io(error)) => return Err(error.into()),
            Err(ActivationError::Conflicts(conflicts)) => {
                findings.extend(conflicts.into_iter().map(Finding::Conflict));
                None
            }
        };
        let units = activation
            .as_ref()
            .map(|activation| units::of_activation(host, activation));
        let (units, wrong) = units.unwrap_or_default();
        findings.extend(wrong);
        let Some(activation) = activation.filter(|_| findings.is_empty()) else {
            return Err(HostError::Findings(findings));
        };
        let bytes = generation.to_bytes()?;
        let files = files::files(&wishes, &generation.prefix, &manifest.bytes, bytes);
        let document = &manifest.document;
        let ip_detect = document.ip_detect.as_ref();
        let layout = Layout {
            ip_detect: ip_detect.and_then(|path| activation.behind(Path::new(path))),
            secrets: document.secrets.iter().map(PathBuf::from).collect(),
            units,
            ..layout(&generation, wishes)
        };
        Ok(Self {
            parts: parts(&activation, files),
            generation,
            layout,
        })
    }

    /// What it asks of the system as generation `number`.
    pub fn layout(&self, host: &Host, number: GenerationNumber) -> Layout {
        let folder = host.generation_folder(number);
        let heal = files::heal_unit(&self.generation.prefix);
        let mut layout = self.layout.clone();
        layout.number = Some(number);
        layout.units.extend([units::of_store(&folder, heal.as_bytes())]);
        layout
    }

    /// Lays it out in `folder`, which is not there yet. Not durable.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn write(&self, folder: &Path) -> Result<(), IoError> {
        durable::create_folder(folder)?;
        for (path, part) in &self.parts {
            let place = folder.join(path);
            match part {
                Part::Folder => durable::create_folder(&place)?,
                Part::Link(target) => symlink(target, &place).at("link", &place)?,
                Part::File(bytes) => fs::File::create_new(&place)
                    .and_then(|mut file| {
                        file.write_all(bytes)?;
                        file.set_permissions(Permissions::from_mode(FILE_MODE))
                    })
                    .at("write", &place)?,
            }
        }
        Ok(())
    }

    /// Compares it with `folder`; the differences' paths begin with `shown`.
    ///
    /// # Errors
    /// When the folder cannot be walked.
    pub(super) fn compare(&self, folder: &Path, shown: &Path) -> Result<Vec<Difference>, IoError> {
        let walk = tree::walk(folder)?;
        let mut differences = Vec::new();
        let owner = verify::owner_of(folder.parent().unwrap_or(folder))?;
        let about = |path: &Path, kind| difference(&shown.join(path), kind);
        for odd in &walk.odd_names {
            differences.push(about(odd, DifferenceKind::Name));
        }
        let found: BTreeMap<&Path, &tree::Node> = walk
            .nodes
            .iter()
            .map(|node| (Path::new(&node.path), node))
            .collect();
        for (path, node) in &found {
            match self.parts.get(*path) {
                None => {
                    let found = (&node.kind).into();
                    differences.push(about(path, DifferenceKind::Extra { found }));
                }
                Some(part) => {
                    let (kinds, first) = unlike(part, node, owner, &folder.join(path))?;
                    for kind in kinds {
                        let first = first.clone().filter(|_| kind.is_about_content());
                        let difference = difference(&shown.join(path), kind);
                        differences.push(Difference { first, ..difference });
                    }
                }
            }
        }
        for path in self
            .parts
            .keys()
            .filter(|path| !found.contains_key(path.as_path()))
        {
            differences.push(about(path, DifferenceKind::Missing));
        }
        Ok(differences)
    }
}

fn content(host: &Host, generation: &Generation, member: &Member, basis: Basis) -> Content {
    let folder = member.folder.clone();
    let listing = match basis {
        Basis::Folders => None,
        // Whoever changes something locally adds and removes files in the folder.
        Basis::Listings if generation.overriding(&member.id).is_some() => None,
        Basis::Listings => generation
            .package(&member.id)
            .and_then(|package| listing(host, &package.tree)),
    };
    match listing {
        Some(listing) => Content::of_listing(folder, &listing),
        None => Content::of_folder(folder),
    }
}

/// The listing of digest `tree`; nothing when it is not just that.
fn listing(host: &Host, tree: &Digest) -> Option<Listing> {
    let bytes = regular::read(&host.listing(tree)).ok()?;
    let is_it = Digest::of(&bytes) == *tree;
    Listing::parse(&bytes).ok().filter(|_| is_it)
}

/// A difference that is in no package.
pub(super) fn difference(path: &Path, kind: DifferenceKind) -> Difference {
    Difference::new(None, path.to_string_lossy(), kind)
}

pub(super) fn layout(generation: &Generation, wishes: Wishes) -> Layout {
    Layout {
        distribution: generation.name.clone(),
        configuration: generation.configuration,
        users: wishes.users,
        groups: wishes.groups,
        state: wishes.state,
        sysctl: wishes.sysctl,
        ..Layout::default()
    }
}

fn parts(activation: &Activation, files: BTreeMap<PathBuf, Vec<u8>>) -> BTreeMap<PathBuf, Part> {
    let mut parts = BTreeMap::new();
    for (path, item) in activation.items() {
        let part = match item {
            Item::Folder => Part::Folder,
            Item::Link { package, inside } => Part::Link(target(path, package, inside)),
        };
        parts.insert(path.to_owned(), part);
    }
    for (path, bytes) in files {
        for above in path.ancestors().skip(1) {
            if !above.as_os_str().is_empty() {
                parts.entry(above.to_owned()).or_insert(Part::Folder);
            }
        }
        parts.insert(path, Part::File(bytes));
    }
    parts
}

/// Where the link at `path` leads: for `active/<name>` to the package, for all others through that. Their targets are
/// then short enough for file systems to keep them in the inode, and there may be ten thousands of them.
fn target(path: &Path, package: &PackageId, inside: &Path) -> PathBuf {
    let depth = path.components().count().saturating_sub(1);
    let up: PathBuf = std::iter::repeat_n("..", depth).collect();
    match inside.as_os_str().is_empty() {
        true => up.join(TO_PACKAGES).join(package.to_string()),
        false => up.join(ACTIVE).join(package.name().as_str()).join(inside),
    }
}

/// How what stands at `place` differs from `part`, and where its content begins to.
fn unlike(
    part: &Part,
    node: &Node,
    owner: Owner,
    place: &Path,
) -> Result<(Vec<DifferenceKind>, Option<FirstByte>), IoError> {
    let mut kinds = Vec::new();
    let mut first = None;
    let of_type = |expected| DifferenceKind::Type {
        expected,
        found: (&node.kind).into(),
    };
    let mode = |expected| {
        let (expected, found) = (Mode(expected), Mode(node.mode));
        (expected != found).then_some(DifferenceKind::Mode { expected, found })
    };
    match (part, &node.kind) {
        (Part::Folder, NodeKind::Dir) => kinds.extend(mode(durable::FOLDER_MODE)),
        (Part::Folder, _) => kinds.push(of_type(FileKind::Dir)),
        (Part::Link(target), NodeKind::Symlink { target: there }) => {
            let expected = target.to_string_lossy().into_owned();
            if there.as_ref() != Some(&expected) {
                let found = there.clone();
                kinds.push(DifferenceKind::Target { expected, found });
            }
        }
        (Part::Link(_), _) => kinds.push(of_type(FileKind::Symlink)),
        (Part::File(bytes), NodeKind::File { size }) => {
            kinds.extend(mode(FILE_MODE));
            let length = bytes.len() as u64;
            let mut there = Vec::new();
            let file = regular::open(place)?;
            // Whoever put something longer there does not get it into memory.
            let read = file
                .take(length + FirstByte::SHOWN as u64)
                .read_to_end(&mut there);
            read.at("read", place)?;
            first = FirstByte::between(bytes, &there);
            let (expected, found) = (Digest::of(bytes), Digest::of(&there));
            if *size != length {
                let (expected, found) = (length, *size);
                kinds.push(DifferenceKind::Size { expected, found });
            } else if found != expected {
                kinds.push(DifferenceKind::Content { expected, found });
            }
        }
        (Part::File(_), _) => kinds.push(of_type(FileKind::File)),
    }
    if node.owner != owner && node.owner != Owner::ROOT {
        let (expected, found) = (owner, node.owner);
        kinds.push(DifferenceKind::Owner { expected, found });
    }
    let attributes = tree::attributes(place)?.into_iter();
    kinds.extend(attributes.map(|name| DifferenceKind::Attribute { name }));
    Ok((kinds, first))
}
