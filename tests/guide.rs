//! Holds the guide's list of commands against what the program says of itself.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]

use std::collections::BTreeSet;

use crate::support::TestTree;

/// Every verb below `verb` that does something by itself.
fn verbs(tree: &TestTree, verb: &[&str]) -> BTreeSet<String> {
    let ran = tree.store(&[verb, &["--help"]].concat());
    let help = ran.ok();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // What a description is wrapped into is further to the right.
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names: Vec<&str> = names.filter(|name| !name.is_empty() && *name != "help").collect();
    let below = names
        .iter()
        .flat_map(|name| verbs(tree, &[verb, &[*name]].concat()));
    let mut found: BTreeSet<String> = below.collect();
    if names.is_empty() || help.contains("[COMMAND]") {
        found.insert(verb.join(" "));
    }
    found
}

#[test]
fn every_verb_has_its_line_in_the_guide() {
    let tree = TestTree::new();
    let verbs = verbs(&tree, &[]);
    assert!(
        verbs.contains("roots add") && verbs.contains("graph"),
        "{verbs:?}"
    );
    let guide = include_str!("../docs/src/commands.md");
    let lines = guide.lines().filter_map(|line| line.strip_prefix("| `store "));
    let documented: BTreeSet<String> = lines
        .map(|line| {
            let (command, _) = line.split_once('`').unwrap();
            let is_name = |word: &&str| !word.starts_with(|letter: char| !letter.is_ascii_lowercase());
            command
                .split(' ')
                .take_while(is_name)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    assert_eq!(documented, verbs);
}
