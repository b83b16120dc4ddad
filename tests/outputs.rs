//! Builds whose output no package may hold, and what the builder says about each.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

mod support;

use serde_json::json;
use support::TestTree;

#[test]
fn a_build_whose_output_cannot_be_kept_fails_and_registers_nothing() {
    // What the script does, and what the message must name.
    let cases: [(&str, &[&str]); 6] = [
        ("true", &["no output"]),
        ("mkfifo $PKG_PATH/pipe", &["`pipe`", "named pipe"]),
        ("ln -s /etc/passwd $PKG_PATH/users", &["`users`", "/etc/passwd"]),
        ("ln -s nowhere $PKG_PATH/link", &["`link`", "nowhere"]),
        (
            "echo written by /pkg/src/x/y.c > $PKG_PATH/note",
            &["`note`", "byte 11", "/pkg/src/"],
        ),
        (
            "readlink -f $STORE_PREFIX/active/shell > $PKG_PATH/uses",
            &["`uses`", "byte ", "shell--", "build dependency"],
        ),
    ];
    for (script, words) in cases {
        let tree = TestTree::new();
        tree.recipe("bad", &json!({ "version": "1" }), script);
        tree.store(&["build", "bad"])
            .fails(1, &[&["bad"], words].concat());
        assert_eq!(tree.packages(), [tree.package("shell")], "after `{script}`");
    }
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
