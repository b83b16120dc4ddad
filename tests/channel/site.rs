//! Owns what tests of channels share: a delivery with keys, a host that follows it, and ways to change what is shown.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::configure::subject::{self, configure};
use crate::support::running::Running;
use crate::support::{Ran, TestTree};

/// A delivery with keys, and a host for it.
pub struct Site {
    pub tree: TestTree,
    pub artifact: PathBuf,
}

impl Site {
    /// With keys `root`, `online` and `other`, and a delivery that is not published yet.
    pub fn new() -> Self {
        let (tree, artifact) = subject::tree();
        for key in ["root", "root2", "online", "other"] {
            tree.store(&["keygen", &text(&tree.path(key))]).ok();
        }
        let site = Self { tree, artifact };
        site.configures("web");
        site
    }

    /// Packs the artifact anew with a program that `store attest` can vouch for, the one that runs.
    pub fn carries_own_program(&self) {
        let program = fs::read(env!("CARGO_BIN_EXE_store")).unwrap();
        let packed = self.tree.artifact_of("test", "1", &["app"], &program);
        assert_eq!(packed, self.artifact);
    }

    /// Lays out a delivery that differs by `name`.
    pub fn configures(&self, name: &str) {
        self.tree.file("inputs.yaml", &format!("name: {name}\n"));
        configure(&self.tree, "inputs.yaml", &self.artifact, "out").ok();
    }

    /// `store publish` of the delivery; keys are named by their files.
    pub fn publish(&self, more: &str) -> Ran {
        self.publish_on("stable", more)
    }

    /// The same on another channel.
    pub fn publish_on(&self, channel: &str, more: &str) -> Ran {
        let out = text(&self.tree.path("out"));
        let is_key = |word: &str| self.tree.path(&format!("{word}.pub")).exists();
        let words = more.split_whitespace().map(|word| match is_key(word) {
            true => text(&self.tree.path(word)),
            false => word.to_owned(),
        });
        let words: Vec<String> = words.collect();
        let words = words.iter().map(String::as_str);
        let args: Vec<&str> = ["publish", &out, "--channel", channel]
            .into_iter()
            .chain(words)
            .collect();
        self.tree.store(&args)
    }

    pub fn published(&self, more: &str) -> Value {
        self.publish(&format!("{more} --json")).json()
    }

    /// Makes the channel.
    pub fn first(&self, more: &str) -> Value {
        self.published(&format!("--key online --root-key root {more}"))
    }

    pub fn channel(&self) -> PathBuf {
        self.tree.path("out/channels/stable")
    }

    pub fn metadata(&self, name: &str) -> PathBuf {
        self.channel().join("metadata").join(name)
    }

    pub fn follow(&self, channel: &str, more: &[&str]) -> Ran {
        let root = text(&self.root());
        self.tree.store(&following(channel, &root, more))
    }

    /// Begins to follow the channel.
    pub fn starts(&self, channel: &str, more: &[&str]) -> Running {
        let root = text(&self.root());
        self.tree.start(&following(channel, &root, more))
    }

    /// Follows the channel in the folder; what `trusted` says counts the first time.
    pub fn follows(&self) -> Ran {
        let trusted = text(&self.tree.path("trusted.json"));
        if !Path::new(&trusted).exists() {
            fs::copy(self.metadata("1.root.json"), &trusted).unwrap();
        }
        self.follow(&text(&self.channel()), &["--channel-root", &trusted])
    }

    pub fn root(&self) -> PathBuf {
        self.tree.path("image/opt/store")
    }

    /// The manifest that the host has; nothing when it has none.
    pub fn has(&self) -> Option<Vec<u8>> {
        fs::read(self.root().join("manifest.json")).ok()
    }

    /// The channel, as it was, comes back with `restores`.
    pub fn saves(&self, to: &str) {
        copy(&self.channel(), &self.tree.path(to));
    }

    pub fn restores(&self, from: &str) {
        fs::remove_dir_all(self.channel()).unwrap();
        copy(&self.tree.path(from), &self.channel());
    }

    /// Demands that the host refuses what the channel shows now, in these words, and stays as it is.
    pub fn refuses(&self, words: &[&str]) {
        let before = snapshot(&self.root());
        self.follows().fails(1, words);
        assert_eq!(snapshot(&self.root()), before, "{words:?}");
    }
}

fn following<'a>(channel: &'a str, root: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["install", "--channel", channel, "--root", root, "--no-activate"];
    [&fixed, more, &["--role", "agent", "--tries", "1"]].concat()
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Paths and contents of all files below `folder`.
pub fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(&next) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            match path.is_dir() && !path.is_symlink() {
                true => folders.push(path),
                false => files.push((path.clone(), fs::read(&path).unwrap_or_default())),
            }
        }
    }
    files.sort();
    files
}

pub fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut document);
    fs::write(path, serde_json::to_vec(&document).unwrap()).unwrap();
}
