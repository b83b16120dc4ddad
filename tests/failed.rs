//! Builds that fail: what is still built, what is said, and how a person gets into the sandbox of one.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

use std::collections::BTreeMap;

use crate::support::TestTree;
use serde_json::{Value, json};

/// `above` requires `broken`, which fails after ten thousand lines; `lone` needs neither.
fn broken() -> TestTree {
    let tree = TestTree::new();
    tree.recipe(
        "broken",
        &json!({ "version": "1" }),
        "seq 10000; echo half > $PKG_PATH/half; echo part > here; echo that was the last line; exit 7",
    );
    tree.recipe(
        "above",
        &json!({ "version": "1", "requires": ["broken"] }),
        "mkdir $PKG_PATH/bin",
    );
    // Less waits for it than for `broken`, so one build at a time comes to it later.
    tree.recipe("lone", &json!({ "version": "1" }), "mkdir $PKG_PATH/bin");
    tree
}

fn outcomes(document: &Value) -> BTreeMap<&str, &str> {
    let packages = document["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            (
                package["name"].as_str().unwrap(),
                package["outcome"].as_str().unwrap(),
            )
        })
        .collect()
}

#[test]
fn keep_going_builds_all_that_does_not_depend_on_the_failure() {
    let tree = broken();
    let ran = tree.store(&["build", "all", "-j", "1", "--keep-going", "--json"]);
    ran.fails(1, &["broken--", "exit code 7"]);
    let expected = [
        ("above", "skipped"),
        ("broken", "failed"),
        ("lone", "built"),
        ("shell", "built"),
    ];
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(outcomes(&document), BTreeMap::from(expected));
    tree.holds_only(&["lone", "shell"]);
}

#[test]
fn a_build_of_which_something_failed_makes_no_garbage() {
    let tree = broken();
    tree.store(&["build", "lone"]).ok();
    tree.recipe("lone", &json!({ "version": "2" }), "mkdir $PKG_PATH/bin");
    tree.store(&["build", "all", "--keep-going"])
        .fails(1, &["broken--"]);
    tree.store(&["gc"]).ok();
    // Both of `lone` and `shell`: what is fresh, and what was kept before.
    assert_eq!(tree.packages().len(), 3);
    tree.store(&["build", "lone"]).ok();
    tree.store(&["gc"]).ok();
    tree.holds_only(&["lone", "shell"]);
}

#[test]
fn without_keep_going_nothing_is_started_after_a_failure() {
    let tree = broken();
    let ran = tree.store(&["build", "all", "-j", "1", "--json"]);
    assert_eq!(ran.code, Some(1));
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(outcomes(&document)["lone"], "skipped");
    tree.holds_only(&["shell"]);
}

#[test]
fn the_end_of_the_log_is_printed_once_with_what_to_do_next() {
    let tree = broken();
    let ran = tree.store(&["build", "broken"]);
    ran.fails(
        1,
        &[
            "| 9990\n",
            "store log broken",
            "store shell broken",
            "--keep-failed",
        ],
    );
    assert_eq!(
        ran.stderr.matches("that was the last line").count(),
        1,
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("| 9000\n"), "{}", ran.stderr);
    let log = tree.store(&["log", "broken"]);
    assert_eq!(log.ok().lines().count(), 10_001);
    assert!(
        tree.store(&["-q", "build", "broken"])
            .stderr
            .contains("that was the last line")
    );
    tree.holds_only(&["shell"]);
}

#[test]
fn a_kept_build_is_entered_as_it_was_left() {
    let tree = TestTree::new();
    let look = "env | grep -v -e ^SHLVL= -e ^_= -e ^TERM= -e ^MAKEFLAGS= | sort; pwd; id; cut -d' ' -f5,6 /proc/self/mountinfo";
    tree.file("recipes/broken/extra/look", look);
    tree.recipe(
        "broken",
        &json!({ "version": "1" }),
        "echo half > $PKG_PATH/half; echo part > part; . /pkg/extra/look > /pkg/src/seen; exit 7",
    );
    let failed = tree.store(&["build", "broken", "--keep-failed"]);
    failed.fails(1, &["store shell broken", "tmp/kept/broken"]);
    let shell = |command: &str| tree.store(&["shell", "broken", "--", "sh", "-c", command]);
    assert_eq!(shell("cat $PKG_PATH/half part").ok(), "half\npart\n");
    let seen = shell("cat /pkg/src/seen").stdout;
    assert!(seen.contains("PKG_NAME=broken\n"), "{seen}");
    assert_eq!(shell(". /pkg/extra/look").ok(), seen);
    assert_eq!(shell("exit 9").code, Some(9));
    shell("echo on > $PKG_PATH/on").ok();
    assert_eq!(shell("cat $PKG_PATH/on").ok(), "on\n");

    // A build that goes well leaves nothing behind to enter but a fresh start.
    tree.recipe("broken", &json!({ "version": "1" }), "mkdir $PKG_PATH/bin");
    tree.store(&["build", "broken"]).ok();
    assert_eq!(shell("ls $PKG_PATH").ok(), "");
}
