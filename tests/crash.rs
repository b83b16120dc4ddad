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

#[path = "crash/subject.rs"]
mod subject;
mod support;
#[path = "crash/trace.rs"]
mod trace;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use subject::{State, Subject, every_syscall, nothing, text};
use support::TestTree;

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
