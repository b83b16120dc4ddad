//! The promise that a repair takes nothing away: a damaged package stays until the one that replaces it is whole, be that
//! built again or taken from a cache.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::damage::{inside, rewrite};
use crate::support::running::HELD;
use crate::support::web::Web;
use crate::support::{Ran, TestTree};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// Writes other bytes into a read-only file.
fn damage(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs::write(path, "evil\n").unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o444)).unwrap();
}

fn content(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// The document of a repair that left something as it was, and the names in its list `what`, each once.
fn names(ran: &Ran, what: &str) -> Vec<String> {
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let listed = document[what].as_array().unwrap().iter();
    let name = |it: &Value| match what {
        "repaired" => it["name"].as_str().unwrap().to_owned(),
        _ => it["package"]["name"]
            .as_str()
            .unwrap_or_else(|| panic!("{it}"))
            .to_owned(),
    };
    let mut names: Vec<String> = listed.map(name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Two packages whose builds wait to be let go; `two` is built with `one`.
fn held() -> TestTree {
    let tree = TestTree::new();
    let script = format!("{HELD}; echo good > $PKG_PATH/said");
    tree.recipe("one", &json!({ "version": "1" }), &script);
    tree.recipe("two", &json!({ "version": "1", "requires": ["one"] }), &script);
    let run = tree.start(&["build", "two"]);
    tree.let_go("one");
    tree.let_go("two");
    run.ends().ok();
    tree
}

#[test]
fn a_repair_that_is_killed_while_it_builds_leaves_the_package() {
    let tree = held();
    let said = tree.package("one").join("said");
    damage(&said);
    let run = tree.start(&["verify", "--repair"]);
    tree.held("one");
    run.signal(Signal::SIGKILL);
    run.ends();
    assert_eq!(content(&said), "evil\n");
    let found = tree.store(&["verify", "--json"]);
    assert_eq!(names(&found, "differences"), ["one"]);
    assert_eq!(tree.store(&["gc"]).code, Some(0), "what the dead left is swept");

    let run = tree.start(&["verify", "--repair"]);
    tree.let_go("one");
    let ran = run.ends();
    assert!(ran.ok().contains("all mended"), "{ran:?}");
    assert_eq!(content(&said), "good\n");
    tree.holds_only(&["one", "shell", "two"]);
}

#[test]
fn an_interrupted_repair_counts_what_it_did() {
    let tree = held();
    let said = ["one", "two"].map(|name| tree.package(name).join("said"));
    said.iter().for_each(|path| damage(path));
    let run = tree.start(&["verify", "--repair", "--json"]);
    tree.held("one");
    run.signal(Signal::SIGINT);
    run.says("stopping");
    tree.let_go("one");
    let ran = run.ends();
    assert_eq!(names(&ran, "repaired"), ["one"]);
    assert_eq!(names(&ran, "remaining"), ["two"]);
    ran.fails(3, &["warning: cannot mend two--", "the run was interrupted"]);
    assert_eq!(said.map(|path| content(&path)), ["good\n", "evil\n"]);
}

#[test]
fn a_package_that_is_in_no_index_is_taken_from_the_archive_that_is_kept() {
    let tree = TestTree::new();
    tree.seed("calm", json!({ "version": "1" }), &[("bin/tool", "calm")]);
    tree.small_artifact("1", &["calm"]);
    let tool = tree.package("calm").join("bin/tool");
    rewrite(&tool, "evil");
    fs::remove_file(tree.store_dir().join("index.sqlite")).unwrap();
    fs::remove_dir_all(tree.recipes().join("calm")).unwrap();
    let ran = tree.store(&["verify", "--repair"]);
    assert!(
        ran.stdout.contains("taken from the archive that is kept"),
        "{ran:?}"
    );
    assert_eq!(content(&tool), "calm");
    tree.store(&["verify"]).ok();
}

#[test]
fn what_lies_beside_a_kept_archive_costs_nobody_the_archive() {
    let tree = TestTree::new();
    tree.seed("calm", json!({ "version": "1" }), &[("bin/tool", "calm")]);
    tree.small_artifact("1", &["calm"]);
    let tool = tree.package("calm").join("bin/tool");
    rewrite(&tool, "evil");
    fs::remove_dir_all(tree.recipes().join("calm")).unwrap();
    let archives = tree.store_dir().join("archives");
    let mut kept = fs::read_dir(&archives)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let record = kept.find(|path| path.extension().unwrap() == "json").unwrap();
    let stray = record.with_added_extension("orig");
    fs::copy(&record, &stray).unwrap();
    let ran = tree.store(&["verify", "--repair"]);
    ran.fails(3, &[]);
    assert!(
        ran.stdout.contains("taken from the archive that is kept"),
        "{ran:?}"
    );
    assert_eq!(content(&tool), "calm");
    fs::remove_file(stray).unwrap();
    tree.store(&["verify"]).ok();
}

#[test]
fn what_fails_to_build_or_comes_out_otherwise_is_left_as_it_is_and_told() {
    let tree = TestTree::new();
    let recipe = json!({ "version": "1" });
    tree.recipe("calm", &recipe, "echo calm > $PKG_PATH/said");
    tree.recipe(
        "dice",
        &recipe,
        "echo dice > $PKG_PATH/said; head -c 16 /dev/urandom | od -x > $PKG_PATH/thrown",
    );
    let picky = "test $NUM_CORES = 4; echo picky > $PKG_PATH/said";
    tree.recipe("picky", &recipe, picky);
    tree.store(&["build", "all"]).ok();
    let id = tree.id("picky");
    tree.recipe("picky", &json!({ "version": "1", "cores": 2 }), picky);
    assert_eq!(
        tree.id("picky"),
        id,
        "on how many cores it is built is no part of it"
    );
    let packages = ["calm", "dice", "picky"].map(|name| tree.package(name));
    let thrown = content(&packages[1].join("thrown"));
    packages.iter().for_each(|package| damage(&package.join("said")));

    let ran = tree.store(&["verify", "--repair", "--json"]);
    assert_eq!(names(&ran, "repaired"), ["calm"]);
    assert_eq!(names(&ran, "remaining"), ["dice", "picky"]);
    let words = [
        "warning: cannot mend picky--",
        "warning: cannot mend dice--",
        "other content than the index records",
        "(`thrown` differs)",
    ];
    ran.fails(3, &words);
    let said = packages.map(|package| content(&package.join("said")));
    assert_eq!(said, ["calm\n", "evil\n", "evil\n"]);
    assert_eq!(content(&tree.package("dice").join("thrown")), thrown);

    let words = tree.store(&["verify", "--repair"]);
    assert!(words.stdout.contains("not mended"), "{words:?}");
    assert!(!words.stdout.contains("all mended"), "{words:?}");
}

/// Pushes all that is in `store` to the cache `name`, signed with the key `../key`.
fn pushed(tree: &TestTree, store: &Path, name: &str) -> String {
    let cache = tree.path(name).to_str().unwrap().to_owned();
    let push = [
        "push",
        &cache,
        "--key",
        "../key",
        "--store",
        store.to_str().unwrap(),
    ];
    tree.store(&push).ok();
    cache
}

#[test]
fn a_host_is_mended_from_caches_that_are_believed_and_have_the_very_same() {
    let tree = TestTree::new();
    tree.seed("calm", json!({ "version": "1" }), &[("bin/tool", "calm")]);
    tree.seed("gone", json!({ "version": "1" }), &[("share/text", "some\n")]);
    let throw = "head -c 16 /dev/urandom | od -x > $PKG_PATH/thrown";
    tree.recipe("dice", &json!({ "version": "1" }), throw);
    let other = tree.path("other-store");
    let build = ["build", "-q", "all", "--store", other.to_str().unwrap()];
    tree.store(&build).ok();
    let artifact = tree.small_artifact("1", &["calm", "gone", "dice"]);
    let root = tree.path("host");
    tree.install(artifact.to_str().unwrap(), &root).ok();
    let [key, wrong] = ["../key", "../wrong"].map(|file| {
        let made = tree.store(&["keygen", file, "--json"]).json();
        made["key"].as_str().unwrap().to_owned()
    });
    let same = pushed(&tree, &tree.store_dir(), "cache");
    let other = pushed(&tree, &other, "other-cache");

    let packages = ["calm", "gone", "dice"].map(|name| root.join("packages").join(tree.id(name)));
    let [tool, thrown] = [packages[0].join("bin/tool"), packages[2].join("thrown")];
    let (elsewhere, was_thrown) = (tree.path("elsewhere"), content(&thrown));
    fs::hard_link(&tool, &elsewhere).unwrap();
    rewrite(&tool, "evil");
    rewrite(&thrown, "evil");
    inside(&packages[1], || {
        fs::remove_dir_all(packages[1].join("share")).unwrap()
    });
    let repair = |key: &str, caches: &[&str]| {
        let mut args = vec!["verify", "--repair", "--json", "--cache-key", key];
        caches.iter().for_each(|cache| args.extend(["--cache", cache]));
        tree.on(&root, &args)
    };

    let unbelieved = repair(&wrong, &[&same]);
    assert_eq!(names(&unbelieved, "remaining"), ["calm", "dice", "gone"]);
    unbelieved.fails(3, &["is not taken from", "signed by none of the keys"]);
    assert_eq!(content(&tool), "evil");

    let mended = repair(&key, &[&other]);
    assert_eq!(names(&mended, "remaining"), ["dice"]);
    mended.fails(3, &["warning: dice--", "it has other content there"]);
    assert_eq!(
        (content(&tool).as_str(), content(&thrown).as_str()),
        ("calm", "evil")
    );

    let web = Web::new(Path::new(&same));
    let mended = repair(&key, &[&other, &web.url("")]).json();
    assert_eq!(mended["remaining"], json!([]));
    let how = format!("taken from {}", web.url(""));
    assert_eq!(
        mended["repaired"],
        json!([{ "path": format!("packages/{}", tree.id("dice")), "how": how }])
    );
    tree.on(&root, &["verify"]).ok();
    assert_eq!(content(&thrown), was_thrown);
    assert_eq!(
        content(&elsewhere),
        "evil",
        "another name of the file is somebody else's"
    );
}

#[test]
fn the_program_of_a_host_is_taken_from_no_other_release() {
    let tree = TestTree::new();
    tree.seed("calm", json!({ "version": "1" }), &[("bin/tool", "calm")]);
    let artifact = |version: &str, program: &str| {
        let file = tree.artifact_of("test", version, &["calm"], program.as_bytes());
        file.to_str().unwrap().to_owned()
    };
    let [installed, other] = [artifact("1", "one"), artifact("2", "two")];
    let root = tree.path("host");
    tree.install(&installed, &root).ok();
    let program = root.join("store");
    rewrite(&program, "evil");
    let repair = |from: &str| tree.on(&root, &["verify", "--repair", "--json", "--from", from]);
    let ran = repair(&other).fails(3, &[]).stdout.clone();
    let document: Value = serde_json::from_str(&ran).unwrap();
    assert_eq!(document["remaining"][0]["path"], "store", "{document:#}");
    assert_eq!(content(&program), "evil");
    assert_eq!(repair(&installed).json()["remaining"], json!([]));
    assert_eq!(content(&program), "one");
}

/// What stands in a host's root beside packages and generations: lost, garbled, or where everybody may write it.
#[test]
fn the_documents_of_a_host_are_missed_and_mended() {
    let tree = TestTree::new();
    tree.seed("calm", json!({ "version": "1" }), &[("bin/tool", "calm")]);
    tree.store(&["build", "all"]).ok();
    tree.store(&["keygen", "../key"]).ok();
    let artifact = tree.small_artifact("1", &["calm"]).to_str().unwrap().to_owned();
    tree.store(&["attest", &artifact, "--key", "../key"]);
    let root = tree.path("host");
    tree.install(&artifact, &root).ok();
    let at = |name: &str| root.join(name);
    fs::create_dir(at("channel")).unwrap();
    let whole = ["manifest.json", "attestations.json"].map(|name| content(&at(name)));
    let told = |args: &[&str]| {
        let ran = tree.on(&root, &[&["verify", "--json"], args].concat());
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        let all = document["remaining"]
            .as_array()
            .or(document["differences"].as_array());
        let all = all.unwrap().iter();
        let words = all.map(|it| [&it["path"], &it["difference"]].map(|it| it.as_str().unwrap().to_owned()));
        words.map(|words| words.join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(told(&[]), [""; 0]);

    fs::remove_file(at("manifest.json")).unwrap();
    rewrite(&at("attestations.json"), "{}");
    for name in ["channel", "attestations.json"] {
        fs::set_permissions(at(name), Permissions::from_mode(0o777)).unwrap();
    }
    let all = [
        "attestations.json mode",
        "attestations.json unreadable",
        "channel mode",
        "manifest.json missing",
    ];
    let mut found = told(&[]);
    found.sort();
    assert_eq!(found, all);
    assert_eq!(told(&["--repair"]), ["attestations.json unreadable"]);
    assert_eq!(content(&at("manifest.json")), whole[0]);
    assert_eq!(told(&["--repair", "--from", &artifact]), [""; 0]);
    assert_eq!(content(&at("attestations.json")), whole[1]);

    // Nobody but an artifact knows of a manifest what no generation is made from.
    rewrite(&at("generations/1/manifest.json"), "{}");
    fs::remove_file(at("manifest.json")).unwrap();
    assert!(told(&["--repair"]).contains(&"manifest.json missing".to_owned()));
    assert_eq!(told(&["--repair", "--from", &artifact]), [""; 0]);
}
