//! Verifications that are asked for what makes no sense, and such of stores and hosts where pipes stand for files.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::support::damage::{inside, listing, pipe, rewrite};
use crate::support::{Ran, TestTree};
use serde_json::{Value, json};

fn built() -> TestTree {
    let tree = TestTree::new();
    tree.recipe("base", &json!({ "version": "1" }), "echo base > $PKG_PATH/said");
    let top = json!({ "version": "1", "requires": ["base"] });
    tree.recipe("top", &top, "echo top > $PKG_PATH/said");
    tree.store(&["build", "all"]).ok();
    tree
}

#[test]
fn no_option_is_passed_over_in_silence() {
    let tree = built();
    let key = tree.store(&["keygen", "../key", "--json"]).json();
    let key = key["key"].as_str().unwrap();
    tree.store(&["push", "../cache", "--key", "../key"]).ok();
    let artifact = tree.small_artifact("1", &["base"]);
    let artifact = artifact.to_str().unwrap();
    tree.file("elsewhere.json", "{}");
    let misuses: [(&[&str], &str); 19] = [
        (&["../cache", "--key", key], "--cache-key"),
        (&["../cache", "--repair"], "--repair"),
        (&["../cache", "--resume"], "--resume"),
        (&["../cache", "--rebuild"], "--rebuild"),
        (&["../cache", "--from", artifact], "--from"),
        (&["../cache", "--root", "../host"], "--root"),
        (&[artifact, "--root", "../host"], "--root"),
        (&[artifact, "--rebuild", "--vary"], "--rebuild"),
        (&[artifact, "--repair"], "--from"),
        (&[artifact, "--cache-key", key], "--cache-key"),
        (&[artifact, "base"], "one file"),
        (&[artifact, artifact], "one file"),
        (&["base", "--key", key], "--key"),
        (&["base", "--cache-key", key], "--cache"),
        (&["cash.json", "--cache-key", key], "--cache-key together"),
        (&[artifact, "--cache", "../cache", "--cache-key", key], "--cache"),
        (&["--repair", "--cache-key", key], "--cache"),
        (&["base", "--rebuild", "--repair"], "--repair"),
        (&["../elsewhere.json"], "--key"),
    ];
    for (args, word) in misuses {
        tree.store(&[&["verify"], args].concat()).fails(2, &[word]);
    }
    for mistyped in ["../cash", "cash.tar.zst", "cash.json"] {
        tree.store(&["verify", mistyped])
            .fails(2, &["there is no file", mistyped]);
        tree.store(&["verify", mistyped, "--key", key])
            .fails(2, &["there is no file", mistyped]);
    }
}

