//! Owns how packages are laid over each other: which links make many packages look like one `bin/`, `lib/`, `etc/`, ….
//!
//! A folder that only one package brings is one link; a folder that several bring is a folder of links, and so on
//! down. Sandboxes and hosts are laid out from the same [`Activation`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use schema::id::PackageId;
use schema::name::RoleName;

use crate::io_error::{IoContext, IoError};

pub mod content;
pub mod roles;

use content::{Content, Shape};
use roles::Top;

/// The folders of a package that are activated; everything else is reached through `active/<name>`.
pub const FOLDERS: [&str; 5] = ["bin", "etc", "include", "lib", "share"];

/// Holds one link for each package, named as the package.
const ACTIVE: &str = "active";

/// Packages that cannot be activated, or not together.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// Two packages bring the same path; every such path is listed.
    #[error("{}", list(.0))]
    Conflicts(Vec<Conflict>),
    /// A package cannot be looked through, or a link cannot be made.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// One path that two packages bring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("`{}` is brought by both {first} and {second}", path.display())]
pub struct Conflict {
    /// The path, relative to the prefix.
    pub path: PathBuf,
    /// The package that sorts first.
    pub first: PackageId,
    /// Another one.
    pub second: PackageId,
}

fn list(conflicts: &[Conflict]) -> String {
    let lines: Vec<String> = conflicts.iter().map(Conflict::to_string).collect();
    lines.join("\n")
}

/// One thing to make below the prefix or below a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A folder of its own, since several packages bring it.
    Folder,
    /// A link to what one package brings.
    Link {
        /// The package.
        package: PackageId,
        /// What is linked to, relative to the package's folder; empty for the folder itself.
        inside: PathBuf,
    },
}

/// The folders and links that activate a set of packages.
#[derive(Debug)]
pub struct Activation {
    /// By path relative to the prefix, so that a folder comes before what is in it.
    items: BTreeMap<PathBuf, Item>,
    folders: BTreeMap<PackageId, PathBuf>,
}

impl Activation {
    /// Looks through `packages`, each given with the folder it lies in now, as every host has them whatever its roles.
    ///
    /// # Errors
    /// When two of them bring the same path or have the same name, or when one cannot be read.
    pub fn of(packages: &[(PackageId, PathBuf)]) -> Result<Self, ActivationError> {
        let packages = packages.iter();
        let packages = packages.map(|(id, folder)| (id.clone(), Content::of_folder(folder.clone())));
        Self::merge(packages.collect(), |_| Ok(FOLDERS.map(Top::plain).into()))
    }

    /// The same for a host of these roles, given what each package brings: what stands in `bin_<role>` belongs into `bin`,
    /// and so on; what stands in `<target>.wants` or `<target>.wants_<role>` is a systemd unit and belongs into
    /// `systemd/<target>.wants`.
    ///
    /// # Errors
    /// As [`Activation::of`].
    pub fn for_host(
        packages: Vec<(PackageId, Content)>,
        roles: &BTreeSet<RoleName>,
    ) -> Result<Self, ActivationError> {
        let mut activation = Self::merge(packages, |content| {
            let tops = roles::tops(content)?.into_iter();
            Ok(tops.filter(|top| top.is_for(roles)).collect())
        })?;
        // A host's own links lead to each of them, whether a package brings it or not.
        for name in FOLDERS {
            activation.items.entry(name.into()).or_insert(Item::Folder);
        }
        Ok(activation)
    }

    fn merge(
        mut packages: Vec<(PackageId, Content)>,
        tops: impl Fn(&Content) -> Result<Vec<Top>, IoError>,
    ) -> Result<Self, ActivationError> {
        let place = |(id, content): &(PackageId, Content)| (id.clone(), content.folder.clone());
        packages.sort_by_cached_key(place);
        packages.dedup_by_key(|package| place(package));
        let mut merge = Merge::default();
        merge.items.insert(ACTIVE.into(), Item::Folder);
        let mut claims: BTreeMap<OsString, Vec<Claim<'_>>> = BTreeMap::new();
        let mut units: BTreeMap<PathBuf, Vec<Claim<'_>>> = BTreeMap::new();
        for (id, content) in &packages {
            merge.name(id);
            for top in tops(content)? {
                let Some(claim) = Claim::at(id, content, top.inside)? else {
                    continue;
                };
                match top.units {
                    true => units.entry(top.place).or_default().push(claim),
                    false => claims.entry(top.place.into()).or_default().push(claim),
                }
            }
        }
        merge.level(Path::new(""), claims)?;
        merge.units(units)?;
        if !merge.conflicts.is_empty() {
            return Err(ActivationError::Conflicts(merge.conflicts));
        }
        let folders = packages.into_iter().map(|(id, content)| (id, content.folder));
        Ok(Self {
            items: merge.items,
            folders: folders.collect(),
        })
    }

    /// What is to be made, sorted by path; a folder comes before what is in it.
    pub fn items(&self) -> impl Iterator<Item = (&Path, &Item)> {
        self.items.iter().map(|(path, item)| (path.as_path(), item))
    }

    /// Whether there is anything at `path`, given relative to the prefix, e.g. `bin/sh`.
    pub fn provides(&self, path: &Path) -> bool {
        let is_folder = || self.items.get(path) == Some(&Item::Folder);
        self.behind(path).is_some() || is_folder()
    }

