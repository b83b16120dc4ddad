//! The promise that whatever differs between two releases, two states of a host or two packages is told, to the file.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Ran, TestTree, names, text};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

/// Two releases: of `lib` the version, the licence and files change, `old` goes and `new` comes, and `user` is the same
/// recipe with another dependency.
struct Releases {
    tree: TestTree,
    artifacts: [PathBuf; 2],
    /// The store IDs of `user`.
    users: [String; 2],
}

impl Releases {
    fn new() -> Self {
        let tree = TestTree::new();
        let lib = |version: &str, license: &str| json!({ "version": version, "license": license });
        tree.recipe(
            "lib",
            &lib("1", "MIT"),
            "cd $PKG_PATH; echo one > same; echo 12 > grows; ln -s same link; mkdir d",
        );
        tree.recipe(
            "user",
            &json!({ "version": "1", "requires": ["lib"] }),
            "echo user > $PKG_PATH/out",
        );
        tree.recipe("old", &json!({ "version": "1" }), "echo old > $PKG_PATH/out");
        let first = Self::release(&tree, "first");
        let user = tree.id("user");
        tree.recipe(
            "lib",
            &lib("2", "Apache-2.0"),
            "cd $PKG_PATH; echo one > same; echo 1234 > grows; ln -s grows link; echo x > d",
        );
        tree.recipe("new", &json!({ "version": "7" }), "echo new > $PKG_PATH/out");
        fs::remove_dir_all(tree.path("recipes/old")).unwrap();
        let second = Self::release(&tree, "second");
        let users = [user, tree.id("user")];
        Self {
            artifacts: [first, second],
            users,
            tree,
        }
    }

    fn release(tree: &TestTree, name: &str) -> PathBuf {
        tree.store(&["build", "all"]).ok();
        let artifact = tree.path(&format!("{name}.tar.zst"));
        tree.store(&["artifact", "create", "-o", text(&artifact)]).ok();
        artifact
    }

    #[track_caller]
    fn differ(&self, args: &[&str]) -> Value {
        let ran: Ran = self.tree.store(&[&["diff", "--json"], args].concat());
        assert_eq!(ran.code, Some(3), "{ran:?}");
        serde_json::from_str(&ran.stdout).unwrap()
    }
}

/// What every comparison of the two forms of `lib` says.
#[track_caller]
fn says_how_lib_changed(found: &Value) {
    let mut changed = found["changed"].as_array().unwrap().iter();
    let lib = changed.find(|it| it["name"] == "lib").unwrap();
    assert_eq!(
        (&lib["before"]["version"], &lib["after"]["version"]),
        (&json!("1"), &json!("2"))
    );
    assert_eq!(lib["same_tree"], false);
    let files = &lib["files"];
    let paths = |of: &str| -> Vec<&str> {
        let files = files[of].as_array().unwrap().iter();
        files.map(|file| file["path"].as_str().unwrap()).collect()
    };
    // The resolved recipe differs with whatever it says.
    assert_eq!(paths("changed"), ["buildinfo.full.json", "d", "grows", "link"]);
    assert_eq!((paths("added"), paths("removed")), (vec![], vec![]));
    let of = |path: &str| {
        files["changed"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["path"] == path)
            .unwrap()
    };
    assert_eq!(
        (&of("grows")["before"]["size"], &of("grows")["after"]["size"]),
        (&json!(3), &json!(5))
    );
    assert_eq!(
        (&of("d")["before"]["type"], &of("d")["after"]["type"]),
        (&json!("dir"), &json!("file"))
    );
    assert_eq!(of("link")["after"]["target"], "grows");
    assert_eq!(files["unchanged"], 1);
}

