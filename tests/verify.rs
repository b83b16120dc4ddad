//! Stores that somebody damaged: `store verify` names each kind of damage, and `--repair` mends it.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

mod support;

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use support::TestTree;

fn built() -> TestTree {
    let tree = TestTree::new();
    tree.recipe(
        "base",
        &json!({ "version": "1" }),
        "mkdir $PKG_PATH/bin; echo base > $PKG_PATH/bin/said; ln -s said $PKG_PATH/bin/alias",
    );
    tree.recipe(
        "top",
        &json!({ "version": "1", "requires": ["base"] }),
        "echo top > $PKG_PATH/said",
    );
    tree.store(&["build", "all"]).ok();
    tree
}

/// Does something to what lies in a read-only folder, which looks untouched afterwards.
fn inside(folder: &Path, damage: impl FnOnce()) {
    let metadata = folder.metadata().unwrap();
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    damage();
    set_time(folder, metadata.modified().unwrap());
    fs::set_permissions(folder, metadata.permissions()).unwrap();
}

fn set_time(path: &Path, time: SystemTime) {
    let times = FileTimes::new().set_modified(time);
    File::open(path).unwrap().set_times(times).unwrap();
}

/// Gives a read-only file other bytes; mode and time stay.
fn rewrite(path: &Path, bytes: impl AsRef<[u8]>) {
    let metadata = path.metadata().unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    set_time(path, metadata.modified().unwrap());
    fs::set_permissions(path, metadata.permissions()).unwrap();
}

fn listing(tree: &TestTree, name: &str) -> PathBuf {
    let shown = tree.store(&["show", name, "--json"]).json();
    let digest = shown["tree"].as_str().unwrap();
    tree.store_dir().join(format!("trees/{digest}.json"))
}

/// What is done to the package `base`.
type Damage = fn(&TestTree, &Path);

/// A damage, with the path and the kind of difference that must be told.
const DAMAGES: [(&str, &str, Damage); 12] = [
    ("bin/said", "content", |_, base| {
        rewrite(&base.join("bin/said"), "BASE\n")
    }),
    ("bin/said", "size", |_, base| {
        rewrite(&base.join("bin/said"), "more than base\n")
    }),
    ("bin/said", "mode", |_, base| {
        fs::set_permissions(base.join("bin/said"), Permissions::from_mode(0o644)).unwrap();
    }),
    ("bin", "mode", |_, base| {
        fs::set_permissions(base.join("bin"), Permissions::from_mode(0o755)).unwrap();
    }),
    ("bin/said", "time", |_, base| {
        set_time(
            &base.join("bin/said"),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1),
        );
    }),
    ("bin/new", "extra", |_, base| {
        inside(&base.join("bin"), || fs::write(base.join("bin/new"), "").unwrap());
    }),
    ("bin/said", "missing", |_, base| {
        inside(&base.join("bin"), || {
            fs::remove_file(base.join("bin/said")).unwrap()
        });
    }),
    ("bin/alias", "target", |_, base| {
        inside(&base.join("bin"), || {
            fs::remove_file(base.join("bin/alias")).unwrap();
            symlink("else", base.join("bin/alias")).unwrap();
        });
    }),
    ("bin/alias", "type", |_, base| {
        inside(&base.join("bin"), || {
            fs::remove_file(base.join("bin/alias")).unwrap();
            fs::create_dir(base.join("bin/alias")).unwrap();
        });
    }),
    ("buildinfo.full.json", "id", |_, base| {
        let path = base.join("buildinfo.full.json");
        let changed = fs::read_to_string(&path).unwrap().replace("\"1\"", "\"2\"");
        rewrite(&path, changed);
    }),
    ("", "listing", |tree, _| rewrite(&listing(tree, "base"), "{}")),
    ("", "no_listing", |tree, _| {
        fs::remove_file(listing(tree, "base")).unwrap()
    }),
];

#[test]
fn every_kind_of_damage_is_named_and_mended() {
    let tree = built();
    let base = tree.package("base");
    for (path, kind, damage) in DAMAGES {
        damage(&tree, &base);
        let ran = tree.store(&["verify", "--json"]);
        assert_eq!(ran.code, Some(3), "{kind} of `{path}`: {ran:?}");
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let differences = report["differences"].as_array().unwrap();
        let named = |difference: &&Value| {
            let package = &difference["package"];
            package["name"] == "base" && package["id"] == tree.id("base").as_str()
        };
        assert!(
            differences.iter().all(|it| named(&it)),
            "{kind} of `{path}`: {report}"
        );
        let found = differences
            .iter()
            .any(|it| it["path"] == path && it["difference"] == kind);
        assert!(found, "{kind} of `{path}`: {report}");

        let words = tree.store(&["verify", "base"]);
        assert_eq!(words.code, Some(3), "{kind} of `{path}`: {words:?}");
        let place = format!(
            "{}{}{path}: ",
            tree.id("base"),
            if path.is_empty() { "" } else { "/" }
        );
        assert!(words.stdout.contains(&place), "{kind} of `{path}`: {words:?}");
        assert_eq!(tree.store(&["verify", "top"]).code, Some(0), "`top` is whole");

        tree.store(&["verify", "--repair"]).ok();
        tree.holds_only(&["base", "shell", "top"]);
    }
}

#[test]
fn all_damage_is_told_at_once_and_a_package_that_is_gone_is_built_again() {
    let tree = built();
    let (base, top) = (tree.package("base"), tree.package("top"));
    rewrite(&top.join("said"), "TOP\n");
    let packages = tree.store_dir().join("packages");
    // A folder that nobody may write into cannot be moved away by an ordinary user.
    fs::set_permissions(&base, Permissions::from_mode(0o755)).unwrap();
    fs::rename(&base, tree.path("aside")).unwrap();

    let ran = tree.store(&["verify", "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let mut found: Vec<_> = report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| ["path", "difference"].map(|field| it[field].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [["", "missing"], ["said", "content"]], "{report}");

    let repaired = tree.store(&["verify", "--repair", "--json"]).json();
    let mut names: Vec<_> = repaired["repaired"]
        .as_array()
        .unwrap()
        .iter()
        .map(|repair| repair["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["base", "top"]);
    tree.holds_only(&["base", "shell", "top"]);
    assert!(packages.join(base.file_name().unwrap()).is_dir());
}

#[test]
fn what_nobody_registered_is_named() {
    let tree = built();
    let stray = tree.store_dir().join("packages/stray");
    fs::create_dir(&stray).unwrap();
    let ran = tree.store(&["verify", "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let expected = json!([{ "package": null, "path": "packages/stray", "difference": "unregistered" }]);
    assert_eq!(report["differences"], expected);
    tree.store(&["verify", "base", "top", "shell"]).ok();
    fs::remove_dir(stray).unwrap();
    tree.holds_only(&["base", "shell", "top"]);
}