    /// Where in a package that lies which is reached at `path`, e.g. `bin/sh`; nothing for folders of several packages.
    pub fn behind(&self, path: &Path) -> Option<PathBuf> {
        path.ancestors().find_map(|above| {
            let Item::Link { package, inside } = self.items.get(above)? else {
                return None;
            };
            let rest = path.strip_prefix(above).unwrap_or(Path::new(""));
            let folder = self.folders.get(package)?;
            // With nothing behind it `join` would add a slash, which follows a link.
            let there = match rest.as_os_str().is_empty() {
                true => folder.join(inside),
                false => folder.join(inside).join(rest),
            };
            fs::symlink_metadata(&there).ok().map(|_| there)
        })
    }

    /// Makes the folders and links below `dest`, which exists. `packages` is the way from `dest` to the folder of
    /// all packages, e.g. `packages`, or `../../packages` for a generation.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, dest: &Path, packages: &Path) -> Result<(), ActivationError> {
        for (path, item) in self.items() {
            let place = dest.join(path);
            match link_target(path, item, packages) {
                None => fs::create_dir(&place).at("create", &place)?,
                Some(target) => symlink(target, &place).at("link", &place)?,
            }
        }
        Ok(())
    }
}

/// Where the link for `item` at `path` points, relative to the link; `None` for a folder.
pub fn link_target(path: &Path, item: &Item, packages: &Path) -> Option<PathBuf> {
    let Item::Link { package, inside } = item else {
        return None;
    };
    let depth = path.components().count().saturating_sub(1);
    let mut target: PathBuf = std::iter::repeat_n("..", depth).collect();
    target.push(packages);
    target.push(package.to_string());
    // Pushing nothing would add a slash.
    if !inside.as_os_str().is_empty() {
        target.push(inside);
    }
    Some(target)
}

/// What one package brings at a path.
#[derive(Clone)]
struct Claim<'a> {
    id: &'a PackageId,
    content: &'a Content,
    /// Where it lies, relative to the package's folder.
    inside: PathBuf,
    shape: Shape,
}

impl<'a> Claim<'a> {
    fn at(id: &'a PackageId, content: &'a Content, inside: PathBuf) -> Result<Option<Self>, IoError> {
        let shape = content.at(&inside)?;
        Ok(shape.map(|shape| Self {
            id,
            content,
            inside,
            shape,
        }))
    }

    fn is_folder(&self) -> bool {
        self.shape == Shape::Folder
    }
}

#[derive(Default)]
struct Merge {
    items: BTreeMap<PathBuf, Item>,
    conflicts: Vec<Conflict>,
}

impl Merge {
    fn name(&mut self, id: &PackageId) {
        let path = Path::new(ACTIVE).join(id.name().as_str());
        let link = Item::Link {
            package: id.clone(),
            inside: PathBuf::new(),
        };
        match self.items.get(&path) {
            Some(Item::Link { package, .. }) => self.conflicts.push(Conflict {
                path,
                first: package.clone(),
                second: id.clone(),
            }),
            _ => {
                self.items.insert(path, link);
            }
        }
    }

    /// Lays out the folders of units, each a folder of its own, since the store adds units too.
    fn units(&mut self, folders: BTreeMap<PathBuf, Vec<Claim<'_>>>) -> Result<(), IoError> {
        for (path, claims) in folders {
            let claims: Vec<_> = claims.into_iter().filter(Claim::is_folder).collect();
            for above in path.ancestors().filter(|above| !above.as_os_str().is_empty()) {
                self.items.insert(above.to_owned(), Item::Folder);
            }
            self.level(&path, below(&claims)?)?;
        }
        Ok(())
    }

    /// Lays out one folder, given who brings what in it.
    fn level(&mut self, path: &Path, claims: BTreeMap<OsString, Vec<Claim<'_>>>) -> Result<(), IoError> {
        for (name, claims) in claims {
            let path = path.join(name);
            match claims.as_slice() {
                [] => {}
                [only] => {
                    let link = Item::Link {
                        package: only.id.clone(),
                        inside: only.inside.clone(),
                    };
                    self.items.insert(path, link);
                }
                many if many.iter().all(Claim::is_folder) => {
                    let below = below(many)?;
                    self.items.insert(path.clone(), Item::Folder);
                    self.level(&path, below)?;
                }
                [first, second, ..] => self.conflicts.push(Conflict {
                    path,
                    first: first.id.clone(),
                    second: second.id.clone(),
                }),
            }
        }
        Ok(())
    }
}

/// Who brings what in the folder that all of `claims` bring.
fn below<'a>(claims: &[Claim<'a>]) -> Result<BTreeMap<OsString, Vec<Claim<'a>>>, IoError> {
    let mut below: BTreeMap<OsString, Vec<Claim<'a>>> = BTreeMap::new();
    for claim in claims {
        for (name, shape) in claim.content.below(&claim.inside)? {
            let inside = claim.inside.join(&name);
            below.entry(name).or_default().push(Claim {
                inside,
                shape,
                ..*claim
            });
        }
    }
    Ok(below)
}

#[cfg(test)]
mod tests;
