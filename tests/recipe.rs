//! A recipe from nothing to a package, as its author types it, and what the author is told of mistakes.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]

use std::fs;

use crate::support::TestTree;
use serde_json::json;

/// An archive with one folder in it, as upstreams publish them.
fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let script = b"#!/bin/sh\necho PREFIX=${1#--prefix=} > made\n";
    let makefile = b"all:\n";
    for (path, mode, content) in [
        ("tiny-1.0/configure", 0o755, &script[..]),
        ("tiny-1.0/Makefile", 0o644, makefile),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        builder.append_data(&mut header, path, content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_recipe_is_started_pinned_checked_and_built() {
    let tree = TestTree::new();
    let folder = tree.recipes().join("tiny");
    tree.store(&["recipe", "new", "tiny"]).ok();
    tree.store(&["recipe", "new", "tiny"])
        .fails(1, &["tiny", "is there already"]);
    // What nobody has fetched yet has no digest.
    let unpinned = ["tiny/buildinfo.json", "store recipe pin"];
    tree.store(&["recipe", "check"]).fails(1, &unpinned);

    let upstream = tree.path("tiny-1.0.tar");
    fs::write(&upstream, archive()).unwrap();
    let info = fs::read_to_string(folder.join("buildinfo.json")).unwrap();
    let address = format!("file://{}", upstream.display());
    let at_home = info.replace("https://example.org/tiny-1.0.tar.gz", &address);
    assert_ne!(info, at_home);
    fs::write(folder.join("buildinfo.json"), &at_home).unwrap();
    fs::write(
        folder.join("build"),
        "./configure --prefix=$PKG_PATH\nmkdir -p $PKG_PATH\ncp made $PKG_PATH/\n",
    )
    .unwrap();
    // Nobody is there who could agree to it.
    tree.store(&["recipe", "pin", "tiny"]).fails(1, &["tiny"]);
    assert_eq!(
        fs::read_to_string(folder.join("buildinfo.json")).unwrap(),
        at_home
    );
    let shown = tree.store(&["recipe", "pin", "tiny", "--yes"]);
    let pinned = fs::read_to_string(folder.join("buildinfo.json")).unwrap();
    let digest = pinned
        .split('"')
        .find(|word| word.len() == 64)
        .expect("a digest of 32 bytes in hex");
    shown.fails(0, &[digest]);
    // All else stands as its author wrote it.
    let fields: serde_json::Value = serde_json::from_str(&pinned).unwrap();
    let mut before: serde_json::Value = serde_json::from_str(&at_home).unwrap();
    before["single_source"]["sha256"] = json!(digest);
    assert_eq!(fields, before);
    assert!(
        pinned.starts_with(at_home.split(&address).next().unwrap()),
        "{pinned}"
    );

    tree.store(&["recipe", "check"]).ok();
    tree.store(&["build", "tiny"]).ok();
    let made = fs::read_to_string(tree.package("tiny").join("made")).unwrap();
    assert_eq!(made, format!("PREFIX=/opt/store/packages/{}\n", tree.id("tiny")));
}

#[test]
fn mistakes_are_shown_at_their_places_all_in_one_run() {
    let tree = TestTree::new();
    tree.recipe("base", &json!({ "version": "1" }), "true");
    tree.file(
        "recipes/one/buildinfo.json",
        "{\n  \"version\": \"1\",\n  \"requires\": [\"bse\"]\n}\n",
    );
    tree.file("recipes/one/build", "true\n");
    tree.file(
        "recipes/two/buildinfo.json",
        "{\n  \"version\": \"1\",\n  \"licence\": \"MIT\"\n}\n",
    );
    tree.file("recipes/two/build", "true\n");
    for verb in [&["recipe", "check"][..], &["build", "all"], &["show", "base"]] {
        tree.store(verb).fails(
            1,
            &[
                "one/buildinfo.json:3:16",
                "`one` depends on `bse`",
                "did you mean `base`?",
                "two/buildinfo.json:3:3",
                "`licence` is not a field of a recipe",
                "did you mean `license`?",
            ],
        );
    }
    let document: serde_json::Value =
        serde_json::from_str(&tree.store(&["recipe", "check", "--json"]).stdout).unwrap();
    let places: Vec<_> = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            (
                finding["file"].clone(),
                finding["line"].clone(),
                finding["column"].clone(),
            )
        })
        .collect();
    let expected = [
        (json!("one/buildinfo.json"), json!(3), json!(16)),
        (json!("two/buildinfo.json"), json!(3), json!(3)),
    ];
    assert_eq!(places, expected);
    assert!(tree.packages().is_empty());
}

#[test]
fn a_licence_that_no_program_knows_is_warned_of_where_it_stands() {
    let tree = TestTree::new();
    let text = "{\n  \"version\": \"1\",\n  \"license\": \"Apache 2.0\"\n}\n";
    tree.file("recipes/odd/buildinfo.json", text);
    tree.file("recipes/odd/build", "echo > $PKG_PATH/out\n");
    let licenses = ["MIT OR LicenseRef-own", ""];
    for (at, license) in licenses.iter().enumerate() {
        let info = json!({ "version": "1", "license": license });
        tree.recipe(&format!("sound{at}"), &info, "echo > $PKG_PATH/out");
    }
    let ran = tree.store(&["recipe", "check", "--json"]);
    let findings = ran.json()["findings"].clone();
    let start = text.find("\"Apache").unwrap();
    assert_eq!(
        findings,
        json!([{
            "file": "odd/buildinfo.json", "line": 3, "column": 14,
            "span": [start, start + "\"Apache 2.0\"".len()],
            "package": "odd", "severity": "warning",
            "message": "`Apache 2.0` is not an SPDX licence expression.",
            "help": "write `Apache-2.0`",
        }])
    );
    let ran = tree.store(&["recipe", "check"]);
    assert!(
        ran.ok().contains("1 thing in 1 package better said otherwise"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("odd/buildinfo.json:3:14"), "{ran:?}");
    tree.store(&["build", "odd"]).ok();
}

#[test]
fn what_the_words_for_people_should_be_is_advised_and_hinders_nothing() {
    let tree = TestTree::new();
    for (name, about) in [
        ("wiki", json!({ "homepage": "our wiki" })),
        ("old", json!({ "license": "GPL-2.0+" })),
        ("none", json!({ "homepage": "", "license": "" })),
    ] {
        let mut info = about;
        info["version"] = json!("1");
        tree.recipe(name, &info, "echo > $PKG_PATH/out");
    }
    let findings = tree.store(&["recipe", "check", "--json"]).json()["findings"].clone();
    let told: Vec<_> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| ["package", "severity", "message"].map(|field| finding[field].as_str().unwrap()))
        .collect();
    let deprecated = "`GPL-2.0+` is spelled in a way that SPDX has deprecated.";
    assert_eq!(
        told,
        [
            ["old", "warning", deprecated],
            ["wiki", "warning", "`our wiki` is not the address of a web page."],
        ]
    );
    assert_eq!(findings[0]["help"], "write `GPL-2.0-or-later`");
    tree.store(&["build", "wiki"]).ok();
}
