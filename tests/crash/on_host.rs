//! Owns hosts on which commands are interrupted: what stands there before, and how it is told what they came to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::subject::{State, Subject};
use crate::support::{Ran, TestTree, text};

/// Where hosts of a test stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a folder of their own, with nothing around them.
    Alone,
    /// In their place in the files of a system, which get users, units and settings.
    InImage,
}

impl Place {
    /// The prefix of the host that was laid at `folder`.
    fn root(self, folder: &Path) -> PathBuf {
        match self {
            Self::Alone => folder.to_owned(),
            Self::InImage => folder.join("opt/store"),
        }
    }
}

/// A verb that changes a host with generations.
pub struct OnHost {
    pub tree: TestTree,
    pub place: Place,
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
    /// The files of the system around it, by path.
    pub around: BTreeMap<PathBuf, String>,
}

impl OnHost {
    /// A host with two generations, of which `args` make another; both ends are found by trying.
    ///
    /// `prepare` are verbs with their arguments, which come first.
    pub fn new(place: Place, prepare: &[&[&str]], args: &[&str]) -> Self {
        let tree = TestTree::new();
        let artifacts = match place {
            Place::Alone => tree.two_versions(),
            Place::InImage => two_versions_with_units(&tree),
        };
        let host = tree.path("host");
        if place == Place::InImage {
            // The users are there: those who make them are other programs, which look after themselves.
            let users = [("root", 0), ("user1", 101), ("user2", 102)];
            let passwd = users.map(|(name, number)| format!("{name}:x:{number}:{number}::/:/bin/sh\n"));
            let group = users.map(|(name, number)| format!("{name}:x:{number}:\n"));
            tree.file("host/etc/passwd", &passwd.concat());
            tree.file("host/etc/group", &group.concat());
        }
        let words = |args: &[&str]| -> Vec<String> {
            let word = |word: &&str| match *word {
                "FIRST" => text(&artifacts[0]).to_owned(),
                "SECOND" => text(&artifacts[1]).to_owned(),
                word => word.to_owned(),
            };
            args.iter().map(word).collect()
        };
        for args in prepare {
            run(&tree, &words(args), &place.root(&host)).ok();
        }
        let tried = tree.path("tried");
        if host.exists() {
            let copied = Command::new("cp").arg("-a").args([&host, &tried]).status();
            assert!(copied.unwrap().success());
        }
        let args = words(args);
        run(&tree, &args, &place.root(&tried)).ok();
        let ends = [&host, &tried].map(|folder| end(&tree, place, folder, &args));
        assert_ne!(ends[0], ends[1], "it changes nothing");
        let unit = Path::new("etc/systemd/system/app.service");
        assert_eq!(ends[1].around.contains_key(unit), place == Place::InImage);
        Self {
            tree,
            place,
            host,
            args,
            ends,
        }
    }
}

/// The same as [`TestTree::two_versions`], with units, users, settings and folders for what changes.
fn two_versions_with_units(tree: &TestTree) -> [PathBuf; 2] {
    let unit = |what: &str| format!("[Unit]\nDescription={what}\n[Service]\nExecStart=/opt/store/bin/app\n");
    let wanted = |name: &str| format!("multi-user.target.wants/{name}.service");
    let version = |number: &str, other: &str| {
        let mut info = json!({ "version": number, "sysctl": { "app": { "vm.swappiness": number } } });
        // Only root can give folders away.
        if nix::unistd::geteuid().is_root() {
            info["username"] = json!(format!("user{number}"));
            info["state_directory"] = json!(true);
        }
        let files = [(wanted("app"), unit(number)), (wanted(other), unit(other))];
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        tree.seed("app", info, &[&files[..], &[("bin/app", number)]].concat());
        tree.small_artifact(number, &["app"])
    };
    [version("1", "gone"), version("2", "come")]
}

fn run(tree: &TestTree, args: &[String], root: &Path) -> Ran {
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

fn end(tree: &TestTree, place: Place, folder: &Path, args: &[String]) -> End {
    let root = &place.root(folder);
    let status = || -> Value { tree.store(&["status", "--json", "--root", text(root)]).json() };
    let there = root.join("packages").exists();
    let digest = there.then(|| status()["active"]["root_digest"].as_str().map(str::to_owned));
    let mut around = BTreeMap::new();
    if place == Place::InImage {
        ["etc", "var"]
            .iter()
            .for_each(|name| look(folder, &folder.join(name), &mut around));
    }
    End {
        digest: digest.flatten(),
        // Only a collection is told by what it removes: the others may add folders before they swap.
        folders: (args[0] == "gc").then(|| folders(root)),
        around,
    }
}

/// Adds what is at `path`, and inside it.
fn look(top: &Path, path: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let name = path.strip_prefix(top).unwrap().to_owned();
    let what = match fs::symlink_metadata(path) {
        Err(_) => return,
        Ok(metadata) if metadata.is_symlink() => fs::read_link(path).unwrap().display().to_string(),
        Ok(metadata) if metadata.is_file() => fs::read_to_string(path).unwrap(),
        Ok(metadata) => {
            let inside = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
            inside.for_each(|path| look(top, &path, found));
            format!("{:o} {} {}", metadata.mode(), metadata.uid(), metadata.gid())
        }
    };
    found.insert(name, what);
}

fn folders(root: &Path) -> BTreeSet<String> {
    let inside = |name: &str| fs::read_dir(root.join(name)).into_iter().flatten().flatten();
    let names = ["packages", "generations"].into_iter().flat_map(inside);
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

/// Whether all that a verification names are links around the host that do not belong to what is active.
fn differs_by_links_alone(said: &str) -> bool {
    let lines: Vec<&str> = said.lines().collect();
    // The last line counts them.
    let differences = lines.split_last().map(|(_, differences)| differences);
    differences.unwrap_or_default().iter().all(|line| {
        line.starts_with("/etc/systemd/system/")
            && line.ends_with(": a symbolic link that does not belong there")
    })
}

impl Subject for OnHost {
    fn host(&self) -> &Path {
        &self.host
    }

    fn root(&self, folder: &Path) -> PathBuf {
        self.place.root(folder)
    }

    fn command(&self, folder: &Path) -> Command {
        self.tree.command(&with_root(&self.args, &self.root(folder)))
    }

    fn state(&self, folder: &Path) -> Result<State, String> {
        let root = self.root(folder);
        // Nothing was there before, and nothing to speak of is now.
        if !root.join("packages").exists() && !self.root(&self.host).exists() {
            return Ok(State::Old);
        }
        let verified = self.tree.store(&["verify", "--root", text(&root)]);
        let nothing_yet = self.ends[0].digest.is_none() && !root.join("current").exists();
        let found = end(&self.tree, self.place, folder, &self.args);
        let [old, new] = &self.ends;
        let is_sound = match verified.code {
            Some(0) => true,
            // Before the swap, links of units to come are there already; the next run uses them or takes them away.
            Some(3) => found != *new && differs_by_links_alone(&verified.stdout),
            _ => false,
        };
        if !is_sound && !nothing_yet {
            return Err(format!("it is not sound: {verified:?}"));
        }
        match found {
            found if found == *new => Ok(State::New),
            // Until the note is gone, the system around it may be on its way.
            found if found.digest == new.digest && root.join("pending").exists() => Ok(State::New),
            found if found.digest == old.digest => Ok(State::Old),
            found => Err(format!("it is neither old nor new: {found:?}")),
        }
    }

    fn is_durable(&self) -> bool {
        true
    }
}
