//! Runs of `store` killed at any moment: what is left is always a sound store, and the next run carries on.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]
#![allow(clippy::disallowed_methods, reason = "what is killed has to be started")]

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::TestTree;
use crate::support::dice::Dice;
use serde_json::json;

/// How many runs are killed.
const KILLS: u32 = 100;

/// In how many stores, side by side.
const LANES: u32 = 2;

/// Which moments; another seed kills at others.
const SEED: u64 = 0x5eed_0002;

/// Twelve packages beside the shell, each with a source; up to four deep.
const PACKAGES: [(&str, &[&str]); 12] = [
    ("a1", &[]),
    ("a2", &[]),
    ("a3", &[]),
    ("b1", &["a1"]),
    ("b2", &["a1", "a2"]),
    ("b3", &["a3"]),
    ("c1", &["b1"]),
    ("c2", &["b1", "b2"]),
    ("c3", &["b3"]),
    ("d1", &["c1", "c2"]),
    ("d2", &["c3"]),
    ("e1", &["d1", "d2"]),
];

fn tree() -> TestTree {
    let tree = TestTree::new();
    for (name, requires) in PACKAGES {
        tree.file(&format!("recipes/{name}/data/text"), name);
        let recipe = json!({
            "version": "1",
            "requires": requires,
            "single_source": { "kind": "local", "path": "data" },
        });
        let script = "mkdir $PKG_PATH/share; cp text $PKG_PATH/share/$PKG_NAME; echo $PKG_NAME";
        tree.recipe(name, &recipe, script);
    }
    tree
}

/// Starts `store ARGS…` and kills it after `delay`; whether it was still at work then.
fn kill_after(tree: &TestTree, args: &[&str], delay: Duration) -> bool {
    let mut command = tree.command(args);
    let mut child: Child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + delay;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "`store {}`: {status}", args.join(" "));
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

fn artifact(tree: &TestTree) -> Vec<u8> {
    let file = tree.path("artifact.tar.zst");
    tree.store(&["artifact", "create", "-o", file.to_str().unwrap()])
        .ok();
    fs::read(file).unwrap()
}

#[test]
fn a_hundred_kills_leave_what_an_undisturbed_store_holds() {
    let names: Vec<&str> = PACKAGES.iter().map(|(name, _)| *name).chain(["shell"]).collect();
    let undisturbed = tree();
    let begun = Instant::now();
    undisturbed.store(&["build", "all"]).ok();
    let whole = u64::try_from(begun.elapsed().as_micros()).unwrap();

    let lanes: Vec<TestTree> = thread::scope(|scope| {
        let names = &names;
        let lane = |lane| scope.spawn(move || killed(names, whole, SEED + u64::from(lane)));
        let lanes: Vec<_> = (0..LANES).map(lane).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect()
    });
    for tree in lanes {
        assert!(artifact(&tree) == artifact(&undisturbed), "the artifacts differ");
        assert_eq!(processes_in(&tree), [] as [String; 0]);
    }
}

/// A tree whose builds and collections were killed again and again, and that holds `names` all the same.
fn killed(names: &[&str], whole: u64, seed: u64) -> TestTree {
    let tree = tree();
    let root = format!("tree {}", tree.recipes().display());
    let mut dice = Dice(seed);
    let mut kills = 0;
    let mut completed = 0;
    // Until one got through, none was killed near its end.
    while kills < KILLS / LANES || completed == 0 {
        let delay = Duration::from_micros(dice.below(whole));
        if kill_after(&tree, &["build", "all", "-j", "4"], delay) {
            kills += 1;
            if kills % 4 == 0 {
                tree.store(&["verify"]).ok();
            }
            continue;
        }
        completed += 1;
        // Takes what the dead said they needed, and nothing that the build made.
        tree.store(&["gc"]).ok();
        tree.holds_only(names);
        // Begins anew, through a collection that is killed just as rudely.
        tree.store(&["roots", "remove", &root]).ok();
        let delay = Duration::from_micros(dice.below(whole / 8));
        if kill_after(&tree, &["gc"], delay) {
            kills += 1;
        }
        tree.store(&["gc"]).ok();
        tree.holds_only(&[]);
    }
    tree.store(&["build", "all"]).ok();
    tree.store(&["gc"]).ok();
    tree.holds_only(names);
    tree
}

/// Processes whose command line names the tree's folder: sandboxes that outlived their makers.
fn processes_in(tree: &TestTree) -> Vec<String> {
    let folder = tree.path("").display().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .map(|words| String::from_utf8_lossy(&words).replace('\0', " "))
        .filter(|words| words.contains(&folder))
        .collect()
}
