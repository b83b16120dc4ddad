//! Owns what the tests of this crate share: a store, and packages to put into it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use filetime::FileTime;
use schema::digest::Digest;
use schema::id::PackageId;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::facts::RESOLVED_RECIPE;
use crate::index::{Attempt, Outcome};
use crate::publish;
use crate::removal;
use crate::store::Store;
use crate::tree;

/// The time of everything in a test's package.
pub(crate) const EPOCH: i64 = 1_600_000_000;

/// A store in a folder that goes when it does.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    folder: Folder,
}

/// The folder of a store that nobody has open.
pub(crate) struct Folder {
    pub(crate) root: PathBuf,
    _temporary: TempDir,
}

/// What a test's package is made of.
pub(crate) struct Sketch {
    pub(crate) name: &'static str,
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    pub(crate) links: Vec<(&'static str, &'static str)>,
    pub(crate) requires: Vec<PackageId>,
    pub(crate) build_requires: Vec<PackageId>,
    pub(crate) source: Digest,
}

/// The resolved recipe of a package that asks for nothing but `fields`, and the store ID that follows from it.
pub(crate) fn recipe(name: &str, fields: &Value) -> (PackageId, Vec<u8>) {
    let mut recipe = json!({
        "format": 1, "sandbox": 1, "name": name, "version": "1", "variant": null, "platform": "x86_64-linux",
        "prefix": "/opt/store", "source_date_epoch": EPOCH, "files": [], "bootstrap": [], "sources": {},
        "requires": [], "build_requires": [], "environment": {}, "username": null, "group": null,
        "state_directory": false, "sysctl": {}, "roles": [], "check": true,
    });
    for (field, value) in fields.as_object().unwrap() {
        recipe[field] = value.clone();
    }
    let bytes = schema::canonical::to_bytes(&recipe).unwrap();
    let id = PackageId::new(name.parse().unwrap(), Digest::of(&bytes));
    (id, bytes)
}

impl Sketch {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            files: vec![
                ("bin/tool", name.as_bytes().to_vec()),
                ("share/empty", Vec::new()),
            ],
            links: Vec::new(),
            requires: Vec::new(),
            build_requires: Vec::new(),
            source: Digest::of(name.as_bytes()),
        }
    }

    pub(crate) fn requiring(name: &'static str, requires: &[&PackageId]) -> Self {
        Self {
            requires: requires.iter().map(|id| (*id).clone()).collect(),
            ..Self::new(name)
        }
    }

    fn recipe(&self) -> (PackageId, Vec<u8>) {
        let fields = json!({
            "version": "1.0", "requires": self.requires, "build_requires": self.build_requires, "roles": ["master"],
            "sources": {"main": {"kind": "archive", "digest": {"blake3": self.source}}},
        });
        recipe(self.name, &fields)
    }

    pub(crate) fn id(&self) -> PackageId {
        self.recipe().0
    }

    pub(crate) fn source_key(&self) -> String {
        format!("blake3-{}", self.source)
    }

    /// Lays out the package at `folder`, normalised. Files in `bin` are executable.
    pub(crate) fn stage(&self, folder: &Path) -> PackageId {
        let (id, recipe) = self.recipe();
        fs::create_dir(folder).unwrap();
        fs::write(folder.join(RESOLVED_RECIPE), recipe).unwrap();
        for (path, content) in &self.files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        for (path, target) in &self.links {
            std::os::unix::fs::symlink(target, folder.join(path)).unwrap();
        }
        normalise(folder);
        id
    }
}

/// Gives everything below `folder` the modes and times of a package.
pub(crate) fn normalise(folder: &Path) {
    for node in tree::walk(folder).unwrap().nodes.iter().rev() {
        let path = folder.join(&node.path);
        let time = FileTime::from_unix_time(EPOCH, 0);
        filetime::set_symlink_file_times(&path, time, time).unwrap();
        let mode = match node.kind {
            tree::NodeKind::Symlink { .. } => continue,
            tree::NodeKind::Dir => 0o555,
            _ if node.path.starts_with("bin/") => 0o555,
            _ => 0o444,
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

impl TestStore {
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        Folder {
            root: temporary.path().join("store"),
            _temporary: temporary,
        }
        .open()
    }

    /// Lets go of the store, as at the end of a process.
    pub(crate) fn close(self) -> Folder {
        self.folder
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.store.root().to_owned()
    }

    /// Opens the same store as another process would.
    pub(crate) fn open_again(&self) -> Store {
        Store::open(self.store.root()).unwrap()
    }

    /// Places and registers the package.
    pub(crate) fn add(&self, sketch: &Sketch) -> PackageId {
        let area = self.store.work_area("test").unwrap();
        let staged = area.path().join("package");
        let id = sketch.stage(&staged);
        let lock = self.store.lock_package(&id).unwrap();
        let mut placed = publish::place(&self.store, &staged, lock).unwrap();
        let tree = Some(placed.registration().tree);
        placed.built(Attempt {
            started_unix: 1,
            duration: Duration::from_millis(1500),
            outcome: Outcome::Succeeded,
            tree,
        });
        publish::register(&self.store, vec![placed]).unwrap();
        id
    }
}

impl Folder {
    pub(crate) fn open(self) -> TestStore {
        TestStore {
            store: Store::open_or_create(&self.root).unwrap(),
            folder: self,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Ordinary users cannot remove the read-only folders of packages in the way that `TempDir` does.
        let _ = removal::remove(&self.root.join("packages"));
    }
}