#[test]
fn verbs_of_the_tree_take_its_variants() {
    let tree = built();
    let write = |file: &str, text: &str| fs::write(tree.recipes().join(file), text).unwrap();
    write("treeinfo.other.json", "{}");
    write("base/other.buildinfo.json", r#"{"version": "2"}"#);
    let version = |args: &[&str]| {
        let shown = [&["show", "base", "--json"], args].concat();
        tree.store(&shown).json()["version"].clone()
    };
    assert_eq!([version(&[]), version(&["--variant", "other"])], ["1", "2"]);
    for verb in [
        &["build"][..],
        &["why", "top"],
        &["why-rebuilt"],
        &["log"],
        &["fetch"],
    ] {
        tree.store(&[verb, &["base", "--variant", "other"]].concat()).ok();
    }
    tree.store(&["build", "base", "--variant", "none"])
        .fails(1, &["`none`"]);
    let artifact = tree.small_artifact("1", &["base"]);
    let artifact = artifact.to_str().unwrap();
    tree.store(&["keygen", "../key"]).ok();
    for no_tree in [
        &["sbom", artifact, "--format", "spdx"][..],
        &["attest", artifact, "--key", "../key"],
        &["push", "../cache", "--key", "../key"],
    ] {
        tree.store(&[no_tree, &["--variant", "other"]].concat())
            .fails(2, &["--variant"]);
    }
    let shown = tree
        .store(&["show", "base", "--variant", "other", "--json"])
        .json();
    let id = shown["id"].as_str().unwrap();
    let again = tree.store(&["verify", "base", "--rebuild", "--variant", "other", "--json"]);
    assert_eq!(again.json()["packages"][0]["id"], shown["id"], "{again:?}");
    let said = tree.store_dir().join("packages").join(id).join("said");
    rewrite(&said, "damaged");
    let unknown = format!("cannot build again {id}");
    tree.store(&["verify", "--repair"]).fails(3, &[&unknown]);
    tree.store(&["verify", "--repair", "--variant", "other"]).ok();
    tree.store(&["verify"]).ok();
    tree.store(&["verify", "--variant", "other"])
        .fails(2, &["--rebuild"]);
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let tree = built();
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for args in [
        &["verify", "--json"][..],
        &["verify"],
        &["show", "base", "--resolved"],
    ] {
        let ran = tree.command(args).stdout(full()).output().unwrap();
        assert_eq!(ran.status.code(), Some(1), "{args:?}");
        assert!(
            String::from_utf8_lossy(&ran.stderr).contains("No space left"),
            "{ran:?}"
        );
    }
}

#[test]
fn names_of_files_do_not_reach_the_terminal_as_commands_or_as_lines() {
    let tree = built();
    let folder = tree.package("base");
    inside(&folder, || {
        fs::write(folder.join("a\u{1b}[2K\rall is well"), "").unwrap();
        fs::write(folder.join("b\n2 packages: all as it should be"), "").unwrap();
    });
    let ran = tree.store(&["verify"]);
    assert!(
        ran.code == Some(3) && ran.stdout.contains("all is well"),
        "{ran:?}"
    );
    assert!(!ran.stdout.contains(['\u{1b}', '\r']), "{ran:?}");
    assert!(ran.stdout.lines().all(|line| !line.ends_with("be")), "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), 3, "{ran:?}");
}

#[test]
fn what_nothing_can_be_compared_with_is_said_before_all_is_read() {
    let tree = built();
    let artifact = tree.small_artifact("1", &["top"]);
    let artifact = artifact.to_str().unwrap();
    let ran = tree.store(&["verify", artifact, "--from", "../nothing"]);
    ran.fails(1, &["nothing"]);
}

/// What a verification says, by path.
fn kinds(ran: &Ran) -> BTreeMap<String, String> {
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let differences = report["differences"].as_array().unwrap().iter();
    differences
        .map(|it| (text(&it["path"]), text(&it["difference"])))
        .collect()
}

#[test]
fn nothing_is_waited_for_that_is_no_file() {
    let tree = built();
    tree.seed("seed", json!({ "version": "1" }), &[("data", "seed")]);
    let artifact = tree.small_artifact("1", &["seed", "base"]);
    tree.store(&["keygen", "../key"]).ok();
    tree.store(&["attest", "all", "--key", "../key"]).ok();
    let store = tree.store_dir();
    tree.store(&["verify"]).ok();
    let mut expected = Vec::new();
    let inside = |folder: &str| {
        fs::read_dir(store.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    let folders = ["attestations", "logs", "recipes"];
    let mut paths: Vec<_> = folders
        .iter()
        .filter_map(|folder| inside(folder).next())
        .collect();
    paths.extend(inside("archives").filter(|path| path.extension().is_some_and(|ending| ending == "zst")));
    paths.push(store.join(format!("sources/sha256-{}", "0".repeat(64))));
    for path in paths {
        pipe(&path);
        expected.push(path.strip_prefix(&store).unwrap().to_str().unwrap().to_owned());
    }
    pipe(&tree.package("top").join("buildinfo.full.json"));
    expected.push("buildinfo.full.json".to_owned());
    pipe(&listing(&tree, "base"));
    // What would be compared with it and what would mend it cannot be read, either.
    let base = tree.package("base").join("said");
    rewrite(&base, "damaged");
    let found = kinds(&tree.store(&["verify", "--json"]));
    for path in expected {
        assert_eq!(
            found.get(&path).map(String::as_str),
            Some("type"),
            "{path}: {found:?}"
        );
    }
    tree.store(&["verify"]).fails(3, &[]);
    let said = tree.store(&["verify", "base"]);
    assert!(said.stdout.contains("named pipe"), "{said:?}");
    tree.store(&["verify", "--repair"]).ok();
    assert_eq!(fs::read_to_string(base).unwrap(), "base\n");
    pipe(&store.join("format"));
    tree.store(&["verify"]).fails(1, &["format", "named pipe"]);

    let artifact = artifact.to_str().unwrap();
    let root = tree.path("host");
    tree.install(artifact, &root).ok();
    tree.on(&root, &["verify"]).ok();
    let listed = fs::read_dir(root.join("trees")).unwrap().next().unwrap().unwrap();
    for path in [
        "manifest.json".to_owned(),
        "generations/1/generation.json".to_owned(),
        "generations/1/manifest.json".to_owned(),
        format!("trees/{}", listed.file_name().to_str().unwrap()),
    ] {
        let sound = fs::read(root.join(&path)).unwrap();
        pipe(&root.join(&path));
        let found = kinds(&tree.on(&root, &["verify", "--json"]));
        let kind = match path.starts_with("trees/") {
            true => found.get("").map(String::as_str) == Some("no_listing"),
            false => found.get(&path).map(String::as_str) == Some("type"),
        };
        assert!(kind, "{path}: {found:?}");
        fs::remove_file(root.join(&path)).unwrap();
        fs::write(root.join(&path), sound).unwrap();
        fs::set_permissions(root.join(&path), Permissions::from_mode(0o444)).unwrap();
    }
    tree.on(&root, &["verify"]).ok();
    let nobody_writes = tree.path("pipe");
    fs::write(&nobody_writes, "").unwrap();
    pipe(&nobody_writes);
    let pipe = nobody_writes.to_str().unwrap();
    for named in [&["verify", "--from", pipe][..], &["verify", "--policy", pipe]] {
        tree.on(&root, named).fails(1, &["named pipe"]);
    }
    tree.store(&["audit", pipe, "--manifest", pipe])
        .fails(1, &["named pipe"]);
}
