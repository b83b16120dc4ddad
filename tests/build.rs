//! Builds that go well: what they register, what they leave alone, and what can be asked about them afterwards.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

use std::os::unix::fs::MetadataExt;

use crate::support::TestTree;
use serde_json::{Value, json};

/// `top` requires `middle`, which is built with `base`; `lone` stands alone.
fn chain() -> TestTree {
    let tree = TestTree::new();
    tree.recipe(
        "base",
        &json!({ "version": "1" }),
        "echo base > $PKG_PATH/said; echo from the build of $PKG_NAME",
    );
    tree.recipe(
        "middle",
        &json!({ "version": "2", "build_requires": ["base"] }),
        "cat $STORE_PREFIX/active/base/said > $PKG_PATH/said; echo middle >> $PKG_PATH/said",
    );
    tree.recipe(
        "top",
        &json!({ "version": "3", "description": "the top", "requires": ["middle"] }),
        "cat $STORE_PREFIX/active/middle/said > $PKG_PATH/said; echo top >> $PKG_PATH/said",
    );
    tree.recipe("lone", &json!({ "version": "4" }), "mkdir $PKG_PATH/bin");
    tree
}

/// Name and one other field of each package in a document, sorted.
fn column<'d>(document: &'d Value, field: &str) -> Vec<(&'d str, &'d str)> {
    let text = |package: &'d Value, field: &str| package[field].as_str().unwrap();
    let mut rows: Vec<_> = document["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            assert!(text(package, "id").starts_with(&format!("{}--", text(package, "name"))));
            (text(package, "name"), text(package, field))
        })
        .collect();
    rows.sort_unstable();
    rows
}

#[test]
fn a_build_uses_what_it_depends_on_and_a_second_one_builds_nothing() {
    let tree = chain();
    let dry = tree.store(&["build", "top", "--dry-run", "--json"]).json();
    let planned = ["base", "middle", "shell", "top"].map(|name| (name, "planned"));
    assert_eq!(column(&dry, "outcome"), planned);
    tree.holds_only(&[]);

    let first = tree.store(&["build", "all", "--json"]).json();
    let built = ["base", "lone", "middle", "shell", "top"].map(|name| (name, "built"));
    assert_eq!(column(&first, "outcome"), built);
    let said = std::fs::read_to_string(tree.package("top").join("said")).unwrap();
    assert_eq!(said, "base\nmiddle\ntop\n");
    tree.holds_only(&["base", "lone", "middle", "shell", "top"]);

    let inode = || std::fs::metadata(tree.package("top")).unwrap().ino();
    let before = inode();
    let second = tree.store(&["build", "all", "--json"]).json();
    assert_eq!(second["planned"], 0);
    assert!(
        column(&second, "outcome")
            .iter()
            .all(|(_, outcome)| *outcome == "present")
    );
    assert_eq!(inode(), before);
    let again = tree.store(&["build", "middle", "--rebuild", "--json"]).json();
    assert_eq!(column(&again, "outcome"), [("middle", "reproduced")]);
}

#[test]
fn a_change_builds_what_lies_above_it_and_nothing_else() {
    let tree = chain();
    tree.store(&["build", "all"]).ok();
    tree.file("recipes/middle/build", "echo changed > $PKG_PATH/said");
    let built = tree.store(&["build", "all", "--json"]).json();
    let outcomes = [
        ("base", "present"),
        ("lone", "present"),
        ("middle", "built"),
        ("shell", "present"),
        ("top", "built"),
    ];
    assert_eq!(column(&built, "outcome"), outcomes);
}

#[test]
fn the_store_id_is_the_digest_of_what_show_prints() {
    let tree = chain();
    let resolved = tree.store(&["show", "top", "--resolved"]);
    let digest = blake3::hash(resolved.ok().as_bytes());
    let base32 = data_encoding::BASE32_NOPAD
        .encode(digest.as_bytes())
        .to_lowercase();
    let id = format!("top--{base32}");
    assert_eq!(tree.id("top"), id);
    tree.store(&["build", "top"]).ok();
    let kept = std::fs::read_to_string(tree.package("top").join("buildinfo.full.json"));
    assert!(tree.package("top").ends_with(&id));
    assert_eq!(kept.unwrap(), resolved.stdout);
}

