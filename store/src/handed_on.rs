//! Owns which folders others get to see: stores, hosts, deliveries, binary caches and trees of recipes, where no secret may
//! lie.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::host::{GENERATIONS, MANIFEST};
use crate::places::{ARCHIVES, PACKAGES, TREES};
use crate::store::{FORMAT_FILE, INDEX_FILE};
use schema::recipe_parse::BUILDINFO;

/// What configuring writes last into a delivery, and hosts read first.
const DELIVERY_INDEX: &str = "index.json";
/// What hosts fetch from a delivery and run.
const INSTALL_SCRIPT: &str = "install.sh";
/// What says what a tree of recipes is; its files are kept in stores, where anybody may read them.
const TREEINFO: &str = "treeinfo.json";

/// How the file of a secret key begins in minisign's format.
const COMMENT: &[u8] = b"untrusted comment:";
/// The length of such a key in base64, with a password or without; public keys and signatures are shorter.
const SECRET: usize = 212;

/// A folder whose content is handed on: served, pushed, copied to hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedOn {
    kind: Kind,
    folder: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Store,
    Host,
    Delivery,
    Cache,
    Recipes,
}

/// Whether `content` is that of a secret key's file, with a password or without.
pub fn is_secret_key(content: &[u8]) -> bool {
    let key = content.split(|byte| *byte == b'\n').nth(1).unwrap_or_default();
    content.starts_with(COMMENT) && key.trim_ascii().len() == SECRET
}

impl HandedOn {
    /// The folder that `file` would be handed on with, however it is reached: through links, and whether it is there yet or not.
    pub fn around(file: &Path) -> Option<Self> {
        Self::above(file, Self::at)
    }

    /// The binary cache that `folder` is about to become, if `file` lies in it.
    pub fn in_cache_to_be(folder: &Path, file: &Path) -> Option<Self> {
        let folder = folder.canonicalize().ok()?;
        let cache = |folder: &Path| Self {
            kind: Kind::Cache,
            folder: folder.to_owned(),
        };
        Self::above(file, |above| (above == folder).then(|| cache(above)))
    }

    /// What `at` finds of the folders above `file`.
    fn above(file: &Path, at: impl Fn(&Path) -> Option<Self>) -> Option<Self> {
        // Behind `..` a folder on the way need not be one that the file is in.
        let above = match file.components().any(|part| part == Component::ParentDir) {
            true => 1,
            false => usize::MAX,
        };
        // A link inside such a folder hands on what it leads to, and one that leads into it does not make it private.
        let mut ways = file.ancestors().skip(1).take(above).chain([file]);
        ways.find_map(|path| {
            let resolved = path.ancestors().find_map(|known| known.canonicalize().ok())?;
            resolved.ancestors().find_map(&at)
        })
    }

    fn at(folder: &Path) -> Option<Self> {
        let kind = Kind::of(folder)?;
        let folder = folder.to_owned();
        Some(Self { kind, folder })
    }
}

impl Kind {
    /// By more than the one file that may be missing where something is damaged.
    fn of(folder: &Path) -> Option<Self> {
        let has = |name: &str| folder.join(name).exists();
        let has_folder = |name: &str| folder.join(name).is_dir();
        if has_folder(PACKAGES) && (has(INDEX_FILE) || has(FORMAT_FILE)) {
            return Some(Self::Store);
        }
        if has_folder(PACKAGES) && (has_folder(GENERATIONS) || has_folder(TREES)) {
            return Some(Self::Host);
        }
        if has(DELIVERY_INDEX) && (has(INSTALL_SCRIPT) || has(MANIFEST)) {
            return Some(Self::Delivery);
        }
        if has(TREEINFO) || has(BUILDINFO) {
            return Some(Self::Recipes);
        }
        (has_folder(TREES) && has_folder(ARCHIVES)).then_some(Self::Cache)
    }
}

impl fmt::Display for HandedOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Store => "store",
            Kind::Host => "host",
            Kind::Delivery => "delivery",
            Kind::Cache => "binary cache",
            Kind::Recipes => "tree of recipes",
        };
        write!(f, "the {kind} {}", self.folder.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn kind_around(file: &Path) -> Option<Kind> {
        HandedOn::around(file).map(|found| found.kind)
    }

    #[test]
    fn each_kind_of_folder_is_known_with_any_one_of_its_files_missing() {
        for (folders, files, kind) in [
            (&["packages"][..], &["format"][..], Some(Kind::Store)),
            (&["packages"], &["index.sqlite"], Some(Kind::Store)),
            (&["packages", "generations"], &[], Some(Kind::Host)),
            (&["packages", "trees"], &["manifest.json"], Some(Kind::Host)),
            (&[], &["index.json", "install.sh"], Some(Kind::Delivery)),
            (&[], &["index.json", "manifest.json"], Some(Kind::Delivery)),
            (&["trees", "archives"], &[], Some(Kind::Cache)),
            (&[], &["treeinfo.json"], Some(Kind::Recipes)),
            (&[], &["buildinfo.json"], Some(Kind::Recipes)),
            // A repository of anything else.
            (&["packages"], &["manifest.json"], None),
            (&["archives"], &["index.json", "format"], None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for name in folders {
                fs::create_dir(folder.path().join(name)).unwrap();
            }
            for name in files {
                fs::write(folder.path().join(name), "").unwrap();
            }
            let found = kind_around(&folder.path().join("deeper/still/key"));
            assert_eq!(found, kind, "{folders:?} {files:?}");
        }
    }

    #[test]
    fn links_lead_to_a_folder_and_out_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, private) = (folder.path().join("store"), folder.path().join("private"));
        for path in [&store.join("packages"), &store.join("tmp"), &private] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(store.join("format"), "1").unwrap();
        symlink(store.join("packages"), private.join("folder")).unwrap();
        fs::write(store.join("tmp/key"), "").unwrap();
        symlink(store.join("tmp/key"), private.join("file")).unwrap();
        fs::write(private.join("key"), "").unwrap();
        symlink(private.join("key"), store.join("link")).unwrap();
        fs::create_dir(private.join("deeper")).unwrap();
        symlink(&private, store.join("out")).unwrap();
        for inside in [
            "private/folder/key",
            "private/folder/../tmp/key",
            "private/file",
            "store/link",
            "store/out/key",
            "store/out/deeper/key",
        ] {
            assert_eq!(
                kind_around(&folder.path().join(inside)),
                Some(Kind::Store),
                "{inside}"
            );
        }
        for beside in ["private/key", "store/../private/key"] {
            assert_eq!(kind_around(&folder.path().join(beside)), None, "{beside}");
        }
    }
}
