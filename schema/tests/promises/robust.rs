//! Owns the promise that no document, however broken, does more harm than a finding.

use proptest::prelude::*;
use schema::graph::Graph;
use schema::resolved::resolve_all;

use crate::trees::{SHA, TREEINFO, validated};

const RECIPE: &str = r#"{"version": "1", "single_source": {"kind": "url", "urls": ["https://h/a"], "sha256": "SHA"},
    "requires": ["b", {"name": "c", "variant": "d"}], "environment": {"A": "é"}, "sysctl": {"s": {"k": 1}},
    "roles": ["r"], "memory": "2G", "bootstrap": [["A=1", "/pkg/extra/x", "$PKG_PATH"]], "toolchain": []}"#;

const OTHER: &str = "{}";

/// Pieces of documents, to be put where they do not belong.
const PIECES: [&str; 16] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "-1e999",
    "\"requires\"",
    "\"git_local\"",
    "\"../..\"",
    "é\u{1f600}",
    "\u{0}",
    "\"--\"",
];

proptest! {
    #[test]
    fn no_text_is_more_than_a_mistake(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..8usize, 0..PIECES.len()), 1..6),
        edit_tree: bool,
    ) {
        let mut texts = [RECIPE.replace("SHA", SHA), TREEINFO.to_owned()];
        let text = &mut texts[usize::from(edit_tree)];
        for (place, removed, piece) in edits {
            let start = text.floor_char_boundary(place.index(text.len() + 1));
            let end = text.floor_char_boundary((start + removed).min(text.len())).max(start);
            text.replace_range(start..end, PIECES[piece]);
        }
        let [recipe, treeinfo] = &texts;
        let files = [
            ("treeinfo.json", treeinfo.as_str()),
            ("a/buildinfo.json", recipe.as_str()),
            ("a/extra/x", ""),
            ("b/buildinfo.json", OTHER),
            ("b/build", ""),
        ];
        match validated(&files) {
            Ok(tree) => {
                let graph = Graph::resolve(&tree, None).unwrap();
                resolve_all(&graph, 1).unwrap();
            }
            Err(findings) => {
                for finding in findings {
                    let text = match finding.file.as_str() {
                        "treeinfo.json" => treeinfo,
                        "a/buildinfo.json" => recipe,
                        // What the tree asks of all its recipes may be wrong with this one.
                        "b/buildinfo.json" => OTHER,
                        other => panic!("{other}"),
                    };
                    prop_assert!(text.get(finding.span.0..finding.span.1).is_some(), "{finding:?}");
                    prop_assert!(finding.line >= 1 && finding.column >= 1);
                    prop_assert!(finding.message.ends_with('.') && !finding.help.is_empty());
                }
            }
        }
    }
}
