//! Owns the tests of what verification says of folders that are served when parts of them are lost, or others lie there.

use std::fs;

use serde_json::Value;

use super::Farm;
use crate::support::text;

/// The paths of the differences that the verification of the folder `name` finds, sorted, and of which kind each is.
fn differences(farm: &Farm, name: &str) -> Vec<String> {
    let ran = farm
        .tree
        .store(&["verify", text(&farm.tree.path(name)), "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let found = report["differences"].as_array().unwrap().iter();
    let told = |it: &Value| [&it["path"], &it["difference"]].map(|it| it.as_str().unwrap().to_owned());
    let mut found: Vec<String> = found.map(|it| told(it).join(" ")).collect();
    found.sort();
    found
}

#[test]
fn what_lies_beside_the_entries_of_a_cache_is_found() {
    let farm = Farm::new();
    let signature = farm.entry("lib").with_extension("json.minisig");
    let stray = farm.cache.join("other--1.json.minisig");
    fs::copy(signature, stray).unwrap();
    fs::write(farm.cache.join("junk"), "").unwrap();
    fs::write(farm.cache.join("index.json"), "{}").unwrap();
    fs::create_dir(farm.cache.join("folder")).unwrap();
    fs::remove_dir(farm.cache.join("attestations")).unwrap();
    fs::write(farm.cache.join("attestations"), "").unwrap();
    let expected = [
        "attestations type",
        "folder extra",
        "index.json extra",
        "junk extra",
        "other--1.json.minisig extra",
    ];
    assert_eq!(differences(&farm, "cache"), expected);
}

#[test]
fn a_cache_without_entries_and_a_delivery_without_index_are_told_as_damaged() {
    let farm = Farm::new();
    let archives = ["app", "lib"].map(|name| {
        let path = farm.archive(name);
        text(path.strip_prefix(&farm.cache).unwrap()).to_owned()
    });
    for name in ["app", "lib"] {
        fs::remove_file(farm.entry(name)).unwrap();
        fs::remove_file(farm.entry(name).with_extension("json.minisig")).unwrap();
    }
    let mut expected = archives.map(|path| format!("{path} extra"));
    expected.sort();
    assert_eq!(differences(&farm, "cache"), expected);
    // A store has such folders, too.
    let store = farm.tree.store_dir();
    let neither = ["neither a delivery nor"];
    farm.tree.store(&["verify", text(&store)]).fails(2, &neither);

    farm.tree
        .file("delivery/B3SUMS", "")
        .file("delivery/install.sh", "");
    assert_eq!(differences(&farm, "delivery"), ["index.json missing"]);
    fs::create_dir(farm.tree.path("delivery/index.json")).unwrap();
    assert_eq!(differences(&farm, "delivery"), ["index.json type"]);
}
