//! Owns publications that are interrupted, and what hosts that follow the channel are shown then.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::subject::{State, Subject, remove};
use super::trace::{self, Fault, Point};
use crate::configure::subject as configured;
use crate::support::{Ran, TestTree, text};

/// The folder that is published, and the hosts that follow it; beside each other in the folder of a run.
const SERVED: &str = "www";
const FOLLOWER: &str = "follower";
const NEWCOMER: &str = "newcomer";

/// `store publish` of a delivery that is not published yet.
pub struct Publication {
    tree: TestTree,
    host: PathBuf,
    /// The root that hosts trust.
    trusted: PathBuf,
    /// Further arguments of the verb.
    args: Vec<String>,
    /// The manifests of the release before, and of the one that is published.
    manifests: [Option<Vec<u8>>; 2],
}

impl Publication {
    /// The publication that makes the channel.
    pub fn first() -> Self {
        Self::after(0)
    }

    /// One on a channel that has `releases` already, with a host that has the newest of them.
    pub fn after(releases: u32) -> Self {
        let (tree, artifact) = configured::tree();
        for key in ["root", "online"] {
            tree.store(&["keygen", text(&tree.path(key))]).ok();
        }
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let now = schema::timestamp::Timestamp::from_unix(now).to_string();
        let root_key = text(&tree.path("root")).to_owned();
        let mut publication = Self {
            host: tree.path("site"),
            trusted: tree.path("trusted.json"),
            // The same root in every run.
            args: ["--now", &now, "--root-key", &root_key]
                .map(str::to_owned)
                .to_vec(),
            tree,
            manifests: [None, None],
        };
        for release in 0..releases {
            publication.deliver(&artifact, release);
            publication.run(&publication.host);
            publication.trust();
            publication.follow(&publication.host, FOLLOWER).ok();
            publication.args.truncate(2);
        }
        publication.deliver(&artifact, releases);
        if releases == 0 {
            let tried = publication.tree.path("tried");
            copy(&publication.host, &tried);
            publication.run(&tried);
            let root = tried.join(SERVED).join("channels/stable/metadata/1.root.json");
            fs::copy(root, &publication.trusted).unwrap();
        }
        publication
    }

    /// Lays out the delivery with this number, which hosts do not see yet.
    fn deliver(&mut self, artifact: &Path, number: u32) {
        let name = char::from_u32('a' as u32 + number).unwrap();
        self.tree.file("inputs.yaml", &format!("name: {name}\n"));
        configured::configure(&self.tree, "inputs.yaml", artifact, &format!("site/{SERVED}")).ok();
        let manifest = fs::read(self.host.join(SERVED).join("manifest.json")).unwrap();
        let [_, before] = &mut self.manifests;
        self.manifests = [before.take(), Some(manifest)];
    }

    fn trust(&self) {
        let root = self
            .host
            .join(SERVED)
            .join("channels/stable/metadata/1.root.json");
        fs::copy(root, &self.trusted).unwrap();
    }

    fn run(&self, folder: &Path) {
        let output = self.command(folder).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn follow(&self, folder: &Path, host: &str) -> Ran {
        let channel = folder.join(SERVED).join("channels/stable");
        let fixed = ["install", "--no-activate", "--role", "agent", "--tries", "1"];
        let places = [
            ("--channel", &channel),
            ("--channel-root", &self.trusted),
            ("--root", &folder.join(host)),
        ];
        let places = places.iter().flat_map(|(name, path)| [*name, text(path)]);
        self.tree
            .store(&fixed.into_iter().chain(places).collect::<Vec<_>>())
    }

    /// Which release a host comes to have that follows the channel now; all of it is checked.
    fn shown(&self, folder: &Path, host: &str) -> Result<State, String> {
        let root = folder.join(host);
        let ran = self.follow(folder, host);
        let [old, new] = &self.manifests;
        let nothing_yet = ["there is no such file", "is neither a folder nor an address"];
        let is_there = !nothing_yet.iter().any(|words| ran.stderr.contains(words));
        if ran.code == Some(1) && old.is_none() && !is_there {
            return Ok(State::Old);
        }
        if ran.code != Some(0) {
            return Err(format!("{host} cannot follow: {ran:?}"));
        }
        let verified = self.tree.store(&["verify", "--root", text(&root)]);
        if verified.code != Some(0) {
            return Err(format!("{host} is not sound: {verified:?}"));
        }
        match fs::read(root.join("manifest.json")).ok() {
            has if has == *new => Ok(State::New),
            has if has == *old => Ok(State::Old),
            _ => Err(format!("{host} has neither the old release nor the new one")),
        }
    }
}

impl Subject for Publication {
    fn host(&self) -> &Path {
        &self.host
    }

