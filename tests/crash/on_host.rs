//! Owns hosts on which commands are interrupted: what stands there before, and how it is told what they came to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::subject::{State, Subject, text};
use crate::support::TestTree;

/// A verb that changes a host with generations.
pub struct OnHost {
    pub tree: TestTree,
    /// What stands before it; copied for each run.
    pub host: PathBuf,
    /// The verb and its arguments, without `--root`.
    pub args: Vec<String>,
    /// What must be so before, and after.
    pub ends: [End; 2],
}

/// What is told of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The root digest of what is active.
    pub digest: Option<String>,
    /// The packages and generations that are there.
    pub folders: Option<BTreeSet<String>>,
}

impl OnHost {
    /// A host with two generations, of which `args` make another; both ends are found by trying.
    ///
    /// `prepare` are verbs with their arguments, which come first.
    pub fn new(prepare: &[&[&str]], args: &[&str]) -> Self {
        let tree = TestTree::new();
        let artifacts = tree.two_versions();
        let host = tree.path("host");
        let words = |args: &[&str]| -> Vec<String> {
            let word = |word: &&str| match *word {
                "FIRST" => text(&artifacts[0]).to_owned(),
                "SECOND" => text(&artifacts[1]).to_owned(),
                word => word.to_owned(),
            };
            args.iter().map(word).collect()
        };
        for args in prepare {
            run(&tree, &words(args), &host).ok();
        }
        let tried = tree.path("tried");
        if host.exists() {
            let copied = Command::new("cp").arg("-a").args([&host, &tried]).status();
            assert!(copied.unwrap().success());
        }
        let args = words(args);
        run(&tree, &args, &tried).ok();
        let ends = [end(&tree, &host, &args), end(&tree, &tried, &args)];
        assert_ne!(ends[0], ends[1], "it changes nothing");
        Self {
            tree,
            host,
            args,
            ends,
        }
    }
}

fn run(tree: &TestTree, args: &[String], root: &Path) -> crate::support::Ran {
    tree.store(&with_root(args, root))
}

/// Where the root goes in: extraction calls it otherwise.
fn with_root<'a>(args: &'a [String], root: &'a Path) -> Vec<&'a str> {
    let name = if args[0] == "artifact" { "--to" } else { "--root" };
    args.iter()
        .map(String::as_str)
        .chain([name, text(root)])
        .collect()
}

fn end(tree: &TestTree, root: &Path, args: &[String]) -> End {
    let status = || -> Value { tree.store(&["status", "--json", "--root", text(root)]).json() };
    let there = root.exists();
    let digest = there.then(|| status()["active"]["root_digest"].as_str().map(str::to_owned));
    End {
        digest: digest.flatten(),
        // Only a collection is told by what it removes: the others may add folders before they swap.
        folders: (args[0] == "gc").then(|| folders(root)),
    }
}

fn folders(root: &Path) -> BTreeSet<String> {
    let inside = |name: &str| fs::read_dir(root.join(name)).into_iter().flatten().flatten();
    let names = ["packages", "generations"].into_iter().flat_map(inside);
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

impl Subject for OnHost {
    fn host(&self) -> &Path {
        &self.host
    }

    fn command(&self, root: &Path) -> Command {
        self.tree.command(&with_root(&self.args, root))
    }

    fn state(&self, root: &Path) -> Result<State, String> {
        // Nothing was there before, and nothing to speak of is now.
        if !root.join("packages").exists() && !self.host.exists() {
            return Ok(State::Old);
        }
        let verified = self.tree.store(&["verify", "--root", text(root)]);
        let nothing_yet = self.ends[0].digest.is_none() && !root.join("current").exists();
        if verified.code != Some(0) && !nothing_yet {
            return Err(format!("it is not sound: {verified:?}"));
        }
        let found = end(&self.tree, root, &self.args);
        let [old, new] = &self.ends;
        match found {
            found if found == *new => Ok(State::New),
            found if found.digest == old.digest => Ok(State::Old),
            found => Err(format!("it is neither old nor new: {found:?}")),
        }
    }

    fn is_durable(&self) -> bool {
        true
    }
}
