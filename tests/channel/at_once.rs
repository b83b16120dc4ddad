//! Owns the tests of two installs from one channel at once, the first of which is held up by its server.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use super::site::{Site, snapshot};
use crate::support::Ran;
use crate::support::web::{Fault, Web};

/// How long an install that never comes to its server holds a test up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that answers one kind of question only when it is let.
struct Held {
    web: Web,
    asked: Receiver<()>,
    lets_go: Sender<()>,
}

impl Held {
    /// Holds those up who ask for a file with `part` in its path.
    fn at(site: &Site, part: &'static str) -> Self {
        let (asks, asked) = mpsc::channel();
        let (lets_go, goes) = mpsc::channel::<()>();
        let web = Web::new(&site.tree.path("out"));
        web.errs(move |asked| {
            if asked.path.contains(part) {
                // Nobody listens, and nobody holds anybody up, once the test has let go.
                let _ = asks.send(());
                let _ = goes.recv();
            }
            Fault::None
        });
        Self { web, asked, lets_go }
    }

    /// Follows the channel, and does `meanwhile` when that waits.
    fn follow_and(self, site: &Site, meanwhile: impl FnOnce()) -> Ran {
        let first = site.starts(&self.web.url("channels/stable"), &["--stall", "600"]);
        self.asked.recv_timeout(PATIENCE).unwrap();
        meanwhile();
        drop(self.lets_go);
        first.ends()
    }
}

/// What is unfinished in what the host remembers.
fn unfinished(site: &Site) -> Vec<PathBuf> {
    let entries = fs::read_dir(site.root().join("channel")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with('.'))
        .collect()
}

#[test]
fn an_install_that_was_overtaken_takes_nothing_back() {
    let site = Site::new();
    site.first("");
    site.follows().ok();
    // While it looks, and between looking and taking.
    for (part, names) in [(".targets.json", ["b", "c"]), ("/artifacts/", ["d", "e"])] {
        let [older, newer] = names;
        site.configures(older);
        site.publish("--key online").ok();
        let held = Held::at(&site, part);
        let mut newest = Vec::new();
        let first = held.follow_and(&site, || {
            site.configures(newer);
            site.publish("--key online").ok();
            site.follows().ok();
            newest = snapshot(&site.root());
            // The first one's own.
            newest.retain(|(path, _)| !path.to_str().unwrap().contains("/.partial-look."));
        });
        first.fails(1, &["another process changed what", "run the command again"]);
        assert!(
            snapshot(&site.root()) == newest,
            "{part}: the host is not as the newer one left it"
        );
        assert_eq!(site.has(), fs::read(site.tree.path("out/manifest.json")).ok());
        site.follows().ok();
        assert_eq!(unfinished(&site), [] as [PathBuf; 0]);
    }
}

#[test]
fn two_installs_of_one_release_do_each_other_no_harm() {
    let site = Site::new();
    site.first("");
    site.follows().ok();
    site.configures("other");
    site.publish("--key online").ok();
    for part in [".targets.json", "/artifacts/"] {
        let held = Held::at(&site, part);
        held.follow_and(&site, || {
            site.follows().ok();
        })
        .ok();
        assert_eq!(unfinished(&site), [] as [PathBuf; 0]);
    }
    assert_eq!(site.has(), fs::read(site.tree.path("out/manifest.json")).ok());
}

#[test]
fn what_a_killed_look_left_is_swept() {
    let site = Site::new();
    site.first("");
    site.follows().ok();
    let held = Held::at(&site, ".targets.json");
    let first = site.starts(&held.web.url("channels/stable"), &["--stall", "600"]);
    held.asked.recv_timeout(PATIENCE).unwrap();
    assert_eq!(unfinished(&site).len(), 1);
    first.signal(nix::sys::signal::Signal::SIGKILL);
    first.ends();
    site.follows().ok();
    assert_eq!(unfinished(&site), [] as [PathBuf; 0]);
}
