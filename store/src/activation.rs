//! Owns how packages are laid over each other: which links make many packages look like one `bin/`, `lib/`, `etc/`, ….
//!
//! A folder that only one package brings is one link; a folder that several bring is a folder of links, and so on
//! down. Sandboxes and hosts are laid out from the same [`Activation`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use schema::id::PackageId;

use crate::io_error::{IoContext, IoError};

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
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// Looks through `packages`, each given with the folder it lies in now.
    ///
    /// # Errors
    /// When two of them bring the same path or have the same name, or when one cannot be read.
    pub fn of(packages: &[(PackageId, PathBuf)]) -> Result<Self, ActivationError> {
        let mut sorted: Vec<&(PackageId, PathBuf)> = packages.iter().collect();
        sorted.sort();
        sorted.dedup();
        let mut merge = Merge::default();
        merge.items.insert(ACTIVE.into(), Item::Folder);
        let mut claims: BTreeMap<OsString, Vec<Claim<'_>>> = BTreeMap::new();
        for (id, folder) in &sorted {
            merge.name(id);
            for name in FOLDERS {
                if let Some(claim) = Claim::at(id, folder, Path::new(name))? {
                    claims.entry(name.into()).or_default().push(claim);
                }
            }
        }
        merge.level(Path::new(""), claims)?;
        if !merge.conflicts.is_empty() {
            return Err(ActivationError::Conflicts(merge.conflicts));
        }
        let folders = sorted
            .into_iter()
            .map(|(id, folder)| (id.clone(), folder.clone()));
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
        path.ancestors().any(|above| match self.items.get(above) {
            None => false,
            Some(Item::Folder) => above == path,
            Some(Item::Link { package, inside }) => {
                let rest = path.strip_prefix(above).unwrap_or(Path::new(""));
                let folder = self.folders.get(package);
                // With nothing behind it `join` would add a slash, which follows a link.
                folder.is_some_and(|folder| {
                    let there = match rest.as_os_str().is_empty() {
                        true => folder.join(inside),
                        false => folder.join(inside).join(rest),
                    };
                    fs::symlink_metadata(there).is_ok()
                })
            }
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
#[derive(Clone, Copy)]
struct Claim<'a> {
    id: &'a PackageId,
    folder: &'a Path,
    is_dir: bool,
}

impl<'a> Claim<'a> {
    fn at(id: &'a PackageId, folder: &'a Path, path: &Path) -> Result<Option<Self>, IoError> {
        let place = folder.join(path);
        match fs::symlink_metadata(&place) {
            Ok(found) => Ok(Some(Self {
                id,
                folder,
                is_dir: found.is_dir(),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).at("look at", place),
        }
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

    /// Lays out one folder, given who brings what in it.
    fn level(&mut self, path: &Path, claims: BTreeMap<OsString, Vec<Claim<'_>>>) -> Result<(), IoError> {
        for (name, claims) in claims {
            let path = path.join(name);
            match claims.as_slice() {
                [] => {}
                [only] => {
                    let link = Item::Link {
                        package: only.id.clone(),
                        inside: path.clone(),
                    };
                    self.items.insert(path, link);
                }
                many if many.iter().all(|claim| claim.is_dir) => {
                    let below = below(&path, many)?;
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

/// Who brings what in the folder `path`, which all of `claims` bring.
fn below<'a>(path: &Path, claims: &[Claim<'a>]) -> Result<BTreeMap<OsString, Vec<Claim<'a>>>, IoError> {
    let mut below: BTreeMap<OsString, Vec<Claim<'a>>> = BTreeMap::new();
    for claim in claims {
        let folder = claim.folder.join(path);
        for entry in fs::read_dir(&folder).at("read", &folder)? {
            let entry = entry.at("read", &folder)?;
            let is_dir = entry.file_type().at("look at", &folder)?.is_dir();
            let claim = Claim { is_dir, ..*claim };
            below.entry(entry.file_name()).or_default().push(claim);
        }
    }
    Ok(below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::digest::Digest;
    use std::collections::BTreeSet;
    use tempfile::TempDir;

    struct World {
        dir: TempDir,
        packages: Vec<(PackageId, PathBuf)>,
    }

    impl World {
        fn new(packages: &[(&str, &[&str])]) -> Self {
            let dir = TempDir::new().unwrap();
            let lay = |(name, files): &(&str, &[&str])| {
                let id = PackageId::new(name.parse().unwrap(), Digest::of(name.as_bytes()));
                let folder = dir.path().join("packages").join(id.to_string());
                fs::create_dir_all(&folder).unwrap();
                for file in *files {
                    let file = folder.join(file);
                    fs::create_dir_all(file.parent().unwrap()).unwrap();
                    fs::write(file, name).unwrap();
                }
                (id, folder)
            };
            let packages = packages.iter().map(lay).collect();
            Self { dir, packages }
        }

        fn written(&self, dest: &str, packages: &str) -> PathBuf {
            let dest = self.dir.path().join(dest);
            fs::create_dir_all(&dest).unwrap();
            let activation = Activation::of(&self.packages).unwrap();
            activation.write(&dest, Path::new(packages)).unwrap();
            dest
        }
    }

    #[test]
    fn every_file_is_reached_through_the_prefix_and_through_a_generation() {
        let world = World::new(&[
            ("a", &["bin/a", "share/man/man1/a.1", "lib/x/deep/a", "other/a"]),
            ("b", &["bin/b", "share/man/man1/b.1", "lib/x/b"]),
            ("c", &["etc/c"]),
        ]);
        for (dest, packages) in [("", "packages"), ("generations/7", "../../packages")] {
            let dest = world.written(dest, packages);
            let files = [
                ("bin/a", "a"),
                ("bin/b", "b"),
                ("share/man/man1/a.1", "a"),
                ("share/man/man1/b.1", "b"),
                ("lib/x/deep/a", "a"),
                ("lib/x/b", "b"),
                ("etc/c", "c"),
                ("active/a/other/a", "a"),
            ];
            for (file, content) in files {
                assert_eq!(fs::read_to_string(dest.join(file)).unwrap(), content, "{file}");
            }
            assert!(!dest.join("other").exists());
        }
    }

    #[test]
    fn what_one_package_brings_alone_is_one_link() {
        let world = World::new(&[("a", &["bin/a", "lib/x/1", "lib/y"]), ("b", &["lib/x2/1"])]);
        let activation = Activation::of(&world.packages).unwrap();
        let paths: BTreeSet<_> = activation
            .items()
            .map(|(path, _)| path.to_str().unwrap())
            .collect();
        let expected = [
            "active", "active/a", "active/b", "bin", "lib", "lib/x", "lib/x2", "lib/y",
        ];
        assert_eq!(paths, BTreeSet::from(expected));
    }

    #[test]
    fn every_path_that_two_bring_is_named_with_both() {
        let world = World::new(&[("a", &["bin/tool", "lib/z/x"]), ("b", &["bin/tool", "lib/z"])]);
        let Err(ActivationError::Conflicts(conflicts)) = Activation::of(&world.packages) else {
            panic!("two packages bring the same path");
        };
        let (a, b) = (&world.packages[0].0, &world.packages[1].0);
        let named: Vec<_> = conflicts.iter().map(|c| c.path.to_str().unwrap()).collect();
        assert_eq!(named, ["bin/tool", "lib/z"]);
        assert!(conflicts.iter().all(|c| (&c.first, &c.second) == (a, b)));
    }

    #[test]
    fn two_packages_of_one_name_conflict() {
        let mut world = World::new(&[("a", &["x"])]);
        let again = PackageId::new("a".parse().unwrap(), Digest::of(b"again"));
        world.packages.push((again, world.packages[0].1.clone()));
        assert!(matches!(
            Activation::of(&world.packages),
            Err(ActivationError::Conflicts(_))
        ));
    }

    #[test]
    fn what_is_provided_is_known_before_anything_is_written() {
        let world = World::new(&[("a", &["bin/sh", "lib/x/1"]), ("b", &["lib/x/2"])]);
        symlink("sh", world.packages[0].1.join("bin/dash")).unwrap();
        let activation = Activation::of(&world.packages).unwrap();
        for path in ["bin", "bin/sh", "bin/dash", "lib/x", "lib/x/2", "active/a/bin/sh"] {
            assert!(activation.provides(Path::new(path)), "{path}");
        }
        for path in ["bin/ksh", "lib/x/3", "share", "x", "active/c"] {
            assert!(!activation.provides(Path::new(path)), "{path}");
        }
    }
}
