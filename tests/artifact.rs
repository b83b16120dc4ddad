//! Master artifacts as their users meet them: made, listed and unpacked by plain tar, checked bit for bit, compared.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "plain tar must understand what we write"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::TestTree;
use serde_json::{Value, json};

/// `top` requires `middle`; `lone` stands alone; `shell` is selected as everything is.
fn built() -> TestTree {
    let tree = TestTree::new();
    tree.recipe(
        "middle",
        &json!({ "version": "2" }),
        "mkdir -p $PKG_PATH/bin $PKG_PATH/share/empty; echo middle > $PKG_PATH/share/said
        printf '#!/bin/sh\n' > $PKG_PATH/bin/runs; chmod 755 $PKG_PATH/bin/runs; ln -s runs $PKG_PATH/bin/alias",
    );
    tree.recipe(
        "top",
        &json!({ "version": "3", "requires": ["middle"] }),
        "echo top > $PKG_PATH/said",
    );
    tree.recipe("lone", &json!({ "version": "4" }), "echo lone > $PKG_PATH/said");
    tree.store(&["build", "all"]).ok();
    tree
}

/// Makes the artifact `file`, of everything; gives what was said of it.
fn create(tree: &TestTree, file: &str) -> (PathBuf, Value) {
    let path = tree.path(file);
    let args = ["artifact", "create", "--json", "-o", path.to_str().unwrap()];
    let said = tree.store(&args).json();
    (path, said)
}

fn names(packages: &Value) -> BTreeSet<&str> {
    let packages = packages.as_array().unwrap().iter();
    packages
        .map(|package| package["name"].as_str().unwrap())
        .collect()
}

fn tar(args: &[&str]) -> String {
    let output = Command::new("tar").args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Mode, time and content of everything below a folder.
fn state(folder: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    let mut state = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = if metadata.is_symlink() {
                fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes()
            } else if metadata.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else {
                fs::read(&path).unwrap()
            };
            let relative = path.strip_prefix(folder).unwrap().to_owned();
            state.insert(relative, (metadata.mode(), metadata.mtime(), content));
        }
    }
    state
}

/// Where each zstd frame lies, as the seek table at the end of the file has it.
fn frames(artifact: &[u8]) -> Vec<Range<usize>> {
    let number = |at: usize| u32::from_le_bytes(artifact[at..at + 4].try_into().unwrap()) as usize;
    let footer = artifact.len() - 9;
    assert_eq!(
        number(footer + 5),
        0x8F92_EAB1,
        "the magic number of a seek table"
    );
    let entry = if artifact[footer + 4] & 0x80 == 0 { 8 } else { 12 };
    let (count, mut begin) = (number(footer), 0);
    let frame = |at| {
        let length = number(footer - entry * (count - at));
        begin += length;
        begin - length..begin
    };
    (0..count).map(frame).collect()
}

