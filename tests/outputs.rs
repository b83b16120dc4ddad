//! Builds whose output no package may hold, and what the builder says about each.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

use crate::support::TestTree;
use serde_json::json;

#[test]
fn a_build_whose_output_cannot_be_kept_fails_and_registers_nothing() {
    // What the recipe is called, what its script does, and what the error must name.
    let cases: [(&str, &str, &[&str]); 5] = [
        ("pipe", "mkfifo $PKG_PATH/pipe", &["`pipe`", "named pipe"]),
        (
            "out",
            "ln -s /etc/passwd $PKG_PATH/users",
            &["`users`", "/etc/passwd"],
        ),
        ("nowhere", "ln -s nowhere $PKG_PATH/link", &["`link`", "nowhere"]),
        (
            "build-folder",
            "echo written by /pkg/src/x/y.c > $PKG_PATH/note",
            &["`note`", "byte 11", "/pkg/src/"],
        ),
        (
            "build-only",
            "readlink -f $STORE_PREFIX/active/shell > $PKG_PATH/uses",
            &["`uses`", "byte ", "shell--", "build dependency"],
        ),
    ];
    let tree = TestTree::new();
    for (name, script, _) in cases {
        tree.recipe(name, &json!({ "version": "1" }), script);
    }
    tree.all_fail(cases.map(|(name, _, words)| (name, words.to_vec())));
}

#[test]
fn a_reference_to_what_is_required_is_kept() {
    let tree = TestTree::new();
    let script = "readlink -f $STORE_PREFIX/active/shell > $PKG_PATH/uses";
    tree.recipe("good", &json!({ "version": "1", "requires": ["shell"] }), script);
    tree.store(&["build", "good"]).ok();
    let shell = tree.package("shell");
    let uses = std::fs::read_to_string(tree.package("good").join("uses")).unwrap();
    assert_eq!(
        uses.trim().rsplit('/').next(),
        shell.file_name().unwrap().to_str()
    );
}
