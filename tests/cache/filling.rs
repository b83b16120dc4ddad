//! Owns the tests of what a push does to the folder that it fills, whatever that is and whatever was left there.

use std::fs;
use std::path::{Path, PathBuf};

use super::Farm;
use crate::support::{names, text};
use serde_json::json;

/// All that is below `folder`, sorted.
fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for path in entries {
            open.extend((path.is_dir() && !path.is_symlink()).then(|| path.clone()));
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn nothing_but_a_cache_is_filled() {
    let farm = Farm::new();
    let other = farm.other();
    let at_other = |arguments: &[&str]| {
        let store = ["--store", text(&other)];
        farm.tree.store(&[arguments, &store].concat())
    };
    let push = |folder: &Path| at_other(&["push", text(folder), "lib", "--key", "../key"]);
    at_other(&["build", "lib"]).ok();
    let host = farm.tree.path("host");
    for folder in ["packages", "trees"] {
        fs::create_dir_all(host.join(folder)).unwrap();
    }
    farm.tree
        .file("delivery/index.json", "")
        .file("delivery/install.sh", "");
    fs::create_dir_all(farm.tree.path("delivery/cache/archives")).unwrap();
    fs::create_dir_all(farm.tree.path("delivery/cache/trees")).unwrap();
    for (folder, kind) in [
        ("store", "the store "),
        ("store/packages/cache", "the store "),
        ("host", "the host "),
        ("delivery", "the delivery "),
        ("delivery/cache", "the delivery "),
        ("recipes/lib/cache", "the tree of recipes "),
        ("cache/attestations", "the binary cache "),
    ] {
        let folder = farm.tree.path(folder);
        let before = all_below(&farm.tree.path(""));
        push(&folder).fails(1, &["a folder of its own", kind]);
        assert_eq!(all_below(&farm.tree.path("")), before, "{}", folder.display());
    }
    farm.tree.store(&["verify"]).ok();
    push(&farm.cache).ok();
}

#[test]
fn what_a_killed_push_left_is_gone_after_the_next() {
    let farm = Farm::new();
    let stray = format!("archives/{}.tar.zst", "0".repeat(64));
    let left = [
        stray.as_str(),
        "archives/.partial-a.tar.zst",
        "trees/.partial-b.json",
        "attestations/.partial-c.json",
        ".partial-d.json",
    ];
    let left = left.map(|path| farm.cache.join(path));
    let before = all_below(&farm.cache);
    for path in &left {
        fs::write(path, "half").unwrap();
    }
    assert_eq!(names(&farm.push(&["app"]).json()["pushed"]), [""; 0]);
    assert_eq!(all_below(&farm.cache), before);
}

#[test]
fn a_push_that_fails_on_a_full_disk_takes_no_room() {
    let farm = Farm::new();
    let random = "head -c 3000000 /dev/urandom > $PKG_PATH/out";
    farm.tree.recipe("large", &json!({ "version": "1" }), random);
    farm.tree.store(&["build", "large"]).ok();
    // The store keeps its archive, which is then only copied.
    farm.push(&["large"]).ok();
    for path in [farm.entry("large"), farm.archive("large")] {
        fs::remove_file(path).unwrap();
    }
    let before = all_below(&farm.cache);
    // No file grows beyond 1 MB, as if there were no more room.
    let full = "trap '' XFSZ; ulimit -f 2000";
    let push = ["push", text(&farm.cache), "large", "--key", "../key"];
    let ran = farm.tree.store_after(full, &push);
    ran.fails(1, &["archives/.partial-", "too large"]);
    assert_eq!(all_below(&farm.cache), before);
}
