//! Several at work on one store: a person who interrupts, a second build, a garbage collection.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

use crate::support::TestTree;
use crate::support::running::HELD;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// `after` requires `held`, whose build waits to be let go.
fn held() -> TestTree {
    let tree = TestTree::new();
    tree.recipe("held", &json!({ "version": "1" }), HELD);
    tree.recipe(
        "after",
        &json!({ "version": "1", "requires": ["held"] }),
        "mkdir $PKG_PATH/bin",
    );
    tree
}

fn outcome(document: &str, name: &str) -> String {
    let document: Value = serde_json::from_str(document).unwrap();
    let mut packages = document["packages"].as_array().unwrap().iter();
    let package = packages.find(|package| package["name"] == name).unwrap();
    package["outcome"].as_str().unwrap().to_owned()
}

#[test]
fn the_first_ctrl_c_lets_what_runs_finish_and_starts_no_more() {
    let tree = held();
    let run = tree.start(&["build", "after", "--json"]);
    tree.held("held");
    run.signal(Signal::SIGINT);
    run.says("stopping");
    tree.let_go("held");
    let ran = run.ends();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(outcome(&ran.stdout, "held"), "built");
    assert_eq!(outcome(&ran.stdout, "after"), "skipped");
    tree.holds_only(&["held", "shell"]);
}

#[test]
fn the_second_ctrl_c_ends_what_runs() {
    let tree = held();
    let run = tree.start(&["build", "after", "--json"]);
    tree.held("held");
    run.signal(Signal::SIGINT);
    run.says("stopping");
    run.signal(Signal::SIGINT);
    let ran = run.ends();
    ran.fails(1, &["held--", "cancelled"]);
    tree.holds_only(&["shell"]);
}

#[test]
fn ctrl_c_lets_a_rebuild_finish_and_begins_no_search_for_what_differs() {
    let tree = TestTree::new();
    let script = format!("hostname > $PKG_PATH/where\n{HELD}");
    tree.recipe("held", &json!({ "version": "1" }), &script);
    let first = tree.start(&["build", "held"]);
    tree.let_go("held");
    first.ends().ok();
    let run = tree.start(&["verify", "--rebuild", "held", "--vary=host", "--json"]);
    tree.held("held");
    run.signal(Signal::SIGINT);
    run.says("stopping");
    tree.let_go("held");
    let ran = run.ends();
    ran.fails(3, &["`where` differs"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["packages"][0]["differs"].get("culprits"), None);
}

#[test]
fn two_builds_at_once_build_each_thing_once() {
    let tree = held();
    let first = tree.start(&["build", "after", "--json"]);
    tree.held("held");
    let second = tree.start(&["build", "after", "--json"]);
    second.says("another process");
    tree.let_go("held");
    let (first, second) = (first.ends(), second.ends());
    assert_eq!(
        (first.code, second.code),
        (Some(0), Some(0)),
        "{first:?}\n{second:?}"
    );
    assert_eq!(outcome(&first.stdout, "held"), "built");
    assert_eq!(outcome(&second.stdout, "held"), "present");
    let after = [&first, &second].map(|ran| outcome(&ran.stdout, "after"));
    assert_eq!(
        after.iter().filter(|outcome| *outcome == "built").count(),
        1,
        "{after:?}"
    );
    tree.holds_only(&["after", "held", "shell"]);
}

#[test]
fn who_waits_for_another_build_can_be_interrupted() {
    let tree = held();
    let first = tree.start(&["build", "held"]);
    tree.held("held");
    let second = tree.start(&["build", "held"]);
    second.says("another process");
    second.signal(Signal::SIGINT);
    second.ends().fails(1, &["held--", "interrupted"]);
    tree.let_go("held");
    first.ends().ok();
}

#[test]
fn garbage_is_what_no_root_and_no_running_build_needs() {
    let tree = held();
    tree.recipe("lone", &json!({ "version": "1" }), "mkdir $PKG_PATH/bin");
    tree.store(&["build", "lone"]).ok();
    let old = tree.id("lone");
    tree.recipe("lone", &json!({ "version": "2" }), "mkdir $PKG_PATH/bin");
    // Each build sets a root for its tree.
    let last = format!("tree {}", tree.recipes().display());
    tree.store(&["roots", "remove", &last]).ok();

    let run = tree.start(&["build", "after"]);
    tree.held("held");
    // `shell` has no root either, but the running build needs it.
    let collected = tree.store(&["gc", "--json"]).json();
    let garbage: Vec<_> = collected["garbage"].as_array().unwrap().iter().collect();
    assert_eq!(garbage.len(), 1, "{collected}");
    assert_eq!(
        (&garbage[0]["name"], &garbage[0]["id"]),
        (&json!("lone"), &json!(old))
    );
    tree.let_go("held");
    run.ends().ok();
    tree.holds_only(&["after", "held", "shell"]);

    tree.store(&["roots", "add", "mine", "after"]).ok();
    let roots = tree.store(&["roots", "--json"]).json();
    assert_eq!(roots["roots"][0]["name"], "mine");
    assert_eq!(
        roots["roots"][0]["packages"],
        json!([{ "name": "after", "id": tree.id("after") }])
    );
    tree.store(&["roots", "remove", &last]).ok();
    tree.store(&["gc", "--dry-run"]).ok();
    tree.holds_only(&["after", "held", "shell"]);
    tree.store(&["gc"]).ok();
    // What a package was built with is not in its closure.
    tree.holds_only(&["after", "held"]);
    tree.store(&["roots", "remove", "mine"]).ok();
    tree.store(&["gc"]).ok();
    tree.holds_only(&[]);
    tree.store(&["build", "lone"]).ok();
    tree.holds_only(&["lone", "shell"]);
    // One package built alone does not make garbage of the tree's others.
    tree.recipe("other", &json!({ "version": "1" }), "mkdir $PKG_PATH/bin");
    tree.store(&["build", "other"]).ok();
    tree.store(&["gc"]).ok();
    tree.holds_only(&["lone", "other", "shell"]);
}

#[test]
fn no_variant_makes_garbage_of_another() {
    let tree = TestTree::new();
    tree.recipe("lone", &json!({ "version": "1" }), "mkdir $PKG_PATH/bin");
    tree.file("recipes/treeinfo.other.json", "{}");
    tree.file("recipes/lone/other.buildinfo.json", r#"{"version": "2"}"#);
    tree.store(&["build", "all"]).ok();
    tree.store(&["build", "all", "--variant", "other"]).ok();
    tree.store(&["gc"]).ok();
    assert_eq!(tree.packages().len(), 3);
}
