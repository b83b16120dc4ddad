//! Owns a delivery whose publication is interrupted, and what a host that follows its channel then gets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use schema::timestamp::Timestamp;

use crate::configured::{self, configure};
use crate::subject::{self, State, Subject, text};
use crate::support::TestTree;

/// `store publish` of a delivery.
pub struct Publication {
    tree: TestTree,
    delivery: PathBuf,
    /// The moment of publishing: with it the same root comes out each time, which hosts can trust beforehand.
    now: String,
}

impl Publication {
    /// The first one of a channel.
    pub fn first() -> Self {
        Self::with(|_, _| ())
    }

    /// One of another release than the first, which is there.
    pub fn second() -> Self {
        Self::with(|publication, artifact| {
            let published = publication.command(&publication.delivery).output().unwrap();
            assert!(published.status.success(), "{published:?}");
            publication.tree.file("inputs.yaml", "name: other\n");
            configure(&publication.tree, "inputs.yaml", artifact, "out").ok();
        })
    }

    fn with(prepare: impl FnOnce(&Self, &Path)) -> Self {
        let (tree, artifact) = configured::tree();
        for key in ["root", "online"] {
            tree.store(&["keygen", text(&tree.path(key))]).ok();
        }
        configure(&tree, "inputs.yaml", &artifact, "out").ok();
        let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
        let publication = Self {
            delivery: tree.path("out"),
            now: Timestamp::from_unix(now).to_string(),
            tree,
        };
        let tried = publication.tree.path("tried");
        let copied = Command::new("cp")
            .arg("-a")
            .args([&publication.delivery, &tried])
            .status();
        assert!(copied.unwrap().success());
        let published = publication.command(&tried).output().unwrap();
        assert!(published.status.success(), "{published:?}");
        fs::copy(metadata(&tried).join("1.root.json"), publication.trusted()).unwrap();
        prepare(&publication, &artifact);
        publication
    }

    /// What hosts are told to trust.
    fn trusted(&self) -> PathBuf {
        self.tree.path("trusted.json")
    }
}

fn metadata(delivery: &Path) -> PathBuf {
    delivery.join("channels/stable/metadata")
}

impl Subject for Publication {
    fn host(&self) -> &Path {
        &self.delivery
    }

    fn root(&self, folder: &Path) -> PathBuf {
        folder.to_owned()
    }

    fn command(&self, folder: &Path) -> Command {
        let [root, online] = ["root", "online"].map(|key| self.tree.path(key));
        let what = ["publish", text(folder), "--channel", "stable", "--now", &self.now];
        let keys = ["--root-key", text(&root), "--key", text(&online)];
        self.tree.command(&[&what[..], &keys].concat())
    }

    /// A host that follows the channel gets the release before or this one, whole.
    fn state(&self, folder: &Path) -> Result<State, String> {
        if !metadata(folder).exists() {
            return Ok(State::Old);
        }
        let host = folder.with_extension("following");
        let (channel, trusted) = (folder.join("channels/stable"), self.trusted());
        let follow = [
            "install",
            "--channel",
            text(&channel),
            "--channel-root",
            text(&trusted),
        ];
        let how = [
            "--root",
            text(&host),
            "--no-activate",
            "--role",
            "agent",
            "--tries",
            "1",
        ];
        let ran = self.tree.store(&[&follow[..], &how].concat());
        if ran.code != Some(0) {
            return Err(format!("a host cannot follow: {ran:?}"));
        }
        let [has, delivered] = [&*host, folder].map(|at| fs::read(at.join("manifest.json")).unwrap());
        subject::remove(&host);
        Ok(if has == delivered { State::New } else { State::Old })
    }

    fn is_durable(&self) -> bool {
        true
    }
}
