//! Every call that changes the file system is a crash point: killed or failing there, a host is the old one or the new.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what goes wrong fails the test, as it should"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests start programs as users do, and say how much they tried"
)]

mod durable;
mod on_channel;
mod on_host;
mod subject;
mod trace;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{TestTree, text};
use on_channel::Publication;
use on_host::{OnHost, Place};
use subject::{State, Subject, every_syscall, nothing};

/// `store artifact extract` into a folder that is not there.
struct Extract {
    tree: TestTree,
    artifact: PathBuf,
    host: PathBuf,
}

impl Subject for Extract {
    fn host(&self) -> &Path {
        &self.host
    }

    fn root(&self, folder: &Path) -> PathBuf {
        folder.to_owned()
    }

    fn command(&self, root: &Path) -> Command {
        self.tree
            .command(&["artifact", "extract", text(&self.artifact), "--to", text(root)])
    }

    /// What has its name is whole, which the run that follows checks of every package that is there.
    fn state(&self, root: &Path) -> Result<State, String> {
        let here = |name: &str| root.join(name).exists();
        let packages = fs::read_dir(root.join("packages"))
            .into_iter()
            .flatten()
            .flatten();
        let names = packages.map(|entry| entry.file_name().into_string().unwrap());
        let whole = names.filter(|name| !name.starts_with(".partial")).count() == 3;
        Ok(if whole && here("manifest.json") {
            State::New
        } else {
            State::Old
        })
    }

    /// Whatever it leaves half-written is written again by the next.
    fn is_durable(&self) -> bool {
        false
    }
}

#[test]
fn extraction() {
    let tree = TestTree::new();
    let [artifact, _] = tree.two_versions();
    every_syscall(&Extract {
        tree,
        artifact,
        host: nothing(),
    });
}

/// `store verify --repair` of a host with a package, a generation and a link that are damaged.
struct Mend {
    tree: TestTree,
    artifact: PathBuf,
    host: PathBuf,
}

/// What is damaged: each by what a verification says of it.
const DAMAGED: [&str; 3] = ["bin/base", "generations/1/environment", "lib"];

impl Mend {
    fn new() -> Self {
        let tree = TestTree::new();
        let [artifact, _] = tree.two_versions();
        let host = tree.path("host");
        tree.install(text(&artifact), &host).ok();
        damage(&fs::canonicalize(host.join("bin/base")).unwrap());
        damage(&host.join("generations/1/environment"));
        fs::remove_file(host.join("lib")).unwrap();
        Self { tree, artifact, host }
    }
}

/// Gives a read-only file other bytes, and the mode it had.
fn damage(path: &Path) {
    let mode = path.metadata().unwrap().permissions();
    fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(path, "damaged").unwrap();
    fs::set_permissions(path, mode).unwrap();
}

impl Subject for Mend {
    fn host(&self) -> &Path {
        &self.host
    }

    fn root(&self, folder: &Path) -> PathBuf {
        folder.to_owned()
    }

    fn command(&self, root: &Path) -> Command {
        let from = text(&self.artifact);
        self.tree
            .command(&["verify", "--root", text(root), "--repair", "--from", from])
    }

    /// Nothing differs but what did before; what is mended already stays so.
    fn state(&self, root: &Path) -> Result<State, String> {
        let ran = self.tree.on(root, &["verify", "--json"]);
        if ran.code == Some(0) {
            return Ok(State::New);
        }
        let report: Value = serde_json::from_str(&ran.stdout).map_err(|error| format!("{error}: {ran:?}"))?;
        let differences = report["differences"].as_array().ok_or("no report")?;
        let mut paths = differences
            .iter()
            .map(|it| it["path"].as_str().unwrap_or_default());
        match paths.find(|path| !DAMAGED.contains(path)) {
            None => Ok(State::Old),
            Some(path) => Err(format!("`{path}` differs, too: {report}")),
        }
    }

    fn is_durable(&self) -> bool {
        true
    }
}

#[test]
fn repair() {
    every_syscall(&Mend::new());
}

/// A host with a generation of the first version, and the packages of the second.
const TWO_VERSIONS: [&[&str]; 3] = [
    &["artifact", "extract", "FIRST"],
    &["activate"],
    &["artifact", "extract", "SECOND"],
];

#[test]
fn the_first_activation() {
    every_syscall(&OnHost::new(
        Place::Alone,
        &[&["artifact", "extract", "FIRST"]],
        &["activate"],
    ));
}

#[test]
fn activation() {
    every_syscall(&OnHost::new(Place::Alone, &TWO_VERSIONS, &["activate"]));
}

#[test]
fn rollback() {
    let prepare = [&TWO_VERSIONS[..], &[&["activate"]]].concat();
    every_syscall(&OnHost::new(Place::Alone, &prepare, &["rollback", "1"]));
}

#[test]
fn a_local_change() {
    every_syscall(&OnHost::new(Place::Alone, &TWO_VERSIONS, &["override", "app"]));
}

#[test]
fn garbage_collection() {
    let prepare = [&TWO_VERSIONS[..], &[&["activate"]]].concat();
    every_syscall(&OnHost::new(Place::Alone, &prepare, &["gc", "--keep", "1"]));
}

#[test]
fn the_first_installation() {
    every_syscall(&OnHost::new(Place::Alone, &[], &["install", "FIRST"]));
}

#[test]
fn installation() {
    every_syscall(&OnHost::new(
        Place::Alone,
        &TWO_VERSIONS[..2],
        &["install", "SECOND"],
    ));
}

#[test]
fn the_first_installation_into_an_image() {
    every_syscall(&OnHost::new(Place::InImage, &[], &["install", "FIRST"]));
}

#[test]
fn activation_in_an_image() {
    let prepare: [&[&str]; 2] = [&["install", "FIRST"], &["install", "SECOND", "--no-activate"]];
    every_syscall(&OnHost::new(Place::InImage, &prepare, &["activate"]));
}

#[test]
fn rollback_in_an_image() {
    let prepare: [&[&str]; 2] = [&["install", "FIRST"], &["install", "SECOND"]];
    every_syscall(&OnHost::new(Place::InImage, &prepare, &["rollback", "1"]));
}

#[test]
fn the_first_publication() {
    every_syscall(&Publication::first());
}

#[test]
fn publication() {
    every_syscall(&Publication::after(2));
}

/// Some file systems cannot exchange two folders.
#[test]
fn publication_where_folders_cannot_be_exchanged() {
    on_channel::without_exchange(&Publication::after(1));
}

#[test]
fn publication_where_what_is_old_cannot_be_removed() {
    on_channel::without_removal(&Publication::after(1));
}