    fn root(&self, folder: &Path) -> PathBuf {
        folder.join(SERVED)
    }

    fn command(&self, folder: &Path) -> Command {
        let (served, key) = (self.root(folder), self.tree.path("online"));
        let fixed = [
            "publish",
            text(&served),
            "--channel",
            "stable",
            "--key",
            text(&key),
        ];
        let args: Vec<&str> = fixed
            .into_iter()
            .chain(self.args.iter().map(String::as_str))
            .collect();
        self.tree.command(&args)
    }

    /// The follower remembers what it was shown from one call to the next, so nothing may go back.
    fn state(&self, folder: &Path) -> Result<State, String> {
        remove(&folder.join(NEWCOMER));
        let [follower, newcomer] = [FOLLOWER, NEWCOMER].map(|host| self.shown(folder, host));
        match (follower?, newcomer?) {
            (state, other) if state == other => Ok(state),
            other => Err(format!("hosts are shown different releases: {other:?}")),
        }
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn left_over(&self, folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.root(folder)];
        while let Some(next) = folders.pop() {
            let entries = fs::read_dir(next).into_iter().flatten().flatten();
            for path in entries.map(|entry| entry.path()) {
                let name = path.file_name().unwrap().to_str().unwrap();
                if name.contains(".partial") || name.ends_with(".old") || name.ends_with(".lock") {
                    found.push(path.clone());
                }
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                }
            }
        }
        // The release before and this one.
        let kept = ["artifacts", "targets"].map(|name| self.root(folder).join("channels/stable").join(name));
        found.extend(
            kept.into_iter()
                .filter(|folder| fs::read_dir(folder).unwrap().count() > 2),
        );
        found
    }
}

/// Publishes where the one call that swaps the old documents and the new is not supported.
pub fn without_exchange(publication: &Publication) {
    let folder = publication.tree.path("unable");
    let log = publication.tree.path("log");
    let command = publication.command(&folder);
    copy(&publication.host, &folder);
    let (_, points) = trace::points(&command, &folder, &log);
    let swaps: Vec<&Point> = points.iter().filter(|point| point.name == "renameat2").collect();
    let [swap] = swaps[..] else {
        panic!("not one exchange: {points:?}");
    };
    remove(&folder);
    copy(&publication.host, &folder);
    let fault = Fault::Error("EINVAL");
    let ended = trace::run_to(&command, swap, [&folder, &folder], fault, &log);
    assert!(ended.hit && ended.code == Some(0), "{ended:?}");
    assert_eq!(publication.state(&folder), Ok(State::New));
    assert_eq!(publication.left_over(&folder), [] as [PathBuf; 0]);
}

/// Publishes where what is old cannot be removed.
pub fn without_removal(publication: &Publication) {
    let folder = publication.tree.path("unable");
    let log = publication.tree.path("log");
    let command = publication.command(&folder);
    copy(&publication.host, &folder);
    let (_, points) = trace::points(&command, &folder, &log);
    let swap = points.iter().position(|point| point.name == "renameat2").unwrap();
    let is_removal = |point: &&Point| point.name.starts_with("unlink") && point.text.contains("channels");
    let removal = points[swap..].iter().find(is_removal).unwrap();
    remove(&folder);
    copy(&publication.host, &folder);
    let fault = Fault::Error("EIO");
    let ended = trace::run_to(&command, removal, [&folder, &folder], fault, &log);
    assert!(ended.hit && ended.code == Some(1), "{ended:?}");
    assert!(ended.stderr.contains("the release is published"), "{ended:?}");
    assert_eq!(publication.state(&folder), Ok(State::New));
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}
