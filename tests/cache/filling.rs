//! Owns the tests of what a push does to the folder that it fills, whatever that is and whatever was left there.

use std::fs;
use std::path::{Path, PathBuf};

use super::Farm;
use crate::support::text;

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