#[test]
fn what_was_built_can_be_asked_about() {
    let tree = chain();
    let before = tree.store(&["show", "top", "--json"]).json();
    assert_eq!((&before["tree"], &before["path"]), (&Value::Null, &Value::Null));
    tree.store(&["build", "top"]).ok();

    let list = tree.store(&["list", "--json"]).json();
    let versions = [("base", "1"), ("middle", "2"), ("shell", "1"), ("top", "3")];
    assert_eq!(column(&list, "version"), versions);
    let shown = tree.store(&["show", "top", "--json"]).json();
    assert_eq!(shown["description"], "the top");
    assert_eq!(shown["requires"], json!([tree.id("middle")]));
    let listing = std::fs::read(
        tree.store_dir()
            .join(format!("trees/{}.json", shown["tree"].as_str().unwrap())),
    );
    assert_eq!(
        blake3::hash(&listing.unwrap()).to_hex().as_str(),
        shown["tree"].as_str().unwrap()
    );

    assert_eq!(tree.store(&["log", "base"]).ok(), "from the build of base\n");
    let log = tree.store(&["log", &tree.id("base"), "--json"]).json();
    assert_eq!(
        (&log["name"], &log["log"]),
        (&json!("base"), &json!("from the build of base\n"))
    );

    let dot = tree.store(&["graph", "top", "--format", "dot"]);
    assert!(dot.ok().starts_with("digraph"), "{}", dot.stdout);
    assert!(
        dot.stdout.contains("middle") && !dot.stdout.contains("lone"),
        "{}",
        dot.stdout
    );
    let graph = tree.store(&["graph", "--json"]).json();
    assert_eq!(column(&graph, "id").len(), 5);

    let why = tree.store(&["why", "top", "base", "--json"]).json();
    let names: Vec<_> = why["chain"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| &link["name"])
        .collect();
    assert_eq!(names, ["top", "middle", "base"]);
    tree.store(&["why", "base", "top"])
        .fails(1, &["`base` does not depend on `top`"]);
}

#[test]
fn what_is_not_there_is_misuse_and_names_what_was_meant() {
    let tree = chain();
    tree.store(&["build", "midle"]).fails(2, &["midle", "middle"]);
    tree.store(&["build", "No Name"]).fails(2, &["No Name"]);
    tree.store(&["show", "absent"]).fails(2, &["absent"]);
    tree.store(&["log", "top"]).fails(1, &["no store", "store build"]);
    tree.store(&["build", "all", "--cores", "0"])
        .fails(2, &["--cores"]);
    tree.store(&["build"]).fails(2, &["NAME"]);
    let elsewhere = tree.command(&["build", "all"]).current_dir("/").output().unwrap();
    assert_eq!(elsewhere.status.code(), Some(2));
    assert!(
        String::from_utf8(elsewhere.stderr)
            .unwrap()
            .contains("treeinfo.json")
    );
    assert!(!tree.store_dir().exists());
}

#[test]
fn every_verb_prints_one_document_for_machines() {
    let tree = chain();
    let artifact = tree.path("artifact.tar.zst").display().to_string();
    tree.store(&["build", "all"]).ok();
    let runs: [&[&str]; 18] = [
        &["build", "all", "--dry-run"],
        &["build", "all"],
        &["fetch", "all"],
        &["list"],
        &["show", "top"],
        &["graph"],
        &["why", "top", "base"],
        &["log", "top"],
        &["recipe", "check"],
        &["artifact", "create", "-o", &artifact],
        &["artifact", "inspect", &artifact],
        &["artifact", "verify", &artifact],
        &["artifact", "diff", &artifact, &artifact],
        &["verify"],
        &["roots", "add", "mine", "top"],
        &["roots"],
        &["roots", "remove", "mine"],
        &["index", "rebuild"],
    ];
    for args in runs {
        let ran = tree.store(&[args, &["--json"]].concat());
        let document: Value = serde_json::from_str(ran.ok())
            .unwrap_or_else(|error| panic!("`store {}`: {error}: {}", args.join(" "), ran.stdout));
        assert!(document.is_object(), "`store {}`: {document}", args.join(" "));
    }
    // A failure is a document, too.
    let ran = tree.store(&["show", "absent", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(document["error"]["message"].as_str().unwrap().contains("absent"));
}
