//! The promise that whoever asks why gets a proof that can be looked at.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]

use std::fs;

use crate::support::TestTree;
use serde_json::{Value, json};

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

#[test]
fn a_package_is_referred_to_by_the_name_under_which_it_is_active_as_well() {
    let tree = TestTree::new();
    let requires = |what: &[&str]| json!({ "version": "1", "requires": what });
    for name in ["base", "base-more"] {
        tree.recipe(name, &requires(&[]), "echo base > $PKG_PATH/out");
    }
    let refers = "echo \"$STORE_PREFIX/active/base/out\" > $PKG_PATH/file
        ln -s $STORE_PREFIX/active/base $PKG_PATH/link
        { head -c 300000 /dev/zero; echo $STORE_PREFIX/active/base-more; } > $PKG_PATH/other
        { head -c 262130 /dev/zero; echo $STORE_PREFIX/active/base/out; } > $PKG_PATH/split";
    tree.recipe("top", &requires(&["base", "base-more"]), refers);
    tree.store(&["build", "all"]).ok();
    let files = |to: &str| -> Vec<String> {
        let chain = tree.store(&["why", "top", to, "--json"]).json()["chain"].clone();
        let found = chain[0]["references"].as_array().unwrap().iter();
        found.map(|it| it["file"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(files("base"), ["file", "link", "split"]);
    assert_eq!(files("base-more"), ["other"]);
}

/// A shorter way through what is needed at build time alone proves nothing of a host.
#[test]
fn what_is_needed_to_run_explains_before_what_is_needed_to_build() {
    let tree = TestTree::new();
    tree.recipe("base", &json!({ "version": "1" }), "echo base > $PKG_PATH/out");
    let refers = "echo $STORE_PREFIX/packages/*base--*/out > $PKG_PATH/out";
    tree.recipe("mid", &json!({ "version": "1", "requires": ["base"] }), refers);
    let top = json!({ "version": "1", "requires": ["mid"], "build_requires": ["base"] });
    tree.recipe("top", &top, "echo top > $PKG_PATH/out");
    tree.recipe(
        "apart",
        &json!({ "version": "1", "build_requires": ["top"] }),
        "echo apart > $PKG_PATH/out",
    );
    tree.store(&["build", "all"]).ok();
    let why = |from: &str| tree.store(&["why", from, "base", "--json"]).json()["chain"].clone();
    let names = |chain: &Value| -> Vec<String> {
        let links = chain.as_array().unwrap().iter();
        links
            .map(|link| link["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let chain = why("top");
    assert_eq!(names(&chain), ["top", "mid", "base"]);
    assert_eq!(chain[1]["at_run_time"], true);
    assert_eq!(chain[1]["references"][0]["file"], "out");
    // Without any such way it is the shortest of all.
    let chain = why("apart");
    assert_eq!(names(&chain), ["apart", "top", "base"]);
    assert_eq!(chain[0]["at_run_time"], false);
}

#[test]
fn a_rebuild_is_traced_to_the_line_of_a_script_that_caused_it() {
    let tree = TestTree::new();
    let requires = |what: &[&str]| json!({ "version": "1", "requires": what });
    let base = |greeting: &str| format!("echo one\necho {greeting} > $PKG_PATH/out\necho three");
    tree.recipe("base", &requires(&[]), &base("hello"));
    tree.recipe("middle", &requires(&["base"]), "echo middle > $PKG_PATH/out");
    tree.recipe("top", &requires(&["middle"]), "echo top > $PKG_PATH/out");
    let why = |name: &str| tree.store(&["why-rebuilt", name, "--json"]).json();
    assert_eq!(why("top")["before"], Value::Null);
    tree.store(&["build", "all"]).ok();
    assert_eq!(why("top")["before"], Value::Null, "built once only");
    let first = tree.id("top");

    tree.recipe("base", &requires(&[]), &base("good morning"));
    let planned = why("top");
    assert_eq!(
        (&planned["built"], &planned["before"]),
        (&json!(false), &json!(first))
    );
    tree.store(&["build", "all"]).ok();
    // What was built from is known even when the package is not there any more.
    tree.store(&["gc"]).ok();
    let done = why("top");
    assert_eq!(done["built"], true);
    assert_eq!(done["causes"], planned["causes"]);
    let cause = &done["causes"][0];
    assert_eq!(cause["through"], json!(["top", "middle", "base"]));
    assert_eq!(done["causes"].as_array().unwrap().len(), 1);
    let input = &cause["inputs"][0];
    assert_eq!(
        (&input["input"], &input["path"]),
        (&json!("file"), &json!("build"))
    );
    let hunk = &input["lines"][0];
    assert_eq!(hunk["removed"], json!(["echo hello > $PKG_PATH/out"]));
    assert_eq!(hunk["added"], json!(["echo good morning > $PKG_PATH/out"]));
    let script = fs::read_to_string(tree.path("recipes/base/build")).unwrap();
    let line = script
        .lines()
        .position(|line| line.contains("good morning"))
        .unwrap()
        + 1;
    assert_eq!(
        (&hunk["old_line"], &hunk["new_line"]),
        (&json!(line), &json!(line))
    );
    let said = tree.store(&["why-rebuilt", "top"]);
    let place = format!("top -> middle -> base: `build`, line {line}:");
    for words in [&place, "  - echo hello", "  + echo good", &first] {
        assert!(said.ok().contains(words), "no `{words}` in {}", said.stdout);
    }

    // More than one input at once, a package's own first.
    tree.recipe("base", &json!({ "version": "2" }), &base("good night"));
    tree.recipe("top", &requires(&["middle", "base"]), "echo top > $PKG_PATH/out");
    let both = why("top");
    let inputs = |at: usize| -> Vec<&str> {
        let inputs = both["causes"][at]["inputs"].as_array().unwrap().iter();
        inputs.map(|input| input["input"].as_str().unwrap()).collect()
    };
    assert_eq!(inputs(0), ["dependency"]);
    assert_eq!(inputs(1), ["field", "file"]);
    assert_eq!(both["causes"][1]["through"], json!(["top", "middle", "base"]));
    // The build before the last is remembered, too.
    let since = tree
        .store(&["why-rebuilt", "top", "--since", &first, "--json"])
        .json();
    assert_eq!(
        since["causes"][1]["inputs"][1]["lines"][0]["removed"],
        hunk["removed"]
    );
    tree.store(&["why-rebuilt", "top", "--since", &tree.id("base")])
        .fails(2, &["top"]);
}

#[test]
fn a_recipe_that_is_as_it_once_was_follows_the_build_that_came_between() {
    let tree = TestTree::new();
    let write = |word: &str| {
        tree.recipe(
            "lib",
            &json!({ "version": "1" }),
            &format!("echo {word} > $PKG_PATH/out"),
        );
        tree.store(&["build", "lib"]).ok();
        tree.id("lib")
    };
    let ids = ["first", "second", "first"].map(write);
    assert_eq!(ids[0], ids[2]);
    let why = || tree.store(&["why-rebuilt", "lib", "--json"]).json();
    let found = why();
    assert_eq!((&found["id"], &found["before"]), (&json!(ids[0]), &json!(ids[1])));
    let lines = &found["causes"][0]["inputs"][0]["lines"][0];
    assert_eq!(lines["removed"], json!(["echo second > $PKG_PATH/out"]));
    assert_eq!(lines["added"], json!(["echo first > $PKG_PATH/out"]));
    // The newest of several.
    let third = write("third");
    write("first");
    assert_eq!(why()["before"], json!(third));
}

#[test]
fn a_package_from_a_cache_was_there_before() {
    let tree = TestTree::new();
    let version = json!({ "version": "1" });
    tree.recipe("lib", &version, "echo first > $PKG_PATH/out");
    tree.store(&["build", "lib"]).ok();
    let made = tree.store(&["keygen", "../key", "--json"]).json();
    tree.store(&["push", "../cache", "--key", "../key", "lib"]).ok();
    let key = made["key"].as_str().unwrap();
    let other = |args: &[&str]| tree.store(&[args, &["--store", "../other"]].concat());
    other(&["build", "lib", "--cache", "../cache", "--cache-key", key]).ok();
    let first = tree.id("lib");

    tree.recipe("lib", &version, "echo second > $PKG_PATH/out");
    let found = other(&["why-rebuilt", "lib", "--json"]).json();
    assert_eq!(
        (&found["before"], &found["before_started"]),
        (&json!(first), &Value::Null)
    );
    assert_eq!(found["causes"][0]["inputs"][0]["path"], "build");
}

#[test]
fn lines_that_differ_in_what_no_terminal_shows_are_told_apart() {
    let tree = TestTree::new();
    let script = tree.path("recipes/lib/build");
    tree.recipe("lib", &json!({ "version": "1" }), "true");
    fs::write(&script, "touch $PKG_PATH/out\n: one\r\n: \x1b[2J").unwrap();
    tree.store(&["build", "lib"]).ok();
    fs::write(&script, "touch $PKG_PATH/out\n: one\n: \x1b[2J\n").unwrap();
    let said = tree.store(&["why-rebuilt", "lib"]);
    let lines = [
        "  - : one\\r\n",
        "  + : one\n",
        "  - : \\u{1b}[2J (no newline at the end)\n",
        "  + : \\u{1b}[2J",
    ];
    for words in lines {
        assert!(said.ok().contains(words), "no `{words}` in {}", said.stdout);
    }
    let found = tree.store(&["why-rebuilt", "lib", "--json"]).json();
    let hunk = &found["causes"][0]["inputs"][0]["lines"][0];
    assert_eq!(hunk["unended"], "removed");
}
