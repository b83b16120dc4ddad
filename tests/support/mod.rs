//! Owns what the tests of the built binary share: tiny trees of recipes, each with a store and a home of its own.
#![allow(dead_code, reason = "each test uses some of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what goes wrong fails the test, as it should"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests start programs and look around as users do"
)]

pub mod artifacts;
pub mod damage;
pub mod dice;
pub mod forgery;
pub mod hosts;
pub mod remade;
pub mod running;
pub mod web;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};
use tempfile::TempDir;

/// The static shell of `busybox-static`, which `./dev setup` installs. Only the tests take anything from the machine.
static BUSYBOX: LazyLock<(PathBuf, Vec<String>)> = LazyLock::new(|| {
    let path = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .chain([PathBuf::from("/bin"), PathBuf::from("/usr/bin")])
        .map(|folder| folder.join("busybox"))
        .find(|path| path.exists())
        .expect("a static busybox is installed: run ./dev setup");
    let applets = Command::new(&path).arg("--list").output().unwrap();
    let applets = String::from_utf8(applets.stdout).unwrap();
    (path, applets.lines().map(str::to_owned).collect())
});

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The names of the packages in a list of a JSON document.
pub fn names(packages: &Value) -> Vec<&str> {
    let packages = packages.as_array().unwrap().iter();
    packages.map(|it| it["name"].as_str().unwrap()).collect()
}

/// A tree of recipes in a folder of its own, with the package `shell` as its toolchain.
pub struct TestTree {
    dir: TempDir,
}

impl TestTree {
    /// A tree called `test` whose only recipe is `shell`: a seed of one static program and its applets.
    pub fn new() -> Self {
        let tree = Self {
            dir: TempDir::with_prefix("store-test-").unwrap(),
        };
        tree.tree_info(&json!({
            "name": "test",
            "version": "1",
            "prefix": "/opt/store",
            "platform": "x86_64-linux",
            "source_date_epoch": 1_700_000_000,
            "toolchain": ["shell"],
        }));
        tree.file(
            "recipes/shell/buildinfo.json",
            &json!({
                "version": "1",
                "toolchain": [],
                "single_source": { "kind": "local", "path": "root" },
            })
            .to_string(),
        );
        tree.lay_shell(&tree.recipes().join("shell/root/bin"));
        fs::create_dir(tree.home()).unwrap();
        tree
    }

    /// Lays out a static shell with its applets in the folder `bin`.
    pub fn lay_shell(&self, bin: &Path) {
        let (busybox, applets) = &*BUSYBOX;
        fs::create_dir_all(bin).unwrap();
        fs::copy(busybox, bin.join("busybox")).unwrap();
        fs::set_permissions(bin.join("busybox"), Permissions::from_mode(0o755)).unwrap();
        for applet in applets.iter().filter(|applet| *applet != "busybox") {
            symlink("busybox", bin.join(applet)).unwrap();
        }
    }

    /// Writes `treeinfo.json`.
    pub fn tree_info(&self, info: &Value) -> &Self {
        self.file("recipes/treeinfo.json", &info.to_string())
    }

    /// Writes a recipe with its `build` script.
    pub fn recipe(&self, name: &str, build_info: &Value, build: &str) -> &Self {
        self.file(&format!("recipes/{name}/buildinfo.json"), &build_info.to_string());
        self.file(&format!("recipes/{name}/build"), build)
    }

    /// Writes any file, given relative to the folder that holds `recipes/`.
    pub fn file(&self, path: &str, content: &str) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// A path below this tree's own folder, which holds `recipes/`, `store/` and `home/`.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The tree of recipes.
    pub fn recipes(&self) -> PathBuf {
        self.path("recipes")
    }

    /// The store that [`TestTree::store`] works on.
    pub fn store_dir(&self) -> PathBuf {
        self.path("store")
    }

    fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// `store ARGS…`, started in the tree of recipes; the caller runs it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_store"));
        let kept = std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "TMPDIR");
        command
            .args(args)
            .current_dir(self.recipes())
            .stdin(Stdio::null());
        command
            .env_clear()
            .envs(kept)
            .env("HOME", self.home())
            .env("STORE_DIR", self.store_dir());
        command
    }

    /// Runs `store ARGS…` to its end.
    pub fn store(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().unwrap();
        Ran::new(args, output)
    }

    /// The same where new files are for their owner alone.
    pub fn store_masked(&self, args: &[&str]) -> Ran {
        self.store_after("umask 077", args)
    }

    /// The same once a shell has run `first`.
    pub fn store_after(&self, first: &str, args: &[&str]) -> Ran {
        let inner = self.command(args);
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{first}; exec \"$0\" \"$@\"")])
            .arg(inner.get_program())
            .args(inner.get_args())
            .current_dir(self.recipes())
            .env_clear()
            .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Ran::new(args, command.output().unwrap())
    }

    /// The one folder in the store that holds the package `name`.
    pub fn package(&self, name: &str) -> PathBuf {
        let start = format!("{name}--");
        let is_it = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&start);
        let mut found = self.packages().into_iter().filter(is_it);
        let first = found
            .next()
            .unwrap_or_else(|| panic!("`{name}` is not in the store"));
        assert!(found.next().is_none(), "`{name}` is in the store more than once");
        first
    }

    /// The store ID that the recipes of now give `name`.
    #[track_caller]
    pub fn id(&self, name: &str) -> String {
        let shown = self.store(&["show", name, "--json"]).json();
        shown["id"].as_str().unwrap().to_owned()
    }

    /// Fails the test unless the store holds the packages `names` and nothing else, all of it as it should be.
    #[track_caller]
    pub fn holds_only(&self, names: &[&str]) {
        let mut expected: Vec<String> = names.iter().map(|name| self.id(name)).collect();
        expected.sort();
        let listed = self.store(&["list", "--json"]).json();
        let mut registered: Vec<&str> = listed["packages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|package| package["id"].as_str().unwrap())
            .collect();
        registered.sort_unstable();
        assert_eq!(registered, expected, "registered");
        let packages = self.packages();
        let folders: Vec<&str> = packages
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(folders, expected, "folders");
        self.store(&["verify"]).ok();
        assert_eq!(self.unfinished(), [] as [PathBuf; 0]);
    }

    /// Builds everything as far as it goes. Fails the test unless exactly the packages of `cases` fail, each with its
    /// words, and nothing of them is left.
    #[track_caller]
    pub fn all_fail<'c>(&self, cases: impl IntoIterator<Item = (&'c str, Vec<&'c str>)>) {
        let ran = self.store(&["build", "all", "--keep-going", "--json"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        let packages = document["packages"].as_array().unwrap().iter();
        let mut failed: BTreeMap<_, _> = packages
            .filter(|package| package["outcome"] == "failed")
            .map(|package| [&package["name"], &package["error"]].map(|text| text.as_str().unwrap()))
            .map(|[name, why]| (name, why))
            .collect();
        for (name, words) in cases {
            let why = failed
                .remove(name)
                .unwrap_or_else(|| panic!("`{name}` did not fail"));
            for word in words {
                assert!(why.contains(word), "`{name}` does not say `{word}`: {why}");
            }
        }
        assert_eq!(failed, BTreeMap::new());
        self.holds_only(&["shell"]);
    }

    /// What is in the store's `tmp` and should not outlive a run.
    pub fn unfinished(&self) -> Vec<PathBuf> {
        let tmp = self.store_dir().join("tmp");
        let inside = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let lasting = ["locks", "kept", "needs"].map(|name| tmp.join(name));
        let mut left: Vec<PathBuf> = inside(tmp.clone())
            .filter(|path| !lasting.contains(path))
            .collect();
        left.extend(lasting.into_iter().flat_map(inside));
        left.retain(|path| !path.ends_with("locks/gc"));
        left
    }

    /// Every folder of a package in the store, sorted.
    pub fn packages(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.store_dir().join("packages")) else {
            return Vec::new();
        };
        let mut packages: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        packages.sort();
        packages
    }
}

impl Drop for TestTree {
    /// Opens the folders of packages, without which an ordinary user cannot remove them.
    fn drop(&mut self) {
        let mut folders = vec![self.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            let _ = fs::set_permissions(&folder, Permissions::from_mode(0o755));
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            let is_folder = |path: &PathBuf| path.is_dir() && !path.is_symlink();
            folders.extend(entries.map(|entry| entry.path()).filter(is_folder));
        }
    }
}

/// What a run of `store` came to.
#[derive(Debug)]
pub struct Ran {
    args: String,
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed for its reader.
    pub stdout: String,
    /// What it said on the way.
    pub stderr: String,
}

impl Ran {
    fn new(args: &[&str], output: Output) -> Self {
        Self {
            args: args.join(" "),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails the test unless the run succeeded; gives its standard output.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!(
            self.code,
            Some(0),
            "`store {}`:\n{}\n{}",
            self.args,
            self.stdout,
            self.stderr
        );
        &self.stdout
    }

    /// Its standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.ok()).unwrap()
    }

    /// Fails the test unless the run ended with `code` and said each of `words` on standard error.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(
            self.code,
            Some(code),
            "`store {}`:\n{}\n{}",
            self.args,
            self.stdout,
            self.stderr
        );
        for word in words {
            assert!(
                self.stderr.contains(word),
                "`store {}` does not say `{word}`:\n{}",
                self.args,
                self.stderr
            );
        }
        self
    }
}
