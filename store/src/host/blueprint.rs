//! Owns what a generation's folder holds, to the last byte: how it is worked out, laid out and compared.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use schema::digest::Digest;
use schema::generation::Generation;
use schema::id::PackageId;

use super::layout::Layout;
use super::members::{self, Wishes};
use super::{ACTIVE, Finding, Host, HostError, Manifest, durable, files, units};
use crate::activation::{Activation, ActivationError, Item};
use crate::io_error::{IoContext, IoError};
use crate::listing;
use crate::publish::FILE_MODE;
use crate::tree::{self, NodeKind};
use crate::verify::{Difference, DifferenceKind, FileKind};

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

impl Blueprint {
    /// Works out what `generation`, made from `manifest`, is on `host`, from the packages that are there.
    ///
    /// # Errors
    /// [`HostError::Findings`] with everything that keeps it from being laid out.
    pub fn draw(host: &Host, generation: Generation, manifest: &Manifest) -> Result<Self, HostError> {
        let (members, mut findings) = members::read(host, &generation);
        let (wishes, wrong) = members::wishes(&members);
        findings.extend(wrong);
        let folders: Vec<_> = members
            .into_iter()
            .map(|member| (member.id, member.folder))
            .collect();
        let activation = match Activation::for_host(&folders, &generation.role_set()) {
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
    pub fn layout(&self, host: &Host, number: u64) -> Layout {
        let folder = host.generation_folder(number);
        let heal = files::heal_unit(&self.generation.prefix);
        let mut layout = self.layout.clone();
        layout.number = number;
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
        let mut add = |path: &Path, kind| differences.push(difference(&shown.join(path), kind));
        for odd in &walk.odd_names {
            add(odd, DifferenceKind::Name);
        }
        let found: BTreeMap<&Path, &tree::Node> = walk
            .nodes
            .iter()
            .map(|node| (Path::new(&node.path), node))
            .collect();
        for (path, node) in &found {
            match self.parts.get(*path) {
                None => add(
                    path,
                    DifferenceKind::Extra {
                        found: (&node.kind).into(),
                    },
                ),
                Some(part) => {
                    if let Some(kind) = unlike(part, &node.kind, &folder.join(path))? {
                        add(path, kind);
                    }
                }
            }
        }
        for path in self
            .parts
            .keys()
            .filter(|path| !found.contains_key(path.as_path()))
        {
            add(path, DifferenceKind::Missing);
        }
        Ok(differences)
    }
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

fn unlike(part: &Part, found: &NodeKind, place: &Path) -> Result<Option<DifferenceKind>, IoError> {
    let of_type = |expected| DifferenceKind::Type {
        expected,
        found: found.into(),
    };
    Ok(match (part, found) {
        (Part::Folder, NodeKind::Dir) => None,
        (Part::Folder, _) => Some(of_type(FileKind::Dir)),
        (Part::Link(target), NodeKind::Symlink { target: there }) => {
            let expected = target.to_string_lossy().into_owned();
            let found = there.clone();
            (found.as_ref() != Some(&expected)).then_some(DifferenceKind::Target { expected, found })
        }
        (Part::Link(_), _) => Some(of_type(FileKind::Symlink)),
        (Part::File(bytes), NodeKind::File { .. }) => {
            let (expected, (found, _)) = (Digest::of(bytes), listing::hash_file(place, &mut |_| {})?);
            (found != expected).then_some(DifferenceKind::Content { expected, found })
        }
        (Part::File(_), _) => Some(of_type(FileKind::File)),
    })
}