#[test]
fn two_artifacts_and_two_generations_differ_in_the_same_things() {
    let releases = Releases::new();
    let tree = &releases.tree;
    let [first, second] = [text(&releases.artifacts[0]), text(&releases.artifacts[1])];
    let host = tree.path("host");
    for artifact in [first, second] {
        tree.store(&["install", artifact, "--root", text(&host)]).ok();
    }
    let root = ["--root", text(&host)];
    let of_hosts = releases.differ(&[&root[..], &["1", "2"]].concat());
    let of_artifacts = releases.differ(&[first, second]);
    for found in [&of_artifacts, &of_hosts] {
        assert_eq!(names(&found["added"]), ["new"]);
        assert_eq!(names(&found["removed"]), ["old"]);
        assert_eq!(names(&found["changed"]), ["lib", "user"]);
        says_how_lib_changed(found);
        let lib = &found["changed"][0];
        assert_eq!(
            (&lib["before"]["license"], &lib["after"]["license"]),
            (&json!("MIT"), &json!("Apache-2.0"))
        );
    }
    assert_eq!(of_hosts["size"], of_artifacts["size"]);
    // Without a second side it is what is active, and a host is compared with a release as well.
    assert_eq!(releases.differ(&[&root[..], &["1"]].concat()), of_hosts);
    let against = releases.differ(&[&root[..], &["1", second]].concat());
    assert_eq!(against["changed"], of_artifacts["changed"]);
    let same = tree
        .store(&["diff", "2", second, "--root", text(&host), "--json"])
        .json();
    assert_eq!(same["changed"], json!([]));
    // Packages of a store are no release, so nothing is told of them that only releases have.
    let alone = tree.path("alone.tar.zst");
    tree.store(&["artifact", "create", "user", "-o", text(&alone)])
        .ok();
    tree.store(&["diff", text(&alone), "user"]).ok();
    // The older way to say it.
    let older = tree.store(&["artifact", "diff", first, second, "--json"]);
    assert_eq!(
        serde_json::from_str::<Value>(&older.stdout).unwrap(),
        of_artifacts
    );

    // A manifest alone knows the packages, but not their files.
    let manifest = tree.path("manifest.json");
    fs::copy(host.join("manifest.json"), &manifest).unwrap();
    let of_manifest = releases.differ(&[first, text(&manifest)]);
    assert_eq!(names(&of_manifest["changed"]), ["lib", "user"]);
    assert_eq!(of_manifest["changed"][0]["files"], Value::Null);
    assert_eq!(of_manifest["fetch"], of_artifacts["fetch"]);

    let said = tree.store(&["diff", first, second]);
    for words in [
        "+ 7 new--",
        "- 1 old--",
        "~ lib 1 -> 2",
        "    licence: MIT -> Apache-2.0",
        "    ~ requires lib\n",
        "    ~ grows, 3 B -> 5 B (+2 B)\n",
        "    ~ link: same -> grows",
        "to fetch",
    ] {
        assert!(said.stdout.contains(words), "no `{words}` in {}", said.stdout);
    }
}

#[test]
fn two_packages_of_a_store_are_compared_with_all_that_they_require() {
    let releases = Releases::new();
    let tree = &releases.tree;
    let [old, new] = &releases.users;
    let found = releases.differ(&[old, new]);
    assert_eq!(
        (names(&found["added"]), names(&found["removed"])),
        (vec![], vec![])
    );
    assert_eq!(names(&found["changed"]), ["lib", "user"]);
    says_how_lib_changed(&found);
    assert_eq!(found["fetch"], Value::Null);
    // By a store path and by the name in the tree it is the same.
    let path = tree.store_dir().join("packages").join(old);
    assert_eq!(releases.differ(&[text(&path), "user"]), found);
    let same = tree.store(&["diff", new, "user", "--json"]).json();
    assert_eq!((&same["unchanged"], &same["fetch"]), (&json!(2), &Value::Null));
    let gone = old.replace("user--", "usar--");
    tree.store(&["diff", &gone, "user"])
        .fails(1, &["usar--", "not in the store"]);
    tree.store(&["diff", "absent", "user"]).fails(2, &["`absent`"]);
    tree.store(&["diff", "1", "2"]).fails(2, &["--root"]);
    tree.store(&["diff", "0", "2"])
        .fails(2, &["`0` is not the number of a generation"]);
    for missing in ["missing.tar.zst", "a/missing", "missing.json"] {
        let told = format!("there is no file `{missing}`");
        tree.store(&["diff", missing, "user"]).fails(2, &[&told]);
    }
}