#[test]
fn plain_tar_lists_an_artifact_and_unpacks_what_the_store_holds() {
    let tree = built();
    let (file, said) = create(&tree, "all.tar.zst");
    let file = file.to_str().unwrap();
    let all = BTreeSet::from(["lone", "middle", "shell", "top"]);
    assert_eq!(names(&said["packages"]), all);

    let listed = tar(&["--zstd", "-tf", file]);
    let lines: BTreeSet<&str> = listed.lines().collect();
    let middle = tree.id("middle");
    let bin = format!("packages/{middle}/bin");
    for path in [
        "manifest.json",
        "store",
        &format!("{bin}/runs"),
        &format!("{bin}/alias"),
    ] {
        assert!(lines.contains(path), "no `{path}` in {listed}");
    }

    let plain = tree.path("plain");
    fs::create_dir(&plain).unwrap();
    tar(&["--zstd", "-xf", file, "-C", plain.to_str().unwrap()]);
    for part in ["packages", "trees"] {
        let ours = state(&tree.store_dir().join(part));
        let mut theirs = state(&plain.join(part));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        if part == "trees" {
            // Of listings, only the content says anything.
            theirs.retain(|path, entry| ours[path].2 != entry.2);
            assert!(theirs.is_empty(), "{theirs:?}");
        } else {
            assert!(ours == theirs, "an unpacked package differs from the store's");
        }
    }
    let manifest: Value = serde_json::from_slice(&fs::read(plain.join("manifest.json")).unwrap()).unwrap();
    let inspected = tree.store(&["artifact", "inspect", file, "--json"]).json();
    let fields = |packages: &Value, field: &str| -> Vec<Value> {
        let packages = packages.as_array().unwrap().iter();
        packages.map(|package| package[field].clone()).collect()
    };
    for field in ["id", "tree", "size", "version", "selected"] {
        assert_eq!(
            fields(&inspected["packages"], field),
            fields(&manifest["packages"], field)
        );
    }
    let digest = blake3::hash(&fs::read(plain.join("manifest.json")).unwrap());
    assert_eq!(inspected["manifest"], digest.to_hex().as_str());
    tree.store(&["artifact", "verify", file]).ok();
    tree.store(&["verify", file]).ok();
}

