//! Owns what tests do with hosts: installing, asking what is active, and machines that are not as they should be.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::{Ran, TestTree};

impl TestTree {
    /// Runs a verb for the host at `root`.
    pub fn on(&self, root: &Path, args: &[&str]) -> Ran {
        self.store(&[args, &["--root", root.to_str().unwrap()]].concat())
    }

    /// Installs an artifact, given by file or address, and makes it active.
    pub fn install(&self, artifact: &str, root: &Path) -> Ran {
        self.on(root, &["install", artifact])
    }

    /// The root digest of what is active on a host that is sound.
    #[track_caller]
    pub fn active(&self, root: &Path) -> String {
        self.on(root, &["verify"]).ok();
        let status: Value = self.on(root, &["status", "--json"]).json();
        status["active"]["root_digest"].as_str().unwrap().to_owned()
    }

    /// Runs a script that may mount what it likes; `$STORE` is the program and `$DIR` the folder of this tree.
    pub fn among_mounts(&self, script: &str) -> Output {
        let namespaces = if nix::unistd::geteuid().is_root() {
            "-m"
        } else {
            "-rm"
        };
        let like = self.command(&[]);
        let set = like.get_envs().filter_map(|(name, value)| Some((name, value?)));
        Command::new("unshare")
            .args([namespaces, "sh", "-euc", script])
            .current_dir(self.recipes())
            .env_clear()
            .envs(set)
            .env("DIR", self.path(""))
            .env("STORE", like.get_program())
            .output()
            .unwrap()
    }
}

/// A host on which the first of two versions is active, and the artifact of the second.
pub struct Upgrade {
    pub tree: TestTree,
    /// The host's root.
    pub host: PathBuf,
    /// The artifact that it comes from.
    pub first: String,
    /// The artifact that it is to go to.
    pub second: String,
}

impl Upgrade {
    /// Makes it.
    pub fn new() -> Self {
        let tree = TestTree::new();
        let [first, second] = tree.two_versions().map(|path| path.to_str().unwrap().to_owned());
        let host = tree.path("host");
        tree.install(&first, &host).ok();
        Self {
            tree,
            host,
            first,
            second,
        }
    }

    /// The root digest of what is active; fails the test unless the host is sound.
    #[track_caller]
    pub fn active(&self) -> String {
        self.tree.active(&self.host)
    }
}