#[test]
fn a_local_change_of_a_host_is_told_to_the_file() {
    let tree = TestTree::new();
    tree.recipe(
        "lib",
        &json!({ "version": "1" }),
        "cd $PKG_PATH; echo one > same; echo 12 > grows",
    );
    let artifact = tree.path("release.tar.zst");
    tree.store(&["build", "all"]).ok();
    tree.store(&["artifact", "create", "-o", text(&artifact)]).ok();
    let host = tree.path("host");
    let root = ["--root", text(&host)];
    tree.store(&[&["install", text(&artifact)], &root[..]].concat())
        .ok();
    let made = tree
        .store(&[&["override", "lib", "--json"], &root[..]].concat())
        .json();
    fs::write(
        Path::new(made["folder"].as_str().unwrap()).join("grows"),
        "1234\n",
    )
    .unwrap();
    let ran = tree.store(&[&["diff", "1", "2", "--json"], &root[..]].concat());
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    let lib = &found["changed"][0];
    assert_eq!(lib["same_tree"], false);
    let changed = lib["files"]["changed"].as_array().unwrap().iter();
    let paths: Vec<&Value> = changed.map(|file| &file["path"]).collect();
    assert_eq!(paths, ["buildinfo.full.json", "grows"]);
    // Nobody has to fetch it.
    assert_eq!(
        (&found["fetch"], &lib["after"]["length"]),
        (&json!(0), &Value::Null)
    );
    let said = tree.store(&[&["diff", "1", "2"], &root[..]].concat());
    assert!(said.stdout.contains("    ~ grows, 3 B -> 5 B"), "{said:?}");
}

/// What people are told of a package is no part of its store ID.
#[test]
fn what_no_store_id_knows_of_is_told_as_well() {
    let tree = TestTree::new();
    let release = |file: &str, about: Value, names: &[&str]| {
        let mut info = json!({ "version": "1" });
        let fields = info.as_object_mut().unwrap();
        fields.extend(about.as_object().unwrap().clone());
        tree.seed("lib", info, &[("lib/lib", "lib")]);
        tree.store(&[&["build"], names].concat()).ok();
        let file = tree.path(file);
        tree.store(&[&["artifact", "create", "-o", text(&file)], names].concat())
            .ok();
        file
    };
    tree.seed(
        "user",
        json!({ "version": "1", "requires": ["lib"] }),
        &[("bin/user", "user")],
    );
    let about = json!({ "license": "MIT", "homepage": "https://example.org/" });
    let first = release("1.tar.zst", about, &["user"]);
    let about = json!({ "license": "Apache-2.0", "description": "A\u{1b}library" });
    let second = release("2.tar.zst", about, &["user", "lib"]);
    let [first, second] = [text(&first), text(&second)];
    let ran = tree.store(&["diff", first, second, "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(names(&found["changed"]), ["lib"]);
    assert_eq!((&found["unchanged"], &found["fetch"]), (&json!(1), &json!(0)));
    let [before, after] = ["before", "after"].map(|side| &found["changed"][0][side]);
    assert_eq!(
        (&before["id"], &found["changed"][0]["same_tree"]),
        (&after["id"], &json!(true))
    );
    let told =
        |held: &Value| ["license", "homepage", "description", "selected"].map(|field| held[field].clone());
    assert_eq!(
        told(before),
        [
            json!("MIT"),
            json!("https://example.org/"),
            json!(""),
            json!(false)
        ]
    );
    assert_eq!(
        told(after),
        [
            json!("Apache-2.0"),
            json!(""),
            json!("A\u{1b}library"),
            json!(true)
        ]
    );
    let said = tree.store(&["diff", first, second]);
    for words in [
        "~ lib 1, ",
        "    licence: MIT -> Apache-2.0\n",
        "    homepage: https://example.org/ -> none\n",
        "    description: none -> A\\u{1b}library\n",
        "    selected: false -> true\n",
        "    its files are the same\n",
        "1 package unchanged",
    ] {
        assert!(said.stdout.contains(words), "no `{words}` in {}", said.stdout);
    }
    // A store knows nothing of licences but what the tree says, which is the same for both.
    let same = tree.store(&["diff", &tree.id("user"), "user", "--json"]).json();
    assert_eq!(same["unchanged"], 2);
}

#[test]
fn a_listing_that_is_a_pipe_is_not_waited_for() {
    let tree = TestTree::new();
    let build = |word: &str| {
        let script = format!("echo {word} > $PKG_PATH/out");
        tree.recipe("lib", &json!({ "version": "1" }), &script);
        tree.store(&["build", "lib"]).ok();
        tree.id("lib")
    };
    let [first, second] = ["first", "second"].map(build);
    let shown = tree.store(&["show", "lib", "--json"]).json();
    let listing = format!("trees/{}.json", shown["tree"].as_str().unwrap());
    let listing = tree.store_dir().join(listing);
    fs::remove_file(&listing).unwrap();
    mkfifo(&listing, Mode::S_IRWXU).unwrap();
    tree.store(&["diff", &first, &second])
        .fails(1, &["it is a named pipe instead of a file"]);
}
