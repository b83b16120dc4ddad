//! The promise that whoever asks why gets a proof that can be looked at.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::TestTree;

#[test]
fn a_dependency_is_proven_by_the_bytes_that_refer_to_it() {
    let tree = TestTree::new();
    let requires = |what: &[&str]| json!({ "version": "1", "requires": what });
    tree.recipe("base", &requires(&[]), "echo base > $PKG_PATH/out");
    let refers = "{ head -c 100000 /dev/zero; echo $STORE_PREFIX/packages/*base--*/out; } > $PKG_PATH/late
        mkdir $PKG_PATH/share; ln -s ../../$(basename $STORE_PREFIX/packages/*base--*)/out $PKG_PATH/share/link";
    tree.recipe("middle", &requires(&["base"]), refers);
    tree.recipe("top", &requires(&["middle"]), "echo nothing > $PKG_PATH/out");
    let why = || tree.store(&["why", "top", "base", "--json"]).json();
    assert_eq!(why()["chain"][1].get("references"), None, "not built yet");
    tree.store(&["why", "top", "base"]).ok();
    tree.store(&["build", "all"]).ok();
    let why = why();
    assert_eq!(why["chain"][0]["references"], json!([]));
    let found = why["chain"][1]["references"].as_array().unwrap();
    let files: Vec<&Value> = found.iter().map(|reference| &reference["file"]).collect();
    assert_eq!(files, ["late", "share/link"]);
    let offset = usize::try_from(found[0]["offset"].as_u64().unwrap()).unwrap();
    let bytes = fs::read(tree.package("middle").join("late")).unwrap();
    let id = tree.id("base");
    let digest = id.rsplit("--").next().unwrap();
    let around = String::from_utf8_lossy(&bytes[offset..offset + id.len()]).into_owned();
    assert!(around.starts_with(digest) || around == id, "{around}");
    assert_eq!(found[1]["offset"], Value::Null);
    let said = tree.store(&["why", "top", "base"]);
    for words in [
        "top requires, and no file of it refers to it",
        "middle requires: `late` at byte 1000",
        "and 1 other file",
    ] {
        assert!(said.ok().contains(words), "no `{words}` in {}", said.stdout);
    }
}