#[test]
fn a_package_is_unpacked_with_its_closure_and_nothing_else() {
    let tree = built();
    let (file, _) = create(&tree, "all.tar.zst");
    let (file, to) = (file.to_str().unwrap(), tree.path("host"));
    let extract = |name: &str| {
        let to = to.to_str().unwrap();
        tree.store(&[
            "artifact",
            "extract",
            file,
            "--package",
            name,
            "--to",
            to,
            "--json",
        ])
    };
    let there = || -> BTreeSet<String> {
        let packages = fs::read_dir(to.join("packages")).unwrap();
        packages
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let said = extract("top").json();
    assert_eq!(names(&said["written"]), BTreeSet::from(["middle", "top"]));
    assert_eq!(there(), BTreeSet::from([tree.id("middle"), tree.id("top")]));
    for name in ["middle", "top"] {
        let unpacked = to.join("packages").join(tree.id(name));
        assert!(state(&unpacked) == state(&tree.package(name)), "`{name}` differs");
    }
    let again = extract("middle").json();
    assert_eq!(names(&again["written"]), BTreeSet::new());
    assert_eq!(names(&again["present"]), BTreeSet::from(["middle"]));
    let absent = ["artifact", "extract", file, "--package", "absent", "--to"];
    tree.store(&[&absent[..], &[to.to_str().unwrap()]].concat())
        .fails(2, &["absent"]);
    assert_eq!(there().len(), 2);
}

#[test]
fn archives_are_made_once_and_a_change_is_all_that_two_artifacts_differ_in() {
    let tree = built();
    let (one, said) = create(&tree, "one.tar.zst");
    assert_eq!(said["reused"], 0);
    let (again, said) = create(&tree, "again.tar.zst");
    assert_eq!(said["reused"], 4);
    assert!(
        fs::read(&one).unwrap() == fs::read(&again).unwrap(),
        "the same twice"
    );
    let diff = |other: &Path| {
        let files = [one.to_str().unwrap(), other.to_str().unwrap()];
        tree.store(&["artifact", "diff", files[0], files[1], "--json"])
    };
    assert_eq!(diff(&again).json()["unchanged"], 4);

    tree.file("recipes/middle/build", "mkdir $PKG_PATH/bin");
    fs::remove_dir_all(tree.path("recipes/lone")).unwrap();
    tree.recipe("new", &json!({ "version": "1" }), "mkdir $PKG_PATH/bin");
    tree.store(&["build", "all"]).ok();
    let (other, said) = create(&tree, "other.tar.zst");
    assert_eq!(said["reused"], 1, "the shell's");
    let ran = diff(&other);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let difference: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(names(&difference["added"]), BTreeSet::from(["new"]));
    assert_eq!(names(&difference["removed"]), BTreeSet::from(["lone"]));
    assert_eq!(names(&difference["changed"]), BTreeSet::from(["middle", "top"]));
    assert_eq!(difference["unchanged"], 1);
    let same_tree = |name: &str| {
        let mut changed = difference["changed"].as_array().unwrap().iter();
        changed.find(|change| change["name"] == name).unwrap()["same_tree"].clone()
    };
    assert_eq!(
        (same_tree("top"), same_tree("middle")),
        (json!(false), json!(false))
    );
    // One of a kind is said to be one.
    let alone = tree.path("alone.tar.zst");
    let said = tree.store(&["artifact", "create", "shell", "-o", alone.to_str().unwrap()]);
    assert!(said.ok().contains("(1 archive reused)"), "{said:?}");
}

#[test]
fn what_is_not_built_is_not_packed() {
    let tree = TestTree::new();
    let file = tree.path("none.tar.zst");
    let create = ["artifact", "create", "-o", file.to_str().unwrap()];
    tree.store(&create).fails(1, &["no store", "store build"]);
    tree.recipe("top", &json!({ "version": "1" }), "mkdir $PKG_PATH/bin");
    tree.store(&["build", "shell"]).ok();
    tree.store(&create).fails(1, &["top", "store build"]);
    assert!(!file.exists());
}

/// The part of an artifact that a frame belongs to, from the manifest in it.
fn part_of(frame: &Range<usize>, manifest_end: usize, manifest: &Value) -> String {
    let lies_in = |range: &Value| {
        let number = |field: &str| usize::try_from(range[field].as_u64().unwrap()).unwrap();
        let begin = manifest_end + number("offset");
        (begin..begin + number("length")).contains(&frame.start)
    };
    if frame.start < manifest_end {
        return "manifest".to_owned();
    }
    for package in manifest["packages"].as_array().unwrap() {
        let name = package["id"].as_str().unwrap().split("--").next().unwrap();
        if lies_in(&package["listing"]) {
            return format!("listing {name}");
        }
        if lies_in(&package["archive"]) {
            return format!("package {name}");
        }
    }
    if lies_in(&manifest["installer"]["archive"]) {
        return "installer".to_owned();
    }
    "end".to_owned()
}

#[test]
fn a_flipped_byte_in_any_part_is_found_and_named() {
    let tree = built();
    let (file, _) = create(&tree, "all.tar.zst");
    let sound = fs::read(&file).unwrap();
    let manifest = tar(&["--zstd", "-xOf", file.to_str().unwrap(), "manifest.json"]);
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let frames = frames(&sound);
    let manifest_end = frames[0].end;
    // One frame of each part stands for all of it.
    let mut parts: BTreeMap<String, usize> = frames
        .iter()
        .map(|frame| {
            (
                part_of(frame, manifest_end, &manifest),
                frame.start + frame.len() / 2,
            )
        })
        .collect();
    parts.insert("seek_table".to_owned(), sound.len() - 1);
    assert_eq!(parts.len(), 4 + 2 * 4, "{parts:?}");

    let damaged = tree.path("damaged.tar.zst");
    for (part, at) in parts {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        fs::write(&damaged, bytes).unwrap();
        let ran = tree.store(&["artifact", "verify", damaged.to_str().unwrap(), "--json"]);
        assert_eq!(ran.code, Some(3), "{part}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{part}: {ran:?}");
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let differences = report["differences"].as_array().unwrap();
        let found: Vec<String> = differences.iter().map(told).collect();
        assert!(found.contains(&part), "{part}: {report}");
    }
    fs::write(&damaged, &sound[..sound.len() / 2]).unwrap();
    tree.store(&["verify", damaged.to_str().unwrap()]).fails(3, &[]);
}

/// The part that a difference is in, as [`part_of`] has it.
fn told(difference: &Value) -> String {
    let part = difference["part"].as_str().unwrap();
    match difference["package"]["name"].as_str() {
        Some(name) => format!("{part} {name}"),
        None => part.to_owned(),
    }
}
